/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_TREE_H
#define GROUPSEAL_SECENV_TREE_H

#include "secenv/crypto/aead.h"

/*
 * The key tree of DESIGN section 5 and docs/protocol.md section 5: pure code, no store, no
 * clock. The authority's half changes a tree and packs blocks; the member's half climbs. The
 * tree is general in height; callers publish rows below the top one when there are any.
 */
#define TREE_BLOCK_LEVELS 4u
#define TREE_BLOCK_NODES 15u
#define TREE_HEIGHT_MAX 20u
#define TREE_PACKED_MAX 1208u /* two maps of 4 bytes, and two wraps for each node */

struct tree_place {
    uint32_t row;
    uint32_t column;
};

uint32_t tree_top_row(uint32_t height);

/* ---- authority ---- */

/*
 * The tree lies in pages (tree_page.h), one for each block. Only some are in memory; the others come from
 * where they are stored. A function that needs one of these fails where it does not come, and says in `why`
 * (may be NULL) what to do; after a change that failed the tree is good for nothing but to be freed.
 */
struct tree;
struct tree_page;

/* Gives the page of page->place to tree_page_read; leaves it empty where there is none. */
struct tree_source {
    enum result (*load)(void *context, uint32_t height, struct tree_page *page, struct reason *why);
    void *context;
};

/* Empty, height 1. `source` NULL: all of it stays in memory. */
struct tree *tree_new(const struct tree_source *source) MUST_USE;
void tree_free(struct tree *tree); /* wipes */
/* Makes of a new tree the one that its source has: its height first, then each leaf in use. */
enum result tree_restore_height(struct tree *tree, uint32_t height, struct reason *why) MUST_USE;
enum result tree_restore_leaf(struct tree *tree, uint32_t index) MUST_USE;

struct tree_leaf_change {
    uint32_t index;
    bool occupied;        /* false: the leaf is emptied */
    struct secret secret; /* where occupied */
};

/*
 * One change: joins, leaves and evictions together; with none, or `rotate`, the root is
 * refreshed for both children. Grows the tree where an index asks for it. `touched` (may be
 * NULL) receives the places of the blocks that changed below the top row, at most
 * `touched_capacity`; `touched_count` how many there are. RESULT_INVALID, and nothing is changed: an index is
 * there twice or out of reach.
 */
enum result tree_change(struct tree *tree, const struct tree_leaf_change *changes, size_t count, bool rotate,
                        struct tree_place *touched, size_t touched_capacity, size_t *touched_count,
                        struct reason *why) MUST_USE;

/* The pages that changed since tree_clean, for the store; one that uses no cell is to be removed there. */
typedef enum result (*tree_page_each)(void *context, const struct tree_page *page, struct reason *why);
enum result tree_changed(const struct tree *tree, tree_page_each each, void *context,
                         struct reason *why) MUST_USE;
void tree_clean(struct tree *tree);

uint32_t tree_height(const struct tree *tree);
/* False where the tree has no occupied leaf. */
bool tree_root(const struct tree *tree, struct secret *out);
/* The lowest free leaf index that is not below `from`. */
uint32_t tree_free_leaf(struct tree *tree, uint32_t from);
/* The secret of a leaf. RESULT_UNKNOWN: it is empty. */
enum result tree_leaf(struct tree *tree, uint32_t index, struct secret *out, struct reason *why) MUST_USE;
/* Packs the block as docs/protocol.md says. */
enum result tree_pack(struct tree *tree, struct tree_place place, struct buffer *out,
                      struct reason *why) MUST_USE;

/* ---- member ---- */

/* Checks the shape of packed nodes: bounded, exact length, nothing above `height`. */
enum result tree_packed_check(struct bytes packed, uint32_t row, uint32_t height) MUST_USE;

/* The block's place on a leaf's path, for `row` in 0 … tree_top_row(height). */
struct tree_place tree_path(uint32_t leaf_index, uint32_t height, uint32_t row);

/*
 * Climbs from the leaf secret through `blocks` (packed nodes for rows 0 … top row, lowest
 * first; an empty one is missing) to the root. RESULT_NOT_READY where a block is missing or too old
 * to be opened, RESULT_REFUSED where the leaf is not in the tree.
 */
enum result tree_climb(const struct secret *leaf, uint32_t leaf_index, uint32_t height,
                       const struct bytes *blocks, size_t block_count, struct secret *root) MUST_USE;

/* Derivations of docs/protocol.md section 5. */
#define INSTANCE_SIZE 16u
enum result epoch_secret(const struct secret *root, const uint8_t instance[INSTANCE_SIZE],
                         uint64_t incarnation, uint64_t epoch, struct secret *out) MUST_USE;
enum result epoch_confirmation(const struct secret *epoch_key, struct secret *out) MUST_USE;

#endif
