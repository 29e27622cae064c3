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

#define ARREARS_RETRY_US 10000000u   /* between two looks whether there is room … */
#define ARREARS_HURRY_US 1000000u    /* … and where there may be */
#define ARREARS_ANYWAY_US 600000000u /* between two tries where there is little */
#define ARREARS_ROOM 1024u           /* so much is worth a try: each packs all that is lacking */

struct arrears {
    uint64_t due_us;    /* monotonic: the next look; UINT64_MAX: nobody lacks anything */
    uint64_t looked_us; /* monotonic: the last look */
    uint64_t anyway_us; /* monotonic: the next try for everybody */
};

/*
 * Passes `result` of a put for this member on, but for RESULT_FULL (its reason in `why`): then the member is
 * noted, the operator is told, once, and the result is OK.
 */
enum result arrears_take(struct engine *engine, const struct group *group, const struct leaf *leaf,
                         enum result result, struct reason *why) MUST_USE;

/* Who lacks something of the group gets all of its news when there is room, and until then none. */
enum result arrears_known(struct engine *engine, const struct group *group, int64_t member_id, bool *out,
                          struct reason *why) MUST_USE;

/* There may be room: it is looked for soon. */
void arrears_hurry(struct engine *engine);

/* Makes up what there is room for. Lowers `*next`. */
enum result arrears_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

#endif
