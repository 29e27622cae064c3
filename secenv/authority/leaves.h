/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_LEAVES_H
#define GROUPSEAL_SECENV_AUTHORITY_LEAVES_H

#include "secenv/arena.h"
#include "secenv/credentials.h"
#include "secenv/objects/object.h"
#include "secenv/store.h"

struct group;

/* A leaf with its member, as the store has it. */
struct leaf {
    int64_t member_id;
    uint32_t index;
    char name[NAME_LIMIT + 1];
    enum identity_kind kind;
    char site[NAME_LIMIT + 1]; /* absolute CSE-ID */
    uint64_t serial;
    uint64_t epoch; /* in which it entered the tree */
    uint8_t signing_key[VERIFY_KEY_SIZE];
    bool package_taken;
    uint64_t made_ms; /* wall clock */
};

/* Some leaves, in byte order of the names. */
struct leaves {
    struct leaf *items; /* the arena's */
    size_t count;
};
/* Of the group's MN-CSEs; or of everybody, LEAVES_PAGE at a time, from the name behind `after` on. */
#define LEAVES_PAGE 256u
enum result leaves_load_mn_cses(struct store *store, const struct group *group, struct arena *arena,
                                struct leaves *out, struct reason *why) MUST_USE;
enum result leaves_load_page(struct store *store, const struct group *group, const char *after,
                             struct arena *arena, struct leaves *out, struct reason *why) MUST_USE;
/* The same of those alone that are behind (holding.h). */
enum result leaves_load_behind(struct store *store, const struct group *group, const char *after,
                               struct arena *arena, struct leaves *out, struct reason *why) MUST_USE;
/* `*found`: the member has a leaf. */
enum result leaf_load(struct store *store, const struct group *group, int64_t member_id, struct leaf *out,
                      bool *found, struct reason *why) MUST_USE;
enum result leaf_load_named(struct store *store, const struct group *group, const char *name,
                            struct leaf *out, bool *found, struct reason *why) MUST_USE;

#endif
