/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_COMMANDING_H
#define GROUPSEAL_SECENV_MEMBER_COMMANDING_H

#include "secenv/member/membership.h"

struct dispatch;

/*
 * An MN-CSE that is a commander of its group: commands of its own, to members at its site. They are
 * dispatched like the authority's, with one signature for seal and order; what becomes of them is told to the
 * owner.
 */
#define COMMANDING_ROWS_LIMIT 128u /* of a report's page */

/* OK: on disk, sealed, published; `id` is the command's. EXISTS: it was before. REFUSED: the policy does not
 * let it. NOT_READY: no key, policy or roster yet, or news are overdue where that ends autonomy. */
enum result commanding_order(struct membership *membership, const Groupseal__Secenv__Command *command,
                             uint8_t id[COMMAND_ID_SIZE], struct reason *why) MUST_USE;

/* A page of who has answered it; `*out` lives in the arena, its texts as long as the command does. */
enum result commanding_show(const struct membership *membership, struct bytes id, uint32_t page,
                            struct arena *arena, Groupseal__Secenv__OrderReport **out,
                            struct reason *why) MUST_USE;

/* Tells the owner the first page. */
enum result commanding_report(const struct relay *relay, const struct dispatch *dispatch,
                              struct reason *why) MUST_USE;

#endif
