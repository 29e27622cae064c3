/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/backoff.h"

#include <sys/random.h>

void backoff_init(struct backoff *backoff, uint64_t first_ms, uint64_t limit_ms)
{
    backoff->first_ms = first_ms;
    backoff->limit_ms = limit_ms;
    backoff->step_ms = first_ms;
}

uint64_t backoff_next(struct backoff *backoff)
{
    uint64_t step = backoff->step_ms;
    uint64_t half = step / 2;
    uint64_t random = 0;

    backoff->step_ms = step > backoff->limit_ms / 2 ? backoff->limit_ms : step * 2;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
        return step; /* no entropy yet, early at boot: the whole step is a fair wait too */
    }
    return step - half + random % (half + 1);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->step_ms = backoff->first_ms;
}
