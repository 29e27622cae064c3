# SPDX-License-Identifier: GPL-3.0-or-later
"""The program secenv: provisioning, its sockets and who may use them, its end and its next start."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from harness.processes import REPOSITORY, run, wait_until

HELLO = bytes.fromhex("080112020801")  # id 1, Hello{version 1}
STATUS = bytes.fromhex("08021a00")  # id 2, Status{}
ONLINE = bytes.fromhex("080352020a00")  # id 3, Online{identity ""}
GROUP_LIST = bytes.fromhex("0802e20200")  # id 2, GroupList{}
IN_CSE = "//sp.example/in-cse"


class Secenv:
    """One store below `folder`, and the process on it."""

    def __init__(self, build, processes, folder, name="secenv"):
        self.program = build / "bin" / "secenv"
        self.processes = processes
        self.folder = folder
        self.name = name
        self.store = folder / f"{name}-store"
        self.process = None

    def path(self, kind):
        return self.folder / f"{self.name}-{kind}.sock"

    def provision(self, *arguments, profile="member", check=True):
        return run([self.program, "provision", "--store", self.store, "--profile", profile, *arguments], check=check)

    def provision_psk(self, stem, *arguments, check=True):
        key = self.folder / f"{stem}.psk"
        key.write_text(os.urandom(32).hex() + "\n")
        key.chmod(0o600)
        return self.provision("--id", f"//sp.example/{stem}", "--kind", "adn-ae", "--in-cse", IN_CSE,
                              "--mode", "psk", "--psk-file", key, *arguments, check=check)

    def provision_authority(self, pki):
        pki.make("in-cse")
        self.provision("--id", IN_CSE, "--kind", "in-cse", "--mode", "cert",
                       "--certificate", pki.file("in-cse", "e2e.pem"),
                       "--private-key", pki.file("in-cse", "e2e.key"), "--trust-anchors", pki.e2e_ca,
                       "--crl", pki.folder / "e2e" / "crl.pem", profile="authority")

    def arguments(self, *more):
        return [self.program, "run", "--store", self.store, "--audit-socket", self.path("audit"), *more]

    def start(self, *more):
        self.process = self.processes.start(
            self.name, self.arguments("--owner-socket", self.path("owner"), *more))
        wait_until(lambda: "secenv: ready" in self.process.text() or not self.process.running(),
                   10, "secenv is ready")
        assert self.process.running(), self.process.text()

    def audit(self):
        return json.loads(run([self.program, "audit", self.path("audit")]).stdout)

    def connect(self, kind):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(5)
        client.connect(str(self.path(kind)))
        return client


@pytest.fixture
def secenv(build, processes, tmp_path):
    return Secenv(build, processes, tmp_path)


def code(packet):
    """The code of a reply (absent: 0), from FromSecenv{reply{id, code}}."""
    assert packet[0] == 0x0A
    inner = packet[2:] if packet[1] < 128 else packet[3:]
    assert inner[0] == 0x08
    return inner[3] if len(inner) > 3 and inner[2] == 0x10 else 0


def ask(client, *packets):
    replies = []
    for packet in packets:
        client.send(packet)
        replies.append(client.recv(65536))
    return replies


def test_provisioned_identities_are_served(secenv, pki):
    pki.make("device", "Sdoor1")
    secenv.provision("--id", "//sp.example/Sdoor1", "--kind", "adn-ae", "--in-cse", IN_CSE, "--mode", "cert",
                     "--certificate", pki.file("Sdoor1", "e2e.pem"),
                     "--private-key", pki.file("Sdoor1", "e2e.key"), "--trust-anchors", pki.e2e_ca)
    secenv.provision_psk("Sdoor2")
    secenv.start()
    status = secenv.audit()
    assert status["profile"] == "member"
    assert {one["identity"]: one["mode"] for one in status["identities"]} == {
        "//sp.example/Sdoor1": "cert", "//sp.example/Sdoor2": "psk"}
    assert status["counters"]["handshakes_done"] == 0
    assert secenv.process.stop() == 0
    assert not secenv.path("owner").exists() and not secenv.path("audit").exists()


def test_the_authority_is_served(secenv, pki):
    secenv.provision_authority(pki)
    secenv.start("--operator-socket", secenv.path("operator"), "--same-user")
    assert secenv.audit()["profile"] == "authority"
    with secenv.connect("operator") as operator:
        assert [code(reply) for reply in ask(operator, HELLO, GROUP_LIST)] == [0, 0]


def test_wrong_usage_and_failures_are_told_apart(secenv):
    program = secenv.program
    for arguments in ([], ["nonsense"], ["run"], ["run", "--store", "x"], ["provision", "--store", "x"],
                      ["provision", "--store", "x", "--profile", "both"], ["audit"], ["--nonsense"],
                      ["run", "--store", "x", "--owner-fd", "-1"],
                      ["run", "--store", "x", "--owner-fd", "3", "--owner-socket", "x"],
                      ["provision", "--store", "x", "--profile", "member", "--id", "//a/Sb", "--kind", "in-cse",
                       "--mode", "psk", "--psk-file", "x"]):
        assert run([program, *arguments], check=False).returncode == 2, arguments
    assert run([program, "--help"]).returncode == 0
    assert run([program, "audit", secenv.folder / "nobody"], check=False).returncode == 1
    failed = run([program, "run", "--store", secenv.store, "--owner-socket", secenv.path("owner")], check=False)
    assert failed.returncode == 1 and str(secenv.store) in failed.stderr
    assert run([program, "provision", "--store", secenv.store, "--profile", "member"]).returncode == 0


def test_an_identity_is_replaced_only_when_asked(secenv):
    secenv.provision_psk("Sdoor1")
    again = secenv.provision_psk("Sdoor1", check=False)
    assert again.returncode == 1 and "--replace" in again.stderr
    secenv.provision_psk("Sdoor1", "--replace")
    other = secenv.provision(profile="authority", check=False)
    assert other.returncode == 1 and "other profile" in other.stderr


def limits(secenv, *arguments, check=True):
    result = run([secenv.program, "limit", "--store", secenv.store, *arguments], check=check)
    return json.loads(result.stdout) if check else result


def test_limits_are_those_of_the_stopped_store(secenv):
    secenv.provision_psk("Sdoor1", "--allow", "read", "--rate", "7")
    secenv.provision_psk("Sdoor2")
    one, other = "//sp.example/Sdoor1", "//sp.example/Sdoor2"
    assert limits(secenv) == [
        {"identity": one, "groups": "*", "allow": ["read"], "rate": 7, "burst": 500},
        {"identity": other, "groups": "*", "allow": ["relay", "read", "send", "command"], "rate": 50, "burst": 500}]
    secenv.provision_psk("Sdoor1", "--replace")  # other credentials give its owner no more
    limits(secenv, "--id", one, "--groups", "doors", "--allow", "none")
    limits(secenv, "--id", one, "--groups", "doors*", "--burst", "2")
    secenv.start()
    shown = {identity["identity"]: identity["limits"] for identity in secenv.audit()["identities"]}
    assert shown[one] == [{"groups": "doors", "allow": "none", "rate": 7, "burst": 500},
                          {"groups": "doors*", "allow": "read", "rate": 7, "burst": 2},
                          {"groups": "*", "allow": "read", "rate": 7, "burst": 500}]
    running = limits(secenv, "--id", one, "--allow", "all", check=False)
    assert running.returncode == 1 and "in use by another process" in running.stderr
    secenv.process.stop()
    assert len(limits(secenv, "--id", one, "--groups", "doors", "--remove")) == 2
    for arguments in (["--id", one, "--groups", "doors", "--remove"], ["--id", "//sp.example/Sno", "--rate", "1"],
                      ["--id", one, "--groups", "do*rs", "--rate", "1"], ["--id", one, "--groups", "", "--rate", "1"]):
        assert limits(secenv, *arguments, check=False).returncode == 1, arguments
    for arguments in (["--rate", "1"], ["--id", one, "--rate", "0"], ["--id", one, "--allow", "fly"],
                      ["--id", one, "--groups", "doors"], ["--id", one, "--remove", "--rate", "1"],
                      ["--id", one, "--burst", "2000000"]):
        assert limits(secenv, *arguments, check=False).returncode == 2, arguments


def test_an_authoritys_owner_has_a_rate_alone(secenv, pki):
    secenv.provision_authority(pki)
    assert limits(secenv) == [{"identity": IN_CSE, "rate": 1000, "burst": 10000}]
    assert limits(secenv, "--id", IN_CSE, "--rate", "5")[0]["rate"] == 5
    for arguments in (["--allow", "none"], ["--groups", "doors", "--rate", "5"]):
        assert limits(secenv, "--id", IN_CSE, *arguments, check=False).returncode == 1


def test_bad_psk_files_are_refused(secenv):
    key = secenv.folder / "bad.psk"
    for text in ("", "00" * 31, "00" * 33, "zz" * 32, "0" * 64):
        key.write_text(text)
        result = secenv.provision("--id", "//sp.example/Sdoor1", "--kind", "adn-ae", "--in-cse", IN_CSE,
                                  "--mode", "psk", "--psk-file", key, check=False)
        assert result.returncode == 1, text
    secenv.provision_psk("Sdoor1")


def test_one_process_a_store(secenv):
    secenv.provision_psk("Sdoor1")
    secenv.start()
    second = run([secenv.program, "run", "--store", secenv.store, "--owner-socket", secenv.path("second")],
                 check=False)
    assert second.returncode == 1 and "in use by another process" in second.stderr
    provision = secenv.provision_psk("Sdoor2", check=False)
    assert provision.returncode == 1 and "in use by another process" in provision.stderr
    assert len(secenv.audit()["identities"]) == 1
    secenv.process.stop()
    secenv.provision_psk("Sdoor2")
    secenv.start()
    assert len(secenv.audit()["identities"]) == 2


def test_killed_and_started_again(secenv):
    secenv.provision_psk("Sdoor1")
    for _ in range(3):
        secenv.start()  # the socket files of the one that was killed are replaced
        assert secenv.audit()["identities"][0]["identity"] == "//sp.example/Sdoor1"
        secenv.process.kill()
        assert secenv.path("owner").exists()


def test_a_root_key_apart_from_the_store(secenv):
    key = secenv.folder / "apart.key"
    secenv.provision_psk("Sdoor1", "--root-key", key)
    assert not (secenv.store / "root.key").exists()
    assert key.stat().st_mode & 0o777 == 0o600 and key.stat().st_size == 32

    def attempt(*arguments):
        return run([secenv.program, "run", "--store", secenv.store, "--owner-socket", secenv.path("owner"),
                    *arguments], check=False)

    wrong = secenv.folder / "wrong.key"
    wrong.write_bytes(os.urandom(32))
    wrong.chmod(0o600)
    before = (secenv.store / "store.db").read_bytes()
    result = attempt("--root-key", wrong)
    assert result.returncode == 1 and "does not open the store" in result.stderr
    assert (secenv.store / "store.db").read_bytes() == before
    key.chmod(0o640)
    result = attempt("--root-key", key)
    assert result.returncode == 1 and "open to group or others" in result.stderr
    key.chmod(0o600)
    assert attempt().returncode == 1
    secenv.start("--root-key", key)


def test_an_embedded_one_ends_with_its_owner(secenv):
    secenv.provision_psk("Sdoor1")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = secenv.processes.start(
        "embedded", secenv.arguments("--owner-fd", theirs.fileno()), pass_fds=[theirs.fileno()])
    theirs.close()
    ours.settimeout(10)
    assert [code(reply) for reply in ask(ours, HELLO, STATUS)] == [0, 0]
    assert process.running()
    ours.close()
    assert wait_until(lambda: not process.running(), 10, "it ends") and process.popen.returncode == 0


def test_what_is_not_in_the_table_ends_the_connection(secenv):
    secenv.provision_psk("Sdoor1")
    secenv.start()
    for kind, packets in (("audit", [HELLO, ONLINE]), ("owner", [HELLO, GROUP_LIST]), ("owner", [STATUS]),
                          ("audit", [b"garbage"])):
        refused = secenv.audit()["counters"]["requests_refused"]
        with secenv.connect(kind) as client:
            ask(client, *packets[:-1])
            client.send(packets[-1])
            assert client.recv(65536) == b""
        assert secenv.audit()["counters"]["requests_refused"] == refused + 1
    with secenv.connect("audit") as client:
        assert [code(reply) for reply in ask(client, HELLO, STATUS)] == [0, 0]
    with secenv.connect("owner") as client:
        assert code(ask(client, HELLO)[0]) == 0
        assert code(ask(client, ONLINE)[0]) != 0  # permitted, and refused: no such identity


def test_refused_connections_do_not_fill_the_log(secenv):
    secenv.provision_psk("Sdoor1")
    secenv.start()
    for _ in range(40):
        with secenv.connect("owner") as client:
            client.send(b"garbage")
            assert client.recv(65536) == b""
    with secenv.connect("audit") as client:  # another socket's is told
        client.send(b"garbage")
        assert client.recv(65536) == b""
    assert secenv.audit()["counters"]["requests_refused"] == 41
    told = re.findall(r"connection \d+ \((\w+)\) ends: a packet", secenv.process.text())
    assert 5 <= told.count("owner") < 20 and told[-1] == "audit"


def test_a_member_has_no_operators(secenv):
    secenv.provision_psk("Sdoor1")
    result = run(secenv.arguments("--owner-socket", secenv.path("owner"), "--operator-socket",
                                  secenv.path("operator")), check=False)
    assert result.returncode == 1 and "authority" in result.stderr


def test_the_owner_is_no_operator(secenv, pki):
    """By default the owner is of our own user, which may operate: then it does not start (twins: it is told that
    this may be, above; the owner is another user, below)."""
    secenv.provision_authority(pki)
    for owner in (["--owner-socket", secenv.path("owner")], ["--owner-socket", secenv.path("owner"), "--owner-uid", "0"],
                  ["--owner-socket", secenv.path("owner"), "--owner-uid", str(os.geteuid())]):
        result = run(secenv.arguments(*owner, "--operator-socket", secenv.path("operator")), check=False, seconds=10)
        assert result.returncode == 1 and "--same-user" in result.stderr
        assert not secenv.path("operator").exists()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        result = run(secenv.arguments("--owner-fd", theirs.fileno(), "--operator-socket", secenv.path("operator")),
                     check=False, seconds=10, pass_fds=[theirs.fileno()])
        assert result.returncode == 1 and "--same-user" in result.stderr


CONNECT = """
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.settimeout(10)
client.connect(sys.argv[1])
client.send(bytes.fromhex("080112020801"))
try:
    sys.exit(0 if client.recv(65536) else 1)
except ConnectionResetError:
    sys.exit(1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_peers_are_who_they_must_be(build, processes, pki, open_folder):
    secenv = Secenv(build, processes, open_folder)
    secenv.provision_authority(pki)
    secenv.start("--owner-uid", "1234", "--operator-socket", secenv.path("operator"), "--operator-gid", "4242")

    def lets_in(kind, user, group, groups=()):
        secenv.path(kind).chmod(0o666)  # so that it is the credentials that refuse
        return subprocess.run([sys.executable, "-c", CONNECT, secenv.path(kind)], user=user, group=group,
                              extra_groups=list(groups), timeout=20, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    assert lets_in("owner", 1234, 1)
    assert not lets_in("owner", 1235, 1)
    assert not lets_in("owner", 0, 0)
    assert lets_in("operator", 0, 0)
    assert lets_in("operator", 1235, 4242)
    assert lets_in("operator", 1235, 1, [4242])
    assert not lets_in("operator", 1235, 1)
    assert not lets_in("operator", 1234, 1)  # the owner is no operator
    assert lets_in("audit", 1235, 1)
    assert "user 1235" in secenv.process.text()


def test_memory_is_protected(secenv):
    secenv.provision_psk("Sdoor1")
    secenv.start()
    status = open(f"/proc/{secenv.process.pid}/status").read()
    assert "NoNewPrivs:\t1" in status
    limits = open(f"/proc/{secenv.process.pid}/limits").read()
    assert re.search(r"Max core file size +0 +0 ", limits)
    secenv.process.popen.send_signal(signal.SIGINT)
    assert secenv.process.popen.wait(60) == 0


def test_the_shipped_program_has_no_door(build):
    door = b"GROUPSEAL_KEY_DOOR"
    assert door not in (build / "bin" / "secenv").read_bytes()
    assert door in (build / "bin" / "secenv_test_door").read_bytes()


def test_every_counter_is_explained(secenv):
    secenv.provision_psk("Sdoor1")
    secenv.start()
    manual = (REPOSITORY / "docs" / "operations.md").read_text()
    for counter in secenv.audit()["counters"]:
        assert f"\n| `{counter}` |" in manual, counter


@pytest.mark.parametrize("command", ["run", "provision", "limit", "audit"])
def test_every_option_is_in_the_manual(build, command):
    page = (REPOSITORY / "docs" / "secenv.8").read_text()
    text = run([build / "bin" / "secenv", command, "--help"]).stdout
    options = set(re.findall(r"--([a-z-]+)", text)) - {"help", "usage", "version"}
    assert options or command == "audit"
    for option in options:
        assert f"-{option}" in page, option
