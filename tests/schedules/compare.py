#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays random schedules with the product's key tree (tree_step.c) and with the model (model.py), and compares after
each change: height, which blocks changed and in which order, every byte of them, which nodes are fresh, root, epoch
secret and confirmation. Members of the model climb by what the product published, and the other way round, each from
its leaf secret alone, with messages lost, late, twice and in any order. Ends at the first difference."""

import argparse
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from model import Authority, Broker, Member, Message  # noqa: E402
from groupseal_reference.lists import SECRET_SIZE  # noqa: E402

FAULTS = ("repeated", "derived", "wrapped", "untouched", "unwrapped")
STEPS = 40
CLIMBS = 12  # after a change, at most


class Difference(Exception):
    """Product and model say different things."""


def agree(what, said, expected):
    if said != expected:
        raise Difference(f"{what}: the tree says {said!r:.200}, the model {expected!r:.200}")


class Product:
    """A tree of the product in a process of its own."""

    def __init__(self, program, fault=None):
        plant = ["--plant", fault] if fault else []
        self.process = subprocess.Popen([program, *plant], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "done\n":
                return lines
            lines.append(line.split())
        raise Difference(f"the product ended at {words[0]}")

    def change(self, changes, rotate):
        leaves = (f"{leaf}={secret.hex() if secret else '-'}" for leaf, secret in changes.items())
        return Said(self.ask("change", int(rotate), *leaves))

    def climb(self, member, height, path):
        lines = self.ask("climb", member.leaf, member.secret.hex(), height,
                         *(block.hex() if block else "-" for block in path))
        return bytes.fromhex(lines[0][1]) if lines else None

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


class Said:
    """What the product says of a change."""

    def __init__(self, lines):
        self.fresh, self.empty, self.touched, self.blocks = {}, set(), [], []
        self.root = self.epoch = self.confirmation = None
        for word, *rest in lines:
            if word == "height":
                self.height = int(rest[0])
            elif word == "fresh":
                self.fresh[int(rest[0]), int(rest[1])] = bytes.fromhex(rest[2])
            elif word == "empty":
                self.empty.add((int(rest[0]), int(rest[1])))
            elif word == "touched":
                self.touched.append((int(rest[0]), int(rest[1])))
            elif word == "block":
                self.blocks.append((int(rest[0]), int(rest[1]), bytes.fromhex(rest[2])))
            elif word == "root":
                self.root = bytes.fromhex(rest[0])
            elif word == "epoch":
                self.epoch, self.confirmation = map(bytes.fromhex, rest)

    def messages(self, number):
        *lower, (_, _, top) = self.blocks
        out = [Message(number, self.height, row, column, nodes) for row, column, nodes in lower]
        return out + [Message(number, self.height, None, 0, top, self.confirmation or b"")]


class Schedule:
    """One group through one random life. `height`: of the tree in the end, which then has few of the leaves that it
    could have."""

    def __init__(self, program, seed, fault=None, height=None):
        self.random = random.Random(seed)
        self.product = Product(program, fault)
        self.drawn, self.secrets = {}, set()
        self.model = Authority(self._fresh)
        self.broker = Broker()
        self.members = {}
        self.sparse = height is not None
        self.reach = 1 << (height or self.random.choice((1, 3, 4, 5, 6, 8, 9, 12)))
        self.changes = self.climbs = self.height = 0

    def _fresh(self, place):
        """The model's random secrets are the product's: for the same nodes, and none twice."""
        if place not in self.drawn:
            raise Difference(f"node {place} is fresh in the model alone")
        secret = self.drawn.pop(place)
        if secret in self.secrets:
            raise Difference(f"node {place} has a secret that was there before")
        self.secrets.add(secret)
        return secret

    def _batch(self, step):
        """{leaf: secret or None}: joins, evictions and leaves that are refreshed, in a range that grows."""
        if self.sparse:
            grown = 2 << (self.reach.bit_length() - 2) * (step + 1) // STEPS
            size = self.random.choice((0, 1, 1, 1, 2, 5, 17))
        else:
            grown = max(2, min(self.reach, self.reach * (step + 1) // STEPS + 2))
            size = self.random.choice((0, 1, 1, 1, 2, 5, 17, grown // 2))
        changes = {}
        for _ in range(min(size, 400)):
            leaf = self._leaf(grown)
            leaves = leaf in self.members and self.random.random() < 0.6
            changes[leaf] = None if leaves else self.random.randbytes(SECRET_SIZE)
        if self.sparse and step == STEPS - 5:
            changes[self.reach - 1] = self.random.randbytes(SECRET_SIZE)
        return changes

    def _leaf(self, grown):
        """Where few leaves are in use, half of them are drawn at one of these or close to it."""
        if self.sparse and self.members and self.random.random() < 0.5:
            return self.random.choice(sorted(self.members)) ^ self.random.choice((0, 0, 1, 2, 16))
        return self.random.randrange(grown)

    def _hear(self, member, messages, before):
        if self.random.random() < 0.7:  # awake: some lost, twice, in any order, old ones late
            live = [message for message in messages if self.random.random() < 0.8] * 2 + before
            self.random.shuffle(live)
            for message in live:
                member.hear(message)
        for message in self.broker.path(member.leaf):
            member.hear(message)

    def _climb(self, said, changed, before):
        leaves = [leaf for leaf in changed if leaf in self.members][:CLIMBS // 2]
        leaves += self.random.sample(sorted(self.members), min(CLIMBS // 2, len(self.members)))
        for leaf in leaves:
            member = self.members[leaf]
            self._hear(member, said.messages(self.model.epoch), before)
            agree(f"climb from leaf {leaf}", member.climb(), said.root)
            agree(f"the product's climb from leaf {leaf}",
                  self.product.climb(member, self.model.height, self.model.path(leaf)), self.model.root())
            stranger = Member(leaf, bytes(SECRET_SIZE))
            if self.product.climb(stranger, self.model.height, self.model.path(leaf)) == self.model.root():
                raise Difference(f"without its secret leaf {leaf} comes to the root")
            self.climbs += 1

    def _step(self, step):
        changes, rotate = self._batch(step), self.random.random() < 0.15
        before = self.broker.path(self.random.choice(sorted(self.members))) if self.members else []
        used = set(self.model.nodes)
        said = self.product.change(changes, rotate)
        self.drawn = dict(said.fresh)
        messages = self.model.change(changes, rotate)
        agree("nodes that are fresh beyond the model's", self.drawn, {})
        agree("height", said.height, self.model.height)
        agree("blocks that changed", said.touched, self.model.touched)
        # A node that growth has made, and the same change has emptied again, may be among them.
        agree("nodes that became empty", said.empty & used, used - set(self.model.nodes))
        agree("empty nodes that are in use", said.empty & set(self.model.nodes), set())
        for told, expected in zip(said.messages(self.model.epoch), messages, strict=True):
            agree(f"block {told.row}, {told.column}", told.nodes.hex(), expected.nodes.hex())
        agree("root", said.root, self.model.root())
        if said.root:
            agree("epoch secret", said.epoch, self.model.epoch_secret())
            agree("confirmation", said.confirmation, self.model.confirmation())
        self._roster(changes)
        self.broker.publish(said.messages(self.model.epoch))
        self._climb(said, changes, before)
        self.changes += 1
        self.height = self.model.height

    def _roster(self, changes):
        for leaf, secret in changes.items():
            if secret is None:
                self.members.pop(leaf, None)
            else:
                self.members[leaf] = Member(leaf, secret)

    def _upset(self):
        """What neither the authority's restart nor a broker without memory may change."""
        if self.random.random() < 0.15:
            self.product.ask("restore")
        if self.random.random() < 0.15 and self.members:
            self.broker.lose_retained(self.model)
        start = self.random.randrange(self.reach)
        free = next(leaf for leaf in range(start, 2 * self.reach + 1) if leaf not in self.members)
        agree("the free leaf", self.product.ask("free", start), [["leaf", str(free)]])

    def play(self):
        try:
            for step in range(STEPS):
                self._step(step)
                self._upset()
        finally:
            self.product.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="build/bin/tree_step")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, help="of the first; with --count 1 a schedule that failed, alone")
    parser.add_argument("--plant", choices=FAULTS, help="a tree that is wrong in one thing")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    changes = climbs = 0
    for seed in range(first, first + options.count):
        schedule = Schedule(options.program, seed, options.plant)
        try:
            schedule.play()
        except Difference as difference:
            print(f"seed {seed}, change {schedule.changes + 1}: {difference}")
            return 1
        changes, climbs = changes + schedule.changes, climbs + schedule.climbs
    print(f"{options.count} schedules from seed {first}: {changes} changes, {climbs} climbs, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
