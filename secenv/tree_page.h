/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_TREE_PAGE_H
#define GROUPSEAL_SECENV_TREE_PAGE_H

#include "secenv/tree.h"

/*
 * A page of the authority's tree: what one block of it needs, and nothing outside, to be changed. The 15
 * nodes of the block, and the secrets of the 16 places below them: leaves, or the roots of the pages below.
 *
 * A cell is a place of the page, numbered as in a heap: 1 is the page's root, 2 k and 2 k + 1 are the
 * children of k, 16 … 31 lie below the block. In a tree of less height than the page has room for, the tree's
 * root is a cell further down on the left.
 */
#define PAGE_CELLS 32u
#define PAGE_BELOW 16u /* the first cell below the block */
#define PAGE_ROOT 1u

struct tree_page {
    struct tree_place place;
    uint32_t used;      /* bit k: cell k */
    uint32_t refreshed; /* by the change in hand, and not yet gone up */
    struct secret secrets[PAGE_CELLS];
    uint8_t sources[PAGE_BELOW]; /* enum packed_source */
    uint8_t wrapped[PAGE_BELOW]; /* as in the wraps map */
    uint8_t wraps[PAGE_BELOW][2][WRAP_SIZE];
};

bool tree_page_uses(const struct tree_page *page, uint32_t cell);

/* A cell below the block gets a secret; NULL: is emptied. */
void tree_page_set(struct tree_page *page, uint32_t cell, const struct secret *secret);
/* Refreshes all nodes above those cells, on the `levels` lowest levels of the page. */
enum result tree_page_refresh(struct tree_page *page, uint32_t levels) MUST_USE;
/* One more level: its node on the left is derived from the cell below it, where that is in use. */
enum result tree_page_raise(struct tree_page *page, uint32_t cell) MUST_USE;
/* A new random secret, for both children. */
enum result tree_page_rotate(struct tree_page *page, uint32_t cell) MUST_USE;

/* The block, as it is published. */
enum result tree_page_pack(const struct tree_page *page, struct buffer *out) MUST_USE;

/* For the store: the block as it is published, and the secrets of the cells in use. */
#define TREE_PAGE_MAX (TREE_PACKED_MAX + (PAGE_CELLS - 1u) * SECRET_SIZE)
enum result tree_page_write(const struct tree_page *page, struct buffer *out) MUST_USE;
/* Bounded, exact; into a page that is empty and has its place. RESULT_INVALID: it is none of a tree of this
 * height. */
enum result tree_page_read(struct bytes bytes, uint32_t height, struct tree_page *page) MUST_USE;

#endif
