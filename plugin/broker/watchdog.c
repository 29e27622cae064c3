/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

struct watchdog {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t fed_or_ending;
    bool quiet; /* fed, or ending */
    struct timespec deadline;
    const char *text;
};

static void *watchdog_run(void *argument)
{
    struct watchdog *watchdog = argument;
    int error = 0;

    pthread_mutex_lock(&watchdog->mutex);
    while (!watchdog->quiet && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&watchdog->fed_or_ending, &watchdog->mutex, &watchdog->deadline);
    }
    bool quiet = watchdog->quiet;
    pthread_mutex_unlock(&watchdog->mutex);
    if (!quiet) {
        fprintf(stderr, "mn_cse: %s\n", watchdog->text);
        syslog(LOG_DAEMON | LOG_ERR, "mn_cse: %s", watchdog->text);
    }
    return NULL;
}

/* Signals are the broker's. */
static bool thread_start(struct watchdog *watchdog)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    bool started = pthread_create(&watchdog->thread, NULL, watchdog_run, watchdog) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void watchdog_free(struct watchdog *watchdog)
{
    pthread_cond_destroy(&watchdog->fed_or_ending);
    pthread_mutex_destroy(&watchdog->mutex);
    free(watchdog);
}

struct watchdog *watchdog_start(unsigned limit_ms, const char *text)
{
    pthread_condattr_t monotonic;
    struct watchdog *watchdog = calloc(1, sizeof(*watchdog));
    if (watchdog == NULL) {
        return NULL;
    }
    watchdog->text = text;
    clock_gettime(CLOCK_MONOTONIC, &watchdog->deadline);
    watchdog->deadline.tv_sec += limit_ms / 1000;
    watchdog->deadline.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    if (watchdog->deadline.tv_nsec >= 1000000000) {
        watchdog->deadline.tv_sec++;
        watchdog->deadline.tv_nsec -= 1000000000;
    }
    pthread_mutex_init(&watchdog->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->fed_or_ending, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!thread_start(watchdog)) {
        watchdog_free(watchdog);
        return NULL;
    }
    return watchdog;
}

void watchdog_feed(struct watchdog *watchdog)
{
    if (watchdog == NULL) {
        return;
    }
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->quiet = true;
    pthread_cond_signal(&watchdog->fed_or_ending);
    pthread_mutex_unlock(&watchdog->mutex);
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog == NULL) {
        return;
    }
    watchdog_feed(watchdog);
    pthread_join(watchdog->thread, NULL);
    watchdog_free(watchdog);
}
