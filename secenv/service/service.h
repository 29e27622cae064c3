/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_SERVICE_H
#define GROUPSEAL_SECENV_SERVICE_SERVICE_H

#include "secenv/service/listener.h"

/*
 * The loop around an engine: sockets, the table of requests, batches. What is readable (bounded, one packet a
 * connection in turn) is one transaction with a savepoint a request; then the engine's turn; one commit; only
 * then replies and events leave. One thread.
 */
struct service;

#define CONNECTIONS_LIMIT 16u /* for operators, and as many for observers */

struct service *service_new(struct store *store, enum store_profile profile,
                            const struct clock_source *clock) MUST_USE;
/* Closes connections and listeners, then the engine. The store stays the caller's. NULL is allowed. */
void service_free(struct service *service);

/* For the engine's setup; it is attached before the first step. */
struct engine_events service_events(struct service *service);
void service_attach(struct service *service, const struct engine_operations *operations,
                    struct engine *engine);

/* Embedded mode: an inherited socket, whose end ends the service. Takes the descriptor over. */
enum result service_adopt_owner(struct service *service, int fd, struct reason *why) MUST_USE;
/* `listener` has everything but fd; one a kind of socket. */
enum result service_listen(struct service *service, const struct listener *listener,
                           struct reason *why) MUST_USE;
/* Ends the loop when this descriptor becomes readable (a signalfd). Stays the caller's. */
void service_stop_on(struct service *service, int fd);

/* Waits for something to do, at most `wait_ms`, and does it. An error is the end: nothing of the batch has
 * left the process, and the store is as it was before it. */
enum result service_step(struct service *service, int wait_ms, struct reason *why) MUST_USE;
/* True when the stop descriptor or the end of an embedded owner asks for the end. */
bool service_stopping(const struct service *service);

#endif
