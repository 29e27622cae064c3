# SPDX-License-Identifier: GPL-3.0-or-later
"""
The hosting broker, and in-cse, taken over: an attacker with that process' user and its socket to the secure
environment, which runs as a user of its own. It gets no key and no store; it enrols nobody and signs no order.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.memory import found_in
from harness.processes import clean_environment, run, wait_until
from harness.site import IN_CSE, MN_CSE, Device, Site

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

SECENV, OWNER, OPERATORS, SHARED = 3001, 3002, 3200, 3100
HERE = Path(__file__).resolve().parent
GROUPS = {"doors": "door"}


class Host:
    """A site whose secure environments run as user SECENV; network processes that OWNER has taken."""

    def __init__(self, site, folder):
        self.site = site
        self.folder = folder
        self.door = folder / "door"
        self.door.touch()
        self.door.chmod(0o666)
        self.code = folder / "code"
        self.code.mkdir()
        run(["protoc", f"--proto_path={HERE.parents[1] / 'proto'}", f"--python_out={self.code}", "secenv.proto"])
        shutil.copy(HERE / "taken_owner.py", self.code)
        for path in self.code.iterdir():
            path.chmod(0o644)
        for path in (self.code, site.folder, site.folder / "store"):
            path.chmod(0o755)
        site.sockets.chmod(0o777)

    def give(self, name):
        """The (stopped) store becomes that of the user SECENV."""
        store = self.site.store(name)
        for path in (store, *store.iterdir()):
            os.chown(path, SECENV, SHARED)

    def start(self, name, owner, *more):
        """The service secenv-<name> as SECENV, for the owner's user."""
        site = self.site
        process = site.start(f"secenv-{name}", [
            site.secenv_program, "run", "--store", site.store(name), "--owner-socket", site.socket(name),
            "--owner-uid", owner, "--audit-socket", site.socket(f"{name}-audit"), *more],
            user=SECENV, group=SHARED, extra_groups=[OPERATORS],
            env=clean_environment() | {"GROUPSEAL_KEY_DOOR": str(self.door)})
        wait_until(lambda: not process.running() or "secenv: ready" in process.text(), 10, f"secenv-{name} is ready")
        assert process.running(), process.text()
        return process

    def limit(self, name, identity, *arguments):
        """`secenv limit` on the (stopped) store."""
        return subprocess.run([self.site.secenv_program, "limit", "--store", self.site.store(name), "--id", identity,
                               *map(str, arguments)], user=SECENV, group=SHARED, check=True, capture_output=True,
                              text=True).stdout

    def attack(self, what, *arguments):
        """As the user of the process that was taken over."""
        result = subprocess.run([sys.executable, self.code / "taken_owner.py", what, self.code,
                                 *map(str, arguments)], user=OWNER, group=OWNER, extra_groups=[SHARED], timeout=120,
                                capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def keys(self):
        """Every secret that these secure environments have had, known by their test build."""
        found = {}
        for line in self.door.read_text().splitlines():
            kind, _, digits = line.rpartition(" ")
            if kind != "groupseal/v1-confirm" and len(digits) >= 32:
                found[f"{kind} {digits[:16]}"] = bytes.fromhex(digits)
        return found


@pytest.fixture
def site(open_folder, build):
    made = Site(open_folder / "site", build, [Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")],
                secenv="secenv_test_door")
    yield made
    made.stop()
    print(made.processes.logs())


@pytest.fixture
def host(site, open_folder):
    host = Host(site, open_folder)
    host.give("mn")
    site.start_authority()
    site.add_members()
    site.create_groups(GROUPS)
    site.start_broker()
    site.start_in_cse()
    host.start("mn", 0)
    for stem in site.devices:
        site.start_device(stem)
    site.wait_ready()
    return host


def operators_view(site):
    members = json.loads(site.operator("member", "list").stdout)
    return members, site.groups_of("authority"), site.counter("authority", "commands_ordered")


def taken(host, *limit):
    """The broker is gone; what took it has its place before secenv."""
    site = host.site
    site.running["broker"].stop()
    site.running["secenv-mn"].stop()
    if limit:
        host.limit("mn", MN_CSE, *limit)
    return host.start("mn", OWNER)


def test_taken_broker_gets_no_key_and_no_store(host):
    process = taken(host)
    before = operators_view(host.site)
    reached = host.attack("reach", host.site.store("mn"), process.pid)
    assert set(reached.values()) == {"denied"}, reached
    assert process.running()
    assert operators_view(host.site) == before
    # The twin: the same attempts by secenv's own user are given some of it.
    result = subprocess.run([sys.executable, host.code / "taken_owner.py", "reach", host.code,
                             host.site.store("mn"), "1"], user=SECENV, group=SHARED, capture_output=True, text=True,
                            check=True)
    assert {name for name, answer in json.loads(result.stdout).items() if answer == "given"} >= {
        "list", "store", "root key"}


def test_taken_broker_has_the_owners_requests_only(host):
    taken(host)
    site = host.site
    refused = site.counter("mn", "requests_refused")
    before = operators_view(site)
    results = host.attack("more", site.socket("mn"), "member", "doors")
    assert set(results.values()) == {"ended"}, results
    assert site.counter("mn", "requests_refused") == refused + len(results)
    assert "MEMBER_ADD is not for this socket" in site.running["secenv-mn"].text()
    assert operators_view(site) == before


def test_taken_broker_signs_no_order(host):
    site = host.site
    assert site.send("doors", "close", "--valid", "15s") == {"Sdoor1": "done", "Sdoor2": "done"}
    time.sleep(16)  # it would be sealed again as long as it is valid, for whoever comes late
    taken(host)
    before = operators_view(site)
    groups = site.groups_of("mn")
    result = host.attack("use", site.socket("mn"), "doors")
    codes = result["codes"]
    # What the policy lets an MN-CSE do, and nothing under another's name, of another group, or beyond a limit.
    assert codes.pop("own message") == 0
    assert codes.pop("object") == 0 and codes.pop("answer") == 0  # refused in the log, as whatever comes from afar
    assert codes.pop("heard on 1") == 0  # the MN-CSE takes no command from its broker: nothing comes of it
    assert all(code not in (0, None) for code in codes.values()), codes
    # Everything that it gave: no key.
    packets = [bytes.fromhex(packet) for packet in result["packets"]]
    keys = host.keys()
    assert len(keys) > 20 and len(packets) > 5
    assert found_in(packets, keys) == set()
    assert site.counter("mn", "commands_sealed") == 0 and not result["commands"]
    assert operators_view(site) == before
    assert {name: group["epoch"] for name, group in site.groups_of("mn").items()} == {
        name: group["epoch"] for name, group in groups.items()}
    # The twin: the broker as it should be, and the order of the operator.
    site.running["secenv-mn"].stop()
    host.start("mn", 0)
    site.start_broker()
    site.wait_ready()
    wait_until(lambda: site.send("doors", "open", check=False) == {"Sdoor1": "done", "Sdoor2": "done"}, 40,
               "an order is executed again")
    assert [site.done(stem, "close") for stem in site.devices] == [1, 1]


RATE, BURST = 5, 10
OK, REFUSED, TOO_OFTEN = "0", "2", "9"


def assert_within(result):
    taken_in_all, seconds = result["codes"][OK], result["seconds"]
    assert BURST <= taken_in_all <= BURST + RATE * seconds + 1, result
    assert result["codes"][TOO_OFTEN] > 0, result


@pytest.fixture
def small_host(open_folder, build):
    """No devices: for what the MN-CSE and the IN-CSE do by themselves."""
    site = Site(open_folder / "site", build, [], secenv="secenv_test_door")
    host = Host(site, open_folder)
    host.give("mn")
    site.start_authority()
    site.add_members()
    site.create_groups(GROUPS)
    site.start_broker()
    site.start_in_cse()
    host.start("mn", 0)
    wait_until(lambda: site.groups_of("mn").get("doors", {}).get("epoch", 0) > 0, 60, "the MN-CSE has its key")
    yield host
    site.stop()
    print(site.processes.logs())


def test_taken_broker_stays_within_its_limits(small_host):
    site = small_host.site
    taken(small_host, "--rate", RATE, "--burst", BURST)
    before = operators_view(site)
    result = small_host.attack("flood", site.socket("mn"), "doors", 3)
    assert_within(result)
    assert site.counter("mn", "messages_sealed") <= BURST + RATE * result["seconds"] + 1
    assert site.counter("mn", "owner_too_often") > 0
    assert site.counter("mn", "handshakes_started") == 0
    assert "more messages on doors than its owner may have sealed" in site.running["secenv-mn"].text()

    # Its rights; then the twin, with the right to send, and its messages are sealed.
    for rights, code in (("relay", REFUSED), ("relay,send", OK)):
        site.running["secenv-mn"].stop()
        shown = json.loads(small_host.limit("mn", MN_CSE, "--groups", "doors", "--allow", rights))
        assert shown[0] == {"identity": MN_CSE, "groups": "doors", "allow": rights.split(","), "rate": RATE,
                            "burst": BURST}
        small_host.start("mn", OWNER)
        codes = small_host.attack("flood", site.socket("mn"), "doors", 0.1)["codes"]
        assert set(codes) - {TOO_OFTEN} == {code}
        assert (site.counter("mn", "owner_refused") > 0) == (code == REFUSED)
        assert (site.counter("mn", "messages_sealed") > 0) == (code == OK)
    assert operators_view(site) == before


def test_taken_in_cse_stays_within_its_rate(small_host):
    site = small_host.site
    site.running["in-cse"].stop()
    site.running["secenv-authority"].stop()
    small_host.give("authority")
    small_host.limit("authority", IN_CSE, "--rate", RATE, "--burst", BURST)
    small_host.start("authority", OWNER, "--operator-socket", site.socket("operator"), "--operator-gid", OPERATORS)
    before = operators_view(site)
    result = small_host.attack("hand in", site.socket("authority"), 3)
    assert_within(result)
    assert site.counter("authority", "owner_too_often") == result["codes"][TOO_OFTEN]
    assert site.counter("authority", "objects_refused") == result["codes"][OK]
    assert operators_view(site) == before


def test_taken_in_cse_enrols_nobody_and_signs_no_order(host):
    site = host.site
    site.running["in-cse"].stop()
    site.running["secenv-authority"].stop()
    host.give("authority")
    process = host.start("authority", OWNER, "--operator-socket", site.socket("operator"), "--operator-gid", OPERATORS)
    before = operators_view(site)
    refused = site.counter("authority", "requests_refused")
    results = host.attack("more", site.socket("authority"), "authority", "doors")
    assert set(results.values()) == {"ended"}, results
    assert site.counter("authority", "requests_refused") == refused + len(results)
    reached = host.attack("reach", site.store("authority"), process.pid)
    assert set(reached.values()) == {"denied"}, reached
    # The operator's socket: closed to it by its rights, and to whom they let in by who it is.
    assert host.attack("knock", site.socket("operator")) == "Permission denied"
    site.socket("operator").chmod(0o666)
    assert host.attack("knock", site.socket("operator")) in ("ended", "Connection reset by peer")
    assert f"user {OWNER}" in process.text()
    assert operators_view(site) == before
    # The twin: the operator may do each of it.
    site.operator("group", "create", "mine", "--function", "door", "--site", MN_CSE)
    site.operator("member", "evict", "Sdoor2")
    members, groups, _ = operators_view(site)
    assert members != before[0] and set(groups) == {"doors", "mine"}
    site.operator("send", "doors", "open", "--wait", "1s", check=False)
    assert operators_view(site)[2] == 1
