/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_CLEARING_H
#define GROUPSEAL_SECENV_MEMBER_CLEARING_H

#include "secenv/member/relay.h"

/*
 * Retained topics that an MN-CSE has taken back. Nobody says that a broker has kept an empty publish: one
 * that ends before it has written its state to disk comes back with what was retained before. So each is
 * taken back once more, when the identity comes online again.
 */
extern const char clearing_schema[];

/* All retained topics of the relay's group, before they are dropped. */
enum result clearing_note(const struct relay *relay, struct reason *why) MUST_USE;
/* The identity came online: takes back what is not in use again, and forgets it. */
enum result clearing_repeat(struct identity_state *identity, struct reason *why) MUST_USE;

#endif
