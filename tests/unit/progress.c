/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/progress.h"

static uint64_t clock_ms;

static uint64_t now(void)
{
    return clock_ms;
}

/* Steps once in `step_ms`, `steps` times; what is written is the caller's. */
static char *written(uint64_t total, uint64_t step_ms, uint64_t steps, bool counted)
{
    char *text = NULL;
    size_t size = 0;
    struct progress progress;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    clock_ms = 1000000;
    progress_begin_at(&progress, "rows", total, now, out);
    for (uint64_t i = 1; i <= steps; i++) {
        clock_ms += step_ms;
        progress_step(&progress, counted ? i : 0);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

static void nothing_where_it_is_quick(void **state)
{
    (void)state;
    char *text = written(100, 19, 100, true);
    assert_string_equal(text, "");
    free(text);
}

static void a_line_each_two_seconds(void **state)
{
    (void)state;
    char *text = written(1000, 10, 450, true);
    assert_string_equal(text, "rows: 200 of 1000\nrows: 400 of 1000\n");
    free(text);
    text = written(0, 1000, 3, true);
    assert_string_equal(text, "rows: 2\n");
    free(text);
    text = written(0, 1000, 5, false);
    assert_string_equal(text, "rows: 2 s so far\nrows: 4 s so far\n");
    free(text);
}

/* One long step is one line. */
static void no_lines_are_made_up_for(void **state)
{
    (void)state;
    char *text = written(3, 9000, 3, true);
    assert_string_equal(text, "rows: 1 of 3\nrows: 2 of 3\nrows: 3 of 3\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_where_it_is_quick),
        cmocka_unit_test(a_line_each_two_seconds),
        cmocka_unit_test(no_lines_are_made_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
