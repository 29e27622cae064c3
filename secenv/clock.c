/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(id, &now); /* both clocks exist on every Linux that we run on */
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t system_wall_us(void *context)
{
    (void)context;
    return read_us(CLOCK_REALTIME);
}

static uint64_t system_monotonic_us(void *context)
{
    (void)context;
    return read_us(CLOCK_BOOTTIME);
}

const struct clock_source clock_system = {system_wall_us, system_monotonic_us, 0};

uint64_t clock_wall_us(const struct clock_source *clock)
{
    return clock->wall_us(clock->context);
}

uint64_t clock_wall_ms(const struct clock_source *clock)
{
    return clock_wall_us(clock) / 1000u;
}

uint64_t clock_monotonic_us(const struct clock_source *clock)
{
    return clock->monotonic_us(clock->context);
}
