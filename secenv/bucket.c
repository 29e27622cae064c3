/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/bucket.h"

#define SECOND_US 1000000u

struct bucket_rate bucket_rate_of(uint32_t a_second, uint32_t burst)
{
    uint64_t interval_us = a_second == 0 ? SECOND_US : SECOND_US / a_second;
    return (struct bucket_rate){.interval_us = interval_us == 0 ? 1 : interval_us,
                                .burst = burst == 0 ? 1 : burst};
}

uint64_t bucket_ready_us(const struct bucket *bucket, struct bucket_rate rate, uint64_t now_us)
{
    uint64_t ahead_us = (rate.burst - 1) * rate.interval_us; /* that the other tokens are worth */
    return bucket->full_us <= now_us + ahead_us ? now_us : bucket->full_us - ahead_us;
}

bool bucket_take(struct bucket *bucket, struct bucket_rate rate, uint64_t now_us)
{
    if (bucket_ready_us(bucket, rate, now_us) > now_us) {
        return false;
    }
    bucket->full_us = (bucket->full_us > now_us ? bucket->full_us : now_us) + rate.interval_us;
    return true;
}

void bucket_return(struct bucket *bucket, struct bucket_rate rate)
{
    bucket->full_us -= bucket->full_us < rate.interval_us ? bucket->full_us : rate.interval_us;
}
