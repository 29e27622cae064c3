/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/configuration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

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
    assert_true(read_options(embedded, why, sizeof(why), &configuration));
    assert_true(configuration_foreign_allowed(&configuration));
    const struct secenv_client_settings secenv = configuration_secenv(&configuration);
    assert_null(secenv.socket_path);
    assert_string_equal(secenv.store, "/var/lib/mosquitto/secenv");
    assert_string_equal(secenv.program, "/bin/true");
    assert_string_equal(secenv.audit_socket, "/run/groupseal/audit.sock");
    assert_string_equal(secenv.root_key, "/etc/groupseal/root.key");
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
        {{IDS, FOREIGN, SOCKET, {"mode", "enforce"}, {NULL, NULL}}, "plugin_opt_mode"},
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
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
