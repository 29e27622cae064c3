# SPDX-License-Identifier: GPL-3.0-or-later
"""./demo as it should end, and with a part taken away: it must fail, at that part's step."""

import re

from harness.demo import demo


def test_demo(build, tmp_path):
    result = demo(build, tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line[2] for line in lines if re.match("  [0-9]  ", line)] == list("12345678")
    assert "close" in result.stdout and "start" in result.stdout
    alone = lines.index("The IN-CSE is switched off, and it burns again:")
    assert lines[alone + 2].startswith("  observer: no word of the IN-CSE, one sealed command of the MN-CSE's own")
    assert lines[-1] == "demo: ok"


def test_demo_without_a_part(build, tmp_path):
    """The other parts: test_demo_full.py."""
    result = demo(build, tmp_path, "--without", "mn-secenv")
    assert result.returncode == 1
    assert "step 4 was not seen" in result.stderr and "mn-1 has no end-to-end association" in result.stderr
    assert "demo: ok" not in result.stdout
