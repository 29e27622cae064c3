/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_ALLOWANCE_H
#define GROUPSEAL_SECENV_MEMBER_ALLOWANCE_H

#include "secenv/limits.h"
#include "secenv/member/membership.h"

/*
 * How far a member's owner may use a group's keys (secenv/limits.h). Everything that is sealed for the group
 * passes group_seal_begin, and with it allowance_take; who can wait looks first whether it has to.
 */

bool allowance_has(const struct membership *membership, enum owner_right right);
/* RESULT_REFUSED, counted and told in the log, where the owner has not that right: `what` it would do. */
enum result allowance_check(const struct membership *membership, enum owner_right right, const char *what,
                            struct reason *why) MUST_USE;

/* One message is sealed. RESULT_TOO_OFTEN, counted and told in the log, beyond the rate. */
enum result allowance_take(const struct membership *membership, struct reason *why) MUST_USE;
/* The same question without taking. */
enum result allowance_is_there(const struct membership *membership, struct reason *why) MUST_USE;
/* For what can be put off: true, and counted, where it must be; `*due_us` (monotonic) until when. */
bool allowance_puts_off(const struct membership *membership, uint64_t *due_us);

#endif
