# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes every derivation, list and record of docs/protocol.md again, from that page and with another library,
and compares with what the secure environment's own code prints (tests/vectors). tests/vectors/v1.json was printed
when version 1 of the formats was fixed: it must hold as well, so that code and page cannot drift together."""

import hashlib
import json
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

FIXED = Path(__file__).resolve().parents[1] / "vectors" / "v1.json"


@pytest.fixture(scope="module", params=["printed now", "fixed"])
def vectors(request, build, tmp_path_factory):
    if request.param == "fixed":
        return json.loads(FIXED.read_text())
    run = subprocess.run([build / "bin" / "vectors", tmp_path_factory.mktemp("vectors")],
                         stdout=subprocess.PIPE, check=True, timeout=60)
    return json.loads(run.stdout)


# ---- docs/protocol.md section 1 ----

def u8(value):
    return struct.pack(">B", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def var(value):
    data = value.encode() if isinstance(value, str) else value
    return u32(len(data)) + data


def items(values, one):
    return u32(len(values)) + b"".join(one(value) for value in values)


def label(text):
    full = b"groupseal/v1 " + text.encode()
    return struct.pack(">H", len(full)) + full


def kdf(secret, name, fields=b""):
    return HKDF(hashes.SHA256(), 32, None, label(name) + fields).derive(secret)


def sha256(data):
    return hashlib.sha256(data).digest()


def nonce(counter):
    return bytes(4) + u64(counter)


def signed(vector, name, fields):
    """The signature holds over these fields, and not over others."""
    key = Ed25519PublicKey.from_public_bytes(raw(vector["key"]))
    key.verify(raw(vector["signature"]), label(name) + fields)
    with pytest.raises(InvalidSignature):
        key.verify(raw(vector["signature"]), label(name) + fields[:-1] + bytes([fields[-1] ^ 1]))


def raw(text):
    return bytes.fromhex(text)


# ---- section 5: derivations and the tree ----

def test_kdf(vectors):
    assert {vector["label"] for vector in vectors["kdf"]} == {"key", "up", "confirm"}
    for vector in vectors["kdf"]:
        assert kdf(raw(vector["secret"]), vector["label"]).hex() == vector["out"]


def test_epoch_secret(vectors):
    for vector in vectors["epoch"]:
        fields = raw(vector["instance"]) + u64(vector["incarnation"]) + u64(vector["epoch"])
        secret = kdf(raw(vector["root"]), "epoch", fields)
        assert secret.hex() == vector["secret"]
        assert kdf(secret, "confirm").hex() == vector["confirmation"]


def unpack(row, column, packed):
    """{(level, index): (source, {side: wrap})} of a block's packed nodes."""
    def place_bits(data, place):
        return data[place // 4] >> (6 - 2 * (place % 4)) & 3

    sources, wraps, rest = packed[:4], packed[4:8], packed[8:]
    nodes, place = {}, 0
    for step, count in enumerate((8, 4, 2, 1)):
        for index in range(count):
            source, wrapped = place_bits(sources, place), place_bits(wraps, place)
            place += 1
            if source == 0:
                assert wrapped == 0
                continue
            edge = {}
            for side, bit in ((0, 2), (1, 1)):
                if wrapped & bit:
                    edge[side], rest = rest[:40], rest[40:]
            nodes[4 * row + 1 + step, column * count + index] = (source, edge)
    assert place_bits(sources, 15) == place_bits(wraps, 15) == 0 and rest == b""
    return nodes


def climb(leaf, secret, nodes, height):
    for level in range(1, height + 1):
        side = leaf >> (level - 1) & 1
        source, edge = nodes[level, leaf >> level]
        if source == (2 if side else 1):
            secret = kdf(secret, "up")
        else:
            secret = aes_key_unwrap(kdf(secret, "key"), edge[side])
    return secret


def test_every_member_climbs(vectors):
    for vector in vectors["tree"]:
        nodes = {}
        for block in vector["blocks"]:
            nodes.update(unpack(block["row"], block["column"], raw(block["nodes"])))
        for leaf, secret in vector["leaves"].items():
            assert climb(int(leaf), raw(secret), nodes, vector["height"]).hex() == vector["root"]


def test_another_leaf_secret_climbs_nowhere(vectors):
    for vector in vectors["tree"]:
        nodes = {}
        for block in vector["blocks"]:
            nodes.update(unpack(block["row"], block["column"], raw(block["nodes"])))
        for leaf in vector["leaves"]:
            try:
                assert climb(int(leaf), bytes(32), nodes, vector["height"]).hex() != vector["root"]
            except InvalidUnwrap:
                pass


# ---- section 5: what the authority signs ----

def head(thing):
    return var(thing["group"]) + raw(thing["instance"]) + u64(thing["incarnation"])


def test_announcement(vectors):
    for vector in vectors["announcement"]:
        thing = vector["object"]
        signed(vector, "announcement",
               head(thing) + u64(thing["epoch"]) + u64(thing["beat"]) + u32(thing["height"])
               + raw(thing["confirmation"]) + raw(thing["policy_hash"]) + u64(thing["time_ms"])
               + items(thing["evicted"], lambda sender: u64(sender["incarnation"]) + u64(sender["serial"]))
               + u8(thing["overlap_ended"]) + var(raw(thing["top"])))


def test_block(vectors):
    for vector in vectors["block"]:
        thing = vector["object"]
        signed(vector, "block",
               raw(thing["instance"]) + u64(thing["incarnation"]) + u64(thing["epoch"]) + u32(thing["row"])
               + u32(thing["column"]) + u32(thing["height"]) + var(raw(thing["nodes"])))


def test_policy(vectors):
    for vector in vectors["policy"]:
        thing = vector["object"]
        fields = (head(thing) + u64(thing["number"])
                  + items(thing["relays"], lambda relay: var(relay["name"]) + var(relay["site"])
                          + u64(relay["incarnation"]) + u64(relay["serial"]) + raw(relay["key"]))
                  + items(thing["commanders"], lambda commander: var(commander["name"]) + raw(commander["key"])
                          + items(commander["sites"], var))
                  + u8(thing["aead"]) + u32(thing["overlap_ms"]) + u32(thing["response_window_ms"])
                  + u32(thing["beat_interval_s"]) + u8(thing["refuse_when_overdue"])
                  + u8(thing["sign_member_messages"]) + u8(thing["authority_only"]))
        assert sha256(fields).hex() == vector["hash"]
        signed(vector, "policy", fields)


def entry(value):
    return (var(value["name"]) + u64(value["incarnation"]) + u64(value["serial"]) + raw(value["signing_key"])
            + var(value["site"]))


def test_roster(vectors):
    for vector in vectors["roster_delta"]:
        thing = vector["object"]
        assert sha256(items(thing["set"], entry)).hex() == thing["hash"]
        signed(vector, "roster delta",
               head(thing) + u64(thing["number"]) + items(thing["set"], entry) + items(thing["removed"], var)
               + raw(thing["hash"]))
    for vector in vectors["roster_page"]:
        thing = vector["object"]
        assert sha256(items(thing["entries"], entry)).hex() == thing["hash"]
        signed(vector, "roster page",
               head(thing) + u64(thing["number"]) + u32(thing["page"]) + u32(thing["pages"])
               + items(thing["entries"], entry) + raw(thing["hash"]))


# ---- section 6 ----

def test_order(vectors):
    for vector in vectors["order"]:
        thing = vector["object"]
        fields = (raw(vector["instance"]) + u64(vector["incarnation"]) + items(thing["sites"], var)
                  + raw(thing["command_id"]) + u64(thing["issued_ms"]) + u64(thing["expires_ms"])
                  + items(thing["targets"], var) + sha256(raw(vector["body"])))
        assert sha256(label("order") + fields).hex() == vector["hash"]
        signed(vector, "order", fields)


def read_varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def read_protobuf(data):
    """{field number: value} of a message without repeated fields."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            fields[tag >> 3], at = read_varint(data, at)
        elif tag & 7 == 1:
            fields[tag >> 3], at = struct.unpack_from("<Q", data, at)[0], at + 8
        else:
            assert tag & 7 == 2
            length, at = read_varint(data, at)
            fields[tag >> 3], at = data[at:at + length], at + length
    return fields


def test_sealed(vectors):
    assert {(vector["kind"], vector["aead"]) for vector in vectors["sealed"]} == {
        (kind, aead) for kind in (1, 2, 3, 4) for aead in (0, 1)}
    for vector in vectors["sealed"]:
        sealed = read_protobuf(raw(vector["payload"]))
        assert (sealed[1], sealed[2], sealed[3], sealed[4].hex(), sealed[5]) == tuple(
            vector[name] for name in ("kind", "epoch", "serial", "boot", "counter"))
        key = kdf(raw(vector["epoch_secret"]), "seal",
                  u8(sealed[1]) + raw(vector["instance"]) + u64(vector["incarnation"]) + u64(sealed[3]) + sealed[4])
        aad = (raw(vector["instance"]) + u64(vector["incarnation"]) + var(vector["site"]) + u8(sealed[1])
               + var(vector["ae"]) + u64(sealed[2]) + u64(sealed[3]) + sealed[4] + u64(sealed[5]))
        cipher = (ChaCha20Poly1305, AESGCM)[vector["aead"]](key)
        assert cipher.decrypt(nonce(sealed[5]), sealed[6], aad).hex() == vector["plaintext"]
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce(sealed[5]), sealed[6], aad[:-1] + bytes([aad[-1] ^ 1]))


def seal_fields(vector, expires, digest):
    return (raw(vector["instance"]) + var(vector["site"]) + u8(vector["kind"]) + u64(vector["incarnation"])
            + u64(vector["epoch"]) + u64(vector["serial"]) + raw(vector["boot"]) + u64(vector["counter"])
            + u64(expires) + digest)


def said_fields(vector, digest):
    return (raw(vector["instance"]) + var(vector["site"]) + u8(vector["kind"]) + var(vector["ae"])
            + u64(vector["incarnation"]) + u64(vector["epoch"]) + u64(vector["serial"]) + raw(vector["boot"])
            + u64(vector["counter"]) + digest)


def test_seal_signature(vectors):
    for vector in vectors["seal"]:
        signed(vector, "seal", seal_fields(vector, vector["seal_expires_ms"], raw(vector["hash"])))
    for vector in vectors["sync"]:
        thing = vector["object"]
        digest = sha256(items(thing["nonces"], raw) + u64(thing["floor"]) + u64(thing["time_ms"]))
        assert digest.hex() == vector["hash"]
        signed(vector, "seal", seal_fields(vector, 0, digest))


def test_member_signature(vectors):
    for vector in vectors["message"]:
        signed(vector, "said", said_fields(vector, sha256(raw(vector["body"]))))
    assert {vector["content"] for vector in vectors["ack"]} == {"sync_request", "receipt"}
    for vector in vectors["ack"]:
        thing = vector["object"]
        if vector["content"] == "sync_request":
            fields = u8(1) + raw(thing["nonce"])
        else:
            fields = u8(2) + raw(thing["command_id"]) + u8(thing["outcome"]) + var(thing["detail"])
        assert sha256(fields).hex() == vector["hash"]
        signed(vector, "said", said_fields(vector, sha256(fields)))


# ---- section 4: records of an association ----

def test_record(vectors):
    assert {vector["direction"] for vector in vectors["record"]} == {1, 2}
    for vector in vectors["record"]:
        record = vector["object"]
        names = [vector["member"], vector["authority"]]
        sender, receiver = names if vector["direction"] == 1 else reversed(names)
        boot = raw(record["boot"])
        key = kdf(raw(vector["secret"]), "record",
                  u8(vector["direction"]) + var(vector["member"]) + var(vector["authority"]) + u8(vector["mode"])
                  + var(vector["mechanism"]) + boot)
        aad = (var(sender) + var(receiver) + u8(record["type"]) + raw(record["association"]) + boot
               + u64(record["counter"]))
        plaintext = ChaCha20Poly1305(key).decrypt(nonce(record["counter"]), raw(record["ciphertext"]), aad)
        assert plaintext.hex() == vector["plaintext"]


def test_first(vectors):
    for vector in vectors["first"]:
        signed(vector, "first",
               raw(vector["association"]) + var(vector["name"]) + raw(vector["object"]["signing_key"]))
