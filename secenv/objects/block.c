/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

typedef Groupseal__Envelope__Block Block;

/* A block below the top row, at a column that exists in a tree of that height. */
static enum result block_limits(const Block *block, struct reason *why)
{
    const struct bytes nodes = {block->nodes.data, block->nodes.len};

    if (!field_sized(block->instance, INSTANCE_SIZE)) {
        return result_fail(why, RESULT_INVALID, "a block's instance is not of %u bytes", INSTANCE_SIZE);
    }
    if (block->height == 0 || block->height > TREE_HEIGHT_MAX || block->row >= tree_top_row(block->height)) {
        return result_fail(why, RESULT_INVALID, "block row %u does not exist below a tree of height %u",
                           block->row, block->height);
    }
    uint32_t levels_above = block->height - TREE_BLOCK_LEVELS * (block->row + 1);
    if (block->column >> levels_above != 0) {
        return result_fail(why, RESULT_INVALID, "block column %u of row %u does not exist", block->column,
                           block->row);
    }
    if (tree_packed_check(nodes, block->row, block->height) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "the nodes of block %u/%u are malformed", block->row,
                           block->column);
    }
    return RESULT_OK;
}

static void block_list(const Block *block, struct fields *list)
{
    fields_init(list);
    fields_label(list, "block");
    list_fix(list, block->instance, INSTANCE_SIZE);
    fields_u64(list, block->incarnation);
    fields_u64(list, block->epoch);
    fields_u32(list, block->row);
    fields_u32(list, block->column);
    fields_u32(list, block->height);
    fields_var(list, (struct bytes){block->nodes.data, block->nodes.len});
}

enum result block_sign(Block *block, const struct signing_key *authority, uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(block_limits(block, NULL));
    block_list(block, &list);
    return list_sign(&list, authority, signature, &block->signature);
}

enum result block_check(const Block *block, struct bytes authority_key, struct reason *why)
{
    struct fields list;
    GUARD(block_limits(block, why));
    block_list(block, &list);
    return list_check(&list, authority_key, block->signature, "block", "the tree", why);
}
