# SPDX-License-Identifier: GPL-3.0-or-later
"""Random questions for agree.c, good and bad: right objects; the same with one thing changed before they are signed or
sealed (so that only a limit or a rule can refuse them), in their encoding, in their key, or in where they are heard."""

import struct

from groupseal_reference import association, messages, objects, tree, wire
from groupseal_reference.lists import Refused, public_key, sign, sha256

U32 = (0, 1, 2, 4, 5, 127, 128, 900, 30000, 2**31, 2**32 - 1)
U64 = (0, 1, 77, 300, 1700000001, 1700000002003004, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
SP = "//sp.example"
SITES = ("mn-1", "mn-2", "mn-3", "m:x.y_z", "M" * 64)
AES = (f"{SP}/Sdoor1", f"{SP}/Sdoor2", f"{SP}/mn-1/Cdoor3", f"{SP}/mn-2/Csensor-4", f"{SP}/S" + "x" * 113)
CSES = (f"{SP}/mn-1", f"{SP}/mn-2", f"{SP}/in-cse", "//other/mn-9")
ODD_TEXTS = ("", "x", "/", "//", "//a", "//a/", "///", "//a//", "//a/b/", "//a/b/c", "//a/b/Cc", "//a/b/Cc/d", "//a/S",
             "//a/C", "//a/Cx", "//a/b/C", "//a/Sb/Cc", "//a/b/Sc", "//a/Sx/", "a/b", "mn 1", "mn-1\n", "tür", "\u00e9",
             "mn\x001", "+", "#", "a#", "a" * 64, "a" * 65, "//sp/" + "a" * 123, "//sp/" + "a" * 124, "doors",
             f"{SP}/Sdoor1\0", "a" * 200, "a" * 201, "\u20ac" * 66 + "xx", "\u20ac" * 67)
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65)
WRONG_POINTS = (bytes(32), b"\1" + bytes(31), b"\xff" * 32, bytes.fromhex(
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), b"\2" + bytes(31))


def n(value):
    return struct.pack(">Q", value)


def one_in(random, count):
    return random.randrange(count) == 0


# ---- the wire: a message as [(number, wire type, value)] ----

def varint(value, padding=0):
    out = bytearray()
    while value >= 0x80 or padding:
        out.append(value & 0x7F | 0x80)
        if value < 0x80:
            padding -= 1
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


def split(data):
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        fields.append((tag >> 3, kind, value))
    return fields


def one_field(number, kind, value, random=None):
    tag = varint(number << 3 | kind)
    if kind == 0:
        value = value & 2**64 - 1
        return tag + varint(value, random.choice((0, 0, 1)) if random and value < 2**56 else 0)
    return tag + (varint(len(value)) if kind == 2 else b"") + value


def join(fields):
    return b"".join(one_field(*field) for field in fields)


def strange_field(random):
    """One that no message has."""
    number = random.choice((19, 100, 1000, 2**20))
    kind = random.choice((0, 1, 2, 5))
    return number, kind, random.choice(U64) if kind == 0 else random.randbytes({1: 8, 5: 4}.get(
        kind, random.choice((0, 5, 100))))


def spoil_encoding(random, data):
    """Another encoding: of the same, of something else, or of nothing."""
    way = random.randrange(14)
    if not data or way == 0:
        return random.randbytes(random.choice((0, 1, 10, 100)))
    if way == 1:  # a bit
        at = random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:]
    if way == 2:
        return data[:random.randrange(len(data))]
    if way == 3:
        return data + random.randbytes(random.choice((1, 2, 8)))
    if way == 4:  # groups, the end of one, and kinds that there are not
        return data + random.choice((b"\xa3\x06\xa4\x06", b"\xa3\x06", b"\xa4\x06", b"\xa6\x06", b"\xa7\x06",
                                     b"\xa3\x06\x08\x01\xa4\x06"))
    if way == 5:  # field number 0, and too long varints
        return data + random.choice((b"\0\0", b"\2\0", b"\x80" * 9 + b"\1\0", b"\xa0\x06" + b"\xff" * 10 + b"\1",
                                     b"\xa0\x06" + b"\xff" * 9 + b"\x7f", b"\xa0\x86\x80\x80\x80\x00\x01"))
    try:
        fields = split(data)
    except (IndexError, TypeError):
        return data[1:]
    at = random.randrange(len(fields))
    number, kind, value = fields[at]
    if way == 6:  # comes twice
        fields.insert(random.randrange(len(fields) + 1), fields[at])
    elif way == 7:  # comes twice, another value
        other = random.choice(U64) if kind == 0 else random.randbytes(len(value))
        fields.insert(random.choice((0, at, len(fields))), (number, kind, other))
    elif way == 8:
        random.shuffle(fields)
    elif way == 9:
        fields.insert(random.randrange(len(fields) + 1), strange_field(random))
    elif way == 10:  # another kind of the same number
        kind = random.choice((0, 1, 2, 5))
        fields[at] = (number, kind, random.choice(U64) if kind == 0 else random.randbytes({1: 8, 5: 4}.get(kind, 12)))
    elif way == 11:
        del fields[at]
    elif way == 12:
        if kind == 2 and value:  # deeper
            fields[at] = (number, kind, spoil_encoding(random, value))
        else:
            fields[at] = (number, kind, random.choice(U64) if kind == 0 else random.randbytes(len(value)))
    else:
        return b"".join(one_field(*field, random) for field in fields)
    return join(fields)


# ---- one thing changed in a message, before it is signed or sealed ----

def spoil_message(random, thing, deeper=3):
    """Sets one field of `thing`, or of a message in it, to something odd."""
    if not thing.DESCRIPTOR.fields:
        return
    field = random.choice(thing.DESCRIPTOR.fields)
    if field.label == field.LABEL_REPEATED:
        spoil_list(random, getattr(thing, field.name), field, deeper)
    elif field.type == field.TYPE_MESSAGE:
        if thing.HasField(field.name) and deeper and not one_in(random, 6):
            spoil_message(random, getattr(thing, field.name), deeper - 1)
        elif thing.HasField(field.name):
            thing.ClearField(field.name)
        else:
            getattr(thing, field.name).SetInParent()
    else:
        setattr(thing, field.name, odd_value(random, field, getattr(thing, field.name)))


def odd_value(random, field, value):
    if field.type == field.TYPE_STRING:
        return random.choice(ODD_TEXTS + AES + CSES + SITES)
    if field.type == field.TYPE_BYTES:
        way = random.randrange(5)
        if way == 0:
            return random.randbytes(random.choice(SIZES))
        if way == 1 and value:
            at = random.randrange(len(value))
            return value[:at] + bytes([value[at] ^ 1 << random.randrange(8)]) + value[at + 1:]
        if way == 2:
            return value[:-1]
        if way == 3:
            return random.choice(WRONG_POINTS)
        return random.randbytes(len(value))
    if field.type == field.TYPE_BOOL:
        return not value
    if field.type == field.TYPE_ENUM:
        return random.choice((0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 255, 256, 257, 2**31 - 1, -1))
    return random.choice(U64 if field.type in (field.TYPE_UINT64, field.TYPE_FIXED64) else U32)


def spoil_list(random, values, field, deeper):
    way = random.randrange(6)
    if values and way == 0:
        del values[random.randrange(len(values))]
    elif values and way == 1:
        values.append(values[random.randrange(len(values))])
    elif values and way == 2:
        swapped = list(values)
        random.shuffle(swapped)
        if field.type == field.TYPE_MESSAGE:
            swapped = [type(one).FromString(one.SerializeToString()) for one in swapped]
        del values[:]
        values.extend(swapped)
    elif way == 3 and field.type == field.TYPE_MESSAGE:
        for _ in range(random.choice((1, 16, 17, 64, 65, 128, 129))):
            values.add()
    elif way == 3:
        one = values[0] if values else {field.TYPE_STRING: AES[0], field.TYPE_BYTES: bytes(8)}.get(field.type, 1)
        values.extend([one] * random.choice((1, 16, 64, 65, 127, 128, 255, 256)))
    elif values and field.type == field.TYPE_MESSAGE:
        spoil_message(random, values[random.randrange(len(values))], deeper - 1)
    elif field.type != field.TYPE_MESSAGE:
        at = random.randrange(len(values)) if values else None
        odd = odd_value(random, field, values[at] if values else b"" if field.type == field.TYPE_BYTES else "")
        if at is None:
            values.append(odd)
        else:
            values[at] = odd


class Cases:
    """draw() gives (question, fields), alike for alike `random`."""

    def __init__(self, random):
        self.random = random
        self.seeds = [random.randbytes(32) for _ in range(8)]
        self.trees = [self.make_tree() for _ in range(12)]
        self.kinds, weights = zip(*[
            (self.draw_open, 26), (self.draw_record, 14), (self.draw_end_to_end, 6), (self.draw_climb, 8),
            (self.draw_packed, 5), (self.draw_change, 1), (self.draw_announcement, 9), (self.draw_block, 4),
            (self.draw_policy, 7), (self.draw_delta, 5), (self.draw_page, 4), (self.draw_order, 6),
            (self.draw_seal, 2), (self.draw_sign_seal, 2), (self.draw_first, 3), (self.draw_sign_first, 1),
            (self.draw_derivation, 2), (self.draw_name, 3), (self.draw_compare, 1), (self.draw_path, 1)])
        self.weights = weights

    def draw(self):
        return self.random.choices(self.kinds, self.weights)[0]()

    # ---- parts ----

    def seed(self):
        return self.random.choice(self.seeds)

    def u64(self):
        return self.random.choice(U64) if one_in(self.random, 4) else self.random.randrange(1, 2**48)

    def instance(self):
        return self.random.randbytes(16)

    def some(self, values, most):
        return self.random.sample(values, self.random.randint(0, min(most, len(values))))

    def key_of(self, seed):
        """That seed's key; now and then another."""
        if one_in(self.random, 25):
            return self.random.choice((public_key(self.seed()), self.random.randbytes(32), b"", bytes(31),
                                       *WRONG_POINTS))
        return public_key(seed)

    def make_tree(self):
        made = tree.Tree(self.random.randbytes)
        leaves = self.random.choice((2, 3, 8, 16, 16, 16, 40, 300, 5000))
        for _ in range(self.random.randint(1, 4)):
            changes = {self.random.randrange(leaves): self.random.randbytes(32)
                       for _ in range(self.random.randint(1, 12))}
            for level, leaf in list(made.nodes):
                if level == 0 and leaf not in changes and one_in(self.random, 4):
                    changes[leaf] = None
            made.change(changes, one_in(self.random, 4))
        made.change({self.random.randrange(leaves): self.random.randbytes(32)})
        return made

    def spoil_packed(self, packed):
        way = self.random.randrange(7)
        if way > 4:  # a wrap more, or one less, where the maps say so
            place, bit = self.random.randrange(15), self.random.choice(tree.WRAP_BITS)
            maps = int.from_bytes(packed[4:8], "big") ^ bit << 30 - 2 * place
            packed = packed[:4] + maps.to_bytes(4, "big") + packed[8:]
            return (packed + self.random.randbytes(40))[:8 + 40 * maps.bit_count()]
        if way == 0:
            return packed[:self.random.randrange(len(packed))]
        if way == 1:
            return packed + self.random.randbytes(self.random.choice((1, 40)))
        if way == 2:
            return self.random.randbytes(8) + packed[8:]
        at = self.random.randrange(8 if way == 3 else len(packed))
        return packed[:at] + bytes([packed[at] ^ 1 << self.random.randrange(8)]) + packed[at + 1:]

    def signed(self, thing, seed, name, fields):
        """Signs what the page would refuse, too; a list that cannot be written is signed with nothing."""
        try:
            thing.signature = sign(seed, name, fields(thing))
        except Refused:
            thing.signature = self.random.randbytes(64)
        return thing

    def encoded(self, thing):
        packed = thing.SerializeToString()
        return spoil_encoding(self.random, packed) if one_in(self.random, 4) else packed

    def object(self, thing, question):
        """(seed, encoded): signed after a change, or changed after that, or right. Or to be signed by the other."""
        seed = self.seed()
        if one_in(self.random, 3):
            for _ in range(self.random.choice((1, 1, 2))):
                spoil_message(self.random, thing)
        if one_in(self.random, 5):
            return f"sign {question}", seed, self.encoded(thing)
        name, _, fields = objects.KINDS[thing.DESCRIPTOR.name]
        self.signed(thing, seed, name, fields)
        if one_in(self.random, 8):
            spoil_message(self.random, thing)
        return question, seed, self.encoded(thing)

    def asked(self, thing, question, *more):
        question, seed, packed = self.object(thing, question)
        if question.startswith("sign"):
            return question, (seed, packed)
        return question, (self.key_of(seed), *more, packed)

    # ---- derivations, the tree ----

    def draw_derivation(self):
        if one_in(self.random, 2):
            return "kdf", (self.random.randbytes(32), self.random.choice((b"key", b"up", b"confirm", b"", b"x" * 200)))
        return "epoch", (self.random.randbytes(32), self.instance(), n(self.u64()), n(self.u64()))

    def draw_path(self):
        height = self.random.randint(1, 20)
        return "path", (n(self.random.randrange(1 << height)), n(height))

    def draw_climb(self):
        made = self.random.choice(self.trees)
        leaf = self.random.choice([index for level, index in made.nodes if level == 0])
        secret, height, blocks = made.nodes[0, leaf].secret, made.height, made.path(leaf)
        way = self.random.randrange(12)
        if way == 0:
            secret = self.random.randbytes(32)
        elif way == 1:
            leaf = self.random.choice((leaf ^ 1, self.random.randrange(1 << height), 1 << height, 2**32 - 1))
        elif way == 2:
            height = self.random.choice((0, 1, height + 1, height + 4, 20, 21, 2**32 - 1))
        elif way == 3:
            blocks = blocks[:-1]
        elif way == 4:
            blocks.append(self.random.choice((b"", bytes(8), blocks[0])))
        elif way == 5:
            blocks[self.random.randrange(len(blocks))] = b""
        elif way in (6, 7):
            at = self.random.randrange(len(blocks))
            blocks[at] = self.spoil_packed(blocks[at])
        elif way == 8:
            self.random.shuffle(blocks)
        return "climb", (secret, n(leaf), n(height), *blocks)

    def draw_packed(self):
        made = self.random.choice(self.trees)
        row = self.random.randrange(tree.top_row(made.height) + 1)
        columns = 1 if row == tree.top_row(made.height) else 1 << made.height - tree.LEVELS * (row + 1)
        packed, height = made.pack(row, self.random.randrange(columns)), made.height
        if one_in(self.random, 2):
            packed = self.spoil_packed(packed)
        if one_in(self.random, 8):
            height = self.random.choice((0, 1, 2, 3, 4, 5, 8, 20, 21, 2**32 - 1))
        if one_in(self.random, 8):
            row = self.random.choice((0, 1, 2, 4, 5, 2**30, 2**32 - 1))
        return "packed", (n(row), n(height), packed)

    def draw_change(self):
        leaves = self.random.choice((4, 16, 40, 300))
        fields, touched = [], set()
        for _ in range(self.random.randint(1, 4)):
            indices = self.random.sample(range(leaves), self.random.randint(0, min(leaves, 6)))
            fields += [n(len(indices)), n(one_in(self.random, 4))]
            for index in indices:
                leaves_again = index in touched and one_in(self.random, 2)
                fields += [n(index), b"" if leaves_again else self.random.randbytes(32)]
            touched.update(indices)
        return "change", (*fields, b"".join(struct.pack(">I", leaf) for leaf in sorted(touched)))

    # ---- signed objects ----

    def announcement(self):
        made = self.random.choice([one for one in self.trees if one.height <= 4 or one_in(self.random, 8)]
                                  or self.trees)
        return wire.new("Announcement", group="doors", instance=self.instance(), incarnation=self.u64(),
                        epoch=self.u64(), beat=self.u64(), height=made.height,
                        confirmation=self.random.randbytes(32), policy_hash=self.random.randbytes(32),
                        time_ms=self.u64(), overlap_ended=one_in(self.random, 4),
                        evicted=[self.random.choice((1, 2, 200, 2**40, self.u64() >> 6, self.u64()))
                                 for _ in range(self.random.choice((0, 0, 1, 3, 64)))],
                        top=made.pack(tree.top_row(made.height), 0))

    def draw_announcement(self):
        return self.asked(self.announcement(), "announcement")

    def draw_compare(self):
        versions = [[self.random.choice((0, 1, 2, 2**64 - 1)) for _ in range(3)] for _ in range(2)]
        return "compare", tuple(wire.new("Announcement", incarnation=a, epoch=b, beat=c).SerializeToString()
                                for a, b, c in versions)

    def draw_block(self):
        made = self.random.choice([one for one in self.trees if one.height > 4] or [self.trees[0]])
        row = self.random.randrange(max(1, tree.top_row(made.height)))
        column = self.random.randrange(max(1, (1 << made.height) >> tree.LEVELS * (row + 1)))
        if one_in(self.random, 20):
            column = self.random.choice((2**32 - 1, 1 << made.height >> tree.LEVELS * (row + 1)))
        return self.asked(wire.new("Block", instance=self.instance(), incarnation=self.u64(), epoch=self.u64(),
                                   row=row, column=column, height=made.height, nodes=made.pack(row, column)), "block")

    def policy(self):
        relays = [wire.new("Relay", name=f"{SP}/{site[:40]}", site=site, incarnation=self.u64(), serial=self.u64(),
                           key=self.random.randbytes(32)) for site in self.some(SITES, 3)]
        commanders = [wire.new("Commander", name=name, key=self.random.randbytes(32), sites=self.some(SITES, 2))
                      for name in self.some((CSES[2], CSES[3], AES[0]), 2)]
        return wire.new("Policy", group="doors", instance=self.instance(), incarnation=self.u64(), number=self.u64(),
                        relays=relays, commanders=commanders, aead=self.random.randrange(2),
                        overlap_ms=self.random.choice(U32), response_window_ms=self.random.choice(U32),
                        beat_interval_s=self.random.choice(U32), refuse_when_overdue=one_in(self.random, 2),
                        sign_member_messages=one_in(self.random, 2), authority_only=one_in(self.random, 2))

    def many(self, policy):
        way = self.random.randrange(5)
        if way == 4 and policy.relays:
            policy.relays.append(policy.relays[0])
        elif way == 0:
            del policy.relays[:]
            policy.relays.extend(wire.new("Relay", name=CSES[0], site="mn-1", serial=serial, key=bytes(32))
                                 for serial in range(self.random.choice((64, 65))))
        elif way == 1:
            del policy.commanders[:]
            policy.commanders.extend(wire.new("Commander", name=f"{SP}/Sc{number}", key=self.random.randbytes(32))
                                     for number in range(self.random.choice((16, 17))))
        elif policy.commanders and way == 2:
            policy.commanders.append(policy.commanders[0])
        elif policy.commanders:
            policy.commanders[0].name = self.random.choice(ODD_TEXTS)

    def draw_policy(self):
        policy = self.policy()
        site, incarnation, serial = self.random.choice(SITES), self.u64(), self.u64()
        if policy.relays and not one_in(self.random, 4):
            relay = self.random.choice(policy.relays)
            site, incarnation, serial = relay.site, relay.incarnation, relay.serial
        if policy.relays and policy.commanders and one_in(self.random, 6):  # also by name or key
            relay, commander = policy.relays[0], policy.commanders[-1]
            if one_in(self.random, 2):
                commander.name = relay.name
            else:
                commander.key = relay.key
        if one_in(self.random, 8):  # at a limit, or one over
            self.many(policy)
        name = self.random.choice(["", "", CSES[2]] + [commander.name for commander in policy.commanders])
        return self.asked(policy, "policy", site.encode(), n(incarnation), n(serial), name.encode())

    def entries(self, most):
        names = sorted({*self.some(AES + CSES, 5), *(f"{SP}/Sd{self.random.randrange(10**6)}" for _ in range(
            self.random.choice((0, 0, 1, most))))}, key=str.encode)[:most]
        return [wire.new("RosterEntry", name=name, incarnation=self.u64(), serial=self.u64(),
                         signing_key=self.random.randbytes(32), site=self.random.choice(("",) + SITES))
                for name in names]

    def draw_delta(self):
        entries = self.entries(self.random.choice((3, 3, 20, 128, 129)))
        used = {entry.name for entry in entries}
        removed = sorted((name for name in self.some(AES + CSES, 4) if name not in used or one_in(self.random, 20)),
                         key=str.encode)
        if entries and one_in(self.random, 12):
            removed = [self.random.choice(entries).name]
        elif one_in(self.random, 12):
            removed = [f"{SP}/Sr{number:04}" for number in range(self.random.choice((128, 129)))]
        delta = wire.new("RosterDelta", group="doors", instance=self.instance(), incarnation=self.u64(),
                         number=self.u64(), set=entries, removed=removed, hash=objects.roster_hash(entries))
        return self.asked(delta, "delta")

    def draw_page(self):
        entries = self.entries(self.random.choice((3, 3, 20, 128, 129)))
        pages = self.random.choice((1, 1, 2, 5, 2**32 - 1))
        page = wire.new("RosterPage", group="doors", instance=self.instance(), incarnation=self.u64(),
                        number=self.u64(), page=self.random.choice((0, pages - 1)), pages=pages, entries=entries,
                        hash=objects.roster_hash(entries))
        return self.asked(page, "page")

    def order(self):
        sites = self.random.choice(([], [], list(SITES[:2]), ["mn-1"]))
        return wire.new("Order", command_id=self.random.randbytes(16), issued_ms=self.u64(), expires_ms=self.u64(),
                        targets=self.some(AES, 3), sites=sites, commander=self.random.choice(("", "", CSES[2])))

    def body(self):
        return self.random.randbytes(self.random.choice((0, 1, 17, 17, 17, 200, 2000)
                                                        if not one_in(self.random, 40) else (16384, 16385)))

    def draw_order(self):
        order, seed, body = self.order(), self.seed(), self.body()
        instance, incarnation = self.instance(), self.u64()
        if one_in(self.random, 3):
            spoil_message(self.random, order)
        if one_in(self.random, 6):
            return "sign order", (seed, instance, n(incarnation), body, self.encoded(order))
        self.signed(order, seed, "order", lambda thing: objects.order_list(thing, instance, incarnation, body))
        if one_in(self.random, 8):
            spoil_message(self.random, order)
        if one_in(self.random, 20):
            incarnation ^= 1
        if one_in(self.random, 20):
            body += b"!"
        site = self.random.choice(SITES if one_in(self.random, 4) else ("mn-1",))
        return "order", (self.key_of(seed), instance, n(incarnation), site.encode(),
                         self.random.choice(AES).encode(), body, self.encoded(order))

    # ---- group messages ----

    def context(self):
        kind = self.random.randint(1, 4)
        return messages.Context(self.instance(), self.u64(), self.random.choice(SITES[:4]), kind,
                                "" if kind < 3 else self.random.choice(AES), self.u64(), self.u64(),
                                self.random.randbytes(8), self.u64())

    @staticmethod
    def heard(context):
        return (context.instance, n(context.incarnation), context.site.encode(), n(context.kind), context.ae.encode())

    @classmethod
    def whole(cls, context):
        return (*cls.heard(context), n(context.epoch), n(context.serial), context.boot, n(context.counter))

    def spoil_context(self, context):
        way = self.random.randrange(6)
        if way == 0:
            context.instance = self.instance()
        elif way == 1:
            context.incarnation ^= 1
        elif way == 2:
            context.site = self.random.choice(SITES + ("", "a/b", "a" * 65))
        elif way == 3:
            context.kind = self.random.choice((0, 1, 2, 3, 4, 5, 2**31 - 1))
        elif way == 4:
            context.ae = self.random.choice(AES + CSES + ("", "x"))
        else:
            context.epoch ^= 1

    def draw_seal(self):
        context = self.context()
        if one_in(self.random, 4):
            self.spoil_context(context)
        size = self.random.choice((0, 1, 17, 1000, 16384) if not one_in(self.random, 20) else
                                  (48950, 49020, 49040, 49060, 49080, 49100, 49152, 49200))
        return "seal", (*self.whole(context), n(self.random.randrange(2)), self.random.randbytes(32),
                        self.random.randbytes(size))

    def draw_sign_seal(self):
        return "sign seal", (self.seed(), *self.whole(self.context()), n(self.u64()), self.random.randbytes(32))

    def inner(self, context, sender, commander):
        """What is sealed, signed (or not): a message."""
        spoilt = one_in(self.random, 4)
        if context.kind == messages.COMMAND:
            thing = wire.new("Command", body=self.body(), seal_expires_ms=self.u64(),
                             wanted=self.random.randbytes(8 * self.random.choice((0, 0, 0, 1, 3, 512, 513)))
                             + bytes(one_in(self.random, 20)))
            thing.order.CopyFrom(self.order())
            if spoilt:
                spoil_message(self.random, thing)
            where = context.instance, context.incarnation
            if one_in(self.random, 3):  # the relay commands: one signature for both
                thing.order.commander = ""
                thing.order.signature = b""
                label = "seal" if one_in(self.random, 4) else "seal and order"
            else:
                self.signed(thing.order, commander, "order",
                            lambda order: objects.order_list(order, *where, thing.body))
                label = "seal and order" if one_in(self.random, 8) else "seal"
            thing.seal_signature = self.over(lambda: messages.seal_signature(
                context, thing.seal_expires_ms, messages.command_list_hash(thing, *where), sender, label))
        elif context.kind == messages.SYNC:
            thing = wire.new("SyncReply", floor=self.u64(), time_ms=self.u64(), nonces=[
                self.random.randbytes(8) for _ in range(self.random.choice((0, 1, 2, 127, 128, 129)))])
            if spoilt:
                spoil_message(self.random, thing)
            thing.seal_signature = self.over(lambda: messages.seal_signature(context, 0, messages.sync_list_hash(thing),
                                                                             sender))
        elif context.kind == messages.MESSAGE:
            thing = wire.new("MemberMessage", body=self.body())
            if one_in(self.random, 2):
                thing.signature = messages.said_signature(context, sha256(thing.body), sender)
        else:
            thing = wire.new("Ack")
            if one_in(self.random, 3):
                thing.holding.SetInParent()
            elif one_in(self.random, 2):
                thing.sync_request.nonce = self.random.randbytes(8)
            else:
                thing.receipt.command_id = self.random.randbytes(16)
                thing.receipt.outcome = self.random.randint(0, 6)
                thing.receipt.detail = self.random.choice(("", "door is blocked") + ODD_TEXTS)
            if spoilt:
                spoil_message(self.random, thing)
            thing.signature = self.over(lambda: messages.said_signature(context, messages.ack_list_hash(thing), sender))
        if one_in(self.random, 8):
            spoil_message(self.random, thing)
        return thing

    def over(self, make):
        try:
            return make()
        except Refused:
            return self.random.randbytes(64)

    def draw_open(self):
        context, sender, commander = self.context(), self.seed(), self.seed()
        cipher, epoch_secret = self.random.randrange(2), self.random.randbytes(32)
        thing = self.inner(context, sender, commander)
        plaintext = self.encoded(thing) if not one_in(self.random, 40) else self.random.randbytes(20)
        try:
            payload = messages.seal(context, cipher, epoch_secret, plaintext)
        except Refused:
            payload = self.random.randbytes(100)
        if one_in(self.random, 8):
            sealed = wire.MESSAGES["Sealed"].FromString(payload) if len(payload) != 100 else wire.new("Sealed")
            spoil_message(self.random, sealed)
            payload = sealed.SerializeToString()
        if one_in(self.random, 8):
            payload = spoil_encoding(self.random, payload)
        if one_in(self.random, 12):
            self.spoil_context(context)
        if one_in(self.random, 30):
            cipher ^= 1
        if one_in(self.random, 30):
            epoch_secret = self.random.randbytes(32)
        return "open", (*self.heard(context), n(cipher), epoch_secret, self.key_of(sender), self.key_of(commander),
                        payload)

    # ---- association ----

    def association(self):
        return association.Association(self.random.randbytes(16), self.random.randbytes(32), self.random.choice((1, 2)),
                                       "gs-wrap/1", self.random.choice(AES + CSES), self.random.choice(CSES))

    @staticmethod
    def agreement(ends):
        return ends.id, ends.key, n(ends.mode), ends.mechanism.encode()

    def record_body(self):
        thing = wire.new("RecordBody", item=self.u64())
        content = self.random.choice(list(association.TYPES))
        inner = getattr(thing, content)
        inner.SetInParent()
        if content == "accept":
            inner.item, inner.result = self.u64(), self.random.choice(U32)
            inner.reason = self.random.choice(("", "full") + ODD_TEXTS)
        elif content == "package":
            inner.group, inner.instance, inner.leaf_secret = "doors", self.instance(), self.random.randbytes(32)
            inner.sites.extend(self.some(SITES, 3))
        elif content == "change":
            inner.group, inner.instance = "doors", self.instance()
            inner.announcement.CopyFrom(self.announcement())
            if one_in(self.random, 2):
                inner.policy.CopyFrom(self.policy())
        elif content == "order":
            inner.order.CopyFrom(self.order())
            inner.body = self.body()
        elif content == "report":
            inner.entries.extend(wire.new("ReportEntry", name=name, outcome=self.random.randrange(7), detail=self.random
                                          .choice(ODD_TEXTS)) for name in self.some(AES, 3))
        elif content == "newest":
            inner.announcements.extend(self.announcement() for _ in range(2))
        for _ in range(self.random.choice((0, 0, 1))):
            spoil_message(self.random, inner)
        return thing, content

    def record(self, ends, direction):
        thing, content = self.record_body()
        kind = association.TYPES[content][0] if not one_in(self.random, 20) else self.random.randrange(17)
        if not one_in(self.random, 10):
            direction = self.random.choice(sorted(association.TYPES[content][1]))
        counter = self.random.choice((1, 1000, 1700000002003004, 2**63 - 1, 2**63, 2**64 - 1)
                                     if one_in(self.random, 5) else (1700000002003004,))
        return direction, association.seal(ends, direction, kind, self.random.randbytes(8), counter,
                                           self.encoded(thing))

    def draw_record(self):
        ends = self.association()
        direction, record = self.record(ends, self.random.choice((1, 2)))
        received = record.counter - 1 if not one_in(self.random, 6) else self.random.choice(
            (0, record.counter, 2**63 - 1))
        if one_in(self.random, 8):
            spoil_message(self.random, record)
        packed = self.encoded(wire.new("EndToEnd", record=record)) if one_in(self.random, 3) else wire.new(
            "EndToEnd", record=record).SerializeToString()
        if one_in(self.random, 6):
            way = self.random.randrange(6)
            if way == 0:
                ends.id = self.random.randbytes(16)
            elif way == 1:
                ends.key = self.random.randbytes(32)
            elif way == 2:
                ends.mode = 3 - ends.mode
            elif way == 3:
                ends.member = self.random.choice(AES)
            elif way == 4:
                ends.authority = self.random.choice(CSES)
            else:
                direction = 3 - direction
        return "record", (*self.agreement(ends), ends.member.encode(), ends.authority.encode(), n(direction),
                          n(received), packed)

    def draw_end_to_end(self):
        thing = wire.new("EndToEnd")
        if one_in(self.random, 5):
            thing.record.CopyFrom(self.record(self.association(), 1)[1])
        elif one_in(self.random, 8):
            thing.refusal.SetInParent()
        else:
            number = self.random.randint(1, 4)
            thing.flight.number = number
            thing.flight.hello_hash = self.random.randbytes(0 if number == 1 else 32)
            sizes = (1, 300, 300, 2000) if not one_in(self.random, 6) else (0, 4096, 4097, 40000, 49000, 49140, 49150)
            thing.flight.tls = self.random.randbytes(self.random.choice(sizes if number < 4 else (0,)))
            if (number > 2) != one_in(self.random, 12):
                thing.flight.record.CopyFrom(wire.new(
                    "Record", association=self.random.randbytes(16), boot=self.random.randbytes(8), counter=self.u64(),
                    type=max(1, number - 2) if not one_in(self.random, 10) else self.random.randrange(17),
                    ciphertext=self.random.randbytes(self.random.choice((16, 100, 15)))))
        if one_in(self.random, 4):
            spoil_message(self.random, thing)
        return "end to end", (self.encoded(thing),)

    def draw_first(self):
        ends, name, seed = self.association(), self.random.choice(AES + CSES), self.seed()
        key = public_key(seed)
        thing = wire.new("First", signing_key=key, signature=association.first_signature(ends.id, name, key, seed))
        way = self.random.randrange(8)
        if way == 0:
            spoil_message(self.random, thing)
        elif way == 1:
            ends.id = self.random.randbytes(16)
        elif way == 2:
            name = self.random.choice(AES)
        elif way == 3:  # small points, with a signature that fits them without a seed
            thing.signing_key = self.random.choice(WRONG_POINTS)
            thing.signature = b"\1" + bytes(63)
        elif way == 4:  # the same S, plus the group's order
            order = 2**252 + 27742317777372353535851937790883648493
            big = int.from_bytes(thing.signature[32:], "little") + order
            thing.signature = thing.signature[:32] + big.to_bytes(32, "little")
        return "first", (*self.agreement(ends), name.encode(), self.encoded(thing))

    def draw_sign_first(self):
        return "sign first", (self.seed(), *self.agreement(self.association()), self.random.choice(AES).encode())

    # ---- names ----

    def draw_name(self):
        name = self.random.choice(ODD_TEXTS + AES + CSES + SITES).replace("\0", "")
        if one_in(self.random, 2):
            name = "".join(self.random.choice("/SCaz09.-_: \u00e9") for _ in range(self.random.randrange(10)))
            name = self.random.choice(("", "//", "//a/", "//a/b/")) + name
        return "name", (name.encode(),)
