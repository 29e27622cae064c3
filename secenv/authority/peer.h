/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_PEER_H
#define GROUPSEAL_SECENV_AUTHORITY_PEER_H

#include "secenv/association.h"
#include "secenv/bucket.h"

#include <sys/queue.h>

/*
 * The members that have an association, by name, with the associations' counters: CURRENT, and PENDING where
 * a new handshake waits to be used for the first time. A search tree; the pending ones also stand in a queue,
 * oldest first.
 */
struct peer {
    char name[129];
    struct association *current;
    struct association *pending;
    uint64_t pending_until_us; /* monotonic: promoted then, used or not */
    uint64_t woken_us; /* monotonic: when what waits for it was made due last, since it was heard; 0: never */
    uint64_t asked_us; /* monotonic: when it was asked for a new one by age; 0: it was not */
    struct bucket handshakes; /* of its own that ended well */
    TAILQ_ENTRY(peer) queue;  /* where pending is set */
};

/*
 * A member that has the CONFIRM uses the new association; one that has not sends flight 3 again within
 * seconds, which promotes it as well. One that does neither in this time is out of reach, and the old keys
 * need not live on for it.
 */
#define PENDING_US 5000000u

TAILQ_HEAD(peer_queue, peer);

struct peers {
    void *tree;
    struct peer_queue pending;
};

enum result peers_load(struct peers *peers, struct store *store, uint64_t now_us,
                       struct reason *why) MUST_USE;
void peers_clear(struct peers *peers); /* wipes */

/* Every peer; `each` neither adds nor removes any. */
void peers_each(const struct peers *peers, void (*each)(void *context, struct peer *peer), void *context);
struct peer *peers_find(const struct peers *peers, const char *name);
/* Takes a copy of the association into its slot, in the place of what was there (wiped). */
enum result peers_set(struct peers *peers, const struct association *association, uint64_t now_us,
                      struct reason *why) MUST_USE;
/* The pending association, in its present state, is the current one from now on. */
void peers_promote(struct peers *peers, struct peer *peer, const struct association *association);
void peers_remove(struct peers *peers, const char *name);

/* The peer's association of this key id, or NULL. */
struct association *peer_association(const struct peer *peer, struct bytes id);

#endif
