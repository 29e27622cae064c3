# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""A million messages through mn_cse.so, published by it and passed on by it: the broker's memory stays as it was."""

import re
import signal
from pathlib import Path

from harness.processes import run, wait_until
from test_coexistence import (USERS, arrives, choices, connect, existing, pki, request, secenv)  # noqa: F401
from test_plugin_broker import DOOR, GROUP

MILLION = 1000000
WARM = 100000
GROWTH_KIB = 4096  # of a heap that is cut anew; a leak of 8 bytes a message is twice that


def resident_kib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))


def publications(existing):
    """The plugin's own count, which SIGHUP writes into the log."""
    before = existing.process.text().count("counters:")
    existing.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: existing.process.text().count("counters:") > before, 20, "it writes its counters")
    return int(re.findall(r"publications[ =](\d+)", existing.process.text())[-1])


def published(existing, secenv, count):
    """secenv has the plugin publish so many commands."""
    first = publications(existing)
    for _ in range(count):
        secenv.publish(secenv.pb.TOPIC_COMMAND, b"x" * 200)
    wait_until(lambda: publications(existing) >= first + count, 120, "all are published", every=1)


def test_memory_is_flat(existing, connect, secenv, processes, build):
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)[:1] + ["allow_anonymous true", "max_queued_messages 100"]
    existing.log = ["log_type error", "log_type warning", "log_type information"]
    existing.start()
    assert secenv.connected.wait(60)
    secenv.roster("doors", [DOOR])
    door = connect("Sdoor1")
    wait_until(lambda: door.subscribe(f"{GROUP}/cmd"), 10, "the roster is taken")
    door.stop()
    processes.start("reader", ["mosquitto_sub", "-p", existing.ports["password"], "-u", "Sdoor1", "-P", "correct horse",
                               "-i", "reader", "-t", f"{GROUP}/cmd", "-F", "%r"])
    published(existing, secenv, WARM)
    traffic = [build / "bin" / "bench_traffic", existing.ports["password"], "point-to-point", "1"]
    run([*traffic, WARM], seconds=120)
    before = resident_kib(existing.process)
    published(existing, secenv, MILLION)
    assert resident_kib(existing.process) - before < GROWTH_KIB, "by what it publishes"
    run([*traffic, MILLION], seconds=600)
    assert resident_kib(existing.process) - before < GROWTH_KIB, "by what is none of ours"
    # And it works as before.
    in_cse = connect("in-cse")
    assert in_cse.subscribe("/oneM2M/req/+/in-cse/#")
    connect("Sdoor1", client_id="Sdoor1").publish("/oneM2M/req/Sdoor1/mn-1/json", request("Sdoor1", "q1"))
    arrives(in_cse, "Sdoor1")
