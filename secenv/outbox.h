/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_OUTBOX_H
#define GROUPSEAL_SECENV_OUTBOX_H

#include "secenv/association.h"

/*
 * Records that must arrive (docs/protocol.md section 4, "Outbox"): one table for (owner, peer, slot), sealed
 * at rest, sealed into the association anew each time they are sent, sent again by back-off until a record
 * ACCEPT names their item.
 */
struct outbox;

extern const char outbox_schema[];

enum result outbox_open(struct store *store, const struct clock_source *clock, struct outbox **out,
                        struct reason *why) MUST_USE;
void outbox_close(struct outbox *outbox);

/* Puts a body (its `item` is set here) in a slot, in the place of what was there. Due at once. */
enum result outbox_put(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                       Groupseal__Envelope__RecordBody *body, struct reason *why) MUST_USE;
enum result outbox_drop_slot(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                             struct reason *why) MUST_USE;
/* Of the slots that begin with `prefix` the oldest are dropped until `limit` are left. */
enum result outbox_trim(struct outbox *outbox, const char *owner, const char *peer, const char *prefix,
                        size_t limit, struct reason *why) MUST_USE;
enum result outbox_drop_peer(struct outbox *outbox, const char *owner, const char *peer,
                             struct reason *why) MUST_USE;

/* How many more items there is room for. */
enum result outbox_room(const struct outbox *outbox, const char *owner, const char *peer, size_t *out,
                        struct reason *why) MUST_USE;
#define OUTBOX_SLOTS_LIMIT ((size_t)4096) /* for one peer */

/* `*out`: the slot has an item that no ACCEPT has ended yet. */
enum result outbox_waits(const struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                         bool *out, struct reason *why) MUST_USE;

/* An ACCEPT came. `slot` receives what it answered (RESULT_UNKNOWN where nothing: a repeat). Result 7
 * (store) keeps the item for another try. */
enum result outbox_accepted(struct outbox *outbox, const char *owner, const char *peer, uint64_t item,
                            uint32_t accept_result, char *slot, size_t slot_size,
                            struct reason *why) MUST_USE;

/*
 * So many objects are on their way, without a word of what became of them. What is sent then is waited for
 * longer before it is sent again: where the way is full, more of the same would fill it for good.
 */
void outbox_under_way(struct outbox *outbox, size_t count);
#define OUTBOX_UNDER_WAY_US 5000u /* longer, for each of them; 60 s at most */

/* The peer (NULL: every peer of this owner) is in reach: everything is due now. */
void outbox_kick(struct outbox *outbox, const char *owner, const char *peer);
/* The peer was heard: what was sent to it more than once without an answer is due now. False: nothing is. */
bool outbox_heard(struct outbox *outbox, const char *owner, const char *peer);

/*
 * Calls `send` for each item that is due now, and arms its back-off. `send` seals the body into the
 * association and emits the Send event; RESULT_NOT_READY (no association, offline) leaves it for outbox_kick.
 * `attempts`: how often it was sent before, without an answer.
 */
typedef enum result (*outbox_send)(void *context, const char *owner, const char *peer, const char *slot,
                                   Groupseal__Envelope__RecordBody *body, unsigned attempts);
enum result outbox_run(struct outbox *outbox, outbox_send send, void *context, struct arena *arena,
                       struct reason *why) MUST_USE;
/* Monotonic microseconds of the next item that is due; UINT64_MAX where there is none. */
uint64_t outbox_next(const struct outbox *outbox);

#endif
