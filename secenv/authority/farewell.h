/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_FAREWELL_H
#define GROUPSEAL_SECENV_AUTHORITY_FAREWELL_H

#include "secenv/authority/group.h"

/*
 * The last words in an association that is about to end: LEFT to who is evicted or revoked, for each of its
 * groups, so that it wipes their keys; REAUTHENTICATE to each MN-CSE where a new incarnation is taken.
 * Nothing rests on them. Each is sealed at once, and sent once: now, or, where the owner is not there (it has
 * not come back since a start, say), when it comes. Until then it is in memory only, the first
 * FAREWELLS_LIMIT.
 */
#define FAREWELLS_LIMIT 256u

struct farewell_kept {
    struct member member; /* to whom, and by which MN-CSE */
    struct buffer object; /* packed */
};

struct farewells {
    struct farewell_kept *kept[FAREWELLS_LIMIT];
    size_t count;
};

/* LEFT, ready to be sealed: the receiver has no more to do with the group. `body` points to `left`, which
 * borrows from the group. */
struct left_word {
    Groupseal__Envelope__Left left;
    Groupseal__Envelope__RecordBody body;
};
void left_fill(struct left_word *word, const struct group *group, bool deleted);

enum result farewell_say(struct engine *engine, const char *name, struct arena *arena,
                         struct reason *why) MUST_USE;
/* To an MN-CSE; nobody else hears of a new incarnation from here: they are many, and it clears their topics.
 */
enum result farewell_say_anew(struct engine *engine, const char *name, struct arena *arena,
                              struct reason *why) MUST_USE;
/* The owner is online. */
enum result farewells_send(struct engine *engine) MUST_USE;
/* Those beyond `count` belonged to what has been undone. */
void farewells_cut(struct farewells *farewells, size_t count);

#endif
