# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes every derivation, list, record and message again with the second implementation (tests/vectors/
groupseal_reference, written from docs/protocol.md) and compares with what the secure environment's own code prints.
tests/vectors/v1.json was printed when version 1 of the formats was fixed: it must hold as well, so that code and page
cannot drift together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
sys.path.insert(0, str(VECTORS))

from groupseal_reference import association, messages, objects, tree, wire  # noqa: E402
from groupseal_reference.lists import Refused, kdf, sha256, sign, verify  # noqa: E402

SEED = bytes(range(32))  # of every key in the vectors


@pytest.fixture(scope="module", params=["printed now", "fixed"])
def vectors(request, build, tmp_path_factory):
    if request.param == "fixed":
        return json.loads((VECTORS / "v1.json").read_text())
    run = subprocess.run([build / "bin" / "vectors", tmp_path_factory.mktemp("vectors")],
                         stdout=subprocess.PIPE, check=True, timeout=60)
    return json.loads(run.stdout)


def raw(text):
    return bytes.fromhex(text)


def refused(call, *arguments):
    with pytest.raises(Refused):
        call(*arguments)


def message(name, vector):
    """What is on the wire; it says what the vector says."""
    thing = wire.parse(name, raw(vector["packed"]))
    assert said(thing) == vector["object"]
    assert thing.SerializeToString() == raw(vector["packed"])
    return thing


def said(thing):
    """A message as vectors.c prints it."""
    out = {}
    for field in thing.DESCRIPTOR.fields:
        value = getattr(thing, field.name)
        if field.label == field.LABEL_REPEATED:
            out[field.name] = [value_said(field, one) for one in value]
        elif field.type == field.TYPE_MESSAGE or field.containing_oneof:
            if thing.HasField(field.name):
                out[field.name] = value_said(field, value)
        else:
            out[field.name] = value_said(field, value)
    return out


def value_said(field, value):
    if field.type == field.TYPE_MESSAGE:
        return said(value)
    return value.hex() if field.type == field.TYPE_BYTES else value


# ---- section 5 ----

def test_kdf(vectors):
    assert {vector["label"] for vector in vectors["kdf"]} == {"key", "up", "confirm"}
    for vector in vectors["kdf"]:
        assert kdf(raw(vector["secret"]), vector["label"]).hex() == vector["out"]


def test_epoch_secret(vectors):
    for vector in vectors["epoch"]:
        secret = tree.epoch_secret(raw(vector["root"]), raw(vector["instance"]), vector["incarnation"],
                                   vector["epoch"])
        assert secret.hex() == vector["secret"]
        assert tree.confirmation(secret).hex() == vector["confirmation"]


def path(vector, leaf):
    blocks = {(block["row"], block["column"]): raw(block["nodes"]) for block in vector["blocks"]}
    return [blocks[place] for place in enumerate(tree.block_path(leaf, vector["height"]))]


def test_every_member_climbs(vectors):
    for vector in vectors["tree"]:
        for leaf, secret in vector["leaves"].items():
            blocks = path(vector, int(leaf))
            assert tree.climb(raw(secret), int(leaf), vector["height"], blocks).hex() == vector["root"]


def test_another_leaf_secret_climbs_nowhere(vectors):
    for vector in vectors["tree"]:
        for leaf in vector["leaves"]:
            try:
                blocks = path(vector, int(leaf))
                assert tree.climb(bytes(32), int(leaf), vector["height"], blocks).hex() != vector["root"]
            except Refused:
                pass


@pytest.mark.parametrize("kind, name", [("announcement", "Announcement"), ("block", "Block"), ("policy", "Policy"),
                                        ("roster_delta", "RosterDelta"), ("roster_page", "RosterPage")])
def test_signed_by_the_authority(vectors, kind, name):
    for vector in vectors[kind]:
        thing = message(name, vector)
        objects.check(thing, raw(vector["key"]))
        assert objects.sign_object(thing, SEED).hex() == vector["signature"] == thing.signature.hex()
        thing.incarnation ^= 1
        refused(objects.check, thing, raw(vector["key"]))


def test_policy_hash(vectors):
    for vector in vectors["policy"]:
        assert objects.policy_hash(message("Policy", vector)).hex() == vector["hash"]


def test_roster_hash(vectors):
    for delta, page in zip(vectors["roster_delta"], vectors["roster_page"]):
        assert objects.roster_hash(message("RosterDelta", delta).set).hex() == delta["object"]["hash"]
        assert objects.roster_hash(message("RosterPage", page).entries).hex() == page["object"]["hash"]


# ---- section 6 ----

def test_order(vectors):
    for vector in vectors["order"]:
        thing, body = message("Order", vector), raw(vector["body"])
        where = raw(vector["instance"]), vector["incarnation"]
        assert objects.order_hash(thing, *where, body).hex() == vector["hash"]
        assert objects.sign_order(thing, *where, body, SEED).hex() == vector["signature"]
        objects.order_check(thing, *where, "mn-1", body, raw(vector["key"]))
        refused(objects.order_check, thing, *where, "mn-3", body, raw(vector["key"]))
        refused(objects.order_check, thing, *where, "mn-1", body + b"!", raw(vector["key"]))


def test_command(vectors):
    assert {bool(vector["object"]["wanted"]) for vector in vectors["command"]} == {False, True}
    for vector in vectors["command"]:
        thing, where = message("Command", vector), (raw(vector["instance"]), vector["incarnation"])
        assert messages.command_hash(thing, *where).hex() == vector["hash"]
        assert (vector["hash"] == objects.order_hash(thing.order, *where, thing.body).hex()) is not bool(thing.wanted)
        thing.wanted += b"\0"
        refused(messages.command_hash, thing, *where)


def context(vector):
    return messages.Context(raw(vector["instance"]), vector["incarnation"], vector["site"], vector["kind"],
                            vector["ae"], vector["epoch"], vector["serial"], raw(vector["boot"]), vector["counter"])


def test_sealed(vectors):
    assert {(vector["kind"], vector["aead"]) for vector in vectors["sealed"]} == {
        (kind, aead) for kind in (1, 2, 3, 4) for aead in (0, 1)}
    for vector in vectors["sealed"]:
        secret, payload = raw(vector["epoch_secret"]), raw(vector["payload"])
        assert messages.seal(context(vector), vector["aead"], secret, raw(vector["plaintext"])) == payload
        heard = context(vector)
        heard.epoch = heard.serial = heard.counter = 0
        assert messages.open_sealed(heard, vector["aead"], secret, messages.parse(payload)).hex() == vector[
            "plaintext"]
        assert heard == context(vector)
        refused(messages.open_sealed, heard, 1 - vector["aead"], secret, messages.parse(payload))


def sealed_signature(vector, expires_ms, digest):
    where = context(vector)
    assert messages.seal_signature(where, expires_ms, digest, SEED).hex() == vector["signature"]
    verify(raw(vector["key"]), raw(vector["signature"]), "seal", messages.seal_list(where, expires_ms, digest))


def said_signature(vector, digest):
    where = context(vector)
    assert messages.said_signature(where, digest, SEED).hex() == vector["signature"]
    verify(raw(vector["key"]), raw(vector["signature"]), "said", messages.said_list(where, digest))


def test_seal_signature(vectors):
    for vector in vectors["seal"]:
        sealed_signature(vector, vector["seal_expires_ms"], raw(vector["hash"]))
    for vector in vectors["sync"]:
        digest = messages.sync_hash(message("SyncReply", vector))
        assert digest.hex() == vector["hash"]
        sealed_signature(vector, 0, digest)


def test_member_signature(vectors):
    for vector in vectors["message"]:
        said_signature(vector, sha256(raw(vector["body"])))
    assert {vector["content"] for vector in vectors["ack"]} == {"sync_request", "receipt", "holding"}
    for vector in vectors["ack"]:
        name = {"sync_request": "SyncRequest", "receipt": "Receipt", "holding": "Holding"}[vector["content"]]
        ack = wire.new("Ack", **{vector["content"]: message(name, vector)})
        getattr(ack, vector["content"]).SetInParent()
        assert messages.ack_hash(ack).hex() == vector["hash"]
        said_signature(vector, messages.ack_hash(ack))


# ---- sections 3 and 4 ----

def test_record(vectors):
    kinds = {vector["object"]["type"] for vector in vectors["record"]}
    assert kinds == {number for number, _ in association.TYPES.values()}
    assert {vector["direction"] for vector in vectors["record"]} == {1, 2}
    for vector in vectors["record"]:
        record = message("Record", vector)
        ends = association.Association(record.association, raw(vector["secret"]), vector["mode"],
                                       vector["mechanism"], vector["member"], vector["authority"])
        direction, received = vector["direction"], record.counter - 1
        body = association.open_record(ends, direction, received, record)
        assert said(body) == vector["body"]
        assert body.SerializeToString().hex() == vector["plaintext"]
        assert association.seal(ends, direction, record.type, record.boot, record.counter,
                                raw(vector["plaintext"])) == record
        refused(association.open_record, ends, 3 - direction, received, record)
        refused(association.open_record, ends, direction, record.counter, record)


def test_end_to_end(vectors):
    contents = [association.parse(raw(vector["packed"])).WhichOneof("content") for vector in vectors["end_to_end"]]
    assert contents == ["flight"] * 4 + ["record", "refusal"]
    for vector in vectors["end_to_end"]:
        message("EndToEnd", vector)


def test_first(vectors):
    for vector in vectors["first"]:
        first = message("First", vector)
        association.first_check(raw(vector["association"]), vector["name"], first)
        assert sign(SEED, "first", association.first_list(raw(vector["association"]), vector["name"],
                                                          first.signing_key)) == first.signature
        refused(association.first_check, raw(vector["association"]), vector["name"] + "2", first)
