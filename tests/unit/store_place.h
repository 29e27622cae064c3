/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_STORE_PLACE_H
#define GROUPSEAL_TESTS_UNIT_STORE_PLACE_H

/* A store in a directory of its own, which can be closed and opened again, and a clock that only the
 * test moves. For programs of cmocka, which include this after it. */

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "secenv/clock.h"
#include "secenv/store.h"

struct place {
    char root[64];
    char directory[96];
    char key[128];
    const char *const *schemas;
    size_t schema_count;
    struct store *store;
    uint64_t now_us; /* of both clocks */
    struct clock_source clock;
};

static inline uint64_t place_now(void *context)
{
    return ((const struct place *)context)->now_us;
}

static inline void place_open(struct place *place)
{
    struct reason why = {""};
    if (store_open(place->directory, STORE_MEMBER, root_key_file(place->key), place->schemas,
                   place->schema_count, &place->store, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
}

static inline void place_reopen(struct place *place)
{
    store_close(place->store);
    place->store = NULL;
    place_open(place);
}

static inline struct place *place_new(const char *const *schemas, size_t count)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    place->schemas = schemas;
    place->schema_count = count;
    place->now_us = 1800000000000000u;
    place->clock = (struct clock_source){place_now, place_now, place};
    (void)snprintf(place->root, sizeof(place->root), "/tmp/groupseal-test-XXXXXX");
    assert_non_null(mkdtemp(place->root));
    (void)snprintf(place->directory, sizeof(place->directory), "%s/store", place->root);
    (void)snprintf(place->key, sizeof(place->key), "%s/root.key", place->directory);
    struct reason why = {""};
    assert_int_equal(store_create(place->directory, STORE_MEMBER, NULL, &why), RESULT_OK);
    place_open(place);
    return place;
}

static inline int place_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void place_free(struct place *place)
{
    store_close(place->store);
    (void)nftw(place->root, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(place);
}

#endif
