/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_DISPATCH_COMMAND_H
#define GROUPSEAL_SECENV_MEMBER_DISPATCH_COMMAND_H

#include "secenv/member/dispatch_target.h"

struct identity_state;
struct relay;
struct roster_member;

/*
 * Commands at the MN-CSE: an order is verified, stored so that it says who should answer, sealed to the
 * group and published before it is accepted; receipts are collected and reported to the authority. While it
 * has not expired it is sealed again, with the same id, for whom it has not reached: after a member's sync,
 * after each epoch change, after a restart. Expiry is on the command clock and on the order's own times;
 * nothing extends it.
 */
#define DISPATCHES_LIMIT 256u /* of one group */

struct dispatch {
    struct dispatch *next;
    uint8_t id[COMMAND_ID_SIZE];
    bool everyone;            /* no targets named: who joins later answers too */
    bool own;                 /* this MN-CSE commands: the owner gets the report, too */
    uint64_t expires_ms;      /* the order's own, wall clock */
    uint64_t seal_expires_ms; /* command clock, fixed when it was accepted */
    uint64_t sealed_ms;       /* command clock, when it was sealed first */
    uint32_t revision;        /* of the last report; 0: none */
    bool complete;            /* as last reported */
    uint64_t seal_due_us;     /* monotonic; NEVER */
    bool after_reply;         /* a member that has asked for a sync waits for it */
    uint64_t sealed_us;       /* monotonic, the last sealing; 0: none since the start */
    uint64_t report_due_us;   /* NEVER */
    struct dispatch_targets targets;
};

struct dispatches {
    struct dispatch *first;
    size_t count;
    uint64_t due_us; /* monotonic: nothing of any of them is due earlier */
};

extern const char dispatch_schema[];

enum result dispatch_load(struct relay *relay, struct reason *why) MUST_USE;
void dispatch_clear(struct dispatches *dispatches);
enum result dispatch_drop(struct relay *relay, struct reason *why) MUST_USE;

/* An order of a commander, from the authority. OK: it is on disk, sealed and published. EXISTS: it was
 * before.
 * `*expired` where that is why it is refused. */
enum result dispatch_take_order(struct identity_state *identity,
                                const Groupseal__Envelope__OrderRequest *request, bool *expired,
                                struct reason *why) MUST_USE;
/* An order of this MN-CSE's own, with neither commander nor signature: where the policy lets it. Else as
 * above.
 */
enum result dispatch_own_order(struct relay *relay, const Groupseal__Envelope__OrderRequest *request,
                               struct reason *why) MUST_USE;
/* True where the policy makes this MN-CSE a commander at its site. */
bool dispatch_may_command(const struct relay *relay);
/* The command with this id, or NULL. */
const struct dispatch *dispatch_show(const struct relay *relay, struct bytes id);
/* A receipt whose signature is that member's. */
enum result dispatch_receipt(struct relay *relay, const struct roster_member *member,
                             const Groupseal__Envelope__Receipt *receipt, struct reason *why) MUST_USE;
/* Something of one of them may be due by then, on the monotonic clock. */
void dispatch_due_by(struct relay *relay, uint64_t due_us);
enum result dispatch_turn(struct relay *relay, uint64_t *next, struct reason *why) MUST_USE;

#endif
