# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong elsewhere (docs/development.md): each report has its tests, and those that no other file has are here."""

import json
import re

import pytest
from harness.processes import REPOSITORY, wait_until
from harness.site import Device
from test_plugin_broker import (GROUP, IN_CSE, MN_CSE, broker, connect, credentials, door, in_cse, member,  # noqa: F401
                                secenv, seci, sockets)

REPORTS = ("M1 M2 M4 M6 M7 M8 M9 M10 M12 M13 M14 M16 M17 M18 M19 M20 M21 C2 C3 C4 C5 C6 C7 C8 "
           "G1 G6 G11 G14 G22 G23").split()


def rows():
    text = (REPOSITORY / "docs" / "development.md").read_text()
    return {name: re.findall(r"`([^`]+)`", tests)
            for name, tests in re.findall(r"^\| ([MCG]\d+), .*\|([^|]*)\|$", text, re.MULTILINE)}


@pytest.mark.parametrize("report", REPORTS)
def test_each_report_has_its_tests(report):
    tests = rows()[report]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        text = (REPOSITORY / "tests" / file).read_text()
        assert re.search(rf"\b{name}\b", text), test


def test_m13_a_queue_of_one(make_site):
    """The broker keeps one message for who is away, and drops the rest: the device has the newest key all the same,
    and acts once on each command that is still valid."""
    site = make_site([Device("Sdoor1", "door", "psk"), Device("Sdoor2", "door", "psk")])
    site.broker.foreign_lines.append("max_queued_messages 1")
    site.start_all({"doors": "door"})
    site.running["Sdoor1"].kill()
    for text in ("first", "second", "third"):
        site.operator("send", "doors", text, "--valid", "120s", "--wait", "0")
        wait_until(lambda text=text: site.done("Sdoor2", text) == 1, 20, "the other acts on it")
    epoch = site.groups_of("Sdoor2")["doors"]["epoch"]
    site.operator("group", "rotate", "doors")
    wait_until(lambda: site.groups_of("Sdoor2")["doors"]["epoch"] > epoch, 20, "the other has the new key")
    site.start_device("Sdoor1")
    site.wait_ready("Sdoor1")
    wait_until(lambda: site.groups_of("Sdoor1")["doors"]["epoch"] == site.groups_of("Sdoor2")["doors"]["epoch"], 30,
               "the device has the newest key")
    wait_until(lambda: all(site.done("Sdoor1", text) for text in ("first", "second", "third")), 60, "all commands ran")
    assert [site.done("Sdoor1", text) for text in ("first", "second", "third")] == [1, 1, 1]


def works(in_cse, rqi):  # noqa: F811
    """The plugin asks its secenv for this, which answers."""
    in_cse.request(rqi, MN_CSE, IN_CSE, pc=seci(b"object"))
    return in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")["rsc"]


def test_m17_a_secenv_that_lies(in_cse, door, secenv, broker):  # noqa: F811
    """Whatever it says: broker and relay go on, and it is served again when it is in its right mind."""
    pb = secenv.pb
    assert works(in_cse, "q1") == 2000
    # What it may not say, and what is nonsense.
    secenv.event(send=pb.Send(token=1, to="//sp.example/Sdoor1/../x", object=b"x" * 60000))
    secenv.event(publish=pb.Publish(site="another", group="doors", kind=pb.TOPIC_COMMAND, payload=b"x"))
    secenv.event(publish=pb.Publish(site="mn-1", group="../#", kind=pb.TOPIC_COMMAND, payload=b"x"))
    secenv.event(roster=pb.RosterEvent(group="do+rs", site="mn-1", members=["//sp.example/#", ""], pages=9))
    identity, secenv.identity = secenv.identity, "//sp.example/mn-2"
    secenv.roster("doors", ["//sp.example/Sspy1"])
    secenv.identity = identity
    assert works(in_cse, "q2") == 2000
    # No message at all; then an answer to what nobody asked. Each ends the connection, and a new one is made.
    for number, packet in enumerate((b"\xff" * 100, None)):
        if packet is None:
            answer = pb.FromSecenv()
            answer.reply.id = 99999
            packet = answer.SerializeToString()
        secenv.connected.clear()
        secenv.connection.send(packet)
        door.request(f"d{number}", IN_CSE, "//sp.example/Sdoor1", pc=seci(b"up"))
        assert json.loads(in_cse.next("/oneM2M/req/mn-1/in-cse/json").payload)["fr"] == "//sp.example/Sdoor1"
        assert secenv.connected.wait(60)
        assert works(in_cse, f"q3{number}") == 2000
    assert not door.subscribe(f"{GROUP}/cmd")  # of no roster that it lied about came anything
    member(secenv, door)
    assert broker.process.running()
