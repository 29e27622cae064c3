/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/settings.h"

#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NAMES "identity = \"//sp.example/Sdoor1\"\nregistrar = \"//sp.example/mn-1\"\n"
#define PSK                                                                                                  \
    "broker {\n uri = \"mqtts://localhost:8884\"\n psk-identity = \"Sdoor1\"\n psk-file = \"hop.psk\"\n}\n"
#define STORE "secenv { store = \"store\" }\n"

static struct folder folder;

static int setup(void **state)
{
    (void)state;
    folder_make(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

static void test_complete(void **state)
{
    struct settings settings;
    char why[512] = "";
    char expected[128];
    (void)state;
    folder_file(&folder, "act", "#!/bin/sh\n", 0700);
    const char *path = folder_file(&folder, "adn-ae.conf",
                                   NAMES PSK "secenv {\n store = \"store\"\n program = \"/usr/bin/secenv\"\n"
                                             " root-key = \"root.key\"\n audit-socket = \"audit\"\n}\n"
                                             "command-program = \"act\"\nmessage-socket = \"say\"\n",
                                   0600);
    assert_true(settings_open(&settings, path, why, sizeof(why)));
    assert_string_equal(settings.device.identity, "//sp.example/Sdoor1");
    assert_string_equal(settings.device.registrar, "//sp.example/mn-1");
    assert_string_equal(settings.device.app_id, "Ngroupseal");
    assert_string_equal(settings.device.broker.psk_identity, "Sdoor1");
    snprintf(expected, sizeof(expected), "%s/hop.psk", folder.path);
    assert_string_equal(settings.device.broker.psk_file, expected);
    snprintf(expected, sizeof(expected), "%s/store", folder.path);
    assert_string_equal(settings.device.secenv.store, expected);
    assert_string_equal(settings.device.secenv.program, "/usr/bin/secenv");
    assert_null(settings.device.secenv.socket_path);
    snprintf(expected, sizeof(expected), "%s/act", folder.path);
    assert_string_equal(settings.command_program, expected);
    snprintf(expected, sizeof(expected), "%s/say", folder.path);
    assert_string_equal(settings.message_socket, expected);
    assert_int_equal(settings.log_level, AGENT_LOG_INFO);
    settings_close(&settings);
}

static void test_least(void **state)
{
    struct settings settings;
    char why[512] = "";
    (void)state;
    const char *path =
        folder_file(&folder, "adn-ae.conf",
                    "identity = \"//sp.example/mn-1/Cdoor1\"\nregistrar = \"//sp.example/mn-1\"\n" PSK
                    "secenv { socket = \"/run/s\" }\n",
                    0600);
    assert_true(settings_open(&settings, path, why, sizeof(why)));
    assert_null(settings.command_program);
    assert_null(settings.message_socket);
    assert_string_equal(settings.device.secenv.socket_path, "/run/s");
    settings_close(&settings);
}

static void test_complaints(void **state)
{
    static const struct {
        const char *text;
        const char *complaint;
    } wrong[] = {
        {"registrar = \"//sp.example/mn-1\"\n" PSK STORE, "identity must be"},
        {"identity = \"//sp.example/mn-1\"\nregistrar = \"//sp.example/mn-1\"\n" PSK STORE,
         "identity must be"},
        {"identity = \"Sdoor1\"\nregistrar = \"//sp.example/mn-1\"\n" PSK STORE, "identity must be"},
        {"identity = \"//sp.example/Sdoor1\"\n" PSK STORE, "registrar must be"},
        {"identity = \"//sp.example/Sdoor1\"\nregistrar = \"mn-1\"\n" PSK STORE, "registrar must be"},
        {"identity = \"//sp.example/Sdoor1\"\nregistrar = \"//sp.example/Sdoor2\"\n" PSK STORE,
         "registrar must be"},
        {NAMES "app-id = \"door\"\n" PSK STORE, "app-id"},
        {NAMES STORE, "uri is missing"},
        {NAMES PSK, "set socket"},
        {NAMES PSK "secenv { socket = \"/x\" store = \"/y\" }\n", "the one or the other"},
        {NAMES PSK "secenv { socket = \"/x\" program = \"/y\" }\n", "the one or the other"},
        {NAMES PSK STORE "command-program = \"missing\"\n", "command-program"},
        {NAMES PSK STORE "log-level = \"loud\"\n", "log-level"},
        {NAMES PSK STORE "colour = \"red\"\n", "colour"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct settings settings;
        char why[512] = "";
        const char *path = folder_file(&folder, "adn-ae.conf", wrong[i].text, 0600);
        assert_false(settings_open(&settings, path, why, sizeof(why)));
        settings_close(&settings);
        if (strstr(why, wrong[i].complaint) == NULL || strstr(why, "adn-ae.conf") == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, wrong[i].complaint);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_complaints),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
