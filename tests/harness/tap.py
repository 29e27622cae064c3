# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the tap plugin (tap.c) writes down in the broker."""

import struct
from pathlib import Path
from typing import NamedTuple

GIVEN, PUBLISHED, SUBSCRIBED = 1, 2, 4


class Record(NamedTuple):
    access: int
    user: str
    client: str
    topic: str
    payload: bytes


class Tap:
    """Follows the file while the broker writes it."""

    def __init__(self, path):
        self.path = Path(path)
        self.position = 0
        self.rest = b""

    def _fields(self):
        """A whole record from the start of `rest`, and where it ends; None where there is none yet."""
        at, fields = 1, []
        for _ in range(4):
            if len(self.rest) < at + 4:
                return None
            (length,) = struct.unpack_from(">I", self.rest, at)
            at += 4
            if len(self.rest) < at + length:
                return None
            fields.append(self.rest[at:at + length])
            at += length
        return fields, at

    def read(self):
        """The records since the last call."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.position)
                new = file.read()
            self.position += len(new)
            self.rest += new
        records = []
        while self.rest:
            found = self._fields()
            if found is None:
                break
            (user, client, topic, payload), end = found
            records.append(Record(self.rest[0], user.decode(), client.decode(errors="replace"),
                                  topic.decode(errors="replace"), payload))
            self.rest = self.rest[end:]
        return records
