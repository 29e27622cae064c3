# SPDX-License-Identifier: GPL-3.0-or-later
"""
What the plugin costs a broker: CPU time of the broker for each message that is none of ours, with and without the
plugin, and the time in the plugin's callbacks.
  /usr/bin/python3 tests/bench/overhead.py BUILD FOLDER [PAIRS [MESSAGES]]
Two brokers run beside each other and get the same traffic in turns; of each pair of turns the ratio is taken, and of
all pairs the median.
"""

import base64
import json
import os
import statistics
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from fake_secenv import FakeSecenv  # noqa: E402
from harness.coexistence import Client, Existing  # noqa: E402
from harness.pki import Pki  # noqa: E402
from harness.processes import Processes, run, wait_until  # noqa: E402

PATTERNS = [("fan-out", 0), ("fan-out", 1), ("point-to-point", 0), ("point-to-point", 1)]
DEVICES = 16
RELAYED = 8000  # exchanges


def cpu_ns(pid):
    """CPU time of all threads of a process, from the scheduler: /proc/PID/stat is too coarse."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def options(secenv):
    return {"cse_id": "//sp.example/mn-1", "in_cse": "//sp.example/in-cse", "identity": "//sp.example/%u",
            "foreign": "allow", "secenv_socket": secenv.path}


def broker(processes, folder, pki, build, plugin):
    made = Existing(processes, folder, pki, build)
    devices = [f"Sdoor{number}" for number in range(DEVICES)]
    made.access = made.passwords("in-cse", *devices)[:1] + ["allow_anonymous true"]
    made.log = ["log_type error", "log_type warning"]
    made.plugins = [plugin] if plugin else []
    return made.start()


def turn(build, made, pattern, qos, messages):
    """Microseconds of the broker's CPU for each delivered message."""
    before = cpu_ns(made.process.pid)
    delivered = int(run([build / "bin" / "bench_traffic", made.ports["password"], pattern, qos, messages],
                        seconds=300).stdout)
    return (cpu_ns(made.process.pid) - before) / delivered / 1000


def compare(build, with_plugin, without, pattern, qos, pairs, messages):
    for made in (with_plugin, without):
        turn(build, made, pattern, qos, messages // 4)  # warm
    measured = []
    for number in range(pairs):
        first, second = (with_plugin, without) if number % 2 else (without, with_plugin)
        times = {made is with_plugin: turn(build, made, pattern, qos, messages) for made in (first, second)}
        measured.append((times[True], times[False]))
    print(json.dumps({
        "pattern": pattern, "qos": qos, "with_cpu_us": round(statistics.median(pair[0] for pair in measured), 3),
        "without_cpu_us": round(statistics.median(pair[1] for pair in measured), 3),
        "ratio": round(statistics.median(pair[1] / pair[0] for pair in measured), 3), "pairs": pairs,
        "delivered": messages}), flush=True)


def relay(made):
    """Requests of devices to the IN-CSE, and its responses: both ways through the MN-CSE."""
    in_cse = Client(made, "in-cse")
    devices = [Client(made, f"Sdoor{number}") for number in range(DEVICES)]
    answered = threading.Semaphore(0)
    object_ = {"m2m:seci": {"sit": 6, "eckm": base64.b64encode(os.urandom(600)).decode()}}

    def respond(_client, _data, message):
        request = json.loads(message.payload)
        in_cse.client.publish("/oneM2M/resp/mn-1/in-cse/json", json.dumps(
            {"rsc": 2000, "rqi": request["rqi"], "fr": request["to"], "pc": object_}), 1)

    in_cse.client.on_message = respond
    assert in_cse.subscribe("/oneM2M/req/+/in-cse/#")
    for device in devices:
        device.client.on_message = lambda *_arguments: answered.release()
        assert device.subscribe(f"/oneM2M/resp/{device.name}/#")
    for number in range(RELAYED // DEVICES):
        for device in devices:
            device.client.publish(f"/oneM2M/req/{device.name}/mn-1/json", json.dumps(
                {"op": 5, "to": "//sp.example/in-cse", "fr": f"//sp.example/{device.name}", "rqi": f"q{number}",
                 "rvi": "3", "pc": object_}), 1)
        for _device in devices:
            if not answered.acquire(timeout=20):
                raise SystemExit("overhead: a relayed request was not answered")
    for client in (in_cse, *devices):
        client.stop()


def undisturbed(pid):
    """The broker's thread goes before all others, where root may say so: else what is measured is who else runs."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("overhead: not root: the callbacks' times include those of other processes", file=sys.stderr)


def callbacks(build, made, times, messages):
    undisturbed(made.process.pid)
    for pattern, qos in PATTERNS:
        turn(build, made, pattern, qos, messages // 4)
    relay(made)
    made.stop()
    samples = {"foreign": [], "relayed": [], "machine": []}  # the last: counting to a number, beside each message
    with times.open() as lines:
        for line in lines:
            kind, ns = line.split()
            samples[kind].append(int(ns) / 1000)
    for kind, values in samples.items():
        values.sort()
        at = {name: round(values[int(len(values) * share)], 2)
              for name, share in (("p50_us", 0.5), ("p99_us", 0.99), ("p99_9_us", 0.999))}
        print(json.dumps({"callback": kind, **at, "samples": len(values)}), flush=True)


def main(build, folder, pairs=10, messages=100000):
    build, folder, pairs, messages = Path(build).resolve(), Path(folder), int(pairs), int(messages)
    processes = Processes(folder / "logs")
    pki = Pki(folder / "pki")
    secenvs = []

    def secenv(name):
        secenvs.append(FakeSecenv(folder, folder / name))
        secenvs[-1].start()
        return secenvs[-1]

    def start(name, plugin):
        fake = secenv(f"{name}.sock")
        lines = [f"plugin {build}/lib/{plugin}", *(f"plugin_opt_{key} {value}" for key, value in options(fake).items())]
        made = broker(processes, folder / name, pki, build, lines)
        wait_until(fake.connected.is_set, 10, "the secure environment is connected")
        return made

    try:
        without = broker(processes, folder / "without", pki, build, None)
        with_plugin = start("with", "mn_cse.so")
        for pattern, qos in PATTERNS:
            compare(build, with_plugin, without, pattern, qos, pairs, messages)
        for made in (with_plugin, without):
            made.stop()
        times = folder / "times"
        os.environ["GROUPSEAL_CALLBACK_TIMES"] = str(times)
        callbacks(build, start("clock", "mn_cse_clock.so"), times, messages)
    finally:
        processes.stop()
        for fake in secenvs:
            fake.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
