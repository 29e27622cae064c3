/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_TREE_SHELF_H
#define GROUPSEAL_TESTS_UNIT_TREE_SHELF_H

#include "secenv/tree_page.h"

/*
 * Where the pages of a key tree lie in tests, as a store has them: bytes. What fails ends the program.
 */
struct shelf_page {
    struct tree_place place;
    size_t length;
    uint8_t bytes[TREE_PAGE_MAX];
};

struct shelf {
    struct shelf_page *pages;
    size_t count;
    size_t capacity;
    size_t loads; /* pages that a tree has asked for */
};

void shelf_clear(struct shelf *shelf);

/* A tree, new or as it lies there, that gets its pages from the shelf. */
struct tree *shelf_tree(struct shelf *shelf, uint32_t height);
/* What the tree has changed is stored, as after each change. */
void shelf_store(struct shelf *shelf, struct tree *tree);

/* NULL: there is none. */
struct shelf_page *shelf_find(const struct shelf *shelf, struct tree_place place);
/* The page of a tree of this height; empty where there is none. */
struct tree_page shelf_page(const struct shelf *shelf, struct tree_place place, uint32_t height);
/* The secret of a node (level 0: of a leaf); false where it is empty. */
bool shelf_node(const struct shelf *shelf, uint32_t height, uint32_t level, uint32_t index,
                struct secret *out);
/* The node that a cell is; false where that is the root of a page below. */
bool shelf_cell_node(struct tree_place place, uint32_t cell, uint32_t *level, uint32_t *index);

#endif
