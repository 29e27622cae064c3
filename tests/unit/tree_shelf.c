/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/tree_shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hold(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "shelf: %s\n", what);
        abort();
    }
}

void shelf_clear(struct shelf *shelf)
{
    free(shelf->pages);
    *shelf = (struct shelf){NULL, 0, 0, 0};
}

struct shelf_page *shelf_find(const struct shelf *shelf, struct tree_place place)
{
    for (size_t i = 0; i < shelf->count; i++) {
        if (shelf->pages[i].place.row == place.row && shelf->pages[i].place.column == place.column) {
            return &shelf->pages[i];
        }
    }
    return NULL;
}

/* ---- to a tree ---- */

static enum result page_load(void *context, uint32_t height, struct tree_page *page, struct reason *why)
{
    struct shelf *shelf = context;
    const struct shelf_page *stored = shelf_find(shelf, page->place);
    shelf->loads++;
    if (stored == NULL) {
        return RESULT_OK;
    }
    enum result result = tree_page_read((struct bytes){stored->bytes, stored->length}, height, page);
    return result == RESULT_OK ? result : result_fail(why, result, "a page on the shelf is damaged");
}

struct tree *shelf_tree(struct shelf *shelf, uint32_t height)
{
    const struct tree_source source = {page_load, shelf};
    struct tree *tree = tree_new(&source);
    hold(tree != NULL, "no memory");
    hold(tree_restore_height(tree, height, NULL) == RESULT_OK, "the height");
    for (size_t i = 0; i < shelf->count; i++) {
        struct tree_place place = shelf->pages[i].place;
        struct tree_page page = shelf_page(shelf, place, height);
        for (uint32_t leaf = 0; place.row == 0 && leaf < PAGE_BELOW; leaf++) {
            if (tree_page_uses(&page, PAGE_BELOW + leaf)) {
                hold(tree_restore_leaf(tree, place.column * PAGE_BELOW + leaf) == RESULT_OK, "a leaf");
            }
        }
    }
    return tree;
}

/* ---- from a tree ---- */

static enum result page_store(void *context, const struct tree_page *page, struct reason *why)
{
    struct shelf *shelf = context;
    struct shelf_page *stored = shelf_find(shelf, page->place);
    (void)why;
    if (page->used == 0) {
        if (stored != NULL) {
            *stored = shelf->pages[--shelf->count];
        }
        return RESULT_OK;
    }
    if (stored == NULL) {
        if (shelf->count == shelf->capacity) {
            shelf->capacity = shelf->capacity == 0 ? 16 : 2 * shelf->capacity;
            shelf->pages = realloc(shelf->pages, shelf->capacity * sizeof(*shelf->pages));
            hold(shelf->pages != NULL, "no memory");
        }
        stored = &shelf->pages[shelf->count++];
        stored->place = page->place;
    }
    struct buffer bytes = BUFFER_EMPTY(TREE_PAGE_MAX);
    hold(tree_page_write(page, &bytes) == RESULT_OK, "a page is too long");
    memcpy(stored->bytes, bytes.data, bytes.length);
    stored->length = bytes.length;
    buffer_clear(&bytes);
    return RESULT_OK;
}

void shelf_store(struct shelf *shelf, struct tree *tree)
{
    hold(tree_changed(tree, page_store, shelf, NULL) == RESULT_OK, "changed pages");
    tree_clean(tree);
}

/* ---- looking ---- */

struct tree_page shelf_page(const struct shelf *shelf, struct tree_place place, uint32_t height)
{
    struct tree_page page = {.place = place};
    const struct shelf_page *stored = shelf_find(shelf, place);
    if (stored != NULL) {
        hold(tree_page_read((struct bytes){stored->bytes, stored->length}, height, &page) == RESULT_OK,
             "a page cannot be read");
    }
    return page;
}

bool shelf_node(const struct shelf *shelf, uint32_t height, uint32_t level, uint32_t index,
                struct secret *out)
{
    uint32_t row = level == 0 ? 0 : (level - 1) / TREE_BLOCK_LEVELS;
    uint32_t width = PAGE_BELOW >> (level - TREE_BLOCK_LEVELS * row); /* nodes of its level in the page */
    struct tree_page page = shelf_page(shelf, (struct tree_place){row, index / width}, height);
    uint32_t cell = width + index % width;
    *out = page.secrets[cell];
    return tree_page_uses(&page, cell);
}

bool shelf_cell_node(struct tree_place place, uint32_t cell, uint32_t *level, uint32_t *index)
{
    uint32_t width = PAGE_BELOW;
    *level = TREE_BLOCK_LEVELS * place.row;
    while (width > cell) {
        width /= 2;
        *level += 1;
    }
    *index = place.column * width + cell - width;
    return cell < PAGE_BELOW || place.row == 0;
}
