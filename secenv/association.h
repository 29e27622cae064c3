/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_ASSOCIATION_H
#define GROUPSEAL_SECENV_ASSOCIATION_H

#include "secenv/counter.h"
#include "secenv/handshake.h"
#include "secenv/objects/object.h"

/*
 * An association: what is left of a handshake, and its records (docs/protocol.md section 4). Stored in
 * the table `association`, one row for (owner, peer, slot); it survives restarts.
 */
enum association_role { ASSOCIATION_MEMBER = 1, ASSOCIATION_AUTHORITY = 2 };
/* CURRENT is in use; PENDING waits to be used by the member for the first time (authority). */
enum association_slot { ASSOCIATION_CURRENT = 1, ASSOCIATION_PENDING = 2 };

/* The key of the records of one sender's boot. */
struct record_key {
    uint8_t boot[BOOT_SIZE];
    bool known;
    struct secret key;
};

struct association {
    enum association_role role;
    enum association_slot slot;
    char member[129];
    char authority[129];
    struct agreement agreement;
    struct counter send;       /* named by key id and role */
    uint64_t received;         /* highest counter opened */
    uint64_t made_ms;          /* wall clock */
    struct record_key keys[2]; /* to the authority, to the member: the last one, to derive it once only */
    bool saved; /* may have a row (or it was rolled back): what was received is written to it */
};

extern const char association_schema[];

/* A new association from a handshake; not stored yet. */
void association_init(struct association *association, enum association_role role, enum association_slot slot,
                      const char *member, const char *authority, const struct agreement *agreement,
                      uint64_t made_ms);
enum result association_save(struct association *association, struct store *store,
                             struct reason *why) MUST_USE;
enum result association_remove(struct association *association, struct store *store,
                               struct reason *why) MUST_USE;
void association_wipe(struct association *association);
/* All of a role; `each` copies what it keeps. */
enum result association_load(struct store *store, enum association_role role,
                             enum result (*each)(void *context, const struct association *association),
                             void *context, struct reason *why) MUST_USE;

/* Packs and seals `body` as a Record whose fields live in the arena. The type follows from the body. */
enum result association_seal(struct association *association, struct store *store,
                             const struct clock_source *clock, const Groupseal__Envelope__RecordBody *body,
                             struct arena *arena, Groupseal__Envelope__Record **out,
                             struct reason *why) MUST_USE;

/*
 * Opens a record: key id, counter, AEAD, parse, and that type and content agree and the direction
 * may carry it. On OK the received counter is stored (in the caller's savepoint) and kept: where the
 * caller fails afterwards it must call association_undo_received with the value from before.
 */
enum result association_open(struct association *association, struct store *store,
                             const Groupseal__Envelope__Record *record, struct arena *arena,
                             Groupseal__Envelope__RecordBody **out, struct reason *why) MUST_USE;
void association_undo_received(struct association *association, uint64_t received);

/* FIRST's signature, both ends. */
enum result first_sign(const struct agreement *agreement, const char *member, const struct signing_key *key,
                       uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result first_check(const struct agreement *agreement, const char *member,
                        const Groupseal__Envelope__First *first) MUST_USE;

/* EndToEnd, packed and parsed (a fuzz target): limits of docs/protocol.md section 3. */
enum result carriage_pack(const Groupseal__Envelope__EndToEnd *object, struct arena *arena,
                          struct bytes *out) MUST_USE;
enum result carriage_parse(struct bytes object, struct arena *arena, Groupseal__Envelope__EndToEnd **out,
                           struct reason *why) MUST_USE;

#endif
