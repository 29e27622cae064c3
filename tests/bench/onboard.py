# SPDX-License-Identifier: GPL-3.0-or-later
"""
A fleet is switched on: from the first connection to the broker until every device has the key of its group, beside
what the handshakes of hop and ends alone need of the processors.
  /usr/bin/python3 tests/bench/onboard.py BUILD MEMBERS [FOLDER]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.coexistence import Existing  # noqa: E402
from harness.processes import PATIENCE, Failure, Processes, run, wait_until, whole_lines  # noqa: E402
from command import files_raise  # noqa: E402
import credentials  # noqa: E402

GROUP = "bench"
EACH = 250  # devices in one process, and in one secure environment: its status names so many at once
PEERS = 100  # whose bare handshakes are measured
FILES_BESIDE = 200  # of the broker, beside its connections
SECONDS = 900


class Hop:
    """The certificates for the broker, where Existing looks for them."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def hop_ca(self):
        return self.folder / "ca.pem"

    def file(self, _name, kind):
        return self.folder / kind


def cpu_s(pid):
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


class Bench:
    def __init__(self, build, folder, members):
        self.build = Path(build).resolve()
        self.folder = Path(folder)
        self.members = members
        self.processes = Processes(self.folder / "logs")
        self.broker = None
        self.roles = {}  # processes by what they are
        self.fleets = []

    def program(self, name):
        return self.build / "bin" / name

    def socket(self, name, kind="owner"):
        return self.folder / f"{name}.{kind}"

    def start(self, role, name, arguments, **options):
        process = self.processes.start(name, arguments, **options)
        self.roles.setdefault(role, []).append(process)
        return process

    def secenv(self, role, name, *options):
        process = self.start(role, f"secenv-{name}", [
            self.program("secenv"), "run", "--store", self.folder / name, "--owner-socket", self.socket(name),
            "--audit-socket", self.socket(name, "audit"), "--same-user", *options])
        wait_until(lambda: not process.running() or "secenv: ready" in process.text(), 60, f"secenv of {name} is ready")

    def audit(self, name):
        return json.loads(run([self.program("secenv"), "audit", self.socket(name, "audit")]).stdout)

    def start_broker(self):
        self.broker = Existing(self.processes, self.folder / "broker", Hop(self.folder / "hop"), self.build)
        self.broker.log = ["log_type error", "log_type warning"]
        self.broker.kinds = ["certificate"]
        self.broker.plugins = [self.broker.ours({
            "cse_id": "//sp.example/mn-1", "in_cse": "//sp.example/in-cse", "identity": "//sp.example/%u",
            "foreign": "allow", "secenv_socket": self.socket("mn")})]
        self.broker.start()
        self.roles["broker"] = [self.broker.process]

    def uri(self):
        return f"mqtts://localhost:{self.broker.ports['certificate']}"

    def start_in_cse(self):
        hop = self.folder / "hop"
        configuration = self.folder / "in-cse.conf"
        configuration.write_text("\n".join([
            'identity = "//sp.example/in-cse"', "broker {", f'  uri = "{self.uri()}"', f'  ca = "{hop}/ca.pem"',
            f'  certificate = "{hop}/in-cse.pem"', f'  private-key = "{hop}/in-cse.key"', "}",
            "secenv {", f'  socket = "{self.socket("authority")}"', "}",
            f'operator-socket = "{self.socket("authority", "operator")}"', ""]))
        self.start("in_cse", "in-cse", [self.program("in-cse"), "run", "--config", configuration])

    def mn_cse_is_in(self):
        return any(group["epoch"] for identity in self.audit("mn")["identities"] for group in identity["groups"])

    def start_site(self):
        if not (self.folder / "pki").exists():
            credentials.main(self.folder / "pki", self.members, self.folder / "hop")
        run([self.program("bench_rollout"), self.folder, self.program("secenv"), self.members, EACH, GROUP],
            seconds=SECONDS)
        self.secenv("authority", "authority", "--operator-socket", self.socket("authority", "operator"))
        self.secenv("mn_cse", "mn")
        self.start_broker()
        self.start_in_cse()
        wait_until(self.mn_cse_is_in, 60, "the MN-CSE is in the group", every=0.2)

    def start_fleets(self):
        for first in range(0, self.members, EACH):
            name = f"fleet-{first}"
            self.secenv("device_secenvs", name)
            self.fleets.append(self.start("devices", name, [
                self.program("bench_fleet"), first, min(EACH, self.members - first), self.socket(name), self.uri(),
                self.folder / "hop"], stdin=subprocess.PIPE))
        self.wait_said("ready")

    def wait_said(self, word):
        """Until all fleets have said it."""
        end = time.monotonic() + SECONDS * PATIENCE
        waiting = list(self.fleets)
        while waiting:
            if time.monotonic() > end or not all(fleet.running() for fleet in waiting):
                raise Failure(f"{waiting[0].name} did not say {word}: {waiting[0].text()[-2000:]}")
            waiting = [fleet for fleet in waiting if word not in whole_lines(fleet.out)]
            time.sleep(0.02)

    def used(self):
        return {role: sum(cpu_s(process.pid) for process in processes) for role, processes in self.roles.items()}

    def commits(self):
        names = {"authority": "authority", "mn_cse": "mn"}
        counted = {role: self.audit(name)["counters"]["commits"] for role, name in names.items()}
        counted["devices"] = sum(self.audit(fleet.name)["counters"]["commits"] for fleet in self.fleets)
        return counted

    def bound_s(self):
        """Of all devices: both ends of the hop's handshake and of the end-to-end one, over the processors."""
        peers = min(PEERS, self.members)
        hop = float(run([self.program("bench_bound_hop"), self.folder / "hop", peers]).stdout)
        end = float(run([self.program("bench_bound_end"), self.folder / "pki", peers]).stdout)
        return hop, end

    def switch_on(self):
        for fleet in self.fleets:
            fleet.popen.stdin.write(b"go\n")
            fleet.popen.stdin.flush()
        self.wait_said("joined")

    def measure(self):
        hop, end = self.bound_s()
        used, commits, start = self.used(), self.commits(), time.monotonic()
        self.switch_on()
        took = time.monotonic() - start
        used = {role: round(seconds - used[role], 2) for role, seconds in self.used().items()}
        commits = {role: count - commits[role] for role, count in self.commits().items()}
        again = self.bound_s()  # beside it: before and after
        hop, end = (hop + again[0]) / 2, (end + again[1]) / 2
        bound = self.members * (hop + end) / len(os.sched_getaffinity(0))
        counters = self.audit("authority")["counters"]
        return {"members": self.members, "s": round(took, 2), "bound_s": round(bound, 2),
                "ratio": round(took / bound, 2), "hop_cpu_us": round(hop * 1e6, 1), "end_cpu_us": round(end * 1e6, 1),
                "commits": sum(commits.values()), "commits_of": commits, "cpu_s": round(sum(used.values()), 2),
                "cpu_s_of": used, "group_changes": counters["group_keys_made"],
                "handshakes_refused": counters["handshakes_refused"]}


def bench(build, members, folder):
    made = Bench(build, folder, members)
    files_raise(members + FILES_BESIDE)
    try:
        made.start_site()
        made.start_fleets()
        print(json.dumps(made.measure()), flush=True)
    finally:
        made.processes.stop()


def main(build, members, folder=None):
    with tempfile.TemporaryDirectory(prefix="groupseal-onboard-") as own:
        bench(build, int(members), folder or own)


if __name__ == "__main__":
    main(*sys.argv[1:])
