/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_COMMAND_TABLE_H
#define GROUPSEAL_SECENV_MEMBER_COMMAND_TABLE_H

#include "secenv/member/membership.h"

/*
 * Commands that were given to the application: on disk before it sees them, so that none runs twice. A row is
 * forgotten when the order has expired for good: before the newest time that the authority has signed, when
 * no seal can bring it back; or, where the authority is away, a day after its seal expired on the relay's
 * clock. A full table refuses new commands and never forgets.
 */
#define COMMAND_TABLE_LIMIT 1024u /* of one identity in one group */

struct command_row {
    uint8_t id[COMMAND_ID_SIZE];
    size_t site; /* index in the membership's sites, where the receipt goes */
    uint64_t expires_ms;
    uint64_t seal_expires_ms;
    Groupseal__Envelope__Outcome outcome; /* ACCEPTED while the application works on it */
    char detail[DETAIL_LIMIT + 1];
};

extern const char command_schema[];

/* `*found` says whether it is there. */
enum result command_table_find(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                               struct command_row *out, bool *found, struct reason *why) MUST_USE;
/* RESULT_FULL. */
enum result command_table_add(const struct membership *membership, const struct command_row *row,
                              struct reason *why) MUST_USE;
enum result command_table_finish(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                                 Groupseal__Envelope__Outcome outcome, const char *detail,
                                 struct reason *why) MUST_USE;
/* The application, or we, ended while it worked: those commands are `unknown`, and a receipt will say so. */
enum result command_table_interrupted(struct membership *membership, struct reason *why) MUST_USE;
/* Rows of other instances of a group. */
enum result command_table_forget_others(const struct identity_state *identity, const char *group,
                                        struct bytes instance, struct reason *why) MUST_USE;

#endif
