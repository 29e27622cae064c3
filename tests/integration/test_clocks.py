# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""The clocks of real secure environments are ten years off after a start: what must go on goes on, what must fail says
why. (Steps while they run, and devices: unit/authority_clock and crash/copies, with a clock of the test's. libfaketime
reads a file for a step, which the confinement forbids, and the timers of the agents do not run under it.)"""

import json
from pathlib import Path

import pytest
from harness.processes import clean_environment, wait_until
from harness.site import Device

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
DAYS = {"ahead": "+3652d", "behind": "-3652d"}

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime (package faketime) is not here")


def off(direction):
    """The environment of a process whose clock is off; the monotonic one is as it was."""
    return clean_environment() | {"LD_PRELOAD": str(LIBRARY), "FAKETIME": DAYS[direction],
                                  "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def site(make_site):
    made = make_site([Device("Sdoor1", "door", "psk"), Device("Sdoor2", "door", "psk")])
    made.start_all({"doors": "door"}, "Sdoor1")
    assert closed(made, "Sdoor1")
    return made


def closed(site, *doors):
    """A command; true where each of these doors has carried it out."""
    outcomes = site.send("doors", "close", check=False)
    return all(outcomes.get(door) == "done" for door in doors)


def wait_closed(site, *doors):
    wait_until(lambda: closed(site, *doors), 60, f"{', '.join(doors)} close", every=1)


def clock(site):
    return json.loads(site.operator("clock", "show").stdout)["state"]


@pytest.mark.parametrize("direction", DAYS)
def test_authority(site, direction):
    """The alarm says so, the doors close, one that comes gets in; with the clock put right it is followed again."""
    site.running["secenv-authority"].stop()
    process = site.start_authority(env=off(direction))
    wait_until(lambda: "which does not follow on what was signed" in process.text(), 30, "the alarm")
    assert clock(site) == "doubted"
    wait_closed(site, "Sdoor1")
    site.start_device("Sdoor2")
    site.wait_ready("Sdoor2")
    wait_closed(site, "Sdoor1", "Sdoor2")
    process.stop()
    process = site.start_authority()
    wait_until(lambda: clock(site) == "followed", 30, "it is followed again")
    wait_closed(site, "Sdoor1", "Sdoor2")
    assert "ALARM" not in process.text()


def test_mn_cse_ahead(site):
    """It takes no order, since each has expired by its clock, and says so; then it does again."""
    site.running["secenv-mn"].stop()
    site.start_secenv("mn", env=off("ahead"))

    def refused():
        result = site.operator("send", "doors", "close", check=False)
        return "has expired by the clock of this MN-CSE" in result.stdout + result.stderr
    wait_until(refused, 60, "an order is refused for its time", every=1)
    site.running["secenv-mn"].stop()
    site.start_secenv("mn")
    wait_closed(site, "Sdoor1")


def test_mn_cse_behind(site):
    site.running["secenv-mn"].stop()
    site.start_secenv("mn", env=off("behind"))
    wait_closed(site, "Sdoor1")
