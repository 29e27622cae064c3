/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CLOCK_H
#define GROUPSEAL_SECENV_CLOCK_H

#include <stdint.h>

/*
 * The two clocks, injected so that tests can move them. Wall time may jump in either
 * direction; monotonic time (CLOCK_BOOTTIME) never goes back while the system runs.
 */
struct clock_source {
    uint64_t (*wall_us)(void *context);      /* microseconds since 1970 */
    uint64_t (*monotonic_us)(void *context); /* microseconds since an unknown moment */
    void *context;
};

extern const struct clock_source clock_system;

uint64_t clock_wall_us(const struct clock_source *clock);
uint64_t clock_wall_ms(const struct clock_source *clock);
uint64_t clock_monotonic_us(const struct clock_source *clock);

#endif
