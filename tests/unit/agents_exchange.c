/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LIMIT 4u

static int setup(void **state)
{
    *state = exchange_new("in-cse", LIMIT);
    return *state == NULL;
}

static int teardown(void **state)
{
    exchange_free(*state);
    return 0;
}

static void begin(struct exchange *exchange, const char *receiver, uint64_t token, uint64_t now,
                  char rqi[ONEM2M_RQI_LIMIT + 1])
{
    const char *begun = exchange_begin(exchange, receiver, 7, token, now);
    assert_non_null(begun);
    snprintf(rqi, ONEM2M_RQI_LIMIT + 1, "%s", begun);
}

static void test_matches_once(void **state)
{
    struct exchange_request request;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    begin(*state, "mn-1", 42, 1000, rqi);
    assert_true(exchange_match(*state, rqi, "mn-1", &request));
    assert_int_equal(request.token, 42);
    assert_int_equal(request.kind, 7);
    assert_string_equal(request.receiver, "mn-1");
    assert_false(exchange_match(*state, rqi, "mn-1", &request));
}

static void test_other_receiver_or_name_does_not_match(void **state)
{
    struct exchange_request request;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    begin(*state, "mn-1", 1, 0, rqi);
    assert_false(exchange_match(*state, rqi, "mn-2", &request));
    assert_false(exchange_match(*state, "in-cse-0000000000000000-1", "mn-1", &request));
    assert_true(exchange_match(*state, rqi, "mn-1", &request));
}

static void test_missing_rqi_matches_the_only_one(void **state)
{
    struct exchange_request request;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    begin(*state, "mn-1", 1, 0, rqi);
    begin(*state, "mn-2", 2, 0, rqi);
    begin(*state, "mn-2", 3, 0, rqi);
    assert_false(exchange_match(*state, "", "mn-2", &request)); /* two: which one? */
    assert_true(exchange_match(*state, "", "mn-1", &request));
    assert_int_equal(request.token, 1);
    assert_true(exchange_match(*state, rqi, "mn-2", &request));
    assert_true(exchange_match(*state, "", "mn-2", &request));
    assert_int_equal(request.token, 2);
}

static void test_names_differ_and_restarts_too(void **state)
{
    char first[ONEM2M_RQI_LIMIT + 1];
    char second[ONEM2M_RQI_LIMIT + 1];
    char third[ONEM2M_RQI_LIMIT + 1];
    struct exchange *other = exchange_new("in-cse", LIMIT);
    assert_non_null(other);
    begin(*state, "mn-1", 1, 0, first);
    begin(*state, "mn-1", 2, 0, second);
    begin(other, "mn-1", 1, 0, third);
    assert_string_not_equal(first, second);
    assert_string_not_equal(first, third);
    exchange_free(other);
}

static void test_full_table_refuses(void **state)
{
    char rqi[ONEM2M_RQI_LIMIT + 1];
    struct exchange_request request;
    for (unsigned i = 0; i < LIMIT; i++) {
        begin(*state, "mn-1", i, 0, rqi);
    }
    assert_null(exchange_begin(*state, "mn-1", 7, 9, 0));
    assert_true(exchange_match(*state, rqi, "mn-1", &request));
    begin(*state, "mn-1", 9, 0, rqi);
}

static void test_matched_in_any_order(void **state)
{
    enum { COUNT = 4 * LIMIT };
    char rqi[LIMIT][ONEM2M_RQI_LIMIT + 1];
    struct exchange_request request;
    for (unsigned i = 0; i < COUNT; i++) { /* the first stays open: the others go round the table past it */
        begin(*state, "mn-1", i, i, rqi[i == 0 ? 0 : 1]);
        assert_true(i == 0 || exchange_match(*state, rqi[1], "mn-1", &request));
        assert_int_equal(i == 0 ? 0 : request.token, i);
    }
    for (unsigned i = 1; i < LIMIT; i++) {
        begin(*state, "mn-1", 100 + i, 1000 + i, rqi[i]);
    }
    assert_true(exchange_match(*state, rqi[2], "mn-1", &request));
    assert_int_equal(request.token, 102);
    assert_true(exchange_match(*state, rqi[0], "mn-1", &request));
    assert_int_equal(request.token, 0);
    assert_true(exchange_due(*state) == 1001 + EXCHANGE_TIMEOUT_MS);
    assert_true(exchange_drop(*state, &request));
    assert_int_equal(request.token, 101);
    assert_true(exchange_drop(*state, &request));
    assert_int_equal(request.token, 103);
}

/* The processor time of 65,536 responses, last in first out, within a table that holds `open` requests. */
static double matching_cost(unsigned open)
{
    enum { RESPONSES = 65536 };
    struct exchange *exchange = exchange_new("in-cse", open);
    char(*rqi)[ONEM2M_RQI_LIMIT + 1] = calloc(open, sizeof(*rqi));
    struct exchange_request request;
    assert_non_null(exchange);
    assert_non_null(rqi);
    clock_t start = clock();
    for (unsigned round = 0; round < RESPONSES / open; round++) {
        for (unsigned i = 0; i < open; i++) {
            begin(exchange, "mn-1", i, 0, rqi[i]);
        }
        for (unsigned i = open; i-- > 0;) {
            assert_true(exchange_match(exchange, rqi[i], "mn-1", &request));
        }
    }
    clock_t end = clock();
    free(rqi);
    exchange_free(exchange);
    return (double)(end - start);
}

/* With a search through all that are open, the larger table would cost 128 times as much a response; a ratio,
 * so that neither machine nor sanitizer counts, and the best of some. */
static void test_large_table_costs_no_more(void **state)
{
    (void)state;
    double ratio = 1e9;
    for (unsigned i = 0; i < 5 && ratio >= 16; i++) {
        double small = matching_cost(32);
        double large = matching_cost(4096);
        ratio = large / (small > 1 ? small : 1);
    }
    assert_true(ratio < 16);
}

static void test_expires_in_order(void **state)
{
    struct exchange_request request;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    assert_true(exchange_due(*state) == UINT64_MAX);
    begin(*state, "mn-1", 1, 1000, rqi);
    begin(*state, "mn-1", 2, 2000, rqi);
    assert_true(exchange_due(*state) == 1000 + EXCHANGE_TIMEOUT_MS);
    assert_false(exchange_expire(*state, 999 + EXCHANGE_TIMEOUT_MS, &request));
    assert_true(exchange_expire(*state, 1000 + EXCHANGE_TIMEOUT_MS, &request));
    assert_int_equal(request.token, 1);
    assert_false(exchange_expire(*state, 1000 + EXCHANGE_TIMEOUT_MS, &request));
    assert_true(exchange_drop(*state, &request));
    assert_int_equal(request.token, 2);
    assert_false(exchange_drop(*state, &request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_matches_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_receiver_or_name_does_not_match, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_rqi_matches_the_only_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_differ_and_restarts_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_table_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_matched_in_any_order, setup, teardown),
        cmocka_unit_test(test_large_table_costs_no_more),
        cmocka_unit_test_setup_teardown(test_expires_in_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
