/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_HOLDER_H
#define GROUPSEAL_SECENV_MEMBER_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

/* Which epoch a member was last heard in, and what the authority was told of that. In memory only. */
struct holder {
    uint64_t epoch;      /* 0: it was not heard */
    uint64_t behind_us;  /* monotonic: since when it has not the epoch that all should have; 0: it has it */
    bool told_behind;    /* to the authority … */
    uint64_t told_epoch; /* … with this epoch */
};

/* Another entry of the roster for the same name: with another serial it was not heard yet. */
static inline void holder_follow(struct holder *holder, const struct holder *former, bool same_serial)
{
    *holder = *former;
    holder->epoch = same_serial ? former->epoch : 0;
}

#endif
