/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/schedules/life.h"

#include "secenv/crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_LIMIT 8192u
#define INCARNATION 1u

static const uint8_t instance[INSTANCE_SIZE];

/* Steps of the change that is being put together. */
static struct tree_leaf_change steps[STEPS_LIMIT];
static size_t step_count;

static uint64_t seed_of_life; /* the newest life's */

static void *memory(void *pointer, size_t size)
{
    void *more = realloc(pointer, size);
    if (more == NULL) {
        (void)fprintf(stderr, "life: no memory\n");
        abort();
    }
    return more;
}

static void hold(enum result result, const char *what)
{
    if (result != RESULT_OK) {
        (void)fprintf(stderr, "life of seed %llu: %s: %s\n", (unsigned long long)seed_of_life, what,
                      result_word(result));
        abort();
    }
}

/* ---- what can be planted ---- */

static const struct secret *planted;

enum result __real_random_bytes(uint8_t *out, size_t length) MUST_USE;
enum result __wrap_random_bytes(uint8_t *out, size_t length) MUST_USE;

enum result __wrap_random_bytes(uint8_t *out, size_t length)
{
    if (planted == NULL || length != SECRET_SIZE) {
        return __real_random_bytes(out, length);
    }
    memcpy(out, planted->data, SECRET_SIZE);
    planted = NULL;
    return RESULT_OK;
}

void life_plant_node(const struct secret *secret)
{
    planted = secret;
}

void life_plant_wrap(struct life *life, const struct secret *holder, const struct secret *secret)
{
    struct secret key;
    life->leaks = memory(life->leaks, (life->leak_count + 1) * sizeof(*life->leaks));
    hold(kdf_label(holder, "key", &key), "a key");
    hold(keywrap_wrap(&key, secret, life->leaks[life->leak_count++]), "a wrap");
}

/* ---- life ---- */

struct life *life_new(uint64_t seed, uint32_t reach)
{
    struct life *life = memory(NULL, sizeof(*life));
    *life = (struct life){.random = seed * 0x9e3779b97f4a7c15u + 1u, .reach = reach};
    life->holders = memory(NULL, reach * sizeof(*life->holders));
    memset(life->holders, 0, reach * sizeof(*life->holders));
    step_count = 0;
    seed_of_life = seed;
    life->tree = shelf_tree(&life->shelf, 1);
    return life;
}

void life_free(struct life *life)
{
    tree_free(life->tree);
    shelf_clear(&life->shelf);
    free(life->tenures);
    free(life->holders);
    free(life->roots);
    free(life->rooted);
    free(life->published);
    free(life->retained);
    free(life->leaks);
    free(life);
}

uint32_t life_random(struct life *life, uint32_t below)
{
    life->random ^= life->random << 13; /* xorshift */
    life->random ^= life->random >> 7;
    life->random ^= life->random << 17;
    return (uint32_t)((life->random >> 11) % below);
}

static struct tree_leaf_change *step_add(uint32_t leaf)
{
    size_t place = 0;
    while (place < step_count && steps[place].index != leaf) {
        place++;
    }
    if (place == step_count) {
        hold(step_count < STEPS_LIMIT ? RESULT_OK : RESULT_FULL, "steps");
        step_count++;
    }
    steps[place] = (struct tree_leaf_change){.index = leaf};
    return &steps[place];
}

void life_set(struct life *life, uint32_t leaf, const struct secret *secret)
{
    struct tree_leaf_change *step = step_add(leaf);
    step->occupied = true;
    if (secret != NULL) {
        step->secret = *secret;
        return;
    }
    for (size_t i = 0; i < SECRET_SIZE; i++) {
        step->secret.data[i] = (uint8_t)life_random(life, 256);
    }
}

void life_empty(struct life *life, uint32_t leaf)
{
    (void)life;
    step_add(leaf)->occupied = false;
}

static void tenures_note(struct life *life)
{
    for (size_t i = 0; i < step_count; i++) {
        size_t *holder = &life->holders[steps[i].index];
        if (*holder != 0) {
            life->tenures[*holder - 1].until = life->epoch;
            life->members--;
            *holder = 0;
        }
        if (steps[i].occupied) {
            life->tenures = memory(life->tenures, (life->tenure_count + 1) * sizeof(*life->tenures));
            life->tenures[life->tenure_count++] =
                (struct tenure){steps[i].index, steps[i].secret, life->epoch, LIFE_STILL};
            *holder = life->tenure_count;
            life->members++;
        }
    }
}

static void root_note(struct life *life)
{
    life->roots = memory(life->roots, (life->epoch + 1) * sizeof(*life->roots));
    life->rooted = memory(life->rooted, (life->epoch + 1) * sizeof(*life->rooted));
    life->rooted[0] = false;
    life->rooted[life->epoch] = tree_root(life->tree, &life->roots[life->epoch]);
}

/* ---- publishing ---- */

static void confirmation_of(const struct secret *root, uint64_t epoch, struct secret *out)
{
    struct secret secret;
    hold(epoch_secret(root, instance, INCARNATION, epoch, &secret), "an epoch secret");
    hold(epoch_confirmation(&secret, out), "a confirmation");
}

static void nodes_pack(const struct life *life, struct tree_place place, struct news *news)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    hold(tree_pack(life->tree, place, &packed, NULL), "a block");
    memcpy(news->nodes, packed.data, packed.length);
    news->length = packed.length;
    buffer_clear(&packed);
}

static void retain(struct life *life, size_t number)
{
    const struct news *news = &life->published[number];
    for (size_t i = 0; i < life->retained_count; i++) {
        const struct news *old = &life->published[life->retained[i]];
        if (old->announcement == news->announcement &&
            (news->announcement ||
             (old->place.row == news->place.row && old->place.column == news->place.column))) {
            life->retained[i] = number;
            return;
        }
    }
    life->retained = memory(life->retained, (life->retained_count + 1) * sizeof(*life->retained));
    life->retained[life->retained_count++] = number;
}

static void publish(struct life *life, bool announcement, struct tree_place place)
{
    if (life->published_count % 256 == 0) {
        life->published = memory(life->published, (life->published_count + 256) * sizeof(*life->published));
    }
    struct news *news = &life->published[life->published_count++];
    *news = (struct news){.epoch = life->epoch,
                          .height = tree_height(life->tree),
                          .announcement = announcement,
                          .place = place};
    nodes_pack(life, place, news);
    if (announcement && life->rooted[life->epoch]) {
        confirmation_of(&life->roots[life->epoch], life->epoch, &news->confirmation);
    }
    retain(life, life->published_count - 1);
}

void life_change(struct life *life, bool rotate)
{
    static struct tree_place touched[STEPS_LIMIT];
    size_t touched_count = 0;
    life->epoch++;
    hold(tree_change(life->tree, steps, step_count, rotate, touched, STEPS_LIMIT, &touched_count, NULL),
         "a change");
    hold(touched_count <= STEPS_LIMIT ? RESULT_OK : RESULT_FULL, "touched blocks");
    shelf_store(&life->shelf, life->tree);
    tenures_note(life);
    root_note(life);
    step_count = 0;
    for (size_t i = 0; i < touched_count; i++) {
        publish(life, false, touched[i]);
    }
    publish(life, true, (struct tree_place){tree_top_row(tree_height(life->tree)), 0});
}

/* ---- asking ---- */

const struct tenure *life_holder(const struct life *life, uint32_t leaf)
{
    size_t holder = life->holders[leaf];
    return holder == 0 ? NULL : &life->tenures[holder - 1];
}

bool life_node(const struct life *life, uint32_t level, uint32_t index, struct secret *out)
{
    return shelf_node(&life->shelf, tree_height(life->tree), level, index, out);
}

/* ---- starting again ---- */

void life_restart(struct life *life)
{
    uint32_t height = tree_height(life->tree);
    tree_free(life->tree);
    life->tree = shelf_tree(&life->shelf, height);
}

void life_broker_restart(struct life *life)
{
    size_t count = life->retained_count;
    for (size_t i = 0; i < count; i++) {
        struct news had = life->published[life->retained[i]];
        struct news now = {.length = 0};
        nodes_pack(life, had.place, &now);
        if (had.length != now.length || memcmp(had.nodes, now.nodes, now.length) != 0) {
            hold(RESULT_INTERNAL, "what the broker retains is not the newest");
        }
        publish(life, had.announcement, had.place);
    }
}

/* ---- what must hold ---- */

struct closure *life_closure(const struct life *life)
{
    struct closure *closure = closure_new(tree_height(life->tree));
    for (size_t i = 0; i < life->published_count; i++) {
        closure_packed(closure, (struct bytes){life->published[i].nodes, life->published[i].length});
    }
    for (size_t i = 0; i < life->leak_count; i++) {
        closure_wrap(closure, life->leaks[i]);
    }
    return closure;
}

/* None of the roots of `from` … `to` - 1. */
static bool roots_unknown(const struct life *life, const struct closure *closure, uint64_t from, uint64_t to,
                          const char *who, uint64_t since)
{
    for (uint64_t epoch = from; epoch < to; epoch++) {
        if (life->rooted[epoch] && closure_knows(closure, &life->roots[epoch])) {
            (void)printf("%s %llu comes to the root of epoch %llu\n", who, (unsigned long long)since,
                         (unsigned long long)epoch);
            return false;
        }
    }
    return true;
}

bool life_forward_holds(const struct life *life)
{
    struct closure *closure = life_closure(life);
    bool holds = true;
    for (uint64_t epoch = 1; holds && epoch <= life->epoch; epoch++) {
        for (size_t i = 0; i < life->tenure_count; i++) {
            if (life->tenures[i].until == epoch) {
                closure_learn(closure, &life->tenures[i].secret);
            }
        }
        holds = roots_unknown(life, closure, epoch, life->epoch + 1, "who left until epoch", epoch);
        for (size_t i = 0; holds && i < life->tenure_count; i++) {
            holds = life->tenures[i].until <= epoch || !closure_knows(closure, &life->tenures[i].secret);
        }
    }
    closure_free(closure);
    return holds;
}

bool life_backward_holds(const struct life *life)
{
    struct closure *closure = life_closure(life);
    bool holds = true;
    for (uint64_t epoch = life->epoch; holds && epoch > 0; epoch--) {
        for (size_t i = 0; i < life->tenure_count; i++) {
            if (life->tenures[i].from == epoch) {
                closure_learn(closure, &life->tenures[i].secret);
            }
        }
        holds = roots_unknown(life, closure, 0, epoch, "who came from epoch", epoch);
        for (size_t i = 0; holds && i < life->tenure_count; i++) {
            holds = life->tenures[i].from >= epoch || !closure_knows(closure, &life->tenures[i].secret);
        }
    }
    closure_free(closure);
    return holds;
}

bool life_tenure_holds(const struct life *life, const struct tenure *tenure)
{
    struct closure *closure = life_closure(life);
    bool holds = true;
    closure_learn(closure, &tenure->secret);
    for (uint64_t epoch = 1; epoch <= life->epoch; epoch++) {
        bool own = epoch >= tenure->from && epoch < tenure->until;
        if (life->rooted[epoch] && closure_knows(closure, &life->roots[epoch]) != own) {
            (void)printf("leaf %u of epochs %llu to %llu: the root of %llu is %s\n", tenure->leaf,
                         (unsigned long long)tenure->from, (unsigned long long)tenure->until,
                         (unsigned long long)epoch, own ? "out of its reach" : "in its reach");
            holds = false;
        }
    }
    closure_free(closure);
    return holds;
}

/* ---- members ---- */

static bool newer(const struct life *life, size_t number, size_t known)
{
    return known == 0 || life->published[number].epoch >= life->published[known - 1].epoch;
}

void listener_hear(struct listener *listener, size_t number)
{
    const struct life *life = listener->life;
    const struct news *news = &life->published[number];
    uint32_t leaf = life->tenures[listener->tenure].leaf;
    if (news->announcement) {
        if (newer(life, number, listener->announcement)) {
            listener->announcement = number + 1;
        }
        return;
    }
    size_t *known = &listener->blocks[news->place.row];
    if (leaf >> (TREE_BLOCK_LEVELS * (news->place.row + 1)) == news->place.column &&
        newer(life, number, *known)) {
        *known = number + 1;
    }
}

void listener_subscribe(struct listener *listener)
{
    for (size_t i = 0; i < listener->life->retained_count; i++) {
        listener_hear(listener, listener->life->retained[i]);
    }
}

bool listener_climb(const struct listener *listener, struct secret *root)
{
    const struct life *life = listener->life;
    const struct tenure *tenure = &life->tenures[listener->tenure];
    struct bytes blocks[TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS] = {{NULL, 0}};
    if (listener->announcement == 0) {
        return false;
    }
    const struct news *top = &life->published[listener->announcement - 1];
    size_t rows = tree_top_row(top->height) + 1;
    for (size_t row = 0; row + 1 < rows; row++) {
        if (listener->blocks[row] != 0) {
            const struct news *block = &life->published[listener->blocks[row] - 1];
            blocks[row] = (struct bytes){block->nodes, block->length};
        }
    }
    blocks[rows - 1] = (struct bytes){top->nodes, top->length};
    struct secret confirmation;
    if (tree_climb(&tenure->secret, tenure->leaf, top->height, blocks, rows, root) != RESULT_OK) {
        return false;
    }
    confirmation_of(root, top->epoch, &confirmation);
    return memcmp(confirmation.data, top->confirmation.data, SECRET_SIZE) == 0;
}
