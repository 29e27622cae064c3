/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_DIFFERENCE_H
#define GROUPSEAL_SECENV_AUTHORITY_DIFFERENCE_H

#include "secenv/association.h"
#include "secenv/authority/group.h"

/*
 * The difference between who belongs to a group and who has a leaf in its tree: what the group's next change
 * is made of. Looked for among the members that were marked, or, after a start, among all.
 */
#define CHANGE_LIMIT                                                                                         \
    1024u /* members that come, and that leave, in one change; the rest is the next one's                    \
           */

/* A leaf that comes, or comes anew. */
struct arrival {
    struct leaf leaf; /* its index is set when it is placed */
    uint8_t association[ASSOCIATION_ID_SIZE];
    bool placed; /* it had a leaf, and keeps its index */
    struct secret secret;
};

struct departure {
    char name[NAME_LIMIT + 1];
    uint64_t serial;
    uint32_t index;
    bool reused;
};

struct difference {
    struct arrival *arrivals;
    size_t arrival_count;
    struct departure *departures;
    size_t departure_count;
    size_t looked; /* at so many of those that were marked */
    bool more;     /* there is more than one change can have */
    bool leaving;  /* … and some of them may leave */
    bool full;     /* not all that come have a place */
};

/* Bounded: `more` says that there is more. All of it is the arena's. */
enum result difference_load(struct engine *engine, struct group *group, struct arena *arena,
                            struct difference *out, struct reason *why) MUST_USE;
/* Gives those that come their leaves. Those for whom the tree has no room are left out (`full`), and are
 * looked for again when somebody has left. */
enum result difference_place(struct difference *difference, struct tree *tree) MUST_USE;
/* Into the tree; `touched` are the blocks below the top row that are others now, in the arena. */
enum result difference_apply(const struct difference *difference, bool rotate, struct tree *tree,
                             struct arena *arena, struct tree_place **touched, size_t *touched_count,
                             struct reason *why) MUST_USE;
/* What was looked at is done; the rest is for the next turn. */
void difference_done(const struct difference *difference, struct group *group);

#endif
