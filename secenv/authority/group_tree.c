/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/group_tree.h"

#include "secenv/store.h"
#include "secenv/tree_page.h"

#include <stdio.h>

/* A place is one number, so that pages that are made one after the other lie so: the group, the row (the
 * lowest, which grows most, last) and the column. */
#define COLUMN_BITS (TREE_HEIGHT_MAX - TREE_BLOCK_LEVELS)
#define PLACE_BITS (COLUMN_BITS + 3u)

const char group_tree_schema[] = "CREATE TABLE IF NOT EXISTS tree_page ("
                                 "  place INTEGER PRIMARY KEY,"
                                 "  sealed BLOB NOT NULL"
                                 ");";

static int64_t place_first(int64_t group_id)
{
    return group_id << PLACE_BITS;
}

static int64_t place_number(int64_t group_id, struct tree_place place)
{
    return place_first(group_id) | (int64_t)(7u - place.row) << COLUMN_BITS | (int64_t)place.column;
}

/* ---- from the store ---- */

struct page_purpose {
    char text[80];
};

static struct page_purpose page_purpose(int64_t group_id, struct tree_place place)
{
    struct page_purpose purpose;
    (void)snprintf(purpose.text, sizeof(purpose.text), "tree_page/sealed/%lld/%u/%u", (long long)group_id,
                   place.row, place.column);
    return purpose;
}

struct page_loading {
    const struct group *group;
    uint32_t height;
    struct tree_page *page;
};

static enum result page_read(void *context, const struct store_row *row, struct reason *why)
{
    struct page_loading *loading = context;
    struct tree_place place = loading->page->place;
    struct page_purpose purpose = page_purpose(loading->group->id, place);
    struct buffer opened = BUFFER_EMPTY(TREE_PAGE_MAX);
    enum result result = row_unseal(row, 0, purpose.text, &opened, NULL);
    if (result == RESULT_OK) {
        result = tree_page_read(buffer_bytes(&opened), loading->height, loading->page);
    }
    buffer_clear(&opened);
    if (result != RESULT_OK) {
        return result_fail(
            why, RESULT_STORE,
            "the key tree of group %s is damaged (row %u, column %u): restore the store from a "
            "backup",
            loading->group->name, place.row, place.column);
    }
    return RESULT_OK;
}

static enum result page_load(void *context, uint32_t height, struct tree_page *page, struct reason *why)
{
    const struct group *group = context;
    struct page_loading loading = {group, height, page};
    return store_query(group->store, why, page_read, &loading, "SELECT sealed FROM tree_page WHERE place = ?",
                       "i", place_number(group->id, page->place));
}

static enum result leaf_read(void *context, const struct store_row *row, struct reason *why)
{
    const struct group *group = context;
    int64_t index = row_int(row, 0);
    bool possible = index >= 0 && index < (int64_t)MEMBERS_LIMIT;
    enum result result = possible ? tree_restore_leaf(group->tree, (uint32_t)index) : RESULT_INVALID;
    if (result == RESULT_INVALID) {
        return result_fail(why, RESULT_STORE,
                           "group %s has a leaf (%lld) that its key tree has no room for: restore the store "
                           "from a backup",
                           group->name, (long long)index);
    }
    return result == RESULT_OK ? result
                               : result_fail(why, result, "no memory for the leaves of %s", group->name);
}

enum result group_tree_begin(struct group *group, struct store *store, struct reason *why)
{
    const struct tree_source source = {page_load, group};
    group->store = store;
    group->tree = tree_new(&source);
    return group->tree != NULL
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "no memory for the tree of %s", group->name);
}

enum result group_tree_load(struct group *group, struct store *store, uint32_t height, struct reason *why)
{
    GUARD(group_tree_begin(group, store, why));
    GUARD(tree_restore_height(group->tree, height, why));
    return store_query(store, why, leaf_read, group, "SELECT leaf_index FROM leaf WHERE group_id = ?", "i",
                       group->id);
}

void group_tree_free(struct group *group)
{
    tree_free(group->tree);
    group->tree = NULL;
}

/* ---- into the store ---- */

static enum result page_store(void *context, const struct tree_page *page, struct reason *why)
{
    const struct group *group = context;
    int64_t number = place_number(group->id, page->place);
    if (page->used == 0) {
        return store_run(group->store, why, "DELETE FROM tree_page WHERE place = ?", "i", number);
    }
    struct page_purpose purpose = page_purpose(group->id, page->place);
    struct buffer bytes = BUFFER_EMPTY(TREE_PAGE_MAX);
    enum result result = tree_page_write(page, &bytes);
    if (result == RESULT_OK) {
        result = store_run(group->store, why,
                           "INSERT INTO tree_page (place, sealed) VALUES (?, ?)"
                           " ON CONFLICT (place) DO UPDATE SET sealed = excluded.sealed",
                           "is", number, purpose.text, buffer_bytes(&bytes));
    }
    buffer_clear(&bytes);
    return result;
}

enum result group_tree_store(const struct group *group, struct reason *why)
{
    return tree_changed(group->tree, page_store, (void *)(uintptr_t)group, why);
}

enum result group_tree_delete(struct store *store, int64_t group_id, struct reason *why)
{
    return store_run(store, why, "DELETE FROM tree_page WHERE place >= ? AND place < ?", "ii",
                     place_first(group_id), place_first(group_id + 1));
}
