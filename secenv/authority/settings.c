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
    }
    return RESULT_OK;
}

enum result settings_load(struct store *store, struct settings *out, struct reason *why)
{
    *out = (struct settings){.leaf_age_s = LEAF_AGE_DEFAULT_S};
    return store_query(store, why, setting_read, out, "SELECT name, value FROM setting", "");
}

static enum result leaf_age_change(struct engine *engine, uint32_t age_s, struct reason *why)
{
    bool never = age_s == LEAF_AGE_NEVER;
    if (!never && (age_s < LEAF_AGE_LEAST_S || age_s > LEAF_AGE_LIMIT_S)) {
        return result_fail(why, RESULT_INVALID, "an age of leaves is %u to %u seconds", LEAF_AGE_LEAST_S,
                           LEAF_AGE_LIMIT_S);
    }
    uint32_t value = never ? 0 : age_s;
    GUARD(store_run(engine->store, why,
                    "INSERT OR REPLACE INTO setting (name, value) VALUES ('leaf_age_s', ?)", "i",
                    (int64_t)value));
    engine->settings.leaf_age_s = value;
    refresh_hurry(engine);
    return RESULT_OK;
}

enum result settings_change(struct engine *engine, const Groupseal__Secenv__Settings *request,
                            struct arena *arena, Groupseal__Secenv__SettingsReply **out, struct reason *why)
{
    if (request->leaf_age_s != 0) {
        GUARD(leaf_age_change(engine, request->leaf_age_s, why));
    }
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__settings_reply__init(*out);
    (*out)->leaf_age_s = engine->settings.leaf_age_s;
    return RESULT_OK;
}
