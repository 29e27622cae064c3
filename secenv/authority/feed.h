/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_FEED_H
#define GROUPSEAL_SECENV_AUTHORITY_FEED_H

#include "secenv/authority/group.h"

/*
 * What a group's MN-CSEs are fed with: the newest announcement and policy, and the blocks below the top row
 * that the MN-CSE has not taken yet, whatever changes they are of. A large change is cut into records; each
 * rides in a slot of the outbox, so that the newest replaces what was not delivered.
 */
extern const char feed_schema[];

/* These blocks became what they are in the group's present epoch. */
enum result feed_blocks_note(struct engine *engine, const struct group *group,
                             const struct tree_place *touched, size_t count, struct reason *why) MUST_USE;

/* Into the outbox of one MN-CSE, or of all; nothing for a group without a key. */
enum result feed_change(struct engine *engine, const struct group *group, int64_t mn_id, const char *mn_cse,
                        struct arena *arena, struct reason *why) MUST_USE;
enum result feed_change_all(struct engine *engine, const struct group *group, const struct leaves *mn_cses,
                            struct arena *arena, struct reason *why) MUST_USE;

/* An ACCEPT for one of the slots. */
enum result feed_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                          struct reason *why) MUST_USE;
/* The MN-CSE has nothing that is newer than this epoch, or nothing at all. */
enum result feed_has(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t epoch,
                     struct reason *why) MUST_USE;
enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                        struct reason *why) MUST_USE;

#endif
