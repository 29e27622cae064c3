/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No id holds a space, so the key is unambiguous. */
static bool asked_key(const char *id, const char *rqi, char *out, size_t size)
{
    int length = snprintf(out, size, "%s %s", id, rqi);
    return length > 0 && (size_t)length < size;
}

struct exchange *exchange_asked(const struct exchanges *exchanges, const char *id, const char *rqi)
{
    char key[EXCHANGE_ASKED_LIMIT];
    struct exchange *exchange = NULL;
    if (asked_key(id, rqi, key, sizeof(key))) {
        HASH_FIND(by_asked, exchanges->by_asked, key, strlen(key), exchange);
    }
    return exchange;
}

struct exchange *exchange_forwarded(const struct exchanges *exchanges, const char *rqi)
{
    struct exchange *exchange = NULL;
    if (rqi[0] != '\0') {
        HASH_FIND(by_forwarded, exchanges->by_forwarded, rqi, strlen(rqi), exchange);
    }
    return exchange;
}

static void waiting_leave(struct exchanges *exchanges, struct exchange *exchange)
{
    DL_DELETE(exchanges->waiting, exchange);
    if (exchange->waiting != NULL) {
        --*exchange->waiting;
    }
}

void exchange_remove(struct exchanges *exchanges, struct exchange *exchange)
{
    if (exchange->answered) {
        DL_DELETE(exchanges->answered, exchange);
    } else {
        waiting_leave(exchanges, exchange);
    }
    if (exchange->by_asked.tbl != NULL) {
        HASH_DELETE(by_asked, exchanges->by_asked, exchange);
    }
    if (exchange->by_forwarded.tbl != NULL) {
        HASH_DELETE(by_forwarded, exchanges->by_forwarded, exchange);
    }
    exchanges->answer_bytes -= exchange->answer_length;
    exchanges->count--;
    free(exchange->answer);
    free(exchange);
}

/* Puts it into both tables; false: out of memory. */
static bool exchange_index(struct exchanges *exchanges, struct exchange *exchange)
{
    if (exchange->asked[0] != '\0') {
        HASH_ADD(by_asked, exchanges->by_asked, asked, strlen(exchange->asked), exchange);
        if (exchange->by_asked.tbl == NULL) {
            return false;
        }
    }
    if (exchange->forwarded[0] != '\0') {
        HASH_ADD(by_forwarded, exchanges->by_forwarded, forwarded, strlen(exchange->forwarded), exchange);
        if (exchange->by_forwarded.tbl == NULL) {
            return false;
        }
    }
    return true;
}

/* Room for one more: an answer kept for a duplicate gives way to a new request. */
static bool exchanges_room(struct exchanges *exchanges)
{
    if (exchanges->count >= EXCHANGES_LIMIT && exchanges->answered != NULL) {
        exchange_remove(exchanges, exchanges->answered);
    }
    return exchanges->count < EXCHANGES_LIMIT;
}

struct exchange *exchange_add(struct exchanges *exchanges, enum exchange_kind kind,
                              const struct exchange_asker *asker, unsigned *waiting, const char *target,
                              const char *forwarded, uint64_t deadline_ms)
{
    struct exchange *old = asker == NULL ? NULL : exchange_asked(exchanges, asker->id, asker->rqi);
    if (old != NULL) {
        if (!old->answered) {
            return NULL;
        }
        exchange_remove(exchanges, old);
    }
    if (!exchanges_room(exchanges)) {
        return NULL;
    }
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return NULL;
    }
    exchange->kind = kind;
    exchange->deadline_ms = deadline_ms;
    DL_APPEND(exchanges->waiting, exchange);
    exchanges->count++;
    exchange->waiting = waiting;
    if (waiting != NULL) {
        ++*waiting;
    }
    bool fits = true;
    if (asker != NULL) {
        exchange->asker = *asker;
        fits = asked_key(asker->id, asker->rqi, exchange->asked, sizeof(exchange->asked));
    }
    if (target != NULL) {
        fits = fits && (size_t)snprintf(exchange->target, sizeof(exchange->target), "%s", target) <
                           sizeof(exchange->target);
    }
    if (forwarded != NULL) {
        fits = fits && (size_t)snprintf(exchange->forwarded, sizeof(exchange->forwarded), "%s", forwarded) <
                           sizeof(exchange->forwarded);
    }
    if (!fits || !exchange_index(exchanges, exchange)) {
        exchange_remove(exchanges, exchange);
        return NULL;
    }
    return exchange;
}

void exchange_answer(struct exchanges *exchanges, struct exchange *exchange, char *answer, size_t length,
                     uint64_t now_ms)
{
    waiting_leave(exchanges, exchange);
    DL_APPEND(exchanges->answered, exchange);
    exchange->answered = true;
    exchange->deadline_ms = now_ms + EXCHANGE_KEEP_MS;
    exchange->answer = answer;
    exchange->answer_length = answer == NULL ? 0 : length;
    exchanges->answer_bytes += exchange->answer_length;
    while (exchanges->answer_bytes > EXCHANGE_ANSWERS_LIMIT) {
        exchange_remove(exchanges, exchanges->answered);
    }
}

struct exchange *exchange_expired(struct exchanges *exchanges, uint64_t now_ms)
{
    while (exchanges->answered != NULL && exchanges->answered->deadline_ms <= now_ms) {
        exchange_remove(exchanges, exchanges->answered);
    }
    struct exchange *exchange = NULL;
    DL_FOREACH(exchanges->waiting, exchange)
    {
        if (exchange->deadline_ms <= now_ms) {
            return exchange;
        }
    }
    return NULL;
}

void exchanges_drop(struct exchanges *exchanges, enum exchange_kind kind)
{
    struct exchange *exchange;
    struct exchange *next;
    DL_FOREACH_SAFE(exchanges->waiting, exchange, next)
    {
        if (exchange->kind == kind) {
            exchange_remove(exchanges, exchange);
        }
    }
}

void exchanges_clear(struct exchanges *exchanges)
{
    while (exchanges->waiting != NULL) {
        exchange_remove(exchanges, exchanges->waiting);
    }
    while (exchanges->answered != NULL) {
        exchange_remove(exchanges, exchanges->answered);
    }
}
