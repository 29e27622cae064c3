/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/identifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CSE "//sp.example/mn-1"

static void valid_ids(void **state)
{
    (void)state;
    const char *const good[] = {"//sp.example/mn-1", "//sp.example/mn-1/Cdoor1", "//sp.example/Sdoor1",
                                "//sp/in_cse.2"};
    const char *const bad[] = {"",
                               "/",
                               "//",
                               "//sp.example",
                               "//sp.example/",
                               "//sp.example//Sdoor1",
                               "///Sdoor1",
                               "/mn-1/Cdoor1",
                               "Sdoor1",
                               "//sp.example/mn-1/Cdoor1/x",
                               "//sp.example/mn-1/Sdoor1",
                               "//sp.example/mn-1/door1",
                               "//sp.example/Cdoor1",
                               "//sp.example/Smn/Cdoor1",
                               "//sp.example/mn-1/",
                               "//sp.example/mn+1",
                               "//sp.example/mn:1",
                               "//sp.example/mn#",
                               "//sp.example/m n",
                               "//sp.example/..",
                               "//./mn-1",
                               "//sp.example/S\xc3\xa4"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!onem2m_id_valid(good[i])) {
            fail_msg("refused: %s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (onem2m_id_valid(bad[i])) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_false(onem2m_id_valid(NULL));
}

static void id_length_is_bounded(void **state)
{
    (void)state;
    char id[ONEM2M_ID_LIMIT + 2];
    char out[ONEM2M_ID_LIMIT + 1];
    int prefix = snprintf(id, sizeof id, "//sp/S");
    memset(id + prefix, 'a', sizeof id - (size_t)prefix);
    id[ONEM2M_ID_LIMIT + 1] = '\0';
    assert_false(onem2m_id_valid(id));
    assert_false(onem2m_id_resolve(id, CSE, out, sizeof out));
    id[ONEM2M_ID_LIMIT] = '\0';
    assert_true(onem2m_id_valid(id));
    assert_true(onem2m_id_resolve(id, CSE, out, sizeof out));
    assert_string_equal(out, id);
    assert_false(onem2m_id_resolve(id, CSE, out, sizeof out - 1));
}

static void stems_and_levels(void **state)
{
    (void)state;
    const char *const ids[][2] = {{"//sp.example/mn-1", "mn-1"},
                                  {"//sp.example/mn-1/Cdoor1", "Cdoor1"},
                                  {"//sp.example/Sdoor1", "Sdoor1"}};
    char out[ONEM2M_ID_LIMIT + 1];
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_true(onem2m_id_stem(ids[i][0], out, sizeof out));
        assert_string_equal(out, ids[i][1]);
        assert_true(onem2m_id_to_level(ids[i][0], out, sizeof out));
        assert_string_equal(out, ids[i][1]);
    }
    assert_false(onem2m_id_stem("//sp.example/Sdoor1", out, strlen("Sdoor1")));
    assert_true(onem2m_id_stem("//sp.example/Sdoor1", out, strlen("Sdoor1") + 1));
    assert_false(onem2m_id_stem("Sdoor1", out, sizeof out));
}

static void kinds(void **state)
{
    (void)state;
    assert_true(onem2m_id_is_ae("//sp.example/Sdoor1"));
    assert_true(onem2m_id_is_ae("//sp.example/mn-1/Cdoor1"));
    assert_false(onem2m_id_is_ae("//sp.example/mn-1"));
    assert_false(onem2m_id_is_ae("Sdoor1"));
}

static void every_form_resolves_to_one_id(void **state)
{
    (void)state;
    const char *const forms[][2] = {{"Sdoor1", "//sp.example/Sdoor1"},
                                    {"/Sdoor1", "//sp.example/Sdoor1"},
                                    {"//sp.example/Sdoor1", "//sp.example/Sdoor1"},
                                    {"Cdoor1", "//sp.example/mn-1/Cdoor1"},
                                    {"mn-1:Cdoor1", "//sp.example/mn-1/Cdoor1"},
                                    {"/mn-1/Cdoor1", "//sp.example/mn-1/Cdoor1"},
                                    {"mn-2:Cdoor1", "//sp.example/mn-2/Cdoor1"},
                                    {"//sp.example/mn-1/Cdoor1", "//sp.example/mn-1/Cdoor1"},
                                    {"//other.example/mn-1/Cdoor1", "//other.example/mn-1/Cdoor1"},
                                    {"mn-1", "//sp.example/mn-1"},
                                    {"/mn-1", "//sp.example/mn-1"},
                                    {"/mn-1/.", "//sp.example/mn-1"},
                                    {"//sp.example/mn-1/.", "//sp.example/mn-1"},
                                    {"in-cse", "//sp.example/in-cse"}};
    char out[ONEM2M_ID_LIMIT + 1];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (!onem2m_id_resolve(forms[i][0], CSE, out, sizeof out)) {
            fail_msg("refused: %s", forms[i][0]);
        }
        assert_string_equal(out, forms[i][1]);
    }
}

static void what_is_no_identifier_does_not_resolve(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",        "/",           "//",         ":",          "mn-1:",  ":mn-1",      "a:b:c",
        "mn-1:Sx", "mn-1/Cdoor1", "/mn-1:Cx",   "/Sdoor1/.",  "/.",     "Sx/.",       "+",
        "#",       "/mn-1/+",     "mn-1:door1", "/mn-1/Cx/y", "C door", "/Cdoor1/Cx", "//sp.example/mn-1//."};
    char out[ONEM2M_ID_LIMIT + 1];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (onem2m_id_resolve(bad[i], CSE, out, sizeof out)) {
            fail_msg("taken: %s as %s", bad[i], out);
        }
    }
    assert_false(onem2m_id_resolve(NULL, CSE, out, sizeof out));
    assert_false(onem2m_id_resolve("Sdoor1", "mn-1", out, sizeof out));
    assert_false(onem2m_id_resolve("Sdoor1", "//sp.example/Sdoor2", out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_ids),
        cmocka_unit_test(id_length_is_bounded),
        cmocka_unit_test(stems_and_levels),
        cmocka_unit_test(kinds),
        cmocka_unit_test(every_form_resolves_to_one_id),
        cmocka_unit_test(what_is_no_identifier_does_not_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
