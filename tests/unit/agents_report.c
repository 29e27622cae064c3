/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t id[COMMAND_ID_SIZE] = {1, 2, 3};

struct answer {
    const char *name;
    Groupseal__Secenv__Outcome outcome;
};

/* One report of up to 4 rows. */
static bool merge(struct report *report, const struct answer *answers, size_t count, bool complete,
                  unsigned page, unsigned pages)
{
    Groupseal__Secenv__OrderReport news = GROUPSEAL__SECENV__ORDER_REPORT__INIT;
    Groupseal__Secenv__OrderRow rows[4];
    Groupseal__Secenv__OrderRow *list[4];
    for (size_t i = 0; i < count; i++) {
        groupseal__secenv__order_row__init(&rows[i]);
        rows[i].name = (char *)(uintptr_t)answers[i].name;
        rows[i].outcome = answers[i].outcome;
        list[i] = &rows[i];
    }
    news.command_id = (ProtobufCBinaryData){sizeof(id), id};
    news.group = (char *)(uintptr_t) "doors";
    news.rows = list;
    news.n_rows = count;
    news.complete = complete;
    news.page = page;
    news.pages = pages;
    return report_merge(report, &news);
}

static void test_exit_codes(void **state)
{
    static const struct {
        struct answer answers[2];
        size_t count;
        enum exit_code code;
    } cases[] = {
        {{{"a", GROUPSEAL__SECENV__OUTCOME__DONE}, {"b", GROUPSEAL__SECENV__OUTCOME__DONE}}, 2, EXIT_DONE},
        {{{"a", GROUPSEAL__SECENV__OUTCOME__DONE}, {"b", GROUPSEAL__SECENV__OUTCOME__FAILED}},
         2,
         EXIT_MEMBERS},
        {{{"a", GROUPSEAL__SECENV__OUTCOME__DONE}, {"b", GROUPSEAL__SECENV__OUTCOME__REFUSED_BY_MEMBER}},
         2,
         EXIT_MEMBERS},
        {{{"a", GROUPSEAL__SECENV__OUTCOME__NO_ANSWER}, {"b", GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN}},
         2,
         EXIT_MEMBERS},
        {{{"a", GROUPSEAL__SECENV__OUTCOME__DONE}, {"b", GROUPSEAL__SECENV__OUTCOME__NO_ANSWER}},
         2,
         EXIT_NO_ANSWER},
        {{{"a", GROUPSEAL__SECENV__OUTCOME__DONE}, {"b", GROUPSEAL__SECENV__OUTCOME__ACCEPTED}},
         2,
         EXIT_NO_ANSWER},
        {{{"", GROUPSEAL__SECENV__OUTCOME__NO_ANSWER}}, 0, EXIT_NO_ANSWER}, /* nobody at all */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct report report = {0};
        memcpy(report.command_id, id, sizeof(id));
        assert_true(merge(&report, cases[i].answers, cases[i].count, true, 0, 1));
        assert_int_equal(report_exit_code(&report), cases[i].code);
        assert_true(report.complete);
        report_clear(&report);
    }
}

static void test_newest_row_counts(void **state)
{
    static const struct answer silent[] = {{"a", GROUPSEAL__SECENV__OUTCOME__NO_ANSWER},
                                           {"b", GROUPSEAL__SECENV__OUTCOME__DONE}};
    static const struct answer later[] = {{"a", GROUPSEAL__SECENV__OUTCOME__DONE}};
    struct report report = {0};
    (void)state;
    memcpy(report.command_id, id, sizeof(id));
    assert_true(merge(&report, silent, 2, false, 0, 1));
    assert_int_equal(report_exit_code(&report), EXIT_NO_ANSWER);
    assert_false(report.complete);
    assert_true(merge(&report, later, 1, true, 0, 1));
    assert_int_equal(report.count, 2);
    assert_int_equal(report_exit_code(&report), EXIT_DONE);
    assert_true(report.complete);
    report_clear(&report);
}

/* Complete with the last page, not with the first. */
static void test_pages(void **state)
{
    static const struct answer first[] = {{"a", GROUPSEAL__SECENV__OUTCOME__DONE}};
    static const struct answer second[] = {{"b", GROUPSEAL__SECENV__OUTCOME__DONE}};
    struct report report = {0};
    (void)state;
    memcpy(report.command_id, id, sizeof(id));
    assert_true(merge(&report, first, 1, true, 0, 2));
    assert_false(report.complete);
    assert_true(merge(&report, second, 1, true, 1, 2));
    assert_true(report.complete);
    assert_int_equal(report.count, 2);
    report_clear(&report);
}

static void test_many_members(void **state)
{
    struct report report = {0};
    (void)state;
    memcpy(report.command_id, id, sizeof(id));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            char name[32];
            snprintf(name, sizeof(name), "//sp.example/S%d", i);
            struct answer answer = {name, GROUPSEAL__SECENV__OUTCOME__DONE};
            assert_true(merge(&report, &answer, 1, false, 0, 1));
        }
    }
    assert_int_equal(report.count, 20000);
    assert_string_equal(report.rows[7]->name, "//sp.example/S7");
    report_clear(&report);
}

static void test_other_command_is_refused(void **state)
{
    static const struct answer answers[] = {{"a", GROUPSEAL__SECENV__OUTCOME__DONE}};
    struct report report = {.command_id = {9}};
    (void)state;
    assert_false(merge(&report, answers, 1, true, 0, 1));
    assert_int_equal(report.count, 0);
    report_clear(&report);
}

static void test_not_sent(void **state)
{
    Groupseal__Secenv__OrderReport news = GROUPSEAL__SECENV__ORDER_REPORT__INIT;
    struct report report = {0};
    (void)state;
    memcpy(report.command_id, id, sizeof(id));
    news.command_id = (ProtobufCBinaryData){sizeof(id), id};
    news.refused = (char *)(uintptr_t) "//sp.example/mn-1: no key";
    news.complete = true;
    assert_true(report_merge(&report, &news));
    assert_int_equal(report_exit_code(&report), EXIT_MEMBERS);
    assert_true(report.complete);
    report_clear(&report);
}

static void test_durations(void **state)
{
    uint64_t ms = 0;
    (void)state;
    assert_true(operator_duration("500ms", 60000, &ms) && ms == 500);
    assert_true(operator_duration("10s", 60000, &ms) && ms == 10000);
    assert_true(operator_duration("10", 60000, &ms) && ms == 10000);
    assert_true(operator_duration("1m", 60000, &ms) && ms == 60000);
    assert_true(operator_duration("0", 60000, &ms) && ms == 0);
    assert_true(operator_duration("24h", 86400000, &ms) && ms == 86400000);
    assert_true(operator_duration("30d", UINT64_MAX, &ms) && ms == UINT64_C(2592000000));
    assert_false(operator_duration("61s", 60000, &ms));
    assert_false(operator_duration("99999999999999999999s", UINT64_MAX, &ms));
    assert_false(operator_duration("18446744073709551615h", UINT64_MAX, &ms));
    assert_false(operator_duration("", 60000, &ms));
    assert_false(operator_duration("-1s", 60000, &ms));
    assert_false(operator_duration("1 s", 60000, &ms));
    assert_false(operator_duration("1x", 60000, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),   cmocka_unit_test(test_newest_row_counts),
        cmocka_unit_test(test_pages),        cmocka_unit_test(test_other_command_is_refused),
        cmocka_unit_test(test_not_sent),     cmocka_unit_test(test_durations),
        cmocka_unit_test(test_many_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
