/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree_page.h"

#include "secenv/crypto/kdf.h"
#include "secenv/tree_packed.h"

#include <string.h>

static uint32_t bit(uint32_t cell)
{
    return (uint32_t)1 << cell;
}

bool tree_page_uses(const struct tree_page *page, uint32_t cell)
{
    return (page->used & bit(cell)) != 0;
}

/* ---- changing it ---- */

static void cell_empty(struct tree_page *page, uint32_t cell)
{
    page->used &= ~bit(cell);
    secret_wipe(&page->secrets[cell]);
    if (cell < PAGE_BELOW) {
        page->sources[cell] = SOURCE_EMPTY;
        page->wrapped[cell] = 0;
        memset(page->wraps[cell], 0, sizeof(page->wraps[cell]));
    }
}

void tree_page_set(struct tree_page *page, uint32_t cell, const struct secret *secret)
{
    page->refreshed |= bit(cell);
    if (secret == NULL) {
        cell_empty(page, cell);
        return;
    }
    page->used |= bit(cell);
    page->secrets[cell] = *secret;
    secret_note(page->place.row == 0 ? "leaf" : "node", secret->data, sizeof(secret->data));
}

/* The node's secret, wrapped for one of its children. */
static enum result wrap_for(struct tree_page *page, uint32_t cell, unsigned side)
{
    struct secret key;
    enum result result = kdf_label(&page->secrets[2 * cell + side], "key", &key);
    if (result == RESULT_OK) {
        result = keywrap_wrap(&key, &page->secrets[cell], page->wraps[cell][side]);
    }
    if (result == RESULT_OK) {
        page->wrapped[cell] = (uint8_t)(page->wrapped[cell] | packed_side(side));
    }
    secret_wipe(&key);
    return result;
}

/* Derived from a child that the change has refreshed, unless `fresh` forbids it; else random. */
static enum result secret_choose(struct tree_page *page, uint32_t cell, bool fresh)
{
    struct secret *secret = &page->secrets[cell];
    for (unsigned side = 0; side < 2 && !fresh; side++) {
        uint32_t child = 2 * cell + side;
        if ((page->used & page->refreshed & bit(child)) != 0) {
            page->sources[cell] = side == 0 ? SOURCE_LEFT : SOURCE_RIGHT;
            return kdf_label(&page->secrets[child], "up", secret);
        }
    }
    page->sources[cell] = SOURCE_FRESH;
    GUARD(random_bytes(secret->data, sizeof(secret->data)));
    secret_note("node", secret->data, sizeof(secret->data));
    return RESULT_OK;
}

/* Gives a node a new secret, and wraps it for every child in use that it does not come from. A node without
 * children is emptied. */
static enum result node_refresh(struct tree_page *page, uint32_t cell, bool fresh)
{
    page->refreshed |= bit(cell);
    cell_empty(page, cell);
    if (!tree_page_uses(page, 2 * cell) && !tree_page_uses(page, 2 * cell + 1)) {
        return RESULT_OK;
    }
    page->used |= bit(cell);
    GUARD(secret_choose(page, cell, fresh));
    for (unsigned side = 0; side < 2; side++) {
        bool derived = page->sources[cell] == (side == 0 ? SOURCE_LEFT : SOURCE_RIGHT);
        if (tree_page_uses(page, 2 * cell + side) && !derived) {
            GUARD(wrap_for(page, cell, side));
        }
    }
    return RESULT_OK;
}

enum result tree_page_refresh(struct tree_page *page, uint32_t levels)
{
    for (uint32_t cell = PAGE_BELOW - 1; cell >= PAGE_BELOW >> levels; cell--) {
        if ((page->refreshed & (bit(2 * cell) | bit(2 * cell + 1))) != 0) {
            GUARD(node_refresh(page, cell, false));
        }
    }
    page->refreshed = 0;
    return RESULT_OK;
}

enum result tree_page_raise(struct tree_page *page, uint32_t cell)
{
    if (tree_page_uses(page, 2 * cell)) {
        page->refreshed = bit(2 * cell);
        GUARD(node_refresh(page, cell, false));
    }
    page->refreshed = 0;
    return RESULT_OK;
}

enum result tree_page_rotate(struct tree_page *page, uint32_t cell)
{
    GUARD(node_refresh(page, cell, true));
    page->refreshed = 0;
    return RESULT_OK;
}

/* ---- as bytes ---- */

/* The cell of a place of the block. */
static uint32_t cell_of(uint32_t step, uint32_t i)
{
    return packed_places_at(step) + i;
}

enum result tree_page_pack(const struct tree_page *page, struct buffer *out)
{
    uint8_t packed[TREE_PACKED_MAX] = {0};
    size_t length = PACKED_MAPS_SIZE;

    for (uint32_t step = 0; step < TREE_BLOCK_LEVELS; step++) {
        for (uint32_t i = 0; i < packed_places_at(step); i++) {
            uint32_t cell = cell_of(step, i);
            packed_set(packed, packed_place(step, i), page->sources[cell], page->wrapped[cell]);
            for (unsigned side = 0; side < 2; side++) {
                if ((page->wrapped[cell] & packed_side(side)) != 0) {
                    memcpy(packed + length, page->wraps[cell][side], WRAP_SIZE);
                    length += WRAP_SIZE;
                }
            }
        }
    }
    return buffer_append(out, (struct bytes){packed, length});
}

enum result tree_page_write(const struct tree_page *page, struct buffer *out)
{
    GUARD(tree_page_pack(page, out));
    for (uint32_t cell = PAGE_ROOT; cell < PAGE_CELLS; cell++) {
        if (tree_page_uses(page, cell)) {
            GUARD(buffer_append(out, secret_bytes(&page->secrets[cell])));
        }
    }
    return RESULT_OK;
}

static void node_take(struct tree_page *page, struct bytes packed, uint32_t step, uint32_t i)
{
    uint32_t cell = cell_of(step, i);
    uint32_t place = packed_place(step, i);
    page->sources[cell] = (uint8_t)packed_source(packed.data, place);
    page->wrapped[cell] = (uint8_t)packed_wraps(packed.data, place);
    page->used |= page->sources[cell] != SOURCE_EMPTY ? bit(cell) : 0;
    for (unsigned side = 0; side < 2; side++) {
        if ((page->wrapped[cell] & packed_side(side)) != 0) {
            memcpy(page->wraps[cell][side], packed_wrap(packed, place, side), WRAP_SIZE);
        }
        if (step == 0 &&
            (packed_children(page->sources[cell], page->wrapped[cell]) & packed_side(side)) != 0) {
            page->used |= bit(2 * cell + side);
        }
    }
}

enum result tree_page_read(struct bytes bytes, uint32_t height, struct tree_page *page)
{
    if (bytes.length < PACKED_MAPS_SIZE || bytes.length < packed_length(bytes.data)) {
        return RESULT_INVALID;
    }
    struct bytes packed = {bytes.data, packed_length(bytes.data)};
    GUARD(tree_packed_check(packed, page->place.row, height));
    for (uint32_t step = 0; step < TREE_BLOCK_LEVELS; step++) {
        for (uint32_t i = 0; i < packed_places_at(step); i++) {
            node_take(page, packed, step, i);
        }
    }
    if (bytes.length - packed.length != (size_t)__builtin_popcount(page->used) * SECRET_SIZE) {
        return RESULT_INVALID;
    }
    const uint8_t *next = bytes.data + packed.length;
    for (uint32_t cell = PAGE_ROOT; cell < PAGE_CELLS; cell++) {
        if (tree_page_uses(page, cell)) {
            memcpy(page->secrets[cell].data, next, SECRET_SIZE);
            secret_note("node", next, SECRET_SIZE);
            next += SECRET_SIZE;
        }
    }
    return RESULT_OK;
}
