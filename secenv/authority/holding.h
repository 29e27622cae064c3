/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_HOLDING_H
#define GROUPSEAL_SECENV_AUTHORITY_HOLDING_H

#include "secenv/authority/group.h"
#include "secenv/authority/member.h"

/*
 * Who holds which epoch, as the MN-CSEs tell it: for each of a group's sites the epoch that was looked for,
 * and a row for each device that has it not. What nobody is behind with costs nothing.
 */
extern const char holding_schema[];

/* HOLDINGS of an MN-CSE. It may speak of devices of its own site only; those that are no more there, or not
 * in the group any more, are passed over. */
enum result holding_take(struct engine *engine, const struct member *mn_cse,
                         const Groupseal__Envelope__Holdings *holdings, struct reason *why) MUST_USE;
/* Its leaf is gone; nothing happens where it has another. Of an MN-CSE: what it told of its site goes. */
enum result holding_departed(struct engine *engine, const struct group *group, const char *name,
                             struct reason *why) MUST_USE;

/* For the operator: what the group's sites have told … */
enum result holding_sites(struct engine *engine, const struct group *group, struct arena *arena,
                          Groupseal__Secenv__GroupDetail *detail, struct reason *why) MUST_USE;
/* … and of one member. */
enum result holding_member(struct engine *engine, const struct group *group, int64_t member_id,
                           Groupseal__Secenv__GroupMemberRow *row, struct reason *why) MUST_USE;

#endif
