/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_LIFE_H
#define GROUPSEAL_TESTS_SCHEDULES_LIFE_H

#include "tests/schedules/closure.h"
#include "tests/unit/tree_shelf.h"

/*
 * The life of one group's key tree: every leaf secret with the epochs in which it was in the tree, every
 * root, and every message that was ever published; the broker's retained ones, and members who hear some of
 * them. The product makes the changes and climbs; what fails in it ends the program.
 */
#define LIFE_STILL UINT64_MAX

/* A leaf's secret: of the epochs `from` … `until` - 1. A leaf that is refreshed is two tenures. */
struct tenure {
    uint32_t leaf;
    struct secret secret;
    uint64_t from;
    uint64_t until; /* LIFE_STILL: it is in the tree */
};

/* A lower block, or the announcement with the top block. */
struct news {
    uint64_t epoch;
    uint32_t height;
    bool announcement;
    struct tree_place place;
    uint8_t nodes[TREE_PACKED_MAX];
    size_t length;
    struct secret confirmation; /* of an announcement */
};

struct life {
    struct tree *tree;
    struct shelf shelf; /* its pages */
    uint64_t random;
    uint64_t epoch; /* of the last change; the first is 1 */
    uint32_t reach; /* leaves that may be in use, a power of two */
    struct tenure *tenures;
    size_t tenure_count;
    size_t *holders; /* of each leaf below `reach`: number of its tenure and 1 */
    size_t members;
    struct secret *roots; /* by epoch; [0] is none */
    bool *rooted;         /* somebody was in the tree then */
    struct news *published;
    size_t published_count;
    size_t *retained; /* numbers of what the broker has */
    size_t retained_count;
    uint8_t (*leaks)[WRAP_SIZE]; /* wraps that were published beside */
    size_t leak_count;
};

/* `reach`: a power of two. Every life of a seed has the same changes. */
struct life *life_new(uint64_t seed, uint32_t reach);
void life_free(struct life *life);
uint32_t life_random(struct life *life, uint32_t below); /* 0 … below - 1 */

/* A step of a change: the leaf gets a secret of `secret`, or a random one (NULL); or is emptied. */
void life_set(struct life *life, uint32_t leaf, const struct secret *secret);
void life_empty(struct life *life, uint32_t leaf);
/* The change with all steps since the last one. Publishes what it has to. */
void life_change(struct life *life, bool rotate);

/* The tenure that has the leaf now; NULL: it is empty. */
const struct tenure *life_holder(const struct life *life, uint32_t leaf);
/* The secret that a node has; false where it is empty. */
bool life_node(const struct life *life, uint32_t level, uint32_t index, struct secret *out);
/* The next node that is to be fresh gets this secret instead. */
void life_plant_node(const struct secret *secret);
/* Somebody publishes `secret`, wrapped for whom has `holder`. */
void life_plant_wrap(struct life *life, const struct secret *holder, const struct secret *secret);

/* The authority's process ends, and starts from its pages. */
void life_restart(struct life *life);
/* The broker forgets; the MN-CSE publishes all of the newest state again. Fails where that is not what the
 * broker had. */
void life_broker_restart(struct life *life);

/* All that was published, for the secrets of one attacker or many. */
struct closure *life_closure(const struct life *life);
/* What must hold; says what does not, and returns false. */
bool life_forward_holds(const struct life *life);  /* no retired leaf secrets lead to a root since */
bool life_backward_holds(const struct life *life); /* no leaf secrets lead to a root before them */
/* And a leaf secret leads to just the roots of its own time. */
bool life_tenure_holds(const struct life *life, const struct tenure *tenure);

/* ---- members ---- */

/* What one member has heard: numbers and 1 of published news, the newest of each row on its path. */
struct listener {
    const struct life *life;
    size_t tenure;
    size_t blocks[TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS];
    size_t announcement;
};

void listener_hear(struct listener *listener, size_t number);
void listener_subscribe(struct listener *listener); /* all that is retained */
/* Climbs to the announcement that it heard. False where that does not lead to its confirmation. */
bool listener_climb(const struct listener *listener, struct secret *root);

#endif
