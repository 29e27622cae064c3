# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for byte strings in the memory and the core dump of a running process."""

import base64
import os
import re
import subprocess
import tempfile
from pathlib import Path

from harness.processes import Failure, run


def regions(pid):
    """(start, end) of what can be read."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)", line)
        if match and match.group(3) not in ("[vvar]", "[vsyscall]"):
            yield int(match.group(1), 16), int(match.group(2), 16)


def memory_of(pid):
    """Each region's bytes."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end in regions(pid):
            memory.seek(start)
            try:
                yield memory.read(end - start)
            except OSError:
                continue


def core_of(pid):
    """A core dump's bytes, by gcore."""
    with tempfile.TemporaryDirectory(prefix="groupseal-core-") as folder:
        run(["gcore", "-o", f"{folder}/core", str(pid)], seconds=120)
        (core,) = Path(folder).glob("core.*")
        yield core.read_bytes()


def shapes(needle):
    """The bytes as they are, in hexadecimal digits, and in base64 at any place of a longer text."""
    yield needle
    yield needle.hex().encode()
    yield needle.hex().upper().encode()
    for skip in range(3):
        yield base64.b64encode(b"\0" * skip + needle)[4 if skip else 0:-4]


def found_in(texts, needles):
    """Names of the needles (name: bytes) that are in one of the texts, in any shape (harness/scan.c searches)."""
    names, lines = [], []
    for name, needle in needles.items():
        for shape in shapes(needle):
            if len(shape) >= 8:
                names.append(name)
                lines.append(shape.hex())
    with tempfile.NamedTemporaryFile("w", prefix="groupseal-needles-") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        # Between two texts something that is in no needle's middle.
        result = subprocess.run([Path(os.environ["GROUPSEAL_BUILD"]) / "bin" / "scan", file.name],
                                input=(b"\n" + b"\0" * 64 + b"\n").join(texts), capture_output=True, check=False)
    if result.returncode != 0:
        raise Failure(result.stderr.decode())
    return {names[int(number) - 1] for number in result.stdout.split()}
