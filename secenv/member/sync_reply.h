/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SYNC_REPLY_H
#define GROUPSEAL_SECENV_MEMBER_SYNC_REPLY_H

#include "secenv/objects/object.h"

struct membership;

/*
 * The MN-CSE's answers to sync requests: nonces are collected for a moment and answered in one message. All
 * members get it, so that where many ask at the same time the next one waits for as long as so many members
 * are worth: else a fleet that comes back would drown in the answers to each of it.
 */
#define SYNC_NONCES_LIMIT 1024u
#define SYNC_COLLECT_US 20000u
#define SYNC_GAP_EACH_US 500u /* between two answers, for each member */
#define SYNC_GAP_LIMIT_US 4000000u

struct sync_replies {
    uint8_t nonces[SYNC_NONCES_LIMIT][NONCE_SIZE];
    size_t count;
    uint64_t due_us;  /* while count > 0 */
    uint64_t next_us; /* none before, unless they are SYNC_NONCES_LIMIT */
};

/* Between two answers to a group of so many: a member waits for longer before it asks again. */
uint64_t sync_reply_gap_us(uint64_t members);
void sync_reply_add(struct membership *membership, const uint8_t nonce[NONCE_SIZE]);
enum result sync_reply_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
