/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_HOLDING_H
#define GROUPSEAL_SECENV_MEMBER_HOLDING_H

#include "secenv/member/membership.h"

/*
 * A device lets its MN-CSE know that it has climbed to a new epoch: by whatever it signs in it, or by a
 * Holding, at a random time in HOLDING_LEAST_US and a millisecond for each place of the tree. However often
 * the epoch changes meanwhile, it is one.
 */
#define HOLDING_LEAST_US 2000000u
uint64_t holding_window_us(const struct membership *membership);

/* It has climbed to an epoch. */
void holding_wanted(struct membership *membership);
/* It has signed something in its current epoch. */
void holding_said(struct membership *membership);
enum result holding_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
