/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_ARREARS_H
#define GROUPSEAL_SECENV_AUTHORITY_ARREARS_H

#include "secenv/authority/group.h"

/*
 * What a change could not put into the outbox of one member, because that is full. One member that takes
 * nothing must hold up neither an eviction nor the others: the change is made, and what the member lacks of
 * the group (key package, newest change, roster) is made up from the store when there is room again.
 */
extern const char arrears_schema[];

#define ARREARS_RETRY_US 10000000u

struct arrears {
    uint64_t due_us; /* monotonic: the next look; UINT64_MAX: nobody lacks anything */
};

/*
 * Passes `result` of a put for this member on, but for RESULT_FULL (its reason in `why`): then the member is
 * noted, the operator is told, once, and the result is OK.
 */
enum result arrears_take(struct engine *engine, const struct group *group, const struct leaf *leaf,
                         enum result result, struct reason *why) MUST_USE;

/* There may be room: the next turn looks. */
void arrears_hurry(struct engine *engine);

/* Makes up what there is room for. Lowers `*next`. */
enum result arrears_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

#endif
