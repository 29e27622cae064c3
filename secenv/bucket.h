/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_BUCKET_H
#define GROUPSEAL_SECENV_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* A token bucket: `burst` tokens at most, a new one every `interval_us`. Zeroed it is full. */
struct bucket {
    uint64_t full_us; /* monotonic: when it is full again */
};

struct bucket_rate {
    uint64_t interval_us; /* at least 1 */
    uint32_t burst;       /* at least 1 */
};

/* So many a second, as far as whole microseconds between two tell it: at most 1,000,000. */
struct bucket_rate bucket_rate_of(uint32_t a_second, uint32_t burst);

/* When there is a token: now, or later. */
uint64_t bucket_ready_us(const struct bucket *bucket, struct bucket_rate rate, uint64_t now_us);
/* False: there is none. */
bool bucket_take(struct bucket *bucket, struct bucket_rate rate, uint64_t now_us);
/* One that was taken is there again. */
void bucket_return(struct bucket *bucket, struct bucket_rate rate);

#endif
