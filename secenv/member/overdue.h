/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_OVERDUE_H
#define GROUPSEAL_SECENV_MEMBER_OVERDUE_H

#include "secenv/member/membership.h"

/*
 * Overdue news (docs/protocol.md section 6): three beat intervals of the policy have gone by on the monotonic
 * clock, counted from the last higher epoch or beat, or from the start. An alarm says so once; where the
 * policy wants it, commands are refused until a higher beat comes.
 */

/* Counts from now. */
void overdue_start(struct membership *membership);
/* A higher epoch or beat was taken. */
enum result overdue_end(struct membership *membership) MUST_USE;

bool overdue_is(const struct membership *membership);
/* They are, and the policy refuses commands then. */
bool overdue_refuses(const struct membership *membership);

enum result overdue_turn(struct membership *membership, uint64_t *next) MUST_USE;

#endif
