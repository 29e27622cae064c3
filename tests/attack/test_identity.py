# SPDX-License-Identifier: GPL-3.0-or-later
"""
Credentials that are valid and somebody else's, or of the other mode, on real processes: refused by the counter and for
the reason that they should be, at the end that must, with nothing changed; then the same device with its own.
Certificates: attack/identity, integration/test_refused.py and unit/handshake (`provision` would not take another's).
"""

import json
import time

import pytest

from harness.processes import wait_until
from harness.site import Device

GROUPS = {"doors": "door"}


@pytest.fixture
def start(make_site):
    """One good door, and Sdoor2, which is not started."""
    def make(mode):
        site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", mode), Device("Ssensor1", "sensor", mode)])
        site.start_authority()
        site.add_members()
        site.create_groups(GROUPS)
        site.start_broker()
        site.start_in_cse()
        site.start_secenv("mn")
        site.start_device("Sdoor1")
        site.wait_ready("Sdoor1")
        return site
    return make


def state(site):
    names = ("handshakes_done", "packages_sent", "packages_accepted", "group_keys_made", "groups_created")
    counters = site.audit("authority")["counters"]
    return ([counters[name] for name in names], site.groups_of("authority"),
            json.loads(site.operator("member", "list").stdout))


def at_rest(site):
    """The state when nothing is under way any more of what the others do by themselves: their acknowledgements."""
    def same():
        first = state(site)
        time.sleep(2)
        return first if state(site) == first else None
    return wait_until(same, 20, "the authority is at rest")


def refused(site, side, counter, words):
    """Sdoor2 tries, and `side` refuses."""
    before = at_rest(site)
    site.start_device("Sdoor2")
    wait_until(lambda: site.counter(side, counter) > 0, 20, f"{counter} rises at {side}")
    log = (site.running["secenv-authority"] if side == "authority" else site.running[side]).text()
    assert words in log, log[-3000:]
    assert not site.associated("Sdoor2") and not site.groups_of("Sdoor2")
    assert state(site) == before
    site.running["Sdoor2"].stop()


def succeeds(site, mode):
    """The twin: its own credentials, nothing else is different."""
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", mode, "--replace")
    site.start_device("Sdoor2")
    site.wait_ready("Sdoor2")
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}


def test_pre_shared_key_of_another_device(start):
    """With that one's key and identity, in its own name: each key is of one pair."""
    site = start("psk")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Ssensor1", "psk", "--replace",
                   "--psk-identity", site.devices["Ssensor1"].identity)
    refused(site, "authority", "refused_unknown", "PSK identity")
    site.running["secenv-authority"].stop()
    site.start_authority()
    # And that one's key under its own identity.
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Ssensor1", "psk", "--replace")
    refused(site, "authority", "refused_psk", "Sdoor2")
    succeeds(site, "psk")


@pytest.mark.parametrize("mode, other", [("cert", "psk"), ("psk", "cert")])
def test_the_mode_that_the_roster_does_not_say(start, mode, other):
    site = start(mode)
    site.pki.make(*(("psk", "Sdoor2", "e2e") if other == "psk" else ("device", "Sdoor2")))
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", other, "--replace")
    refused(site, "authority", "refused_hello", "the roster says")
    succeeds(site, mode)
