# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""The authority's store is put back to a backup that is older than the world, as docs/operations.md says: after the
operator's word everybody is back without a new store, and who was evicted since stays out."""

import json
import shutil

from harness.processes import wait_until
from harness.site import Device

BACK_S = 900  # the longest back-off of the MN-CSE, then the devices' silence and back-off; mostly a minute or two


def rows(site):
    """What `in-cse member list` tells, by stem."""
    return {row["name"].rsplit("/", 1)[1]: row for row in json.loads(site.operator("member", "list").stdout)}


def in_group(site):
    return {stem for stem, row in rows(site).items() if row["groups"]}


def backup_put_back(site, backup):
    """Of the present store the evictions file alone is kept, with owner and mode."""
    store = site.store("authority")
    kept = site.folder / "evictions"
    shutil.copy2(store / "evictions", kept)
    shutil.rmtree(store)
    shutil.copytree(backup, store)
    shutil.copy2(kept, store / "evictions")
    assert (store / "evictions").stat().st_mode & 0o777 == 0o600


def send_until(site, payload, done, seconds):
    """Sends a command until these, and nobody else, have done it."""
    def answered():
        outcomes = site.send("doors", payload, "--valid", "10s", check=False)
        return {stem for stem, outcome in outcomes.items() if outcome == "done"} == done
    wait_until(answered, seconds, f"{', '.join(sorted(done))} obey", every=1)


def test_authority_restored(make_site):
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk"), Device("Sdoor3", "door"),
                      Device("Sdoor4", "door", "psk")])
    site.start_all({"doors": "door"})
    backup = site.folder / "backup"
    site.running["secenv-authority"].stop()
    shutil.copytree(site.store("authority"), backup)
    site.start_authority()

    # The world goes on: one is evicted, the key is new, and those who stay obey it; then one is switched off.
    site.operator("member", "evict", "Sdoor3")
    site.operator("group", "rotate", "doors")
    stay = {"Sdoor1", "Sdoor2", "Sdoor4"}
    wait_until(lambda: in_group(site) == {"mn-1", *stay}, 60, "Sdoor3 is out")
    wait_until(lambda: not site.groups_of("Sdoor3"), 60, "Sdoor3 has been told")
    send_until(site, "before", stay, 60)
    before = site.groups_of("Sdoor1")["doors"]["incarnation"]
    site.running["Sdoor4"].stop()

    site.running["in-cse"].stop()
    site.running["secenv-authority"].stop()
    backup_put_back(site, backup)
    site.start_authority()
    site.start_in_cse()
    wait_until(lambda: rows(site)["Sdoor1"]["state"] == "unconfirmed", 60, "the authority has begun anew")
    assert rows(site)["Sdoor3"]["state"] == "evicted"
    site.running["Sdoor2"].stop()
    site.start_device("Sdoor2")

    site.operator("member", "confirm", "--all")
    site.running["in-cse"].stop()
    site.start_in_cse()  # so that the MN-CSE does not wait for the end of its back-off
    site.start_device("Sdoor4")
    send_until(site, "after", stay, BACK_S)
    assert in_group(site) == {"mn-1", *stay}
    for stem in stay:
        assert site.groups_of(stem)["doors"]["incarnation"] > before
    assert site.done("Sdoor3", "before") == site.done("Sdoor3", "after") == 0
    assert rows(site)["Sdoor3"]["state"] == "evicted"
