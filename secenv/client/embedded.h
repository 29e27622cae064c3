/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CLIENT_EMBEDDED_H
#define GROUPSEAL_SECENV_CLIENT_EMBEDDED_H

#include "secenv/client/secenv_client.h"

#include <sys/types.h>

/*
 * An embedded secure environment: a child process of the caller on a socketpair. Safe in a process with
 * threads (a broker, Paho): nothing of ours runs between fork and exec. It has a session of its own, so that
 * a terminal's Ctrl-C reaches the owner alone; it ends when the owner's end of the socket closes, however the
 * owner ends.
 */
struct embedded {
    int fd; /* the owner's end */
    pid_t pid;
};

/* Starts it. Returns false and writes what went wrong, where and what to do into `why`. */
bool embedded_start(const struct secenv_client_settings *settings, struct embedded *out, char *why,
                    size_t why_size) __attribute__((warn_unused_result));

/* Waits for its end, after the socket was closed; one that does not end within 5 s is killed. At most 6 s. */
void embedded_wait(pid_t pid);

#endif
