# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""./demo without the rules by which the MN-CSE acts alone: it must fail there."""

from harness.demo import demo


def test_demo_without_rules(build, tmp_path):
    result = demo(build, tmp_path, "--without", "rules")
    assert result.returncode == 1
    assert "did not act on its own: the MN-CSE has given no command of its own" in result.stderr
    assert "demo: ok" not in result.stdout
