# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""One group at two sites, with real processes: a device is carried from one site to the other, and back."""

import json

import pytest
from harness.processes import wait_until
from harness.site import Device
from harness.sites import Sites


@pytest.fixture
def sites(tmp_path, build):
    made = Sites(tmp_path, build, {
        "mn-1": [Device("Sdoor1", "door", "psk"), Device("Sdoor2", "door")],
        "mn-2": [Device("Sdoor3", "door", "psk")],
    })
    made.start_all({"doors": ("door", "mn-1", "mn-2"), "near": ("door", "mn-1"), "far": ("door", "mn-2")})
    yield made
    made.stop()


def stop(sites, stem):
    sites.running[stem].popen.terminate()
    assert sites.running[stem].popen.wait(10) == 0


def epoch_of(sites, group):
    return next(row["epoch"] for row in json.loads(sites.operator("group", "list").stdout) if row["name"] == group)


def test_a_device_goes_to_another_site(sites):
    stems = {"Sdoor1", "Sdoor2", "Sdoor3"}
    assert sites.send("doors", "close", "--wait", "30s", "--valid", "60s") == dict.fromkeys(stems, "done")
    assert set(sites.groups_of("Sdoor1")) == {"doors", "near"}

    # A change reaches both.
    sites.operator("group", "rotate", "doors")
    wait_until(lambda: all(sites.groups_of(stem)["doors"]["epoch"] == epoch_of(sites, "doors") for stem in stems), 30,
               "all have climbed", every=0.5)

    # Carried away with an order unanswered that names it: it runs that at the new site.
    stop(sites, "Sdoor1")
    sent = json.loads(sites.operator("send", "doors", "open", "--to", "Sdoor1", "--valid", "600s", "--wait", "1s",
                                     check=False).stdout)
    assert [row["outcome"] for row in sent["members"]] == ["no answer"]
    near = epoch_of(sites, "near")
    sites.move("Sdoor1", "mn-2")
    wait_until(lambda: epoch_of(sites, "near") > near, 30, "the group that it left has another key")
    sites.start_device("Sdoor1")
    wait_until(lambda: sites.done("Sdoor1", "open") == 1, 120, "the order is run at the new site", every=0.5)
    wait_until(lambda: set(sites.groups_of("Sdoor1")) == {"doors", "far"}, 120, "it is in the groups there", every=0.5)
    assert sites.groups_of("Sdoor1")["doors"]["sites"] == ["mn-2"]
    sites.wait_ready(seconds=120)

    def reported():
        report = json.loads(sites.operator("report", sent["command_id"], check=False).stdout)
        return [(row["outcome"], row["site"]) for row in report["members"]] == [("done", "//sp.example/mn-2")]

    wait_until(reported, 30, "the report says so", every=0.5)
    assert sites.send("doors", "ajar", "--wait", "60s", "--valid", "120s") == dict.fromkeys(stems, "done")
    assert sites.send("near", "lock", "--wait", "60s", "--valid", "120s") == {"Sdoor2": "done"}
    assert sites.send("far", "lock", "--wait", "60s", "--valid", "120s") == {"Sdoor1": "done", "Sdoor3": "done"}
    for stem in stems:
        assert sites.done(stem, "ajar") == sites.done(stem, "lock") == 1
    assert sites.done("Sdoor1", "open") == 1 and sites.done("Sdoor2", "open") == 0

    # Somebody carries it back and tells nobody: the former site lets it read and write nothing of the groups, and the
    # authority does not hear it there.
    stop(sites, "Sdoor1")
    sites.site_of["Sdoor1"] = "mn-1"
    sites.write_device_configuration(sites.devices["Sdoor1"])
    sites.start_device("Sdoor1")
    refused = "Sdoor1 may not subscribe to groupseal/v1/mn-2/"
    wait_until(lambda: refused in sites.brokers["mn-1"].process.text(), 60, "it is refused there")
    answered = sites.send("doors", "shut", "--wait", "3s", "--valid", "120s", check=False)
    assert {stem for stem, outcome in answered.items() if outcome == "done"} == {"Sdoor2", "Sdoor3"}
    assert sites.done("Sdoor1", "shut") == 0

    # With the operator's word it is at home there again, and runs that too.
    sites.move("Sdoor1", "mn-1")
    wait_until(lambda: sites.done("Sdoor1", "shut") == 1, 120, "it is back", every=0.5)
    assert set(sites.groups_of("Sdoor1")) == {"doors", "near"}
    assert sites.send("doors", "last", "--wait", "60s", "--valid", "120s") == dict.fromkeys(stems, "done")
