# SPDX-License-Identifier: GPL-3.0-or-later
"""A second implementation of the formats of docs/protocol.md, for tests only.

It is written from that page and from proto/envelope.proto, not from the secure environment's code, with other
libraries (OpenSSL by way of python3-cryptography, Google's protobuf). It keeps no state and takes no care of its
secrets. Each file is one part of the page: lists (section 1), wire (encodings), names, tree, objects (section 5),
messages (section 6), association (sections 3 and 4).
"""
