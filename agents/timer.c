/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/timer.h"

#include <time.h>

#define ACCURACY_US 1000u

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct timer *timer = userdata;
    (void)source;
    (void)usec;
    timer->due(timer->context);
    return 0;
}

int timer_open(struct timer *timer, sd_event *loop, timer_due *due, void *context)
{
    timer->due = due;
    timer->context = context;
    int error =
        sd_event_add_time(loop, &timer->source, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_due, timer);
    if (error < 0) {
        return error;
    }
    return sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

void timer_close(struct timer *timer)
{
    timer->source = sd_event_source_disable_unref(timer->source);
}

void timer_start(struct timer *timer, uint64_t after_ms)
{
    sd_event_source_set_time(timer->source, (monotonic_ms() + after_ms) * 1000);
    sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

void timer_stop(struct timer *timer)
{
    sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
