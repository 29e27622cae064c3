/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const titles[] = {"NAME", "OUTCOME"};

/* What a table prints, malloc'd. */
static char *printed(const struct table *table)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(table_print(table, "nothing", out), 0);
    fclose(out);
    return text;
}

static void test_columns_line_up(void **state)
{
    (void)state;
    struct table *table = table_new(titles, 2);
    const char *first[] = {"//sp.example/Sdoor1", "done"};
    const char *second[] = {"//sp/Sä", ""};
    table_row(table, first);
    table_row(table, second);
    char *text = printed(table);
    assert_string_equal(text, "NAME                 OUTCOME\n"
                              "//sp.example/Sdoor1  done\n"
                              "//sp/Sä              -\n");
    free(text);
    table_free(table);
}

static void test_empty_says_so(void **state)
{
    (void)state;
    struct table *table = table_new(titles, 2);
    char *text = printed(table);
    assert_string_equal(text, "nothing\n");
    free(text);
    table_free(table);
}

static void test_many_rows(void **state)
{
    (void)state;
    struct table *table = table_new(titles, 2);
    for (int i = 0; i < 1000; i++) {
        const char *cells[] = {"a", "b"};
        table_row(table, cells);
    }
    char *text = printed(table);
    assert_int_equal(strlen(text), strlen("NAME  OUTCOME\n") + 1000 * strlen("a     b\n"));
    free(text);
    table_free(table);
}

/* A device's detail must not steer the operator's terminal. */
static void test_terminal_is_safe(void **state)
{
    static const struct {
        const char *text;
        const char *clean;
    } cases[] = {
        {"plain, \xc3\xa4, \xe2\x82\xac", "plain, \xc3\xa4, \xe2\x82\xac"},
        {"\x1b[2Jcleared", "?[2Jcleared"},
        {"a\r\nb\tc\x7f", "a??b?c?"},
        {"\xc2\x9b"
         "2J",
         "?2J"}, /* C1: control sequence introducer */
        {"\xe2\x80\xae"
         "txt",
         "?txt"}, /* right-to-left override */
        {"\xff\xfe", "??"},
        {"\xc3", "?"},
        {"\xed\xa0\x80", "???"}, /* a surrogate */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *clean = table_clean(cases[i].text);
        assert_string_equal(clean, cases[i].clean);
        free(clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_line_up),
        cmocka_unit_test(test_empty_says_so),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_terminal_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
