# SPDX-License-Identifier: GPL-3.0-or-later
"""Three sites, each with a broker of its own, joined by bridges to the broker of the one IN-CSE: groups and commands
for each, a link that is lost and comes back, and what a bridge may not bring."""

import json

import pytest
from harness.processes import run, wait_until
from harness.site import Device
from harness.sites import Sites


@pytest.fixture
def sites(tmp_path, build):
    made = Sites(tmp_path, build, {
        "mn-1": [Device("Sdoor1", "door"), Device("Ssensor1", "sensor", "psk")],
        "mn-2": [Device("Sdoor2", "door2", "psk")],
        "mn-3": [Device("Sdoor3", "door3")],
    })
    made.start_all({"doors-1": ("door", "mn-1"), "sensors-1": ("sensor", "mn-1"), "doors-2": ("door2", "mn-2"),
                    "doors-3": ("door3", "mn-3")})
    yield made
    made.stop()


def refused(sites, mn):
    return sites.brokers[mn].process.text().count("came in over a bridge of this broker, is dropped")


def hub_says(sites, topic, payload):
    """Somebody at the IN-CSE's broker who may publish all that the IN-CSE may."""
    run(["mosquitto_pub", "-h", "localhost", "-p", sites.hub.certificate_port, "--cafile", sites.pki.hop_ca,
         "--cert", sites.pki.file("in-cse", "hop.pem"), "--key", sites.pki.file("in-cse", "hop.key"), "-q", "1",
         "-t", topic, "-m", payload])


def test_an_in_cse_that_serves_three_sites(sites):
    # Each site runs its own command, once, and no other's.
    for number in (1, 2, 3):
        assert sites.send(f"doors-{number}", f"close {number}", "--wait", "20s") == {f"Sdoor{number}": "done"}
    for number in (1, 2, 3):
        for payload in (1, 2, 3):
            assert sites.done(f"Sdoor{number}", f"close {payload}") == (number == payload)

    # The link of one site is lost, as all are: its devices and its group messages go on without it.
    epoch = sites.newest_epoch("doors-1")
    sites.hub.process.popen.kill()
    sites.hub.process.popen.wait(60)
    sites.say_until_heard("Sdoor1", "doors-1", "all well", [])

    # Back again: what the operator ordered meanwhile arrives, by itself, at every site.
    sites.operator("group", "rotate", "doors-1")
    sites.hub.start()
    wait_until(lambda: sites.groups_of("Sdoor1")["doors-1"]["epoch"] > epoch, 90, "the new key comes to the site",
               every=0.5)
    for number in (1, 2, 3):
        assert sites.send(f"doors-{number}", f"again {number}", "--valid", "120s", "--wait", "90s") == {
            f"Sdoor{number}": "done"}

    # A site's broker that is started anew finds its way too.
    sites.brokers["mn-2"].process.popen.kill()
    sites.brokers["mn-2"].process.popen.wait(60)
    sites.start_broker("mn-2")
    assert sites.send("doors-2", "once more", "--valid", "120s", "--wait", "90s") == {"Sdoor2": "done"}


def test_a_bridge_brings_only_what_the_in_cse_says(sites):
    """A bridge that carries all topics, and somebody at the other end who uses it: the message event refuses what
    the topic lists would have kept out. The twin is every command of the test above."""
    broker = sites.brokers["mn-1"]
    broker.process.popen.terminate()
    assert broker.process.popen.wait(60) == 0
    broker.foreign_lines += ["topic /oneM2M/# in 1", "topic groupseal/# in 1"]
    acl = sites.hub.folder / "acl"
    acl.write_text(acl.read_text() + "user mn-1\ntopic read #\nuser in-cse\ntopic readwrite groupseal/#\n")
    sites.hub.process.popen.send_signal(1)
    sites.start_broker("mn-1")
    sites.wait_ready("Sdoor1")
    before = sites.newest_epoch("doors-1")
    request = {"op": 5, "to": "//sp.example/in-cse", "fr": "//sp.example/Sdoor1", "rqi": "evil", "rvi": "3"}

    def brought():
        hub_says(sites, "groupseal/v1/mn-1/doors-1/cmd", "forged")
        hub_says(sites, "groupseal/v1/mn-1/doors-1/msg/Ssensor1", "forged")
        hub_says(sites, "/oneM2M/req/Sdoor1/mn-1/json", json.dumps(request))
        hub_says(sites, "/oneM2M/resp/mn-1/Sdoor1/json", json.dumps({"rsc": 2000, "rqi": "evil"}))
        return refused(sites, "mn-1") > 0

    wait_until(brought, 30, "the bridge brings it", every=1)
    assert "local_username" in broker.process.text()
    assert sites.send("doors-1", "close", "--valid", "60s", "--wait", "50s") == {"Sdoor1": "done"}
    assert sites.newest_epoch("doors-1") == before == sites.wait_climbed("doors-1", "Sdoor1")
    assert sites.done("Sdoor1", "forged") == 0


def test_a_bridge_that_the_in_cse_makes(tmp_path, build):
    """The other way round, as the operations guide says: an ordinary client of the site's broker, under the IN-CSE's
    name; its broker and the site's are lost in turn."""
    made = Sites(tmp_path, build, {"mn-1": [Device("Sdoor1", "door")], "mn-2": [Device("Sdoor2", "door2", "psk")]})
    made.bridge_from_the_hub()
    try:
        made.start_all({"doors-1": ("door", "mn-1"), "doors-2": ("door2", "mn-2")})
        for number in (1, 2):
            assert made.send(f"doors-{number}", "close", "--wait", "20s") == {f"Sdoor{number}": "done"}
        for broker, start in ((made.hub, made.hub.start), (made.brokers["mn-1"], lambda: made.start_broker("mn-1"))):
            broker.process.popen.kill()
            broker.process.popen.wait(60)
            start()
            for number in (1, 2):
                assert made.send(f"doors-{number}", "again", "--valid", "120s", "--wait", "90s") == {
                    f"Sdoor{number}": "done"}
    finally:
        made.stop()
