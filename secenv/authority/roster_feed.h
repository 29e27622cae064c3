/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_ROSTER_FEED_H
#define GROUPSEAL_SECENV_AUTHORITY_ROSTER_FEED_H

#include "secenv/authority/group.h"

/*
 * The rosters that the MN-CSEs have: the change in hand goes to who has the one before, as a delta; who has
 * another gets it whole, in pages, as soon as it has taken what is on its way to it.
 */
extern const char roster_feed_schema[];

/* Both lists in byte order of the names; none is in both. */
struct roster_change {
    Groupseal__Envelope__RosterEntry **set;
    size_t set_count;
    char **removed;
    size_t removed_count;
};

/* Writes the change into the group's roster, which gets a new number for each delta, and feeds the MN-CSEs.
 */
enum result roster_feed_change(struct engine *engine, struct group *group, const struct roster_change *change,
                               const struct leaves *mn_cses, struct arena *arena,
                               struct reason *why) MUST_USE;
/* The whole roster to one MN-CSE. */
enum result roster_feed_pages(struct engine *engine, const struct group *group, int64_t mn_id,
                              const char *mn_cse, struct reason *why) MUST_USE;
/* An ACCEPT for one of its slots: what it lacks then follows. */
enum result roster_feed_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                                 const char *mn_cse, struct reason *why) MUST_USE;
enum result roster_feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                               struct reason *why) MUST_USE;

#endif
