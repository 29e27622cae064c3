/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_OUTGOING_H
#define GROUPSEAL_SECENV_SERVICE_OUTGOING_H

#include "secenv/service/connection.h"

/* Replies and events of a batch, in order, until it is committed. */
struct outgoing {
    struct outgoing_item *items;
    size_t first; /* taken already: the items before */
    size_t count;
    size_t capacity;
    size_t bytes;
};

#define OUTGOING_LIMIT ((size_t)64 * 1024 * 1024) /* bytes of one batch */

/* `connection` as in engine_events. RESULT_INVALID: longer than a packet; RESULT_FULL: over the limit. */
enum result outgoing_add(struct outgoing *outgoing, uint64_t connection,
                         const Groupseal__Secenv__FromSecenv *message) MUST_USE;
/* One that outgoing_take_early gives before the others; there is nothing else yet. */
enum result outgoing_add_early(struct outgoing *outgoing, uint64_t connection,
                               const Groupseal__Secenv__FromSecenv *message) MUST_USE;
/* The place of the next one; outgoing_insert puts a message before what came after the mark, outgoing_drop
 * drops that. Both before the first outgoing_take. */
size_t outgoing_mark(const struct outgoing *outgoing);
enum result outgoing_insert(struct outgoing *outgoing, size_t mark, uint64_t connection,
                            const Groupseal__Secenv__FromSecenv *message) MUST_USE;
void outgoing_drop(struct outgoing *outgoing, size_t mark);
/* The early one, which is the caller's then; NULL where there is none. */
struct packet *outgoing_take_early(struct outgoing *outgoing, uint64_t *connection) MUST_USE;
/* The oldest, which is the caller's then; NULL when there are no more. */
struct packet *outgoing_take(struct outgoing *outgoing, uint64_t *connection) MUST_USE;
void outgoing_clear(struct outgoing *outgoing); /* wipes and frees */

#endif
