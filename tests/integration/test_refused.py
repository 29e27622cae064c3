# SPDX-License-Identifier: GPL-3.0-or-later
"""
Credentials that are wrong: refused, nothing changed, the exact reason in the refusing side's log and counter.
Each case's twin, with the right credential, is the same device afterwards.
"""

import json
import time

import pytest

from harness.pki import Pki
from harness.processes import wait_until
from harness.site import IN_CSE, Device

GROUPS = {"doors": "door"}


@pytest.fixture
def site(make_site):
    """One good door, and Sdoor2 that each test gives something wrong."""
    def make(mode):
        site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", mode)])
        site.start_all(GROUPS, "Sdoor1")
        return site
    return make


def state(site):
    """What a refused authentication must not change."""
    audit = site.audit("authority")
    names = ("handshakes_done", "packages_sent", "packages_accepted", "group_keys_made", "records_opened",
             "groups_created")
    members = json.loads(site.operator("member", "list").stdout)
    return [audit["counters"][name] for name in names], site.groups_of("authority"), members


def at_rest(site):
    """The state when nothing is under way any more of what the others do by themselves: their acknowledgements."""
    def same():
        first = state(site)
        time.sleep(2)
        return first if state(site) == first else None
    return wait_until(same, 20, "the authority is at rest")


def refused(site, side, counter, words):
    """Sdoor2 tries; `side` refuses it by this counter and says these words in its log."""
    before = at_rest(site)
    count = site.counter(side, counter)
    site.start_device("Sdoor2")
    wait_until(lambda: site.counter(side, counter) > count, 20, f"{counter} rises at {side}")
    log = (site.running["secenv-authority"] if side == "authority" else site.running[side]).text()
    assert words in log, log[-3000:]
    assert site.counter(side, "handshakes_refused") >= 1
    assert not site.associated("Sdoor2") and not site.groups_of("Sdoor2")
    assert state(site) == before
    site.running["Sdoor2"].stop()


def succeeds(site):
    """The twin: the right credential, nothing else is different."""
    site.start_device("Sdoor2")
    site.wait_ready("Sdoor2")
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}


def test_wrong_ca(site, tmp_path):
    site = site("cert")
    other = Pki(tmp_path / "other")
    other.make("device", "Sdoor2")
    # Its certificate is another CA's; it trusts the right one too.
    with other.e2e_ca.open("ab") as file:
        file.write(site.pki.e2e_ca.read_bytes())
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace", pki=other,
                   crl=False)
    refused(site, "authority", "refused_chain", "Sdoor2")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    succeeds(site)


def test_authority_of_a_wrong_ca(site, tmp_path):
    site = site("cert")
    other = Pki(tmp_path / "other")
    other.make("device", "Sdoor2")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace", pki=other)
    refused(site, "Sdoor2", "refused_chain", "in-cse")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    succeeds(site)


def test_revoked_certificate(site):
    site = site("cert")
    held = site.folder / "held"
    site.pki.file("Sdoor2", "e2e.pem").parent.rename(held)
    site.pki.make("device", "Sdoor2")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    site.pki.make("revoke", "Sdoor2")
    held.rename(site.folder / "pki" / "issued" / "Sdoor2")
    site.running["secenv-authority"].stop()
    site.provision("authority", "in-cse", IN_CSE, "in-cse", "cert", "--replace")
    site.start_authority()
    wait_until(lambda: site.associated("Sdoor1"), 20, "Sdoor1 is associated")
    wait_until(lambda: site.revocations()["members_taken"] == 2, 60, "mn-1 and Sdoor1 have the new list")
    refused(site, "authority", "refused_chain", "revoked")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    succeeds(site)


def test_wrong_psk(site):
    site = site("psk")
    right = site.pki.file("Sdoor2", "e2e.psk").read_text()
    site.pki.file("Sdoor2", "e2e.psk").write_text(right.translate(str.maketrans("0123456789abcdef", "123456789abcdef0")))
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "psk", "--replace")
    refused(site, "authority", "refused_psk", "Sdoor2")
    site.pki.file("Sdoor2", "e2e.psk").write_text(right)
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "psk", "--replace")
    succeeds(site)


def test_unknown_psk(site):
    site = site("psk")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "psk", "--replace",
                   "--psk-identity", "somebody")
    refused(site, "authority", "refused_unknown", "PSK identity")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "psk", "--replace")
    succeeds(site)


def test_wrong_name_of_the_authority(site):
    """Sdoor2 is bound to another IN-CSE: the one that answers is not it, whatever the primitives say."""
    site = site("cert")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace",
                   in_cse="//sp.example/in-cse-2")
    before = at_rest(site)
    site.start_device("Sdoor2")
    wait_until(lambda: site.counter("Sdoor2", "handshakes_started") >= 1, 20, "Sdoor2 has tried")
    assert not site.associated("Sdoor2")
    assert state(site) == before
    site.running["Sdoor2"].stop()
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    succeeds(site)
