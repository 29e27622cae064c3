# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of docs/protocol.md section 5: the authority's tree, the broker that retains its blocks, members that hear
anything in any order. It computes with the same derivations as the product (tests/vectors/groupseal_reference), so
that two trees whose random secrets are the same are the same to the last byte.

What the page leaves open, the model decides as the product does: where both children were refreshed the parent comes
from the left one, and growth carries the old root up through the new levels before the change itself."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vectors"))

from cryptography.hazmat.primitives.keywrap import aes_key_wrap  # noqa: E402
from groupseal_reference import tree as reference  # noqa: E402
from groupseal_reference.lists import Refused, kdf  # noqa: E402


@dataclass
class Message:
    """A block as it is published, or (row None) the announcement with the top block in it."""
    epoch: int
    height: int
    row: int | None
    column: int
    nodes: bytes
    confirmation: bytes = b""


class Authority(reference.Tree):
    """The tree of one group. `fresh` gives the secret of a node, (level, index), that is to be random."""

    def __init__(self, fresh):
        super().__init__(None)
        self.fresh = fresh
        self.epoch = 0
        self.touched = []  # blocks below the top row that the last change has changed, in order

    def change(self, changes, rotate=False):
        """One epoch; returns what is published for it, the announcement last."""
        self.epoch += 1
        new, old_top = set(changes), reference.top_row(self.height)
        grown = self._grow(max(changes, default=0))
        for leaf, secret in changes.items():
            if secret is None:
                self.nodes.pop((0, leaf), None)
            else:
                self.nodes[0, leaf] = reference.Node(secret)
        for level in range(1, self.height + 1):
            below, new = new, {index // 2 for index in new}
            if level == self.height and (rotate or not changes):
                below, new = set(), {0}  # the root is fresh, for both children
            for index in sorted(new):
                self._renew(level, index, below)
        self.touched = self._touched(set(changes), grown, old_top)
        return self._messages()

    def _grow(self, leaf):
        grown = False
        while leaf >> self.height:
            self.height += 1
            grown = True
            if (self.height - 1, 0) in self.nodes:
                self._renew(self.height, 0, {0})
        return grown

    def _renew(self, level, index, below):
        """A new secret for a node of which `below` has the refreshed children's indexes."""
        sides = [side for side in (0, 1) if (level - 1, 2 * index + side) in self.nodes]
        if not sides:
            self.nodes.pop((level, index), None)
            return
        children = {side: self.nodes[level - 1, 2 * index + side].secret for side in sides}
        through = next((side for side in sides if 2 * index + side in below), None)
        if through is None:
            node = reference.Node(self.fresh((level, index)), reference.FRESH)
        else:
            node = reference.Node(kdf(children[through], "up"),
                                  (reference.FROM_LEFT, reference.FROM_RIGHT)[through])
        node.wraps = {side: aes_key_wrap(kdf(secret, "key"), node.secret)
                      for side, secret in children.items() if side != through}
        self.nodes[level, index] = node

    def _touched(self, leaves, grown, old_top):
        touched = []
        for row in range(reference.top_row(self.height)):
            columns = {leaf >> reference.LEVELS * (row + 1) for leaf in leaves}
            if grown and row >= old_top:
                columns.add(0)
            touched += [(row, column) for column in sorted(columns)]
        return touched

    def _messages(self):
        lower = [Message(self.epoch, self.height, row, column, self.pack(row, column)) for row, column in self.touched]
        top = self.pack(reference.top_row(self.height), 0)
        return lower + [Message(self.epoch, self.height, None, 0, top, self.confirmation())]

    def epoch_secret(self):
        return reference.epoch_secret(self.root(), bytes(reference.INSTANCE_SIZE), 1, self.epoch)

    def confirmation(self):
        return reference.confirmation(self.epoch_secret()) if self.root() else b""


class Broker:
    """Retains the newest message of each place."""

    def __init__(self):
        self.retained = {}

    def publish(self, messages):
        for message in messages:
            self.retained[message.row, message.column] = message

    def lose_retained(self, authority):
        """It crashed: the MN-CSE publishes all of the tree again."""
        self.retained = {}
        top = reference.top_row(authority.height)
        places = {(row, leaf >> reference.LEVELS * (row + 1)) for level, leaf in authority.nodes if level == 0
                  for row in range(top)}
        self.publish(Message(authority.epoch, authority.height, row, column, authority.pack(row, column))
                     for row, column in places)
        self.publish([Message(authority.epoch, authority.height, None, 0, authority.pack(top, 0),
                              authority.confirmation())])

    def path(self, leaf):
        announcement = self.retained[None, 0]
        columns = reference.block_path(leaf, announcement.height)[:-1]
        return [self.retained[place] for place in enumerate(columns) if place in self.retained] + [announcement]


@dataclass
class Member:
    """One leaf, its secret, and the newest that it heard of each block on its path."""
    leaf: int
    secret: bytes
    blocks: dict = field(default_factory=dict)
    news: Message | None = None

    def hear(self, message):
        if message.row is None:
            if self.news is None or message.epoch > self.news.epoch:
                self.news = message
        elif message.column == self.leaf >> reference.LEVELS * (message.row + 1):
            known = self.blocks.get(message.row)
            if known is None or message.epoch > known.epoch:
                self.blocks[message.row] = message

    def path(self):
        """The packed blocks, lowest first; None where one is missing."""
        lower = [self.blocks.get(row) for row in range(reference.top_row(self.news.height))]
        return [block.nodes if block else None for block in lower] + [self.news.nodes]

    def climb(self):
        """The root; None where what was heard does not lead to the announcement's."""
        path = self.path()
        if None in path:
            return None
        try:
            root = reference.climb(self.secret, self.leaf, self.news.height, path)
        except Refused:
            return None
        secret = reference.epoch_secret(root, bytes(reference.INSTANCE_SIZE), 1, self.news.epoch)
        return root if reference.confirmation(secret) == self.news.confirmation else None
