# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""Stores that are damaged, closed, another's, or on a disk that is full or read-only: each is told with what, where
and what to do; nothing is overwritten; and a fleet goes on when the fault is gone."""

import hashlib
import os
import shutil
import subprocess

import pytest
from harness.processes import run, wait_until
from harness.site import Device
from test_secenv_service import Secenv

as_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and owners are root's to set")


@pytest.fixture
def mounted():
    """Mounts small disks in memory; takes them away at the end."""
    places = []

    def mount(place, *options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["mode=700", *options]), "tmpfs", place], check=True)
        places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(params=["member", "authority"])
def secenv(request, build, processes, tmp_path, pki):
    made = Secenv(build, processes, tmp_path)
    if request.param == "member":
        made.provision_psk("Sdoor1")
    else:
        made.provision_authority(pki)
    return made


def digest(secenv):
    """Of all that is in the store, and how it is protected."""
    whole = hashlib.sha256()
    for file in sorted(secenv.store.iterdir()):
        state = file.stat()
        whole.update(f"{file.name} {state.st_mode:o} {state.st_uid}".encode())
        whole.update(file.read_bytes())
    return whole.hexdigest()


def not_run(secenv, *texts):
    """It does not start, says all of these, and leaves everything as it is."""
    before = digest(secenv)
    result = run(secenv.arguments("--owner-socket", secenv.path("owner")), check=False, seconds=10)
    assert result.returncode == 1
    for text in (str(secenv.store), *texts):
        assert text in result.stderr, result.stderr
    assert digest(secenv) == before


def refused(secenv, *texts):
    """The same; neither does provisioning touch it."""
    not_run(secenv, *texts)
    before = digest(secenv)
    result = secenv.provision("--id", "//sp.example/Sother", "--kind", "adn-ae", "--in-cse", "//sp.example/in-cse",
                              "--mode", "psk", "--psk-file", "/dev/null", check=False)
    assert result.returncode != 0
    assert digest(secenv) == before


def starts(secenv):
    secenv.start()
    secenv.process.stop()


def test_damaged_and_truncated(secenv):
    database = secenv.store / "store.db"
    whole = database.read_bytes()
    for content in (whole[:5000], whole[:4096], b"x" * 4096, whole[:100] + os.urandom(3000) + whole[3100:]):
        database.write_bytes(content)
        refused(secenv, "restore it from a backup")
    database.write_bytes(whole)
    starts(secenv)


def test_gone(secenv):
    for name, told in (("store.db", not_run), ("root.key", refused)):
        kept = (secenv.store / name).read_bytes()
        (secenv.store / name).unlink()
        told(secenv)
        assert not (secenv.store / name).exists()
        (secenv.store / name).write_bytes(kept)
        (secenv.store / name).chmod(0o600)
    starts(secenv)


def test_another_root_key(secenv):
    key = secenv.store / "root.key"
    right = key.read_bytes()
    key.write_bytes(os.urandom(32))
    refused(secenv, "root key")
    key.write_bytes(right[:31])
    refused(secenv, "root.key")
    key.write_bytes(right)
    starts(secenv)


@as_root
def test_open_to_others_and_of_another_user(secenv):
    for name in ("store.db", "root.key"):
        file = secenv.store / name
        file.chmod(0o640)
        refused(secenv, "chmod")
        file.chmod(0o600)
        os.chown(file, 65534, 65534)
        refused(secenv, "chown" if os.getuid() else "")
        os.chown(file, 0, 0)
    starts(secenv)


def test_two_processes(secenv):
    secenv.start()
    result = run(secenv.arguments("--owner-socket", secenv.path("second")), check=False, seconds=10)
    assert result.returncode == 1 and str(secenv.store) in result.stderr and "process" in result.stderr
    assert secenv.process.running()
    secenv.process.stop()
    starts(secenv)


@as_root
def test_read_only(secenv, mounted):
    kept = secenv.folder / "kept"
    secenv.store.rename(kept)
    secenv.store.mkdir(mode=0o700)
    mounted(secenv.store, "size=2m")
    for file in kept.iterdir():
        shutil.copy2(file, secenv.store)
    subprocess.run(["mount", "-o", "remount,ro", secenv.store], check=True)
    refused(secenv, "ead-only")
    subprocess.run(["mount", "-o", "remount,rw", secenv.store], check=True)
    starts(secenv)


# -- a disk that is full while everything runs -------------------------------------------------------------------


def on_small_disk(site, name, mounted):
    """Moves a store that nobody has open to a disk of its own; returns a function that fills it, and one that makes
    room again."""
    store = site.store(name)
    kept = store.with_name(f"{name}-kept")
    store.rename(kept)
    store.mkdir(mode=0o700)
    mounted(store, "size=4m")
    for file in kept.iterdir():
        shutil.copy2(file, store)
    filler = store / "filler"

    def fill():
        with filler.open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                pass

    return fill, filler.unlink


def site_with_full_disk(make_site, mounted, name):
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    fill, room = on_small_disk(site, name, mounted)
    site.start_all({"doors": "door"})
    assert site.send("doors", "first", "--wait", "20s") == {"Sdoor1": "done", "Sdoor2": "done"}
    return site, fill, room


def goes_on(site):
    site.wait_ready()
    assert site.send("doors", "third", "--wait", "60s", "--valid", "120s") == {"Sdoor1": "done", "Sdoor2": "done"}
    for stem in ("Sdoor1", "Sdoor2"):
        assert site.done(stem, "first") == 1 and site.done(stem, "third") == 1 and site.done(stem, "second") <= 1


@as_root
def test_full_disk_of_the_authority(make_site, mounted):
    site, fill, room = site_with_full_disk(make_site, mounted, "authority")
    fill()
    said = ""
    for number in range(200):  # what fits into the pages that the database has already is still taken
        result = site.operator("member", "add", f"//sp.example/Sother{number}", "--kind", "adn-ae", "--mode", "psk", "--psk-file",
                               site.pki.file("Sdoor2", "e2e.psk"), "--psk-identity", f"other{number}",
                               "--site", "//sp.example/mn-1", "--function", "door", check=False)
        if result.returncode != 0:
            said = result.stderr
            break
    assert "full" in said + site.running["secenv-authority"].text(), said
    room()
    # It ends by itself: what is in memory would be ahead of the disk. systemd starts it again.
    wait_until(lambda: not site.running["secenv-authority"].running(), 10, "the authority's secenv ends")
    site.start_authority()
    goes_on(site)


@as_root
def test_full_disk_of_the_mn_cse(make_site, mounted):
    site, fill, room = site_with_full_disk(make_site, mounted, "mn")
    fill()
    log = site.running["secenv-mn"]
    for number in range(60):
        site.send("doors", f"second {number}" + "x" * 8000, "--wait", "1s", "--valid", "120s", check=False)
        if "full" in log.text():
            break
    assert "full" in log.text()
    room()
    wait_until(lambda: not log.running(), 10, "the MN-CSE's secenv ends")
    site.start_secenv("mn")
    goes_on(site)


@as_root
def test_full_disk_of_a_device(make_site, mounted):
    site, fill, room = site_with_full_disk(make_site, mounted, "Sdoor1")
    site.running["Sdoor1"].popen.kill()
    site.running["Sdoor1"].popen.wait(60)
    wait_until(lambda: site.audit("Sdoor1")["identities"] == [], 10, "its secure environment has ended")
    fill()
    device = site.start_device("Sdoor1")
    wait_until(lambda: "full" in device.text(), 20, "it says that the disk is full")
    assert site.send("doors", "second", "--wait", "3s", "--valid", "5s", check=False).get("Sdoor1") != "done"
    room()
    goes_on(site)
