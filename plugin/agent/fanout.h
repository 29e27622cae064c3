/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_FANOUT_H
#define GROUPSEAL_PLUGIN_FANOUT_H

#include "plugin/agent/exchange.h"

/*
 * A request to a group's fanOutPoint under way (TS-0001 10.2.7, TS-0004 7.4.14): one request for each member,
 * and one response that aggregates theirs. It ends when all have answered, or when the time of the request is
 * over; answers that come later are nobody's.
 */
#define FANOUTS_LIMIT 16u      /* under way */
#define FANOUT_KEEP_MS 60000u  /* how long a group request identifier is known */
#define FANOUT_SEEN_LIMIT 256u /* identifiers known; the oldest gives way */

struct fanout;

struct fanout_item {
    struct fanout *fanout;
    const char *member;                /* as the group names it; lives as long as the fan-out */
    struct exchange *exchange;         /* its request under way, or NULL */
    struct onem2m_primitive *response; /* or NULL */
};

struct fanout {
    struct exchange *asked;
    size_t place;   /* in the list of those under way */
    size_t pending; /* members that have not answered */
    size_t count;
    struct fanout_item items[];
};

struct fanout_seen {
    char gid[ONEM2M_RQI_LIMIT + 1];
    uint64_t until_ms; /* monotonic */
};

struct fanouts {
    struct fanout *under_way[FANOUTS_LIMIT];    /* NULL where there is room */
    struct fanout_seen seen[FANOUT_SEEN_LIMIT]; /* a ring */
    size_t seen_next;
};

void fanouts_init(struct fanouts *fanouts);
/* Exchanges are left as they are. */
void fanouts_clear(struct fanouts *fanouts);

/* NULL: too many are under way, or out of memory. `members` are copied. */
struct fanout *fanout_new(struct fanouts *fanouts, const char *const *members, size_t count);
void fanout_free(struct fanouts *fanouts, struct fanout *fanout);

/* True where this group request identifier was not known, and is from now on. */
bool fanout_gid_take(struct fanouts *fanouts, const char *gid, uint64_t now_ms);

#endif
