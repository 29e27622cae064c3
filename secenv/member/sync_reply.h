/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SYNC_REPLY_H
#define GROUPSEAL_SECENV_MEMBER_SYNC_REPLY_H

#include "secenv/objects/object.h"

struct membership;

/* The MN-CSE's answers to sync requests: nonces are collected for a moment and answered in one message. */
#define SYNC_NONCES_LIMIT 128u
#define SYNC_COLLECT_US 20000u

struct sync_replies {
    uint8_t nonces[SYNC_NONCES_LIMIT][NONCE_SIZE];
    size_t count;
    uint64_t due_us; /* while count > 0 */
};

void sync_reply_add(struct membership *membership, const uint8_t nonce[NONCE_SIZE]);
enum result sync_reply_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
