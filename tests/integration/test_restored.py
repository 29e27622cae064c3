# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""Stores are put back to backups that are older than the world, as docs/operations.md says: after the operator's word
everybody is back without a new store, and who was evicted since stays out."""

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


def put_back(store, backup):
    shutil.rmtree(store)
    shutil.copytree(backup, store)


def authority_put_back(site, backup):
    """Of the present store the evictions file alone is kept, with owner and mode."""
    store = site.store("authority")
    kept = site.folder / "evictions"
    shutil.copy2(store / "evictions", kept)
    put_back(store, backup)
    shutil.copy2(kept, store / "evictions")
    assert (store / "evictions").stat().st_mode & 0o777 == 0o600


def obey(site, payload, stems):
    """A command reaches these, and nobody else."""
    def answered():
        outcomes = site.send("doors", payload, "--valid", "10s", check=False)
        return {stem for stem, outcome in outcomes.items() if outcome == "done"} == stems
    wait_until(answered, 60, f"{', '.join(sorted(stems))} obey", every=2)


def back(site, stems, before):
    """They have begun anew with the authority: a higher incarnation, and synchronised in it."""
    def in_it(stem):
        group = site.groups_of(stem).get("doors")
        return group and group["incarnation"] > before["incarnation"] and group["synchronised"]
    for stem in stems:
        wait_until(lambda stem=stem: in_it(stem), BACK_S, f"{stem} is back", every=0.5)


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
    obey(site, "before", stay)
    before = site.groups_of("Sdoor1")["doors"]
    site.running["Sdoor4"].stop()

    site.running["in-cse"].stop()
    site.running["secenv-authority"].stop()
    authority_put_back(site, backup)
    site.start_authority()
    site.start_in_cse()
    wait_until(lambda: rows(site)["Sdoor1"]["state"] == "unconfirmed", 60, "the authority has begun anew")
    assert rows(site)["Sdoor3"]["state"] == "evicted"
    site.running["Sdoor2"].stop()
    site.start_device("Sdoor2")

    site.operator("member", "confirm", "--all")  # the MN-CSE does not wait for the end of its back-off
    site.start_device("Sdoor4")
    back(site, stay, before)
    obey(site, "after", stay)
    assert in_group(site) == {"mn-1", *stay}
    assert site.done("Sdoor3", "before") == site.done("Sdoor3", "after") == 0
    assert rows(site)["Sdoor3"]["state"] == "evicted"


def test_site_restored(make_site):
    """The MN-CSE's store is as old as the authority's: only the devices have heard more, and one of them says so."""
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    both = {"Sdoor1", "Sdoor2"}
    site.start_all({"doors": "door"})
    stores = {name: site.folder / f"backup-{name}" for name in ("authority", "mn")}
    site.running["in-cse"].stop()
    for name, backup in stores.items():
        site.running[f"secenv-{name}"].stop()
        shutil.copytree(site.store(name), backup)
    site.start_authority()
    site.start_secenv("mn")
    site.start_in_cse()
    for _ in range(3):
        epoch = site.groups_of("Sdoor1")["doors"]["epoch"]
        site.operator("group", "rotate", "doors")
        wait_until(lambda epoch=epoch: site.groups_of("Sdoor1")["doors"]["epoch"] > epoch, 60, "a new key")
    obey(site, "before", both)
    before = site.groups_of("Sdoor1")["doors"]

    site.running["in-cse"].stop()
    site.running["broker"].stop()
    for name, backup in stores.items():
        site.running[f"secenv-{name}"].stop()
        put_back(site.store(name), backup)
    site.start_authority()
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    wait_until(lambda: rows(site)["Sdoor1"]["state"] == "unconfirmed", BACK_S, "a device has told what it has heard")
    assert site.groups_of("Sdoor1")["doors"]["epoch"] == before["epoch"]
    site.operator("member", "confirm", "--all")
    back(site, both, before)
    obey(site, "after", both)
