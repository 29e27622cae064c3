/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/check/checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each wrong configuration differs in one line from a good one, and is told with that line. */

#define SETTINGS "per_listener_settings false\n"
#define PLUGIN                                                                                               \
    "plugin /usr/lib/groupseal/mn_cse.so\nplugin_opt_cse_id //sp.example/mn-1\n"                             \
    "plugin_opt_in_cse //sp.example/in-cse\nplugin_opt_identity //sp.example/%u\n"                           \
    "plugin_opt_secenv_socket /run/s\n"
#define ALLOW "plugin_opt_foreign allow\n"
#define DEFER "plugin_opt_foreign defer\n"
#define TLS "listener 8883\ncertfile c\nkeyfile k\ncafile ca\n"
#define PROVEN "require_certificate true\nuse_identity_as_username true\n"
#define ONE "use_username_as_clientid true\n"
#define GOOD SETTINGS PLUGIN ALLOW TLS PROVEN ONE
#define BRIDGE GOOD "connection to-in-cse\naddress in-cse.sp.example:8883\n"

struct told {
    char lines[32][1200];
    size_t count;
};

static void keep(void *context, const struct complaint *complaint)
{
    struct told *told = context;
    assert_true(told->count < 32);
    snprintf(told->lines[told->count++], sizeof(told->lines[0]), "%s:%u: %s: %s", complaint->file,
             complaint->line, complaint->rank == CHECK_ERROR ? "error" : "warning", complaint->text);
}

static unsigned check(const char *text, struct told *told)
{
    struct conf conf;
    char why[300] = "";
    told->count = 0;
    if (!conf_text(&conf, "m.conf", text, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    unsigned errors = checks_run(&conf, keep, told);
    conf_clear(&conf);
    return errors;
}

static void test_good(void **state)
{
    static const char *const good[] = {
        GOOD,
        SETTINGS PLUGIN DEFER "acl_file /a\n" TLS PROVEN ONE,
        SETTINGS PLUGIN DEFER "plugin /usr/lib/mosquitto_dynamic_security.so\n" TLS PROVEN ONE,
        SETTINGS PLUGIN ALLOW "psk_file /p\nlistener 8884\npsk_hint x\nuse_identity_as_username true\n" ONE,
        SETTINGS PLUGIN ALLOW "password_file /p\nlistener 1883 127.0.0.1\n" ONE,
        SETTINGS PLUGIN ALLOW "password_file /p\nlistener 0 /run/mosquitto.sock\n" ONE,
        SETTINGS PLUGIN ALLOW "password_file /p\n" TLS ONE,
        BRIDGE
        "topic /oneM2M/req/in-cse/mn-1/json in 1\ntopic /oneM2M/resp/mn-1/in-cse/json in 1\n"
        "topic /oneM2M/req/mn-1/in-cse/json out 1\ntopic resp/in-cse/mn-1/json out 1 /oneM2M/ /oneM2M/\n"
        "topic sensors/# out 0\ntopic a/+/# both 0 \"\" b/\n",
        "# comment\n\n  " GOOD "   \n",
    };
    struct told told;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        unsigned errors = check(good[i], &told);
        if (errors > 0 || told.count > 0) {
            fail_msg("%zu: %s", i, told.lines[0]);
        }
    }
}

static void test_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *expected;
    } wrong[] = {
        {SETTINGS TLS PROVEN ONE, "m.conf:1: error: the plugin is not loaded: write `plugin /usr/lib"},
        {GOOD PLUGIN, "m.conf:15: error: one broker is one MN-CSE: remove"},
        {"per_listener_settings true\n" PLUGIN ALLOW TLS PROVEN ONE,
         "m.conf:1: error: a plugin then covers one listener only"},
        {SETTINGS PLUGIN ALLOW "plugin_opt_moode enforce\n" TLS PROVEN ONE,
         "m.conf:8: error: plugin_opt_moode is not known: remove the line"},
        {SETTINGS PLUGIN ALLOW "plugin_opt_foreign defer\n" TLS PROVEN ONE,
         "m.conf:8: error: plugin_opt_foreign is given twice"},
        {SETTINGS PLUGIN TLS PROVEN ONE, "m.conf:2: error: what is to become of topics"},
        {SETTINGS PLUGIN ALLOW
         "plugin_opt_rules /does/not/exist\nplugin_opt_commander mn-cse\n" TLS PROVEN ONE,
         "m.conf:2: error: the rules in /does/not/exist"},
        {SETTINGS PLUGIN ALLOW "plugin_opt_mode observe\n" TLS PROVEN ONE,
         "m.conf:2: warning: `mode observe` protects nothing"},
        {SETTINGS "plugin /usr/lib/mosquitto_dynamic_security.so\n" PLUGIN DEFER TLS PROVEN ONE,
         "m.conf:2: error: this plugin comes before mn_cse.so"},
        {SETTINGS "plugin_load seal /usr/lib/groupseal/mn_cse.so\n" ALLOW TLS PROVEN ONE,
         "m.conf:2: error: listeners without `plugin_use` are not covered: write `global_plugin /usr/lib"},
        {SETTINGS "auth_plugin /usr/lib/other.so\n" PLUGIN DEFER TLS PROVEN ONE,
         "m.conf:2: warning: this plugin comes before mn_cse.so"},
        {SETTINGS PLUGIN DEFER TLS PROVEN ONE, "m.conf:2: error: with `foreign defer` and neither"},
        {SETTINGS PLUGIN ALLOW "acl_file /a\n" TLS PROVEN ONE,
         "m.conf:8: warning: with `foreign allow` this file"},
        {SETTINGS PLUGIN ALLOW, "m.conf:1: error: without a listener"},
        {SETTINGS PLUGIN ALLOW TLS "require_certificate true\n" ONE,
         "m.conf:12: warning: clients choose user names here"},
        {SETTINGS PLUGIN ALLOW TLS "require_certificate true\nuse_subject_as_username true\n" ONE,
         "m.conf:13: warning: names are whole subjects here"},
        {SETTINGS PLUGIN ALLOW TLS ONE, "m.conf:8: error: nothing proves a client's name here"},
        {SETTINGS PLUGIN ALLOW TLS PROVEN, "m.conf:8: warning: a client can end another's connection"},
        {SETTINGS PLUGIN ALLOW "psk_file /p\nlistener 8884\npsk_hint x\n" ONE,
         "m.conf:10: error: any key may claim any user name here"},
        {SETTINGS PLUGIN ALLOW "listener 8884\npsk_hint x\nuse_identity_as_username true\n" ONE,
         "m.conf:9: error: there are no pre-shared keys"},
        {SETTINGS PLUGIN ALLOW "password_file /p\nlistener 1883\n" ONE,
         "m.conf:9: warning: passwords cross the network in the clear"},
        {SETTINGS PLUGIN ALLOW "allow_anonymous true\npassword_file /p\nlistener 1883 127.0.0.1\n" ONE,
         "m.conf:8: error: clients without a name may connect"},
        {SETTINGS PLUGIN ALLOW "password_file /p\nport 1883\n" ONE, "m.conf:9: warning: passwords cross"},
        {BRIDGE "topic # both 1\n", "m.conf:17: error: this bridge carries group topics (#)"},
        {BRIDGE "topic # both 1\n", "m.conf:17: error: this bridge carries more of /oneM2M/"},
        {BRIDGE "topic groupseal/# out 1\n", "m.conf:17: error: this bridge carries group topics"},
        {BRIDGE "topic +/v1/# out 1\n", "m.conf:17: error: this bridge carries group topics"},
        {BRIDGE "topic # out 1 groupseal/v1/ x/\n",
         "m.conf:17: error: this bridge carries group topics (groupseal/v1/#)"},
        {BRIDGE "topic # in 1 x/ groupseal/\n",
         "m.conf:17: error: this bridge carries group topics (groupseal/#)"},
        {BRIDGE "topic /oneM2M/# out 1\n", "m.conf:17: error: this bridge carries more of /oneM2M/"},
        {BRIDGE "topic /oneM2M/req/+/mn-1/json in 1\n",
         "m.conf:17: error: this bridge carries more of /oneM2M/"},
        {BRIDGE "topic /oneM2M/req/in-cse/mn-1/json both 1\n", "m.conf:17: error: this bridge carries more"},
        {BRIDGE "topic /oneM2M/req/in-cse/mn-1/json out 1\n",
         "write `topic /oneM2M/req/in-cse/mn-1/json in 1`"},
        {BRIDGE "topic /oneM2M/req/Sdoor1/mn-1/json in 1\n", "m.conf:17: error: this bridge carries more"},
    };
    struct told told;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        unsigned errors = check(wrong[i].text, &told);
        bool found = false;
        for (size_t j = 0; j < told.count; j++) {
            found = found || strstr(told.lines[j], wrong[i].expected) != NULL;
        }
        if (!found || (errors > 0) != (strstr(wrong[i].expected, "warning") == NULL)) {
            fail_msg("%zu: %u errors, first: %s", i, errors, told.count == 0 ? "none" : told.lines[0]);
        }
    }
}

static void test_overlap(void **state)
{
    static const struct {
        const char *left;
        const char *right;
        bool overlap;
    } cases[] = {
        {"#", "groupseal/#", true},
        {"+/#", "groupseal/#", true},
        {"groupseal", "groupseal/#", true},
        {"groupseals/#", "groupseal/#", false},
        {"sensors/#", "groupseal/#", false},
        {"/#", "groupseal/#", false},
        {"/oneM2M", "/oneM2M/#", true},
        {"/+/#", "/oneM2M/#", true},
        {"+/oneM2M/x", "/oneM2M/#", true},
        {"oneM2M/#", "/oneM2M/#", false},
        {"a/b", "a/b", true},
        {"a/b", "a/b/c", false},
        {"a/+/c", "+/b/+", true},
        {"", "a", false},
        {"a/b/#", "a/b", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (filters_overlap(cases[i].left, cases[i].right) != cases[i].overlap ||
            filters_overlap(cases[i].right, cases[i].left) != cases[i].overlap) {
            fail_msg("%s and %s", cases[i].left, cases[i].right);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_overlap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
