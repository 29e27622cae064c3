# SPDX-License-Identifier: GPL-3.0-or-later
"""The secure environment's own code and the second implementation give the same answers to random messages, good and
bad (tests/vectors/agree.py). GROUPSEAL_SEED gives the questions of a run that failed again."""

import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vectors"))

from agree import agree, ask, compare, draw_batch, table  # noqa: E402
from agreement_answers import QUESTIONS  # noqa: E402

COUNT = 4000
ALWAYS_TAKEN = {"kdf", "epoch", "path", "compare", "sign seal", "sign first", "name"}
RARELY_REFUSED = {"change"}  # by chance not once among few


def agree_on(build, count):
    seed = os.environ.get("GROUPSEAL_SEED") or random.SystemRandom().randrange(2**32)
    counts, differ = agree(build / "bin" / "agree", count, seed, jobs=2)
    print(f"seed {seed}\n{table(counts)}")
    assert not differ, f"seed {seed}, {len(differ)} of {count} differ:\n" + "\n".join(differ[:10])
    assert sum(counts.values()) == count
    for question in QUESTIONS:
        assert counts[question, True], f"{question}: nothing was taken"
        unasked = ALWAYS_TAKEN if count > COUNT else ALWAYS_TAKEN | RARELY_REFUSED
        assert question in unasked or counts[question, False], f"{question}: nothing was refused"


def test_agreement(build):
    agree_on(build, COUNT)


def test_disagreement_is_seen(build):
    """An answer that is another way round, or has another bit, is reported."""
    cases = draw_batch("seen", 0, 200)
    answers = ask(build / "bin" / "agree", cases)
    assert compare(0, cases, answers)[1] == []
    turned = [(not taken, found) for taken, found in answers]
    assert len(compare(0, cases, turned)[1]) == len(cases)
    bent = [(taken, found[:-1] + bytes([found[-1] ^ 1])) if found else (taken, b"?") for taken, found in answers]
    # A change of a tree may end in a fresh secret: any is as good there.
    fresh = sum(question == "change" and taken for (question, *_), (taken, _) in zip(cases, answers))
    assert len(compare(0, cases, bent)[1]) >= len(cases) - fresh
