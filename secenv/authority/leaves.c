/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/leaves.h"

#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

#define LEAF_COLUMNS                                                                                         \
    "SELECT m.id, l.leaf_index, m.name, m.kind, m.site, l.serial, l.epoch, m.signing_key, l.package_taken,"  \
    " l.made_ms FROM "

struct leaf_reading {
    struct leaf *items;
    size_t count;
    size_t room;
};

static enum result leaf_read(void *context, const struct store_row *row, struct reason *why)
{
    struct leaf_reading *reading = context;
    struct bytes key = row_bytes(row, 7);
    if (reading->count == reading->room || key.length != VERIFY_KEY_SIZE) {
        return result_fail(why, RESULT_STORE, "a leaf's row is damaged");
    }
    struct leaf *leaf = &reading->items[reading->count++];
    leaf->member_id = row_int(row, 0);
    leaf->index = (uint32_t)row_int(row, 1);
    (void)snprintf(leaf->name, sizeof(leaf->name), "%s", row_text(row, 2));
    leaf->kind = (enum identity_kind)row_int(row, 3);
    (void)snprintf(leaf->site, sizeof(leaf->site), "%s", row_text(row, 4));
    leaf->serial = row_u64(row, 5);
    leaf->epoch = row_u64(row, 6);
    memcpy(leaf->signing_key, key.data, VERIFY_KEY_SIZE);
    leaf->package_taken = row_int(row, 8) != 0;
    leaf->made_ms = row_u64(row, 9);
    return RESULT_OK;
}

enum result leaves_load_mn_cses(struct store *store, const struct group *group, struct arena *arena,
                                struct leaves *out, struct reason *why)
{
    struct leaf_reading reading = {.room = GROUP_SITES_LIMIT};
    reading.items = arena_alloc(arena, reading.room * sizeof(*reading.items));
    if (reading.items == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the leaves of %s", group->name);
    }
    GUARD(store_query(store, why, leaf_read, &reading,
                      LEAF_COLUMNS "group_site s CROSS JOIN member m ON m.name = s.site" /* in this order */
                                   " CROSS JOIN leaf l ON l.member_id = m.id AND l.group_id = s.group_id"
                                   " WHERE s.group_id = ? ORDER BY m.name",
                      "i", group->id));
    *out = (struct leaves){reading.items, reading.count};
    return RESULT_OK;
}

static enum result page_load(struct store *store, const struct group *group, const char *after,
                             const char *sql, struct arena *arena, struct leaves *out, struct reason *why)
{
    struct leaf_reading reading = {.room = LEAVES_PAGE};
    reading.items = arena_alloc(arena, reading.room * sizeof(*reading.items));
    if (reading.items == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the leaves of %s", group->name);
    }
    GUARD(store_query(store, why, leaf_read, &reading, sql, "iti", group->id, after, (int64_t)LEAVES_PAGE));
    *out = (struct leaves){reading.items, reading.count};
    return RESULT_OK;
}

enum result leaves_load_page(struct store *store, const struct group *group, const char *after,
                             struct arena *arena, struct leaves *out, struct reason *why)
{
    return page_load(store, group, after,
                     LEAF_COLUMNS "leaf l JOIN member m ON m.id = l.member_id"
                                  " WHERE l.group_id = ? AND m.name > ? ORDER BY m.name LIMIT ?",
                     arena, out, why);
}

enum result leaves_load_behind(struct store *store, const struct group *group, const char *after,
                               struct arena *arena, struct leaves *out, struct reason *why)
{
    return page_load(store, group, after,
                     LEAF_COLUMNS "behind b JOIN member m ON m.id = b.member_id"
                                  " JOIN leaf l ON l.member_id = b.member_id AND l.group_id = b.group_id"
                                  " WHERE b.group_id = ? AND m.name > ? ORDER BY m.name LIMIT ?",
                     arena, out, why);
}

enum result leaf_load(struct store *store, const struct group *group, int64_t member_id, struct leaf *out,
                      bool *found, struct reason *why)
{
    struct leaf_reading reading = {.items = out, .room = 1};
    GUARD(store_query(store, why, leaf_read, &reading,
                      LEAF_COLUMNS "leaf l JOIN member m ON m.id = l.member_id"
                                   " WHERE l.group_id = ? AND l.member_id = ?",
                      "ii", group->id, member_id));
    *found = reading.count == 1;
    return RESULT_OK;
}

enum result leaf_load_named(struct store *store, const struct group *group, const char *name,
                            struct leaf *out, bool *found, struct reason *why)
{
    struct leaf_reading reading = {.items = out, .room = 1};
    GUARD(store_query(store, why, leaf_read, &reading,
                      LEAF_COLUMNS "member m JOIN leaf l ON l.member_id = m.id"
                                   " WHERE m.name = ? AND l.group_id = ?",
                      "ti", name, group->id));
    *found = reading.count == 1;
    return RESULT_OK;
}
