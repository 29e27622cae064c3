/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_MEMBER_H
#define GROUPSEAL_SECENV_AUTHORITY_MEMBER_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/association.h"

/*
 * The roster: who may authenticate, by which credentials, where and for which functions. Written by the
 * operator only. A row that was evicted stays so; the same name added again is a new row.
 */
struct engine;

enum member_state { MEMBER_ADDED = 1, MEMBER_ASSOCIATED = 2, MEMBER_EVICTED = 3, MEMBER_REVOKED = 4 };

#define MEMBER_FUNCTIONS_LIMIT 16u
#define MEMBER_TOKEN_SIZE 16u

struct member {
    int64_t id;
    uint8_t token[MEMBER_TOKEN_SIZE]; /* random, names the row in the evictions file */
    char name[129];
    enum identity_kind kind;
    enum credentials_mode mode;
    char psk_identity[129];
    char site[129]; /* absolute CSE-ID of its MN-CSE; an MN-CSE's own name */
    enum member_state state;
    uint64_t serial;     /* of the signing key it has now; 0: none yet */
    uint64_t evicted_ms; /* wall clock; 0: not evicted */
    bool unconfirmed;    /* waits for the operator's word: incarnation.h */
};

extern const char member_schema[];

/* The live row of this name, else the one evicted last. */
enum result member_find(struct store *store, const char *name, struct member *out,
                        struct reason *why) MUST_USE;
/* RESULT_UNKNOWN where it was evicted. */
enum result member_find_live(struct store *store, const char *name, struct member *out,
                             struct reason *why) MUST_USE;
/* Of the row with this token; its id is 0 where there is none, or it was evicted. */
enum result member_find_token(struct store *store, struct bytes token, struct member *out,
                              struct reason *why) MUST_USE;
/* Its pre-shared key (PSK mode). */
enum result member_psk(struct store *store, const struct member *member, struct secret *out,
                       struct reason *why) MUST_USE;

/* Operator. */
enum result member_add(struct engine *engine, const Groupseal__Secenv__MemberAdd *request,
                       struct reason *why) MUST_USE;
enum result member_list(struct engine *engine, const Groupseal__Secenv__MemberList *request,
                        struct arena *arena, Groupseal__Secenv__Members **out, struct reason *why) MUST_USE;
enum result member_reauthenticate(struct engine *engine,
                                  const Groupseal__Secenv__MemberReauthenticate *request,
                                  struct reason *why) MUST_USE;

/* REAUTHENTICATE, into its outbox; `because` is its `why`. */
enum result member_ask_anew(struct engine *engine, const char *name, uint32_t because,
                            struct reason *why) MUST_USE;

/*
 * The member uses this association from now on: a signing key that is new gets a new serial, and its groups
 * are due for a change that gives it a leaf made for this association.
 */
enum result member_present(struct engine *engine, const struct member *member,
                           const uint8_t association[ASSOCIATION_ID_SIZE],
                           const uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why) MUST_USE;
/* The signing key that came with an association which is still pending, until member_present takes it. */
enum result member_pending_key_set(struct engine *engine, const struct member *member,
                                   const uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why) MUST_USE;
enum result member_pending_key(struct engine *engine, const struct member *member,
                               uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why) MUST_USE;

#endif
