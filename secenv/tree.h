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

/* ---- authority ---- */
struct tree;

struct tree *tree_new(void) MUST_USE; /* empty, height 1 */
void tree_free(struct tree *tree);    /* wipes */

struct tree_leaf_change {
    uint32_t index;
    bool occupied;        /* false: the leaf is emptied */
    struct secret secret; /* where occupied */
};

/*
 * One change: joins, leaves and evictions together; with none, or `rotate`, the root is
 * refreshed for both children. Grows the tree where an index asks for it. `touched` (may be
 * NULL) receives the places of the blocks that changed below the top row, at most
 * `touched_capacity`; `touched_count` how many there are.
 */
enum result tree_change(struct tree *tree, const struct tree_leaf_change *changes, size_t count, bool rotate,
                        struct tree_place *touched, size_t touched_capacity, size_t *touched_count) MUST_USE;

uint32_t tree_height(const struct tree *tree);
uint32_t tree_top_row(uint32_t height);
/* False where the tree has no occupied leaf. */
bool tree_root(const struct tree *tree, struct secret *out);
/* The lowest free leaf index that is not below `from`. */
uint32_t tree_free_leaf(struct tree *tree, uint32_t from);
/* The secret of a leaf. False where the leaf is empty. */
bool tree_leaf(const struct tree *tree, uint32_t index, struct secret *out);
/* Packs the block as docs/protocol.md says. */
enum result tree_pack(const struct tree *tree, struct tree_place place, struct buffer *out) MUST_USE;

/* Every node, for the store: calls `each` for occupied nodes (level 0 is a leaf). `source` is
 * -1 (fresh), 0 (from left) or 1 (from right); wraps are NULL where there is none. */
struct tree_node {
    uint32_t level;
    uint32_t index;
    struct secret secret;
    int source;
    bool has_wrap[2];
    uint8_t wrap[2][WRAP_SIZE];
};
typedef enum result (*tree_each)(void *context, const struct tree_node *node);
/* `changed_only`: nodes written since the last call of tree_clean. */
enum result tree_nodes(const struct tree *tree, bool changed_only, tree_each each, void *context) MUST_USE;
/* Nodes that became empty since tree_clean (only level and index are set). */
enum result tree_emptied(const struct tree *tree, tree_each each, void *context) MUST_USE;
void tree_clean(struct tree *tree);
/* Rebuilds a tree from stored nodes: height first, then each node. */
enum result tree_restore_height(struct tree *tree, uint32_t height) MUST_USE;
enum result tree_restore_node(struct tree *tree, const struct tree_node *node) MUST_USE;

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
