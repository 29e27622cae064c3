/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_SESSION_H
#define GROUPSEAL_AGENTS_SESSION_H

#include "secenv/client/secenv_client.h"

#include <systemd/sd-event.h>

/*
 * The session with the secure environment, kept up: opened (a service's socket, or an embedded one that is
 * started), greeted, checked to hold our identity; after a loss opened again by jittered back-off, 100 ms to
 * 30 s. One that hangs counts as lost; an embedded one is killed then. Loss and return are logged once each.
 *
 * Requests are pipelined; each gets its reply, or NULL where the session was lost before. One thread, the
 * event loop's.
 */
struct session;

struct session_settings {
    struct secenv_client_settings client; /* strings are copied */
    const char *identity;                 /* absolute id that the secure environment must hold */
    const char *profile;                  /* "authority" or "member" */
    uint64_t silence_ms; /* without a reply while one is due: it hangs, and the session is lost; 0: 30 s */
};

struct session_callbacks {
    void (*ready)(void *context);
    void (*lost)(void *context); /* after `ready` only; replies to what was open have come as NULL by then */
    void (*event)(void *context, const Groupseal__Secenv__Event *event);
};

/* The reply to a request; NULL: lost, and nobody knows whether the request had an effect. It may make
 * requests, and must not close the session. */
typedef void session_reply(void *context, void *request_context, const Groupseal__Secenv__Reply *reply);

struct session *session_open(sd_event *loop, const struct session_settings *settings,
                             const struct session_callbacks *callbacks, void *context, char *why,
                             size_t why_size);
/* Ends the session. Open requests get their NULL replies; an embedded secure environment ends too. NULL is
 * allowed. */
void session_close(struct session *session);

bool session_is_ready(const struct session *session);

/*
 * Sends a request (its id is set here). `on_reply` may be NULL; it gets `request_context` and is called
 * exactly once where this returns true. False: not ready, larger than a packet (SECENV_PACKET_LIMIT), over
 * the limit of requests that wait, or no memory; then it is not called.
 */
bool session_request(struct session *session, Groupseal__Secenv__ToSecenv *request, session_reply *on_reply,
                     void *request_context);

#endif
