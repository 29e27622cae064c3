/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/arrears.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/change.h"
#include "secenv/authority/feed.h"
#include "secenv/authority/roster_feed.h"

#define ARREARS_LOOK 64u /* of them in one turn */

const char arrears_schema[] = "CREATE TABLE IF NOT EXISTS arrears ("
                              "  group_id INTEGER NOT NULL,"
                              "  member_id INTEGER NOT NULL,"
                              "  PRIMARY KEY (group_id, member_id)"
                              ") WITHOUT ROWID;";

/* ---- note ---- */

enum result arrears_known(struct engine *engine, const struct group *group, int64_t member_id, bool *out,
                          struct reason *why)
{
    return store_find(engine->store, why, out, "SELECT 1 FROM arrears WHERE group_id = ? AND member_id = ?",
                      "ii", group->id, member_id);
}

enum result arrears_take(struct engine *engine, const struct group *group, const struct leaf *leaf,
                         enum result result, struct reason *why)
{
    bool known = false;
    struct reason full = *why;
    if (result != RESULT_FULL) {
        return result;
    }
    GUARD(arrears_known(engine, group, leaf->member_id, &known, why));
    if (known) {
        return RESULT_OK;
    }
    GUARD(store_run(engine->store, why, "INSERT INTO arrears (group_id, member_id) VALUES (?, ?)", "ii",
                    group->id, leaf->member_id));
    uint64_t due_us = clock_monotonic_us(engine->clock) + ARREARS_RETRY_US;
    engine->arrears.due_us = due_us < engine->arrears.due_us ? due_us : engine->arrears.due_us;
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                            "news of group %s for %s are put off: %s", group->name, leaf->name, full.text);
}

/* ---- make up ---- */

struct arrear {
    int64_t group_id;
    int64_t member_id;
};

struct arrear_list {
    struct arrear items[ARREARS_LOOK];
    size_t count;
};

static enum result arrear_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    struct arrear_list *list = context;
    list->items[list->count++] = (struct arrear){row_int(row, 0), row_int(row, 1)};
    return RESULT_OK;
}

static const struct group *group_of(const struct engine *engine, int64_t id)
{
    for (size_t i = 0; i < engine->groups.count; i++) {
        if (engine->groups.items[i]->id == id) {
            return engine->groups.items[i];
        }
    }
    return NULL;
}

static enum result everything_put(struct engine *engine, const struct group *group, const struct leaf *leaf,
                                  struct reason *why)
{
    if (!leaf->package_taken) {
        GUARD(package_put(engine, group, leaf, why));
    }
    if (leaf->kind != IDENTITY_MN_CSE) {
        return RESULT_OK;
    }
    GUARD(feed_change(engine, group, leaf->member_id, leaf->name, engine->scratch, why));
    return roster_feed_pages(engine, group, leaf->member_id, leaf->name, why);
}

static enum result arrear_forget(struct engine *engine, const struct arrear *arrear, struct reason *why)
{
    return store_run(engine->store, why, "DELETE FROM arrears WHERE group_id = ? AND member_id = ?", "ii",
                     arrear->group_id, arrear->member_id);
}

static enum result room_look(struct engine *engine, const struct leaf *leaf, bool *enough, struct reason *why)
{
    size_t room = 0;
    GUARD(outbox_room(engine->outbox, engine->identity.name, leaf->name, &room, why));
    *enough = room >= ARREARS_ROOM;
    return RESULT_OK;
}

/* `*left`: there is still no room. */
static enum result arrear_settle(struct engine *engine, const struct arrear *arrear, bool anyway, bool *left,
                                 struct reason *why)
{
    bool enough = anyway;
    const struct group *group = group_of(engine, arrear->group_id);
    struct leaf leaf;
    bool found = false;
    if (group != NULL) {
        GUARD(leaf_load(engine->store, group, arrear->member_id, &leaf, &found, why));
    }
    if (!found) {
        return arrear_forget(engine, arrear, why);
    }
    if (!anyway) {
        GUARD(room_look(engine, &leaf, &enough, why));
    }
    enum result result = enough ? everything_put(engine, group, &leaf, why) : RESULT_FULL;
    if (result == RESULT_FULL) {
        *left = true;
        return RESULT_OK;
    }
    GUARD(result);
    GUARD(arrear_forget(engine, arrear, why));
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__INFO,
                            "news of group %s for %s go on: there is room again", group->name, leaf.name);
}

void arrears_hurry(struct engine *engine)
{
    uint64_t soon_us = engine->arrears.looked_us + ARREARS_HURRY_US;
    if (engine->arrears.due_us != UINT64_MAX && engine->arrears.due_us > soon_us) {
        engine->arrears.due_us = soon_us;
    }
}

enum result arrears_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    if (engine->arrears.due_us <= now_us) {
        struct arrear_list list = {.count = 0};
        bool left = false;
        bool anyway = engine->arrears.anyway_us <= now_us;
        engine->arrears.looked_us = now_us;
        if (anyway) {
            engine->arrears.anyway_us = now_us + ARREARS_ANYWAY_US;
        }
        GUARD(store_query(engine->store, why, arrear_read, &list,
                          "SELECT group_id, member_id FROM arrears ORDER BY random() LIMIT ?", "i",
                          (int64_t)ARREARS_LOOK));
        for (size_t i = 0; i < list.count; i++) {
            GUARD(arrear_settle(engine, &list.items[i], anyway, &left, why));
            arena_reset(engine->scratch);
        }
        left = left || list.count == ARREARS_LOOK;
        engine->arrears.due_us = left ? now_us + ARREARS_RETRY_US : UINT64_MAX;
    }
    *next = engine->arrears.due_us < *next ? engine->arrears.due_us : *next;
    return RESULT_OK;
}
