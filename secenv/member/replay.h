/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_REPLAY_H
#define GROUPSEAL_SECENV_MEMBER_REPLAY_H

#include "secenv/member/membership.h"

/*
 * Replay state, on disk: for each kind and sender the highest counter that was taken. Commands have rows of
 * their own, one for each relay; member messages and receipts one for each AE-ID, so that nobody can fill the
 * table with names that are not his. A row of an epoch that can no longer be opened may be forgotten.
 */
#define REPLAY_ROWS_LIMIT                                                                                    \
    1024u /* of one kind in one group; an MN-CSE has as many proven ones as its roster names */

struct replay_sender {
    Groupseal__Envelope__Kind kind;
    const char *name; /* the topic's AE-ID, or the relay's site */
    bool proven;      /* signed by it: else the serial is any member's claim, and only the counter counts */
    uint64_t incarnation;
    uint64_t serial;
    uint64_t counter;
    uint64_t epoch;
};

extern const char replay_schema[];

/* RESULT_REFUSED where the counter, or the sender's serial, is not above what was taken. Changes nothing. */
enum result replay_check(const struct membership *membership, const struct replay_sender *sender,
                         struct reason *why) MUST_USE;
/* Takes it; after replay_check. RESULT_FULL where there is no room for another sender. */
enum result replay_take(const struct membership *membership, const struct replay_sender *sender,
                        struct reason *why) MUST_USE;
/* Rows of other instances of a group. */
enum result replay_forget_others(const struct identity_state *identity, const char *group,
                                 struct bytes instance, struct reason *why) MUST_USE;

#endif
