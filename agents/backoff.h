/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_BACKOFF_H
#define GROUPSEAL_AGENTS_BACKOFF_H

#include <stdint.h>

/*
 * Jittered exponential back-off: each wait is drawn uniformly from [step / 2, step], and the step doubles
 * from `first_ms` up to `limit_ms`. The jitter keeps a fleet that lost its broker together from coming back
 * in one moment.
 */
struct backoff {
    uint64_t first_ms;
    uint64_t limit_ms;
    uint64_t step_ms;
};

/* What DESIGN says for connections. */
#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_LIMIT_MS 60000u

void backoff_init(struct backoff *backoff, uint64_t first_ms, uint64_t limit_ms);
uint64_t backoff_next(struct backoff *backoff); /* milliseconds to wait now */
void backoff_reset(struct backoff *backoff);    /* the next wait is a first one again */

#endif
