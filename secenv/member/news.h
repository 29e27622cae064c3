/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_NEWS_H
#define GROUPSEAL_SECENV_MEMBER_NEWS_H

#include "secenv/member/membership.h"

/*
 * What the authority has signed about a group: announcements, policy, lower blocks of the tree, heard from
 * the broker in any order and any number of times, or stored by the MN-CSE's relay. The highest version wins;
 * what is not signed, older, or for another group or instance changes nothing.
 */
enum result news_hear_announcement(struct membership *membership, struct bytes payload, struct arena *arena,
                                   struct reason *why) MUST_USE;
enum result news_hear_policy(struct membership *membership, struct bytes payload, struct arena *arena,
                             struct reason *why) MUST_USE;
enum result news_hear_block(struct membership *membership, struct bytes payload, struct arena *arena,
                            struct reason *why) MUST_USE;

/* Parse, place (group, instance) and signature: the relay stores what passed. */
enum result news_check_announcement(const struct membership *membership,
                                    const Groupseal__Envelope__Announcement *announcement,
                                    struct reason *why) MUST_USE;
enum result news_check_policy(const struct membership *membership, const Groupseal__Envelope__Policy *policy,
                              struct reason *why) MUST_USE;
enum result news_check_block(const struct membership *membership, const Groupseal__Envelope__Block *block,
                             struct reason *why) MUST_USE;

/* Checked objects take effect. An announcement that cannot be climbed to yet waits. */
enum result news_take_announcement(struct membership *membership,
                                   const Groupseal__Envelope__Announcement *announcement,
                                   struct reason *why) MUST_USE;
enum result news_take_policy(struct membership *membership, const Groupseal__Envelope__Policy *policy,
                             struct reason *why) MUST_USE;
enum result news_take_block(struct membership *membership, const Groupseal__Envelope__Block *block,
                            struct reason *why) MUST_USE;

/* A new leaf or block came: climb to the announcement that waits, if there is one. */
enum result news_climb_again(struct membership *membership, struct reason *why) MUST_USE;

/* Something newer than we have exists: ask the owner to subscribe again, jittered and rate limited. */
void news_are_missed(struct membership *membership);
/* A message that nobody has authenticated claims an epoch of this number: false where that cannot be. */
bool news_are_plausible(const struct membership *membership, uint64_t epoch);
/* … else the same, less and less often while nothing comes of it. */
void news_are_claimed(struct membership *membership);
/* Nothing has come for long: once, within `jitter_us`. */
void news_are_overdue(struct membership *membership, uint64_t jitter_us);

enum result news_load(struct membership *membership, struct bytes announcement, struct bytes policy,
                      struct reason *why) MUST_USE;
enum result news_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;
void news_clear(struct membership *membership); /* wipes keys and everything heard */

#endif
