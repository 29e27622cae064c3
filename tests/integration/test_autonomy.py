# SPDX-License-Identifier: GPL-3.0-or-later
"""Local autonomy: sensors report smoke, and the MN-CSE closes the doors by a rule, with the IN-CSE switched off."""

import json
import re

from harness.processes import REPOSITORY, wait_until
from harness.site import MN_CSE, Device

DEVICES = [Device("Ssensor1", "sensor"), Device("Ssensor2", "sensor", "psk"), Device("Sdoor1", "door", "psk"),
           Device("Sext1", "extinguisher")]


def example():
    """The rules that the operations guide shows."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    return re.search(r"^    # /etc/groupseal/rules.json\n((?:    .*\n)+)", text, re.MULTILINE).group(1)


def test_fire_without_the_in_cse(make_site, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(example())
    names = [rule["name"] for rule in json.loads(rules.read_text())["rules"]]
    assert names == ["fire"]
    site = make_site(DEVICES)
    site.broker.plugin |= {"commander": "mn-cse", "rules": rules}
    site.start_authority()
    site.add_members()
    site.operator("group", "create", "sensors", "--function", "sensor", "--site", MN_CSE, "--sign-messages")
    for group, function in (("doors", "door"), ("extinguishers", "extinguisher")):
        site.operator("group", "create", group, "--function", function, "--site", MN_CSE, "--mn-cse-commands")
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for stem in site.devices:
        site.start_device(stem)
    site.wait_ready()
    site.wait_relay("sensors", "doors", "extinguishers")

    for name in ("in-cse", "secenv-authority"):
        site.running[name].stop()
    site.say("Ssensor1", "sensors", '{"smoke": 80}')
    site.say("Ssensor1", "sensors", '{"smoke": 90}')
    wait_until(lambda: site.counter("mn", "messages_opened") >= 2, 20, "the MN-CSE has opened both")
    assert site.counter("mn", "commands_own") == 0  # one sensor is not enough
    site.say("Ssensor2", "sensors", '{"smoke": 75}')
    wait_until(lambda: site.done("Sdoor1", "close") == 1 and site.done("Sext1", "start") == 1, 20,
               "door and extinguisher have done it")
    log = site.broker.process.text
    wait_until(lambda: "a command of this MN-CSE to doors: of 1 members 1 have done it, 0 have not answered" in log(),
               20, "its receipts are told")
    assert 'rule fire: "close" to group doors' in log()
    assert site.counter("mn", "commands_own") == 2
    # It is not given again while the fire lasts.
    site.say("Ssensor1", "sensors", '{"smoke": 99}')
    wait_until(lambda: site.counter("mn", "messages_opened") >= 4, 20, "the MN-CSE has opened it")
    assert site.counter("mn", "commands_own") == 2 and site.done("Sdoor1", "close") == 1

    # Back, the IN-CSE hears of both, and the operator can see them.
    site.start_authority()
    in_cse = site.start_in_cse()

    def told():
        named = r"//sp.example/mn-1 has given group (\w+) a command by itself: `in-cse report (\w+)`"
        return re.findall(named, in_cse.text())
    wait_until(lambda: len(told()) == 2, 90, "the IN-CSE hears of both")
    assert {group for group, _identifier in told()} == {"doors", "extinguishers"}

    listed = json.loads(site.operator("report").stdout)
    assert {(row["command_id"], row["group"], row["commander"]) for row in listed} == {
        (identifier, group, MN_CSE) for group, identifier in told()}

    def reported(identifier):
        return json.loads(site.operator("report", identifier, check=False).stdout)
    for group, identifier in told():
        stem = {"doors": "Sdoor1", "extinguishers": "Sext1"}[group]
        wait_until(lambda of=identifier: reported(of)["done"] == 1, 60, f"{stem} has done it", every=0.5)
        report = reported(identifier)
        assert report["commander"] == MN_CSE and [row["name"] for row in report["members"]] == [f"//sp.example/{stem}"]


def test_rules_and_authority_only_exclude_each_other(make_site, tmp_path):
    """Groups of the tool's default: the rule is told to be useless, its command is refused, nothing is done."""
    rules = tmp_path / "rules.json"
    rules.write_text(example().replace('"devices": 2', '"devices": 1'))
    site = make_site([Device("Ssensor1", "sensor"), Device("Sdoor1", "door", "psk")])
    site.broker.plugin |= {"commander": "mn-cse", "rules": rules}
    site.start_authority()
    site.add_members()
    site.operator("group", "create", "sensors", "--function", "sensor", "--site", MN_CSE, "--sign-messages")
    site.create_groups({"doors": "door"})
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for stem in site.devices:
        site.start_device(stem)
    site.wait_ready()
    site.wait_relay("sensors", "doors")
    site.say("Ssensor1", "sensors", '{"smoke": 80}')
    log = site.broker.process.text
    wait_until(lambda: "rule fire: its command to doors is refused" in log(), 20, "it is refused")
    assert site.counter("mn", "commands_own") == 0 and site.done("Sdoor1", "close") == 0
    assert site.send("doors", "close") == {"Sdoor1": "done"}
    # One change of the policy later the same rule closes it.
    site.operator("group", "set", "doors", "--mn-cse-commands")
    assert json.loads(site.operator("group", "show", "doors").stdout)["authority_only"] is False

    def heard():
        relay, door = site.groups_of("mn")["doors"], site.groups_of("Sdoor1")["doors"]
        return relay["commander"] and relay["epoch"] == door["epoch"] and door["synchronised"]
    wait_until(heard, 30, "all have heard of it")
    site.say("Ssensor1", "sensors", '{"smoke": 0}')

    def closed():
        site.say("Ssensor1", "sensors", '{"smoke": 90}')
        site.say("Ssensor1", "sensors", '{"smoke": 0}')
        return site.done("Sdoor1", "close") >= 2
    wait_until(closed, 40, "the rule closes the door", every=2)
