/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/fanout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fanouts_init(struct fanouts *fanouts)
{
    memset(fanouts, 0, sizeof(*fanouts));
}

void fanouts_clear(struct fanouts *fanouts)
{
    for (size_t i = 0; i < FANOUTS_LIMIT; i++) {
        if (fanouts->under_way[i] != NULL) {
            fanout_free(fanouts, fanouts->under_way[i]);
        }
    }
}

/* One piece of memory: the fan-out, its items, and the members' names behind them. */
struct fanout *fanout_new(struct fanouts *fanouts, const char *const *members, size_t count)
{
    size_t size = sizeof(struct fanout) + count * sizeof(struct fanout_item);
    size_t names = 0;
    size_t place = 0;
    while (place < FANOUTS_LIMIT && fanouts->under_way[place] != NULL) {
        place++;
    }
    for (size_t i = 0; i < count; i++) {
        names += strlen(members[i]) + 1;
    }
    struct fanout *fanout = place < FANOUTS_LIMIT ? calloc(1, size + names) : NULL;
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
    fanout->place = place;
    fanouts->under_way[place] = fanout;
    return fanout;
}

void fanout_free(struct fanouts *fanouts, struct fanout *fanout)
{
    fanouts->under_way[fanout->place] = NULL;
    for (size_t i = 0; i < fanout->count; i++) {
        onem2m_free(fanout->items[i].response);
    }
    free(fanout);
}

bool fanout_gid_take(struct fanouts *fanouts, const char *gid, uint64_t now_ms)
{
    if (strlen(gid) > ONEM2M_RQI_LIMIT) {
        return false;
    }
    for (size_t i = 0; i < FANOUT_SEEN_LIMIT; i++) {
        const struct fanout_seen *seen = &fanouts->seen[i];
        if (seen->until_ms > now_ms && strcmp(seen->gid, gid) == 0) {
            return false;
        }
    }
    struct fanout_seen *next = &fanouts->seen[fanouts->seen_next];
    fanouts->seen_next = (fanouts->seen_next + 1) % FANOUT_SEEN_LIMIT;
    snprintf(next->gid, sizeof(next->gid), "%s", gid);
    next->until_ms = now_ms + FANOUT_KEEP_MS;
    return true;
}
