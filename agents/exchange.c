/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct exchange {
    char name[ONEM2M_LEVEL_LIMIT + 1];
    uint64_t start;
    uint64_t number;
    size_t limit;
    size_t count;
    struct exchange_request *requests; /* in the order of their begin, so of their deadlines too */
};

struct exchange *exchange_new(const char *name, size_t limit)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return NULL;
    }
    exchange->limit = limit;
    exchange->requests = calloc(limit, sizeof(*exchange->requests));
    snprintf(exchange->name, sizeof(exchange->name), "%s", name);
    if (exchange->requests == NULL ||
        getrandom(&exchange->start, sizeof(exchange->start), 0) != (ssize_t)sizeof(exchange->start)) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange != NULL) {
        free(exchange->requests);
        free(exchange);
    }
}

const char *exchange_begin(struct exchange *exchange, const char *receiver, int kind, uint64_t token,
                           uint64_t now_ms)
{
    if (exchange->count == exchange->limit) {
        return NULL;
    }
    struct exchange_request *request = &exchange->requests[exchange->count++];
    memset(request, 0, sizeof(*request));
    snprintf(request->rqi, sizeof(request->rqi), "%s-%016" PRIx64 "-%" PRIu64, exchange->name,
             exchange->start, ++exchange->number);
    snprintf(request->receiver, sizeof(request->receiver), "%s", receiver);
    request->kind = kind;
    request->token = token;
    request->deadline_ms = now_ms + EXCHANGE_TIMEOUT_MS;
    return request->rqi;
}

static void exchange_end(struct exchange *exchange, size_t index, struct exchange_request *out)
{
    struct exchange_request *request = &exchange->requests[index];
    *out = *request;
    exchange->count--;
    memmove(request, request + 1, (exchange->count - index) * sizeof(*request));
}

/* The one request open to the receiver; `count` where there is none, or more than one. */
static size_t only_one_to(const struct exchange *exchange, const char *receiver)
{
    size_t found = exchange->count;
    for (size_t i = 0; i < exchange->count; i++) {
        if (strcmp(exchange->requests[i].receiver, receiver) == 0) {
            if (found != exchange->count) {
                return exchange->count;
            }
            found = i;
        }
    }
    return found;
}

static size_t named(const struct exchange *exchange, const char *rqi, const char *receiver)
{
    for (size_t i = 0; i < exchange->count; i++) {
        const struct exchange_request *request = &exchange->requests[i];
        if (strcmp(request->rqi, rqi) == 0 && strcmp(request->receiver, receiver) == 0) {
            return i;
        }
    }
    return exchange->count;
}

bool exchange_match(struct exchange *exchange, const char *rqi, const char *receiver,
                    struct exchange_request *out)
{
    size_t index = rqi[0] != '\0' ? named(exchange, rqi, receiver) : only_one_to(exchange, receiver);
    if (index == exchange->count) {
        return false;
    }
    exchange_end(exchange, index, out);
    return true;
}

bool exchange_expire(struct exchange *exchange, uint64_t now_ms, struct exchange_request *out)
{
    if (exchange->count == 0 || exchange->requests[0].deadline_ms > now_ms) {
        return false;
    }
    exchange_end(exchange, 0, out);
    return true;
}

bool exchange_drop(struct exchange *exchange, struct exchange_request *out)
{
    if (exchange->count == 0) {
        return false;
    }
    exchange_end(exchange, 0, out);
    return true;
}

uint64_t exchange_due(const struct exchange *exchange)
{
    return exchange->count > 0 ? exchange->requests[0].deadline_ms : UINT64_MAX;
}
