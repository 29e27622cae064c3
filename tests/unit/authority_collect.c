/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/authority/authority.h"
#include "secenv/authority/collection.h"
#include "tests/unit/operator.h"

/*
 * Members that come are collected for a time into one change of their group; who leaves is not waited for
 * with, and takes them along.
 */
#define GROUP "doors"
#define COLLECT_MS 100u
#define OK GROUPSEAL__SECENV__CODE__OK

static const char *const doors[] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2", "//sp.example/Sdoor3"};

static uint64_t epoch_of(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, GROUP);
    assert_int_equal(reply->code, OK);
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

static size_t members_of(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, GROUP);
    size_t count = reply->group->n_members;
    site_reply_free(reply);
    return count;
}

/* Further doors: so many that the tree has 64 places. */
#define MANY 40u
#define MANY_COLLECT_MS 10u
#define PLACES 64u

static void further_join(struct site *site, unsigned number)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "//sp.example/Sdoor1%03u", number);
    site_join(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
}

static void many_join(struct site *site)
{
    for (unsigned i = 0; i < MANY; i++) {
        further_join(site, i);
    }
    site_advance(site, 1000);
    assert_int_equal(members_of(site), MANY + 1);
    assert_int_equal(operator_collect(site, MANY_COLLECT_MS), OK);
}

static void door_join(struct site *site, size_t at)
{
    site_join(site, doors[at], IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
}

static int setup(void **state)
{
    struct site *site = site_new();
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, GROUP, "door", SITE_MN_CSE);
    site_settle(site);
    assert_int_equal(operator_collect(site, COLLECT_MS), OK);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static void those_who_come_share_a_change(void **state)
{
    struct site *site = *state;
    uint64_t before = epoch_of(site);
    for (size_t i = 0; i < 3; i++) {
        door_join(site, i);
    }
    assert_int_equal(epoch_of(site), before);
    site_advance(site, COLLECT_MS);
    assert_int_equal(epoch_of(site), before + 1);
    assert_int_equal(members_of(site), 4);
}

/* The twin: without collecting each is a change of its own. */
static void without_it_each_is_a_change(void **state)
{
    struct site *site = *state;
    uint64_t before = epoch_of(site);
    assert_int_equal(operator_collect(site, UINT32_MAX), OK);
    for (size_t i = 0; i < 3; i++) {
        door_join(site, i);
    }
    assert_int_equal(epoch_of(site), before + 3);
}

/* From the first one on: a stream of members does not keep the first one waiting. */
static void the_time_is_not_drawn_out(void **state)
{
    struct site *site = *state;
    uint64_t before = epoch_of(site);
    door_join(site, 0);
    site_advance(site, COLLECT_MS * 6 / 10);
    door_join(site, 1);
    site_advance(site, COLLECT_MS * 6 / 10);
    assert_int_equal(epoch_of(site), before + 1);
    assert_int_equal(members_of(site), 3);
}

/* Each change costs each member something: a stream to a large group is collected while it lasts, within what
 * the group's places are worth. */
static void a_stream_to_many_is_one_change(void **state)
{
    struct site *site = *state;
    many_join(site);
    uint64_t before = epoch_of(site);
    const unsigned gap_ms = MANY_COLLECT_MS - 2;
    const unsigned limit_ms = PLACES * COLLECT_EACH_US / 1000u;
    unsigned waited_ms = 0;
    for (unsigned i = 0; waited_ms + gap_ms < limit_ms; i++) {
        further_join(site, MANY + i);
        assert_int_equal(epoch_of(site), before);
        site_advance(site, gap_ms);
        waited_ms += gap_ms;
    }
    assert_true(waited_ms > 2 * MANY_COLLECT_MS);
    site_advance(site, limit_ms - waited_ms);
    assert_int_equal(epoch_of(site), before + 1);
}

static void who_comes_alone_to_many_waits_little_longer(void **state)
{
    struct site *site = *state;
    many_join(site);
    uint64_t before = epoch_of(site);
    further_join(site, MANY);
    site_advance(site, MANY_COLLECT_MS);
    assert_int_equal(epoch_of(site), before);
    site_advance(site, PLACES * COLLECT_QUIET_EACH_US / 1000u + 1);
    assert_int_equal(epoch_of(site), before + 1);
}

static enum site_fate lose_to_the_mn_cse(void *context, const struct site_message *message)
{
    (void)context;
    return message->what == SITE_OBJECT && strcmp(message->to, SITE_MN_CSE) == 0 ? SITE_LOSE : SITE_DELIVER;
}

/* An MN-CSE denies the topics to whom it does not know. One that is away does not keep others out. */
static void the_roster_before_is_taken_first(void **state)
{
    struct site *site = *state;
    site_carry(site, lose_to_the_mn_cse, NULL);
    door_join(site, 0);
    site_advance(site, COLLECT_MS);
    uint64_t before = epoch_of(site);
    door_join(site, 1);
    site_advance(site, COLLECT_HELD_US / 1000u - COLLECT_MS - 1);
    assert_int_equal(epoch_of(site), before);
    site_advance(site, COLLECT_MS + 1);
    assert_int_equal(epoch_of(site), before + 1);
    /* Taken: no more waiting. */
    door_join(site, 2);
    site_advance(site, COLLECT_MS);
    assert_int_equal(epoch_of(site), before + 1);
    site_carry(site, NULL, NULL);
    site_online(site_authority(site), true);
    site_settle(site);
    assert_int_equal(epoch_of(site), before + 2);
    /* Nor for who leaves. */
    site_carry(site, lose_to_the_mn_cse, NULL);
    assert_int_equal(operator_evict(site, doors[0]), OK);
    assert_int_equal(operator_evict(site, doors[1]), OK);
    assert_int_equal(epoch_of(site), before + 4);
}

/* What is ordered right after an eviction is sealed with a key that the evicted does not have. */
static void who_leaves_is_not_waited_for(void **state)
{
    struct site *site = *state;
    door_join(site, 0);
    site_advance(site, COLLECT_MS);
    uint64_t before = epoch_of(site);
    door_join(site, 1);
    assert_int_equal(epoch_of(site), before);
    assert_int_equal(operator_evict(site, doors[0]), OK);
    assert_int_equal(epoch_of(site), before + 1);
    assert_int_equal(members_of(site), 2);
    site_advance(site, 10 * COLLECT_MS);
    assert_int_equal(epoch_of(site), before + 1); /* who had come was taken along */
}

/* An eviction and an order that come in one batch, in this order. */
static void order_behind_an_eviction_in_one_batch(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    door_join(site, 0);
    door_join(site, 1);
    site_advance(site, COLLECT_MS);
    uint64_t before = epoch_of(site);
    char *names[] = {(char *)(uintptr_t)doors[0]};
    Groupseal__Secenv__MemberEvict evict = GROUPSEAL__SECENV__MEMBER_EVICT__INIT;
    Groupseal__Secenv__OrderSend send = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    Groupseal__Secenv__ToSecenv requests[] = {GROUPSEAL__SECENV__TO_SECENV__INIT,
                                              GROUPSEAL__SECENV__TO_SECENV__INIT};
    Groupseal__Secenv__ToSecenv *together[] = {&requests[0], &requests[1]};
    Groupseal__Secenv__Reply *replies[2];
    struct reason why = {""};
    uint64_t ordered = 0;
    evict.names = names;
    evict.n_names = 1;
    requests[0].request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
    requests[0].member_evict = &evict;
    send.group = (char *)(uintptr_t)GROUP;
    send.body.data = (uint8_t *)(uintptr_t) "close";
    send.body.len = 5;
    send.valid_ms = 60000;
    requests[1].request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    requests[1].order_send = &send;
    site_requests(authority, together, 2, replies);
    assert_int_equal(replies[0]->code, OK);
    assert_int_equal(replies[1]->code, OK);
    /* It is of an epoch that the evicted has no key of: no MN-CSE seals it with an earlier one. */
    assert_int_equal(
        store_number(site_store(authority), &why, &ordered, "SELECT everyone_epoch FROM command", ""),
        RESULT_OK);
    assert_int_equal(ordered, before + 1);
    site_advance(site, 5000);
    assert_int_equal(epoch_of(site), before + 1);
    assert_null(site_last_event(site_find(site, doors[0]), GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND));
    assert_non_null(site_last_event(site_find(site, doors[1]), GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND));
    site_reply_free(replies[0]);
    site_reply_free(replies[1]);
    /* Of an order that is refused the change is undone, and made by the turn. */
    names[0] = (char *)(uintptr_t)doors[1];
    send.n_targets = 1;
    char *targets[] = {(char *)(uintptr_t) "no id"};
    send.targets = targets;
    site_requests(authority, together, 2, replies);
    assert_int_equal(replies[0]->code, OK);
    assert_int_equal(replies[1]->code, GROUPSEAL__SECENV__CODE__INVALID);
    site_reply_free(replies[0]);
    site_reply_free(replies[1]);
    site_advance(site, 5000);
    assert_int_equal(epoch_of(site), before + 2);
    assert_int_equal(members_of(site), 1);
}

/* All or none, with one change. */
static void many_leave_with_one_change(void **state)
{
    struct site *site = *state;
    for (size_t i = 0; i < 3; i++) {
        door_join(site, i);
    }
    site_advance(site, COLLECT_MS);
    uint64_t before = epoch_of(site);
    const char *wrong[] = {doors[0], "//sp.example/Snobody"};
    const char *twice[] = {doors[0], doors[0]};
    assert_int_equal(operator_evict_all(site, wrong, 2), GROUPSEAL__SECENV__CODE__UNKNOWN);
    assert_int_equal(operator_evict_all(site, twice, 2), GROUPSEAL__SECENV__CODE__INVALID);
    assert_int_equal(operator_evict_all(site, NULL, 0), GROUPSEAL__SECENV__CODE__INVALID);
    assert_int_equal(epoch_of(site), before);
    assert_int_equal(members_of(site), 4);
    assert_int_equal(operator_evict_all(site, doors, 2), OK);
    assert_int_equal(epoch_of(site), before + 1);
    assert_int_equal(members_of(site), 2);
    site_restart(site_authority(site)); /* the evictions file has all of them */
    site_advance(site, 5000);
    assert_int_equal(members_of(site), 2);
}

/* Who has come is not forgotten with the time that was to be waited. */
static void start_takes_those_who_came(void **state)
{
    struct site *site = *state;
    uint64_t before = epoch_of(site);
    door_join(site, 0);
    site_restart(site_authority(site));
    site_advance(site, 5000);
    assert_int_equal(epoch_of(site), before + 1);
    assert_int_equal(members_of(site), 2);
    assert_int_equal(operator_collect(site, 60001), GROUPSEAL__SECENV__CODE__INVALID);
}

/* ---- a group without room ---- */

static bool is_in(struct site *site, const char *name)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, GROUP);
    bool in = false;
    for (size_t i = 0; i < reply->group->n_members; i++) {
        in = in || strcmp(reply->group->members[i]->name, name) == 0;
    }
    site_reply_free(reply);
    return in;
}

/* All of its tree is in use, as far as the authority knows before its next start. */
static void tree_fill(struct site *site)
{
    struct group *group = groups_find(&site_engine(site_authority(site))->groups, GROUP);
    struct reason why = {""};
    assert_int_equal(tree_restore_height(group->tree, TREE_HEIGHT_MAX, &why), RESULT_OK);
    for (uint32_t i = 0; i < MEMBERS_LIMIT; i++) {
        assert_int_equal(tree_restore_leaf(group->tree, i), RESULT_OK);
    }
}

/* Who has to leave does, however many wait for a place; and those come in, each when there is one. */
static void who_leaves_a_full_group_makes_room(void **state)
{
    struct site *site = *state;
    door_join(site, 0);
    door_join(site, 1);
    site_advance(site, 1000);
    assert_int_equal(members_of(site), 3);
    tree_fill(site);
    door_join(site, 2);
    further_join(site, 0);
    assert_int_equal(members_of(site), 3); /* they are collected */
    assert_int_equal(operator_evict(site, doors[0]), OK);
    assert_false(is_in(site, doors[0]));
    assert_int_equal(members_of(site), 3);
    site_advance(site, 20000);
    further_join(site, 1);
    site_advance(site, 20000);
    assert_int_equal(members_of(site), 3);
    assert_int_equal(operator_evict(site, doors[1]), OK);
    assert_false(is_in(site, doors[1]));
    assert_int_equal(members_of(site), 3);
    assert_true(is_in(site, doors[2]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_who_come_share_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(without_it_each_is_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(the_time_is_not_drawn_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_to_many_is_one_change, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_alone_to_many_waits_little_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(the_roster_before_is_taken_first, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(order_behind_an_eviction_in_one_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(many_leave_with_one_change, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_a_full_group_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(start_takes_those_who_came, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_collect", tests, NULL, NULL);
}
