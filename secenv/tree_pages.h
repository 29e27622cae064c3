/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_TREE_PAGES_H
#define GROUPSEAL_SECENV_TREE_PAGES_H

#include "secenv/tree_page.h"

#include <sys/queue.h>

/*
 * The pages of a tree that are in memory: those that changed, until they are stored, and some of the others,
 * those that were used last. One that is not there comes from the source; where there is none it is empty.
 * What is dropped is wiped.
 */
#define PAGES_KEPT 2048u /* unchanged ones: 5 MB */
#define PAGE_ROWS (TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS)

struct held_page;
TAILQ_HEAD(held_pages, held_page);

struct pages_row {
    struct held_page **items; /* by column */
    uint32_t capacity;
};

struct pages {
    struct tree_source source; /* `load` NULL: there is none */
    struct pages_row rows[PAGE_ROWS];
    struct held_pages changed;
    struct held_pages unchanged; /* the one that was not used for longest first */
    size_t unchanged_count;
};

void pages_init(struct pages *pages, const struct tree_source *source);
void pages_clear(struct pages *pages);

/* The page of a place in a tree of this height; it stays where it is until pages_trim. */
enum result pages_get(struct pages *pages, struct tree_place place, uint32_t height, struct tree_page **out,
                      struct reason *why) MUST_USE;
/* The same, to change it. */
enum result pages_change(struct pages *pages, struct tree_place place, uint32_t height,
                         struct tree_page **out, struct reason *why) MUST_USE;
/* Drops what is too much, if there is a source to get it from again. */
void pages_trim(struct pages *pages);

enum result pages_each_changed(const struct pages *pages, tree_page_each each, void *context,
                               struct reason *why) MUST_USE;
/* They are stored. */
void pages_settle(struct pages *pages);

#endif
