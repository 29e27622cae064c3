/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/device.h"

#include "agents/timer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The device as an application embeds it, with its own loop: device_fd and device_turn. Nobody is at the
 * broker's port nor at the secure environment's socket: what an application sees then. */
struct answers {
    int count;
    char error[512];
};

static void on_command(void *context, const struct device_command *command)
{
    (void)context;
    (void)command;
    fail();
}

static void on_message(void *context, const struct device_message *message)
{
    (void)context;
    (void)message;
    fail();
}

static void on_joined(void *context, const char *group)
{
    (void)context;
    (void)group;
    fail();
}

static void on_departed(void *context, const char *group, const char *reason)
{
    (void)context;
    (void)group;
    (void)reason;
    fail();
}

static const struct device_callbacks callbacks = {on_command, on_message, on_joined, on_departed};

static const struct device_settings settings = {.identity = "//sp.example/Sdoor1",
                                                .registrar = "//sp.example/mn-1",
                                                .app_id = "Ntest",
                                                .broker = {.uri = "mqtt://127.0.0.1:1"},
                                                .secenv = {.socket_path = "/nonexistent/secenv"}};

static void on_said(void *context, const char *error)
{
    struct answers *answers = context;
    answers->count++;
    snprintf(answers->error, sizeof(answers->error), "%s", error != NULL ? error : "");
}

/* Polls as an application would, for a while; the number of turns. */
static int turns(struct device *device, uint64_t ms)
{
    int count = 0;
    uint64_t end = monotonic_ms() + ms;
    while (monotonic_ms() < end) {
        struct pollfd readable = {.fd = device_fd(device), .events = POLLIN};
        if (poll(&readable, 1, 20) > 0) {
            assert_true(device_turn(device));
            count++;
        }
    }
    return count;
}

static void test_messages_wait_and_are_answered_at_the_end(void **state)
{
    char why[256] = "";
    struct answers answers = {0};
    (void)state;
    struct device *device = device_new(NULL, &settings, &callbacks, NULL, why, sizeof(why));
    assert_non_null(device);
    assert_true(device_turn(device));
    assert_true(device_say(device, "doors", (const uint8_t *)"x", 1, on_said, &answers));
    assert_int_equal(answers.count, 0);
    assert_true(turns(device, 1500) < 500); /* timers wake it, it does not spin */
    assert_int_equal(answers.count, 0);
    device_free(device);
    assert_int_equal(answers.count, 1);
    assert_non_null(strstr(answers.error, "ends"));
}

static void test_bounds(void **state)
{
    static uint8_t body[DEVICE_BODY_LIMIT + 1];
    static const uint8_t id[DEVICE_COMMAND_ID_SIZE] = {1};
    char why[256] = "";
    struct answers answers = {0};
    (void)state;
    struct device *device = device_new(NULL, &settings, &callbacks, NULL, why, sizeof(why));
    assert_non_null(device);
    assert_false(device_say(device, "doors", body, sizeof(body), on_said, &answers));
    assert_false(device_say(device, "0123456789012345678901234567890123456789012345678901234567890123456789",
                            body, 1, on_said, &answers));
    for (unsigned i = 0; i < DEVICE_MESSAGES_LIMIT; i++) {
        assert_true(device_say(device, "doors", body, DEVICE_BODY_LIMIT, on_said, &answers));
    }
    assert_false(device_say(device, "doors", body, 1, on_said, &answers));
    assert_true(device_finish(device, "doors", id, true, NULL));
    device_free(device);
    assert_int_equal(answers.count, DEVICE_MESSAGES_LIMIT);
}

static void test_wrong_settings(void **state)
{
    char why[256] = "";
    (void)state;
    struct device_settings wrong = settings;
    wrong.identity = "//sp.example/mn-1";
    assert_null(device_new(NULL, &wrong, &callbacks, NULL, why, sizeof(why)));
    assert_non_null(strstr(why, "AE-ID"));
    wrong = settings;
    wrong.registrar = "mn-1";
    assert_null(device_new(NULL, &wrong, &callbacks, NULL, why, sizeof(why)));
    wrong = settings;
    wrong.broker.uri = "mqtts://localhost:1";
    wrong.broker.ca = "/nonexistent/ca.pem";
    assert_null(device_new(NULL, &wrong, &callbacks, NULL, why, sizeof(why)));
    assert_non_null(strstr(why, "/nonexistent/ca.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_wait_and_are_answered_at_the_end),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_wrong_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
