# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""./demo with a part taken away that test_demo.py leaves, or without the rules by which the MN-CSE acts alone: it must
fail there."""

import pytest

from harness.demo import demo


@pytest.mark.parametrize("part, step, names", [
    ("in-cse", 2, "has made 0 group keys"),
    ("device", 3, "Sdoor2 is not connected"),
])
def test_demo_without_a_part(build, tmp_path, part, step, names):
    result = demo(build, tmp_path, "--without", part)
    assert result.returncode == 1
    assert f"step {step} was not seen" in result.stderr and names in result.stderr
    assert "demo: ok" not in result.stdout


def test_demo_without_rules(build, tmp_path):
    result = demo(build, tmp_path, "--without", "rules")
    assert result.returncode == 1
    assert "did not act on its own: the MN-CSE has given no command of its own" in result.stderr
    assert "demo: ok" not in result.stdout
