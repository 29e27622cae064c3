/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/runner.h"

#include "agents/program.h"
#include "agents/timer.h"
#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Real child programs: shell scripts. */
struct fixture {
    struct folder folder;
    sd_event *loop;
    struct runner *runner;
    char groups[64]; /* of the results, in their order, a letter each */
    bool done;
    char detail[256];
    size_t results;
};

static struct fixture fixture;

static void on_finished(void *context, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE], bool done,
                        const char *detail)
{
    struct fixture *f = context;
    assert_int_equal(id[0], 0xab);
    f->groups[f->results++] = group[0];
    f->done = done;
    snprintf(f->detail, sizeof(f->detail), "%s", detail);
}

static int setup(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    folder_make(&fixture.folder);
    fixture.loop = program_loop();
    return fixture.loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    runner_free(fixture.runner);
    sd_event_unref(fixture.loop);
    folder_remove(&fixture.folder);
    return 0;
}

static void start(const char *script)
{
    char text[1024];
    snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    const char *program = folder_file(&fixture.folder, "act", text, 0700);
    fixture.runner = runner_new(fixture.loop, program, "//sp.example/Sdoor1", on_finished, &fixture);
    assert_non_null(fixture.runner);
}

static bool add(const char *group, const char *body, size_t length, uint64_t remaining_ms)
{
    struct device_command command = {.group = group,
                                     .id = {0xab, 0xcd},
                                     .body = (const uint8_t *)body,
                                     .length = length,
                                     .remaining_ms = remaining_ms,
                                     .commander = "//sp.example/in-cse"};
    return runner_add(fixture.runner, &command);
}

static void wait_for(size_t results)
{
    uint64_t end = monotonic_ms() + 10000;
    while (fixture.results < results && monotonic_ms() < end) {
        assert_true(sd_event_run(fixture.loop, 100000) >= 0);
    }
    assert_int_equal(fixture.results, results);
}

static void test_payload_environment_and_detail(void **state)
{
    (void)state;
    start("printf '%s %s %s %s [%s]\\nsecond line\\n' \"$GROUPSEAL_GROUP\" \"$GROUPSEAL_COMMAND_ID\" "
          "\"$GROUPSEAL_COMMANDER\" \"$GROUPSEAL_IDENTITY\" \"$(cat)\"");
    assert_true(add("doors", "close", 5, 10000));
    assert_int_equal(fixture.results, 0); /* never from inside runner_add */
    wait_for(1);
    assert_true(fixture.done);
    assert_string_equal(
        fixture.detail,
        "doors abcd0000000000000000000000000000 //sp.example/in-cse //sp.example/Sdoor1 [close]");
}

static void test_exit_status_is_the_result(void **state)
{
    (void)state;
    start("case $(cat) in fail) exit 3;; jam) echo jammed; exit 1;; die) kill -9 $$;; esac");
    add("a", "fail", 4, 10000);
    wait_for(1);
    assert_false(fixture.done);
    assert_string_equal(fixture.detail, "exit status 3");
    add("a", "jam", 3, 10000);
    wait_for(2);
    assert_false(fixture.done);
    assert_string_equal(fixture.detail, "jammed");
    add("a", "die", 3, 10000);
    wait_for(3);
    assert_false(fixture.done);
    assert_string_equal(fixture.detail, "killed by signal 9");
    add("a", "fine", 4, 10000);
    wait_for(4);
    assert_true(fixture.done);
    assert_string_equal(fixture.detail, "");
}

/* Sleeps 8 s in our process group, in place of its own. */
static const char in_our_group[] =
    "[ \"$(cat)\" = slow ] || exit 0\n"
    "cd \"$(dirname \"$0\")\"\n"
    "exec /usr/bin/python3 -c 'import os, time\nos.setpgid(0, os.getpgid(os.getppid()))\n"
    "open(\"moved\", \"w\")\ntime.sleep(8)'";

/* A program that has left its process group ends all the same. */
static void test_time_limit_in_another_group(void **state)
{
    (void)state;
    start(in_our_group);
    uint64_t begun = monotonic_ms();
    add("a", "slow", 4, 1500);
    add("b", "fast", 4, 10000);
    wait_for(1);
    assert_string_equal(fixture.detail, "timed out");
    wait_for(2);
    assert_true(fixture.done);
    assert_in_range(monotonic_ms() - begun, 1500, 5000);
}

/* The end of the runner does not wait for it either. */
static void test_end_in_another_group(void **state)
{
    char moved[128];
    (void)state;
    snprintf(moved, sizeof(moved), "%s/moved", fixture.folder.path);
    start(in_our_group);
    add("a", "slow", 4, 60000);
    uint64_t end = monotonic_ms() + 10000;
    while (access(moved, F_OK) != 0 && monotonic_ms() < end) {
        assert_true(sd_event_run(fixture.loop, 10000) >= 0);
    }
    uint64_t begun = monotonic_ms();
    runner_free(fixture.runner);
    fixture.runner = NULL;
    assert_in_range(monotonic_ms() - begun, 0, 2000);
}

/* The program and its own children end, and the next command runs. */
static void test_time_limit(void **state)
{
    (void)state;
    start("[ \"$(cat)\" = slow ] || exit 0; sleep 100 & echo started; wait");
    uint64_t begun = monotonic_ms();
    add("a", "slow", 4, 300);
    add("b", "fast", 4, 10000);
    wait_for(1);
    assert_false(fixture.done);
    assert_string_equal(fixture.detail, "timed out");
    wait_for(2);
    assert_true(fixture.done);
    assert_true(monotonic_ms() - begun < 5000);
}

static void test_in_order_and_expired_before_its_turn(void **state)
{
    (void)state;
    start("sleep 0.3");
    add("a", "", 0, 10000);
    add("b", "", 0, 100);
    add("c", "", 0, 10000);
    wait_for(2);
    assert_false(fixture.done);
    assert_string_equal(fixture.detail, "expired before its turn");
    wait_for(3);
    assert_true(fixture.done);
    assert_string_equal(fixture.groups, "abc");
}

/* A payload larger than a pipe, to a program that reads it and to one that does not. */
static void test_large_payload(void **state)
{
    static char body[DEVICE_BODY_LIMIT];
    (void)state;
    memset(body, 'x', sizeof(body));
    start("[ \"$GROUPSEAL_GROUP\" = a ] || exit 0; wc -c | tr -d ' '");
    add("a", body, sizeof(body), 10000);
    wait_for(1);
    assert_true(fixture.done);
    assert_string_equal(fixture.detail, "16384");
    add("b", body, sizeof(body), 10000);
    wait_for(2);
    assert_true(fixture.done);
}

static void test_long_line_is_cut(void **state)
{
    (void)state;
    start("head -c 100000 /dev/zero | tr '\\0' y");
    add("a", "", 0, 10000);
    wait_for(1);
    assert_true(fixture.done);
    assert_int_equal(strlen(fixture.detail), DEVICE_DETAIL_LIMIT);
}

static void test_missing_program(void **state)
{
    (void)state;
    fixture.runner =
        runner_new(fixture.loop, "/nonexistent/act", "//sp.example/Sdoor1", on_finished, &fixture);
    add("a", "", 0, 10000);
    wait_for(1);
    assert_false(fixture.done);
    assert_non_null(strstr(fixture.detail, "cannot run"));
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    start("sleep 100");
    for (unsigned i = 0; i < RUNNER_QUEUE_LIMIT; i++) {
        assert_true(add("a", "", 0, 10000));
    }
    assert_false(add("a", "", 0, 10000));
}

/* No descriptor of ours but the three, no blocked signal. */
static void test_program_starts_clean(void **state)
{
    (void)state;
    start("for i in 3 4 5 6 7 8 9 11 12 13 14 15; do [ ! -e /proc/$$/fd/$i ] || echo leak $i; done; "
          "grep SigBlk /proc/$$/status | cut -f2"); /* 10 is the shell's own: its script */
    add("a", "", 0, 10000);
    wait_for(1);
    assert_string_equal(fixture.detail, "0000000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_payload_environment_and_detail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_status_is_the_result, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_limit_in_another_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_in_another_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_order_and_expired_before_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_program, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_starts_clean, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
