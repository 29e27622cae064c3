/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/bench/large_group.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/*
 * Changes so large that they reach the MN-CSE in several records: some of them arrive, it starts anew, and
 * the rest comes later. A thousand members join at once, which touches some seventy blocks.
 */
#define COMING 1000u
#define DEVICES 3u

struct cut {
    bool counting;
    size_t objects; /* to the MN-CSE since then */
    size_t passed;  /* so many of them arrive, all others are lost … */
    bool one; /* … or the one behind them alone, until `counting` ends: by its size it is known again */
    size_t size;
};

static enum site_fate carry(void *context, const struct site_message *message)
{
    struct cut *cut = context;
    if (!cut->counting || message->what != SITE_OBJECT || strcmp(message->to, SITE_MN_CSE) != 0) {
        return SITE_DELIVER;
    }
    size_t number = cut->objects++;
    if (cut->one) {
        cut->size = number == cut->passed ? message->payload.length : cut->size;
        return number >= cut->passed && message->payload.length == cut->size ? SITE_LOSE : SITE_DELIVER;
    }
    return number < cut->passed ? SITE_DELIVER : SITE_LOSE;
}

static uint64_t authority_epoch(const struct large_group *large)
{
    Groupseal__Secenv__Reply *reply = operator_show(large->site, LARGE_GROUP);
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__OK);
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

static uint64_t mn_epoch(const struct large_group *large)
{
    return play_membership(large->mn, LARGE_GROUP)->current.epoch;
}

static void all_are_at(const struct large_group *large, struct site_node *const *devices, uint64_t epoch)
{
    assert_int_equal(mn_epoch(large), epoch);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_true(large_group_has_key(large, devices[i]));
    }
}

/* ---- what the MN-CSE holds ---- */

struct block_row {
    uint64_t row;
    uint64_t column;
    uint64_t epoch;
};

struct block_rows {
    struct block_row items[2048];
    size_t count;
};

static enum result block_read(void *context, const struct store_row *row, struct reason *why)
{
    struct block_rows *rows = context;
    (void)why;
    assert_true(rows->count < sizeof(rows->items) / sizeof(rows->items[0]));
    rows->items[rows->count++] = (struct block_row){row_u64(row, 0), row_u64(row, 1), row_u64(row, 2)};
    return RESULT_OK;
}

/* Every block, as the authority has it. */
static void mn_holds_every_block(struct large_group *large)
{
    static struct block_rows made;
    static struct block_rows held;
    struct reason why = {""};
    made.count = held.count = 0;
    assert_int_equal(store_query(site_store(site_authority(large->site)), &why, block_read, &made,
                                 "SELECT tree_row, tree_column, epoch FROM tree_block ORDER BY 1, 2", ""),
                     RESULT_OK);
    assert_int_equal(store_query(site_store(large->mn), &why, block_read, &held,
                                 "SELECT tree_row, tree_column, epoch FROM relay_block ORDER BY 1, 2", ""),
                     RESULT_OK);
    assert_true(made.count > 60);
    size_t at = 0;
    for (size_t i = 0; i < made.count; i++) {
        while (at < held.count &&
               (held.items[at].row < made.items[i].row ||
                (held.items[at].row == made.items[i].row && held.items[at].column < made.items[i].column))) {
            at++;
        }
        bool found = at < held.count && held.items[at].row == made.items[i].row &&
                     held.items[at].column == made.items[i].column &&
                     held.items[at].epoch >= made.items[i].epoch;
        if (!found) {
            fail_msg("block %u of row %u is not at the MN-CSE", (unsigned)made.items[i].column,
                     (unsigned)made.items[i].row);
        }
    }
}

static void half_a_change_arrives(void **state)
{
    struct large_group large;
    struct site_node *devices[DEVICES];
    struct cut cut = {.counting = false};
    size_t halves = 0;
    (void)state;
    large_group_open(&large);
    site_carry(large.site, carry, &cut);
    for (size_t i = 0; i < DEVICES; i++) {
        devices[i] = large_group_device(&large, i);
    }
    for (size_t passed = 0; passed < 8; passed++) {
        uint64_t before = authority_epoch(&large);
        print_message("%zu objects arrive\n", passed);
        all_are_at(&large, devices, before);
        cut = (struct cut){.counting = true, .passed = passed};
        large_group_fill(&large, COMING);
        site_advance(large.site, 3000);
        assert_true(authority_epoch(&large) > before);
        if (mn_epoch(&large) == before) {
            halves += passed > 0; /* blocks have come, the announcement has not */
            all_are_at(&large, devices, before);
        }
        site_restart(large.mn);
        site_restart(devices[passed % DEVICES]);
        if (passed % 4 != 3) { /* another change, before the rest of that one has come */
            char name[1][NAME_LIMIT + 1];
            large_group_member_at(&large, (uint32_t)(COMING / 2 + passed), name[0]);
            (void)large_group_evict(&large, name, 1);
        }
        cut.counting = false;
        site_online(large.mn, true);
        site_advance(large.site, 180000);
        all_are_at(&large, devices, authority_epoch(&large));
        mn_holds_every_block(&large);
    }
    assert_true(halves > 0);
    large_group_close(&large);
}

/*
 * Each object of a change in turn is overtaken by the others. Where it is the blocks of the MN-CSE's own
 * path, a device on another path could go on: it does not before the MN-CSE can, for a while.
 */
static void blocks_are_overtaken(void **state)
{
    struct large_group large;
    struct cut cut = {.counting = false};
    char name[1][NAME_LIMIT + 1];
    size_t overtaken = 0;
    (void)state;
    large_group_open(&large);
    large_group_fill(&large, 40);
    struct site_node *device = large_group_device(&large, 0);
    site_carry(large.site, carry, &cut);
    for (size_t passed = 0; passed < 4; passed++) {
        uint64_t before = authority_epoch(&large);
        large_group_member_at(&large, (uint32_t)(5 + passed), name[0]);
        cut = (struct cut){.counting = true, .passed = passed, .one = true};
        assert_int_equal(operator_evict(large.site, name[0]), GROUPSEAL__SECENV__CODE__OK);
        site_advance(large.site, 1000);
        assert_true(large_group_has_key(&large, device));
        bool waits = mn_epoch(&large) == before && play_membership(large.mn, LARGE_GROUP)->waiting.present;
        overtaken += waits;
        if (waits) { /* the others are not held up for good by what the MN-CSE lacks */
            site_advance(large.site, 10000);
            assert_int_equal(mn_epoch(&large), before);
            assert_int_equal(play_membership(device, LARGE_GROUP)->current.epoch, before + 1);
        }
        cut.counting = false;
        site_advance(large.site, 60000);
        assert_int_equal(mn_epoch(&large), authority_epoch(&large));
        assert_true(large_group_has_key(&large, device));
    }
    assert_int_equal(overtaken, 1);
    large_group_close(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_a_change_arrives),
        cmocka_unit_test(blocks_are_overtaken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
