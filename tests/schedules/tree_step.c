/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/tree_packed.h"
#include "tests/unit/tree_shelf.h"

/*
 * Steps a key tree as it is told and says what came of it, for model.py. One line in is one step:
 *
 *   change ROTATE [LEAF=SECRET | LEAF=-]…   a change; secrets in hexadecimal, "-" empties the leaf
 *   free FROM                               the lowest free leaf that is not below FROM
 *   restore                                 the tree is freed and built again from its pages, as at a start
 *   climb LEAF SECRET HEIGHT BLOCK…         a member's climb through packed blocks, lowest first
 *
 * Lines out, ended by "done": height, touched ROW COLUMN (in order), fresh LEVEL INDEX SECRET (nodes of this
 * change whose secret is random), empty LEVEL INDEX, block ROW COLUMN NODES (touched ones, the top one last),
 * root SECRET, epoch SECRET CONFIRMATION (of instance 0, incarnation 1 and the number of the change), leaf.
 *
 * `--plant FAULT` makes the tree wrong in one thing, through what it calls (the linker's --wrap) or says: so
 * that it can be seen that the comparison finds it.
 */
#define LINE_LIMIT ((size_t)4 << 20)
#define CHANGES_LIMIT 8192u

enum fault { FAULT_NONE, FAULT_REPEATED, FAULT_DERIVED, FAULT_WRAPPED, FAULT_UNTOUCHED, FAULT_UNWRAPPED };

static const char *const fault_names[] = {"none", "repeated", "derived", "wrapped", "untouched", "unwrapped"};

static enum fault fault;

static struct shelf shelf;
static uint32_t shelf_height = 1; /* of the tree that lies there */

enum result __real_random_bytes(uint8_t *out, size_t length) MUST_USE;
enum result __wrap_random_bytes(uint8_t *out, size_t length) MUST_USE;
enum result __real_kdf_label(const struct secret *secret, const char *label, struct secret *out) MUST_USE;
enum result __wrap_kdf_label(const struct secret *secret, const char *label, struct secret *out) MUST_USE;
enum result __real_keywrap_wrap(const struct secret *key, const struct secret *secret,
                                uint8_t out[WRAP_SIZE]) MUST_USE;
enum result __wrap_keywrap_wrap(const struct secret *key, const struct secret *secret,
                                uint8_t out[WRAP_SIZE]) MUST_USE;

/* FAULT_REPEATED: each node that is fresh gets what the first one got. */
enum result __wrap_random_bytes(uint8_t *out, size_t length)
{
    static uint8_t first[SECRET_SIZE];
    static bool drawn;
    enum result result = RESULT_OK;
    if (fault != FAULT_REPEATED || length != SECRET_SIZE) {
        return __real_random_bytes(out, length);
    }
    if (!drawn) {
        result = __real_random_bytes(first, SECRET_SIZE);
        drawn = true;
    }
    memcpy(out, first, SECRET_SIZE);
    return result;
}

/* FAULT_DERIVED: a parent has its child's wrapping key for a secret. */
enum result __wrap_kdf_label(const struct secret *secret, const char *label, struct secret *out)
{
    bool bent = fault == FAULT_DERIVED && strcmp(label, "up") == 0;
    return __real_kdf_label(secret, bent ? "key" : label, out);
}

/* FAULT_WRAPPED: a wrap is for the parent itself, not for the other child. */
enum result __wrap_keywrap_wrap(const struct secret *key, const struct secret *secret, uint8_t out[WRAP_SIZE])
{
    return __real_keywrap_wrap(fault == FAULT_WRAPPED ? secret : key, secret, out);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "tree_step: %s\n", what);
    exit(1);
}

static void hold(enum result result, const char *what)
{
    if (result != RESULT_OK) {
        fail(what);
    }
}

static void hex_write(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++) {
        (void)printf("%02x", bytes[i]);
    }
}

static size_t hex_read(const char *text, uint8_t *out, size_t capacity)
{
    size_t length = strlen(text) / 2;
    if (length > capacity || strlen(text) % 2 != 0) {
        fail("hexadecimal of another length was expected");
    }
    for (size_t i = 0; i < length; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

static uint32_t number_read(const char *text)
{
    return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

/* ---- what came of a change ---- */

/* What a page has that was not on the shelf yet, and what it has lost since. */
static enum result page_say(void *context, const struct tree_page *page, struct reason *why)
{
    struct tree_page before = shelf_page(&shelf, page->place, shelf_height);
    (void)context;
    (void)why;
    for (uint32_t cell = PAGE_ROOT; cell < PAGE_CELLS; cell++) {
        uint32_t level = 0;
        uint32_t index = 0;
        bool used = tree_page_uses(&before, cell);
        if (!shelf_cell_node(page->place, cell, &level, &index)) {
            continue;
        }
        if (used && !tree_page_uses(page, cell)) {
            (void)printf("empty %u %u\n", level, index);
        }
        if (level > 0 && page->sources[cell] == SOURCE_FRESH &&
            (!used || memcmp(&before.secrets[cell], &page->secrets[cell], SECRET_SIZE) != 0)) {
            (void)printf("fresh %u %u ", level, index);
            hex_write(page->secrets[cell].data, SECRET_SIZE);
            (void)printf("\n");
        }
    }
    return RESULT_OK;
}

/* FAULT_UNWRAPPED: a block that is published lacks its last wrap. */
static void block_say(struct tree *tree, struct tree_place place)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    hold(tree_pack(tree, place, &packed, NULL), "a block cannot be packed");
    (void)printf("block %u %u ", place.row, place.column);
    hex_write(packed.data, packed.length - (fault == FAULT_UNWRAPPED && packed.length > 8 ? WRAP_SIZE : 0));
    (void)printf("\n");
    buffer_clear(&packed);
}

static void root_say(const struct tree *tree, uint64_t epoch)
{
    const uint8_t instance[INSTANCE_SIZE] = {0};
    struct secret root;
    struct secret secret;
    struct secret confirmation;
    if (!tree_root(tree, &root)) {
        return;
    }
    hold(epoch_secret(&root, instance, 1, epoch, &secret), "no epoch secret");
    hold(epoch_confirmation(&secret, &confirmation), "no confirmation");
    (void)printf("root ");
    hex_write(root.data, SECRET_SIZE);
    (void)printf("\nepoch ");
    hex_write(secret.data, SECRET_SIZE);
    (void)printf(" ");
    hex_write(confirmation.data, SECRET_SIZE);
    (void)printf("\n");
}

/* FAULT_UNTOUCHED: a block that changed is not published. */
static void change_say(struct tree *tree, const struct tree_place *touched, size_t count, uint64_t epoch)
{
    struct tree_place top = {.row = tree_top_row(tree_height(tree)), .column = 0};
    size_t said = fault == FAULT_UNTOUCHED && count > 0 ? count - 1 : count;
    (void)printf("height %u\n", tree_height(tree));
    for (size_t i = 0; i < said; i++) {
        (void)printf("touched %u %u\n", touched[i].row, touched[i].column);
    }
    hold(tree_changed(tree, page_say, NULL, NULL), "its pages cannot be read");
    for (size_t i = 0; i < said; i++) {
        block_say(tree, touched[i]);
    }
    block_say(tree, top);
    root_say(tree, epoch);
    shelf_store(&shelf, tree);
    shelf_height = tree_height(tree);
}

static void step_change(struct tree *tree)
{
    static struct tree_leaf_change changes[CHANGES_LIMIT];
    static struct tree_place touched[CHANGES_LIMIT];
    static uint64_t epoch;
    size_t count = 0;
    size_t touched_count = 0;
    bool rotate = number_read(strtok(NULL, " ")) != 0;
    for (char *word = strtok(NULL, " "); word != NULL; word = strtok(NULL, " ")) {
        char *secret = strchr(word, '=');
        if (secret == NULL || count == CHANGES_LIMIT) {
            fail("no leaf, or too many");
        }
        struct tree_leaf_change *change = &changes[count++];
        *change = (struct tree_leaf_change){.index = number_read(word), .occupied = secret[1] != '-'};
        if (change->occupied && hex_read(secret + 1, change->secret.data, SECRET_SIZE) != SECRET_SIZE) {
            fail("a leaf's secret has another length");
        }
    }
    hold(tree_change(tree, changes, count, rotate, touched, CHANGES_LIMIT, &touched_count, NULL), "change");
    if (touched_count > CHANGES_LIMIT) {
        fail("too many blocks");
    }
    change_say(tree, touched, touched_count, ++epoch);
}

/* ---- the other steps ---- */

static struct tree *step_restore(struct tree *tree)
{
    uint32_t height = tree_height(tree);
    tree_free(tree);
    return shelf_tree(&shelf, height);
}

static void step_climb(void)
{
    static uint8_t packed[TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS][TREE_PACKED_MAX];
    struct bytes blocks[TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS];
    struct secret leaf;
    struct secret root;
    size_t count = 0;
    uint32_t index = number_read(strtok(NULL, " "));
    const char *secret = strtok(NULL, " ");
    uint32_t height = number_read(strtok(NULL, " "));
    if (secret == NULL || hex_read(secret, leaf.data, SECRET_SIZE) != SECRET_SIZE) {
        fail("a leaf's secret was expected");
    }
    for (const char *word = strtok(NULL, " "); word != NULL; word = strtok(NULL, " ")) {
        if (count == TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS) {
            fail("too many blocks");
        }
        /* "-": it is missing */
        size_t length = word[0] == '-' ? 0 : hex_read(word, packed[count], TREE_PACKED_MAX);
        blocks[count] = (struct bytes){packed[count], length};
        count++;
    }
    if (tree_climb(&leaf, index, height, blocks, count, &root) == RESULT_OK) {
        (void)printf("root ");
        hex_write(root.data, SECRET_SIZE);
        (void)printf("\n");
    }
}

static struct tree *step(struct tree *tree, char *line)
{
    const char *verb = strtok(line, " ");
    if (verb != NULL && strcmp(verb, "change") == 0) {
        step_change(tree);
    } else if (verb != NULL && strcmp(verb, "free") == 0) {
        (void)printf("leaf %u\n", tree_free_leaf(tree, number_read(strtok(NULL, " "))));
    } else if (verb != NULL && strcmp(verb, "restore") == 0) {
        tree = step_restore(tree);
    } else if (verb != NULL && strcmp(verb, "climb") == 0) {
        step_climb();
    } else {
        fail("change, free, restore or climb was expected");
    }
    (void)printf("done\n");
    (void)fflush(stdout);
    return tree;
}

static void fault_read(const char *name)
{
    for (size_t i = 0; i < sizeof(fault_names) / sizeof(fault_names[0]); i++) {
        if (strcmp(name, fault_names[i]) == 0) {
            fault = (enum fault)i;
            return;
        }
    }
    fail("no such fault");
}

int main(int argc, char **argv)
{
    static char line[LINE_LIMIT];
    struct tree *tree = shelf_tree(&shelf, 1);
    if (argc == 3 && strcmp(argv[1], "--plant") == 0) {
        fault_read(argv[2]);
    } else if (argc != 1) {
        fail("usage: tree_step [--plant FAULT]");
    }
    while (tree != NULL && fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        tree = step(tree, line);
    }
    tree_free(tree);
    shelf_clear(&shelf);
    return 0;
}
