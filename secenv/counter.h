/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_COUNTER_H
#define GROUPSEAL_SECENV_COUNTER_H

#include "secenv/clock.h"
#include "secenv/store.h"

#define BOOT_SIZE 8u

/*
 * A sending counter that never repeats: starts at the larger of the reserved value on
 * disk and the clock in microseconds, and is reserved ahead, COUNTER_STEP at a time, inside
 * the batch's transaction, which is held then (store_hold). `boot` is drawn again at each start and each
 * reservation and goes into the key, so that a restored store does not repeat a (key, nonce) either.
 */
#define COUNTER_STEP 65536u

struct counter {
    char name[160]; /* row in the store's table `counter` */
    uint8_t boot[BOOT_SIZE];
    uint64_t next;
    uint64_t reserved; /* exclusive; 0 until the first use */
    uint64_t undone;   /* store_undone() when it was reserved */
};

extern const char counter_schema[];

/* A name of at most 159 bytes, cut where it is longer. */
void counter_init(struct counter *counter, const char *name);
/* The next value, with the boot to use for it. Reserves where needed. */
enum result counter_next(struct counter *counter, struct store *store, const struct clock_source *clock,
                         uint64_t *value, struct reason *why) MUST_USE;

#endif
