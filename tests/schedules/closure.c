/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/schedules/closure.h"

#include "secenv/crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPS_SIZE 8u /* before the wraps of packed nodes */

/* Things of one size, each once, in the order in which they came. */
struct set {
    size_t size; /* of one */
    uint8_t *items;
    size_t count;
    size_t capacity;
    uint32_t *places; /* number of an item and 1, by its first bytes; a power of two, at most half full */
    size_t place_count;
};

struct closure {
    uint32_t height;
    struct set wraps;
    bool *opened; /* wrap by wrap */
    size_t opened_capacity;
    struct set secrets;
    uint8_t *climbed; /* secret by secret: how often it went up since it was learned or unwrapped */
    size_t climbed_capacity;
    size_t looked_at; /* of the secrets */
};

static void *memory(void *pointer, size_t size)
{
    void *more = realloc(pointer, size);
    if (more == NULL) {
        (void)fprintf(stderr, "closure: no memory\n");
        abort();
    }
    return more;
}

static void hold(enum result result)
{
    if (result != RESULT_OK) {
        (void)fprintf(stderr, "closure: %s\n", result_word(result));
        abort();
    }
}

/* ---- sets ---- */

/* Where it is, or where it would be. Items are random bytes. */
static uint32_t *set_place(const struct set *set, const uint8_t *item)
{
    size_t place;
    memcpy(&place, item, sizeof(place));
    for (;; place++) {
        uint32_t *number = &set->places[place & (set->place_count - 1)];
        if (*number == 0 || memcmp(set->items + (*number - 1) * set->size, item, set->size) == 0) {
            return number;
        }
    }
}

static bool set_has(const struct set *set, const uint8_t *item)
{
    return set->count > 0 && *set_place(set, item) != 0;
}

static void set_grow(struct set *set)
{
    set->capacity = set->capacity == 0 ? 256 : 2 * set->capacity;
    set->items = memory(set->items, set->capacity * set->size);
    set->place_count = 2 * set->capacity;
    free(set->places);
    set->places = memory(NULL, set->place_count * sizeof(*set->places));
    memset(set->places, 0, set->place_count * sizeof(*set->places));
    for (size_t i = 0; i < set->count; i++) {
        *set_place(set, set->items + i * set->size) = (uint32_t)i + 1;
    }
}

/* False where it was there. */
static bool set_add(struct set *set, const uint8_t *item)
{
    if (set_has(set, item)) {
        return false;
    }
    if (set->count == set->capacity) {
        set_grow(set);
    }
    memcpy(set->items + set->count * set->size, item, set->size);
    *set_place(set, item) = (uint32_t)++set->count;
    return true;
}

/* ---- closure ---- */

struct closure *closure_new(uint32_t height)
{
    struct closure *closure = memory(NULL, sizeof(*closure));
    *closure =
        (struct closure){.height = height, .wraps = {.size = WRAP_SIZE}, .secrets = {.size = SECRET_SIZE}};
    return closure;
}

void closure_free(struct closure *closure)
{
    free(closure->wraps.items);
    free(closure->wraps.places);
    free(closure->opened);
    free(closure->secrets.items);
    free(closure->secrets.places);
    free(closure->climbed);
    free(closure);
}

void closure_wrap(struct closure *closure, const uint8_t wrap[WRAP_SIZE])
{
    if (!set_add(&closure->wraps, wrap)) {
        return;
    }
    if (closure->wraps.count > closure->opened_capacity) {
        closure->opened_capacity = closure->wraps.capacity;
        closure->opened = memory(closure->opened, closure->opened_capacity * sizeof(*closure->opened));
    }
    closure->opened[closure->wraps.count - 1] = false;
}

void closure_packed(struct closure *closure, struct bytes packed)
{
    for (size_t at = MAPS_SIZE; at + WRAP_SIZE <= packed.length; at += WRAP_SIZE) {
        closure_wrap(closure, packed.data + at);
    }
}

static void secret_add(struct closure *closure, const struct secret *secret, uint8_t climbed)
{
    if (set_add(&closure->secrets, secret->data)) {
        if (closure->secrets.count > closure->climbed_capacity) {
            closure->climbed_capacity = closure->secrets.capacity;
            closure->climbed = memory(closure->climbed, closure->climbed_capacity);
        }
        closure->climbed[closure->secrets.count - 1] = climbed;
    }
}

static void wraps_try(struct closure *closure, const struct secret *key)
{
    for (size_t i = 0; i < closure->wraps.count; i++) {
        struct secret inside;
        if (!closure->opened[i] &&
            keywrap_unwrap(key, closure->wraps.items + i * WRAP_SIZE, &inside) == RESULT_OK) {
            closure->opened[i] = true;
            secret_add(closure, &inside, 0);
        }
    }
}

/* What follows from one secret at once. */
static void secret_look(struct closure *closure, size_t number)
{
    struct secret secret;
    struct secret next;
    uint8_t climbed = closure->climbed[number];
    memcpy(secret.data, closure->secrets.items + number * SECRET_SIZE, SECRET_SIZE);
    hold(kdf_label(&secret, "key", &next));
    wraps_try(closure, &next);
    if (climbed < closure->height) {
        hold(kdf_label(&secret, "up", &next));
        secret_add(closure, &next, (uint8_t)(climbed + 1u));
    }
}

void closure_learn(struct closure *closure, const struct secret *secret)
{
    secret_add(closure, secret, 0);
    while (closure->looked_at < closure->secrets.count) {
        secret_look(closure, closure->looked_at++);
    }
}

bool closure_knows(const struct closure *closure, const struct secret *secret)
{
    return set_has(&closure->secrets, secret->data);
}

struct secret closure_secret(const struct closure *closure, size_t number)
{
    struct secret secret;
    memcpy(secret.data, closure->secrets.items + number * SECRET_SIZE, SECRET_SIZE);
    return secret;
}

size_t closure_size(const struct closure *closure)
{
    return closure->secrets.count;
}
