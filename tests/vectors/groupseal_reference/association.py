# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md sections 3 and 4: EndToEnd, records of an association, FIRST."""

from dataclasses import dataclass

from . import wire
from .lists import HASH_SIZE, KEY_SIZE, decrypt, encrypt, fix, kdf, require, sign, u8, u64, var, verify

ID_SIZE = 16
BOOT_SIZE = 8
TO_AUTHORITY, TO_MEMBER = 1, 2
CHACHA20_POLY1305 = 0
COUNTER_LIMIT = 2**63 - 1

# RecordType by the field of RecordBody's content: its number, and the directions that carry it.
TYPES = {
    "first": (1, {TO_AUTHORITY}),
    "confirm": (2, {TO_MEMBER}),
    "accept": (3, {TO_AUTHORITY, TO_MEMBER}),
    "package": (4, {TO_MEMBER}),
    "change": (5, {TO_MEMBER}),
    "roster_delta": (6, {TO_MEMBER}),
    "roster_page": (7, {TO_MEMBER}),
    "order": (8, {TO_MEMBER}),
    "left": (9, {TO_MEMBER}),
    "reauthenticate": (10, {TO_MEMBER}),
    "report": (11, {TO_AUTHORITY}),
    "roster_ask": (12, {TO_AUTHORITY}),
    "package_ask": (13, {TO_AUTHORITY}),
    "newest": (14, {TO_AUTHORITY}),
    "revocation": (15, {TO_MEMBER}),
    "newest_ask": (16, {TO_MEMBER}),
    "holdings": (17, {TO_AUTHORITY}),
}


@dataclass
class Association:
    id: bytes
    key: bytes
    mode: int  # 1 certificate, 2 PSK
    mechanism: str
    member: str
    authority: str


def parse(data):
    """An EndToEnd."""
    thing = wire.parse("EndToEnd", data)
    content = thing.WhichOneof("content")
    require(content is not None, "an EndToEnd without content")
    if content == "record":
        check_record(thing.record)
    elif content == "flight":
        check_flight(thing.flight)
    return thing


def check_record(record):
    require(len(record.association) == ID_SIZE and len(record.boot) == BOOT_SIZE, "no record")
    require(1 <= record.type <= 17 and len(record.ciphertext) >= 16, "no record")


def check_flight(flight):
    require(1 <= flight.number <= 4, "no such flight")
    require(len(flight.hello_hash) == (0 if flight.number == 1 else HASH_SIZE), "no hello_hash, or one too many")
    require((flight.number == 4) == (not flight.tls), "no TLS bytes, or some too many")
    require((flight.number in (3, 4)) == flight.HasField("record"), "no record, or one too many")
    if flight.HasField("record"):
        check_record(flight.record)


def record_key(association, direction, boot):
    return kdf(association.key, "record",
               u8(direction) + var(association.member) + var(association.authority) + u8(association.mode)
               + var(association.mechanism) + fix(boot, BOOT_SIZE))


def associated(association, direction, kind, boot, counter):
    ends = [association.member, association.authority]
    sender, receiver = ends if direction == TO_AUTHORITY else reversed(ends)
    return var(sender) + var(receiver) + u8(kind) + fix(association.id, ID_SIZE) + fix(boot, BOOT_SIZE) + u64(counter)


def seal(association, direction, kind, boot, counter, plaintext):
    ciphertext = encrypt(CHACHA20_POLY1305, record_key(association, direction, boot), counter, plaintext,
                         associated(association, direction, kind, boot, counter))
    return wire.new("Record", association=association.id, boot=boot, counter=counter, type=kind,
                    ciphertext=ciphertext)


def open_record(association, direction, received, record):
    """The RecordBody. `received` is the highest counter opened so far in this direction."""
    check_record(record)
    require(record.association == association.id, "of another association")
    require(received < record.counter <= COUNTER_LIMIT, "its counter is not higher, or over the limit")
    plaintext = decrypt(CHACHA20_POLY1305, record_key(association, direction, record.boot), record.counter,
                        record.ciphertext,
                        associated(association, direction, record.type, record.boot, record.counter))
    body = wire.parse("RecordBody", plaintext)
    content = body.WhichOneof("content")
    require(content is not None, "a record without content")
    kind, directions = TYPES[content]
    require(record.type == kind and direction in directions, "type and content, or direction, do not agree")
    return body


def first_list(id, name, key):
    return fix(id, ID_SIZE) + var(name) + fix(key, KEY_SIZE)


def first_signature(id, name, key, seed):
    return sign(seed, "first", first_list(id, name, key))


def first_check(id, name, first):
    verify(first.signing_key, first.signature, "first", first_list(id, name, first.signing_key))
