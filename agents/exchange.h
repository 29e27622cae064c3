/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_EXCHANGE_H
#define GROUPSEAL_AGENTS_EXCHANGE_H

#include "onem2m/primitive.h"
#include "onem2m/topic.h"

/*
 * oneM2M requests that wait for their response: a bounded table, matched by request identifier (rqi) and by
 * the topic's receiver, with time-outs. One thread; the clock is the caller's (monotonic milliseconds).
 *
 * rqi values are "<name>-<16 hex digits of this start>-<number>": unique over restarts, so that a response of
 * an earlier life of this process matches nothing.
 */
#define EXCHANGE_TIMEOUT_MS 10000u

struct exchange;

/* What the caller wanted to remember of a request. */
struct exchange_request {
    char rqi[ONEM2M_RQI_LIMIT + 1];
    char receiver[ONEM2M_LEVEL_LIMIT + 1]; /* topic level */
    int kind;                              /* the caller's */
    uint64_t token;                        /* the caller's */
    uint64_t deadline_ms;
};

/* `name` is copied. NULL: out of memory, or no random numbers. */
struct exchange *exchange_new(const char *name, size_t limit);
void exchange_free(struct exchange *exchange); /* NULL is allowed */

/* Registers a request and returns its rqi (valid until the next call here); NULL: the table is full. */
const char *exchange_begin(struct exchange *exchange, const char *receiver, int kind, uint64_t token,
                           uint64_t now_ms);

/*
 * Ends the request that a response from `receiver` answers. A response without rqi (some CSEs leave it out
 * in errors) matches where that receiver has exactly one request open. False: no such request.
 */
bool exchange_match(struct exchange *exchange, const char *rqi, const char *receiver,
                    struct exchange_request *out);

/* Ends the next request whose time is over; false: none. */
bool exchange_expire(struct exchange *exchange, uint64_t now_ms, struct exchange_request *out);
/* Ends any request (the connection is lost); false: none is open. */
bool exchange_drop(struct exchange *exchange, struct exchange_request *out);
/* When the next one runs out; UINT64_MAX: none is open. */
uint64_t exchange_due(const struct exchange *exchange);

#endif
