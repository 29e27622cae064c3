/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/roster_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEADER "name,kind,mode,psk_file,site,functions\n"

static bool reads(const char *text, struct roster_file *out, char *why)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(file);
    bool read = roster_file_read(file, out, why, 256);
    fclose(file);
    return read;
}

static void test_rows(void **state)
{
    struct roster_file file;
    char why[256] = "";
    (void)state;
    assert_true(reads(HEADER "//sp.example/mn-1,mn-cse,cert,,,\r\n"
                             "\"Sdoor1\",adn-ae,psk,keys/Sdoor1.psk,mn-1,door;exit\n"
                             "\n"
                             "Sdoor2,adn-ae,cert,,//sp.example/mn-1,\"door\"",
                      &file, why));
    assert_int_equal(file.count, 3);
    assert_string_equal(file.rows[0].name, "//sp.example/mn-1");
    assert_true(file.rows[0].mn_cse);
    assert_false(file.rows[0].psk);
    assert_int_equal(file.rows[0].function_count, 0);
    assert_int_equal(file.rows[0].line, 2);
    assert_true(file.rows[1].psk);
    assert_string_equal(file.rows[1].psk_file, "keys/Sdoor1.psk");
    assert_string_equal(file.rows[1].site, "mn-1");
    assert_int_equal(file.rows[1].function_count, 2);
    assert_string_equal(file.rows[1].functions[1], "exit");
    assert_string_equal(file.rows[2].functions[0], "door");
    roster_file_clear(&file);
}

static void test_complaints(void **state)
{
    static const struct {
        const char *text;
        const char *complaint;
    } wrong[] = {
        {"Sdoor1,adn-ae,cert,,mn-1,door\n", "row 1: the first row must be"},
        {"name,kind,mode\n", "row 1: 3 columns"},
        {HEADER "Sdoor1,adn-ae,cert,,mn-1\n", "row 2: 5 columns"},
        {HEADER "Sdoor1,adn-ae,cert,,mn-1,door,more\n", "row 2: 7 columns"},
        {HEADER ",adn-ae,cert,,mn-1,door\n", "name is empty"},
        {HEADER "Sdoor1,door,cert,,mn-1,door\n", "kind must be"},
        {HEADER "Sdoor1,adn-ae,none,,mn-1,door\n", "mode must be"},
        {HEADER "Sdoor1,adn-ae,psk,,mn-1,door\n", "needs a psk_file"},
        {HEADER "Sdoor1,adn-ae,cert,x,mn-1,door\n", "has no psk_file"},
        {HEADER "Sdoor1,adn-ae,cert,,,door\n", "needs a site"},
        {HEADER "mn-1,mn-cse,cert,,mn-1,\n", "has no site"},
        {HEADER "Sdoor1,adn-ae,cert,,mn-1,door\nSdoor2,adn-ae,cert,,mn-1\n", "row 3"},
        {HEADER "\"Sdoor1,adn-ae,cert,,mn-1,door\n", "not CSV"},
        {HEADER "Sd\"oor1,adn-ae,cert,,mn-1,door\n", "not CSV"},
        {HEADER "Sdoor1,adn-ae,cert,,mn-1,"
                "a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a\n",
         "more than 32 functions"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct roster_file file;
        char why[256] = "";
        assert_false(reads(wrong[i].text, &file, why));
        assert_int_equal(file.count, 0);
        if (strstr(why, wrong[i].complaint) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, wrong[i].complaint);
        }
    }
}

static void test_empty_file(void **state)
{
    struct roster_file file;
    char why[256] = "";
    FILE *empty = fopen("/dev/null", "re");
    (void)state;
    assert_false(roster_file_read(empty, &file, why, sizeof(why)));
    assert_non_null(strstr(why, "empty"));
    fclose(empty);
    assert_true(reads(HEADER, &file, why));
    assert_int_equal(file.count, 0);
    roster_file_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_empty_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
