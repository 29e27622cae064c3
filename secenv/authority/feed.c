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
    "  taken INTEGER NOT NULL,"       /* the MN-CSE has all blocks up to this epoch; 0: unknown */
    "  sent INTEGER NOT NULL,"        /* blocks up to this epoch are in its outbox or were; 0: pack anew */
    "  parts INTEGER NOT NULL,"       /* slots in use have lower numbers */
    "  room INTEGER NOT NULL,"        /* so many parts, then those that wait are packed anew */
    "  policy INTEGER NOT NULL,"      /* the policy that it has; 0: unknown */
    "  policy_sent INTEGER NOT NULL," /* the one that the announcement in its outbox names */
    "  PRIMARY KEY (group_id, member_id)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS change_part (" /* in the outbox of the MN-CSE, not accepted yet */
    "  group_id INTEGER NOT NULL,"
    "  member_id INTEGER NOT NULL,"
    "  part INTEGER NOT NULL,"
    "  since INTEGER NOT NULL," /* the oldest of its blocks is of this epoch */
    "  PRIMARY KEY (group_id, member_id, part)"
    ") WITHOUT ROWID;";

#define PART_LIMIT                                                                                           \
    ((size_t)36 * 1024) /* bytes of blocks in one record; with the announcement it fits an object */
#define PART_ARENA ((size_t)256 * 1024)
#define PARTS_ROOM 16u

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
    uint64_t room;
    uint64_t policy;
    uint64_t policy_sent;
};

static enum result feed_read(void *context, const struct store_row *row, struct reason *why)
{
    struct change_feed *state = context;
    (void)why;
    *state = (struct change_feed){row_u64(row, 0), row_u64(row, 1), row_u64(row, 2),
                                  row_u64(row, 3), row_u64(row, 4), row_u64(row, 5)};
    return RESULT_OK;
}

static enum result feed_load(struct engine *engine, const struct group *group, int64_t mn_id,
                             struct change_feed *out, struct reason *why)
{
    *out = (struct change_feed){0};
    return store_query(engine->store, why, feed_read, out,
                       "SELECT taken, sent, parts, room, policy, policy_sent FROM change_feed"
                       " WHERE group_id = ? AND member_id = ?",
                       "ii", group->id, mn_id);
}

static enum result feed_store(struct engine *engine, const struct group *group, int64_t mn_id,
                              const struct change_feed *state, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO change_feed (group_id, member_id, taken, sent, parts, room,"
                     " policy, policy_sent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     "iiuuuuuu", group->id, mn_id, state->taken, state->sent, state->parts, state->room,
                     state->policy, state->policy_sent);
}

enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id, struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    state.taken = state.sent = state.policy = 0;
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_has(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t epoch,
                     struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    if (state.taken > epoch) {
        state.taken = epoch;
        state.sent = 0;
    }
    state.policy = 0;
    return feed_store(engine, group, mn_id, &state, why);
}

/* What waits tells what is taken: the parts are in the order of their blocks' epochs. */
static enum result taken_update(struct engine *engine, const struct group *group, int64_t mn_id,
                                struct change_feed *state, struct reason *why)
{
    uint64_t since = 0;
    GUARD(store_number(engine->store, why, &since,
                       "SELECT coalesce(min(since), 0) FROM change_part WHERE group_id = ?"
                       " AND member_id = ?",
                       "ii", group->id, mn_id));
    if (since == 0) {
        state->parts = state->room = 0;
    }
    if (state->sent != 0) { /* else it has lost of what it took */
        uint64_t taken = since == 0 ? state->sent : since - 1;
        state->taken = taken > state->taken ? taken : state->taken;
    }
    return RESULT_OK;
}

enum result feed_part_accepted(struct engine *engine, const struct group *group, int64_t mn_id, uint64_t part,
                               struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    GUARD(store_run(engine->store, why,
                    "DELETE FROM change_part WHERE group_id = ? AND member_id = ? AND part = ?", "iiu",
                    group->id, mn_id, part));
    GUARD(taken_update(engine, group, mn_id, &state, why));
    return feed_store(engine, group, mn_id, &state, why);
}

/* Its row stays: what it had does not count as taken. */
enum result feed_part_refused(struct engine *engine, const struct group *group, int64_t mn_id,
                              struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    state.sent = 0;
    return feed_store(engine, group, mn_id, &state, why);
}

enum result feed_change_ended(struct engine *engine, const struct group *group, int64_t mn_id, bool accepted,
                              struct reason *why)
{
    struct change_feed state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    state.policy = accepted ? state.policy_sent : 0;
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
    int64_t mn_id;
    const char *mn_cse;
    struct arena *arena; /* of the record in hand */
    Block **blocks;
    size_t count;
    size_t size; /* of the packed blocks in hand */
    struct change_feed state;
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

static enum result blocks_begin(struct feeding *feeding)
{
    arena_reset(feeding->arena);
    feeding->blocks = arena_alloc(feeding->arena, PART_BLOCKS * sizeof(*feeding->blocks));
    feeding->count = feeding->size = 0;
    return feeding->blocks != NULL ? RESULT_OK : RESULT_INTERNAL;
}

/* The blocks in hand, in a record of their own. */
static enum result part_put(struct feeding *feeding, struct reason *why)
{
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    char slot[48 + GROUP_NAME_LIMIT];
    if (feeding->count == 0) {
        return RESULT_OK;
    }
    part_slot(feeding->group, feeding->state.parts, slot, sizeof(slot));
    GUARD(slot_put(feeding, slot, &change, why));
    GUARD(store_run(feeding->engine->store, why,
                    "INSERT INTO change_part (group_id, member_id, part, since) VALUES (?, ?, ?, ?)", "iiuu",
                    feeding->group->id, feeding->mn_id, feeding->state.parts, feeding->blocks[0]->epoch));
    feeding->state.parts++;
    return blocks_begin(feeding);
}

static enum result block_pack(const struct feeding *feeding, Block *block, struct reason *why)
{
    struct buffer nodes = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct tree_place place = {.row = block->row, .column = block->column};
    enum result result = tree_pack(feeding->group->tree, place, &nodes, why);
    if (result == RESULT_OK) {
        block->nodes.len = nodes.length;
        block->nodes.data = arena_copy(feeding->arena, buffer_bytes(&nodes));
        result = block->nodes.data != NULL ? RESULT_OK : RESULT_INTERNAL;
    }
    buffer_clear(&nodes);
    return result;
}

/* Signed anew, over the same words: Ed25519 gives the same signature. */
static enum result block_make(const struct feeding *feeding, const struct store_row *row, Block **out,
                              struct reason *why)
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
    GUARD(block_pack(feeding, block, why));
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
    GUARD(block_make(feeding, row, &block, why));
    feeding->blocks[feeding->count++] = block;
    feeding->size += groupseal__envelope__block__get_packed_size(block) + 4u;
    return RESULT_OK;
}

static enum result parts_drop(struct feeding *feeding, struct reason *why)
{
    for (uint64_t part = 0; part < feeding->state.parts; part++) {
        char slot[48 + GROUP_NAME_LIMIT];
        part_slot(feeding->group, part, slot, sizeof(slot));
        GUARD(outbox_drop_slot(feeding->engine->outbox, feeding->engine->identity.name, feeding->mn_cse, slot,
                               why));
    }
    feeding->state.parts = 0;
    return store_run(feeding->engine->store, why,
                     "DELETE FROM change_part WHERE group_id = ? AND member_id = ?", "ii", feeding->group->id,
                     feeding->mn_id);
}

/* In the order in which they were made. */
static enum result blocks_put(struct feeding *feeding, uint64_t after, struct reason *why)
{
    GUARD(store_query(feeding->engine->store, why, block_row, feeding,
                      "SELECT tree_row, tree_column, epoch FROM tree_block INDEXED BY tree_block_epoch"
                      " WHERE group_id = ? AND epoch > ? ORDER BY epoch",
                      "iu", feeding->group->id, after));
    return part_put(feeding, why);
}

/*
 * The blocks of this change behind those that wait. These may have become old: where the parts are half as
 * many again as when they were packed last, all that the MN-CSE has not taken is packed anew, each block
 * once.
 */
static enum result parts_put(struct feeding *feeding, struct reason *why)
{
    struct change_feed *state = &feeding->state;
    bool anew = state->sent == 0 || state->parts >= state->room;
    if (!anew) {
        return blocks_put(feeding, state->sent, why);
    }
    GUARD(parts_drop(feeding, why));
    GUARD(blocks_put(feeding, state->taken, why));
    state->room = state->parts + state->parts / 2 + PARTS_ROOM;
    return RESULT_OK;
}

/* The last record: the announcement, and the policy where the MN-CSE has another. */
static enum result announcement_put(struct feeding *feeding, const struct stored_change *stored,
                                    struct reason *why)
{
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    char slot[48 + GROUP_NAME_LIMIT];
    change.policy = feeding->state.policy == feeding->group->policy_number ? NULL : stored->policy;
    change.announcement = stored->announcement;
    (void)snprintf(slot, sizeof(slot), "change %s", feeding->group->name);
    feeding->state.policy_sent = feeding->group->policy_number;
    return slot_put(feeding, slot, &change, why);
}

static enum result change_put(struct feeding *feeding, const struct stored_change *stored, struct reason *why)
{
    GUARD(blocks_begin(feeding));
    GUARD(parts_put(feeding, why));
    feeding->state.sent = feeding->group->epoch;
    GUARD(taken_update(feeding->engine, feeding->group, feeding->mn_id, &feeding->state, why));
    return announcement_put(feeding, stored, why);
}

enum result feed_change(struct engine *engine, const struct group *group, int64_t mn_id, const char *mn_cse,
                        struct arena *arena, struct reason *why)
{
    struct stored_change stored = {.arena = arena};
    GUARD(store_query(engine->store, why, change_read, &stored,
                      "SELECT policy, announcement FROM key_group WHERE id = ? AND announcement IS NOT NULL",
                      "i", group->id));
    if (stored.announcement == NULL) {
        return RESULT_OK;
    }
    struct feeding feeding = {.engine = engine, .group = group, .mn_id = mn_id, .mn_cse = mn_cse};
    GUARD(feed_load(engine, group, mn_id, &feeding.state, why));
    feeding.arena = arena_new(PART_ARENA);
    if (feeding.arena == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a change of group %s", group->name);
    }
    enum result result = change_put(&feeding, &stored, why);
    arena_free(feeding.arena);
    if (result == RESULT_FULL) {
        feeding.state.sent = 0; /* some of it may be in the outbox: all of it comes again */
    } else if (result != RESULT_OK) {
        return result;
    }
    GUARD(feed_store(engine, group, mn_id, &feeding.state, why));
    return result;
}

enum result feed_change_all(struct engine *engine, const struct group *group, const struct leaves *mn_cses,
                            struct arena *arena, struct reason *why)
{
    for (size_t i = 0; i < mn_cses->count; i++) {
        const struct leaf *leaf = &mn_cses->items[i];
        bool put_off = false;
        GUARD(arrears_known(engine, group, leaf->member_id, &put_off, why));
        if (put_off) {
            continue;
        }
        enum result result = feed_change(engine, group, leaf->member_id, leaf->name, arena, why);
        GUARD(arrears_take(engine, group, leaf, result, why));
    }
    return RESULT_OK;
}
