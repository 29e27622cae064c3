/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_DISPATCH_STORE_H
#define GROUPSEAL_SECENV_MEMBER_DISPATCH_STORE_H

#include "secenv/member/relay.h"

/*
 * The rows of commands at the MN-CSE: the order (sealed at rest, its body is the group's), who is named in
 * it, who answered. Whom a command for everybody asks follows from the roster: what is sealed waits for this
 * transaction. Loaded after the roster's rows.
 */

enum result dispatch_store_load(struct relay *relay, struct reason *why) MUST_USE;
enum result dispatch_store_drop(const struct relay *relay, struct reason *why) MUST_USE;
enum result dispatch_store_add(const struct relay *relay, const struct dispatch *dispatch,
                               const Groupseal__Envelope__OrderRequest *request, struct reason *why) MUST_USE;
enum result dispatch_store_remove(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                  struct reason *why) MUST_USE;
/* Adds or changes. */
enum result dispatch_store_target(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                  const struct dispatch_target *target, struct reason *why) MUST_USE;
enum result dispatch_store_reported(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                    uint32_t revision, bool complete, struct reason *why) MUST_USE;
/* The order as it came; it lives in the arena. */
enum result dispatch_store_request(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                   struct arena *arena, Groupseal__Envelope__OrderRequest **out,
                                   struct reason *why) MUST_USE;

#endif
