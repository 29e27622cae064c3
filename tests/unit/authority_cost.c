/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/store_internal.h"
#include "tests/bench/large_group.h"
#include "tests/unit/operator.h"

/* What a change costs the authority does not grow with the group: no statement looks at all its members.
 * Counted in steps of SQLite's machine, which no clock and no other process moves. */
#define FEW 300u
#define MANY 3000u
#define OK GROUPSEAL__SECENV__CODE__OK

/* Of all statements since the last call, but for what is told of those who are behind: here nearly everybody
 * is. */
static uint64_t steps(const struct large_group *large)
{
    sqlite3 *database = site_store(site_authority(large->site))->database;
    uint64_t sum = 0;
    for (sqlite3_stmt *statement = NULL; (statement = sqlite3_next_stmt(database, statement)) != NULL;) {
        uint64_t own = (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
        sum += strstr(sqlite3_sql(statement), " behind ") == NULL ? own : 0;
    }
    return sum;
}

struct cost {
    uint64_t evict;
    uint64_t rotate;
    uint64_t beat;
};

static struct cost cost_of(struct large_group *large)
{
    struct cost cost;
    char name[1][NAME_LIMIT + 1];
    site_advance(large->site, 60000);
    large_group_member_at(large, FEW / 2, name[0]);
    (void)steps(large);
    (void)large_group_evict(large, name, 1);
    cost.evict = steps(large);
    assert_int_equal(operator_rotate(large->site, LARGE_GROUP), OK);
    site_advance(large->site, 1000);
    cost.rotate = steps(large);
    site_advance(large->site, 901000); /* a beat, at least */
    cost.beat = steps(large);
    return cost;
}

static void assert_no_more(const char *what, uint64_t few, uint64_t many)
{
    print_message("%s: %llu steps among %u, %llu among %u\n", what, (unsigned long long)few, FEW,
                  (unsigned long long)many, MANY);
    assert_true(few > 0 && many < few + few / 4);
}

static void change_costs_no_more_in_a_larger_group(void **state)
{
    struct large_group large;
    (void)state;
    large_group_open(&large);
    large_group_fill(&large, FEW);
    struct cost few = cost_of(&large);
    large_group_fill(&large, MANY - FEW);
    struct cost many = cost_of(&large);
    assert_no_more("an eviction", few.evict, many.evict);
    assert_no_more("a rotation", few.rotate, many.rotate);
    assert_no_more("a quarter of an hour", few.beat, many.beat);
    large_group_close(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(change_costs_no_more_in_a_larger_group)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
