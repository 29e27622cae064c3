/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/limits.h"
#include "secenv/moderation.h"
#include "tests/unit/store_place.h"

/* An owner's limits in the store; and what rates are made of. */

#define MN "//sp.example/mn-1"

static const char *const schemas[] = {limit_schema};

static int setup(void **state)
{
    *state = place_new(schemas, 1);
    return 0;
}

static int teardown(void **state)
{
    place_free(*state);
    return 0;
}

static struct limit rule(const char *pattern, unsigned rights, uint32_t rate)
{
    struct limit made = {.rights = rights, .rate = rate, .burst = 1};
    (void)snprintf(made.pattern, sizeof(made.pattern), "%s", pattern);
    return made;
}

static enum result set(struct place *place, const char *pattern, unsigned rights, uint32_t rate)
{
    struct limit made = rule(pattern, rights, rate);
    struct reason why = {""};
    return limits_set(place->store, MN, &made, &why);
}

static struct limits load(struct place *place, enum identity_kind kind)
{
    struct limits limits;
    struct reason why = {""};
    assert_int_equal(limits_load(place->store, MN, kind, &limits, &why), RESULT_OK);
    return limits;
}

static void assert_rule(const struct limits *limits, const char *group, const char *pattern)
{
    assert_string_equal(limits_for(limits, group)->pattern, pattern);
}

static void own_rule_first_then_the_longest(void **state)
{
    struct place *place = *state;
    static const char *const patterns[] = {"doors*", "d*", "doors", "doors-east*", "e"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_int_equal(set(place, patterns[i], OWNER_READ, 1), RESULT_OK);
    }
    struct limits limits = load(place, IDENTITY_MN_CSE);
    assert_rule(&limits, "doors", "doors");
    assert_rule(&limits, "doors-west", "doors*");
    assert_rule(&limits, "doors-east", "doors-east*");
    assert_rule(&limits, "doors-east-2", "doors-east*");
    assert_rule(&limits, "door", "d*");
    assert_rule(&limits, "e", "e");
    assert_rule(&limits, "east", "*");
    assert_rule(&limits, "", "*");
    limits_clear(&limits);
}

static void defaults_until_one_is_stored(void **state)
{
    struct place *place = *state;
    static const struct {
        enum identity_kind kind;
        uint32_t rate;
    } each[] = {{IDENTITY_ADN_AE, LIMIT_DEVICE_RATE},
                {IDENTITY_MN_CSE, LIMIT_MN_CSE_RATE},
                {IDENTITY_IN_CSE, LIMIT_IN_CSE_RATE}};
    for (size_t i = 0; i < 3; i++) {
        struct limits limits = load(place, each[i].kind);
        assert_int_equal(limits.count, 1);
        assert_int_equal(limits_for(&limits, "doors")->rate, each[i].rate);
        assert_int_equal(limits_for(&limits, "doors")->rights, OWNER_RIGHTS);
        limits_clear(&limits);
    }
    assert_int_equal(set(place, "*", 0, 7), RESULT_OK);
    assert_int_equal(set(place, "*", OWNER_RELAY, 8), RESULT_OK);
    place_reopen(place);
    struct limits limits = load(place, IDENTITY_MN_CSE);
    assert_int_equal(limits.count, 1);
    assert_int_equal(limits_for(&limits, "doors")->rate, 8);
    assert_int_equal(limits_for(&limits, "doors")->rights, OWNER_RELAY);
    limits_clear(&limits);
    struct reason why = {""};
    assert_int_equal(limits_remove(place->store, MN, "*", &why), RESULT_OK);
    assert_int_equal(limits_remove(place->store, MN, "*", &why), RESULT_UNKNOWN);
}

static void what_is_no_rule(void **state)
{
    struct place *place = *state;
    char longest[LIMIT_PATTERN_LIMIT + 1];
    memset(longest, 'a', sizeof(longest));
    longest[GROUP_NAME_LIMIT] = '*';
    longest[LIMIT_PATTERN_LIMIT] = '\0';
    assert_int_equal(set(place, longest, 0, 1), RESULT_OK); /* the twin of what follows */
    longest[GROUP_NAME_LIMIT] = 'a';
    assert_int_equal(set(place, longest, 0, 1), RESULT_INVALID);
    static const char *const patterns[] = {"", "**", "a*b", "*a", "a b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_int_equal(set(place, patterns[i], 0, 1), RESULT_INVALID);
    }
    assert_int_equal(set(place, "a", 16, 1), RESULT_INVALID);
    assert_int_equal(set(place, "a", 0, 0), RESULT_INVALID);
    assert_int_equal(set(place, "a", 0, LIMIT_RATE_HIGHEST), RESULT_OK);
    assert_int_equal(set(place, "a", 0, LIMIT_RATE_HIGHEST + 1), RESULT_INVALID);
}

static void rules_are_bounded(void **state)
{
    struct place *place = *state;
    char pattern[16];
    for (unsigned i = 0; i < LIMIT_RULES_LIMIT; i++) {
        (void)snprintf(pattern, sizeof(pattern), "g%u", i);
        assert_int_equal(set(place, pattern, 0, 1), RESULT_OK);
    }
    assert_int_equal(set(place, "one-more", 0, 1), RESULT_FULL);
    assert_int_equal(set(place, "g7", OWNER_SEND, 1), RESULT_OK); /* in another's place */
    struct limits limits = load(place, IDENTITY_MN_CSE);
    assert_int_equal(limits.count, LIMIT_RULES_LIMIT + 1);
    assert_int_equal(limits_for(&limits, "g7")->rights, OWNER_SEND);
    limits_clear(&limits);
}

/* A store that was tampered with or damaged gives no owner more: it is not opened. */
static void damaged_rules_are_refused(void **state)
{
    struct place *place = *state;
    struct limits limits;
    struct reason why = {""};
    assert_int_equal(store_run(place->store, &why,
                               "INSERT INTO owner_limit (identity, pattern, rights, rate, burst)"
                               " VALUES (?, 'a**', 15, 1, 1)",
                               "t", MN),
                     RESULT_OK);
    assert_int_equal(limits_load(place->store, MN, IDENTITY_MN_CSE, &limits, &why), RESULT_STORE);
}

static void rights_as_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned rights;
        const char *printed;
    } good[] = {{"all", OWNER_RIGHTS, "relay,read,send,command"},
                {"none", 0, "none"},
                {"relay", OWNER_RELAY, "relay"},
                {"send,read", OWNER_SEND | OWNER_READ, "read,send"},
                {"command,command", OWNER_COMMAND, "command"}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        unsigned rights = 99;
        char printed[RIGHTS_TEXT_SIZE];
        assert_true(rights_parse(good[i].text, &rights));
        assert_int_equal(rights, good[i].rights);
        rights_print(rights, printed);
        assert_string_equal(printed, good[i].printed);
    }
    static const char *const bad[] = {"",           ",",        "read,", ",read", "Read",
                                      "read, send", "all,read", "rea",   "reads"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned rights = 0;
        assert_false(rights_parse(bad[i], &rights));
    }
}

/* ---- token buckets ---- */

static void buckets(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    struct bucket_rate rate = bucket_rate_of(10, 3);
    uint64_t now = 5000000;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bucket_ready_us(&bucket, rate, now), now);
        assert_true(bucket_take(&bucket, rate, now));
    }
    assert_false(bucket_take(&bucket, rate, now));
    assert_int_equal(bucket_ready_us(&bucket, rate, now), now + 100000);
    assert_false(bucket_take(&bucket, rate, now + 99999));
    assert_true(bucket_take(&bucket, rate, now + 100000));
    assert_false(bucket_take(&bucket, rate, now + 100000));
    now += 3600000000u; /* no more than a burst, however long nobody asked */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(bucket_take(&bucket, rate, now));
    }
    assert_false(bucket_take(&bucket, rate, now));
    struct bucket other = {0};
    assert_true(bucket_take(&other, bucket_rate_of(1, 1), 0)); /* from the very start */
    assert_false(bucket_take(&other, bucket_rate_of(1, 1), 0));
}

/* ---- moderation ---- */

static void moderation(void **state)
{
    (void)state;
    static struct moderation told;
    char end[MODERATION_END_SIZE];
    uint64_t now = 3600000000u;
    for (unsigned i = 0; i < MODERATION_EACH; i++) {
        assert_true(moderation_take(&told, "", "evil", now, end));
        assert_string_equal(end, "");
    }
    assert_false(moderation_take(&told, "", "evil", now, end));
    assert_true(moderation_take(&told, "other", "evil", now, end));
    assert_true(moderation_take(&told, "", "honest", now, end));
    now += MODERATION_EACH_US;
    assert_true(moderation_take(&told, "", "evil", now, end));
    assert_string_equal(end, " (and 1 more, not shown)");
    unsigned all = 1;
    for (unsigned i = 0; i < 4 * MODERATION_ALL; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "name%u", i);
        all += moderation_take(&told, "", name, now, end) ? 1 : 0;
    }
    assert_int_equal(all, MODERATION_ALL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(own_rule_first_then_the_longest),
        TEST(defaults_until_one_is_stored),
        TEST(what_is_no_rule),
        TEST(rules_are_bounded),
        TEST(damaged_rules_are_refused),
        cmocka_unit_test(rights_as_text),
        cmocka_unit_test(buckets),
        cmocka_unit_test(moderation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
