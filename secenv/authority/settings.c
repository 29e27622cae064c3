/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/settings.h"

#include "secenv/authority/authority.h"

#include <string.h>

const char settings_schema[] = "CREATE TABLE IF NOT EXISTS setting ("
                               "  name TEXT PRIMARY KEY,"
                               "  value INTEGER NOT NULL"
                               ") WITHOUT ROWID;";

static enum result setting_read(void *context, const struct store_row *row, struct reason *why)
{
    struct settings *settings = context;
    (void)why;
    if (strcmp(row_text(row, 0), "leaf_age_s") == 0) {
        settings->leaf_age_s = (uint32_t)row_int(row, 1);
    } else if (strcmp(row_text(row, 0), "collect_ms") == 0) {
        settings->collect_ms = (uint32_t)row_int(row, 1);
    }
    return RESULT_OK;
}

enum result settings_load(struct store *store, struct settings *out, struct reason *why)
{
    *out = (struct settings){.leaf_age_s = LEAF_AGE_DEFAULT_S, .collect_ms = COLLECT_DEFAULT_MS};
    return store_query(store, why, setting_read, out, "SELECT name, value FROM setting", "");
}

uint64_t settings_collected_us(const struct engine *engine)
{
    uint32_t ms = engine->settings.collect_ms;
    return ms == 0 ? 0 : clock_monotonic_us(engine->clock) + ms * UINT64_C(1000);
}

static enum result setting_write(const struct engine *engine, const char *name, uint32_t value,
                                 struct reason *why)
{
    return store_run(engine->store, why, "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", "ti",
                     name, (int64_t)value);
}

static enum result leaf_age_change(struct engine *engine, uint32_t age_s, struct reason *why)
{
    bool never = age_s == LEAF_AGE_NEVER;
    if (!never && (age_s < LEAF_AGE_LEAST_S || age_s > LEAF_AGE_LIMIT_S)) {
        return result_fail(why, RESULT_INVALID, "an age of leaves is %u to %u seconds", LEAF_AGE_LEAST_S,
                           LEAF_AGE_LIMIT_S);
    }
    uint32_t value = never ? 0 : age_s;
    GUARD(setting_write(engine, "leaf_age_s", value, why));
    engine->settings.leaf_age_s = value;
    refresh_hurry(engine);
    return RESULT_OK;
}

static enum result collect_change(struct engine *engine, uint32_t ms, struct reason *why)
{
    bool never = ms == COLLECT_NEVER;
    if (!never && ms > COLLECT_LIMIT_MS) {
        return result_fail(why, RESULT_INVALID, "members that come are collected for at most %u ms",
                           COLLECT_LIMIT_MS);
    }
    uint32_t value = never ? 0 : ms;
    GUARD(setting_write(engine, "collect_ms", value, why));
    engine->settings.collect_ms = value;
    return RESULT_OK;
}

enum result settings_change(struct engine *engine, const Groupseal__Secenv__Settings *request,
                            struct arena *arena, Groupseal__Secenv__SettingsReply **out, struct reason *why)
{
    if (request->leaf_age_s != 0) {
        GUARD(leaf_age_change(engine, request->leaf_age_s, why));
    }
    if (request->collect_ms != 0) {
        GUARD(collect_change(engine, request->collect_ms, why));
    }
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__settings_reply__init(*out);
    (*out)->leaf_age_s = engine->settings.leaf_age_s;
    (*out)->collect_ms = engine->settings.collect_ms;
    return RESULT_OK;
}
