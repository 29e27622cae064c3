# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole flow with real processes on the stock broker: MN-CSE by certificate, and by pre-shared key."""

import json

import pytest

from harness.processes import wait_until
from harness.site import Device

GROUPS = {"doors": "door", "sensors": "sensor"}


def devices():
    return [Device("Sdoor1", "door", "cert"), Device("Sdoor2", "door", "psk"), Device("Sdoor3", "door", "cert", hop="psk"),
            Device("Ssensor1", "sensor", "psk", hop="cert"), Device("Ssensor2", "sensor", "cert")]


@pytest.mark.parametrize("mn_mode, embedded_mn", [("cert", False), ("psk", True)])
def test_commands_and_messages(make_site, mn_mode, embedded_mn):
    site = make_site(devices(), mn_mode=mn_mode, embedded_mn=embedded_mn)
    site.start_all(GROUPS)

    # All are authenticated in the mode that they were given.
    modes = {name: site.audit(name)["identities"][0] for name in ("mn", *site.devices)}
    for name, state in modes.items():
        wanted = mn_mode if name == "mn" else site.devices[name].mode
        assert state["associated"] and state["mode"] == wanted and state["mechanism"] == "gs-wrap/1", name
    assert site.counter("authority", "handshakes_refused") == 0

    # A command to all of a group runs once in each member, and nowhere else.
    assert site.send("doors", "close all") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}
    assert [site.done(stem, "close all") for stem in site.devices] == [1, 1, 1, 0, 0]

    # To one member.
    assert site.send("doors", "open one", "--to", "Sdoor2") == {"Sdoor2": "done"}
    assert [site.done(stem, "open one") for stem in site.devices] == [0, 1, 0, 0, 0]

    # A member message reaches the others of the group only.
    site.say_until_heard("Ssensor1", "sensors", "it is hot", ["Ssensor2"])
    assert not site.heard("Sdoor1")
    assert site.say("Sdoor1", "sensors", "not mine").startswith("error")

    # A failure is told, with the program's own words.
    program = site.folder / "Sdoor1.program"
    program.write_text("#!/bin/sh\necho it is stuck\nexit 3\n")
    result = site.operator("send", "doors", "close again", check=False)
    rows = {row["name"]: row for row in json.loads(result.stdout)["members"]}
    assert rows["//sp.example/Sdoor1"]["outcome"] == "failed"
    assert "it is stuck" in rows["//sp.example/Sdoor1"]["detail"]
    assert rows["//sp.example/Sdoor2"]["outcome"] == "done"
    assert result.returncode == 3


def test_evicted_member_is_out(make_site):
    site = make_site(devices())
    site.start_all(GROUPS)
    before = site.newest_epoch("doors")
    site.operator("member", "evict", "Sdoor2", "--reason", "stolen")
    assert site.wait_climbed("doors", "Sdoor1") > before
    assert set(site.send("doors", "close")) == {"Sdoor1", "Sdoor3"}
    assert site.done("Sdoor2", "close") == 0 and site.done("Sdoor1", "close") == 1
    # It got no further, whatever it still has.
    assert site.groups_of("Sdoor2").get("doors", {"epoch": before})["epoch"] <= before
    assert site.say("Sdoor2", "doors", "let me in", seconds=3) != "ok"
    assert not site.heard("Sdoor1") and not site.heard("Sdoor3")


def test_sleeper_acts_when_it_comes_back(make_site):
    site = make_site(devices())
    site.start_all(GROUPS)
    site.running["Sdoor3"].stop()
    result = site.operator("send", "doors", "close", "--valid", "120s", "--wait", "3s", check=False)
    assert result.returncode == 4
    identifier = json.loads(result.stdout)["command_id"]

    def outcomes():
        report = json.loads(site.operator("report", identifier, check=False).stdout)
        return {row["name"].rsplit("/", 1)[1]: row["outcome"] for row in report["members"]}
    wait_until(lambda: outcomes() == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "no answer"}, 20,
               "all have done it but the one that is away")
    # The door that was off when the fire began closes when it comes back, and is heard of.
    site.start_device("Sdoor3")
    wait_until(lambda: site.done("Sdoor3", "close") == 1, 30, "Sdoor3 has closed")
    wait_until(lambda: outcomes()["Sdoor3"] == "done", 20, "the late answer is reported")
    assert [site.done(stem, "close") for stem in ("Sdoor1", "Sdoor2", "Sdoor3")] == [1, 1, 1]
