# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""Each process killed with SIGKILL and started again, in every order: the fleet works again by itself."""

import itertools

import pytest

from harness.processes import run, wait_until
from harness.site import Device

PARTS = ("secenv-authority", "secenv-mn", "broker", "in-cse", "devices")


class Fleet:
    def __init__(self, site):
        self.site = site
        self.count = 0
        site.start_all({"doors": "door"})

    def start(self, part):
        if part == "devices":
            for stem in self.site.devices:
                self.site.start_device(stem)
            return
        {"secenv-authority": self.site.start_authority, "secenv-mn": lambda: self.site.start_secenv("mn"),
         "broker": self.site.start_broker, "in-cse": self.site.start_in_cse}[part]()

    def kill(self, part):
        # The embedded secure environment of a killed device ends by itself: its socket has closed.
        for name in self.site.devices if part == "devices" else (part,):
            self.site.running[name].kill()

    def works(self, what):
        """A command is carried out, once, by every door."""
        self.count += 1
        payload = f"close {self.count}"

        def done():
            outcomes = self.site.send("doors", payload, "--valid", "20s", "--wait", "3s", check=False)
            return outcomes == {stem: "done" for stem in self.site.devices}

        wait_until(done, 90, f"commands work after {what}", every=0.5)
        for stem in self.site.devices:
            assert self.site.done(stem, payload) >= 1


@pytest.fixture
def fleet(make_site):
    return Fleet(make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")]))


def test_each_alone(fleet):
    for part in PARTS:
        fleet.kill(part)
        fleet.start(part)
        fleet.works(f"{part} was killed")


def test_embedded_secenv(fleet):
    """Only the secure environment of a device is killed: the device starts it again."""
    children = run(["pgrep", "-P", fleet.site.running["Sdoor1"].pid]).stdout.split()
    assert len(children) == 1
    run(["kill", "-KILL", children[0]])
    fleet.works("the secure environment of Sdoor1 was killed")
    assert fleet.site.running["Sdoor1"].running()


@pytest.mark.parametrize("first", PARTS)
def test_all_in_every_order(fleet, first):
    """All five are killed in each order, and started again in each, too (the reverse of it)."""
    for rest in itertools.permutations([part for part in PARTS if part != first]):
        order = (first, *rest)
        for part in order:
            fleet.kill(part)
        for part in reversed(order):
            fleet.start(part)
        fleet.works(f"{', '.join(order)} were killed")
