/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_LIMITS_H
#define GROUPSEAL_SECENV_LIMITS_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/bucket.h"
#include "secenv/credentials.h"
#include "secenv/objects/object.h"

/*
 * What an owner may use an identity for. A network process that was taken over has its secure environment's
 * socket, so its keys' use: these rules say how far. They are written to a stopped store (`secenv provision`,
 * `secenv limit`); no request on a socket changes them.
 *
 * A rule is for groups: "*" for all, "doors*" for those that begin so, "doors" for one. A group's own counts,
 * else the longest that fits. The rule "*" is always there, with the defaults where none is stored.
 */
enum owner_right {
    OWNER_RELAY = 1,   /* MN-CSE: commands are sealed, members synchronised */
    OWNER_READ = 2,    /* the text of commands and member messages is handed out */
    OWNER_SEND = 4,    /* member messages are sealed */
    OWNER_COMMAND = 8, /* MN-CSE: commands of its own are signed, where the group's policy has it command */
    OWNER_RIGHTS = 15,
};

#define LIMIT_RULES_LIMIT 32u /* stored, of one identity */
#define LIMIT_PATTERN_LIMIT (GROUP_NAME_LIMIT + 1u)
#define LIMIT_RATE_HIGHEST 1000000u
#define LIMIT_BURST_HIGHEST 1000000u

/* Messages that are sealed; at the authority, where rights mean nothing, objects that are handed in. */
#define LIMIT_DEVICE_RATE 50u
#define LIMIT_DEVICE_BURST 500u
#define LIMIT_MN_CSE_RATE 200u
#define LIMIT_MN_CSE_BURST 2000u
#define LIMIT_IN_CSE_RATE 1000u
#define LIMIT_IN_CSE_BURST 10000u

struct limit {
    char pattern[LIMIT_PATTERN_LIMIT + 1];
    unsigned rights; /* of enum owner_right */
    uint32_t rate;   /* a second */
    uint32_t burst;
    struct bucket bucket; /* in memory: the groups of one rule share it */
};

struct limits {
    struct limit *rules; /* those of one group, then the longest first; "*" is the last */
    size_t count;
};

extern const char limit_schema[];

/* The rule "*" as it is without any stored one. */
struct limit limit_default(enum identity_kind kind);

/* RESULT_INVALID where the pattern, the rights or the numbers are none. */
enum result limits_check(const struct limit *rule, struct reason *why) MUST_USE;

enum result limits_load(struct store *store, const char *identity, enum identity_kind kind,
                        struct limits *out, struct reason *why) MUST_USE;
void limits_clear(struct limits *limits);

/* Stores a rule in the place of the one with this pattern. Inside a transaction. */
enum result limits_set(struct store *store, const char *identity, const struct limit *rule,
                       struct reason *why) MUST_USE;
/* RESULT_UNKNOWN where there is none with this pattern. */
enum result limits_remove(struct store *store, const char *identity, const char *pattern,
                          struct reason *why) MUST_USE;

/* The stored rule with exactly this pattern, or NULL. "*" is always found. */
const struct limit *limits_rule(const struct limits *limits, const char *pattern);
/* The rule that counts for a group; never NULL. */
struct limit *limits_for(const struct limits *limits, const char *group);

static inline struct bucket_rate limit_rate(const struct limit *rule)
{
    return bucket_rate_of(rule->rate, rule->burst);
}

/* For Status. */
enum result limits_status(const struct limits *limits, struct arena *arena,
                          Groupseal__Secenv__OwnerLimit ***out, size_t *count) MUST_USE;

/* "relay,read", "all", "none". False: a word is none of them. */
bool rights_parse(const char *text, unsigned *out);
/* At most RIGHTS_TEXT_SIZE - 1 characters: "relay,read,send,command", "none". */
#define RIGHTS_TEXT_SIZE 32u
void rights_print(unsigned rights, char out[RIGHTS_TEXT_SIZE]);

#endif
