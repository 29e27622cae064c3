/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_TIMER_H
#define GROUPSEAL_AGENTS_TIMER_H

#include <stdint.h>

#include <systemd/sd-event.h>

/* A one-shot timer of an event loop, on CLOCK_MONOTONIC, exact to a millisecond. */
typedef void timer_due(void *context);

struct timer {
    sd_event_source *source;
    timer_due *due;
    void *context;
};

/* Returns 0 or a negative errno. The timer must stay where it is until timer_close. */
int timer_open(struct timer *timer, sd_event *loop, timer_due *due, void *context);
void timer_close(struct timer *timer); /* a zeroed timer is allowed */

void timer_start(struct timer *timer, uint64_t after_ms); /* starts, or starts again with another time */
void timer_stop(struct timer *timer);

uint64_t monotonic_ms(void);

#endif
