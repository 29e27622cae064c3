/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/tree.h"

#include "secenv/crypto/kdf.h"

#include <stdlib.h>
#include <string.h>

#define MAP_SIZE 4u  /* 15 places of 2 bits, the last two bits zero */
#define MAPS_SIZE 8u /* sources, wraps */
#define LEVEL_FIRST_CAPACITY 16u

enum source { SOURCE_EMPTY = 0, SOURCE_LEFT = 1, SOURCE_RIGHT = 2, SOURCE_FRESH = 3 };

/* A place of the tree, in use or not. */
struct slot {
    struct secret secret;
    uint8_t wrap[2][WRAP_SIZE];
    bool has_wrap[2];
    uint8_t source; /* enum source; leaves in use are SOURCE_FRESH */
    bool changed;   /* since tree_clean */
    bool refreshed; /* by the change in hand */
};

struct level {
    struct slot *slots;
    uint32_t capacity;
};

struct place {
    uint32_t level;
    uint32_t index;
};

struct tree {
    uint32_t height;
    struct level levels[TREE_HEIGHT_MAX + 1u];
    uint32_t maybe_free;   /* no leaf below this index is free */
    struct place *changed; /* since tree_clean, each once: a change costs what it changes */
    size_t changed_count;
    size_t changed_capacity;
};

/* ---- memory ---- */

struct tree *tree_new(void)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (tree != NULL) {
        tree->height = 1;
    }
    return tree;
}

static void level_clear(struct level *level)
{
    if (level->slots != NULL) {
        secret_wipe_bytes(level->slots, level->capacity * sizeof(struct slot));
        free(level->slots);
    }
    level->slots = NULL;
    level->capacity = 0;
}

void tree_free(struct tree *tree)
{
    if (tree == NULL) {
        return;
    }
    for (size_t i = 0; i <= TREE_HEIGHT_MAX; i++) {
        level_clear(&tree->levels[i]);
    }
    free(tree->changed);
    free(tree);
}

/* NULL where the place was never used. */
static struct slot *slot_find(const struct tree *tree, uint32_t level, uint32_t index)
{
    const struct level *row = &tree->levels[level];
    return index < row->capacity ? &row->slots[index] : NULL;
}

static bool occupied(const struct slot *slot)
{
    return slot != NULL && slot->source != SOURCE_EMPTY;
}

/* The place, with memory for it: room doubles, and what is left behind is wiped. */
static enum result slot_reach(struct tree *tree, uint32_t level, uint32_t index, struct slot **out)
{
    struct level *row = &tree->levels[level];
    if (index >= row->capacity) {
        uint32_t capacity = row->capacity == 0 ? LEVEL_FIRST_CAPACITY : row->capacity;
        while (capacity <= index) {
            capacity *= 2u;
        }
        struct slot *slots = calloc(capacity, sizeof(*slots));
        if (slots == NULL) {
            return RESULT_INTERNAL;
        }
        if (row->capacity > 0) {
            memcpy(slots, row->slots, row->capacity * sizeof(*slots));
        }
        level_clear(row);
        row->slots = slots;
        row->capacity = capacity;
    }
    *out = &row->slots[index];
    return RESULT_OK;
}

static enum result slot_changes(struct tree *tree, uint32_t level, uint32_t index)
{
    struct slot *slot = slot_find(tree, level, index);
    if (slot->changed) {
        return RESULT_OK;
    }
    if (tree->changed_count == tree->changed_capacity) {
        size_t capacity = tree->changed_capacity == 0 ? 64 : 2 * tree->changed_capacity;
        struct place *changed = realloc(tree->changed, capacity * sizeof(*changed));
        if (changed == NULL) {
            return RESULT_INTERNAL;
        }
        tree->changed = changed;
        tree->changed_capacity = capacity;
    }
    tree->changed[tree->changed_count++] = (struct place){level, index};
    slot->changed = true;
    return RESULT_OK;
}

static enum result slot_empty(struct tree *tree, uint32_t level, uint32_t index)
{
    struct slot *slot = slot_find(tree, level, index);
    if (slot->source == SOURCE_EMPTY) {
        return RESULT_OK;
    }
    GUARD(slot_changes(tree, level, index));
    secret_wipe_bytes(slot, sizeof(*slot));
    slot->changed = true;
    if (level == 0 && index < tree->maybe_free) {
        tree->maybe_free = index;
    }
    return RESULT_OK;
}

/* ---- one change ---- */

/* The parent's secret, wrapped for one of its children. */
static enum result wrap_for(const struct slot *child, struct slot *parent, unsigned side)
{
    struct secret key;
    enum result result = kdf_label(&child->secret, "key", &key);
    if (result == RESULT_OK) {
        result = keywrap_wrap(&key, &parent->secret, parent->wrap[side]);
    }
    secret_wipe(&key);
    parent->has_wrap[side] = result == RESULT_OK;
    return result;
}

static enum result secret_choose(const struct slot *const children[2], bool fresh, struct slot *node)
{
    for (unsigned side = 0; side < 2 && !fresh; side++) {
        if (children[side] != NULL && occupied(children[side]) && children[side]->refreshed) {
            node->source = side == 0 ? SOURCE_LEFT : SOURCE_RIGHT;
            return kdf_label(&children[side]->secret, "up", &node->secret);
        }
    }
    GUARD(random_bytes(node->secret.data, sizeof(node->secret.data)));
    secret_note("node", node->secret.data, sizeof(node->secret.data));
    return RESULT_OK;
}

/*
 * Gives an inner node a new secret: derived from a child that this change has refreshed, unless `fresh`
 * forbids it, else random; and wraps it for every other child in use. A node without children is emptied.
 */
static enum result node_refresh(struct tree *tree, uint32_t level, uint32_t index, bool fresh)
{
    const struct slot *children[2] = {slot_find(tree, level - 1, 2 * index),
                                      slot_find(tree, level - 1, 2 * index + 1)};
    struct slot *node = NULL;
    GUARD(slot_reach(tree, level, index, &node));
    if (!occupied(children[0]) && !occupied(children[1])) {
        GUARD(slot_empty(tree, level, index));
        node->refreshed = true;
        return RESULT_OK;
    }
    GUARD(slot_changes(tree, level, index));

    struct slot next = {.source = SOURCE_FRESH, .changed = true, .refreshed = true};
    enum result result = secret_choose(children, fresh, &next);
    GUARD_OUT(result);
    for (unsigned side = 0; side < 2; side++) {
        bool derived = next.source == (side == 0 ? SOURCE_LEFT : SOURCE_RIGHT);
        if (occupied(children[side]) && !derived) {
            GUARD_OUT(wrap_for(children[side], &next, side));
        }
    }
    *node = next;
out:
    secret_wipe_bytes(&next, sizeof(next));
    return result;
}

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

/* Adds levels until the leaf fits. The old root goes up through each. */
static enum result tree_grow(struct tree *tree, uint32_t leaf_index)
{
    while (leaf_index >> tree->height != 0) {
        tree->height++;
        struct slot *below = slot_find(tree, tree->height - 1, 0);
        if (occupied(below)) {
            below->refreshed = true;
            GUARD(node_refresh(tree, tree->height, 0, false));
            below->refreshed = false;
            slot_find(tree, tree->height, 0)->refreshed = false;
        }
    }
    return RESULT_OK;
}

static enum result leaf_set(struct tree *tree, const struct tree_leaf_change *change)
{
    struct slot *leaf = NULL;
    GUARD(slot_reach(tree, 0, change->index, &leaf));
    if (change->occupied) {
        GUARD(slot_changes(tree, 0, change->index));
        leaf->secret = change->secret;
        leaf->source = SOURCE_FRESH;
        secret_note("leaf", leaf->secret.data, sizeof(leaf->secret.data));
    } else {
        GUARD(slot_empty(tree, 0, change->index));
    }
    leaf->refreshed = true;
    return RESULT_OK;
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

static void refreshed_forget(struct tree *tree, uint32_t level, const uint32_t *indexes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        slot_find(tree, level, indexes[i])->refreshed = false;
    }
}

/* Refreshes the ancestors of the changed leaves, a level at a time. Consumes `indexes`. */
static enum result ancestors_refresh(struct tree *tree, uint32_t *indexes, size_t count)
{
    uint32_t *parents = calloc(count, sizeof(*parents));
    if (parents == NULL) {
        return RESULT_INTERNAL;
    }
    enum result result = RESULT_OK;
    for (uint32_t level = 1; level <= tree->height; level++) {
        memcpy(parents, indexes, count * sizeof(*parents));
        size_t parent_count = indexes_up(parents, count, 1);
        for (size_t i = 0; i < parent_count; i++) {
            GUARD_OUT(node_refresh(tree, level, parents[i], false));
        }
        refreshed_forget(tree, level - 1, indexes, count);
        memcpy(indexes, parents, parent_count * sizeof(*indexes));
        count = parent_count;
    }
    refreshed_forget(tree, tree->height, indexes, count);
out:
    free(parents);
    return result;
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
                                 struct touched *touched)
{
    uint32_t *indexes = calloc(2 * count, sizeof(*indexes));
    if (indexes == NULL) {
        return RESULT_INTERNAL;
    }
    uint32_t *sorted = indexes + count;
    uint32_t old_height = tree->height;
    enum result result = RESULT_OK;
    GUARD_OUT(change_indexes(tree, changes, count, indexes));
    memcpy(sorted, indexes, count * sizeof(*sorted));
    GUARD_OUT(tree_grow(tree, indexes[count - 1]));
    for (size_t i = 0; i < count; i++) {
        GUARD_OUT(leaf_set(tree, &changes[i]));
    }
    GUARD_OUT(ancestors_refresh(tree, indexes, count));
    touched_collect(touched, sorted, count, old_height, tree->height);
out:
    free(indexes);
    return result;
}

enum result tree_change(struct tree *tree, const struct tree_leaf_change *changes, size_t count, bool rotate,
                        struct tree_place *touched, size_t touched_capacity, size_t *touched_count)
{
    struct touched list = {.places = touched, .capacity = touched == NULL ? 0 : touched_capacity};

    if (count > 0) {
        GUARD(leaves_change(tree, changes, count, &list));
    }
    if (rotate || count == 0) { /* every epoch has a root of its own */
        GUARD(node_refresh(tree, tree->height, 0, true));
        slot_find(tree, tree->height, 0)->refreshed = false;
    }
    if (touched_count != NULL) {
        *touched_count = list.count;
    }
    return RESULT_OK;
}

/* ---- what a tree says ---- */

uint32_t tree_height(const struct tree *tree)
{
    return tree->height;
}

uint32_t tree_top_row(uint32_t height)
{
    return height == 0 ? 0 : (height - 1) / TREE_BLOCK_LEVELS;
}

bool tree_root(const struct tree *tree, struct secret *out)
{
    const struct slot *root = slot_find(tree, tree->height, 0);
    if (!occupied(root)) {
        return false;
    }
    *out = root->secret;
    return true;
}

uint32_t tree_free_leaf(struct tree *tree, uint32_t from)
{
    while (occupied(slot_find(tree, 0, tree->maybe_free))) {
        tree->maybe_free++;
    }
    uint32_t index = from > tree->maybe_free ? from : tree->maybe_free;
    while (occupied(slot_find(tree, 0, index))) {
        index++;
    }
    return index;
}

bool tree_leaf(const struct tree *tree, uint32_t index, struct secret *out)
{
    const struct slot *leaf = slot_find(tree, 0, index);
    if (!occupied(leaf)) {
        return false;
    }
    *out = leaf->secret;
    return true;
}

/* ---- packed nodes ---- */

/* Number of places on the levels of a block below level `step` (0 … 3 from the lowest). */
static uint32_t places_below(uint32_t step)
{
    return 16u - (16u >> step);
}

static uint32_t places_at(uint32_t step)
{
    return 8u >> step;
}

static unsigned map_get(const uint8_t map[MAP_SIZE], uint32_t place)
{
    return (unsigned)(map[place / 4u] >> (6u - 2u * (place % 4u))) & 3u;
}

static void map_set(uint8_t map[MAP_SIZE], uint32_t place, unsigned value)
{
    map[place / 4u] = (uint8_t)(map[place / 4u] | (value << (6u - 2u * (place % 4u))));
}

/* Of the wraps map: bit 1 left, bit 0 right. */
static unsigned wrap_bit(unsigned side)
{
    return side == 0 ? 2u : 1u;
}

static uint8_t slot_wraps(const struct slot *slot)
{
    return (uint8_t)((slot->has_wrap[0] ? wrap_bit(0) : 0u) | (slot->has_wrap[1] ? wrap_bit(1) : 0u));
}

enum result tree_pack(const struct tree *tree, struct tree_place place, struct buffer *out)
{
    uint8_t packed[TREE_PACKED_MAX] = {0};
    size_t length = MAPS_SIZE;

    for (uint32_t step = 0; step < TREE_BLOCK_LEVELS; step++) {
        uint32_t level = TREE_BLOCK_LEVELS * place.row + 1 + step;
        if (level > tree->height) {
            break;
        }
        for (uint32_t i = 0; i < places_at(step); i++) {
            const struct slot *slot = slot_find(tree, level, place.column * places_at(step) + i);
            if (!occupied(slot)) {
                continue;
            }
            map_set(packed, places_below(step) + i, slot->source);
            map_set(packed + MAP_SIZE, places_below(step) + i, slot_wraps(slot));
            for (unsigned side = 0; side < 2; side++) {
                if (slot->has_wrap[side]) {
                    memcpy(packed + length, slot->wrap[side], WRAP_SIZE);
                    length += WRAP_SIZE;
                }
            }
        }
    }
    return buffer_append(out, (struct bytes){packed, length});
}

/* The children of a node in use: which is in use too, as its own edge says. Bits as in the wraps map. */
static unsigned children_said(unsigned source, unsigned wraps)
{
    return wraps | (source == SOURCE_LEFT ? wrap_bit(0) : 0u) | (source == SOURCE_RIGHT ? wrap_bit(1) : 0u);
}

static bool edge_valid(unsigned source, unsigned wraps)
{
    switch (source) {
    case SOURCE_EMPTY:
        return wraps == 0;
    case SOURCE_LEFT:
        return (wraps & wrap_bit(0)) == 0;
    case SOURCE_RIGHT:
        return (wraps & wrap_bit(1)) == 0;
    default:
        return wraps != 0;
    }
}

/* Are the two children, one level down in the same block, in use just where their parent says so? */
static bool children_agree(const uint8_t *sources, uint32_t step, uint32_t i, unsigned said)
{
    for (unsigned side = 0; side < 2; side++) {
        bool used = map_get(sources, places_below(step - 1) + 2 * i + side) != SOURCE_EMPTY;
        if (used != ((said & wrap_bit(side)) != 0)) {
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

enum result tree_packed_check(struct bytes packed, uint32_t row, uint32_t height)
{
    if (height == 0 || height > TREE_HEIGHT_MAX || row > tree_top_row(height) || packed.length < MAPS_SIZE) {
        return RESULT_INVALID;
    }
    const uint8_t *sources = packed.data;
    const uint8_t *wraps = packed.data + MAP_SIZE;
    if (map_get(sources, TREE_BLOCK_NODES) != 0 || map_get(wraps, TREE_BLOCK_NODES) != 0) {
        return RESULT_INVALID;
    }
    size_t length = MAPS_SIZE;
    for (uint32_t step = 0; step < TREE_BLOCK_LEVELS; step++) {
        for (uint32_t i = 0; i < places_at(step); i++) {
            unsigned source = map_get(sources, places_below(step) + i);
            unsigned wrapped = map_get(wraps, places_below(step) + i);
            bool exists = place_exists(row, height, step, i);
            if (!edge_valid(source, wrapped) || (source != SOURCE_EMPTY && !exists)) {
                return RESULT_INVALID;
            }
            if (step > 0 && exists && !children_agree(sources, step, i, children_said(source, wrapped))) {
                return RESULT_INVALID;
            }
            length += (size_t)WRAP_SIZE * ((wrapped >> 1) + (wrapped & 1u));
        }
    }
    return packed.length == length ? RESULT_OK : RESULT_INVALID;
}

/* The wrap of one side of a place, which is there. */
static const uint8_t *packed_wrap(struct bytes packed, uint32_t place, unsigned side)
{
    const uint8_t *wraps = packed.data + MAP_SIZE;
    size_t before = side == 1 ? map_get(wraps, place) >> 1 : 0;
    for (uint32_t i = 0; i < place; i++) {
        unsigned wrapped = map_get(wraps, i);
        before += (wrapped >> 1) + (wrapped & 1u);
    }
    return packed.data + MAPS_SIZE + before * WRAP_SIZE;
}

/* ---- storing ---- */

static enum result node_give(const struct slot *slot, uint32_t level, uint32_t index, tree_each each,
                             void *context)
{
    struct tree_node node = {.level = level, .index = index, .source = -1};
    node.secret = slot->secret;
    if (slot->source == SOURCE_LEFT || slot->source == SOURCE_RIGHT) {
        node.source = slot->source == SOURCE_LEFT ? 0 : 1;
    }
    for (unsigned side = 0; side < 2; side++) {
        node.has_wrap[side] = slot->has_wrap[side];
        memcpy(node.wrap[side], slot->wrap[side], WRAP_SIZE);
    }
    enum result result = each(context, &node);
    secret_wipe_bytes(&node, sizeof(node));
    return result;
}

static enum result nodes_all(const struct tree *tree, tree_each each, void *context)
{
    for (uint32_t level = 0; level <= tree->height; level++) {
        for (uint32_t index = 0; index < tree->levels[level].capacity; index++) {
            const struct slot *slot = &tree->levels[level].slots[index];
            if (occupied(slot)) {
                GUARD(node_give(slot, level, index, each, context));
            }
        }
    }
    return RESULT_OK;
}

enum result tree_nodes(const struct tree *tree, bool changed_only, tree_each each, void *context)
{
    if (!changed_only) {
        return nodes_all(tree, each, context);
    }
    for (size_t i = 0; i < tree->changed_count; i++) {
        const struct place *place = &tree->changed[i];
        const struct slot *slot = slot_find(tree, place->level, place->index);
        if (occupied(slot)) {
            GUARD(node_give(slot, place->level, place->index, each, context));
        }
    }
    return RESULT_OK;
}

enum result tree_emptied(const struct tree *tree, tree_each each, void *context)
{
    for (size_t i = 0; i < tree->changed_count; i++) {
        const struct place *place = &tree->changed[i];
        if (!occupied(slot_find(tree, place->level, place->index))) {
            const struct tree_node node = {.level = place->level, .index = place->index, .source = -1};
            GUARD(each(context, &node));
        }
    }
    return RESULT_OK;
}

void tree_clean(struct tree *tree)
{
    for (size_t i = 0; i < tree->changed_count; i++) {
        slot_find(tree, tree->changed[i].level, tree->changed[i].index)->changed = false;
    }
    tree->changed_count = 0;
}

enum result tree_restore_height(struct tree *tree, uint32_t height)
{
    if (height == 0 || height > TREE_HEIGHT_MAX) {
        return RESULT_INVALID;
    }
    tree->height = height;
    return RESULT_OK;
}

enum result tree_restore_node(struct tree *tree, const struct tree_node *node)
{
    if (node->level > tree->height || node->index >> (tree->height - node->level) != 0 || node->source < -1 ||
        node->source > 1) {
        return RESULT_INVALID;
    }
    struct slot *slot = NULL;
    GUARD(slot_reach(tree, node->level, node->index, &slot));
    slot->secret = node->secret;
    slot->source = node->source < 0 ? SOURCE_FRESH : (node->source == 0 ? SOURCE_LEFT : SOURCE_RIGHT);
    for (unsigned side = 0; side < 2; side++) {
        slot->has_wrap[side] = node->has_wrap[side];
        memcpy(slot->wrap[side], node->wrap[side], WRAP_SIZE);
    }
    secret_note(node->level == 0 ? "leaf" : "node", slot->secret.data, sizeof(slot->secret.data));
    return RESULT_OK;
}

/* ---- member ---- */

struct tree_place tree_path(uint32_t leaf_index, uint32_t height, uint32_t row)
{
    uint32_t levels = TREE_BLOCK_LEVELS * (row + 1);
    return (struct tree_place){.row = row, .column = levels >= height ? 0 : leaf_index >> levels};
}

/* From a node's secret to its parent's, through the parent's place in a block. */
static enum result climb_step(struct secret *secret, struct bytes packed, uint32_t place, unsigned side)
{
    struct secret key;
    unsigned source = map_get(packed.data, place);
    if (source == (side == 0 ? SOURCE_LEFT : SOURCE_RIGHT)) {
        return kdf_label(secret, "up", secret);
    }
    if ((map_get(packed.data + MAP_SIZE, place) & wrap_bit(side)) == 0) {
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
        uint32_t place = places_below(step) + ((leaf_index >> level) & (places_at(step) - 1u));
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
