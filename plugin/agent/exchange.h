/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_EXCHANGE_H
#define GROUPSEAL_PLUGIN_EXCHANGE_H

#include "onem2m/primitive.h"
#include "onem2m/topic.h"
#include "plugin/agent/table.h"

#include <sys/queue.h>

/*
 * Requests under way and those answered of late, so that each response finds the way back with its
 * original request id (TS-0001 7.1.7), and a request that QoS 1 delivers twice is answered, not done, again.
 * Bounded in number, in bytes and in time.
 */
#define EXCHANGES_LIMIT 16384u
#define EXCHANGE_ANSWERS_LIMIT 16777216u /* 16 MiB of answers kept for duplicates */
#define EXCHANGE_KEEP_MS 30000u          /* how long an answer is kept at least */
#define EXCHANGES_DROPPED 8u             /* of those kept long enough, at once */
#define EXCHANGE_ASKED_LIMIT (ONEM2M_ID_LIMIT + ONEM2M_RQI_LIMIT + 2u)

enum exchange_kind {
    EXCHANGE_LOCAL,     /* answered here, at once */
    EXCHANGE_FORWARDED, /* from an AE to the IN-CSE, or back */
    EXCHANGE_RECEIVED,  /* to this MN-CSE's secure environment */
    EXCHANGE_SENT,      /* from this MN-CSE's secure environment */
    EXCHANGE_GATHERING, /* to a group's fanOutPoint: waits for the members */
    EXCHANGE_MEMBER,    /* to one of those members */
};

/* Where a request came from and where its response goes. The texts are somebody else's. */
struct exchange_asker {
    const char *id; /* absolute */
    enum onem2m_tree answer_tree;
    const char *originator; /* levels as they were in the request's topic */
    const char *receiver;
    const char *rqi;
    uint64_t fingerprint; /* of the request's bytes */
};

struct exchange {
    enum exchange_kind kind;
    bool answered;
    struct exchange_asker asker;
    const char *target;       /* absolute: who has to answer */
    uint64_t token;           /* EXCHANGE_SENT: secenv's */
    struct fanout *fanout;    /* EXCHANGE_GATHERING */
    struct fanout_item *item; /* EXCHANGE_MEMBER */
    uint64_t deadline_ms;     /* monotonic: expiry, or how long the answer is kept */
    bool rqet;                /* the deadline is the originator's own */
    unsigned *waiting;        /* the originator's count of exchanges not answered, or NULL */
    char *answer;             /* kept for duplicates; may be NULL */
    size_t answer_length;

    const char *asked;     /* key: originator and rqi; "" for EXCHANGE_SENT and _MEMBER */
    const char *forwarded; /* key: the rqi sent on; "" where none was */
    struct table_link by_asked;
    struct table_link by_forwarded;
    TAILQ_ENTRY(exchange) order;
    char texts[]; /* all of the above: thousands are kept, and each page of memory is new once */
};

TAILQ_HEAD(exchange_list, exchange);

struct exchanges {
    struct table by_asked;
    struct table by_forwarded;
    struct exchange_list waiting;  /* not answered; oldest first */
    struct exchange_list answered; /* oldest first */
    uint64_t earliest_ms;          /* none of those waiting expires before */
    size_t count;
    size_t answer_bytes;
};

void exchanges_init(struct exchanges *exchanges);

/* The exchange of this originator with this rqi, or NULL. */
struct exchange *exchange_asked(const struct exchanges *exchanges, const char *id, const char *rqi);
/* The exchange whose forwarded request has this rqi, or NULL. */
struct exchange *exchange_forwarded(const struct exchanges *exchanges, const char *rqi);

/* A new exchange, not answered; the texts are copied. `asker` and `waiting` (counted up now, and down when it
 * is answered or removed; outlives the exchange) are NULL for EXCHANGE_SENT and _MEMBER, `forwarded` for
 * EXCHANGE_LOCAL and _GATHERING. An answered one of the same originator and rqi gives way. NULL: the table is
 * full, or out of memory. */
struct exchange *exchange_add(struct exchanges *exchanges, enum exchange_kind kind,
                              const struct exchange_asker *asker, unsigned *waiting, const char *target,
                              const char *forwarded, uint64_t deadline_ms);
/* Marks it answered and keeps the answer (owned from here on; may be NULL). */
void exchange_answer(struct exchanges *exchanges, struct exchange *exchange, char *answer, size_t length,
                     uint64_t now_ms);
void exchange_remove(struct exchanges *exchanges, struct exchange *exchange);

/* Drops some answers that were kept long enough; returns one waiting exchange that has expired, or NULL. The
 * caller answers or removes it and asks again. */
struct exchange *exchange_expired(struct exchanges *exchanges, uint64_t now_ms);

/* The one exchange that waits for this target; NULL: none, or several. */
struct exchange *exchange_only(const struct exchanges *exchanges, const char *target);

/* The oldest waiting exchange of this kind, or NULL. */
struct exchange *exchange_waiting(const struct exchanges *exchanges, enum exchange_kind kind);
size_t exchanges_waiting_count(const struct exchanges *exchanges);
void exchanges_clear(struct exchanges *exchanges);

#endif
