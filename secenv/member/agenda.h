/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_AGENDA_H
#define GROUPSEAL_SECENV_MEMBER_AGENDA_H

#include "secenv/result.h"

#include <stddef.h>
#include <stdint.h>

struct identity_state;

/*
 * The identities by when they need a turn next, the earliest first: a turn without anything due costs
 * nothing, however many identities there are. One thread.
 */
struct agenda {
    struct identity_state **heap;
    size_t count;
    struct identity_state **taken; /* by agenda_take */
};

#define AGENDA_OUT SIZE_MAX /* `agenda_place` of an identity that is not in it */

/* RESULT_INTERNAL: memory. All of them, each with its due_us. */
enum result agenda_open(struct agenda *agenda, struct identity_state *const *identities,
                        size_t count) MUST_USE;
void agenda_close(struct agenda *agenda);

/* Sets due_us (monotonic microseconds); one that was taken out stays out. */
void agenda_move(struct agenda *agenda, struct identity_state *identity, uint64_t due_us);
/* Takes out who is due at `now_us`, into agenda->taken. Returns how many. */
size_t agenda_take(struct agenda *agenda, uint64_t now_us);
/* Back in, at its due_us. */
void agenda_put(struct agenda *agenda, struct identity_state *identity);
/* When the next one is due; UINT64_MAX where there is none. */
uint64_t agenda_next(const struct agenda *agenda);

#endif
