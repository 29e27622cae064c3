/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The key tree against its model: random schedules of joins, evictions, rotations, growth, absence, loss,
 * duplication and reordering, with the properties checked after each step.
 *
 *   converge: a member that gets the retained blocks of its own path reaches the root, from its leaf secret
 * alone forward:  what everyone who left ever held, with every message ever published, gives no later root
 *   backward: a member that joined reaches no root from before
 *
 * GROUPSEAL_TREE_SCHEDULES says how many schedules are played.
 */
#include "secenv/crypto/kdf.h"
#include "secenv/tree_pages.h"
#include "tests/unit/tree_shelf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEAVES_MAX 1024u
#define MESSAGES_MAX 128u /* of one change */
#define BLOCKS_MAX 128u   /* that a broker or a member keeps */
#define ROWS_MAX 5u

/* ---- a generator that a seed repeats ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static void draw_seed(uint64_t seed)
{
    random_state = seed * 0x9E3779B97F4A7C15u + 1;
    for (int i = 0; i < 8; i++) {
        (void)draw(2);
    }
}

static unsigned schedules(unsigned otherwise)
{
    const char *text = getenv("GROUPSEAL_TREE_SCHEDULES");
    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

/* ---- what is published, and who keeps it ---- */

struct message {
    bool is_epoch;
    struct tree_place place;
    uint64_t version;
    uint32_t height; /* epoch */
    bool has_tag;
    struct secret tag;
    size_t length;
    uint8_t nodes[TREE_PACKED_MAX];
};

struct kept {
    struct message epoch;
    struct message blocks[BLOCKS_MAX];
    size_t count;
};

static void keep(struct kept *kept, const struct message *message)
{
    struct message *at = &kept->epoch;
    if (!message->is_epoch) {
        size_t i = 0;
        while (i < kept->count && (kept->blocks[i].place.row != message->place.row ||
                                   kept->blocks[i].place.column != message->place.column)) {
            i++;
        }
        assert_true(i < BLOCKS_MAX);
        kept->count = i == kept->count ? i + 1 : kept->count;
        at = &kept->blocks[i];
    }
    if (message->version > at->version) {
        *at = *message;
    }
}

static const struct message *kept_block(const struct kept *kept, struct tree_place place)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (kept->blocks[i].place.row == place.row && kept->blocks[i].place.column == place.column) {
            return &kept->blocks[i];
        }
    }
    return NULL;
}

/* ---- authority ---- */

struct authority {
    struct tree *tree;
    uint64_t epoch;
};

static void message_pack(const struct authority *authority, struct message *message)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    assert_int_equal(tree_pack(authority->tree, message->place, &packed, NULL), RESULT_OK);
    assert_int_equal(
        tree_packed_check(buffer_bytes(&packed), message->place.row, tree_height(authority->tree)),
        RESULT_OK);
    memcpy(message->nodes, packed.data, packed.length);
    message->length = packed.length;
    message->version = authority->epoch;
    buffer_clear(&packed);
}

/* Lower blocks first, the announcement with the top block last. */
static size_t authority_change(struct authority *authority, const struct tree_leaf_change *changes,
                               size_t count, bool rotate, struct message *messages)
{
    struct tree_place touched[MESSAGES_MAX];
    size_t touched_count = 0;
    authority->epoch++;
    assert_int_equal(
        tree_change(authority->tree, changes, count, rotate, touched, MESSAGES_MAX, &touched_count, NULL),
        RESULT_OK);
    assert_true(touched_count < MESSAGES_MAX);
    for (size_t i = 0; i < touched_count; i++) {
        messages[i] = (struct message){.place = touched[i]};
        message_pack(authority, &messages[i]);
    }
    struct message *epoch = &messages[touched_count];
    struct secret root;
    *epoch = (struct message){.is_epoch = true, .height = tree_height(authority->tree)};
    epoch->place.row = tree_top_row(epoch->height);
    message_pack(authority, epoch);
    epoch->has_tag = tree_root(authority->tree, &root);
    if (epoch->has_tag) {
        assert_int_equal(kdf_label(&root, "confirm", &epoch->tag), RESULT_OK);
    }
    return touched_count + 1;
}

/* ---- member ---- */

struct member {
    bool present;
    uint32_t index;
    struct secret leaf;
    struct kept kept;
};

static bool member_climb(const struct member *member, struct secret *root)
{
    struct bytes blocks[ROWS_MAX];
    struct secret tag;
    const struct message *epoch = &member->kept.epoch;
    if (epoch->version == 0) {
        return false;
    }
    uint32_t top = tree_top_row(epoch->height);
    for (uint32_t row = 0; row < top; row++) {
        const struct message *block = kept_block(&member->kept, tree_path(member->index, epoch->height, row));
        blocks[row] = block == NULL ? (struct bytes){NULL, 0} : (struct bytes){block->nodes, block->length};
    }
    blocks[top] = (struct bytes){epoch->nodes, epoch->length};
    enum result result = tree_climb(&member->leaf, member->index, epoch->height, blocks, top + 1, root);
    if (result != RESULT_OK) {
        return false;
    }
    assert_int_equal(kdf_label(root, "confirm", &tag), RESULT_OK);
    return epoch->has_tag && secret_equal(&tag, &epoch->tag, sizeof(tag));
}

static bool same(const struct secret *a, const struct secret *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* It subscribes: the announcement and the blocks of its own path, as the broker keeps them. */
static void member_subscribe(struct member *member, const struct kept *broker)
{
    keep(&member->kept, &broker->epoch);
    for (uint32_t row = 0; row < tree_top_row(broker->epoch.height); row++) {
        const struct message *block = kept_block(broker, tree_path(member->index, broker->epoch.height, row));
        if (block != NULL) {
            keep(&member->kept, block);
        }
    }
}

/* ---- a schedule ---- */

#define SECRETS_MAX 4096u
#define WRAPS_MAX 65536u

struct history {
    uint8_t (*wraps)[WRAP_SIZE]; /* every one ever published, each once */
    size_t wrap_count;
    struct {
        unsigned step;
        struct secret leaf;
    } gone[SECRETS_MAX];
    size_t gone_count;
    struct secret roots[256];
    bool has_root[256];
};

struct play {
    struct authority authority;
    struct kept broker;
    struct kept before;
    struct member members[LEAVES_MAX];
    struct message messages[MESSAGES_MAX];
    size_t message_count;
    struct history *history; /* or NULL */
    unsigned long climbs;
};

static void history_add(struct history *history, const struct message *message)
{
    for (size_t at = 8; at < message->length; at += WRAP_SIZE) {
        bool known = false;
        for (size_t i = history->wrap_count; i > 0 && !known && i + 512 > history->wrap_count; i--) {
            known = memcmp(history->wraps[i - 1], message->nodes + at, WRAP_SIZE) == 0;
        }
        if (!known) {
            assert_true(history->wrap_count < WRAPS_MAX);
            memcpy(history->wraps[history->wrap_count++], message->nodes + at, WRAP_SIZE);
        }
    }
}

/* Random leaves: those in use are emptied, others are filled. */
static size_t draw_leaves(struct play *play, uint32_t reach, struct tree_leaf_change *changes)
{
    static const unsigned counts[] = {0, 1, 1, 1, 2, 7};
    unsigned wanted = counts[draw(6)];
    size_t count = 0;
    for (unsigned i = 0; i < wanted; i++) {
        uint32_t index = draw(reach);
        bool drawn = false;
        for (size_t j = 0; j < count; j++) {
            drawn = drawn || changes[j].index == index;
        }
        if (drawn) {
            continue;
        }
        struct tree_leaf_change *change = &changes[count++];
        *change = (struct tree_leaf_change){.index = index, .occupied = !play->members[index].present};
        if (change->occupied) {
            assert_int_equal(random_bytes(change->secret.data, SECRET_SIZE), RESULT_OK);
        }
    }
    return count;
}

static void leaves_take_effect(struct play *play, const struct tree_leaf_change *changes, size_t count,
                               unsigned step, bool had_root, const struct secret *old_root)
{
    for (size_t i = 0; i < count; i++) {
        struct member *member = &play->members[changes[i].index];
        if (!changes[i].occupied) {
            if (play->history != NULL) {
                size_t at = play->history->gone_count++;
                assert_true(at < SECRETS_MAX);
                play->history->gone[at].step = step;
                play->history->gone[at].leaf = member->leaf;
            }
            *member = (struct member){0};
            continue;
        }
        struct secret root;
        *member = (struct member){.present = true, .index = changes[i].index, .leaf = changes[i].secret};
        member->kept = play->before;
        bool reached = member_climb(member, &root);
        assert_false(reached && had_root && same(&root, old_root)); /* backward */
        member->kept = (struct kept){0};
    }
}

static void members_hear(struct play *play)
{
    struct secret root;
    struct secret reached;
    bool has_root = tree_root(play->authority.tree, &root);
    for (uint32_t index = 0; index < LEAVES_MAX; index++) {
        struct member *member = &play->members[index];
        if (!member->present) {
            continue;
        }
        if (draw(2) == 0) { /* awake: live messages, some lost, some twice, in any order */
            for (size_t i = 0; i < 2 * play->message_count; i++) {
                keep(&member->kept, &play->messages[draw((uint32_t)play->message_count)]);
            }
        }
        if (play->before.epoch.version > 0) { /* old ones come late */
            keep(&member->kept, &play->before.epoch);
            for (size_t i = 0; i < play->before.count; i++) {
                keep(&member->kept, &play->before.blocks[i]);
            }
        }
        member_subscribe(member, &play->broker);
        assert_true(has_root);
        assert_true(member_climb(member, &reached)); /* converge */
        assert_true(same(&reached, &root));
        play->climbs++;
    }
}

static void play_schedule(struct play *play, uint64_t seed, unsigned steps)
{
    static const uint32_t tops[] = {2, 4, 5, 6, 9};
    draw_seed(seed);
    uint32_t top = 1u << tops[draw(5)];
    for (unsigned step = 0; step < steps; step++) {
        struct tree_leaf_change changes[8];
        struct secret old_root;
        uint32_t grown = 2u << (step / 6); /* the group grows, block rows too */
        uint32_t reach = grown > top ? top : grown;
        size_t count = draw_leaves(play, reach < 2 ? 2 : reach, changes);
        play->before = play->broker;
        bool had_root = tree_root(play->authority.tree, &old_root);
        play->message_count =
            authority_change(&play->authority, changes, count, draw(10) == 0, play->messages);
        for (size_t i = 0; i < play->message_count; i++) {
            keep(&play->broker, &play->messages[i]);
            if (play->history != NULL) {
                history_add(play->history, &play->messages[i]);
            }
        }
        struct secret root;
        if (tree_root(play->authority.tree, &root)) {
            assert_false(had_root && same(&root, &old_root)); /* every epoch has a root of its own */
            if (play->history != NULL) {
                play->history->roots[step] = root;
                play->history->has_root[step] = true;
            }
        }
        leaves_take_effect(play, changes, count, step, had_root, &old_root);
        members_hear(play);
    }
}

static struct play *play_new(struct history *history)
{
    struct play *play = calloc(1, sizeof(*play));
    assert_non_null(play);
    play->authority.tree = tree_new(NULL);
    assert_non_null(play->authority.tree);
    play->history = history;
    return play;
}

static void play_free(struct play *play)
{
    tree_free(play->authority.tree);
    free(play);
}

static void test_random_schedules(void **state)
{
    (void)state;
    unsigned count = schedules(60);
    unsigned long climbs = 0;
    for (unsigned seed = 0; seed < count; seed++) {
        struct play *play = play_new(NULL);
        play_schedule(play, seed, 60);
        climbs += play->climbs;
        play_free(play);
    }
    print_message("%u schedules, %lu climbs from the leaf secret alone\n", count, climbs);
    assert_true(climbs > count);
}

/* ---- everyone who left, together ---- */

struct closure {
    struct secret known[SECRETS_MAX];
    size_t count;
};

static void closure_add(struct closure *closure, const struct secret *secret)
{
    for (size_t i = 0; i < closure->count; i++) {
        if (same(&closure->known[i], secret)) {
            return;
        }
    }
    if (closure->count < SECRETS_MAX) {
        closure->known[closure->count++] = *secret;
    }
}

static bool closure_has(const struct closure *closure, const struct secret *secret)
{
    for (size_t i = 0; i < closure->count; i++) {
        if (same(&closure->known[i], secret)) {
            return true;
        }
    }
    return false;
}

/* Every secret that follows from those in it and all wraps; bounded, since "up" has no end. */
static void closure_run(struct closure *closure, const struct history *history, size_t limit)
{
    for (size_t i = 0; i < closure->count && i < limit; i++) {
        struct secret next;
        struct secret key;
        assert_int_equal(kdf_label(&closure->known[i], "up", &next), RESULT_OK);
        closure_add(closure, &next);
        assert_int_equal(kdf_label(&closure->known[i], "key", &key), RESULT_OK);
        for (size_t w = 0; w < history->wrap_count; w++) {
            if (keywrap_unwrap(&key, history->wraps[w], &next) == RESULT_OK) {
                closure_add(closure, &next);
            }
        }
    }
}

static void attack(const struct play *play, const struct history *history, unsigned upto)
{
    static struct closure closure;
    closure.count = 0;
    for (size_t i = 0; i < history->gone_count; i++) {
        if (history->gone[i].step <= upto) {
            closure_add(&closure, &history->gone[i].leaf);
        }
    }
    size_t held = closure.count;
    closure_run(&closure, history, held + 600);
    for (size_t i = 0; i < history->gone_count; i++) {
        if (history->gone[i].step > upto) {
            assert_false(closure_has(&closure, &history->gone[i].leaf));
        }
    }
    for (uint32_t i = 0; i < LEAVES_MAX; i++) {
        assert_false(play->members[i].present && closure_has(&closure, &play->members[i].leaf));
    }
    for (unsigned step = upto; step < 256; step++) {
        assert_false(history->has_root[step] && closure_has(&closure, &history->roots[step]));
    }
    /* The twin: those who left do reach a root of their own time. */
    bool reached = false;
    for (unsigned step = 0; step < upto; step++) {
        reached = reached || (history->has_root[step] && closure_has(&closure, &history->roots[step]));
    }
    assert_true(reached);
}

static void test_those_who_left_reach_nothing(void **state)
{
    (void)state;
    unsigned count = schedules(12);
    unsigned attacked = 0;
    for (unsigned seed = 0; seed < count; seed++) {
        struct history *history = calloc(1, sizeof(*history));
        assert_non_null(history);
        history->wraps = calloc(WRAPS_MAX, WRAP_SIZE);
        assert_non_null(history->wraps);
        struct play *play = play_new(history);
        play_schedule(play, 1000 + seed, 25);
        if (history->gone_count > 0) {
            attack(play, history, history->gone[history->gone_count - 1].step);
            attack(play, history, history->gone[history->gone_count / 2].step);
            attacked++;
        }
        play_free(play);
        free(history->wraps);
        free(history);
    }
    print_message("%u schedules attacked by everyone who left, together\n", attacked);
    assert_true(attacked > 0);
}

/* ---- single changes ---- */

static void fill(struct authority *authority, uint32_t count, struct secret *leaves)
{
    struct tree_leaf_change *changes = calloc(count, sizeof(*changes));
    assert_non_null(changes);
    for (uint32_t i = 0; i < count; i++) {
        changes[i] = (struct tree_leaf_change){.index = i, .occupied = true};
        assert_int_equal(random_bytes(changes[i].secret.data, SECRET_SIZE), RESULT_OK);
        if (leaves != NULL) {
            leaves[i] = changes[i].secret;
        }
    }
    authority->epoch++;
    assert_int_equal(tree_change(authority->tree, changes, count, false, NULL, 0, NULL, NULL), RESULT_OK);
    free(changes);
}

/* One removal among N costs log2 N wraps: those of the nodes that changed are the fresh ones. */
static void test_cost_of_one_eviction(void **state)
{
    (void)state;
    struct authority authority = {.tree = tree_new(NULL)};
    fill(&authority, 1u << 14, NULL);
    assert_int_equal(tree_height(authority.tree), 14);
    struct tree_leaf_change change = {.index = 5461};
    struct tree_place touched[8];
    size_t touched_count = 0;
    tree_clean(authority.tree);
    assert_int_equal(tree_change(authority.tree, &change, 1, false, touched, 8, &touched_count, NULL),
                     RESULT_OK);
    assert_int_equal(touched_count, 3); /* rows 0, 1, 2; the top row rides in epoch */
    for (uint32_t row = 0; row < 3; row++) {
        assert_int_equal(touched[row].row, row);
        assert_int_equal(touched[row].column, 5461u >> (4 * (row + 1)));
    }
    size_t bytes = 0;
    for (uint32_t row = 0; row <= 3; row++) {
        struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
        struct tree_place place = {.row = row, .column = row == 3 ? 0 : touched[row].column};
        assert_int_equal(tree_pack(authority.tree, place, &packed, NULL), RESULT_OK);
        bytes += packed.length;
        buffer_clear(&packed);
    }
    print_message("one eviction among %u: 4 blocks, %zu bytes of packed nodes\n", 1u << 14, bytes);
    assert_true(bytes < 4096);
    tree_free(authority.tree);
}

static size_t climb_all(const struct authority *authority, const struct secret *leaves, uint32_t count,
                        enum result *results)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct secret root;
    struct secret reached;
    size_t right = 0;
    assert_true(tree_root(authority->tree, &root));
    assert_int_equal(tree_pack(authority->tree, (struct tree_place){0, 0}, &packed, NULL), RESULT_OK);
    struct bytes block = buffer_bytes(&packed);
    for (uint32_t i = 0; i < count; i++) {
        results[i] = tree_climb(&leaves[i], i, tree_height(authority->tree), &block, 1, &reached);
        right += results[i] == RESULT_OK && same(&reached, &root);
    }
    buffer_clear(&packed);
    return right;
}

static void test_sixteen_members_and_an_eviction(void **state)
{
    (void)state;
    struct authority authority = {.tree = tree_new(NULL)};
    struct secret leaves[16];
    enum result results[16];
    fill(&authority, 16, leaves);
    assert_int_equal(tree_height(authority.tree), 4);
    assert_int_equal(tree_top_row(4), 0);
    assert_int_equal(climb_all(&authority, leaves, 16, results), 16);
    assert_int_equal(tree_free_leaf(authority.tree, 0), 16);

    struct tree_leaf_change change = {.index = 6};
    assert_int_equal(tree_change(authority.tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_int_equal(climb_all(&authority, leaves, 16, results), 15);
    assert_int_equal(results[6], RESULT_REFUSED);
    assert_int_equal(tree_free_leaf(authority.tree, 0), 6);

    /* Another joins in its place: the former leaf secret does not open it. */
    change.occupied = true;
    assert_int_equal(random_bytes(change.secret.data, SECRET_SIZE), RESULT_OK);
    assert_int_equal(tree_change(authority.tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_int_equal(climb_all(&authority, leaves, 16, results), 15);
    leaves[6] = change.secret;
    assert_int_equal(climb_all(&authority, leaves, 16, results), 16);
    tree_free(authority.tree);
}

static void test_climb_says_what_is_wrong(void **state)
{
    (void)state;
    struct authority authority = {.tree = tree_new(NULL)};
    struct secret leaves[40];
    struct secret root;
    struct secret reached;
    fill(&authority, 40, leaves);
    assert_int_equal(tree_height(authority.tree), 6);
    struct buffer low = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct buffer top = BUFFER_EMPTY(TREE_PACKED_MAX);
    assert_int_equal(tree_pack(authority.tree, tree_path(37, 6, 0), &low, NULL), RESULT_OK);
    assert_int_equal(tree_pack(authority.tree, tree_path(37, 6, 1), &top, NULL), RESULT_OK);
    assert_true(tree_root(authority.tree, &root));

    struct bytes blocks[2] = {buffer_bytes(&low), buffer_bytes(&top)};
    assert_int_equal(tree_climb(&leaves[37], 37, 6, blocks, 2, &reached), RESULT_OK);
    assert_true(same(&reached, &root));
    assert_int_equal(tree_climb(&leaves[37], 37, 6, blocks, 1, &reached), RESULT_INVALID);
    assert_int_equal(tree_climb(&leaves[37], 64, 6, blocks, 2, &reached), RESULT_REFUSED);
    blocks[0] = (struct bytes){NULL, 0};
    assert_int_equal(tree_climb(&leaves[37], 37, 6, blocks, 2, &reached), RESULT_NOT_READY);

    /* An old lower block: the announcement has moved on. */
    struct tree_leaf_change change = {.index = 36};
    assert_int_equal(tree_change(authority.tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    buffer_clear(&top);
    assert_int_equal(tree_pack(authority.tree, tree_path(37, 6, 1), &top, NULL), RESULT_OK);
    blocks[0] = buffer_bytes(&low);
    blocks[1] = buffer_bytes(&top);
    assert_true(tree_root(authority.tree, &root));
    enum result result = tree_climb(&leaves[37], 37, 6, blocks, 2, &reached);
    assert_true(result == RESULT_NOT_READY || (result == RESULT_OK && !same(&reached, &root)));
    struct buffer new_low = BUFFER_EMPTY(TREE_PACKED_MAX);
    assert_int_equal(tree_pack(authority.tree, tree_path(37, 6, 0), &new_low, NULL), RESULT_OK);
    blocks[0] = buffer_bytes(&new_low);
    assert_int_equal(tree_climb(&leaves[37], 37, 6, blocks, 2, &reached), RESULT_OK);
    assert_true(same(&reached, &root));
    buffer_clear(&low);
    buffer_clear(&new_low);
    buffer_clear(&top);
    tree_free(authority.tree);
}

/* ---- every height ---- */

static bool path_climbs(struct tree *tree, uint32_t index, const struct secret *leaf)
{
    struct buffer packed[ROWS_MAX];
    struct bytes blocks[ROWS_MAX];
    struct secret root;
    struct secret reached;
    uint32_t height = tree_height(tree);
    uint32_t rows = tree_top_row(height) + 1;
    for (uint32_t row = 0; row < rows; row++) {
        packed[row] = BUFFER_EMPTY(TREE_PACKED_MAX);
        assert_int_equal(tree_pack(tree, tree_path(index, height, row), &packed[row], NULL), RESULT_OK);
        blocks[row] = buffer_bytes(&packed[row]);
    }
    bool climbs = tree_climb(leaf, index, height, blocks, rows, &reached) == RESULT_OK;
    for (uint32_t row = 0; row < rows; row++) {
        buffer_clear(&packed[row]);
    }
    return climbs && tree_root(tree, &root) && same(&root, &reached);
}

#define SPARSE 24u

/* Few leaves of a tree that may have very many: its first and its last one, and some between. Each climbs,
 * and the last one, when it was evicted, does not any more. All of it through pages that are read again. */
static void test_sparse_trees_of_every_height(void **state)
{
    (void)state;
    for (uint32_t height = 1; height <= TREE_HEIGHT_MAX; height++) {
        struct shelf shelf = {NULL, 0, 0, 0};
        struct tree_leaf_change changes[SPARSE];
        uint32_t last = (1u << height) - 1;
        size_t count = 0;
        struct tree *tree = shelf_tree(&shelf, 1);
        draw_seed(height);
        for (uint32_t i = 0; i < SPARSE; i++) {
            uint32_t index = i == 0 ? last : i == 1 ? 0 : draw(last + 1);
            size_t known = 0;
            while (known < count && changes[known].index != index) {
                known++;
            }
            if (known == count) {
                changes[count] = (struct tree_leaf_change){.index = index, .occupied = true};
                assert_int_equal(random_bytes(changes[count++].secret.data, SECRET_SIZE), RESULT_OK);
            }
        }
        assert_int_equal(tree_change(tree, &changes[1], count - 1, false, NULL, 0, NULL, NULL), RESULT_OK);
        assert_int_equal(tree_change(tree, changes, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
        assert_int_equal(tree_height(tree), height);
        for (unsigned round = 0; round < 2; round++) {
            shelf_store(&shelf, tree);
            tree_free(tree);
            tree = shelf_tree(&shelf, height);
            for (size_t i = round; i < count; i++) {
                assert_true(path_climbs(tree, changes[i].index, &changes[i].secret));
            }
            struct tree_leaf_change gone = {.index = last};
            assert_true(round == 0 || !path_climbs(tree, last, &changes[0].secret));
            assert_int_equal(tree_change(tree, &gone, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
        }
        tree_free(tree);
        shelf_clear(&shelf);
    }
}

/* With 2^20 leaves in use the next free one is beyond all. */
static void test_full_tree_has_no_free_leaf(void **state)
{
    (void)state;
    struct tree *tree = tree_new(NULL);
    struct tree_leaf_change change = {.index = 1u << TREE_HEIGHT_MAX, .occupied = true};
    assert_int_equal(tree_restore_height(tree, TREE_HEIGHT_MAX, NULL), RESULT_OK);
    for (uint32_t i = 0; i < 1u << TREE_HEIGHT_MAX; i++) {
        assert_int_equal(tree_restore_leaf(tree, i), RESULT_OK);
    }
    assert_int_equal(tree_free_leaf(tree, 0), change.index);
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_INVALID);
    change = (struct tree_leaf_change){.index = 1048575};
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_int_equal(tree_free_leaf(tree, 0), 1048575);
    tree_free(tree);
}

static void test_wrong_changes_are_refused(void **state)
{
    (void)state;
    struct tree *tree = tree_new(NULL);
    struct tree_leaf_change changes[2] = {{.index = 3, .occupied = true}, {.index = 3, .occupied = true}};
    struct secret root;

    struct reason why = {""};
    assert_int_equal(tree_change(tree, changes, 2, false, NULL, 0, NULL, &why), RESULT_INVALID);
    assert_non_null(strstr(why.text, "names a leaf twice"));
    changes[1].index = 1u << TREE_HEIGHT_MAX;
    assert_int_equal(tree_change(tree, changes, 2, false, NULL, 0, NULL, NULL), RESULT_INVALID);
    changes[1] = (struct tree_leaf_change){.index = 200}; /* emptied, and never there */
    assert_int_equal(tree_change(tree, changes, 2, false, NULL, 0, NULL, NULL), RESULT_INVALID);
    assert_int_equal(tree_height(tree), 1);
    assert_false(tree_root(tree, &root));

    changes[1] = (struct tree_leaf_change){.index = 1, .occupied = true};
    assert_int_equal(tree_change(tree, changes, 2, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_int_equal(tree_height(tree), 2);
    assert_true(tree_root(tree, &root));
    tree_free(tree);
}

static void test_empty_tree(void **state)
{
    (void)state;
    struct tree *tree = tree_new(NULL);
    struct secret root;
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct tree_leaf_change change = {.index = 0, .occupied = true};

    assert_int_equal(tree_change(tree, NULL, 0, true, NULL, 0, NULL, NULL), RESULT_OK);
    assert_false(tree_root(tree, &root));
    assert_int_equal(tree_pack(tree, (struct tree_place){0, 0}, &packed, NULL), RESULT_OK);
    assert_int_equal(packed.length, 8);
    assert_int_equal(tree_packed_check(buffer_bytes(&packed), 0, 1), RESULT_OK);
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_true(tree_root(tree, &root));
    change.occupied = false;
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_false(tree_root(tree, &root));
    buffer_clear(&packed);
    tree_free(tree);
}

/* ---- on disk and back ---- */

static void assert_same_tree(struct tree *a, struct tree *b)
{
    struct secret root_a;
    struct secret root_b;
    assert_int_equal(tree_height(a), tree_height(b));
    assert_int_equal(tree_root(a, &root_a), tree_root(b, &root_b));
    if (tree_root(a, &root_a)) {
        assert_true(same(&root_a, &root_b));
    }
    assert_int_equal(tree_free_leaf(a, 0), tree_free_leaf(b, 0));
    for (uint32_t row = 0; row <= tree_top_row(tree_height(a)); row++) {
        uint32_t levels = TREE_BLOCK_LEVELS * (row + 1);
        uint32_t columns = levels >= tree_height(a) ? 1 : 1u << (tree_height(a) - levels);
        for (uint32_t column = 0; column < columns; column++) {
            struct buffer packed_a = BUFFER_EMPTY(TREE_PACKED_MAX);
            struct buffer packed_b = BUFFER_EMPTY(TREE_PACKED_MAX);
            assert_int_equal(tree_pack(a, (struct tree_place){row, column}, &packed_a, NULL), RESULT_OK);
            assert_int_equal(tree_pack(b, (struct tree_place){row, column}, &packed_b, NULL), RESULT_OK);
            assert_true(bytes_equal(buffer_bytes(&packed_a), buffer_bytes(&packed_b)));
            buffer_clear(&packed_a);
            buffer_clear(&packed_b);
        }
    }
}

/* The pages that a store sees of each change give the same tree back. */
static void test_persistence(void **state)
{
    (void)state;
    struct shelf shelf = {NULL, 0, 0, 0};
    struct play *play = play_new(NULL);
    tree_free(play->authority.tree);
    play->authority.tree = shelf_tree(&shelf, 1);
    draw_seed(77);
    for (unsigned step = 0; step < 60; step++) {
        struct tree_leaf_change changes[8];
        size_t count = draw_leaves(play, step < 30 ? 12 : 100, changes);
        struct tree *next = play->authority.tree;
        assert_int_equal(tree_change(next, changes, count, draw(8) == 0, NULL, 0, NULL, NULL), RESULT_OK);
        shelf_store(&shelf, next);
        for (size_t i = 0; i < count; i++) {
            play->members[changes[i].index].present = changes[i].occupied;
            play->members[changes[i].index].leaf = changes[i].secret;
        }
        struct tree *restored = shelf_tree(&shelf, tree_height(next));
        assert_same_tree(next, restored);
        for (uint32_t i = 0; i < 128; i++) {
            struct secret leaf;
            enum result expected = play->members[i].present ? RESULT_OK : RESULT_UNKNOWN;
            assert_int_equal(tree_leaf(restored, i, &leaf, NULL), expected);
            assert_true(expected != RESULT_OK || same(&leaf, &play->members[i].leaf));
        }
        tree_free(restored);
    }
    play_free(play);
    shelf_clear(&shelf);
}

static void test_restore_refuses_places_outside(void **state)
{
    (void)state;
    struct tree *tree = tree_new(NULL);
    assert_int_equal(tree_restore_height(tree, 0, NULL), RESULT_INVALID);
    assert_int_equal(tree_restore_height(tree, TREE_HEIGHT_MAX + 1, NULL), RESULT_INVALID);
    assert_int_equal(tree_restore_height(tree, 2, NULL), RESULT_OK);
    assert_int_equal(tree_restore_leaf(tree, 4), RESULT_INVALID);
    assert_int_equal(tree_restore_leaf(tree, 3), RESULT_OK);
    assert_int_equal(tree_free_leaf(tree, 3), 4);
    tree_free(tree);
}

static uint32_t filled_shelf(struct shelf *shelf, uint32_t members)
{
    struct authority authority = {.tree = shelf_tree(shelf, 1)};
    fill(&authority, members, NULL);
    shelf_store(shelf, authority.tree);
    uint32_t height = tree_height(authority.tree);
    tree_free(authority.tree);
    return height;
}

/* A change of one leaf needs the pages on its path and no others; they are dropped when many others come, and
 * nothing else is different for it. */
static void test_few_pages_are_held(void **state)
{
    (void)state;
    struct shelf shelf = {NULL, 0, 0, 0};
    uint32_t members = (PAGES_KEPT + 100) * PAGE_BELOW;
    uint32_t height = filled_shelf(&shelf, members);
    size_t before = shelf.loads;
    struct tree *tree = shelf_tree(&shelf, height);
    struct tree_leaf_change change = {.index = 1000};
    struct secret leaf;
    assert_int_equal(shelf.loads - before, 1); /* the top page */
    before = shelf.loads;
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    assert_int_equal(shelf.loads - before, tree_top_row(height));
    shelf_store(&shelf, tree);

    assert_int_equal(tree_leaf(tree, 1001, &leaf, NULL), RESULT_OK);
    assert_int_equal(shelf.loads - before, tree_top_row(height));
    for (uint32_t page = 0; page < members / PAGE_BELOW; page++) {
        assert_int_equal(tree_leaf(tree, page * PAGE_BELOW, &leaf, NULL), RESULT_OK);
    }
    before = shelf.loads;
    assert_int_equal(tree_leaf(tree, 1001, &leaf, NULL), RESULT_OK);
    assert_int_equal(shelf.loads - before, 1);
    change.index = 1001;
    assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
    shelf_store(&shelf, tree);
    struct tree *again = shelf_tree(&shelf, height);
    struct secret roots[2];
    assert_true(tree_root(tree, &roots[0]) && tree_root(again, &roots[1]) && same(&roots[0], &roots[1]));
    tree_free(again);
    tree_free(tree);
    shelf_clear(&shelf);
}

/* ---- a damaged store ---- */

/* A page that is gone, an old one, and one that cannot be read: the change fails and says why. */
static void test_pages_that_do_not_fit(void **state)
{
    (void)state;
    for (unsigned damage = 0; damage < 4; damage++) {
        struct shelf shelf = {NULL, 0, 0, 0};
        uint32_t height = filled_shelf(&shelf, 300);
        struct shelf_page old = *shelf_find(&shelf, (struct tree_place){0, 7});
        struct tree *tree = shelf_tree(&shelf, height);
        struct tree_leaf_change change = {.index = 7 * 16};
        assert_int_equal(tree_change(tree, &change, 1, false, NULL, 0, NULL, NULL), RESULT_OK);
        shelf_store(&shelf, tree);
        tree_free(tree);

        tree = shelf_tree(&shelf, height);
        struct shelf_page *page = shelf_find(&shelf, old.place);
        if (damage == 1) {
            page->place.column = 30;
        } else if (damage == 2) {
            *page = old;
        } else if (damage == 3) {
            page->length--;
        }
        struct reason why = {""};
        change.index++;
        enum result result = tree_change(tree, &change, 1, false, NULL, 0, NULL, &why);
        assert_int_equal(result, damage == 0 ? RESULT_OK : damage == 3 ? RESULT_INVALID : RESULT_STORE);
        assert_true(damage == 0 || why.text[0] != '\0');
        tree_free(tree);
        shelf_clear(&shelf);
    }
}

static void assert_read(struct bytes bytes, uint32_t height, enum result expected)
{
    struct tree_page page = {.place = {0, 0}};
    assert_int_equal(tree_page_read(bytes, height, &page), expected);
}

static void test_stored_pages_of_another_length(void **state)
{
    (void)state;
    for (uint32_t members = 1; members <= 16; members++) {
        struct shelf shelf = {NULL, 0, 0, 0};
        uint32_t height = filled_shelf(&shelf, members);
        struct shelf_page *page = shelf_find(&shelf, (struct tree_place){0, 0});
        for (size_t length = 0; length <= page->length + SECRET_SIZE && length <= TREE_PAGE_MAX; length++) {
            enum result expected = length == page->length ? RESULT_OK : RESULT_INVALID;
            assert_read((struct bytes){page->bytes, length}, height, expected);
        }
        if (height > 1) { /* its nodes lie above the top of such a tree */
            assert_read((struct bytes){page->bytes, page->length}, height - 1, RESULT_INVALID);
        }
        shelf_clear(&shelf);
    }
}

/* ---- packed nodes ---- */

static void pack_of(uint32_t members, struct buffer *packed, uint32_t *height)
{
    struct authority authority = {.tree = tree_new(NULL)};
    fill(&authority, members, NULL);
    *height = tree_height(authority.tree);
    assert_int_equal(tree_pack(authority.tree, (struct tree_place){tree_top_row(*height), 0}, packed, NULL),
                     RESULT_OK);
    tree_free(authority.tree);
}

static void test_packed_nodes_of_another_length(void **state)
{
    (void)state;
    for (uint32_t members = 1; members <= 16; members++) {
        struct buffer packed = BUFFER_EMPTY(2 * (size_t)TREE_PACKED_MAX);
        uint32_t height = 0;
        pack_of(members, &packed, &height);
        size_t length = packed.length;
        static const uint8_t more[TREE_PACKED_MAX];
        assert_int_equal(tree_packed_check(buffer_bytes(&packed), 0, height), RESULT_OK);
        assert_int_equal(buffer_append(&packed, (struct bytes){more, WRAP_SIZE + 1}), RESULT_OK);
        for (size_t other = 0; other <= length + WRAP_SIZE + 1; other++) {
            enum result expected = other == length ? RESULT_OK : RESULT_INVALID;
            assert_int_equal(tree_packed_check((struct bytes){packed.data, other}, 0, height), expected);
        }
        buffer_clear(&packed);
    }
}

/* A node in use at any place that the tree's height leaves empty. */
static void test_packed_nodes_above_the_height(void **state)
{
    (void)state;
    for (uint32_t height = 1; height <= 4; height++) {
        for (uint32_t step = 0; step < 4; step++) {
            for (uint32_t i = 0; i < 8u >> step; i++) {
                uint8_t packed[8 + WRAP_SIZE] = {0};
                uint32_t place = 16u - (16u >> step) + i;
                bool alone_is_root = step + 1 == height && i == 0 && height == 1;
                /* in use, derived from the left child, no wrap */
                packed[place / 4] = (uint8_t)(1u << (6 - 2 * (place % 4)));
                enum result expected = alone_is_root ? RESULT_OK : RESULT_INVALID;
                if (height > 1 && step == 0 && i >> (height - 1) == 0) {
                    continue; /* exists, and is refused for its parent's sake: the next test */
                }
                assert_int_equal(tree_packed_check((struct bytes){packed, 8}, 0, height), expected);
            }
        }
    }
}

static void test_packed_nodes_that_contradict(void **state)
{
    (void)state;
    uint8_t packed[8 + 4 * WRAP_SIZE] = {0};
    const struct bytes none = {packed, 8};
    const struct bytes one = {packed, 8 + WRAP_SIZE};
    const struct bytes two = {packed, 8 + 2 * WRAP_SIZE};

    /* height 2: level 1 has places 0 and 1, level 2 place 8 */
    packed[0] = 0x40;
    packed[2] = 0x40; /* root and its left child, both from the left: one member, leaf 0 */
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_OK);
    packed[2] = 0x80; /* the root says it came from the right child, which is empty */
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_INVALID);
    packed[2] = 0x00; /* a node in use has no parent */
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_INVALID);
    packed[2] = 0x40;
    packed[4] = 0x80; /* a wrap for the child that it came from */
    assert_int_equal(tree_packed_check(one, 0, 2), RESULT_INVALID);
    packed[4] = 0x40; /* and for the other one: it is in use */
    assert_int_equal(tree_packed_check(one, 0, 2), RESULT_OK);
    packed[6] = 0x40; /* a wrap for an empty child */
    assert_int_equal(tree_packed_check(two, 0, 2), RESULT_INVALID);
    packed[6] = 0x00;
    packed[0] = 0xC0; /* fresh needs a wrap: there is one */
    assert_int_equal(tree_packed_check(one, 0, 2), RESULT_OK);
    packed[4] = 0x00;
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_INVALID);
    packed[0] = 0x40;
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_OK);
    packed[3] = 0x01; /* the bits behind the last place */
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_INVALID);
    packed[3] = 0x00;
    packed[7] = 0x02;
    assert_int_equal(tree_packed_check(none, 0, 2), RESULT_INVALID);
    packed[7] = 0x00;
    packed[4] = 0x00;
    packed[5] = 0x10; /* a wrap at an empty place */
    assert_int_equal(tree_packed_check(one, 0, 2), RESULT_INVALID);
}

static void test_packed_nodes_of_impossible_places(void **state)
{
    (void)state;
    uint8_t packed[8] = {0};
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 0, 1), RESULT_OK);
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 0, 0), RESULT_INVALID);
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 1, 4), RESULT_INVALID);
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 1, 5), RESULT_OK);
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 0, TREE_HEIGHT_MAX + 1), RESULT_INVALID);
    assert_int_equal(tree_packed_check(BYTES_OF(packed), 4, TREE_HEIGHT_MAX), RESULT_OK);
    assert_int_equal(tree_packed_check((struct bytes){NULL, 0}, 0, 1), RESULT_INVALID);
}

/* ---- derivations ---- */

static void test_epoch_secret(void **state)
{
    (void)state;
    struct secret root;
    uint8_t instance[INSTANCE_SIZE] = {1};
    struct secret first;
    struct secret second;
    assert_int_equal(random_bytes(root.data, SECRET_SIZE), RESULT_OK);
    assert_int_equal(epoch_secret(&root, instance, 7, 9, &first), RESULT_OK);
    assert_int_equal(epoch_secret(&root, instance, 7, 9, &second), RESULT_OK);
    assert_true(same(&first, &second));
    assert_int_equal(epoch_secret(&root, instance, 7, 10, &second), RESULT_OK);
    assert_false(same(&first, &second));
    assert_int_equal(epoch_secret(&root, instance, 8, 9, &second), RESULT_OK);
    assert_false(same(&first, &second));
    instance[15] = 1;
    assert_int_equal(epoch_secret(&root, instance, 7, 9, &second), RESULT_OK);
    assert_false(same(&first, &second));
    assert_int_equal(epoch_confirmation(&first, &second), RESULT_OK);
    assert_false(same(&first, &second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules),
        cmocka_unit_test(test_those_who_left_reach_nothing),
        cmocka_unit_test(test_cost_of_one_eviction),
        cmocka_unit_test(test_sixteen_members_and_an_eviction),
        cmocka_unit_test(test_climb_says_what_is_wrong),
        cmocka_unit_test(test_sparse_trees_of_every_height),
        cmocka_unit_test(test_full_tree_has_no_free_leaf),
        cmocka_unit_test(test_wrong_changes_are_refused),
        cmocka_unit_test(test_empty_tree),
        cmocka_unit_test(test_persistence),
        cmocka_unit_test(test_restore_refuses_places_outside),
        cmocka_unit_test(test_few_pages_are_held),
        cmocka_unit_test(test_pages_that_do_not_fit),
        cmocka_unit_test(test_stored_pages_of_another_length),
        cmocka_unit_test(test_packed_nodes_of_another_length),
        cmocka_unit_test(test_packed_nodes_above_the_height),
        cmocka_unit_test(test_packed_nodes_that_contradict),
        cmocka_unit_test(test_packed_nodes_of_impossible_places),
        cmocka_unit_test(test_epoch_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
