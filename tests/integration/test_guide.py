# SPDX-License-Identifier: GPL-3.0-or-later
"""The try in docs/operations.md, as it stands there: from nothing to the first command."""

import json
import os
import re

import pytest
from harness.processes import REPOSITORY, free_ports, run, wait_until

STEPS = 7


def shown():
    """The blocks of that section, in their order."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    section = re.search(r"^## A try: .*?(?=^## )", text, re.MULTILINE | re.DOTALL).group(0)
    blocks = re.findall(r"^    .*\n(?:^    .*\n|^\n(?=    ))*", section, re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks]


@pytest.fixture
def words(build, tmp_path):
    """The block with this test's ports and programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("secenv", "in-cse", "adn-ae", "mn-cse-check"):
        (programs / program).symlink_to(build / "bin" / program)
    (programs / "groupseal-pki").symlink_to(REPOSITORY / "certs" / "groupseal-pki")
    places = {"/usr/lib/groupseal/mn_cse.so": str(build / "lib" / "mn_cse.so")}
    places.update(zip(("8883", "8884"), map(str, free_ports(2))))
    return lambda block: re.sub("|".join(places), lambda found: places[found.group(0)], block)


def test_from_nothing_to_the_first_command(words, processes, tmp_path):
    blocks = [words(block) for block in shown()]
    assert len(blocks) == STEPS
    folder = tmp_path / "site"
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/usr/sbin:/bin"}

    def step(*parts, seconds=120):
        return run(["bash", "-eu", "-c", "".join(parts)], seconds=seconds, env=environment, cwd=folder).stdout

    def start(line):
        command = line.removesuffix(" &")
        assert command != line
        processes.start(command.replace(" ", "-")[:40], ["bash", "-c", f"exec {command}"], env=environment, cwd=folder)

    assert "0 errors, 0 warnings" in step(*blocks[:4])
    authority, *others = blocks[4].splitlines()
    start(authority)
    wait_until((folder / "operator.sock").exists, 20, "the authority listens")
    assert "doors: created" in step(blocks[5])
    for line in others:  # after that: who comes too early has a back-off, and a test has no patience
        start(line)

    def all_have_the_key():
        roster = json.loads(step("in-cse group show doors --json -c in-cse.conf"))["roster"]
        return len(roster) == 3 and all(row["package_taken"] for row in roster)
    wait_until(all_have_the_key, 120, "the doors and the MN-CSE have their key", every=0.5)
    assert "2 done" in step(blocks[5].splitlines()[0] + "\n", blocks[6])
    assert (folder / "commands").read_text() == "close\nclose\n"
