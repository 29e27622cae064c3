/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_HAND_H
#define GROUPSEAL_TESTS_UNIT_HAND_H

#include "secenv/association.h"
#include "tests/unit/site.h"

/*
 * A member that the test plays by hand, flight by flight and record by record, against a site's authority:
 * for everything that a real member would not do. It answers what it is sent with ACCEPT and keeps the
 * bodies.
 */
struct hand {
    struct site *site;
    char name[129];
    enum identity_kind kind;
    enum credentials_mode mode;
    struct handshake_context *tls;
    struct handshake *handshake;
    struct store *store; /* of the sending counter */
    struct arena *arena;
    struct signing_key signing;
    const char *first_name; /* FIRST is signed for this name; NULL: its own */
    uint8_t hello_hash[32];
    struct association coming; /* between flights 2 and 4 */
    struct association association;
    bool associated;
    uint32_t accept; /* result that it answers items with; HAND_SILENT: it answers nothing */
    Groupseal__Envelope__RecordBody *bodies[256];
    size_t body_count;
};

#define HAND_SILENT UINT32_MAX

/* With good credentials of that name; not in the roster. */
struct hand *hand_new(struct site *site, const char *name, enum identity_kind kind,
                      enum credentials_mode mode);
/* Credentials of another: `identity` is cleared. */
struct hand *hand_new_with(struct site *site, const char *name, struct identity *identity);
void hand_free(struct hand *hand);
/* The same hand under another name and credentials. */
void hand_rename(struct hand *hand, const char *name, struct identity *identity);

/* Each returns the object to send, or takes the answer; the buffers are the caller's. */
struct buffer hand_flight1(struct hand *hand);
struct buffer hand_flight3(struct hand *hand, struct bytes answer);
bool hand_flight4(struct hand *hand, struct bytes answer); /* true: CONFIRM, associated */
struct buffer hand_record(struct hand *hand, Groupseal__Envelope__RecordBody *body);

/* To the authority, as from `hand` through `hop`; NULL: directly. */
struct buffer hand_give(struct hand *hand, const char *hop, struct buffer *object);
/* All four flights. */
bool hand_authenticate(struct hand *hand);
/* A record with an item: the result of the ACCEPT, or HAND_REFUSED. */
#define HAND_REFUSED 1000u
uint32_t hand_say(struct hand *hand, Groupseal__Envelope__RecordBody *body);

bool hand_is_refusal(struct bytes object);
/* The newest body of this content that it was sent, or NULL. */
const Groupseal__Envelope__RecordBody *hand_last(const struct hand *hand,
                                                 Groupseal__Envelope__RecordBody__ContentCase content);
/* The newest policy that came with a change, or NULL. */
const Groupseal__Envelope__Policy *hand_policy(const struct hand *hand);
size_t hand_count(const struct hand *hand, Groupseal__Envelope__RecordBody__ContentCase content);
void hand_forget(struct hand *hand);

#endif
