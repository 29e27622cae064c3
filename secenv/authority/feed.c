/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/feed.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

const char feed_schema[] =
    "CREATE TABLE IF NOT EXISTS tree_block (" /* below the top row: the change in which it became what it is
                                               */
    "  group_id INTEGER NOT NULL,"
    "  tree_row INTEGER NOT NULL,"
    "  tree_column INTEGER NOT NULL,"
    "  epoch INTEGER NOT NULL,"
    "  PRIMARY KEY (group_id, tree_row, tree_column)"
    ") WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS tree_block_epoch ON tree_block (group_id, epoch);"
    "CREATE TABLE IF NOT EXISTS change_feed ("
    "  group_id INTEGER NOT NULL,"
    "  member_id INTEGER NOT NULL,"
    "  taken INTEGER NOT NULL,"    /* the MN-CSE has all blocks up to this epoch; 0: unknown */
    "  sent INTEGER NOT NULL,"     /* the epoch that is in its outbox or was */
    "  parts INTEGER NOT NULL,"    /* in how many slots */
    "  accepted INTEGER NOT NULL," /* how many of these it took */
    "  PRIMARY KEY (group_id, member_id)"
    ") WITHOUT ROWID;";

#define PART_LIMIT                                                                                           \
    ((size_t)36 * 1024) /* bytes of blocks in one record; with the announcement it fits an object */
#define PART_ARENA ((size_t)256 * 1024)

typedef Groupseal__Envelope__Block Block;

/* ---- changes ---- */

struct stored_change {
    struct arena *arena;
    Groupseal__Envelope__Policy *policy;
    Groupseal__Envelope__Announcement *announcement;
};

static enum result change_read(void *context, const struct store_row *row, struct reason *why)
{
    struct stored_change *stored = context;
    struct bytes policy = row_bytes(row, 0);
    struct bytes announcement = row_bytes(row, 1);
    ProtobufCAllocator *allocator = arena_allocator(stored->arena);
    stored->policy = groupseal__envelope__policy__unpack(allocator, policy.length, policy.data);
    stored->announcement =
        groupseal__envelope__announcement__unpack(allocator, announcement.length, announcement.data);
    return stored->policy != NULL && stored->announcement != NULL
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "a stored announcement cannot be read");
}

/* ---- what an MN-CSE has ---- */

struct change_feed {
    uint64_t taken;
    uint64_t sent;
    uint64_t parts;
    uint64_t accepted;
};

static enum result feed_read(void *context, const struct store_row *row, struct reason *why)
{
    struct change_feed *state = context;
    (void)why;
    *state = (struct change_feed){row_u64(row, 0), row_u64(row, 1), row_u64(row, 2), row_u64(row, 3)};
    return RESULT_OK;
}

static enum result feed_load(struct engine *engine, const struct group *group, int64_t mn_id,
                             struct change_feed *out, struct reason *why)
{
    *out = (struct change_feed){0};
    return store_query(engine->store, why, feed_read, out,
                       "SELECT taken, sent, parts, accepted FROM change_feed WHERE group_id = ?"
                       " AND member_id = ?",
                       "ii", group->id, mn_id);
}

static enum result feed_store(struct engine *engine, const struct group *group, int64_t mn_id,
                              const struct change_feed *state, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO change_feed (group_id, member_id, taken, sent, parts, accepted)"
                     " VALUES (?, ?, ?, ?, ?, ?)",
                     "iiuuuu", group->id, mn_id, state->taken, state->sent, state->parts, state->accepted);
}

enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id, struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    state.taken = 0;
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_has(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t epoch,
                     struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    if (state.taken <= epoch) {
        return RESULT_OK;
    }
    state.taken = epoch;
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_accepted(struct engine *engine, const struct group *group, int64_t mn_id, struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    if (state.accepted < state.parts) {
        state.accepted++;
    }
    if (state.accepted == state.parts && state.sent > state.taken) {
        state.taken = state.sent;
    }
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_blocks_note(struct engine *engine, const struct group *group,
                             const struct tree_place *touched, size_t count, struct reason *why)
{
    for (size_t i = 0; i < count; i++) {
        GUARD(store_run(engine->store, why,
                        "INSERT OR REPLACE INTO tree_block (group_id, tree_row, tree_column, epoch)"
                        " VALUES (?, ?, ?, ?)",
                        "iiiu", group->id, (int64_t)touched[i].row, (int64_t)touched[i].column,
                        group->epoch));
    }
    return RESULT_OK;
}

/* ---- sending it ---- */

/* A change on its way into the slots of one MN-CSE: as many blocks in each record as it holds. */
struct feeding {
    struct engine *engine;
    const struct group *group;
    const char *mn_cse;
    struct arena *arena; /* of the record in hand */
    Block **blocks;
    size_t count;
    size_t size; /* of the packed blocks in hand */
    uint64_t parts;
};

#define PART_BLOCKS (PART_LIMIT / 64u)

static enum result slot_put(const struct feeding *feeding, const char *slot,
                            Groupseal__Envelope__Change *change, struct reason *why)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    const struct engine *engine = feeding->engine;
    change->group = (char *)(uintptr_t)feeding->group->name;
    change->instance = arena_field(BYTES_OF(feeding->group->instance));
    change->blocks = feeding->blocks;
    change->n_blocks = feeding->count;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE;
    body.change = change;
    return outbox_put(engine->outbox, engine->identity.name, feeding->mn_cse, slot, &body, why);
}

static void part_slot(const struct group *group, uint64_t part, char *out, size_t size)
{
    (void)snprintf(out, size, "blocks %s %llu", group->name, (unsigned long long)part);
}

/* The blocks in hand, in a record of their own. */
static enum result part_put(struct feeding *feeding, struct reason *why)
{
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    char slot[48 + GROUP_NAME_LIMIT];
    part_slot(feeding->group, feeding->parts++, slot, sizeof(slot));
    enum result result = slot_put(feeding, slot, &change, why);
    arena_reset(feeding->arena);
    feeding->blocks = arena_alloc(feeding->arena, PART_BLOCKS * sizeof(*feeding->blocks));
    feeding->count = feeding->size = 0;
    return result == RESULT_OK && feeding->blocks == NULL ? RESULT_INTERNAL : result;
}

static enum result block_pack(const struct feeding *feeding, Block *block)
{
    struct buffer nodes = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct tree_place place = {.row = block->row, .column = block->column};
    enum result result = tree_pack(feeding->group->tree, place, &nodes);
    if (result == RESULT_OK) {
        block->nodes.len = nodes.length;
        block->nodes.data = arena_copy(feeding->arena, buffer_bytes(&nodes));
        result = block->nodes.data != NULL ? RESULT_OK : RESULT_INTERNAL;
    }
    buffer_clear(&nodes);
    return result;
}

/* Signed anew, over the same words: Ed25519 gives the same signature. */
static enum result block_make(const struct feeding *feeding, const struct store_row *row, Block **out)
{
    Block *block = arena_alloc(feeding->arena, sizeof(*block));
    uint8_t *signature = arena_alloc(feeding->arena, SIGNATURE_SIZE);
    if (block == NULL || signature == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__block__init(block);
    block->instance = arena_field((struct bytes){feeding->group->instance, INSTANCE_SIZE});
    block->incarnation = feeding->group->incarnation;
    block->row = (uint32_t)row_int(row, 0);
    block->column = (uint32_t)row_int(row, 1);
    block->epoch = row_u64(row, 2);
    block->height = tree_height(feeding->group->tree);
    GUARD(block_pack(feeding, block));
    *out = block;
    return block_sign(block, &feeding->engine->keys.authority, signature);
}

static enum result block_row(void *context, const struct store_row *row, struct reason *why)
{
    struct feeding *feeding = context;
    if (feeding->count == PART_BLOCKS || feeding->size + TREE_PACKED_MAX + 128u > PART_LIMIT) {
        GUARD(part_put(feeding, why));
    }
    Block *block = NULL;
    GUARD(block_make(feeding, row, &block));
    feeding->blocks[feeding->count++] = block;
    feeding->size += groupseal__envelope__block__get_packed_size(block) + 4u;
    return RESULT_OK;
}

static enum result parts_drop(const struct feeding *feeding, uint64_t from, uint64_t to, struct reason *why)
{
    for (uint64_t part = from; part < to; part++) {
        char slot[48 + GROUP_NAME_LIMIT];
        part_slot(feeding->group, part, slot, sizeof(slot));
        GUARD(outbox_drop_slot(feeding->engine->outbox, feeding->engine->identity.name, feeding->mn_cse, slot,
                               why));
    }
    return RESULT_OK;
}

/* All blocks that the MN-CSE has not taken yet; the last record has policy and announcement too. */
static enum result change_put(struct feeding *feeding, const struct stored_change *stored,
                              struct change_feed *state, struct reason *why)
{
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    char slot[48 + GROUP_NAME_LIMIT];
    feeding->blocks = arena_alloc(feeding->arena, PART_BLOCKS * sizeof(*feeding->blocks));
    if (feeding->blocks == NULL) {
        return RESULT_INTERNAL;
    }
    GUARD(store_query(feeding->engine->store, why, block_row, feeding,
                      "SELECT tree_row, tree_column, epoch FROM tree_block WHERE group_id = ? AND epoch > ?"
                      " ORDER BY tree_row, tree_column",
                      "iu", feeding->group->id, state->taken));
    GUARD(parts_drop(feeding, feeding->parts, state->parts, why));
    change.policy = stored->policy;
    change.announcement = stored->announcement;
    (void)snprintf(slot, sizeof(slot), "change %s", feeding->group->name);
    GUARD(slot_put(feeding, slot, &change, why));
    state->sent = feeding->group->epoch;
    state->parts = feeding->parts + 1;
    state->accepted = 0;
    return RESULT_OK;
}

enum result feed_change(struct engine *engine, const struct group *group, int64_t mn_id, const char *mn_cse,
                        struct arena *arena, struct reason *why)
{
    struct stored_change stored = {.arena = arena};
    struct change_feed state;
    GUARD(store_query(engine->store, why, change_read, &stored,
                      "SELECT policy, announcement FROM key_group WHERE id = ? AND announcement IS NOT NULL",
                      "i", group->id));
    if (stored.announcement == NULL) {
        return RESULT_OK;
    }
    GUARD(feed_load(engine, group, mn_id, &state, why));
    struct feeding feeding = {.engine = engine, .group = group, .mn_cse = mn_cse};
    feeding.arena = arena_new(PART_ARENA);
    if (feeding.arena == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a change of group %s", group->name);
    }
    enum result result = change_put(&feeding, &stored, &state, why);
    arena_free(feeding.arena);
    GUARD(result);
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_change_all(struct engine *engine, const struct group *group, const struct leaves *mn_cses,
                            struct arena *arena, struct reason *why)
{
    for (size_t i = 0; i < mn_cses->count; i++) {
        const struct leaf *leaf = &mn_cses->items[i];
        enum result result = feed_change(engine, group, leaf->member_id, leaf->name, arena, why);
        GUARD(arrears_take(engine, group, leaf, result, why));
    }
    return RESULT_OK;
}
