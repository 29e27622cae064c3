/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/program.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

sd_event *program_loop(void)
{
    sigset_t signals;
    sd_event *loop = NULL;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) {
        return NULL;
    }
    int error = sd_event_new(&loop);
    if (error >= 0) {
        error = sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL); /* the default: the loop ends */
    }
    if (error >= 0) {
        error = sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL);
    }
    if (error < 0) {
        sd_event_unref(loop);
        errno = -error;
        return NULL;
    }
    return loop;
}
