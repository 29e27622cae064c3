/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_IDENTITY_STATE_H
#define GROUPSEAL_SECENV_MEMBER_IDENTITY_STATE_H

#include "secenv/limits.h"
#include "secenv/member/authentication.h"
#include "secenv/member/member_engine.h"
#include "secenv/member/standing.h"

struct membership;

/*
 * One identity of this secure environment while the engine runs: its credentials, its Ed25519 key (made
 * here, the first time it is loaded), its association with the authority and its memberships.
 */
struct identity_state {
    struct engine *engine;
    struct identity identity;
    struct handshake_context *tls;
    struct signing_key signing;
    struct limits limits; /* what its owner may do */
    struct bucket onlines;
    struct bucket authentications; /* that the owner asked for */
    uint64_t online_due_us;        /* it came up too often: it is taken for up then; NEVER */
    uint64_t floor;                /* incarnations below it are over; 0: none is */
    uint64_t authority_time_ms;    /* the newest time that the authority has authenticated to us */
    bool online;
    uint64_t owner;  /* the connection that said so; 0: none has */
    bool owner_lost; /* that connection is gone, since the last turn */
    bool associated;
    struct association association; /* where associated */
    struct authentication authentication;
    unsigned refusals; /* of our records, in a row */
    struct standing standing;
    bool silence_told; /* that the authority does not answer: said once */
    struct membership *memberships;
    size_t membership_count;
    uint64_t due_us; /* monotonic: the next turn that it needs; 0: this one */
    size_t agenda_place;
    uint64_t problem_told_us; /* 0: never */
    bool stale;               /* memory may be ahead of the store: read again before use */
};

extern const char member_key_schema[];

/* Takes ownership of `identity`'s buffers when it returns OK. Inside a transaction. */
enum result identity_state_open(struct engine *engine, struct identity *identity, struct identity_state **out,
                                struct reason *why) MUST_USE;
void identity_state_free(struct identity_state *identity); /* wipes; NULL is allowed */

/* Reads association and memberships again from the store; what is only in memory (sync, waiting messages,
 * receipts that are due) starts anew. */
enum result identity_state_reload(struct identity_state *identity, struct reason *why) MUST_USE;

/*
 * The connection to the broker came up or went down. Said again while it is up: the authority may be in reach
 * again, so what waits for it is due now, and nothing else happens. Each time it comes up costs the authority
 * and the group something: too often, it is taken for up a little later, and what is said again is passed
 * over.
 */
#define IDENTITY_ONLINES_BURST 10u
#define IDENTITY_ONLINES_INTERVAL_US 2000000u
enum result identity_state_online(struct identity_state *identity, bool online, struct reason *why) MUST_USE;

/* The owner wants an authentication. RESULT_TOO_OFTEN: each costs the member's groups a change. */
#define IDENTITY_AUTHENTICATIONS_BURST 3u
#define IDENTITY_AUTHENTICATIONS_INTERVAL_US 60000000u
enum result identity_state_authenticate(struct identity_state *identity, struct reason *why) MUST_USE;

/* The owner's connection speaks for it now. Where that was another one before, nobody works on the commands
 * that were given to that one. */
enum result identity_state_owned(struct identity_state *identity, uint64_t connection,
                                 struct reason *why) MUST_USE;
/* That connection is gone: if it was the owner's, the next turn takes the identity offline. */
void identity_state_disconnected(struct identity_state *identity, uint64_t connection);

/* Everything that is due. Sets due_us. What goes wrong with this identity or one of its groups alone is
 * logged and put off: the result is OK, RESULT_STORE or RESULT_INTERNAL. */
enum result identity_state_turn(struct identity_state *identity, struct reason *why) MUST_USE;

/* It needs this batch's turn, or the next where this one is under way. */
void identity_state_touch(struct identity_state *identity);

static inline bool identity_is_relay(const struct identity_state *identity)
{
    return identity->identity.kind == IDENTITY_MN_CSE;
}

/* Store and memory of the floor that the authority has named (docs/protocol.md section 5, "Start and
 * incarnation"). A higher one ends the memberships of before, and the authority begins anew with `time_ms`,
 * which may be earlier than what it has said (0: its next announcement says the time). */
enum result identity_state_floor(struct identity_state *identity, uint64_t floor, uint64_t time_ms,
                                 struct reason *why) MUST_USE;
/* Store and memory of authority_time_ms: it only rises, within a floor. */
enum result identity_state_time(struct identity_state *identity, uint64_t time_ms,
                                struct reason *why) MUST_USE;

#endif
