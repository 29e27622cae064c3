/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_STANDING_H
#define GROUPSEAL_SECENV_MEMBER_STANDING_H

#include "secenv/result.h"

#include <stdint.h>

struct identity_state;

/*
 * Does the authority still know the association? Whoever is in a group finds out: it asks for a key that it
 * cannot climb to, and is refused. Whoever is in none has nothing to say: evicted unheard, and added again,
 * it would wait for ever for a key package that cannot reach it. So it asks about no group now and then:
 * after a minute, then after twice as long each time, to an hour.
 */
#define STANDING_FIRST_US 60000000u
#define STANDING_LAST_US UINT64_C(3600000000)

struct standing {
    uint64_t wait_us; /* 0: it is in a group, or not associated */
    uint64_t due_us;
};

enum result standing_turn(struct identity_state *identity, uint64_t *next, struct reason *why) MUST_USE;

#endif
