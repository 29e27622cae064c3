# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md section 6: sealing and opening group messages, and the signatures inside."""

from dataclasses import dataclass

from . import objects, wire
from .lists import INSTANCE_SIZE, decrypt, encrypt, fix, kdf, label, listed, require, sha256, sign, u8, u64, var, verify
from .names import is_absolute, is_site

COMMAND, SYNC, MESSAGE, ACK = 1, 2, 3, 4
BOOT_SIZE = 8
NONCE_SIZE = 8
NONCES_LIMIT = 1024
DETAIL_LIMIT = 200
WANTED_LIMIT = 512


@dataclass
class Context:
    """Where a message was heard, and (epoch to counter) what its header says."""
    instance: bytes
    incarnation: int
    site: str
    kind: int
    ae: str
    epoch: int = 0
    serial: int = 0
    boot: bytes = bytes(BOOT_SIZE)
    counter: int = 0


def check_context(context):
    require(context.kind in (COMMAND, SYNC, MESSAGE, ACK), "no such kind")
    require(is_site(context.site), "no site")
    fits = is_absolute(context.ae) if context.kind in (MESSAGE, ACK) else context.ae == ""
    require(fits, "the AE does not fit the kind")


def seal_key(context, epoch_secret):
    return kdf(epoch_secret, "seal",
               u8(context.kind) + fix(context.instance, INSTANCE_SIZE) + u64(context.incarnation)
               + u64(context.serial) + fix(context.boot, BOOT_SIZE))


def associated(context):
    return (fix(context.instance, INSTANCE_SIZE) + u64(context.incarnation) + var(context.site) + u8(context.kind)
            + var(context.ae) + u64(context.epoch) + u64(context.serial) + fix(context.boot, BOOT_SIZE)
            + u64(context.counter))


def seal(context, cipher, epoch_secret, plaintext):
    """The payload of the topic."""
    check_context(context)
    ciphertext = encrypt(cipher, seal_key(context, epoch_secret), context.counter, plaintext, associated(context))
    payload = wire.new("Sealed", kind=context.kind, epoch=context.epoch, serial=context.serial, boot=context.boot,
                       counter=context.counter, ciphertext=ciphertext).SerializeToString()
    require(len(payload) <= wire.OBJECT_LIMIT, "over 48 KiB")
    return payload


def parse(payload):
    sealed = wire.parse("Sealed", payload)
    require(sealed.kind in (COMMAND, SYNC, MESSAGE, ACK), "no such kind")
    require(len(sealed.boot) == BOOT_SIZE and len(sealed.ciphertext) >= 16, "no sealed message")
    return sealed


def open_sealed(context, cipher, epoch_secret, sealed):
    """The plaintext; from epoch on, the context is filled from the header."""
    check_context(context)
    require(sealed.kind == context.kind, "the kind does not fit the topic")
    context.epoch, context.serial = sealed.epoch, sealed.serial
    context.boot, context.counter = sealed.boot, sealed.counter
    return decrypt(cipher, seal_key(context, epoch_secret), context.counter, sealed.ciphertext, associated(context))


# ---- signatures inside ----

def seal_list(context, expires_ms, digest):
    return (fix(context.instance, INSTANCE_SIZE) + var(context.site) + u8(context.kind) + u64(context.incarnation)
            + u64(context.epoch) + u64(context.serial) + fix(context.boot, BOOT_SIZE) + u64(context.counter)
            + u64(expires_ms) + digest)


def _relays(context, expires_ms):
    check_context(context)
    require(context.kind in (COMMAND, SYNC), "not what a relay signs")
    require(context.kind == COMMAND or expires_ms == 0, "a sync does not expire")


def seal_signature(context, expires_ms, digest, seed, label="seal"):
    _relays(context, expires_ms)
    return sign(seed, label, seal_list(context, expires_ms, digest))


def said_list(context, digest):
    return (fix(context.instance, INSTANCE_SIZE) + var(context.site) + u8(context.kind) + var(context.ae)
            + u64(context.incarnation) + u64(context.epoch) + u64(context.serial) + fix(context.boot, BOOT_SIZE)
            + u64(context.counter) + digest)


def said_signature(context, digest, seed):
    check_context(context)
    require(context.kind in (MESSAGE, ACK), "not what a member signs")
    return sign(seed, "said", said_list(context, digest))


def sync_list_hash(reply):
    return sha256(listed(reply.nonces, lambda nonce: fix(nonce, NONCE_SIZE)) + u64(reply.floor) + u64(reply.time_ms))


def sync_hash(reply):
    require(len(reply.nonces) <= NONCES_LIMIT, "too many nonces")
    return sync_list_hash(reply)


def ack_list_hash(ack):
    if ack.HasField("sync_request"):
        return sha256(u8(1) + fix(ack.sync_request.nonce, NONCE_SIZE))
    if ack.HasField("holding"):
        return sha256(u8(3))
    receipt = ack.receipt
    return sha256(u8(2) + fix(receipt.command_id, objects.COMMAND_ID_SIZE) + u8(receipt.outcome & 0xFF)
                  + var(receipt.detail))


def ack_hash(ack):
    content = ack.WhichOneof("content")
    require(content is not None, "an ack without content")
    if content == "receipt":
        require(1 <= ack.receipt.outcome <= 5, "no such outcome")
        require(len(ack.receipt.detail.encode()) <= DETAIL_LIMIT, "the detail is over its limit")
    return ack_list_hash(ack)


def command_list_hash(command, instance, incarnation):
    digest = objects.order_hash(command.order, instance, incarnation, command.body)
    return sha256(label("wanted") + digest + var(command.wanted)) if command.wanted else digest


def command_hash(command, instance, incarnation):
    require(len(command.wanted) % 8 == 0 and len(command.wanted) // 8 <= WANTED_LIMIT, "no list of serials")
    return command_list_hash(command, instance, incarnation)


def check_inner(context, plaintext, relay_or_member, commander):
    """Parses what was sealed, checks its signatures and returns its hash."""
    if context.kind == COMMAND:
        command = wire.parse("Command", plaintext)
        require(command.HasField("order"), "no order")
        digest = command_hash(command, context.instance, context.incarnation)
        own = objects.order_is_relays(command.order)
        verify(relay_or_member, command.seal_signature, "seal and order" if own else "seal",
               seal_list(context, command.seal_expires_ms, digest))
        if own:
            objects.order_at_site(command.order, context.site)
            return digest
        objects.order_check(command.order, context.instance, context.incarnation, context.site, command.body,
                            commander)
    elif context.kind == SYNC:
        reply = wire.parse("SyncReply", plaintext)
        digest = sync_hash(reply)
        verify(relay_or_member, reply.seal_signature, "seal", seal_list(context, 0, digest))
    elif context.kind == MESSAGE:
        message = wire.parse("MemberMessage", plaintext)
        require(len(message.body) <= objects.BODY_LIMIT, "over 16 KiB")
        digest = sha256(message.body)
        if message.signature:
            verify(relay_or_member, message.signature, "said", said_list(context, digest))
    else:
        ack = wire.parse("Ack", plaintext)
        digest = ack_hash(ack)
        verify(relay_or_member, ack.signature, "said", said_list(context, digest))
    return digest
