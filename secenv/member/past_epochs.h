/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_PAST_EPOCHS_H
#define GROUPSEAL_SECENV_MEMBER_PAST_EPOCHS_H

#include "secenv/member/membership.h"

/*
 * An MN-CSE's keys from before the previous epoch, for what members have signed and is still on its way:
 * where changes follow each other quickly, more than one may overtake it. In memory only, a few, and not for
 * long; a sender that was evicted since is refused by the roster and the announcement, whatever key it has.
 */
#define PAST_EPOCHS 8u
#define PAST_EPOCH_US UINT64_C(300000000)

struct past_epochs {
    struct epoch_key keys[PAST_EPOCHS];
    uint64_t until_us[PAST_EPOCHS]; /* monotonic */
    size_t added;                   /* in all: the next takes the place of the oldest */
};

/* What was the previous epoch until now; nothing where it is not present. */
void past_epochs_add(struct past_epochs *past, const struct epoch_key *key, uint64_t now_us);
/* NULL: it is not here. */
const struct epoch_key *past_epochs_find(const struct past_epochs *past, uint64_t epoch);
/* The oldest that is here, or `otherwise`. */
uint64_t past_epochs_oldest(const struct past_epochs *past, uint64_t otherwise);
/* Wipes those whose time is over, and lowers `*next` to when the next one's is. */
void past_epochs_turn(struct past_epochs *past, uint64_t now_us, uint64_t *next);
void past_epochs_clear(struct past_epochs *past); /* wipes all */

#endif
