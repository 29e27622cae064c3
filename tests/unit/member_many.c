/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "secenv/credentials.h"
#include "secenv/member/identity_state.h"
#include "tests/unit/store_place.h"

/* One secure environment with a thousand identities, as a gateway or a simulator has it. */

#define MANY 1000u
#define AUTHORITY "//sp.example/in-cse"

struct many {
    struct place *place;
    struct engine *engine;
    struct arena *arena;
    unsigned sent[MANY];
    uint64_t next_us;
};

static void name_of(size_t i, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/S%04zu", i);
}

static enum result emit(void *context, uint64_t connection, const Groupseal__Secenv__Event *event)
{
    struct many *many = context;
    (void)connection;
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_SEND) {
        many->sent[strtoul(event->identity + strlen("//sp.example/S"), NULL, 10)]++;
    }
    return RESULT_OK;
}

static void identities_provision(struct many *many)
{
    struct reason why = {""};
    bool is_uri = false;
    assert_int_equal(store_begin(many->place->store, &why), RESULT_OK);
    for (size_t i = 0; i < MANY; i++) {
        struct identity identity;
        memset(&identity, 0, sizeof(identity));
        name_of(i, identity.name);
        identity.kind = IDENTITY_ADN_AE;
        identity.mode = CREDENTIALS_PSK;
        (void)snprintf(identity.authority, sizeof(identity.authority), "%s", AUTHORITY);
        assert_int_equal(identity_san(AUTHORITY, IDENTITY_IN_CSE, AUTHORITY, identity.authority_san,
                                      sizeof(identity.authority_san), &is_uri),
                         RESULT_OK);
        memset(identity.psk.data, (int)(i % 255) + 1, SECRET_SIZE);
        (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), "%s", identity.name);
        if (identity_store(many->place->store, &identity, false, &why) != RESULT_OK) {
            fail_msg("%s", why.text);
        }
        identity_clear(&identity);
    }
    assert_int_equal(store_commit(many->place->store, &why), RESULT_OK);
}

static struct many *many_new(void)
{
    struct many *many = calloc(1, sizeof(*many));
    struct reason why = {""};
    assert_non_null(many);
    many->place = place_new(member_schemas, member_schema_count);
    many->arena = arena_new((size_t)1024 * 1024);
    assert_non_null(many->arena);
    identities_provision(many);
    struct engine_setup setup = {
        .store = many->place->store, .clock = &many->place->clock, .events = {emit, emit, many}};
    if (member_engine_open(&setup, &many->engine, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    return many;
}

static void many_free(struct many *many)
{
    member_operations.close(many->engine);
    arena_free(many->arena);
    place_free(many->place);
    free(many);
}

static void turn(struct many *many)
{
    struct reason why = {""};
    assert_int_equal(store_begin(many->place->store, &why), RESULT_OK);
    if (member_operations.turn(many->engine, many->arena, &many->next_us, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(store_commit(many->place->store, &why), RESULT_OK);
}

static void online(struct many *many, bool is)
{
    struct engine_caller caller = {SOCKET_OWNER, 1};
    struct reason why = {""};
    assert_int_equal(store_begin(many->place->store, &why), RESULT_OK);
    for (size_t i = 0; i < MANY; i++) {
        char name[NAME_LIMIT + 1];
        Groupseal__Secenv__Online content = GROUPSEAL__SECENV__ONLINE__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
        name_of(i, name);
        content.identity = name;
        content.online = is;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
        request.online = &content;
        assert_int_equal(
            member_operations.request(many->engine, &caller, &request, many->arena, &reply, &why), RESULT_OK);
    }
    assert_int_equal(store_commit(many->place->store, &why), RESULT_OK);
    turn(many);
}

static void all_sent(const struct many *many, unsigned times)
{
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(many->sent[i], times);
    }
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Nobody is forgotten, nobody has a turn too many, and the clock wakes it only where something is due. */
static void each_has_its_turn_when_it_is_due(void **state)
{
    (void)state;
    struct many *many = many_new();
    online(many, true);
    all_sent(many, 1);
    uint64_t start = many->place->now_us;
    /* Not answered within a minute; then again by each one's own back-off of 1 to 2 s. */
    unsigned turns = 0;
    while (many->next_us < start + UINT64_C(63000000)) {
        if (many->next_us > many->place->now_us) { /* else what it did wants to be looked at once more */
            many->place->now_us = many->next_us;
        }
        assert_true(many->place->now_us >= start + UINT64_C(60000000));
        turn(many);
        turns++;
    }
    all_sent(many, 2);
    assert_in_range(turns, 2, 2 * MANY);
    online(many, false);
    assert_true(many->next_us == UINT64_MAX);
    double before = seconds();
    for (unsigned i = 0; i < 1000; i++) {
        turn(many);
    }
    print_message("1000 turns with nothing due: %.1f ms\n", (seconds() - before) * 1e3);
    all_sent(many, 2);
    many_free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_turn_when_it_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
