/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_PACKAGE_ASK_H
#define GROUPSEAL_SECENV_MEMBER_PACKAGE_ASK_H

#include "secenv/member/membership.h"

/*
 * PACKAGE_ASK: a member that cannot climb, or hears nothing, asks the authority for its place in the group.
 * It says which announcement is the newest that it has verified: an authority that was restored from a
 * backup, with its MN-CSEs, learns from it that the world was further.
 */

/* Puts it in its slot of the outbox, where there is room. */
enum result package_ask(struct membership *membership, struct reason *why) MUST_USE;
/* It has been answered, or the group is over. */
enum result package_ask_drop(const struct membership *membership, struct reason *why) MUST_USE;
/* The authority, authentic, does not know this member in the group of this slot; other slots are passed over,
 * and so is an MN-CSE's, which says what it holds by NEWEST. */
enum result package_ask_unknown(struct identity_state *identity, const char *slot,
                                struct reason *why) MUST_USE;

#endif
