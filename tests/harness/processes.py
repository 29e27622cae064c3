# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that a test starts and, whatever happens, stops again; waiting; free ports."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


# Bounds are written as a machine with nothing else to do keeps them several times over. Others may be at work on it.
PATIENCE = 4


class Failure(Exception):
    """Something did not happen in time, or a program failed; the text is for the reader."""


def wait_until(condition, seconds, what, every=0.05):
    """Returns the first true value of condition(); Failure after `seconds`, PATIENCE times."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(every)


_reserved = []


def port_reserve(port):
    """Makes it this process' until its end; False where it is another's, or in use."""
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0groupseal-test-port-{port}")  # a name that goes with the process
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        reservation.close()
        return False
    _reserved.append(reservation)
    return True


def free_ports(count):
    """
    Ports of 127.0.0.1 that nobody uses now, each different. Between now and the listener's start they are given to no
    other test (each pytest is a process of its own), nor by the system to a client's connection: they are below the
    range that it takes those from.
    """
    first_of_system = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    below = range(10000, first_of_system) if first_of_system > 12000 else range(61000, 65536)
    ports = []
    while len(ports) < count:
        port = random.SystemRandom().choice(below)
        if port_reserve(port):
            ports.append(port)
    return ports


def clean_environment():
    """The environment for our programs: Debian's own first, no proxy (Paho would use one), one language."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment["PATH"] = "/usr/bin:/usr/sbin:/bin:/sbin:" + os.environ.get("PATH", "")
    environment["LC_ALL"] = "C.UTF-8"
    return environment


def die_with_parent():
    """For the child, before exec: whatever ends the test ends what it started."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def whole_lines(file):
    """The lines of a file that another process may be writing to: of the last one all or nothing."""
    text = file.read_text()
    return text[:text.rfind("\n") + 1].splitlines()


class Process:
    """A running program: standard output in <name>.out, standard error in <name>.log."""

    def __init__(self, name, arguments, folder, **options):
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.log = Path(folder) / f"{name}.log"
        self.out = Path(folder) / f"{name}.out"
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log, self.out.open("ab") as out:
            self.popen = subprocess.Popen(
                self.arguments,
                stdin=options.pop("stdin", subprocess.DEVNULL),
                stdout=options.pop("stdout", out),
                stderr=log,
                env=options.pop("env", None) or clean_environment(),
                start_new_session=True,
                preexec_fn=die_with_parent,
                **options,
            )

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def text(self):
        """What it has written to standard error, since this start."""
        return self.log.read_bytes()[self.log_start:].decode(errors="replace")

    def kill(self):
        """SIGKILL, as a crash or the power would end it."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self):
        """SIGTERM, without waiting."""
        if self.running():
            self.popen.terminate()

    def stop(self, seconds=5 * PATIENCE):
        """SIGTERM, and SIGKILL where that does not help. The exit status."""
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self._end_session()
        return self.popen.wait()

    def _end_session(self):
        """What the program started itself and left (an embedded secenv ends by itself)."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


class Processes:
    """All that was started, by name; stopped in the reverse order."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started = []

    def start(self, name, arguments, **options):
        process = Process(name, arguments, self.folder, **options)
        self.started.append(process)
        return process

    def stop(self):
        for process in reversed(self.started):
            process.terminate()
        for process in reversed(self.started):
            process.stop()
        self.started.clear()

    def logs(self):
        """The end of each log, for a failed test."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-25:]
            parts.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(parts)


def run(arguments, check=True, seconds=60, **options):
    """Runs a program to its end, for `seconds`, PATIENCE times, at most. Failure, with what it said, where it fails
    and `check` is set."""
    arguments = [str(argument) for argument in arguments]
    result = subprocess.run(
        arguments,
        stdin=None if "input" in options else subprocess.DEVNULL,
        capture_output=True,
        text=options.pop("text", True),
        timeout=seconds * PATIENCE,
        env=options.pop("env", None) or clean_environment(),
        **options,
    )
    if check and result.returncode != 0:
        raise Failure(f"{' '.join(arguments)}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result
