/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree_pages.h"

#include <stdlib.h>
#include <string.h>

#define ROW_FIRST_CAPACITY 4u

struct held_page {
    struct tree_page page;
    bool changed;
    TAILQ_ENTRY(held_page) entry;
};

void pages_init(struct pages *pages, const struct tree_source *source)
{
    *pages = (struct pages){.source = source == NULL ? (struct tree_source){NULL, NULL} : *source};
    TAILQ_INIT(&pages->changed);
    TAILQ_INIT(&pages->unchanged);
}

static void held_free(struct held_page *held)
{
    secret_wipe_bytes(held, sizeof(*held));
    free(held);
}

void pages_clear(struct pages *pages)
{
    for (size_t row = 0; row < PAGE_ROWS; row++) {
        for (uint32_t column = 0; column < pages->rows[row].capacity; column++) {
            if (pages->rows[row].items[column] != NULL) {
                held_free(pages->rows[row].items[column]);
            }
        }
        free((void *)pages->rows[row].items);
    }
    pages_init(pages, NULL);
}

/* Room for the column; it doubles. */
static enum result row_reach(struct pages_row *row, uint32_t column)
{
    if (column < row->capacity) {
        return RESULT_OK;
    }
    uint32_t capacity = row->capacity == 0 ? ROW_FIRST_CAPACITY : row->capacity;
    while (capacity <= column) {
        capacity *= 2u;
    }
    struct held_page **items = calloc(capacity, sizeof(struct held_page *));
    if (items == NULL) {
        return RESULT_INTERNAL;
    }
    if (row->capacity > 0) {
        memcpy((void *)items, (const void *)row->items, row->capacity * sizeof(struct held_page *));
    }
    free((void *)row->items);
    *row = (struct pages_row){items, capacity};
    return RESULT_OK;
}

static enum result page_load(struct pages *pages, struct tree_place place, uint32_t height,
                             struct held_page **out, struct reason *why)
{
    struct pages_row *row = &pages->rows[place.row];
    struct held_page *held = calloc(1, sizeof(*held));
    if (held == NULL || row_reach(row, place.column) != RESULT_OK) {
        free(held);
        (void)!result_fail(why, RESULT_INTERNAL, "no memory for a page of the key tree");
        return RESULT_INTERNAL;
    }
    held->page.place = place;
    if (pages->source.load != NULL) {
        enum result result = pages->source.load(pages->source.context, height, &held->page, why);
        if (result != RESULT_OK) {
            held_free(held);
            return result;
        }
    }
    row->items[place.column] = held;
    TAILQ_INSERT_TAIL(&pages->unchanged, held, entry);
    pages->unchanged_count++;
    *out = held;
    return RESULT_OK;
}

static enum result page_hold(struct pages *pages, struct tree_place place, uint32_t height,
                             struct held_page **out, struct reason *why)
{
    const struct pages_row *row = &pages->rows[place.row];
    struct held_page *held = place.column < row->capacity ? row->items[place.column] : NULL;
    if (held == NULL) {
        return page_load(pages, place, height, out, why);
    }
    if (!held->changed) {
        TAILQ_REMOVE(&pages->unchanged, held, entry);
        TAILQ_INSERT_TAIL(&pages->unchanged, held, entry);
    }
    *out = held;
    return RESULT_OK;
}

enum result pages_get(struct pages *pages, struct tree_place place, uint32_t height, struct tree_page **out,
                      struct reason *why)
{
    struct held_page *held = NULL;
    GUARD(page_hold(pages, place, height, &held, why));
    *out = &held->page;
    return RESULT_OK;
}

enum result pages_change(struct pages *pages, struct tree_place place, uint32_t height,
                         struct tree_page **out, struct reason *why)
{
    struct held_page *held = NULL;
    GUARD(page_hold(pages, place, height, &held, why));
    if (!held->changed) {
        held->changed = true;
        TAILQ_REMOVE(&pages->unchanged, held, entry);
        pages->unchanged_count--;
        TAILQ_INSERT_TAIL(&pages->changed, held, entry);
    }
    *out = &held->page;
    return RESULT_OK;
}

void pages_trim(struct pages *pages)
{
    while (pages->source.load != NULL && pages->unchanged_count > PAGES_KEPT) {
        struct held_page *held = TAILQ_FIRST(&pages->unchanged);
        TAILQ_REMOVE(&pages->unchanged, held, entry);
        pages->unchanged_count--;
        pages->rows[held->page.place.row].items[held->page.place.column] = NULL;
        held_free(held);
    }
}

enum result pages_each_changed(const struct pages *pages, tree_page_each each, void *context,
                               struct reason *why)
{
    const struct held_page *held = NULL;
    TAILQ_FOREACH(held, &pages->changed, entry)
    {
        GUARD(each(context, &held->page, why));
    }
    return RESULT_OK;
}

void pages_settle(struct pages *pages)
{
    struct held_page *held = NULL;
    while ((held = TAILQ_FIRST(&pages->changed)) != NULL) {
        held->changed = false;
        TAILQ_REMOVE(&pages->changed, held, entry);
        TAILQ_INSERT_TAIL(&pages->unchanged, held, entry);
        pages->unchanged_count++;
    }
    pages_trim(pages);
}
