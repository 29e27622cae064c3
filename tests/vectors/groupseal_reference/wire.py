# SPDX-License-Identifier: GPL-3.0-or-later
"""proto/envelope.proto, read by Google's protobuf; and what docs/protocol.md section 1 adds to it."""

import subprocess
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from .lists import Refused, require, sha256, u8, u32, u64, var

PROTO = Path(__file__).resolve().parents[3] / "proto"
OBJECT_LIMIT = 48 * 1024


def _messages():
    """{name: class} of proto/envelope.proto, which protoc reads."""
    run = subprocess.run(["protoc", f"--proto_path={PROTO}", "--descriptor_set_out=/dev/stdout", "envelope.proto"],
                         stdout=subprocess.PIPE, check=True)
    pool = descriptor_pool.DescriptorPool()
    found = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(run.stdout).file:
        pool.Add(file)
        for message in file.message_type:
            found[message.name] = f"{file.package}.{message.name}"
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(full)) for name, full in found.items()}


MESSAGES = _messages()


def new(name, /, **fields):
    return MESSAGES[name](**fields)


def _varint(data, at, most):
    """A varint of `most` bytes at most, whose bits fit into 64, or into 32."""
    value = 0
    for place in range(most):
        require(at < len(data), "cut")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            require(value < 1 << (64 if most == 10 else 32), "a number does not fit")
            return value, at
    raise Refused("a number is too long")


VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5


def _wire_type(field):
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE):
        return SIZED
    return FIXED64 if field.type == field.TYPE_FIXED64 else VARINT


def _is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check(descriptor, data):
    """What section 1 says of encodings, beyond what the parser refuses."""
    at, seen = 0, set()
    while at < len(data):
        tag, at = _varint(data, at, 5)
        kind, field = tag & 7, descriptor.fields_by_number.get(tag >> 3)
        require(tag >> 3 != 0, "field 0")
        require(kind in (VARINT, FIXED64, SIZED, FIXED32), "a group")
        require(field is None or kind == _wire_type(field), "a field of another wire type")
        if field and field.label != field.LABEL_REPEATED:
            require(field.number not in seen, "a field comes twice")
            seen.add(field.number)
        size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind == VARINT:
            _, at = _varint(data, at, 10)
        elif kind == SIZED:
            size, at = _varint(data, at, 5)
        require(size <= len(data) - at, "cut")
        content, at = data[at:at + size], at + size
        if field and field.type == field.TYPE_STRING:
            require(0 not in content, "text with NUL")
            require(_is_utf8(content), "text that is not UTF-8")
        elif field and field.type == field.TYPE_MESSAGE:
            _check(field.message_type, content)


def parse(name, data):
    require(len(data) <= OBJECT_LIMIT, "over 48 KiB")
    _check(MESSAGES[name].DESCRIPTOR, bytes(data))
    try:
        return MESSAGES[name].FromString(bytes(data))
    except DecodeError:
        raise Refused(f"not a {name}") from None


def digest(message):
    """SHA-256 over all that a message says, for comparing what two readers have read."""
    return sha256(_written(message))


def _written(message):
    parts = []
    for field in sorted(message.DESCRIPTOR.fields, key=lambda field: field.number):
        value = getattr(message, field.name)
        if field.label == field.LABEL_REPEATED:
            values = list(value)
        elif field.type == field.TYPE_MESSAGE:
            values = [value] if message.HasField(field.name) else []
        elif field.containing_oneof and not message.HasField(field.name):
            values = []
        else:
            values = [value]
        parts.append(u32(field.number) + u32(len(values)))
        for one in values:
            if field.type == field.TYPE_MESSAGE:
                parts.append(var(_written(one)))
            elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
                parts.append(var(one))
            elif field.type in (field.TYPE_UINT64, field.TYPE_FIXED64):
                parts.append(u64(one))
            elif field.type == field.TYPE_BOOL:
                parts.append(u8(one))
            else:
                parts.append(u32(one & 0xFFFFFFFF))
    return b"".join(parts)
