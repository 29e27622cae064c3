/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/crypto/aead.h"
#include "tests/crash/sealed.h"

struct use {
    uint8_t key[SECRET_SIZE];
    uint64_t counter;
    uint8_t cipher;
    bool taken;
};

static struct use *uses; /* a hash table: keys are as good as random */
static size_t capacity;
static size_t count;

static size_t place_of(const struct use *table, size_t size, const struct use *use)
{
    size_t hash;
    memcpy(&hash, use->key, sizeof(hash));
    size_t place = (hash ^ (use->counter * 0x9e3779b97f4a7c15u)) % size;
    while (table[place].taken &&
           (memcmp(table[place].key, use->key, SECRET_SIZE) != 0 || table[place].counter != use->counter ||
            table[place].cipher != use->cipher)) {
        place = (place + 1) % size;
    }
    return place;
}

static void grow(void)
{
    size_t size = capacity == 0 ? 4096 : 2 * capacity;
    struct use *table = calloc(size, sizeof(*table));
    assert_non_null(table);
    for (size_t i = 0; i < capacity; i++) {
        if (uses[i].taken) {
            table[place_of(table, size, &uses[i])] = uses[i];
        }
    }
    free(uses);
    uses = table;
    capacity = size;
}

static void use_note(enum aead cipher, const struct secret *key, uint64_t counter)
{
    struct use use = {.counter = counter, .cipher = (uint8_t)cipher, .taken = true};
    memcpy(use.key, key->data, SECRET_SIZE);
    if (2 * count >= capacity) {
        grow();
    }
    struct use *place = &uses[place_of(uses, capacity, &use)];
    if (place->taken) {
        fail_msg("a key and nonce were used twice (counter %llu)", (unsigned long long)counter);
    }
    *place = use;
    count++;
}

size_t sealed_count(void)
{
    return count;
}

void sealed_forget(void)
{
    free(uses);
    uses = NULL;
    capacity = 0;
    count = 0;
}

/* The names are the linker's. */
enum result __real_aead_seal(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                             struct bytes plaintext, struct buffer *out);
enum result __wrap_aead_seal(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                             struct bytes plaintext, struct buffer *out);

enum result __wrap_aead_seal(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                             struct bytes plaintext, struct buffer *out)
{
    use_note(cipher, key, counter);
    return __real_aead_seal(cipher, key, counter, aad, plaintext, out);
}
