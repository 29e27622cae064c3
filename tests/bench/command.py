# SPDX-License-Identifier: GPL-3.0-or-later
"""
A command for a whole group, from the operator's request to the last sealed byte at the sockets of all members,
beside a plain publish of the same size through the same broker to the same sockets; and what it costs a member.
  /usr/bin/python3 tests/bench/command.py BUILD FOLDER [MEMBERS [ROUNDS]]
FOLDER has the certificates of credentials.py in pki/.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.coexistence import PASSWORD, Existing  # noqa: E402
from harness.pki import Pki  # noqa: E402
from harness.processes import Processes, run, wait_until  # noqa: E402

GROUP = "bench"
DOOR = "Sbench000000"
COMMANDS = 40  # that the member's cost is the average of
FILES_BESIDE = 200  # of a process, beside its connections


def files_raise(wanted):
    """As many file descriptors as the machine allows, for the broker; root may have more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except ValueError:
            raise SystemExit(f"command: a broker with {wanted} file descriptors: this machine allows {most}") from None
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def undisturbed(*pids):
    """Their threads go before all others, where root may say so: else what is measured is who else runs."""
    try:
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("command: not root: the times include those of other processes", file=sys.stderr)


class Bench:
    def __init__(self, build, folder, members):
        self.build = Path(build).resolve()
        self.folder = Path(folder)
        self.members = members
        self.processes = Processes(self.folder / "logs")
        self.broker = None

    def program(self, name):
        return self.build / "bin" / name

    def socket(self, name, kind="owner"):
        return self.folder / f"{name}.{kind}"

    def secenv(self, name, *options):
        process = self.processes.start(f"secenv-{name}", [
            self.program("secenv"), "run", "--store", self.folder / name, "--owner-socket", self.socket(name),
            "--audit-socket", self.socket(name, "audit"), "--same-user", *options])
        wait_until(lambda: not process.running() or "secenv: ready" in process.text(), 60, f"secenv of {name} is ready")
        return process

    def start_broker(self):
        self.broker = Existing(self.processes, self.folder / "broker", Pki(self.folder / "hop"), self.build)
        self.broker.log = ["log_type error", "log_type warning"]
        devices = [f"Sbench{number:06}" for number in range(self.members + 1)]
        self.broker.access = self.broker.passwords("in-cse", "Splain", *devices)
        self.broker.plugins = [self.broker.ours({
            "cse_id": "//sp.example/mn-1", "in_cse": "//sp.example/in-cse", "identity": "//sp.example/%u",
            "foreign": "allow", "secenv_socket": self.socket("mn")})]
        self.broker.start()

    def agent(self, program, name, secenv, *lines):
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        configuration = self.folder / f"{name}.conf"
        configuration.write_text("\n".join([
            f'identity = "//sp.example/{name}"', "broker {", f'  uri = "mqtt://localhost:{self.broker.ports["password"]}"',
            f'  user-name = "{name}"', f'  password-file = "{password}"', "}",
            "secenv {", f'  socket = "{self.socket(secenv)}"', "}", *lines, ""]))
        return self.processes.start(name, [self.program(program), "run", "--config", configuration])

    def start(self):
        run([self.program("bench_enrol"), self.folder, self.program("secenv"), self.members, GROUP], seconds=900)
        self.secenv("authority", "--operator-socket", self.socket("authority", "operator"))
        self.secenv("mn")
        self.start_broker()
        self.agent("in-cse", "in-cse", "authority",
                   f'operator-socket = "{self.socket("authority", "operator")}"')

    def measure(self, rounds):
        undisturbed(os.getpid(), *(process.pid for process in self.processes.started))
        result = run([self.program("bench_command"), self.broker.ports["password"], PASSWORD,
                      self.socket("authority", "operator"), GROUP, self.members, rounds], seconds=1800)
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return json.loads(result.stdout)

    def audit(self, name):
        return json.loads(run([self.program("secenv"), "audit", self.socket(name, "audit")]).stdout)

    def send(self):
        run([self.program("in-cse"), "send", "door", '{"m2m:cin": {"con": "close"}}', "--wait", "20s",
             "--config", self.folder / "in-cse.conf", "--json"])

    def door_is_ready(self):
        states = [group for identity in self.audit("door")["identities"] for group in identity["groups"]]
        return any(group["group"] == "door" and group["synchronised"] for group in states)

    def member_cost(self):
        """Of a member with a secure environment of its own, for each command: authenticated, opened, given to its
        application, its result sent."""
        secenv = self.secenv("door")
        self.agent("adn-ae", DOOR, "door", 'registrar = "//sp.example/mn-1"', 'command-program = "/bin/true"')
        wait_until(self.door_is_ready, 120, "the member is synchronised", every=0.2)
        self.send()
        time.sleep(1)
        before = self.audit("door")["counters"]["commits"], self.cpu_ns(secenv.pid)
        for _ in range(COMMANDS):
            self.send()
        spent = self.cpu_ns(secenv.pid) - before[1]
        commits = self.audit("door")["counters"]["commits"] - before[0]
        return {"member_cpu_us": round(spent / COMMANDS / 1000, 1), "commits": round(commits / COMMANDS, 2)}

    @staticmethod
    def cpu_ns(pid):
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def main(build, folder, members=1000, rounds=200):
    bench = Bench(build, folder, int(members))
    files_raise(bench.members + FILES_BESIDE)
    try:
        bench.start()
        figures = bench.measure(int(rounds))
        print(json.dumps(figures | bench.member_cost()), flush=True)
    finally:
        bench.processes.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
