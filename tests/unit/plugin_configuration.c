/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/configuration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every wrong or missing option says which line to write. */

#define OPTIONS_MAX 10

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static bool read_options(const char *const (*options)[2], char *why, size_t why_size,
                         struct configuration *configuration)
{
    struct mosquitto_opt given[OPTIONS_MAX];
    int count = 0;
    for (; options[count][0] != NULL; count++) {
        given[count].key = text(options[count][0]);
        given[count].value = text(options[count][1]);
    }
    return configuration_read(configuration, given, count, why, why_size);
}

#define IDS                                                                                                  \
    {"cse_id", "//sp.example/mn-1"}, {"in_cse", "//sp.example/in-cse"},                                      \
    {                                                                                                        \
        "identity", "//sp.example/%u"                                                                        \
    }

static void test_good(void **state)
{
    static const char *const service[][2] = {
        IDS, {"foreign", "defer"}, {"secenv_socket", "/run/groupseal/owner.sock"}, {NULL, NULL}};
    static const char *const embedded[][2] = {IDS,
                                              {"foreign", "allow"},
                                              {"secenv_store", "/var/lib/mosquitto/secenv"},
                                              {"secenv_program", "/bin/true"},
                                              {"secenv_audit_socket", "/run/groupseal/audit.sock"},
                                              {"secenv_root_key", "/etc/groupseal/root.key"},
                                              {NULL, NULL}};
    struct configuration configuration;
    char why[512] = "";
    (void)state;
    assert_true(read_options(service, why, sizeof(why), &configuration));
    assert_false(configuration_foreign_allowed(&configuration));
    assert_string_equal(configuration_agent(&configuration).identity, "//sp.example/%u");
    assert_string_equal(configuration_secenv(&configuration).socket_path, "/run/groupseal/owner.sock");
    assert_null(configuration_secenv(&configuration).store);
    configuration_clear(&configuration);
    assert_true(read_options(embedded, why, sizeof(why), &configuration));
    assert_true(configuration_foreign_allowed(&configuration));
    const struct secenv_client_settings secenv = configuration_secenv(&configuration);
    assert_null(secenv.socket_path);
    assert_string_equal(secenv.store, "/var/lib/mosquitto/secenv");
    assert_string_equal(secenv.program, "/bin/true");
    assert_string_equal(secenv.audit_socket, "/run/groupseal/audit.sock");
    assert_string_equal(secenv.root_key, "/etc/groupseal/root.key");
    assert_false(configuration_agent(&configuration).observe);
    assert_int_equal(configuration_agent(&configuration).log_level, AGENT_INFO);
    configuration_clear(&configuration);
}

#define SOCKET                                                                                               \
    {                                                                                                        \
        "secenv_socket", "/run/s"                                                                            \
    }
#define FOREIGN                                                                                              \
    {                                                                                                        \
        "foreign", "defer"                                                                                   \
    }

static void test_wrong(void **state)
{
    static const struct {
        const char *const options[OPTIONS_MAX][2];
        const char *why;
    } wrong[] = {
        {{IDS, SOCKET, {NULL, NULL}}, "plugin_opt_foreign allow"},
        {{IDS, SOCKET, {"foreign", "yes"}, {NULL, NULL}}, "plugin_opt_foreign defer"},
        {{IDS, FOREIGN, {NULL, NULL}}, "plugin_opt_secenv_socket"},
        {{IDS, FOREIGN, SOCKET, {"secenv_store", "/s"}, {NULL, NULL}}, "not both"},
        {{IDS, FOREIGN, SOCKET, {"secenv_program", "/bin/true"}, {NULL, NULL}}, "secenv_store"},
        {{IDS, FOREIGN, SOCKET, {"secenv_root_key", "/k"}, {NULL, NULL}}, "secenv_store"},
        {{IDS, FOREIGN, SOCKET, SOCKET, {NULL, NULL}}, "twice"},
        {{IDS, FOREIGN, SOCKET, {"mode", "off"}, {NULL, NULL}}, "plugin_opt_mode enforce"},
        {{IDS, FOREIGN, SOCKET, {"moode", "enforce"}, {NULL, NULL}}, "plugin_opt_moode is not known"},
        {{IDS, FOREIGN, SOCKET, {"rules", "/r"}, {NULL, NULL}}, "write that line"},
        {{IDS, FOREIGN, SOCKET, {"rules", "/r"}, {"commander", "in-cse"}, {NULL, NULL}}, "authority only"},
        {{IDS, FOREIGN, SOCKET, {"commander", "me"}, {NULL, NULL}}, "plugin_opt_commander mn-cse"},
        {{IDS, FOREIGN, SOCKET, {"log_level", "debug"}, {NULL, NULL}}, "plugin_opt_log_level warning"},
        {{IDS, FOREIGN, SOCKET, {"settings", "groupseal"}, {NULL, NULL}}, "absolute path"},
        {{IDS, FOREIGN, SOCKET, {"settings", "/does/not/exist"}, {NULL, NULL}}, "cannot be read"},
        {{IDS, FOREIGN, {"secenv_socket", "owner.sock"}, {NULL, NULL}}, "absolute path"},
        {{IDS, FOREIGN, {"secenv_socket", ""}, {NULL, NULL}}, "no value"},
        {{IDS, FOREIGN, {"secenv_socket", NULL}, {NULL, NULL}}, "no value"},
        {{IDS, FOREIGN, {"secenv_store", "/s"}, {"secenv_program", "/does/not/exist"}, {NULL, NULL}},
         "cannot be run"},
        {{IDS,
          FOREIGN,
          {"secenv_socket",
           "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
           "aaaaaaaaaaaaaaaaaaaa"},
          {NULL, NULL}},
         "longer"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct configuration configuration;
        char why[512] = "";
        if (read_options(wrong[i].options, why, sizeof(why), &configuration) ||
            strstr(why, wrong[i].why) == NULL) {
            fail_msg("%zu: %s", i, why);
        }
        configuration_clear(&configuration);
    }
}

/* ---- the settings file ---- */

static char settings_path[] = "/tmp/groupseal-settings-XXXXXX";

static void settings_write(const char *text, size_t length)
{
    FILE *file = fopen(settings_path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static bool settings_read(const char *text, char *why, size_t why_size, struct configuration *configuration)
{
    const char *const options[][2] = {{"cse_id", "//sp.example/mn-1"},
                                      {"in_cse", "//sp.example/in-cse"},
                                      {"secenv_socket", "/run/s"},
                                      {"settings", settings_path},
                                      {NULL, NULL}};
    settings_write(text, strlen(text));
    return read_options(options, why, why_size, configuration);
}

static void test_settings(void **state)
{
    struct configuration configuration;
    char why[512] = "";
    (void)state;
    assert_true(settings_read("# comment\n\n  foreign\tallow  \r\nidentity //sp.example/%u\nmode observe\n"
                              "log_level error",
                              why, sizeof(why), &configuration));
    assert_true(configuration_foreign_allowed(&configuration));
    const struct agent_settings settings = configuration_agent(&configuration);
    assert_string_equal(settings.identity, "//sp.example/%u");
    assert_true(settings.observe);
    assert_int_equal(settings.log_level, AGENT_ALARM);
    configuration_clear(&configuration);
}

static void test_settings_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"foreign allow\nmode maybe",
         "line 2: mode maybe is not known: write `mode enforce` or `mode observe`"},
        {"foreign allow\nforeign defer", "line 2: foreign is given twice"},
        {"foreign allow\ncse_id //sp.example/mn-2", "line 2: cse_id is read at the start only: write it as "
                                                    "`plugin_opt_cse_id //sp.example/mn-2`"},
        {"foreign allow\nplugin_opt_mode enforce", "line 2: plugin_opt_mode is not known"},
        {"foreign allow\nmode", "line 2: mode has no value"},
        {"mode enforce\n", "plugin_opt_foreign"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct configuration configuration;
        char why[512] = "";
        if (settings_read(wrong[i].text, why, sizeof(why), &configuration) ||
            strstr(why, wrong[i].why) == NULL) {
            fail_msg("%zu: %s", i, why);
        }
        configuration_clear(&configuration);
    }
}

static void test_settings_no_text(void **state)
{
    struct configuration configuration;
    const char *const options[][2] = {{"settings", settings_path}, {NULL, NULL}};
    char why[512] = "";
    static char large[CONFIGURATION_FILE_LIMIT + 1];
    (void)state;
    settings_write("foreign allow\0", 14);
    assert_false(read_options(options, why, sizeof(why), &configuration));
    assert_non_null(strstr(why, "is no text"));
    configuration_clear(&configuration);
    memset(large, '\n', sizeof(large));
    settings_write(large, sizeof(large));
    assert_false(read_options(options, why, sizeof(why), &configuration));
    assert_non_null(strstr(why, "is no text"));
    configuration_clear(&configuration);
    settings_write(large, sizeof(large) - 1);
    assert_false(read_options(options, why, sizeof(why), &configuration));
    assert_non_null(strstr(why, "plugin_opt_foreign"));
    configuration_clear(&configuration);
}

static int settings_make(void **state)
{
    (void)state;
    int file = mkstemp(settings_path);
    return file < 0 ? -1 : close(file);
}

static int settings_remove(void **state)
{
    (void)state;
    return unlink(settings_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_settings), cmocka_unit_test(test_settings_wrong),
                                       cmocka_unit_test(test_settings_no_text)};
    return cmocka_run_group_tests(tests, settings_make, settings_remove);
}
