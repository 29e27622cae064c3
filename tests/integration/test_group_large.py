# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""A group whose tree has rows below `epoch`, with real processes: 40 devices, an eviction, a device that slept."""

import json
import re

from harness.processes import wait_until
from harness.site import Device

COUNT = 40


def test_forty_devices(make_site):
    devices = [Device(f"Sdoor{number:02}", "door", "psk") for number in range(COUNT)]
    site = make_site(devices)
    site.start_authority()
    site.add_members()
    site.create_groups({"doors": "door"})
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for device in devices:
        site.start_device(device.stem)
    site.wait_ready(seconds=120)
    stems = {device.stem for device in devices}
    assert site.send("doors", "close", "--wait", "60s", "--valid", "120s") == dict.fromkeys(stems, "done")

    # One sleeps while another is evicted and the key is rotated.
    site.running["Sdoor07"].popen.kill()
    site.running["Sdoor07"].popen.wait(60)
    site.operator("member", "evict", "//sp.example/Sdoor30", "--reason", "stolen")
    site.operator("group", "rotate", "doors")
    stems -= {"Sdoor07", "Sdoor30"}
    newest = json.loads(site.operator("group", "show", "doors").stdout)
    assert len(newest["roster"]) == COUNT  # with the MN-CSE, without the one that left
    wait_until(lambda: all(site.groups_of(stem)["doors"]["epoch"] == newest["epoch"] for stem in stems), 60,
               "all climb", every=0.5)
    wait_until(lambda: site.in_no_group("Sdoor30"), 30, "the evicted one has no group", every=0.5)

    def behind():
        """Who has not the newest key, once the MN-CSE has told of it."""
        shown = json.loads(site.operator("group", "show", "doors", "--behind").stdout)
        told = [row["epoch"] for row in shown["holdings"]]
        return {row["name"].rsplit("/", 1)[1] for row in shown["roster"]} if told == [shown["epoch"]] else None
    wait_until(lambda: behind() == {"Sdoor07"}, 120, "the operator sees who sleeps", every=1)
    sent = site.operator("send", "doors", "open", "--wait", "1s", "--valid", "240s", check=False)
    identifier = json.loads(sent.stdout)["command_id"]

    def answered():
        report = json.loads(site.operator("report", identifier, check=False).stdout)
        return {row["name"].rsplit("/", 1)[1]: row["outcome"] for row in report["members"]}
    wait_until(lambda: {stem for stem, outcome in answered().items() if outcome == "done"} == stems, 30,
               "all do it but the one that sleeps", every=0.5)
    assert "Sdoor30" not in answered()

    # Back, it climbs with its old leaf and runs what it missed, once.
    site.start_device("Sdoor07")
    wait_until(lambda: site.done("Sdoor07", "open") == 1, 60, "the sleeper runs the command", every=0.5)
    assert site.groups_of("Sdoor07")["doors"]["epoch"] == newest["epoch"]
    assert site.done("Sdoor30", "open") == 0
    wait_until(lambda: behind() == set(), 120, "nobody is behind", every=1)

    # Nobody heard of the tree but what is on the path of its own leaf.
    log = site.broker.process.text()
    sent = set(re.findall(r"Sending PUBLISH to (Sdoor\d+) .*'groupseal/v1/mn-1/doors/tree/0/(\d+)'", log))
    assert len(sent) == len({stem for stem, _column in sent}) == COUNT
    assert len({column for _stem, column in sent}) == 3
    assert "tree/#" not in log

    # The broker dies and loses all that it retained, while the key changes and two devices have nothing but what is on
    # their disks: the MN-CSE gives it all of it again.
    for name in ("broker", "Sdoor11", "Sdoor35"):
        site.running[name].popen.kill()
        site.running[name].popen.wait(5)
    (site.broker.folder / "data" / "mosquitto.db").unlink(missing_ok=True)
    site.operator("member", "evict", "//sp.example/Sdoor12", "--reason", "stolen")
    stems -= {"Sdoor12"}
    site.start_broker()
    for stem in ("Sdoor11", "Sdoor35"):
        site.start_device(stem)
    epoch = json.loads(site.operator("group", "show", "doors").stdout)["epoch"]
    wait_until(lambda: all(site.groups_of(stem)["doors"]["epoch"] >= epoch for stem in stems), 120,
               "all climb, by what is published anew", every=0.5)
    assert site.send("doors", "shut", "--wait", "60s", "--valid", "120s") == dict.fromkeys(stems | {"Sdoor07"}, "done")
