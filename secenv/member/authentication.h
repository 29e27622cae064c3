/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_AUTHENTICATION_H
#define GROUPSEAL_SECENV_MEMBER_AUTHENTICATION_H

#include "secenv/association.h"

struct identity_state;

/*
 * The member's side of the end-to-end authentication (docs/protocol.md section 4), with its back-off:
 * at once when it is asked for, then 2 s doubling to 300 s, jittered. The association in use stays until a
 * new one has been confirmed.
 */
enum authentication_step {
    AUTHENTICATION_IDLE = 0,
    AUTHENTICATION_HELLO_SENT = 1,  /* flight 1; flight 2 is waited for */
    AUTHENTICATION_FINISH_SENT = 2, /* flight 3; flight 4 is waited for */
};

struct authentication {
    enum authentication_step step;
    struct handshake *handshake;
    uint64_t token;       /* of the Send whose answer is waited for; 0: none */
    uint64_t given_up;    /* of one whose answer is not waited for any more */
    uint64_t due_us;      /* the next attempt, or flight 3 again; NEVER */
    uint64_t deadline_us; /* an answer is not waited for longer */
    uint64_t done_us;     /* when the last one ended well */
    unsigned failures;    /* in a row */
    unsigned finish_sent; /* how often flight 3 went out */
    uint8_t hello_hash[HASH_SIZE];
    struct buffer flight3;          /* the packed object, to be sent again unchanged */
    struct association association; /* in the making */
    bool doubted;                   /* due because records were refused */
    bool hurried;                   /* if flight 3 is not answered, go on at once */
    char last_failure[256];         /* said once, not at each attempt */
};

void authentication_init(struct authentication *authentication);
void authentication_clear(struct authentication *authentication); /* wipes */

extern const char authentication_schema[];

/* Start one as soon as the identity is online (the owner's wish, no association). */
void authentication_ask(struct identity_state *identity);
/* The authority wants one (REAUTHENTICATE): on disk until the next association is installed. */
enum result authentication_order(struct identity_state *identity, struct reason *why) MUST_USE;
/* Asks for what the authority wanted before a restart. */
enum result authentication_load(struct identity_state *identity, struct reason *why) MUST_USE;
/* Records are refused: start one soon, but not at once after one that has ended well. False where one is due
 * or under way already. */
bool authentication_doubt(struct identity_state *identity);
/* In no group any more: the operator may add this member again, so it asks now and then, by the back-off. */
void authentication_ask_later(struct identity_state *identity);
/* The authority may be in reach again: what waits or has had no answer is due now. Starts none by itself. */
void authentication_hurry(struct identity_state *identity);
/* A record was taken after all: what was only due for doubt is not needed. */
void authentication_reassure(struct identity_state *identity);
/* The connection is gone: what was under way is given up without counting as a failure. */
void authentication_abandon(struct identity_state *identity);

/* True where the token is this authentication's. */
bool authentication_owns(const struct identity_state *identity, uint64_t token);
/* True where it is of an attempt that was ended: nothing that comes back for it means anything. */
bool authentication_gave_up(const struct identity_state *identity, uint64_t token);
/* What became of its Send: an EndToEnd, or NULL with why there is none. */
enum result authentication_answered(struct identity_state *identity,
                                    const Groupseal__Envelope__EndToEnd *object, const char *failure,
                                    struct arena *arena, struct reason *why) MUST_USE;
/*
 * A record of the association in the making came before flight 4 did (they travel on different topics): that
 * the authority can seal in it shows as well as CONFIRM that it has installed it. Opens the record and
 * installs the association.
 */
bool authentication_awaits(const struct identity_state *identity, const Groupseal__Envelope__Record *record);
enum result authentication_overtaken(struct identity_state *identity,
                                     const Groupseal__Envelope__Record *record, struct arena *arena,
                                     Groupseal__Envelope__RecordBody **out, struct reason *why) MUST_USE;
enum result authentication_turn(struct identity_state *identity, uint64_t *next, struct reason *why) MUST_USE;

#endif
