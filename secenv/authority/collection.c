/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/collection.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/difference.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void collection_add(struct group *group, uint64_t now_us, uint64_t later_us)
{
    uint64_t places = UINT64_C(1) << tree_height(group->tree);
    uint64_t own_us = later_us - now_us;
    uint64_t places_us = smaller(places * COLLECT_EACH_US, COLLECT_LONGEST_US);
    uint64_t limit_us = now_us + (own_us > places_us ? own_us : places_us);
    group->collect_limit_us =
        group->collect_limit_us == 0 ? limit_us : smaller(group->collect_limit_us, limit_us);
    group->later_us = smaller(group->collect_limit_us, later_us + places * COLLECT_QUIET_EACH_US);
    group->due = group->due || group->marked_count >= CHANGE_LIMIT; /* one change has no room for more */
}

static enum result roster_is_on_its_way(struct engine *engine, const struct group *group, bool *out,
                                        struct reason *why)
{
    return store_find(
        engine->store, why, out,
        "SELECT 1 FROM roster_feed f JOIN leaf l ON l.group_id = f.group_id"
        " AND l.member_id = f.member_id WHERE f.group_id = ? AND (f.accepted < f.pages OR EXISTS"
        " (SELECT 1 FROM roster_waiting w WHERE w.group_id = f.group_id"
        "   AND w.member_id = f.member_id))",
        "i", group->id);
}

enum result collection_held(struct engine *engine, const struct group *group, uint64_t *until_us,
                            struct reason *why)
{
    uint64_t limit_us = group->changed_us + COLLECT_HELD_US;
    bool held = false;
    if (clock_monotonic_us(engine->clock) < limit_us) {
        GUARD(roster_is_on_its_way(engine, group, &held, why));
    }
    *until_us = held ? limit_us : 0;
    return RESULT_OK;
}

void collection_end(struct group *group)
{
    group->later_us = 0;
    group->collect_limit_us = 0;
}
