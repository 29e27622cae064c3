/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_PACKED_H
#define GROUPSEAL_SECENV_MEMBER_PACKED_H

#include <protobuf-c/protobuf-c.h>

#include "secenv/bytes.h"

/* Appends a message's protobuf encoding; on failure `out` is cleared. */
enum result message_pack(const ProtobufCMessage *message, struct buffer *out) MUST_USE;

#endif
