/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/output.h"

#include "agents/log.h"
#include "agents/program.h"
#include "agents/timer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A pipe that is read when the test says so. */
struct fixture {
    sd_event *loop;
    struct output *output;
    int ends[2];
    char text[4 * 1024 * 1024];
    size_t length;
};

static struct fixture fixture;

static int setup(void **state)
{
    (void)state;
    fixture.length = 0;
    fixture.loop = program_loop();
    if (pipe2(fixture.ends, O_CLOEXEC) != 0 || fcntl(fixture.ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return 1;
    }
    fixture.output = output_open(fixture.loop, fixture.ends[1]);
    return fixture.output == NULL;
}

static int teardown(void **state)
{
    (void)state;
    output_close(fixture.output);
    close(fixture.ends[0]);
    close(fixture.ends[1]);
    sd_event_unref(fixture.loop);
    return 0;
}

/* Reads all that comes, with the loop going on. */
static void read_all(void)
{
    for (int idle = 0; idle < 3;) {
        ssize_t got =
            read(fixture.ends[0], fixture.text + fixture.length, sizeof(fixture.text) - fixture.length - 1);
        if (got > 0) {
            fixture.length += (size_t)got;
            idle = 0;
        } else {
            idle++;
        }
        assert_true(sd_event_run(fixture.loop, 1000) >= 0);
    }
    fixture.text[fixture.length] = '\0';
}

static size_t lines_read(void)
{
    size_t count = 0;
    for (size_t i = 0; i < fixture.length; i++) {
        count += fixture.text[i] == '\n';
    }
    return count;
}

static void message_put(size_t length)
{
    static uint8_t body[DEVICE_BODY_LIMIT];
    memset(body, 'x', sizeof(body));
    struct device_message message = {"doors", "//sp.example/Sdoor2", body, length, false};
    output_message(fixture.output, &message);
}

static void test_at_once(void **state)
{
    (void)state;
    output_joined(fixture.output, "doors");
    read_all();
    assert_string_equal(fixture.text, "{\"event\":\"joined\",\"group\":\"doors\"}\n");
}

/* A slow reader gets all of it. */
static void test_waits_for_a_slow_reader(void **state)
{
    enum { COUNT = 50 };
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        message_put(DEVICE_BODY_LIMIT);
    }
    read_all();
    assert_int_equal(lines_read(), COUNT);
    assert_true(fixture.length > COUNT * DEVICE_BODY_LIMIT);
}

/* One that hangs gets what has its place, in whole lines, and again what comes when it is back. */
static void test_drops_for_one_that_hangs(void **state)
{
    (void)state;
    uint64_t start = monotonic_ms();
    for (int i = 0; i < 200; i++) {
        message_put(DEVICE_BODY_LIMIT);
    }
    assert_in_range(monotonic_ms() - start, 0, 5000);
    read_all();
    assert_in_range(lines_read(), OUTPUT_BYTES_LIMIT / DEVICE_BODY_LIMIT - 2, 80);
    assert_int_equal(fixture.text[fixture.length - 1], '\n');
    fixture.length = 0;
    output_departed(fixture.output, "doors", "evicted");
    read_all();
    assert_string_equal(fixture.text,
                        "{\"event\":\"departed\",\"group\":\"doors\",\"reason\":\"evicted\"}\n");
}

/* Nobody is there to read: neither an end nor a wait. */
static void test_reader_is_gone(void **state)
{
    (void)state;
    close(fixture.ends[0]);
    uint64_t start = monotonic_ms();
    for (int i = 0; i < 200; i++) {
        message_put(DEVICE_BODY_LIMIT);
    }
    output_close(fixture.output);
    fixture.output = NULL;
    assert_in_range(monotonic_ms() - start, 0, 900);
    fixture.ends[0] = fixture.ends[1];
    fixture.ends[1] = -1;
}

static void test_file(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    struct output *output = output_open(fixture.loop, fileno(file));
    assert_non_null(output);
    output_joined(output, "doors");
    assert_int_equal(lseek(fileno(file), 0, SEEK_END),
                     (off_t)strlen("{\"event\":\"joined\",\"group\":\"doors\"}\n"));
    output_close(output);
    assert_int_equal(fclose(file), 0);
}

/* The log likewise: it goes to standard error, for which the pipe stands here. */
static void test_log_that_nobody_reads(void **state)
{
    char said[64];
    (void)state;
    int kept = dup(STDERR_FILENO);
    assert_int_equal(dup2(fixture.ends[1], STDERR_FILENO), STDERR_FILENO);
    uint64_t start = monotonic_ms();
    const int count = 3000;
    for (int i = 0; i < count; i++) {
        agent_log(AGENT_LOG_WARNING, "line %d of many, and long enough to fill the pipe at some time", i);
    }
    uint64_t took = monotonic_ms() - start;
    read_all();
    size_t taken = lines_read();
    fixture.length = 0;
    agent_log(AGENT_LOG_WARNING, "again");
    read_all();
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_in_range(took, 0, 5000);
    assert_in_range(taken, 100, (size_t)count - 1);
    snprintf(said, sizeof(said), "%zu lines are missing here\n", (size_t)count - taken);
    assert_non_null(strstr(fixture.text, said));
    assert_non_null(strstr(fixture.text, "warning: again\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_a_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drops_for_one_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_that_nobody_reads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
