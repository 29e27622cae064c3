/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_FEED_H
#define GROUPSEAL_SECENV_AUTHORITY_FEED_H

#include "secenv/authority/group.h"

/*
 * What a group's MN-CSEs are fed with: of each change its blocks below the top row, cut into records, and the
 * announcement, with the policy where that is another. Each rides in a slot of the outbox. The announcement
 * replaces one that was not delivered; blocks wait behind those of earlier changes, until they are so many
 * that they are packed anew.
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

/* An ACCEPT for a part, or for the announcement. `accepted`: it took it. */
enum result feed_part_accepted(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t part,
                               struct reason *why) MUST_USE;
/* It did not take a part for good: the next change has those blocks again. */
enum result feed_part_refused(struct engine *engine, const struct group *group, int64_t mn_id,
                              struct reason *why) MUST_USE;
enum result feed_change_ended(struct engine *engine, const struct group *group, int64_t mn_id, bool accepted,
                              struct reason *why) MUST_USE;
/* The MN-CSE has no announcement that is newer than this epoch, or nothing at all. */
enum result feed_has(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t epoch,
                     struct reason *why) MUST_USE;
enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                        struct reason *why) MUST_USE;

#endif
