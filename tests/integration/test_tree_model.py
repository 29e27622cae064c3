# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's key tree and a model of it (tests/schedules/model.py) go through the same random schedules and say the
same, to the last byte. GROUPSEAL_SEED is the first schedule of a run that failed."""

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "schedules"))

from compare import FAULTS, Difference, Schedule  # noqa: E402

COUNT = 16
DEEP = (9, 11)  # schedules of up to 4,096 leaves


def first_seed():
    return int(os.environ.get("GROUPSEAL_SEED") or random.SystemRandom().randrange(2**32))


def play(build, seed, fault=None, height=None):
    schedule = Schedule(build / "bin" / "tree_step", seed, fault, height)
    try:
        schedule.play()
    except Difference as difference:
        raise Difference(f"seed {seed}, change {schedule.changes + 1}: {difference}") from None
    return schedule


def test_tree_and_model_agree(build):
    first = first_seed()
    played = [play(build, seed) for seed in range(first, first + COUNT)]
    assert sum(schedule.climbs for schedule in played) > COUNT * 40


def test_rows_were_added(build):
    """These schedules end with three rows of blocks."""
    assert [play(build, seed).height for seed in DEEP] == [12, 12]


@pytest.mark.parametrize("height", (16, 17, 20))
def test_sparse_trees_agree(build, height):
    """Up to a million leaves, few of them in use."""
    schedule = play(build, first_seed(), height=height)
    assert schedule.height == height and schedule.climbs > 40


@pytest.mark.parametrize("fault", FAULTS)
def test_difference_is_seen(build, fault):
    """A tree that is wrong in one thing: the same schedules find it."""
    with pytest.raises(Difference):
        for seed in range(3):
            play(build, seed, fault)
