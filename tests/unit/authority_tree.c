/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/authority/group_tree.h"
#include "tests/unit/store_place.h"

/* The pages of a group's key tree in the authority's store. */
#define MEMBERS 300u

static const char *const schemas[] = {group_schema, group_tree_schema};

/* ---- a group with a tree ---- */

static void group_begin(struct group *group, int64_t id, struct store *store)
{
    struct reason why = {""};
    *group = (struct group){.id = id, .name = "doors"};
    assert_int_equal(group_tree_begin(group, store, &why), RESULT_OK);
}

/* A change, its pages, and the rows of its leaves. */
static void leaf_change(struct group *group, uint32_t index, bool occupied)
{
    struct tree_leaf_change change = {.index = index, .occupied = occupied};
    struct reason why = {""};
    assert_int_equal(random_bytes(change.secret.data, SECRET_SIZE), RESULT_OK);
    assert_int_equal(tree_change(group->tree, &change, 1, false, NULL, 0, NULL, &why), RESULT_OK);
    assert_int_equal(group_tree_store(group, &why), RESULT_OK);
    tree_clean(group->tree);
    assert_int_equal(store_run(group->store, &why, "DELETE FROM leaf WHERE group_id = ? AND leaf_index = ?",
                               "ii", group->id, (int64_t)index),
                     RESULT_OK);
    if (occupied) {
        assert_int_equal(store_run(group->store, &why,
                                   "INSERT INTO leaf (group_id, leaf_index, member_id, serial, epoch,"
                                   " association) VALUES (?, ?, ?, 1, 1, x'00')",
                                   "iii", group->id, (int64_t)index, (int64_t)index),
                         RESULT_OK);
    }
}

static void leaves_fill(struct group *group, uint32_t count)
{
    struct reason why = {""};
    assert_int_equal(store_begin(group->store, &why), RESULT_OK);
    for (uint32_t i = 0; i < count; i++) {
        leaf_change(group, i, true);
    }
    assert_int_equal(store_commit(group->store, &why), RESULT_OK);
}

static uint64_t pages(struct store *store)
{
    uint64_t count = 0;
    assert_int_equal(store_number(store, NULL, &count, "SELECT count(*) FROM tree_page", ""), RESULT_OK);
    return count;
}

static int setup(void **state)
{
    *state = place_new(schemas, sizeof(schemas) / sizeof(schemas[0]));
    return 0;
}

static int teardown(void **state)
{
    place_free(*state);
    return 0;
}

/* ---- what is stored is the tree ---- */

static void tree_comes_back(void **state)
{
    struct place *place = *state;
    struct group group;
    struct reason why = {""};
    group_begin(&group, 3, place->store);
    leaves_fill(&group, MEMBERS);
    leaf_change(&group, 70, false);
    assert_int_equal(pages(place->store), (MEMBERS + 15) / 16 + 2 + 1);

    struct group again = {.id = 3, .name = "doors"};
    place_reopen(place);
    assert_int_equal(group_tree_load(&again, place->store, tree_height(group.tree), &why), RESULT_OK);
    struct secret roots[2];
    assert_true(tree_root(group.tree, &roots[0]) && tree_root(again.tree, &roots[1]));
    assert_memory_equal(roots[0].data, roots[1].data, SECRET_SIZE);
    assert_int_equal(tree_free_leaf(again.tree, 0), 70);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct secret leaves[2];
        enum result result = tree_leaf(group.tree, i, &leaves[0], NULL);
        assert_int_equal(result, i == 70 ? RESULT_UNKNOWN : RESULT_OK);
        assert_int_equal(tree_leaf(again.tree, i, &leaves[1], NULL), result);
        assert_true(i == 70 || memcmp(leaves[0].data, leaves[1].data, SECRET_SIZE) == 0);
    }
    group_tree_free(&group);
    group_tree_free(&again);
}

static void empty_pages_are_removed(void **state)
{
    struct place *place = *state;
    struct group group;
    struct group other;
    struct reason why = {""};
    group_begin(&group, 1, place->store);
    group_begin(&other, 2, place->store);
    leaves_fill(&group, 33);
    leaves_fill(&other, 33);
    assert_int_equal(pages(place->store), 2 * 4);
    leaf_change(&group, 32, false);
    assert_int_equal(pages(place->store), 2 * 4 - 1);
    assert_int_equal(group_tree_delete(place->store, 1, &why), RESULT_OK);
    assert_int_equal(pages(place->store), 4);
    group_tree_free(&group);
    assert_int_equal(group_tree_load(&group, place->store, 1, &why), RESULT_STORE); /* its leaves are left */
    group_tree_free(&group);
    group_tree_free(&other);
}

/* ---- a damaged store ---- */

static void assert_said(const struct reason *why, const char *place)
{
    assert_non_null(strstr(why->text, "the key tree of group doors is damaged"));
    assert_non_null(strstr(why->text, place));
    assert_non_null(strstr(why->text, "restore the store from a backup"));
}

/* Each page with what another one has, or with bytes of nobody's: it is said which, when it is needed. */
static void damage_is_named(void **state)
{
    static const char *const damages[] = {
        "UPDATE tree_page SET sealed = x'0102'",
        "UPDATE tree_page SET sealed = zeroblob(100000)",
        "UPDATE tree_page SET sealed = (SELECT sealed FROM tree_page ORDER BY place DESC LIMIT 1) WHERE "
        "place <"
        " (SELECT max(place) FROM tree_page)",
    };
    struct place *place = *state;
    struct group group;
    struct group broken = {.id = 1, .name = "doors"};
    group_begin(&group, 1, place->store);
    leaves_fill(&group, MEMBERS);
    uint32_t height = tree_height(group.tree);
    group_tree_free(&group);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct reason why = {""};
        struct secret leaf;
        assert_int_equal(group_tree_load(&broken, place->store, height, &why), RESULT_OK);
        assert_int_equal(store_begin(place->store, &why), RESULT_OK);
        assert_int_equal(store_run(place->store, &why, damages[i], ""), RESULT_OK);
        assert_int_equal(tree_leaf(broken.tree, 40, &leaf, &why), RESULT_STORE);
        assert_said(&why, "row 0, column 2");
        group_tree_free(&broken);
        assert_int_equal(group_tree_load(&broken, place->store, height, &why), RESULT_STORE);
        assert_said(&why, "row 2, column 0");
        group_tree_free(&broken);
        store_rollback(place->store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tree_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_pages_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
