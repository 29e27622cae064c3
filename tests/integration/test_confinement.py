# SPDX-License-Identifier: GPL-3.0-or-later
"""
secenv is confined: real processes of both profiles, as services and embedded, do all their work under the filter of
system calls (every other test of a site shows that too), and one that makes another call is ended by SIGSYS. All the
calls, one by one, are in unit/service_confinement.c.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from harness.processes import run
from harness.site import Device


def status(pid):
    return Path(f"/proc/{pid}/status").read_text()


def filters(pid):
    """How many filters of system calls the process has: a container gives all of its own one already."""
    return int(re.search(r"^Seccomp_filters:\t([0-9]+)$", status(pid), re.MULTILINE).group(1))


def secenv_of(device):
    """The pid of the secure environment that adn-ae has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{device.pid}\n" in status(folder.name) and folder.joinpath("comm").read_text() == "secenv\n":
                return int(folder.name)
        except FileNotFoundError:
            continue  # it has ended meanwhile
    return pytest.fail(f"{device.name} has no secenv")


@pytest.fixture
def site(make_site):
    site = make_site([Device("Sdoor1", "door", "cert"), Device("Sdoor2", "door", "psk")])
    site.start_all({"doors": "door"})
    return site


def confined(site):
    """The pids of all secure environments of the site."""
    return {"authority": site.running["secenv-authority"].pid, "mn": site.running["secenv-mn"].pid,
            **{stem: secenv_of(site.running[stem]) for stem in site.devices}}


def test_all_work_is_done_under_the_filter(site):
    processes = confined(site)
    for name, pid in processes.items():
        assert filters(pid) == filters(site.running["in-cse"].pid) + 1, name
        assert "NoNewPrivs:\t1" in status(pid), name
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}
    for pid in processes.values():  # waiting is taken up again
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
    site.say_until_heard("Sdoor1", "doors", "it is warm", ["Sdoor2"])
    site.operator("member", "evict", "Sdoor2")  # writes the evictions file
    assert (site.store("authority") / "evictions").read_text().count("\n") == 1
    assert site.send("doors", "open") == {"Sdoor1": "done"}
    assert confined(site) == processes  # none has ended and been started again
    for name in ("authority", "mn"):
        assert site.running[f"secenv-{name}"].stop() == 0
        assert not (site.store(name) / "store.db-wal").exists()  # closed as it should be


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can reach into secenv")
@pytest.mark.parametrize("name", ["authority", "mn"])
def test_a_running_one_is_ended(site, name):
    """What somebody could do who has taken it over: it is made to call, by a debugger."""
    secenv = site.running[f"secenv-{name}"]

    def calls(expression):
        return run(["gdb", "-p", str(secenv.pid), "-batch", "-nx", "-ex", f"print {expression}"], check=False).stdout

    assert f"$1 = {secenv.pid}\n" in calls("(int)getpid()")
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert "SIGSYS" in calls("(int)socket(1, 5, 0)")
    assert secenv.popen.wait(60) == -signal.SIGSYS


def test_what_it_holds_open(site):
    """Nothing that it would not need: no file but the store's, no socket but its own."""
    for name, pid in confined(site).items():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(link)
            except FileNotFoundError:
                continue  # the connection of an earlier question has just been closed
            if int(link.name) > 2 and not target.startswith(("socket:", "anon_inode:[signalfd]", "/dev/urandom")):
                assert Path(target).parent == site.store(name), f"{name}: {target}"
