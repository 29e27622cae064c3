/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_doubles_to_the_limit_within_its_jitter(void **state)
{
    struct backoff backoff;
    uint64_t step = 1000;
    (void)state;
    backoff_init(&backoff, 1000, 60000);
    for (int i = 0; i < 20; i++) {
        uint64_t wait = backoff_next(&backoff);
        assert_true(wait >= step / 2 && wait <= step);
        step = step * 2 > 60000 ? 60000 : step * 2;
    }
}

static void test_reset_starts_again(void **state)
{
    struct backoff backoff;
    (void)state;
    backoff_init(&backoff, 1000, 60000);
    for (int i = 0; i < 10; i++) {
        (void)backoff_next(&backoff);
    }
    backoff_reset(&backoff);
    assert_true(backoff_next(&backoff) <= 1000);
}

/* A fleet must not come back in one moment. */
static void test_waits_differ(void **state)
{
    uint64_t lowest = UINT64_MAX;
    uint64_t highest = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct backoff backoff;
        backoff_init(&backoff, 60000, 60000);
        uint64_t wait = backoff_next(&backoff);
        lowest = wait < lowest ? wait : lowest;
        highest = wait > highest ? wait : highest;
    }
    assert_true(highest - lowest > 15000);
}

/* Ten thousand agents lose their broker in one moment, and it is away for five minutes: when it is back, each
 * has tried within a minute, and no second sees more than a few of a hundred. */
#define FLEET 10000u
#define OUTAGE_MS 300000u

static void test_fleet_comes_back_spread(void **state)
{
    unsigned in_second[61] = {0};
    (void)state;
    for (unsigned i = 0; i < FLEET; i++) {
        struct backoff backoff;
        uint64_t at_ms = 0;
        backoff_init(&backoff, BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS);
        while (at_ms < OUTAGE_MS) {
            at_ms += backoff_next(&backoff);
        }
        uint64_t after_ms = at_ms - OUTAGE_MS;
        assert_true(after_ms <= BACKOFF_LIMIT_MS);
        in_second[after_ms / 1000]++;
    }
    for (size_t second = 0; second < 61; second++) {
        assert_true(in_second[second] < FLEET * 6u / 100u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_to_the_limit_within_its_jitter),
        cmocka_unit_test(test_reset_starts_again),
        cmocka_unit_test(test_waits_differ),
        cmocka_unit_test(test_fleet_comes_back_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
