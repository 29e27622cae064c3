/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_GROUP_H
#define GROUPSEAL_SECENV_AUTHORITY_GROUP_H

#include "secenv.pb-c.h"
#include "secenv/authority/leaves.h"
#include "secenv/authority/member.h"
#include "secenv/objects/object.h"

/*
 * The groups: row and key tree in the store, the same in memory. Who belongs to a group follows from
 * the roster (the view group_candidate): ADN-AEs with its function at one of its sites, and these sites'
 * MN-CSEs.
 */
struct group {
    int64_t id;
    char name[GROUP_NAME_LIMIT + 1];
    char function[GROUP_NAME_LIMIT + 1];
    uint8_t instance[INSTANCE_SIZE];
    uint64_t incarnation;
    uint64_t epoch; /* 0: nobody was ever in it */
    uint64_t beat;  /* rises through all epochs */
    uint64_t policy_number;
    uint64_t roster_number;
    uint8_t aead; /* Aead of envelope.proto */
    uint32_t overlap_ms;
    uint32_t response_window_ms;
    uint32_t beat_interval_s;
    bool refuse_when_overdue;
    bool sign_member_messages;
    bool authority_only;
    bool held; /* since the start no MN-CSE has said what it holds: incarnation.h */
    size_t site_count;
    char sites[GROUP_SITES_LIMIT][NAME_LIMIT + 1]; /* absolute CSE-IDs */
    struct tree *tree;
    struct store *store; /* of the tree's pages */
    bool due;            /* its members may have changed */
    bool leaving;        /* … and members that leave are waiting for another change than the last */
    bool look_at_all;    /* whose leaf is to be looked at: everybody's, or those of … */
    int64_t *marked;     /* … these members; some may be there twice */
    size_t marked_count;
    size_t marked_capacity;
    bool crowded;      /* some had no place in it: they are looked for when somebody has left */
    uint64_t later_us; /* monotonic: due then, for members that came or have new leaves; 0: for none */
    uint64_t collect_limit_us; /* monotonic: they are not waited with for longer; 0: nobody came */
    uint64_t announced_us;     /* monotonic: when the last announcement was made */
    uint32_t rotate_every_s;   /* 0: not by age */
    uint64_t changed_us;       /* monotonic: when its key was made */
    bool rotate;               /* a new key is due, whoever came or went; in the store: changed_ms is 0 */
};

#define ROTATE_DEFAULT_S 86400u
#define ROTATE_LIMIT_S 31536000u
#define ROTATE_NEVER UINT32_MAX /* in GroupCreate */

struct groups {
    struct group **items;
    size_t count;
};

extern const char group_schema[];

enum result groups_load(struct engine *engine, struct reason *why) MUST_USE;
void groups_clear(struct groups *groups); /* wipes */
struct group *groups_find(const struct groups *groups, const char *name);
/* Out of memory, wiped; the store is the caller's. */
void groups_remove(struct groups *groups, struct group *group);
struct group *groups_find_instance(const struct groups *groups, struct bytes instance);

/* Marks groups as due for a change: those the member belongs to (not before `later_us` on the monotonic
 * clock, where nothing else changes them), or has a leaf in. */
enum result groups_mark_member(struct engine *engine, const struct member *member, uint64_t later_us,
                               struct reason *why) MUST_USE;
enum result groups_mark_leaves(struct engine *engine, int64_t member_id, struct reason *why) MUST_USE;
/* Operator. */
enum result group_create(struct engine *engine, const Groupseal__Secenv__GroupCreate *request,
                         struct arena *arena, struct reason *why) MUST_USE;
/* The key is changed in this batch's turn, or when the group may be changed again. */
enum result group_set(struct engine *engine, const Groupseal__Secenv__GroupSet *request,
                      struct reason *why) MUST_USE;
enum result group_rotate(struct engine *engine, const Groupseal__Secenv__GroupRotate *request,
                         struct reason *why) MUST_USE;
enum result group_list(struct engine *engine, struct arena *arena, Groupseal__Secenv__Groups **out,
                       struct reason *why) MUST_USE;
enum result group_show(struct engine *engine, const Groupseal__Secenv__GroupShow *request,
                       struct arena *arena, Groupseal__Secenv__GroupDetail **out,
                       struct reason *why) MUST_USE;
/* For Status. */
enum result group_statuses(struct engine *engine, struct arena *arena, Groupseal__Secenv__GroupStatus ***out,
                           size_t *count, struct reason *why) MUST_USE;

#endif
