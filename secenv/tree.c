/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree_pages.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

struct tree {
    uint32_t height;
    bool occupied;
    struct secret root; /* where occupied */
    struct pages pages;
    uint64_t *leaves; /* a bit for each leaf: it is in use */
    uint32_t leaf_words;
    uint32_t maybe_free; /* no leaf below this index is free */
};

/* ---- memory ---- */

struct tree *tree_new(const struct tree_source *source)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (tree != NULL) {
        tree->height = 1;
        pages_init(&tree->pages, source);
    }
    return tree;
}

void tree_free(struct tree *tree)
{
    if (tree == NULL) {
        return;
    }
    pages_clear(&tree->pages);
    free(tree->leaves);
    secret_wipe(&tree->root);
    free(tree);
}

static bool leaf_used(const struct tree *tree, uint32_t index)
{
    uint32_t word = index / WORD_BITS;
    return word < tree->leaf_words && (tree->leaves[word] >> (index % WORD_BITS) & 1u) != 0;
}

static enum result leaf_note(struct tree *tree, uint32_t index, bool used)
{
    uint32_t word = index / WORD_BITS;
    if (word >= tree->leaf_words) {
        uint32_t words = tree->leaf_words == 0 ? 1 : tree->leaf_words;
        while (words <= word) {
            words *= 2;
        }
        uint64_t *leaves = realloc(tree->leaves, words * sizeof(*leaves));
        if (leaves == NULL) {
            return RESULT_INTERNAL;
        }
        memset(leaves + tree->leaf_words, 0, (words - tree->leaf_words) * sizeof(*leaves));
        tree->leaves = leaves;
        tree->leaf_words = words;
    }
    uint64_t mask = UINT64_C(1) << (index % WORD_BITS);
    tree->leaves[word] = used ? tree->leaves[word] | mask : tree->leaves[word] & ~mask;
    if (!used && index < tree->maybe_free) {
        tree->maybe_free = index;
    }
    return RESULT_OK;
}

/* ---- places ---- */

/* Levels of the tree in a page of this row. */
static uint32_t levels_in(const struct tree *tree, uint32_t row)
{
    uint32_t levels = tree->height - TREE_BLOCK_LEVELS * row;
    return levels < TREE_BLOCK_LEVELS ? levels : TREE_BLOCK_LEVELS;
}

static struct tree_place top_place(const struct tree *tree)
{
    return (struct tree_place){.row = tree_top_row(tree->height), .column = 0};
}

/* The root's, in the top page. */
static uint32_t root_cell(const struct tree *tree)
{
    return PAGE_BELOW >> levels_in(tree, tree_top_row(tree->height));
}

static const struct secret *cell_secret(const struct tree_page *page, uint32_t cell)
{
    return tree_page_uses(page, cell) ? &page->secrets[cell] : NULL;
}

static void root_take(struct tree *tree, const struct tree_page *top)
{
    const struct secret *root = cell_secret(top, root_cell(tree));
    tree->occupied = root != NULL;
    if (root != NULL) {
        tree->root = *root;
    } else {
        secret_wipe(&tree->root);
    }
}

enum result tree_restore_height(struct tree *tree, uint32_t height, struct reason *why)
{
    if (height == 0 || height > TREE_HEIGHT_MAX) {
        return result_fail(why, RESULT_INVALID, "a key tree cannot have the height %u", height);
    }
    struct tree_page *top = NULL;
    tree->height = height;
    GUARD(pages_get(&tree->pages, top_place(tree), height, &top, why));
    root_take(tree, top);
    return RESULT_OK;
}

enum result tree_restore_leaf(struct tree *tree, uint32_t index)
{
    return index >> tree->height == 0 ? leaf_note(tree, index, true) : RESULT_INVALID;
}

/* ---- one change ---- */

static int index_compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* The indexes of a change, sorted; INVALID where one is there twice or out of reach. */
static enum result change_indexes(const struct tree *tree, const struct tree_leaf_change *changes,
                                  size_t count, uint32_t *indexes)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t height = changes[i].occupied ? TREE_HEIGHT_MAX : tree->height;
        if (changes[i].index >> height != 0) {
            return RESULT_INVALID;
        }
        indexes[i] = changes[i].index;
    }
    if (count > 1) {
        qsort(indexes, count, sizeof(*indexes), index_compare);
    }
    for (size_t i = 1; i < count; i++) {
        if (indexes[i] == indexes[i - 1]) {
            return RESULT_INVALID;
        }
    }
    return RESULT_OK;
}

/* One level more; the old root goes up through it. */
static enum result tree_raise(struct tree *tree, struct reason *why)
{
    struct tree_page *old = NULL;
    struct tree_page *top = NULL;
    GUARD(pages_change(&tree->pages, top_place(tree), tree->height, &old, why));
    tree->height++;
    GUARD(pages_change(&tree->pages, top_place(tree), tree->height, &top, why));
    if (top != old) {
        tree_page_set(top, PAGE_BELOW, cell_secret(old, PAGE_ROOT));
    }
    GUARD(tree_page_raise(top, root_cell(tree)));
    return RESULT_OK;
}

/* Adds levels until the leaf fits. */
static enum result tree_grow(struct tree *tree, uint32_t leaf_index, struct reason *why)
{
    while (leaf_index >> tree->height != 0) {
        GUARD(tree_raise(tree, why));
    }
    return RESULT_OK;
}

static enum result leaf_set(struct tree *tree, const struct tree_leaf_change *change, struct reason *why)
{
    struct tree_place place = {.row = 0, .column = change->index / PAGE_BELOW};
    struct tree_page *page = NULL;
    GUARD(pages_change(&tree->pages, place, tree->height, &page, why));
    tree_page_set(page, PAGE_BELOW + change->index % PAGE_BELOW, change->occupied ? &change->secret : NULL);
    return leaf_note(tree, change->index, change->occupied) == RESULT_OK
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "no memory for the leaves of the key tree");
}

/* Keeps the first of equal neighbours after `shift`. */
static size_t indexes_up(uint32_t *indexes, size_t count, uint32_t shift)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t up = indexes[i] >> shift;
        if (kept == 0 || indexes[kept - 1] != up) {
            indexes[kept++] = up;
        }
    }
    return kept;
}

/* What the page above has of a page's root must be that root, before both change: else one of the two is an
 * old one, or gone. */
static enum result pages_fit(const struct tree_page *page, const struct tree_page *above, uint32_t cell,
                             struct reason *why)
{
    const struct secret *root = cell_secret(page, PAGE_ROOT);
    const struct secret *known = cell_secret(above, cell);
    if ((root == NULL) == (known == NULL) &&
        (root == NULL || secret_equal(root->data, known->data, SECRET_SIZE))) {
        return RESULT_OK;
    }
    return result_fail(why, RESULT_STORE,
                       "the page of row %u, column %u of the key tree does not fit the one above it: restore "
                       "the store from a backup",
                       page->place.row, page->place.column);
}

/* Refreshes all of a page that is above what the change has refreshed, and tells the page above. */
static enum result page_refresh(struct tree *tree, struct tree_place place, struct reason *why)
{
    struct tree_page *page = NULL;
    GUARD(pages_change(&tree->pages, place, tree->height, &page, why));
    if (place.row == tree_top_row(tree->height)) {
        return tree_page_refresh(page, levels_in(tree, place.row));
    }
    struct tree_place higher = {.row = place.row + 1, .column = place.column / PAGE_BELOW};
    uint32_t cell = PAGE_BELOW + place.column % PAGE_BELOW;
    struct tree_page *above = NULL;
    GUARD(pages_change(&tree->pages, higher, tree->height, &above, why));
    GUARD(pages_fit(page, above, cell, why));
    GUARD(tree_page_refresh(page, TREE_BLOCK_LEVELS));
    tree_page_set(above, cell, cell_secret(page, PAGE_ROOT));
    return RESULT_OK;
}

/* Refreshes the ancestors of the changed leaves, a row of pages at a time. Consumes `indexes`. */
static enum result ancestors_refresh(struct tree *tree, uint32_t *indexes, size_t count, struct reason *why)
{
    for (uint32_t row = 0; row <= tree_top_row(tree->height); row++) {
        count = indexes_up(indexes, count, TREE_BLOCK_LEVELS);
        for (size_t i = 0; i < count; i++) {
            GUARD(page_refresh(tree, (struct tree_place){.row = row, .column = indexes[i]}, why));
        }
    }
    return RESULT_OK;
}

struct touched {
    struct tree_place *places;
    size_t capacity;
    size_t count;
};

static void touched_add(struct touched *touched, uint32_t row, uint32_t column)
{
    if (touched->count < touched->capacity) {
        touched->places[touched->count] = (struct tree_place){.row = row, .column = column};
    }
    touched->count++;
}

/*
 * The blocks below the top row that changed: on each row those above a changed leaf, and the first one of a
 * row that growth has gone through (the former top block among them). Consumes `indexes`.
 */
static void touched_collect(struct touched *touched, uint32_t *indexes, size_t count, uint32_t old_height,
                            uint32_t height)
{
    bool grown = height > old_height;
    for (uint32_t row = 0; row < tree_top_row(height); row++) {
        count = indexes_up(indexes, count, TREE_BLOCK_LEVELS);
        if (grown && row >= tree_top_row(old_height) && (count == 0 || indexes[0] != 0)) {
            touched_add(touched, row, 0);
        }
        for (size_t i = 0; i < count; i++) {
            touched_add(touched, row, indexes[i]);
        }
    }
}

static enum result leaves_change(struct tree *tree, const struct tree_leaf_change *changes, size_t count,
                                 struct touched *touched, struct reason *why)
{
    uint32_t *indexes = calloc(2 * count, sizeof(*indexes));
    if (indexes == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a change of the key tree");
    }
    uint32_t *sorted = indexes + count;
    uint32_t old_height = tree->height;
    enum result result = RESULT_OK;
    result = change_indexes(tree, changes, count, indexes);
    if (result != RESULT_OK) {
        result =
            result_fail(why, result, "a change names a leaf twice, or one that the key tree cannot have");
        goto out;
    }
    memcpy(sorted, indexes, count * sizeof(*sorted));
    GUARD_OUT(tree_grow(tree, indexes[count - 1], why));
    for (size_t i = 0; i < count; i++) {
        GUARD_OUT(leaf_set(tree, &changes[i], why));
    }
    GUARD_OUT(ancestors_refresh(tree, indexes, count, why));
    touched_collect(touched, sorted, count, old_height, tree->height);
out:
    free(indexes);
    return result;
}

enum result tree_change(struct tree *tree, const struct tree_leaf_change *changes, size_t count, bool rotate,
                        struct tree_place *touched, size_t touched_capacity, size_t *touched_count,
                        struct reason *why)
{
    struct touched list = {.places = touched, .capacity = touched == NULL ? 0 : touched_capacity};
    struct tree_page *top = NULL;

    pages_trim(&tree->pages);
    if (count > 0) {
        GUARD(leaves_change(tree, changes, count, &list, why));
    }
    GUARD(pages_change(&tree->pages, top_place(tree), tree->height, &top, why));
    if (rotate || count == 0) { /* every epoch has a root of its own */
        GUARD(tree_page_rotate(top, root_cell(tree)));
    }
    root_take(tree, top);
    if (touched_count != NULL) {
        *touched_count = list.count;
    }
    return RESULT_OK;
}

enum result tree_changed(const struct tree *tree, tree_page_each each, void *context, struct reason *why)
{
    return pages_each_changed(&tree->pages, each, context, why);
}

void tree_clean(struct tree *tree)
{
    pages_settle(&tree->pages);
}

/* ---- what a tree says ---- */

uint32_t tree_height(const struct tree *tree)
{
    return tree->height;
}

bool tree_root(const struct tree *tree, struct secret *out)
{
    if (tree->occupied) {
        *out = tree->root;
    }
    return tree->occupied;
}

uint32_t tree_free_leaf(struct tree *tree, uint32_t from)
{
    while (leaf_used(tree, tree->maybe_free)) {
        tree->maybe_free++;
    }
    uint32_t index = from > tree->maybe_free ? from : tree->maybe_free;
    while (leaf_used(tree, index)) {
        index++;
    }
    return index;
}

enum result tree_leaf(struct tree *tree, uint32_t index, struct secret *out, struct reason *why)
{
    struct tree_place place = {.row = 0, .column = index / PAGE_BELOW};
    struct tree_page *page = NULL;
    uint32_t cell = PAGE_BELOW + index % PAGE_BELOW;
    if (index >> tree->height == 0) {
        pages_trim(&tree->pages);
        GUARD(pages_get(&tree->pages, place, tree->height, &page, why));
    }
    if (page == NULL || !tree_page_uses(page, cell)) {
        return result_fail(why, RESULT_UNKNOWN, "leaf %u of the key tree is empty", index);
    }
    *out = page->secrets[cell];
    return RESULT_OK;
}

static bool place_valid(const struct tree *tree, struct tree_place place)
{
    uint32_t top = tree_top_row(tree->height);
    return place.row < top ? place.column >> (tree->height - TREE_BLOCK_LEVELS * (place.row + 1)) == 0
                           : place.row == top && place.column == 0;
}

enum result tree_pack(struct tree *tree, struct tree_place place, struct buffer *out, struct reason *why)
{
    struct tree_page *page = NULL;
    if (!place_valid(tree, place)) {
        return result_fail(why, RESULT_INVALID, "the key tree has no block %u/%u", place.row, place.column);
    }
    pages_trim(&tree->pages);
    GUARD(pages_get(&tree->pages, place, tree->height, &page, why));
    return tree_page_pack(page, out);
}
