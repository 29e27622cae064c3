/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_FEED_H
#define GROUPSEAL_SECENV_AUTHORITY_FEED_H

#include "secenv/authority/group.h"

/*
 * What a group's MN-CSEs are fed with: the newest change, and the roster as deltas or, where an MN-CSE's last
 * number is not the one before, whole, in pages. Each rides in a slot of the outbox, so that the newest
 * replaces what was not delivered.
 */
extern const char feed_schema[];

/* Policy and announcement as they are stored, into this MN-CSE's outbox. */
enum result feed_change(struct engine *engine, const struct group *group, const char *mn_cse,
                        struct arena *arena, struct reason *why) MUST_USE;
enum result feed_change_all(struct engine *engine, const struct group *group, const struct leaves *leaves,
                            struct arena *arena, struct reason *why) MUST_USE;

/*
 * Gives the roster a new number where it differs from the last one, and sends each MN-CSE what it lacks. An
 * MN-CSE that authenticated anew is `fresh`: it may have lost what it had.
 */
enum result feed_roster(struct engine *engine, struct group *group, const struct leaves *leaves,
                        struct arena *arena, struct reason *why) MUST_USE;
enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                        struct reason *why) MUST_USE;
/* The whole roster, in pages, to one MN-CSE. */
enum result feed_roster_pages(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                              struct arena *arena, struct reason *why) MUST_USE;
/* An ACCEPT for one of its slots. */
enum result feed_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                          struct reason *why) MUST_USE;

#endif
