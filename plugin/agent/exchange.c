/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/exchange.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void exchanges_init(struct exchanges *exchanges)
{
    memset(exchanges, 0, sizeof(*exchanges));
    exchanges->earliest_ms = UINT64_MAX;
    TAILQ_INIT(&exchanges->waiting);
    TAILQ_INIT(&exchanges->answered);
}

/* No id holds a space, so the key is unambiguous. */
static bool asked_key(const char *id, const char *rqi, char *out, size_t size)
{
    int length = snprintf(out, size, "%s %s", id, rqi);
    return length > 0 && (size_t)length < size;
}

struct exchange *exchange_asked(const struct exchanges *exchanges, const char *id, const char *rqi)
{
    char key[EXCHANGE_ASKED_LIMIT];
    return asked_key(id, rqi, key, sizeof(key)) ? table_find_text(&exchanges->by_asked, key) : NULL;
}

struct exchange *exchange_forwarded(const struct exchanges *exchanges, const char *rqi)
{
    return table_find_text(&exchanges->by_forwarded, rqi);
}

static void waiting_leave(struct exchanges *exchanges, struct exchange *exchange)
{
    TAILQ_REMOVE(&exchanges->waiting, exchange, order);
    if (exchange->waiting != NULL) {
        --*exchange->waiting;
    }
}

void exchange_remove(struct exchanges *exchanges, struct exchange *exchange)
{
    if (exchange->answered) {
        TAILQ_REMOVE(&exchanges->answered, exchange, order);
    } else {
        waiting_leave(exchanges, exchange);
    }
    table_remove(&exchanges->by_asked, &exchange->by_asked);
    table_remove(&exchanges->by_forwarded, &exchange->by_forwarded);
    exchanges->answer_bytes -= exchange->answer_length;
    exchanges->count--;
    free(exchange->answer);
    free(exchange);
}

/* Puts it into both tables; false: out of memory. */
static bool exchange_index(struct exchanges *exchanges, struct exchange *exchange)
{
    return (exchange->asked[0] == '\0' ||
            table_add_text(&exchanges->by_asked, &exchange->by_asked, exchange->asked, exchange)) &&
           (exchange->forwarded[0] == '\0' ||
            table_add_text(&exchanges->by_forwarded, &exchange->by_forwarded, exchange->forwarded, exchange));
}

/* Room for one more: an answer kept for a duplicate gives way to a new request. */
static bool exchanges_room(struct exchanges *exchanges)
{
    struct exchange *oldest = TAILQ_FIRST(&exchanges->answered);
    if (exchanges->count >= EXCHANGES_LIMIT && oldest != NULL) {
        exchange_remove(exchanges, oldest);
    }
    return exchanges->count < EXCHANGES_LIMIT;
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static const char *text_put(char **room, const char *text)
{
    size_t size = text_size(text);
    if (size == 0) {
        return "";
    }
    const char *put = memcpy(*room, text, size);
    *room += size;
    return put;
}

static struct exchange *exchange_new(const struct exchange_asker *asker, const char *target,
                                     const char *forwarded)
{
    static const struct exchange_asker nobody = {.id = "", .originator = "", .receiver = "", .rqi = ""};
    char asked[EXCHANGE_ASKED_LIMIT] = "";
    if (asker == NULL) {
        asker = &nobody;
    } else if (!asked_key(asker->id, asker->rqi, asked, sizeof(asked))) {
        return NULL;
    }
    size_t size = text_size(asker->id) + text_size(asker->originator) + text_size(asker->receiver) +
                  text_size(asker->rqi) + text_size(target) + text_size(forwarded) + text_size(asked);
    struct exchange *exchange = calloc(1, sizeof(*exchange) + size);
    if (exchange == NULL) {
        return NULL;
    }
    char *room = exchange->texts;
    exchange->asker = *asker;
    exchange->asker.id = text_put(&room, asker->id);
    exchange->asker.originator = text_put(&room, asker->originator);
    exchange->asker.receiver = text_put(&room, asker->receiver);
    exchange->asker.rqi = text_put(&room, asker->rqi);
    exchange->target = text_put(&room, target);
    exchange->forwarded = text_put(&room, forwarded);
    exchange->asked = text_put(&room, asked);
    return exchange;
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
    struct exchange *exchange = exchange_new(asker, target, forwarded);
    if (exchange == NULL) {
        return NULL;
    }
    exchange->kind = kind;
    exchange->deadline_ms = deadline_ms;
    TAILQ_INSERT_TAIL(&exchanges->waiting, exchange, order);
    exchanges->count++;
    if (deadline_ms < exchanges->earliest_ms) {
        exchanges->earliest_ms = deadline_ms;
    }
    exchange->waiting = waiting;
    if (waiting != NULL) {
        ++*waiting;
    }
    if (!exchange_index(exchanges, exchange)) {
        exchange_remove(exchanges, exchange);
        return NULL;
    }
    return exchange;
}

/* Some at a time: many at once would hold up whose callback it is. */
static void answered_drop(struct exchanges *exchanges, uint64_t now_ms)
{
    struct exchange *oldest;
    for (unsigned i = 0; i < EXCHANGES_DROPPED; i++) {
        oldest = TAILQ_FIRST(&exchanges->answered);
        if (oldest == NULL || oldest->deadline_ms > now_ms) {
            return;
        }
        exchange_remove(exchanges, oldest);
    }
}

void exchange_answer(struct exchanges *exchanges, struct exchange *exchange, char *answer, size_t length,
                     uint64_t now_ms)
{
    answered_drop(exchanges, now_ms);
    waiting_leave(exchanges, exchange);
    TAILQ_INSERT_TAIL(&exchanges->answered, exchange, order);
    exchange->answered = true;
    exchange->deadline_ms = now_ms + EXCHANGE_KEEP_MS;
    exchange->answer = answer;
    exchange->answer_length = answer == NULL ? 0 : length;
    exchanges->answer_bytes += exchange->answer_length;
    while (exchanges->answer_bytes > EXCHANGE_ANSWERS_LIMIT) {
        exchange_remove(exchanges, TAILQ_FIRST(&exchanges->answered));
    }
}

struct exchange *exchange_expired(struct exchanges *exchanges, uint64_t now_ms)
{
    struct exchange *exchange;
    uint64_t earliest = UINT64_MAX;
    answered_drop(exchanges, now_ms);
    if (now_ms < exchanges->earliest_ms) {
        return NULL;
    }
    TAILQ_FOREACH(exchange, &exchanges->waiting, order)
    {
        if (exchange->deadline_ms <= now_ms) {
            return exchange;
        }
        earliest = exchange->deadline_ms < earliest ? exchange->deadline_ms : earliest;
    }
    exchanges->earliest_ms = earliest;
    return NULL;
}

struct exchange *exchange_only(const struct exchanges *exchanges, const char *target)
{
    struct exchange *exchange;
    struct exchange *only = NULL;
    TAILQ_FOREACH(exchange, &exchanges->waiting, order)
    {
        if (strcmp(exchange->target, target) == 0) {
            if (only != NULL) {
                return NULL;
            }
            only = exchange;
        }
    }
    return only;
}

struct exchange *exchange_waiting(const struct exchanges *exchanges, enum exchange_kind kind)
{
    struct exchange *exchange;
    TAILQ_FOREACH(exchange, &exchanges->waiting, order)
    {
        if (exchange->kind == kind) {
            return exchange;
        }
    }
    return NULL;
}

void exchanges_clear(struct exchanges *exchanges)
{
    struct exchange *exchange;
    while ((exchange = TAILQ_FIRST(&exchanges->waiting)) != NULL ||
           (exchange = TAILQ_FIRST(&exchanges->answered)) != NULL) {
        exchange_remove(exchanges, exchange);
    }
}

size_t exchanges_waiting_count(const struct exchanges *exchanges)
{
    const struct exchange *exchange;
    size_t count = 0;
    TAILQ_FOREACH(exchange, &exchanges->waiting, order)
    {
        count++;
    }
    return count;
}
