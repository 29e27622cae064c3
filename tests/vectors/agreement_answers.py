# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions of agree.c, answered by the second implementation: answer() gives (taken, found)."""

import struct

from groupseal_reference import association, messages, names, objects, tree, wire
from groupseal_reference.lists import Refused, kdf, public_key, require, u8, u32, var

QUESTIONS = (
    "kdf", "epoch", "climb", "packed", "path", "change", "announcement", "compare", "block", "policy", "delta", "page",
    "order", "sign announcement", "sign block", "sign policy", "sign delta", "sign page", "sign order", "seal",
    "sign seal", "open", "end to end", "record", "first", "sign first", "name")
MESSAGES = {"announcement": "Announcement", "block": "Block", "policy": "Policy", "delta": "RosterDelta",
            "page": "RosterPage"}


def answer(question, fields, said):
    """`said` is what the other side found: only a tree that was made there, with random secrets, needs it."""
    try:
        return True, ANSWERS[question](*fields, **({"said": said} if question == "change" else {}))
    except Refused:
        return False, b""
    except RefusedWith as refusal:
        return False, refusal.found


class RefusedWith(Exception):
    def __init__(self, found):
        super().__init__()
        self.found = found


def number(field):
    return struct.unpack(">Q", field)[0]


def text(field):
    return field.decode()


def answer_kdf(secret, label):
    return kdf(secret, text(label))


def answer_epoch(root, instance, incarnation, epoch):
    secret = tree.epoch_secret(root, instance, number(incarnation), number(epoch))
    return secret + tree.confirmation(secret)


def answer_climb(secret, leaf, height, *blocks):
    return tree.climb(secret, number(leaf), number(height), blocks)


def answer_packed(row, height, packed):
    tree.unpack(packed, number(row), 0, number(height))
    return b""


def answer_path(leaf, height):
    return b"".join(u32(row) + u32(column)
                    for row, column in enumerate(tree.block_path(number(leaf), number(height))))


def answer_change(*fields, said):
    """Every leaf that is in the tree climbs to the root; one that left does not."""
    *fields, asked = fields
    fields, leaves, gone, height = list(fields), {}, {}, 1
    while fields:
        count, _ = number(fields.pop(0)), fields.pop(0)
        for _ in range(count):
            leaf, secret = number(fields.pop(0)), fields.pop(0)
            gone[leaf] = leaves.pop(leaf, None)
            if secret:
                leaves[leaf] = secret
            while leaf >= 1 << height:
                height += 1
    require(leaves, "an empty tree")
    made_height, = struct.unpack(">I", said[:4])
    root, rest = said[4:36], said[36:]
    assert made_height == height, f"height {made_height} instead of {height}"
    for leaf, in struct.iter_unpack(">I", asked):
        blocks = []
        for _ in range(tree.top_row(height) + 1):
            size, = struct.unpack(">I", rest[:4])
            blocks.append(rest[4:4 + size])
            rest = rest[4 + size:]
        if leaf in leaves:
            assert tree.climb(leaves[leaf], leaf, height, blocks) == root, f"leaf {leaf} climbs elsewhere"
        if gone.get(leaf):
            try:
                assert tree.climb(gone[leaf], leaf, height, blocks) != root, f"leaf {leaf} left and still climbs"
            except Refused:
                pass
    assert not rest
    return said


def _checked(kind, key, packed):
    thing = wire.parse(MESSAGES[kind], packed)
    objects.check(thing, key)
    return thing


def answer_announcement(key, packed):
    _checked("announcement", key, packed)
    return b""


def answer_compare(a, b):
    first, second = (objects.announcement_version(wire.parse("Announcement", packed)) for packed in (a, b))
    return u8((first > second) - (first < second) + 1)


def answer_block(key, packed):
    _checked("block", key, packed)
    return b""


def answer_policy(key, site, incarnation, serial, name, packed):
    policy = _checked("policy", key, packed)
    relay = objects.policy_relay(policy, text(site), number(incarnation), number(serial))
    commander = objects.policy_commander(policy, text(name), text(site))
    return (objects.policy_hash(policy)
            + (u8(1) + wire.digest(policy.relays[relay]) if relay >= 0 else u8(0))
            + (u8(1) + wire.digest(policy.commanders[commander]) if commander >= 0 else u8(0)))


def answer_delta(key, packed):
    return objects.roster_hash(_checked("delta", key, packed).set)


def answer_page(key, packed):
    return objects.roster_hash(_checked("page", key, packed).entries)


def answer_order(key, instance, incarnation, site, name, body, packed):
    order = wire.parse("Order", packed)
    objects.order_check(order, instance, number(incarnation), text(site), body, key)
    return (objects.order_hash(order, instance, number(incarnation), body)
            + u8(objects.order_targets(order, text(name))))


def answer_sign_object(kind):
    def answer_sign(seed, packed):
        return objects.sign_object(wire.parse(MESSAGES[kind], packed), seed)
    return answer_sign


def answer_sign_order(seed, instance, incarnation, body, packed):
    return objects.sign_order(wire.parse("Order", packed), instance, number(incarnation), body, seed)


def _context(instance, incarnation, site, kind, ae, *header):
    context = messages.Context(instance, number(incarnation), text(site), number(kind), text(ae))
    if header:
        epoch, serial, context.boot, counter = header
        context.epoch, context.serial, context.counter = number(epoch), number(serial), number(counter)
    return context


def answer_seal(*fields):
    *context, cipher, epoch_secret, plaintext = fields
    return var(messages.seal(_context(*context), number(cipher), epoch_secret, plaintext))


def answer_sign_seal(seed, *fields):
    *context, expires_ms, digest = fields
    context = _context(*context)
    if context.kind in (messages.COMMAND, messages.SYNC):
        return messages.seal_signature(context, number(expires_ms), digest, seed)
    return messages.said_signature(context, digest, seed)


def answer_open(*fields):
    *context, cipher, epoch_secret, sender, commander, payload = fields
    context = _context(*context)
    try:
        plaintext = messages.open_sealed(context, number(cipher), epoch_secret, messages.parse(payload))
    except Refused:
        raise RefusedWith(u8(0)) from None
    try:
        digest = messages.check_inner(context, plaintext, sender, commander)
    except Refused:
        raise RefusedWith(u8(1) + var(plaintext)) from None
    return u8(2) + var(plaintext) + digest


def answer_end_to_end(packed):
    return wire.digest(association.parse(packed))


def answer_record(id, key, mode, mechanism, member, authority, direction, received, packed):
    ends = association.Association(id, key, number(mode), text(mechanism), text(member), text(authority))
    thing = association.parse(packed)
    require(thing.HasField("record"), "no record")
    return wire.digest(association.open_record(ends, number(direction), number(received), thing.record))


def answer_first(id, _key, _mode, _mechanism, name, packed):
    association.first_check(id, text(name), wire.parse("First", packed))
    return b""


def answer_sign_first(seed, id, _key, _mode, _mechanism, name):
    return association.first_signature(id, text(name), public_key(seed), seed)


def answer_name(name):
    name = text(name)
    site = names.site_of(name)
    return (u8(names.is_absolute(name)) + u8(names.is_group(name)) + u8(names.is_site(name))
            + (var(site) if site else b""))


ANSWERS = {
    "kdf": answer_kdf, "epoch": answer_epoch, "climb": answer_climb, "packed": answer_packed, "path": answer_path,
    "change": answer_change, "announcement": answer_announcement, "compare": answer_compare, "block": answer_block,
    "policy": answer_policy, "delta": answer_delta, "page": answer_page, "order": answer_order,
    **{f"sign {kind}": answer_sign_object(kind) for kind in MESSAGES}, "sign order": answer_sign_order,
    "seal": answer_seal, "sign seal": answer_sign_seal, "open": answer_open, "end to end": answer_end_to_end,
    "record": answer_record, "first": answer_first, "sign first": answer_sign_first, "name": answer_name,
}
