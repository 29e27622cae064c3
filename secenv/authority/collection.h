/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_COLLECTION_H
#define GROUPSEAL_SECENV_AUTHORITY_COLLECTION_H

#include "secenv/authority/group.h"

/*
 * Members that come are collected into one change of their group. A change costs each member of it some
 * messages, so that a stream of members is collected for longer by a larger group: for as long as they keep
 * coming, within what its places are worth. Who comes alone waits for the operator's time only, and what the
 * places add to it.
 *
 * Nor is there a next such change before the MN-CSEs have taken the roster of the last one, within a time:
 * who has a key subscribes, which an MN-CSE denies to those whom it does not know yet; and a roster that is
 * two changes behind is told anew, all of it.
 */
#define COLLECT_QUIET_EACH_US 50u /* nobody else has come for so long, for each place of the tree */
#define COLLECT_EACH_US 500u      /* the longest time, for each place … */
#define COLLECT_LONGEST_US 10000000u
#define COLLECT_HELD_US 5000000u /* after the last change at most */

/* One has come `now_us`, who is not to be waited with for longer than until `later_us` where the group is
 * small.
 */
void collection_add(struct group *group, uint64_t now_us, uint64_t later_us);
/* `*until_us`: when it changes at the latest, though those who came have been collected for long enough; 0:
 * now. */
enum result collection_held(struct engine *engine, const struct group *group, uint64_t *until_us,
                            struct reason *why) MUST_USE;
/* The group changes now. */
void collection_end(struct group *group);

#endif
