/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_REFRESH_H
#define GROUPSEAL_SECENV_AUTHORITY_REFRESH_H

#include "secenv/authority/member.h"

/*
 * Leaf refresh by age: a member whose association is as old as the operator's setting is asked for a new
 * authentication, and with it its leaves are replaced. Each is due somewhere in the last tenth of that age,
 * so that a fleet which was enrolled in one day does not come in one minute; those that are due are asked in
 * rounds, a few a second, and what they bring about is collected, so that one round is one change a group.
 *
 * Nothing of it is stored but the association's time: who was asked, and is not there, is asked by the outbox
 * when it comes back, and once more in a later round if it took the word and did not do it.
 */
struct peer;

#define REFRESH_EACH 64u /* members asked at a time … */
#define REFRESH_PAUSE_US 1000000u
#define REFRESH_ROUND_US 3600000000u
#define REFRESH_COLLECT_US 60000000u

struct refresh {
    uint64_t due_us; /* monotonic: the next look; 0: now */
};

/* The setting is another one: the next turn looks. */
void refresh_hurry(struct engine *engine);
/* Asks those that are due. Lowers `*next`. */
enum result refresh_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

/* This member has authenticated anew: when its leaves are to be replaced, on the monotonic clock; 0: at once,
 * for nobody asked for it by age. */
uint64_t refresh_collected(const struct engine *engine, struct peer *peer);

#endif
