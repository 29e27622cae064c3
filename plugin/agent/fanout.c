/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/fanout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fanouts_init(struct fanouts *fanouts)
{
    memset(fanouts, 0, sizeof(*fanouts));
    LIST_INIT(&fanouts->under_way);
    TAILQ_INIT(&fanouts->seen_order);
}

static void seen_remove(struct fanouts *fanouts, struct fanout_seen *seen)
{
    TAILQ_REMOVE(&fanouts->seen_order, seen, order);
    table_remove(&fanouts->seen, &seen->link);
    free(seen);
}

void fanouts_clear(struct fanouts *fanouts)
{
    struct fanout *fanout;
    struct fanout_seen *seen;
    while ((fanout = LIST_FIRST(&fanouts->under_way)) != NULL) {
        fanout_free(fanouts, fanout);
    }
    while ((seen = TAILQ_FIRST(&fanouts->seen_order)) != NULL) {
        seen_remove(fanouts, seen);
    }
}

/* One piece of memory: the fan-out, its items, and the members' names behind them. */
struct fanout *fanout_new(struct fanouts *fanouts, const char *const *members, size_t count)
{
    size_t size = sizeof(struct fanout) + count * sizeof(struct fanout_item);
    size_t names = 0;
    for (size_t i = 0; i < count; i++) {
        names += strlen(members[i]) + 1;
    }
    struct fanout *fanout = fanouts->count < FANOUTS_LIMIT ? calloc(1, size + names) : NULL;
    if (fanout == NULL) {
        return NULL;
    }
    char *name = (char *)fanout + size;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(members[i]) + 1;
        memcpy(name, members[i], length);
        fanout->items[i] = (struct fanout_item){.fanout = fanout, .member = name};
        name += length;
    }
    fanout->count = fanout->pending = count;
    LIST_INSERT_HEAD(&fanouts->under_way, fanout, list);
    fanouts->count++;
    return fanout;
}

void fanout_free(struct fanouts *fanouts, struct fanout *fanout)
{
    LIST_REMOVE(fanout, list);
    fanouts->count--;
    for (size_t i = 0; i < fanout->count; i++) {
        onem2m_free(fanout->items[i].response);
    }
    free(fanout);
}

static void seen_expire(struct fanouts *fanouts, uint64_t now_ms)
{
    struct fanout_seen *oldest;
    while ((oldest = TAILQ_FIRST(&fanouts->seen_order)) != NULL &&
           (oldest->until_ms <= now_ms || table_count(&fanouts->seen) >= FANOUT_SEEN_LIMIT)) {
        seen_remove(fanouts, oldest);
    }
}

bool fanout_gid_take(struct fanouts *fanouts, const char *gid, uint64_t now_ms)
{
    seen_expire(fanouts, now_ms);
    if (strlen(gid) > ONEM2M_RQI_LIMIT || table_find_text(&fanouts->seen, gid) != NULL) {
        return false;
    }
    struct fanout_seen *seen = calloc(1, sizeof(*seen));
    if (seen == NULL) {
        return false;
    }
    snprintf(seen->gid, sizeof(seen->gid), "%s", gid);
    seen->until_ms = now_ms + FANOUT_KEEP_MS;
    if (!table_add_text(&fanouts->seen, &seen->link, seen->gid, seen)) {
        free(seen);
        return false;
    }
    TAILQ_INSERT_TAIL(&fanouts->seen_order, seen, order);
    return true;
}
