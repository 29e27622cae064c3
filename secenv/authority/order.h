/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_ORDER_H
#define GROUPSEAL_SECENV_AUTHORITY_ORDER_H

#include "secenv.pb-c.h"
#include "secenv/authority/member.h"
#include "secenv/objects/object.h"

/*
 * Orders of the operator and what the MN-CSEs report of them: one row for the command, one for each site that
 * it went to, one for each page of a site's report, one for each member that has answered or is named. Whom
 * an order for everybody asks follows from the leaves of the epoch in which it was given (command_expected),
 * those that have ended since among them (former_leaf); they have rows when somebody wants to read them. Kept
 * for 24 hours, at most ORDERS_LIMIT.
 */
#define ORDERS_LIMIT 1024u
#define ORDER_KEPT_MS 86400000u
extern const char order_schema[];

/* Operator: `connection` gets Event.report from now on. */
enum result order_send(struct engine *engine, const Groupseal__Secenv__OrderSend *request,
                       uint64_t connection, struct arena *arena, Groupseal__Secenv__OrderSent **out,
                       struct reason *why) MUST_USE;
/* A row for each member that the order asks, whether it has answered or not. */
enum result order_list_members(struct engine *engine, struct bytes id, struct reason *why) MUST_USE;
/* The member moves: what it has not answered goes to its new site as well, where the group is relayed there,
 * and its former one (member->site) may still report what it has answered there. */
enum result orders_follow(struct engine *engine, const struct member *member, const char *site,
                          struct arena *arena, struct reason *why) MUST_USE;
/* Closes the group's open orders; `because` is what their reports say of sites that have said nothing. */
enum result orders_end(struct engine *engine, int64_t group_id, const char *because,
                       struct reason *why) MUST_USE;
/* Closes orders whose MN-CSEs never reported. Lowers `*next`. */
enum result orders_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

#endif
