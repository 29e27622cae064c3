/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_ATTACK_ATTACK_H
#define GROUPSEAL_TESTS_ATTACK_ATTACK_H

#include "tests/unit/member_play.h"

/*
 * For programs that play an attack against real engines: what the attacker has, and what must come of it. An
 * attack that is refused leaves the store as it was, gives the application nothing, raises one counter and
 * says why.
 */
#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define KIND(name_) GROUPSEAL__ENVELOPE__KIND__KIND_##name_

/* Counters at one moment. */
struct counts {
    uint64_t values[AUDIT_COUNT];
};

struct counts counts_now(void);
uint64_t counts_since(const struct counts *before, enum audit_counter counter);

/* All that a member of a group has: what a taken device gives away. */
struct insider {
    struct secret epoch_key;
    enum aead aead;
    struct signing_key signing;
    char site[SITE_LIMIT + 1];
    char name[NAME_LIMIT + 1];
    struct seal_context context; /* as it would seal a member message now; views site and name: do not copy */
};

/* Copies it out of a node. `epoch_key` and context stay of this epoch, whatever the node does later. */
void insider_take(struct play *play, struct site_node *node, const char *group, struct insider *out);

/* Opens a payload of the insider's epoch: its header becomes `context`. Fails the test where it cannot. */
void insider_open(const struct insider *insider, const Groupseal__Secenv__Publish *publish,
                  struct arena *arena, struct seal_context *context, struct bytes *plaintext);
/* Seals a plaintext with the epoch key under any header. */
struct buffer insider_seal(const struct insider *insider, const struct seal_context *context,
                           struct bytes plaintext);

/* What a device says, as it would be sealed, signed by the insider: by the context's kind "fire" as a member
 * message, a receipt (done) for this command, or (NULL) a sync request. The caller's. */
struct buffer insider_statement(const struct insider *insider, const struct seal_context *context,
                                const uint8_t *receipt_id);

/* A publish of the play's site and group. The payload is only viewed. */
Groupseal__Secenv__Publish publish_of(Groupseal__Secenv__TopicKind kind, const char *sender,
                                      struct bytes payload);
/* A copy that lives on, whatever the play forgets. */
Groupseal__Secenv__Publish *publish_keep(const Groupseal__Secenv__Publish *publish);
void publish_drop(Groupseal__Secenv__Publish *publish);

/* The node hears it: refused, `counter` rises by one, the reason holds `words`, nothing else has changed. */
void attack_is_refused(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained,
                       enum audit_counter counter, const char *words);
/* The twin: taken. */
void twin_is_taken(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained);
/* Whatever the answer is, store and application are as before. */
void attack_changes_nothing(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained);

/* Commands and messages that the application has been given. */
size_t given(const struct site_node *node);

#endif
