# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md section 1: lists, KDF, signatures, AEAD."""

import hashlib
import struct
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGNATURE_SIZE = 64
KEY_SIZE = 32
HASH_SIZE = 32
SECRET_SIZE = 32
INSTANCE_SIZE = 16


class Refused(Exception):
    """The page does not let a receiver take this."""


def require(condition, why):
    if not condition:
        raise Refused(why)


def u8(value):
    require(0 <= value < 256, "a number does not fit into u8")
    return struct.pack(">B", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def fix(value, size):
    require(len(value) == size, f"a field is of {len(value)} bytes instead of {size}")
    return bytes(value)


def var(value):
    data = value.encode() if isinstance(value, str) else bytes(value)
    return u32(len(data)) + data


def listed(values, one):
    return u32(len(values)) + b"".join(one(value) for value in values)


def label(text):
    full = b"groupseal/v1 " + text.encode()
    return struct.pack(">H", len(full)) + full


def sha256(data):
    return hashlib.sha256(data).digest()


def kdf(secret, name, fields=b""):
    return HKDF(hashes.SHA256(), 32, None, label(name) + fields).derive(secret)


@lru_cache(maxsize=1024)
def private_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(maxsize=1024)
def public_key(seed):
    return private_key(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed, name, fields):
    return private_key(seed).sign(label(name) + fields)


def verify(key, signature, name, fields):
    require(len(key) == KEY_SIZE, "the key is not of 32 bytes")
    require(len(signature) == SIGNATURE_SIZE, "the signature is not of 64 bytes")
    try:
        Ed25519PublicKey.from_public_bytes(bytes(key)).verify(bytes(signature), label(name) + fields)
    except InvalidSignature:
        raise Refused("the signature is wrong") from None


CIPHERS = (ChaCha20Poly1305, AESGCM)  # by the policy's `aead`


def encrypt(cipher, key, counter, plaintext, associated):
    return CIPHERS[cipher](key).encrypt(bytes(4) + u64(counter), plaintext, associated)


def decrypt(cipher, key, counter, ciphertext, associated):
    try:
        return CIPHERS[cipher](key).decrypt(bytes(4) + u64(counter), bytes(ciphertext), associated)
    except InvalidTag:
        raise Refused("the ciphertext is not authentic") from None
