/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_SHARED_SESSION_H
#define GROUPSEAL_BENCH_SHARED_SESSION_H

#include "agents/session.h"
#include "secenv/client/secenv_client.h"

/*
 * agents/session.h for many devices in one process: all sessions share one connection to a secure environment
 * that holds all their identities. In place of agents/session.c; what goes wrong ends the benchmark.
 */

/* Before the first session_open: greets, and takes what comes in `loop`. */
void shared_session_start(sd_event *loop, const char *socket);
/* As session_request, for nobody's session. */
void shared_session_request(Groupseal__Secenv__ToSecenv *request, session_reply *on_reply, void *context);

#endif
