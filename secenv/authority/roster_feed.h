/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_ROSTER_FEED_H
#define GROUPSEAL_SECENV_AUTHORITY_ROSTER_FEED_H

#include "secenv/authority/group.h"

/*
 * The rosters that the MN-CSEs have: each change goes as deltas, which wait behind those of earlier ones;
 * where that is not known, or would be longer, it gets the whole, in pages.
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
/* An ACCEPT for a page, or a delta. */
enum result roster_feed_page_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                                      const char *mn_cse, struct reason *why) MUST_USE;
enum result roster_feed_delta_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                                       uint64_t number, struct reason *why) MUST_USE;
/* The MN-CSE says that it has this number; 0: none. It gets what it lacks, if that is not on its way. */
enum result roster_feed_has(struct engine *engine, const struct group *group, int64_t mn_id,
                            const char *mn_cse, uint64_t number, struct reason *why) MUST_USE;
enum result roster_feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                               struct reason *why) MUST_USE;

#endif
