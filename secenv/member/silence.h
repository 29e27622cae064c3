/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SILENCE_H
#define GROUPSEAL_SECENV_MEMBER_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "secenv/result.h"

struct membership;

/*
 * A member that is online and hears nothing of its group (docs/protocol.md section 5, "Silence"): no site
 * answers its syncs, its news are overdue, it has no key, or its MN-CSE has cleared the group's topics. It
 * may be out of the roster without a word, as after a restore of the authority: then no broker gives it
 * anything that would say so. So it asks the authority for a key package, less and less often while the
 * silence lasts; an authority without the association refuses, and a new authentication follows (record.c).
 * An MN-CSE whose news are overdue says what it holds (NEWEST) instead.
 */
#define SILENCE_FIRST_US                                                                                     \
    60000000u /* the first ask comes after once to twice this, the next after double …                     \
               */
#define SILENCE_LAST_US 1800000000u  /* … up to this */
#define SILENCE_CLEARED_US 60000000u /* … and within this, where the topics were cleared */

struct silence {
    uint64_t due_us;  /* monotonic: of the next ask; NEVER: not silent, or offline */
    uint64_t wait_us; /* of the last ask that was planned; 0: none since something was heard */
    bool cleared;     /* the topics were cleared, and nothing has come on them since */
};

/* Knows of no silence. */
void silence_init(struct silence *silence);
/* The site's relay, or whoever plays it, says that it retains no announcement any more: nothing but a reason
 * to ask. */
void silence_cleared(struct membership *membership);
/* A higher epoch or beat was taken. */
void silence_broken(struct membership *membership);
enum result silence_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
