/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SYNC_H
#define GROUPSEAL_SECENV_MEMBER_SYNC_H

#include "secenv/objects/object.h"

struct membership;

/*
 * Freshness without a clock (docs/protocol.md section 6), a member's side, for each site that relays its
 * group. In memory only: after a start no command is acted on before a reply.
 */
#define SYNC_VOID_US 10000000u /* a reply later than this after its request is void */
#define SYNC_QUESTIONS 4u      /* nonces under way */
#define SYNC_FIRST_RETRY_US 2000000u
#define SYNC_LAST_RETRY_US 30000000u

struct sync_question {
    bool open;
    uint8_t nonce[NONCE_SIZE];
    uint64_t asked_us;
};

struct site_sync {
    char site[SITE_LIMIT + 1];
    bool synchronised;
    uint64_t relay_incarnation; /* who answered: floor and clock are that relay's */
    uint64_t relay_serial;
    uint64_t floor;
    uint64_t relay_ms; /* the relay's command clock … */
    uint64_t relay_us; /* … at this monotonic time of ours */
    struct sync_question questions[SYNC_QUESTIONS];
    uint64_t next_us; /* when to ask (again); NEVER */
    uint64_t retry_us;
};

/* Ask now (start, connection). */
void sync_start(struct site_sync *sync);
/* The relay's command clock now; never behind it: counted from the moment of the question. */
uint64_t sync_relay_ms(const struct site_sync *sync, uint64_t now_us);

/* An authenticated reply of the relay (seal signature checked). */
enum result sync_take_reply(struct membership *membership, struct site_sync *sync,
                            const struct seal_context *context, const Groupseal__Envelope__SyncReply *reply,
                            struct reason *why) MUST_USE;
/* Sends the requests that are due. */
enum result sync_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
