#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the secure environment's own code (agree.c) and the second implementation (groupseal_reference) the same random
questions; says where they differ, and the seed that gives the same questions again."""

import argparse
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from agreement_answers import QUESTIONS, answer  # noqa: E402
from agreement_cases import Cases  # noqa: E402

BATCH = 1000


def packed_case(question, fields):
    data = bytes([QUESTIONS.index(question)]) + b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return struct.pack(">I", len(data)) + data


def split_answers(data):
    at = 0
    while at < len(data):
        length, = struct.unpack_from(">I", data, at)
        yield data[at + 4] == 1, data[at + 5:at + 4 + length]
        at += 4 + length


def ask(program, cases):
    """What agree.c says to each."""
    with tempfile.TemporaryFile() as file:
        for case in cases:
            file.write(packed_case(*case))
        file.seek(0)
        run = subprocess.run([program], stdin=file, stdout=subprocess.PIPE, check=True, timeout=300)
    answers = list(split_answers(run.stdout))
    assert len(answers) == len(cases)
    return answers


def describe(place, question, fields, said, computed):
    words = ("refused", "taken")
    return (f"case {place}, {question}: agree.c: {words[said[0]]} {said[1].hex()}; groupseal_reference: "
            f"{words[computed[0]]} {computed[1].hex()}; fields {' '.join(field.hex() or '-' for field in fields)}")


def draw_batch(seed, batch, count):
    draw = Cases(random.Random(f"{seed} {batch}")).draw
    return [draw() for _ in range(count)]


def compare(batch, cases, answers):
    """({(question, taken): how many}, [what differs])."""
    counts, differ = Counter(), []
    for place, (case, said) in enumerate(zip(cases, answers)):
        try:
            computed = answer(*case, said[1])
        except AssertionError as difference:
            computed = (False, str(difference).encode())
        counts[case[0], said[0]] += 1
        if computed != said:
            differ.append(describe(f"{batch}.{place}", *case, said, computed))
    return counts, differ


def run_batch(program, seed, batch, count):
    cases = draw_batch(seed, batch, count)
    return compare(batch, cases, ask(program, cases))


def agree(program, count, seed, jobs=1):
    """The same for many; the batches do not depend on `jobs`."""
    counts, differ = Counter(), []
    batches = [(program, seed, batch, min(BATCH, count - start))
               for batch, start in enumerate(range(0, count, BATCH))]
    with ProcessPoolExecutor(jobs) as pool:
        for some, what in pool.map(run_batch, *zip(*batches)):
            counts += some
            differ += what
    return counts, differ


def table(counts):
    lines = [f"{'question':20} {'taken':>8} {'refused':>8}"]
    lines += [f"{question:20} {counts[question, True]:8} {counts[question, False]:8}" for question in QUESTIONS]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="build/bin/agree")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    counts, differ = agree(options.program, options.count, options.seed, options.jobs)
    print(table(counts))
    print("\n".join(differ))
    print(f"{len(differ)} of {options.count} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
