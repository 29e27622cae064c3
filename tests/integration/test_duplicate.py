# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that the broker sends twice (QoS 1: the acknowledgement was lost) runs once."""

import json

from harness.processes import free_ports, wait_until
from harness.relay import Relays
from harness.site import Device
from harness.tap import GIVEN, Tap


def test_lost_acknowledgement(make_site):
    (port,) = free_ports(1)
    site = make_site([Device("Sdoor1", "door")], tap=True)
    # The door alone connects through a relay that can hold what it says.
    site.ports["cert"] = port
    site.write_device_configuration(site.devices["Sdoor1"])
    relay = Relays([(port, site.broker.certificate_port)])
    site.start_all({"doors": "door"})

    relay.hold(True)
    sending = site.start("sending", [site.build / "bin" / "in-cse", "send", "doors", "close", "--valid", "60s", "--wait", "60s",
                                     "--config", site.configuration("in-cse"), "--json"])
    wait_until(lambda: site.done("Sdoor1", "close") == 1, 15, "the door has closed")
    relay.cut()
    relay.hold(False)

    def copies():
        return [record for record in Tap(site.tap).read()
                if record.access == GIVEN and record.topic.endswith("/doors/cmd") and record.user == "Sdoor1"]

    wait_until(lambda: len(copies()) > len({record.payload for record in copies()}), 30,
               "the broker has sent the same bytes again")
    wait_until(lambda: not sending.running(), 70, "the report is complete")
    rows = json.loads(sending.out.read_text().splitlines()[-1])["members"]
    assert [row["outcome"] for row in rows] == ["done"]
    wait_until(lambda: site.counter("Sdoor1", "commands_duplicate") + site.counter("Sdoor1", "commands_replayed") >= 1,
               20, "the door knows the repeat as one")
    assert site.counter("Sdoor1", "commands_opened") == 1
    assert site.done("Sdoor1", "close") == 1
    relay.close()
