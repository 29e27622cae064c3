/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CARRIAGE_H
#define GROUPSEAL_AGENTS_CARRIAGE_H

#include "agents/connection/connection.h"
#include "agents/session.h"
#include "onem2m/primitive.h"
#include "onem2m/topic.h"

/*
 * Carries end-to-end objects between the secure environment and the broker, as oneM2M NOTIFY primitives
 * (docs/protocol.md section 3):
 *
 *   Send event            → NOTIFY request;  its response or time-out → Answered
 *   NOTIFY request to us  → Received;        its Answer               → NOTIFY response
 *
 * What it carries it does not understand. One thread, the event loop's.
 */
struct carriage;

#define CARRIAGE_OBJECT_LIMIT ((size_t)48 * 1024) /* an EndToEnd: what is longer is refused */

struct carriage_settings {
    const char *identity; /* ours, absolute */
    const char *cse;      /* the CSE from whose point of view short ids are meant: ours, or our registrar */
    const char
        *next_hop;     /* absolute id of the hop for all requests; NULL: `via` of each Send, else its `to` */
    size_t open_limit; /* requests without a response */
};

/* The response to a request made with carriage_ask: `rsc` 0 where none came in time or the connection was
 * lost. */
typedef void carriage_answered(void *context, uint64_t token, int rsc);

/* Settings are copied. Close in this order: session (its open replies still come here), carriage, connection.
 * NULL: out of memory. */
struct carriage *carriage_new(sd_event *loop, const struct carriage_settings *settings,
                              struct connection *connection, struct session *session,
                              carriage_answered *answered, void *context);
void carriage_free(struct carriage *carriage); /* NULL is allowed */

void carriage_send(struct carriage *carriage, const Groupseal__Secenv__Send *send);
/* A message of the broker. False: not a topic of the oneM2M trees, so not for us. */
bool carriage_take(struct carriage *carriage, const struct connection_message *message);
/* The connection is lost: what is open gets no response any more. */
void carriage_lost(struct carriage *carriage);

/* Sends a request of the owner's own (its rqi is set here) to the topic level `receiver` in `tree`. False:
 * not connected, or too many are open. */
bool carriage_ask(struct carriage *carriage, enum onem2m_tree tree, const char *receiver,
                  struct onem2m_primitive *request, uint64_t token);

/* Our topic level: "in-cse", "Sdoor1". */
const char *carriage_level(const struct carriage *carriage);

#endif
