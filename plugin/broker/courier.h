/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_COURIER_H
#define GROUPSEAL_PLUGIN_COURIER_H

#include "secenv/client/secenv_client.h"

#include <pthread.h>

/*
 * The helper thread that owns the connection to secenv, so that the broker's thread never waits. Requests and
 * results cross in two bounded queues. While results lie in theirs the courier signals the main thread
 * (SIGURG) every millisecond, so that the broker's wait ends and a callback takes them. A secenv that is
 * lost, or silent for too long, is opened again by a jittered back-off.
 *
 * All functions are the main thread's; none waits but courier_await and courier_stop.
 */
struct courier;

#define COURIER_REQUESTS_LIMIT 4096u
#define COURIER_REQUESTS_BYTES_LIMIT 8388608u /* 8 MiB */
#define COURIER_RANK_ROOM 1024u               /* of the requests, kept for each rank above the lowest */
#define COURIER_RESULTS_LIMIT 4096u           /* then secenv's socket is not read until there is room */

/* The settings are copied. Sets the handler of SIGURG (it does nothing) until courier_stop. */
struct courier *courier_start(const struct secenv_client_settings *settings, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* Closes the connection and waits for the thread. NULL is allowed. */
void courier_stop(struct courier *courier);

/* Ends the broker's next wait at once: it has been given something to send after the last time it looked. */
void courier_nudge(struct courier *courier);

/* Who asks; the higher have room, in number and in bytes, that the lower cannot take. */
enum courier_rank { COURIER_RANK_LOW, COURIER_RANK_MIDDLE, COURIER_RANK_HIGH };

/* False: secenv is not connected, or courier_next has not told of its connection yet, or the queue has no
 * room for this rank. Else a result of kind COURIER_REPLY follows. */
bool courier_request(struct courier *courier, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                     enum courier_rank rank) __attribute__((warn_unused_result));

enum courier_kind {
    COURIER_UP,
    COURIER_DOWN,
    COURIER_REPLY, /* message NULL: lost with the connection */
    COURIER_EVENT,
};

struct courier_result {
    enum courier_kind kind;
    uint64_t tag;                           /* COURIER_REPLY; COURIER_UP: the connection's number */
    Groupseal__Secenv__FromSecenv *message; /* COURIER_REPLY, COURIER_EVENT */
    char why[256];                          /* COURIER_DOWN */
    struct courier_result *next;
};

/* Cheap: whether courier_next would find something. */
bool courier_waiting(const struct courier *courier);
/* Waits, for the start only, until there is something; false: not before `deadline_ms` (CLOCK_MONOTONIC). */
bool courier_await(struct courier *courier, uint64_t deadline_ms);
/* The oldest result, or NULL; freed with courier_result_free. */
struct courier_result *courier_next(struct courier *courier);
void courier_result_free(struct courier_result *result);

#endif
