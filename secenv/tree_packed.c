/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree_packed.h"

#define PLACES 16u /* of a map, the one that is no node among them */

unsigned packed_side(unsigned side)
{
    return side == 0 ? 2u : 1u;
}

uint32_t packed_places_at(uint32_t step)
{
    return 8u >> step;
}

uint32_t packed_place(uint32_t step, uint32_t i)
{
    return 16u - (16u >> step) + i;
}

static unsigned map_get(const uint8_t map[PACKED_MAP_SIZE], uint32_t place)
{
    return (unsigned)(map[place / 4u] >> (6u - 2u * (place % 4u))) & 3u;
}

static void map_set(uint8_t map[PACKED_MAP_SIZE], uint32_t place, unsigned value)
{
    map[place / 4u] = (uint8_t)(map[place / 4u] | (value << (6u - 2u * (place % 4u))));
}

unsigned packed_source(const uint8_t maps[PACKED_MAPS_SIZE], uint32_t place)
{
    return map_get(maps, place);
}

unsigned packed_wraps(const uint8_t maps[PACKED_MAPS_SIZE], uint32_t place)
{
    return map_get(maps + PACKED_MAP_SIZE, place);
}

void packed_set(uint8_t maps[PACKED_MAPS_SIZE], uint32_t place, unsigned source, unsigned wraps)
{
    map_set(maps, place, source);
    map_set(maps + PACKED_MAP_SIZE, place, wraps);
}

static size_t wraps_before(const uint8_t maps[PACKED_MAPS_SIZE], uint32_t place)
{
    size_t count = 0;
    for (uint32_t i = 0; i < place; i++) {
        unsigned wraps = packed_wraps(maps, i);
        count += (wraps >> 1) + (wraps & 1u);
    }
    return count;
}

size_t packed_length(const uint8_t maps[PACKED_MAPS_SIZE])
{
    return PACKED_MAPS_SIZE + wraps_before(maps, PLACES) * WRAP_SIZE;
}

const uint8_t *packed_wrap(struct bytes packed, uint32_t place, unsigned side)
{
    size_t before = wraps_before(packed.data, place);
    if (side == 1) {
        before += packed_wraps(packed.data, place) >> 1;
    }
    return packed.data + PACKED_MAPS_SIZE + before * WRAP_SIZE;
}

unsigned packed_children(unsigned source, unsigned wraps)
{
    return wraps | (source == SOURCE_LEFT ? packed_side(0) : 0u) |
           (source == SOURCE_RIGHT ? packed_side(1) : 0u);
}

/* ---- the shape ---- */

static bool edge_valid(unsigned source, unsigned wraps)
{
    switch (source) {
    case SOURCE_EMPTY:
        return wraps == 0;
    case SOURCE_LEFT:
        return (wraps & packed_side(0)) == 0;
    case SOURCE_RIGHT:
        return (wraps & packed_side(1)) == 0;
    default:
        return wraps != 0;
    }
}

/* Are the two children, one level down in the same block, in use just where their parent says so? */
static bool children_agree(const uint8_t *maps, uint32_t step, uint32_t i, unsigned said)
{
    for (unsigned side = 0; side < 2; side++) {
        bool used = packed_source(maps, packed_place(step - 1, 2 * i + side)) != SOURCE_EMPTY;
        if (used != ((said & packed_side(side)) != 0)) {
            return false;
        }
    }
    return true;
}

/* Does a place of the block exist in a tree of this height? */
static bool place_exists(uint32_t row, uint32_t height, uint32_t step, uint32_t i)
{
    uint32_t level = TREE_BLOCK_LEVELS * row + 1 + step;
    return level <= height && (row < tree_top_row(height) || i >> (height - level) == 0);
}

static bool place_valid(const uint8_t *maps, uint32_t row, uint32_t height, uint32_t step, uint32_t i)
{
    unsigned source = packed_source(maps, packed_place(step, i));
    unsigned wraps = packed_wraps(maps, packed_place(step, i));
    bool exists = place_exists(row, height, step, i);
    if (!edge_valid(source, wraps) || (source != SOURCE_EMPTY && !exists)) {
        return false;
    }
    return step == 0 || !exists || children_agree(maps, step, i, packed_children(source, wraps));
}

enum result tree_packed_check(struct bytes packed, uint32_t row, uint32_t height)
{
    if (height == 0 || height > TREE_HEIGHT_MAX || row > tree_top_row(height) ||
        packed.length < PACKED_MAPS_SIZE) {
        return RESULT_INVALID;
    }
    const uint8_t *maps = packed.data;
    if (packed_source(maps, TREE_BLOCK_NODES) != 0 || packed_wraps(maps, TREE_BLOCK_NODES) != 0) {
        return RESULT_INVALID;
    }
    for (uint32_t step = 0; step < TREE_BLOCK_LEVELS; step++) {
        for (uint32_t i = 0; i < packed_places_at(step); i++) {
            if (!place_valid(maps, row, height, step, i)) {
                return RESULT_INVALID;
            }
        }
    }
    return packed.length == packed_length(maps) ? RESULT_OK : RESULT_INVALID;
}

uint32_t tree_top_row(uint32_t height)
{
    return height == 0 ? 0 : (height - 1) / TREE_BLOCK_LEVELS;
}
