/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_INCARNATION_H
#define GROUPSEAL_SECENV_AUTHORITY_INCARNATION_H

#include "secenv/authority/member.h"
#include "secenv/objects/object.h"

/*
 * A store that comes back from a backup knows less than the world. So after each start a group that was
 * announced is held, neither changed nor announced, until one of its MN-CSEs has answered what it holds
 * (NEWEST_ASK, NEWEST) or the operator releases it. Where an MN-CSE holds news that this authority has signed
 * and does not know, it takes a new incarnation: every association ends, every leaf goes, and only members
 * that the operator confirms may authenticate again.
 */
struct group;

#define INCARNATION_START_SIZE 8u
#define CONFIRM_LIMIT 64u

extern const char incarnation_schema[];

/* A column of key_group, with engine->start as its parameter: whether the group is held. */
#define INCARNATION_HELD                                                                                     \
    "(announcement IS NOT NULL AND EXISTS (SELECT 1 FROM leaf l JOIN member m ON m.id = l.member_id"         \
    " WHERE l.group_id = key_group.id AND m.kind = 2 AND m.state <> 3) AND NOT EXISTS (SELECT 1 FROM"        \
    " released r WHERE r.group_id = key_group.id AND r.start = ?))"

/* The incarnation that was taken last. */
enum result incarnation_load(struct engine *engine, struct reason *why) MUST_USE;

/* Asks the MN-CSEs of all held groups, or one, what they hold. */
enum result incarnation_ask_all(struct engine *engine, struct reason *why) MUST_USE;
enum result incarnation_ask(struct engine *engine, const char *mn_cse, struct reason *why) MUST_USE;
/* The group may be changed, in this batch's turn. */
enum result incarnation_release(struct engine *engine, struct group *group, struct reason *why) MUST_USE;
/* A held group that has lost its last MN-CSE has nobody to ask. */
enum result incarnation_hold_review(struct engine *engine, struct group *group, struct reason *why) MUST_USE;

/* `member` holds this announcement, checked and newer than this store: the next turn begins anew. */
enum result incarnation_seen(struct engine *engine, const struct member *member,
                             const Groupseal__Envelope__Announcement *announcement,
                             struct reason *why) MUST_USE;
/* A new incarnation within the associations, in this request: keys, policy, roster and news of every group
 * are made anew, open orders end, and nobody waits for a confirmation. No group may be held. */
enum result incarnation_renew_groups(struct engine *engine, struct reason *why) MUST_USE;
/* Takes the new incarnation, where it is due. */
enum result incarnation_turn(struct engine *engine, struct reason *why) MUST_USE;

/* Operator. */
enum result incarnation_confirm(struct engine *engine, const Groupseal__Secenv__MemberConfirm *request,
                                struct reason *why) MUST_USE;
enum result incarnation_release_asked(struct engine *engine, const Groupseal__Secenv__GroupRelease *request,
                                      struct reason *why) MUST_USE;

#endif
