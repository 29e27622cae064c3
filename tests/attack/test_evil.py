# SPDX-License-Identifier: GPL-3.0-or-later
"""
The broker on the way, live (harness/evil.py): real devices, MN-CSE and IN-CSE, and a broker that withholds, delays,
reorders, repeats, and shows each device a state of its own. What can be done about it is done, and said.
"""

import json
import time

import pytest

from harness.evil import DROP, HOLD, PASS, TWICE, EvilBroker
from harness.processes import free_ports, wait_until
from harness.site import MN_CSE, Device

DOORS = ("Sdoor1", "Sdoor2")


@pytest.fixture
def make(make_site):
    """A site whose devices and IN-CSE all speak through the evil broker, which is honest at first."""
    sites = []

    def made(*names):
        (port,) = free_ports(1)
        site = make_site([Device(name, "door") for name in names], ports={"cert": port})
        site.evil = EvilBroker(site, port)
        sites.append(site)
        return site

    yield made
    for site in sites:
        site.evil.close()


@pytest.fixture
def site(make):
    site = make(*DOORS)
    site.start_all({"doors": "door"})
    return site


def rows(result):
    return {row["name"].rsplit("/", 1)[1]: row for row in json.loads(result.stdout)["members"]}


def report(site, result):
    """What the authority knows now of the command of that send."""
    return rows(site.operator("report", json.loads(result.stdout)["command_id"], check=False))


def becomes(site, sent, outcomes):
    """Sooner or later that is what the authority knows of the command of that send."""
    wait_until(lambda: {name: row["outcome"] for name, row in report(site, sent).items()} == outcomes, 20, str(outcomes))


def order(site, payload, *options):
    """Sends it, and does not stay until all is known."""
    return site.operator("send", "doors", payload, *options, check=False)


def only(device, suffix, fate, up=False):
    """A rule: that fate for what one device gets (says, `up`) on topics that end so."""
    return lambda message: (fate if message.device == device and message.up == up and message.topic.endswith(suffix)
                            else PASS)


def honest(site):
    site.evil.rule = lambda message: PASS


def test_withheld(site):
    """Commands and receipts that do not arrive are reported as no answer; the other door's counts. A command that is
    still valid comes again when the door is back."""
    site.evil.rule = only("Sdoor2", "/cmd", DROP)
    sent = order(site, "close", "--valid", "300s", "--wait", "3s")
    becomes(site, sent, {"Sdoor1": "done", "Sdoor2": "no answer"})
    assert sent.returncode == 4 and site.done("Sdoor2", "close") == 0
    honest(site)  # the twin
    site.evil.cut("Sdoor2")
    wait_until(lambda: site.done("Sdoor2", "close") == 1, 40, "Sdoor2 does it after all")
    wait_until(lambda: report(site, sent)["Sdoor2"]["outcome"] == "done", 20, "the late answer is reported")

    site.evil.rule = only("Sdoor2", "/ack/Sdoor2", DROP, up=True)
    sent = order(site, "open", "--wait", "3s")
    becomes(site, sent, {"Sdoor1": "done", "Sdoor2": "no answer"})
    wait_until(lambda: site.done("Sdoor2", "open") == 1, 20, "Sdoor2 does it all the same")
    honest(site)
    assert site.send("doors", "lock") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert [site.done(name, "close") for name in DOORS] == [1, 1]


def test_delayed(site):
    """Out of its validity a command is not acted on, and the door says why; within it, it is."""
    site.evil.rule = only("Sdoor2", "/cmd", HOLD)
    sent = order(site, "close late", "--valid", "4s", "--wait", "1s")
    expiry = time.monotonic() + 4
    wait_until(lambda: site.evil.held, 10, "the command is held back")
    wait_until(lambda: time.monotonic() > expiry + 1, 10, "it has expired")
    honest(site)
    site.evil.release()
    wait_until(lambda: site.counter("Sdoor2", "commands_refused") == 1, 20, "Sdoor2 does not take it")
    wait_until(lambda: report(site, sent)["Sdoor2"]["outcome"] == "refused", 20, "and says so")
    assert "expired" in report(site, sent)["Sdoor2"]["detail"] and site.done("Sdoor2", "close late") == 0

    site.evil.rule = only("Sdoor2", "/cmd", HOLD)
    sent = order(site, "close soon", "--valid", "60s", "--wait", "1s")
    wait_until(lambda: site.evil.held, 10, "the command is held back")
    honest(site)
    site.evil.release()
    wait_until(lambda: site.done("Sdoor2", "close soon") == 1, 20, "Sdoor2 takes it")


def test_repeated_and_reordered(site):
    """Everything twice, both ways: done once. Two commands in the wrong order: the one passed over is not acted on
    then, and comes again, sealed anew, while it is valid. Old ones said again any number of times: nothing."""
    site.evil.rule = lambda message: TWICE
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}
    wait_until(lambda: site.counter("Sdoor1", "commands_replayed") >= 1, 10, "the second one is known as a repeat")
    assert [site.done(name, "close") for name in DOORS] == [1, 1]
    honest(site)

    site.evil.rule = only("Sdoor2", "/cmd", HOLD)
    for payload in ("first", "second"):
        order(site, payload, "--valid", "120s", "--wait", "1s")
    wait_until(lambda: len(site.evil.held) >= 2, 10, "both are held back")
    honest(site)
    replayed = site.counter("Sdoor2", "commands_replayed")
    site.evil.release(lambda held: held[::-1])
    wait_until(lambda: site.done("Sdoor2", "second") == 1, 20, "the later one is done")
    wait_until(lambda: site.counter("Sdoor2", "commands_replayed") > replayed, 10, "the earlier one is passed over")
    assert site.done("Sdoor2", "first") == 0
    site.evil.cut("Sdoor2")
    wait_until(lambda: site.done("Sdoor2", "first") == 1, 40, "the earlier one comes again")

    before = {name: [site.done(name, payload) for payload in ("close", "first", "second")] for name in DOORS}
    replayed = site.counter("Sdoor1", "commands_replayed")
    old = site.evil.find("Sdoor1", "/cmd")
    for message in old:
        site.evil.give("Sdoor1", message.topic, message.payload)
        site.evil.give("Sdoor1", message.topic, message.payload, retain=True)
    for name in DOORS:
        for message in site.evil.find(name, f"/ack/{name}", up=True):
            site.evil.say(name, message.topic, message.payload)
    wait_until(lambda: site.counter("Sdoor1", "commands_replayed") >= replayed + 1, 10, "repeats are counted")
    assert site.send("doors", "at last") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert {name: [site.done(name, payload) for payload in ("close", "first", "second")] for name in DOORS} == before


def test_old_and_mixed_news(make):
    """Announcement, policy and command of before an eviction, and parts of the old in the new: the epoch stays. A
    device that is shown no policy acts on nothing."""
    site = make(*DOORS, "Sdoor3")
    site.evil.rule = only("Sdoor2", "/policy", DROP)
    site.start_authority()
    site.add_members()
    site.create_groups({"doors": "door"})
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for name in site.devices:
        site.start_device(name)
    site.wait_ready("Sdoor1", "Sdoor3")
    sent = order(site, "close", "--valid", "300s", "--wait", "3s")
    becomes(site, sent, {"Sdoor1": "done", "Sdoor2": "no answer", "Sdoor3": "done"})
    assert site.done("Sdoor2", "close") == 0
    honest(site)  # the twin: with its policy it does what is still valid
    site.evil.cut("Sdoor2")
    wait_until(lambda: site.done("Sdoor2", "close") == 1, 60, "Sdoor2 has its policy, and closes")

    old = {kind: site.evil.find("Sdoor1", f"/{kind}")[-1] for kind in ("epoch", "policy", "cmd")}
    before = site.newest_epoch("doors")
    site.operator("member", "evict", "Sdoor3")
    epoch = site.wait_climbed("doors", "Sdoor1")
    assert epoch > before
    new = site.evil.find("Sdoor1", "/epoch")[-1]
    refused = site.counter("Sdoor1", "announcements_refused")
    half = len(new.payload) // 2
    for payload in (new.payload[:half] + old["epoch"].payload[half:], old["epoch"].payload[:half] + new.payload[half:]):
        site.evil.give("Sdoor1", new.topic, payload, retain=True)
    wait_until(lambda: site.counter("Sdoor1", "announcements_refused") >= refused + 1, 10, "mixed news are refused")
    for message in old.values():
        for retain in (False, True):
            site.evil.give("Sdoor1", message.topic, message.payload, retain)
    assert site.send("doors", "open") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert site.groups_of("Sdoor1")["doors"]["epoch"] == epoch and site.done("Sdoor1", "close") == 1


def test_frozen_news_and_two_states(make):
    """One device is kept in the past while the others go on: it does nothing that is ordered from then on, the report
    says that it does not answer, and after three beats it says itself that news are overdue. The twins: the device
    that is not frozen; and the frozen one, thawed."""
    site = make(*DOORS, "Sdoor3")
    site.start_authority()
    site.add_members()
    site.operator("group", "create", "doors", "--function", "door", "--site", MN_CSE, "--beat", "5s")
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for name in site.devices:
        site.start_device(name)
    site.wait_ready()
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}
    epoch = site.wait_climbed("doors", *site.devices)

    def frozen(message):
        news = "/epoch" in message.topic or "/tree/" in message.topic or "/policy" in message.topic
        return DROP if news and message.device == "Sdoor2" else PASS
    site.evil.rule = frozen
    site.operator("member", "evict", "Sdoor3")
    assert site.wait_climbed("doors", "Sdoor1") > epoch
    sent = order(site, "open", "--valid", "600s", "--wait", "3s")
    becomes(site, sent, {"Sdoor1": "done", "Sdoor2": "no answer"})
    wait_until(lambda: site.groups_of("Sdoor2")["doors"]["overdue"], 60, "Sdoor2 says that news are overdue")
    assert "overdue" in site.running["Sdoor2"].text()
    assert site.groups_of("Sdoor2")["doors"]["epoch"] == epoch and site.done("Sdoor2", "open") == 0
    honest(site)
    wait_until(lambda: site.groups_of("Sdoor2")["doors"]["epoch"] > epoch, 90, "Sdoor2 has caught up by itself")
    wait_until(lambda: not site.groups_of("Sdoor2")["doors"]["overdue"], 20, "news are no longer overdue")
    assert site.send("doors", "lock") == {"Sdoor1": "done", "Sdoor2": "done"}
    site.evil.cut("Sdoor2")
    wait_until(lambda: site.done("Sdoor2", "open") == 1, 40, "what is still valid comes again")


def test_everything_twice_from_the_start(make):
    """Also flights and records: one authentication each, nobody refused."""
    site = make(*DOORS)
    site.evil.rule = lambda message: TWICE
    site.start_all({"doors": "door"})
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert [site.done(name, "close") for name in DOORS] == [1, 1]
    assert all(site.counter(name, "handshakes_done") == 1 for name in DOORS)
