/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_RECEIPT_H
#define GROUPSEAL_SECENV_MEMBER_RECEIPT_H

#include "secenv/objects/object.h"

struct membership;

/*
 * Receipts that are due (docs/protocol.md section 6, "Receipts"): after a random delay in the response
 * window, with the outcome that the table of commands has by then. A lost one is asked for by the MN-CSE,
 * which seals the command again: so they are kept in memory only.
 */
#define RECEIPTS_LIMIT 1024u       /* of commands that are in the table: as many as it has rows */
#define RECEIPT_REFUSALS_LIMIT 64u /* of commands that are not */

struct receipt {
    uint8_t command_id[COMMAND_ID_SIZE];
    size_t site; /* index in the membership's sites */
    uint64_t due_us;
    const char *refusal; /* static text: REFUSED with this reason, nothing is in the table; or NULL */
};

struct receipt_queue {
    struct receipt *receipts; /* grows */
    size_t capacity;
    size_t count;
    size_t refusals; /* of these */
};

void receipt_queue_clear(struct receipt_queue *queue);

/* Draws the delay; `refusal` is static text or NULL; one that is due already for the same command stays, as a
 * refusal only if this is one too. Too many refusals: the MN-CSE asks again. */
void receipt_schedule(struct membership *membership, size_t site, const uint8_t id[COMMAND_ID_SIZE],
                      const char *refusal);
/* The application has finished: at once, unless its delay still runs. */
void receipt_finished(struct membership *membership, size_t site, const uint8_t id[COMMAND_ID_SIZE]);
enum result receipt_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
