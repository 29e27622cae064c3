/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/duration.h"
#include "plugin/agent/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* When a rule is due, and when not, by a clock that the test turns. */

#define COMMANDS "\"commands\": [{\"group\": \"doors\", \"payload\": \"close\"}]"
#define FIRE(more) "{\"rules\": [{\"name\": \"fire\", \"group\": \"sensors\", " more ", " COMMANDS "}]}"
#define SMOKE "\"field\": \"smoke\", \"is\": \">=\", \"value\": 50"

static struct rules *rules_of(const char *text)
{
    char why[300] = "";
    struct rules *rules = rules_new(text, strlen(text), why, sizeof(why));
    if (rules == NULL) {
        fail_msg("%s", why);
    }
    return rules;
}

static void say(struct rules *rules, const char *sender, const char *body, uint64_t now_ms)
{
    rules_hear(rules, "sensors", sender, body, strlen(body), now_ms);
}

/* How many are due now. */
static unsigned due(struct rules *rules, uint64_t now_ms)
{
    const struct rules_command *commands = NULL;
    size_t count = 0;
    unsigned times = 0;
    while (rules_due(rules, now_ms, &commands, &count) != NULL) {
        assert_true(count > 0);
        assert_string_equal(commands[0].payload, "close");
        times++;
    }
    return times;
}

static void test_one_device_at_once(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE));
    (void)state;
    assert_int_equal(due(rules, 0), 0);
    say(rules, "S1", "{\"smoke\": 49.9}", 1000);
    assert_int_equal(due(rules, 1000), 0);
    say(rules, "S1", "{\"smoke\": 50}", 2000);
    assert_int_equal(due(rules, 2000), 1);
    /* Once, as long as it lasts. */
    say(rules, "S1", "{\"smoke\": 80}", 20000);
    assert_int_equal(due(rules, 20000), 0);
    say(rules, "S1", "{\"smoke\": 1}", 21000);
    say(rules, "S1", "{\"smoke\": 90}", 22000);
    assert_int_equal(due(rules, 22000), 1);
    rules_free(rules);
}

static void test_distinct_devices(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE ", \"devices\": 2, \"within\": \"30s\""));
    (void)state;
    say(rules, "S1", "{\"smoke\": 60}", 0);
    say(rules, "S1", "{\"smoke\": 70}", 1);
    assert_int_equal(due(rules, 1), 0);
    /* The first one's word is too old by now. */
    say(rules, "S2", "{\"smoke\": 60}", 30001);
    assert_int_equal(due(rules, 30001), 0);
    say(rules, "S1", "{\"smoke\": 60}", 60000);
    assert_int_equal(due(rules, 60000), 1);
    rules_free(rules);
}

static void test_for_a_time(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE ", \"for\": \"5s\", \"within\": \"8s\""));
    (void)state;
    say(rules, "S1", "{\"smoke\": 60}", 0);
    assert_int_equal(due(rules, 4999), 0);
    say(rules, "S1", "{\"smoke\": 0}", 4999);
    say(rules, "S1", "{\"smoke\": 60}", 5000);
    assert_int_equal(due(rules, 9999), 0);
    assert_int_equal(due(rules, 10000), 1);
    /* Silence ends it: what comes then is a new spell. */
    assert_int_equal(due(rules, 60000), 0);
    say(rules, "S1", "{\"smoke\": 60}", 60000);
    assert_int_equal(due(rules, 64999), 0);
    assert_int_equal(due(rules, 65000), 1);
    rules_free(rules);
}

static void test_again(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE ", \"again\": \"1m\", \"within\": \"1h\""));
    (void)state;
    say(rules, "S1", "{\"smoke\": 60}", 0);
    assert_int_equal(due(rules, 0), 1);
    assert_int_equal(due(rules, 59999), 0);
    assert_int_equal(due(rules, 60000), 1);
    assert_int_equal(due(rules, 60001), 0);
    rules_free(rules);
}

/* A value about its threshold does not set off a command each time: the gap, and it is not forgotten. */
static void test_flapping(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE));
    unsigned times = 0;
    (void)state;
    for (uint64_t now = 0; now < 10000; now += 10) {
        say(rules, "S1", now % 20 == 0 ? "{\"smoke\": 60}" : "{\"smoke\": 40}", now);
        times += due(rules, now);
    }
    assert_int_equal(times, 1);
    say(rules, "S1", "{\"smoke\": 60}", 9999);
    assert_int_equal(due(rules, 9999), 0);
    assert_int_equal(due(rules, RULES_GAP_MS), 1);
    rules_free(rules);
}

static void test_what_says_nothing(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE ", \"for\": \"1s\""));
    static const char *const bodies[] = {"",
                                         "fire",
                                         "{}",
                                         "{\"smoke\": \"high\"}",
                                         "{\"smoke\": null}",
                                         "[50]",
                                         "{\"a\": {\"smoke\": 60}}",
                                         "{\"smoke\": {\"x\": 1}}",
                                         "{\"smoke\": 1e999",
                                         "{\"Smoke\": 10}",
                                         "{\"smoke\": [1]}"};
    (void)state;
    say(rules, "S1", "{\"smoke\": 60}", 0);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        say(rules, "S1", bodies[i], 10 + i); /* and does not end what is */
    }
    rules_hear(rules, "doors", "S1", "{\"smoke\": 1}", 12, 500);
    assert_int_equal(due(rules, 1000), 1);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        say(rules, "S2", bodies[i], 2000);
    }
    rules_free(rules);
    rules_hear(NULL, "doors", "S1", "{}", 2, 0);
    assert_int_equal(due(NULL, 0), 0);
    rules_free(NULL);
}

static void test_comparisons(void **state)
{
    static const struct {
        const char *is;
        const char *value;
        const char *body;
        bool met;
    } cases[] = {
        {"=", "5", "5", true},
        {"=", "5", "5.0", true},
        {"=", "5", "6", false},
        {"!=", "5", "6", true},
        {"!=", "5", "5", false},
        {"<", "5", "4", true},
        {"<", "5", "5", false},
        {"<=", "5", "5", true},
        {"<=", "5", "5.1", false},
        {">", "5", "5.1", true},
        {">", "5", "5", false},
        {">=", "5", "5", true},
        {">=", "5", "4", false},
        {"=", "\"on\"", "\"on\"", true},
        {"=", "\"on\"", "\"off\"", false},
        {"!=", "\"on\"", "\"off\"", true},
        {"=", "true", "true", true},
        {"=", "true", "false", false},
        {"!=", "false", "true", true},
        {"=", "true", "1", false},
        {"!=", "\"on\"", "1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[400];
        char body[80];
        snprintf(text, sizeof(text),
                 "{\"rules\": [{\"name\": \"x\", \"group\": \"sensors\", \"field\": \"a/b\", \"is\": \"%s\", "
                 "\"value\": %s, " COMMANDS "}]}",
                 cases[i].is, cases[i].value);
        snprintf(body, sizeof(body), "{\"a\": {\"b\": %s}}", cases[i].body);
        struct rules *rules = rules_of(text);
        say(rules, "S1", body, 0);
        if (due(rules, 0) != (cases[i].met ? 1 : 0)) {
            fail_msg("case %zu", i);
        }
        rules_free(rules);
    }
}

static void test_more_devices_than_are_counted(void **state)
{
    struct rules *rules = rules_of(FIRE(SMOKE ", \"devices\": 1024, \"for\": \"1s\""));
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "//sp.example/S%u", i);
        say(rules, sender, "{\"smoke\": 60}", 0);
    }
    assert_int_equal(due(rules, 1000), 1);
    say(rules, "//sp.example/S0", "{\"smoke\": 6}", 1000);
    say(rules, "//sp.example/S0", "{\"smoke\": 60}", 20000);
    assert_int_equal(due(rules, 20000), 0);
    assert_int_equal(due(rules, 21000), 1);
    rules_free(rules);
}

static void test_several_commands(void **state)
{
    static const char text[] =
        "{\"rules\": [{\"name\": \"fire\", \"group\": \"sensors\", " SMOKE ", \"commands\": ["
        "{\"group\": \"doors\", \"payload\": \"close\", \"valid\": \"10m\"},"
        "{\"group\": \"extinguishers\", \"payload\": \"start\", \"targets\": [\"//sp.example/Sext1\"]}]},"
        "{\"name\": \"calm\", \"group\": \"other\", " SMOKE ", " COMMANDS "}]}";
    struct rules *rules = rules_of(text);
    const struct rules_command *commands = NULL;
    size_t count = 0;
    (void)state;
    assert_int_equal(rules_count(rules), 2);
    say(rules, "S1", "{\"smoke\": 60}", 0);
    assert_string_equal(rules_due(rules, 0, &commands, &count), "fire");
    assert_int_equal(count, 2);
    assert_int_equal(commands[0].valid_ms, 600000);
    assert_int_equal(commands[0].target_count, 0);
    assert_string_equal(commands[1].group, "extinguishers");
    assert_int_equal(commands[1].valid_ms, 60000);
    assert_string_equal(commands[1].targets[0], "//sp.example/Sext1");
    assert_null(rules_due(rules, 0, &commands, &count));
    assert_string_equal(rules_commanded(rules, 0), "doors");
    assert_string_equal(rules_commanded(rules, 1), "extinguishers");
    assert_string_equal(rules_commanded(rules, 2), "doors");
    assert_null(rules_commanded(rules, 3));
    assert_null(rules_commanded(NULL, 0));
    rules_free(rules);
}

static void test_wrong_files(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"", "write {\"rules\": [...]}"},
        {"[]", "write {\"rules\": [...]}"},
        {"{\"rules\": []}", "1 to 64 rules"},
        {"{\"rules\": [1]}", "list of objects"},
        {"{\"rule\": []}", "`rule` is not known"},
        {"{\"rules\": [{\"group\": \"sensors\"}]}", "rule 1: `name`"},
        {FIRE("\"is\": \">=\", \"value\": 50"), "rule fire: `field`"},
        {FIRE("\"field\": \"x\", \"is\": \"~\", \"value\": 50"), "`is` must be"},
        {FIRE("\"field\": \"x\", \"is\": \">\", \"value\": \"50\""), "`value` must be a number"},
        {FIRE("\"field\": \"x\", \"is\": \"=\", \"value\": null"), "`value` must be"},
        {FIRE(SMOKE ", \"devices\": 0"), "`devices`"},
        {FIRE(SMOKE ", \"devices\": 1025"), "`devices`"},
        {FIRE(SMOKE ", \"devices\": \"2\""), "`devices`"},
        {FIRE(SMOKE ", \"for\": 5"), "`for` is no time"},
        {FIRE(SMOKE ", \"for\": \"5\""), "`for` is no time"},
        {FIRE(SMOKE ", \"for\": \"25h\""), "`for` is no time"},
        {FIRE(SMOKE ", \"for\": \"60s\""), "longer than `for`"},
        {FIRE(SMOKE ", \"dvices\": 2"), "`dvices` is not known"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"sensors\", " SMOKE "}]}", "`commands` must be a list"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"a/b\", " SMOKE ", " COMMANDS "}]}", "no group's name"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"doors\", " SMOKE ", " COMMANDS "}]}", "other groups"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"s\", " SMOKE ", \"commands\": [{\"group\": \"d\"}]}]}",
         "`payload`"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"s\", " SMOKE
         ", \"commands\": [{\"group\": \"d\", \"payload\": \"p\", \"valid\": \"0s\"}]}]}",
         "`valid`"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"s\", " SMOKE
         ", \"commands\": [{\"group\": \"d\", \"payload\": \"p\", \"targets\": [\"Sdoor1\"]}]}]}",
         "`targets`"},
        {"{\"rules\": [{\"name\": \"x\", \"group\": \"s\", " SMOKE
         ", \"commands\": [{\"group\": \"d\", \"payload\": \"p\", \"targets\": [\"//sp.example/Sdoor1\", "
         "1]}]}]}",
         "`targets`"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char why[300] = "";
        struct rules *rules = rules_new(wrong[i].text, strlen(wrong[i].text), why, sizeof(why));
        if (rules != NULL || strstr(why, wrong[i].why) == NULL) {
            fail_msg("%zu: %s", i, why);
        }
    }
    char why[300] = "";
    assert_null(rules_read("/does/not/exist", why, sizeof(why)));
    assert_non_null(strstr(why, "/does/not/exist"));
}

static void test_durations(void **state)
{
    uint32_t ms = 0;
    (void)state;
    assert_true(duration_read("250ms", 1000, &ms) && ms == 250);
    assert_true(duration_read("2m", 200000, &ms) && ms == 120000);
    assert_true(duration_read("24h", 86400000, &ms) && ms == 86400000);
    assert_false(duration_read("25h", 86400000, &ms));
    assert_false(duration_read("99999999999999999999s", 86400000, &ms));
    assert_false(duration_read("5", 1000, &ms) || duration_read("", 1000, &ms) ||
                 duration_read("s", 1000, &ms));
    assert_false(duration_read("-1s", 1000, &ms) || duration_read("1 s", 1000, &ms) ||
                 duration_read(NULL, 1, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_device_at_once), cmocka_unit_test(test_distinct_devices),
        cmocka_unit_test(test_for_a_time),         cmocka_unit_test(test_again),
        cmocka_unit_test(test_flapping),           cmocka_unit_test(test_what_says_nothing),
        cmocka_unit_test(test_comparisons),        cmocka_unit_test(test_more_devices_than_are_counted),
        cmocka_unit_test(test_several_commands),   cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
