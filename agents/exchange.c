/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

/* Numbers follow one another, so the request's number modulo the size of the table is its hash. */
struct place {
    TAILQ_ENTRY(place) in_order;
    LIST_ENTRY(place) in_bucket; /* or in the free list */
    struct exchange_request request;
};

TAILQ_HEAD(place_queue, place);
LIST_HEAD(place_list, place);

struct exchange {
    char prefix[ONEM2M_LEVEL_LIMIT + 32]; /* of each rqi: name and start */
    uint64_t number;
    size_t limit;
    struct place *places;
    struct place_list free;
    struct place_list *buckets;
    struct place_queue open; /* in the order of their begin, so of their deadlines too */
};

struct exchange *exchange_new(const char *name, size_t limit)
{
    uint64_t start = 0;
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return NULL;
    }
    exchange->limit = limit;
    exchange->places = calloc(limit, sizeof(*exchange->places));
    exchange->buckets = calloc(limit, sizeof(*exchange->buckets));
    if (exchange->places == NULL || exchange->buckets == NULL ||
        getrandom(&start, sizeof(start), 0) != (ssize_t)sizeof(start)) {
        exchange_free(exchange);
        return NULL;
    }
    snprintf(exchange->prefix, sizeof(exchange->prefix), "%.*s-%016" PRIx64 "-", (int)ONEM2M_LEVEL_LIMIT,
             name, start);
    TAILQ_INIT(&exchange->open);
    LIST_INIT(&exchange->free);
    for (size_t i = 0; i < limit; i++) {
        LIST_INIT(&exchange->buckets[i]);
        LIST_INSERT_HEAD(&exchange->free, &exchange->places[i], in_bucket);
    }
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange != NULL) {
        free(exchange->places);
        free(exchange->buckets);
        free(exchange);
    }
}

static struct place_list *bucket(const struct exchange *exchange, uint64_t number)
{
    return &exchange->buckets[number % exchange->limit];
}

const char *exchange_begin(struct exchange *exchange, const char *receiver, int kind, uint64_t token,
                           uint64_t now_ms)
{
    struct place *place = LIST_FIRST(&exchange->free);
    if (place == NULL) {
        return NULL;
    }
    LIST_REMOVE(place, in_bucket);
    uint64_t number = ++exchange->number;
    LIST_INSERT_HEAD(bucket(exchange, number), place, in_bucket);
    TAILQ_INSERT_TAIL(&exchange->open, place, in_order);

    struct exchange_request *request = &place->request;
    memset(request, 0, sizeof(*request));
    snprintf(request->rqi, sizeof(request->rqi), "%s%" PRIu64, exchange->prefix, number);
    snprintf(request->receiver, sizeof(request->receiver), "%s", receiver);
    request->kind = kind;
    request->token = token;
    request->deadline_ms = now_ms + EXCHANGE_TIMEOUT_MS;
    return request->rqi;
}

static void exchange_end(struct exchange *exchange, struct place *place, struct exchange_request *out)
{
    *out = place->request;
    TAILQ_REMOVE(&exchange->open, place, in_order);
    LIST_REMOVE(place, in_bucket);
    LIST_INSERT_HEAD(&exchange->free, place, in_bucket);
}

/* The one request open to the receiver; NULL where there is none, or more than one. */
static struct place *only_one_to(const struct exchange *exchange, const char *receiver)
{
    struct place *found = NULL;
    struct place *place = NULL;
    TAILQ_FOREACH(place, &exchange->open, in_order)
    {
        if (strcmp(place->request.receiver, receiver) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = place;
        }
    }
    return found;
}

static struct place *named(const struct exchange *exchange, const char *rqi, const char *receiver)
{
    size_t length = strlen(exchange->prefix);
    struct place *place = NULL;
    if (strncmp(rqi, exchange->prefix, length) != 0) {
        return NULL;
    }
    uint64_t number = strtoull(rqi + length, NULL, 10); /* of foreign text: only says where to look */
    LIST_FOREACH(place, bucket(exchange, number), in_bucket)
    {
        if (strcmp(place->request.rqi, rqi) == 0 && strcmp(place->request.receiver, receiver) == 0) {
            break;
        }
    }
    return place;
}

bool exchange_match(struct exchange *exchange, const char *rqi, const char *receiver,
                    struct exchange_request *out)
{
    struct place *place = rqi[0] != '\0' ? named(exchange, rqi, receiver) : only_one_to(exchange, receiver);
    if (place == NULL) {
        return false;
    }
    exchange_end(exchange, place, out);
    return true;
}

bool exchange_expire(struct exchange *exchange, uint64_t now_ms, struct exchange_request *out)
{
    return exchange_due(exchange) <= now_ms && exchange_drop(exchange, out);
}

bool exchange_drop(struct exchange *exchange, struct exchange_request *out)
{
    struct place *oldest = TAILQ_FIRST(&exchange->open);
    if (oldest == NULL) {
        return false;
    }
    exchange_end(exchange, oldest, out);
    return true;
}

uint64_t exchange_due(const struct exchange *exchange)
{
    const struct place *oldest = TAILQ_FIRST(&exchange->open);
    return oldest != NULL ? oldest->request.deadline_ms : UINT64_MAX;
}
