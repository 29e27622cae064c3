# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md section 5: the key tree, packed nodes, the climb; epoch secret and confirmation."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from .lists import INSTANCE_SIZE, Refused, fix, kdf, require, u64

LEVELS = 4
PLACES = 15
WRAP_SIZE = 40
HEIGHT_LIMIT = 20
EMPTY, FROM_LEFT, FROM_RIGHT, FRESH = range(4)
WRAP_BITS = (2, 1)  # by side: left, right


def epoch_secret(root, instance, incarnation, epoch):
    return kdf(root, "epoch", fix(instance, INSTANCE_SIZE) + u64(incarnation) + u64(epoch))


def confirmation(secret):
    return kdf(secret, "confirm")


def top_row(height):
    return (height - 1) // LEVELS


def block_path(leaf, height):
    """The columns of the blocks on a leaf's path, by row."""
    return [0 if row == top_row(height) else leaf >> LEVELS * (row + 1) for row in range(top_row(height) + 1)]


def places(row, column):
    """(level, index) of the places of a block, in the order in which they are packed."""
    for step in range(1, LEVELS + 1):
        count = 1 << LEVELS - step
        for index in range(count):
            yield LEVELS * row + step, column * count + index


def _bits(data, place):
    return data[place // 4] >> 6 - 2 * (place % 4) & 3


def unpack(packed, row, column, height):
    """{(level, index): (source, {side: wrap})} of a block."""
    require(1 <= height <= HEIGHT_LIMIT and row <= top_row(height), "no such row")
    require(len(packed) >= 8, "packed nodes end within their maps")
    sources, maps, rest = packed[:4], packed[4:8], packed[8:]
    require(_bits(sources, PLACES) == 0 and _bits(maps, PLACES) == 0, "the last two bits are not zero")
    nodes = {}
    for place, (level, index) in enumerate(places(row, column)):
        source, wrapped = _bits(sources, place), _bits(maps, place)
        wraps = {}
        for side, bit in enumerate(WRAP_BITS):
            if wrapped & bit:
                require(len(rest) >= WRAP_SIZE, "a wrap is missing")
                wraps[side], rest = rest[:WRAP_SIZE], rest[WRAP_SIZE:]
        require(not (source == FROM_LEFT and 0 in wraps), "wrapped for the child that it is derived from")
        require(not (source == FROM_RIGHT and 1 in wraps), "wrapped for the child that it is derived from")
        require(source != FRESH or wraps, "fresh for no child")
        if source == EMPTY:
            require(not wraps, "an empty node has wraps")
        else:
            require(level <= height and index < 1 << height - level, "above the tree")
            nodes[level, index] = (source, wraps)
    require(not rest, "bytes after the last wrap")
    for level, index in places(row, column):
        if level == min(LEVELS * (row + 1), height):
            continue
        parent = nodes.get((level + 1, index // 2))
        require(((level, index) in nodes) == (parent is not None and _uses(parent, index & 1)),
                "a child is in use where its parent says otherwise")
    return nodes


def _uses(node, side):
    source, wraps = node
    return side in wraps or source == (FROM_LEFT, FROM_RIGHT)[side]


def climb(secret, leaf, height, blocks):
    """The root, from a leaf's secret and the packed nodes of the rows on its path, lowest first."""
    require(1 <= height <= HEIGHT_LIMIT and leaf < 1 << height, "no such leaf")
    require(len(blocks) == top_row(height) + 1, "a block is missing")
    nodes = {}
    for row, (column, packed) in enumerate(zip(block_path(leaf, height), blocks)):
        nodes.update(unpack(packed, row, column, height))
    for level in range(1, height + 1):
        side = leaf >> level - 1 & 1
        require((level, leaf >> level) in nodes, "the leaf is not in the tree")
        source, wraps = nodes[level, leaf >> level]
        if source == (FROM_LEFT, FROM_RIGHT)[side]:
            secret = kdf(secret, "up")
            continue
        require(side in wraps, "the leaf is not in the tree")
        try:
            secret = aes_key_unwrap(kdf(secret, "key"), wraps[side])
        except InvalidUnwrap:
            raise Refused("the wrap is not for this secret") from None
    return secret


@dataclass
class Node:
    secret: bytes
    source: int = FRESH
    wraps: dict = field(default_factory=dict)


class Tree:
    """The authority's half: changes a tree and packs its blocks. `draw` gives random bytes."""

    def __init__(self, draw):
        self.draw = draw
        self.height = 1
        self.nodes = {}  # (level, index): Node; leaves are level 0

    def change(self, changes, rotate=False):
        """{leaf: secret, or None where it is emptied}; none at all, or `rotate`, refreshes the root for both."""
        refreshed = set(changes)
        changed = {(0, leaf) for leaf in changes}
        old_height = self.height
        while max(changes, default=0) >= 1 << self.height:
            self.height += 1
        if self.height > old_height:
            changed.add((old_height, 0))
        for leaf, secret in changes.items():
            if secret is None:
                self.nodes.pop((0, leaf), None)
            else:
                self.nodes[0, leaf] = Node(secret)
        for level in range(1, self.height + 1):
            above = {index // 2 for index in refreshed}
            if level > old_height:
                above.add(0)
            for index in above:
                self._refresh(level, index, changed)
                changed.add((level, index))
            refreshed = above
        if rotate or not changes:
            self._refresh(self.height, 0, set())

    def _refresh(self, level, index, changed):
        children = {side: self.nodes[level - 1, 2 * index + side] for side in (0, 1)
                    if (level - 1, 2 * index + side) in self.nodes}
        if not children:
            self.nodes.pop((level, index), None)
            return
        node = Node(b"", FRESH)
        through = [side for side in children if (level - 1, 2 * index + side) in changed]
        if through:
            side = through[self.draw(1)[0] % len(through)]
            node.source = (FROM_LEFT, FROM_RIGHT)[side]
            node.secret = kdf(children.pop(side).secret, "up")
        else:
            node.secret = self.draw(32)
        for side, child in children.items():
            node.wraps[side] = aes_key_wrap(kdf(child.secret, "key"), node.secret)
        self.nodes[level, index] = node

    def root(self):
        node = self.nodes.get((self.height, 0))
        return node.secret if node else None

    def pack(self, row, column):
        sources, maps, wraps = 0, 0, b""
        for level, index in places(row, column):
            node = self.nodes.get((level, index))
            sources, maps = sources << 2, maps << 2
            if node:
                sources |= node.source
                maps |= sum(WRAP_BITS[side] for side in node.wraps)
                wraps += b"".join(node.wraps[side] for side in sorted(node.wraps))
        return (sources << 2).to_bytes(4, "big") + (maps << 2).to_bytes(4, "big") + wraps

    def path(self, leaf):
        """The packed blocks on a leaf's path, lowest first."""
        return [self.pack(row, column) for row, column in enumerate(block_path(leaf, self.height))]
