/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree_packed.h"

#include "secenv/crypto/kdf.h"

struct tree_place tree_path(uint32_t leaf_index, uint32_t height, uint32_t row)
{
    uint32_t levels = TREE_BLOCK_LEVELS * (row + 1);
    return (struct tree_place){.row = row, .column = levels >= height ? 0 : leaf_index >> levels};
}

/* From a node's secret to its parent's, through the parent's place in a block. */
static enum result climb_step(struct secret *secret, struct bytes packed, uint32_t place, unsigned side)
{
    struct secret key;
    unsigned source = packed_source(packed.data, place);
    if (source == (side == 0 ? SOURCE_LEFT : SOURCE_RIGHT)) {
        return kdf_label(secret, "up", secret);
    }
    if ((packed_wraps(packed.data, place) & packed_side(side)) == 0) {
        return RESULT_REFUSED;
    }
    enum result result = kdf_label(secret, "key", &key);
    if (result == RESULT_OK) {
        result = keywrap_unwrap(&key, packed_wrap(packed, place, side), secret);
    }
    secret_wipe(&key);
    return result;
}

enum result tree_climb(const struct secret *leaf, uint32_t leaf_index, uint32_t height,
                       const struct bytes *blocks, size_t block_count, struct secret *root)
{
    if (height == 0 || height > TREE_HEIGHT_MAX || block_count != tree_top_row(height) + 1u) {
        return RESULT_INVALID;
    }
    if (leaf_index >> height != 0) {
        return RESULT_REFUSED;
    }
    for (uint32_t row = 0; row < block_count; row++) {
        if (blocks[row].length == 0) {
            return RESULT_NOT_READY;
        }
        GUARD(tree_packed_check(blocks[row], row, height));
    }

    struct secret secret = *leaf;
    enum result result = RESULT_OK;
    for (uint32_t level = 1; level <= height; level++) {
        uint32_t step = (level - 1) % TREE_BLOCK_LEVELS;
        uint32_t place = packed_place(step, (leaf_index >> level) & (packed_places_at(step) - 1u));
        GUARD_OUT(climb_step(&secret, blocks[(level - 1) / TREE_BLOCK_LEVELS], place,
                             (leaf_index >> (level - 1)) & 1u));
    }
    *root = secret;
out:
    secret_wipe(&secret);
    /* A lower block may be an old one: only the top block is surely that of the announcement. */
    return result == RESULT_REFUSED && block_count > 1 ? RESULT_NOT_READY : result;
}

/* ---- derivations ---- */

enum result epoch_secret(const struct secret *root, const uint8_t instance[INSTANCE_SIZE],
                         uint64_t incarnation, uint64_t epoch, struct secret *out)
{
    struct fields info;
    fields_init(&info);
    fields_label(&info, "epoch");
    fields_fix(&info, (struct bytes){instance, INSTANCE_SIZE}, INSTANCE_SIZE);
    fields_u64(&info, incarnation);
    fields_u64(&info, epoch);
    enum result result = kdf_fields(root, &info, out);
    fields_clear(&info);
    return result;
}

enum result epoch_confirmation(const struct secret *epoch_key, struct secret *out)
{
    return kdf_label(epoch_key, "confirm", out);
}
