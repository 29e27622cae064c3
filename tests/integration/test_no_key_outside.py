# SPDX-License-Identifier: GPL-3.0-or-later
"""
No key is outside secenv: not in the memory or a core dump of broker, in-cse and adn-ae, not in a log, not in the
traffic as the broker sees it; and the broker never sees the plaintext of a command. The keys are known by a test
build of secenv (tests/door), which the shipped one does not have.
"""

import os
import subprocess

import pytest

from harness.memory import core_of, found_in, memory_of
from harness.processes import run
from harness.site import Device, Site
from harness.tap import Tap

GROUPS = {"doors": "door", "sensors": "sensor"}
COMMAND = "close every fire door on floor seven"
MESSAGE = "it is four hundred degrees at sensor one"
# Public values that the same functions make: the confirmation tag is in every announcement.
PUBLIC_KINDS = {"groupseal/v1-confirm"}


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    """A site with traffic of all kinds behind it; its keys are in the file `door`."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUPSEAL_KEY_DOOR", str(folder / "door"))
        site = Site(folder / "site", build,
                    [Device("Sdoor1", "door", "cert"), Device("Sdoor2", "door", "psk"),
                     Device("Ssensor1", "sensor", "psk", hop="cert"), Device("Ssensor2", "sensor", "cert")],
                    tap=True, secenv="secenv_test_door")
        site.door = folder / "door"
        try:
            live(site)
            yield site
        finally:
            site.stop()
            print(site.processes.logs())


def live(site):
    site.start_all(GROUPS)
    assert site.send("doors", COMMAND) == {"Sdoor1": "done", "Sdoor2": "done"}
    site.say_until_heard("Ssensor1", "sensors", MESSAGE, ["Ssensor2"])
    before = site.newest_epoch("sensors")
    site.operator("member", "evict", "Ssensor2")
    assert site.wait_climbed("sensors", "Ssensor1") > before


def keys(site):
    """Every secret that a secure environment of this site has made, derived, opened or loaded, by kind."""
    found = {}
    for line in site.door.read_text().splitlines():
        kind, _, digits = line.rpartition(" ")
        secret = bytes.fromhex(digits)
        if kind not in PUBLIC_KINDS and len(secret) >= 16:
            found[f"{kind} {digits[:16]}"] = secret
    for name in ("Sdoor2", "Ssensor1"):
        found[f"PSK of {name}"] = bytes.fromhex(site.pki.file(name, "e2e.psk").read_text().strip())
    return found


def network_processes(site):
    return {name: site.running[name].pid for name in ("broker", "in-cse", *site.devices)}


def traffic(site):
    return [record.topic.encode() + b"\n" + record.payload for record in Tap(site.tap).read()]


def test_no_key_is_outside(site):
    secrets = keys(site)
    kinds = {name.rsplit(" ", 1)[0] for name in secrets}
    # The scan knows keys of every sort there is.
    assert {"PSK", "root", "groupseal/v1-key", "groupseal/v1-up", "groupseal/v1-epoch", "groupseal/v1-seal",
            "groupseal/v1-record", "association", "end-to-end-key"} <= {kind.replace(" ", "-") if kind != "PSK" else kind
                                                                        for kind in kinds}, kinds
    for name, pid in network_processes(site).items():
        assert found_in(memory_of(pid), secrets) == set(), f"memory of {name}"
        assert found_in(core_of(pid), secrets) == set(), f"core dump of {name}"
    logs = [path.read_bytes() for path in (*site.processes.folder.glob("*.log"), *site.processes.folder.glob("*.out"))]
    assert logs and found_in(logs, secrets) == set(), "logs"
    seen = traffic(site)
    assert len(seen) > 50 and found_in(seen, secrets) == set(), "traffic"


def test_broker_never_has_plaintext(site):
    plaintexts = {"command": COMMAND.encode(), "message": MESSAGE.encode()}
    broker = site.running["broker"].pid
    assert found_in(memory_of(broker), plaintexts) == set()
    assert found_in(core_of(broker), plaintexts) == set()
    assert found_in(traffic(site), plaintexts) == set()
    # The same search finds it where it belongs: at the device that was commanded.
    assert found_in([site.done_file("Sdoor1").read_bytes()], plaintexts) == {"command"}


def test_scan_finds_a_planted_key(site):
    """The scan can fail: a key in the memory of a process like those, in a log and in traffic is found."""
    secrets = keys(site)
    secret = secrets["PSK of Sdoor2"]
    names = {name for name, value in secrets.items() if value == secret}
    holder = subprocess.Popen(
        ["/usr/bin/python3", "-c", "import sys,time; key=bytes.fromhex(sys.stdin.readline()); print(len(key), flush=True);"
         "time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdin.write(secret.hex().encode() + b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        assert found_in(memory_of(holder.pid), secrets) == names
        assert found_in(core_of(holder.pid), secrets) == names
    finally:
        holder.kill()
        holder.wait()
    for shape in (secret, secret.hex().encode()):
        assert found_in([b"some log " + shape + b" goes on"], secrets) == names
    # And in the broker itself: a client sends the key, the broker keeps it as a retained message.
    site.pki.make("device", "Sother")
    run(["mosquitto_pub", "-h", "localhost", "-p", str(site.broker.certificate_port), "--cafile", site.pki.hop_ca,
         "--cert", site.pki.file("Sother", "hop.pem"), "--key", site.pki.file("Sother", "hop.key"), "-q", "1", "-r",
         "-t", "planted", "-m", secret.hex()])
    assert found_in(memory_of(site.running["broker"].pid), secrets) == names
    assert found_in(core_of(site.running["broker"].pid), secrets) == names
    assert found_in(traffic(site), secrets) == names


def test_shipped_secenv_has_no_door(build, tmp_path):
    door = tmp_path / "door"
    environment = {**os.environ, "GROUPSEAL_KEY_DOOR": str(door)}
    for program, open_door in (("secenv", False), ("secenv_test_door", True)):
        store = tmp_path / program
        run([build / "bin" / program, "provision", "--store", store, "--profile", "member"], env=environment)
        assert door.exists() == open_door
    assert b"GROUPSEAL_KEY_DOOR" not in (build / "bin" / "secenv").read_bytes()
