# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for byte strings in the memory and the core dump of a running process."""

import base64
import re
import tempfile
from pathlib import Path

from harness.processes import run


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


def found_in(texts, needles):
    """Names of the needles (name: bytes) that are in one of the texts: as they are, in hex, or in base64."""
    forms = {}
    for name, needle in needles.items():
        forms[name] = [needle, needle.hex().encode(), needle.hex().upper().encode(),
                       *(base64.b64encode(b"\0" * skip + needle)[4 if skip else 0:-4] for skip in range(3))]
    names = set()
    for text in texts:
        for name, shapes in forms.items():
            if name not in names and any(shape in text for shape in shapes if len(shape) >= 8):
                names.add(name)
    return names
