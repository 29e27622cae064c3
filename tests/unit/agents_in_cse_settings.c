/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/settings.h"

#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define IDENTITY "identity = \"//sp.example/in-cse\"\n"
#define CERTIFICATES                                                                                         \
    "broker {\n uri = \"mqtts://localhost:8883\"\n ca = \"ca.pem\"\n certificate = \"/abs/c.pem\"\n"         \
    " private-key = \"keys/k.pem\"\n}\n"
#define SECENV "secenv { socket = \"/run/groupseal/in-cse.sock\" }\n"

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
    const char *path = folder_file(&folder, "in-cse.conf",
                                   "# a comment\n" IDENTITY CERTIFICATES SECENV
                                   "operator-socket = \"operator.sock\"\nlog-level = \"debug\"\n",
                                   0600);
    assert_true(settings_open(&settings, path, why, sizeof(why)));
    assert_string_equal(why, "");
    assert_string_equal(settings.identity, "//sp.example/in-cse");
    assert_string_equal(settings.broker.uri, "mqtts://localhost:8883");
    snprintf(expected, sizeof(expected), "%s/ca.pem", folder.path);
    assert_string_equal(settings.broker.ca, expected); /* relative: from the file's folder */
    assert_string_equal(settings.broker.certificate, "/abs/c.pem");
    snprintf(expected, sizeof(expected), "%s/keys/k.pem", folder.path);
    assert_string_equal(settings.broker.private_key, expected);
    assert_null(settings.broker.psk_identity);
    assert_string_equal(settings.secenv.socket_path, "/run/groupseal/in-cse.sock");
    snprintf(expected, sizeof(expected), "%s/operator.sock", folder.path);
    assert_string_equal(settings.operator_socket, expected);
    assert_int_equal(settings.log_level, AGENT_LOG_DEBUG);
    settings_close(&settings);
}

static void test_operator_needs_only_its_socket(void **state)
{
    struct settings settings;
    char why[512] = "";
    (void)state;
    const char *path = folder_file(&folder, "in-cse.conf", "operator-socket = \"/run/o.sock\"\n", 0600);
    assert_true(settings_open_operator(&settings, path, why, sizeof(why)));
    assert_string_equal(settings.operator_socket, "/run/o.sock");
    settings_close(&settings);
}

/* Every complaint, and the word that tells which one it is. */
static void test_complaints(void **state)
{
    static const struct {
        const char *text;
        const char *complaint;
    } wrong[] = {
        {CERTIFICATES SECENV, "identity must be"},
        {"identity = \"in-cse\"\n" CERTIFICATES SECENV, "identity must be"},
        {"identity = \"//sp.example/Sdoor\"\n" CERTIFICATES SECENV, "identity must be"},
        {IDENTITY SECENV, "uri is missing"},
        {IDENTITY "broker { uri = \"http://x\" }\n" SECENV, "uri must be"},
        {IDENTITY "broker { uri = \"mqtts://\" }\n" SECENV, "uri must be"},
        {IDENTITY "broker { uri = \"mqtts://h\" }\n" SECENV, "set ca, certificate and private-key, or"},
        {IDENTITY "broker { uri = \"mqtt://h\" ca = \"x\" }\n" SECENV, "which has no TLS"},
        {IDENTITY "broker { uri = \"mqtts://h\" ca = \"x\" psk-identity = \"y\" psk-file = \"z\" }\n" SECENV,
         "not both"},
        {IDENTITY "broker { uri = \"mqtts://h\" certificate = \"x\" private-key = \"y\" }\n" SECENV,
         "ca is missing"},
        {IDENTITY "broker { uri = \"mqtts://h\" ca = \"a\" certificate = \"x\" }\n" SECENV, "go together"},
        {IDENTITY "broker { uri = \"mqtts://h\" ca = \"a\" private-key = \"x\" }\n" SECENV, "go together"},
        {IDENTITY "broker { uri = \"mqtts://h\" psk-identity = \"x\" }\n" SECENV, "go together"},
        {IDENTITY "broker { uri = \"mqtts://h\" psk-file = \"x\" }\n" SECENV, "go together"},
        {IDENTITY "broker { uri = \"mqtt://h\" password-file = \"x\" }\n" SECENV, "without user-name"},
        {IDENTITY CERTIFICATES, "socket is missing"},
        {IDENTITY CERTIFICATES "secenv { store = \"/x\" }\n", "store"}, /* no embedded authority */
        {IDENTITY CERTIFICATES SECENV "log-level = \"loud\"\n", "log-level"},
        {IDENTITY CERTIFICATES SECENV "operator-sokket = \"/x\"\n", "operator-sokket"},
        {IDENTITY CERTIFICATES SECENV "operator-socket =", "premature end"},
        {"identity = {", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct settings settings;
        char why[512] = "";
        const char *path = folder_file(&folder, "in-cse.conf", wrong[i].text, 0600);
        assert_false(settings_open(&settings, path, why, sizeof(why)));
        settings_close(&settings);
        if (strstr(why, wrong[i].complaint) == NULL || strstr(why, "in-cse.conf") == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, wrong[i].complaint);
        }
    }
}

static void test_missing_file(void **state)
{
    struct settings settings;
    char why[512] = "";
    (void)state;
    assert_false(settings_open(&settings, "/nonexistent/in-cse.conf", why, sizeof(why)));
    assert_non_null(strstr(why, "/nonexistent/in-cse.conf"));
    settings_close(&settings);
    assert_false(settings_open(&settings, "/", why, sizeof(why)));
    assert_non_null(strstr(why, "not a file"));
    settings_close(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_operator_needs_only_its_socket),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
