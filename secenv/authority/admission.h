/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_ADMISSION_H
#define GROUPSEAL_SECENV_AUTHORITY_ADMISSION_H

#include "secenv/authority/member.h"
#include "secenv/authority/peer.h"
#include "secenv/bucket.h"

#include <sys/queue.h>

/*
 * End-to-end authentication at the authority (docs/protocol.md section 4): handshakes in memory between
 * flight 1 and 3, few for each originator, for each hop and in all; and the associations that come of them.
 *
 * A hop has a rate for handshakes that come to nothing. One that ends well gives back what it took: a fleet
 * that is switched on is as quick as its authority, and who can only begin handshakes costs it little. Those
 * that end well are limited for each member.
 */
#define ADMISSION_SLOTS 2048u
#define ADMISSION_SLOTS_EACH 4u
#define ADMISSION_SLOT_US 30000000u
#define ADMISSION_BUCKETS 1024u
#define ADMISSION_SLOTS_HOP 1024u
#define ADMISSION_HOPS 256u
#define ADMISSION_HOP_RATE 50u                  /* a second, beside those that end well */
#define ADMISSION_HOP_BURST ADMISSION_SLOTS_HOP /* as many as may be under way */
#define ADMISSION_ORIGIN_RATE 2u                /* the same of one originator */
#define ADMISSION_ORIGIN_BURST 32u
#define ADMISSION_ORIGINS_EACH 4u /* of one bucket whose rates are known: those who have used the most */
/* Of one member that end well, beyond its first: each costs its groups a change. */
#define ADMISSION_EACH_INTERVAL_US 60000000u
#define ADMISSION_EACH_BURST 10u

/* A handshake under way; or one that has ended well, kept to answer a repeated flight 3 until its time is
 * over or another needs the slot. */
struct admission_slot {
    char from[129];
    char hop[129];
    uint8_t hello_hash[HASH_SIZE];
    uint64_t started_us;
    struct buffer flight2;       /* answers a repeated flight 1 */
    struct handshake *handshake; /* NULL when it has ended well */
    uint8_t flight3_hash[HASH_SIZE];
    uint8_t association[ASSOCIATION_ID_SIZE];
    TAILQ_ENTRY(admission_slot) queue; /* free, open or done */
    LIST_ENTRY(admission_slot) bucket; /* of its originator */
};

TAILQ_HEAD(admission_queue, admission_slot);
LIST_HEAD(admission_bucket, admission_slot);

/* The rate of a hop, or of an originator. */
struct admission_rate {
    char name[129]; /* "": nobody's yet */
    struct bucket bucket;
};

struct admission {
    struct admission_slot slots[ADMISSION_SLOTS];
    struct admission_queue unused;
    struct admission_queue open; /* oldest first */
    struct admission_queue done; /* oldest first */
    struct admission_bucket buckets[ADMISSION_BUCKETS];
    struct admission_rate origins[ADMISSION_BUCKETS][ADMISSION_ORIGINS_EACH]; /* by their names */
    struct admission_rate hops[ADMISSION_HOPS];
};

void admission_init(struct admission *admission);
void admission_clear(struct admission *admission); /* wipes */
/* The handshakes of this originator end. */
void admission_drop(struct admission *admission, const char *from);

/*
 * A flight came from a member of the roster. On OK `answer` is flight 2 or 4. Other results: the peer's fault
 * (counted, nothing changed) or our own.
 */
enum result admission_flight(struct engine *engine, const struct member *member, const char *hop,
                             const Groupseal__Envelope__Flight *flight, struct arena *arena,
                             Groupseal__Envelope__Flight **answer, struct reason *why) MUST_USE;

/* The pending association, in the state of `association`, becomes the current one: the old one's keys are
 * wiped, the member's leaves are due. */
enum result admission_promote(struct engine *engine, const struct member *member, struct peer *peer,
                              struct association *association, struct reason *why) MUST_USE;

/* Promotes what was pending for long enough and drops old handshakes. Lowers `*next`. */
enum result admission_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

#endif
