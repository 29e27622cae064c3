# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""test_tree_model.py with many more schedules."""

from test_tree_model import first_seed, play

COUNT = 300


def test_tree_and_model_agree(build):
    first = first_seed()
    print(f"GROUPSEAL_SEED={first}")
    climbs = sum(play(build, seed).climbs for seed in range(first, first + COUNT))
    assert climbs > COUNT * 100
