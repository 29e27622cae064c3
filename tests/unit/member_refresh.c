/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/objects/object.h"
#include "secenv/tree.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* Leaves that are replaced at an age: who is asked and when, how many changes that makes, and what a leaf
 * that was stolen opens afterwards. */

#define CODE(name) GROUPSEAL__SECENV__CODE__##name
#define TOPIC(name) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name
#define DAY_MS UINT64_C(86400000)
#define DAY_S 86400u

static uint64_t epoch_of(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, PLAY_GROUP);
    assert_int_equal(reply->code, CODE(OK));
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

/* When this member's oldest leaf was made, as the operator is told. */
static uint64_t leaf_ms(struct site *site, const char *name)
{
    Groupseal__Secenv__Reply *reply = operator_list(site, "");
    uint64_t found = 0;
    for (size_t i = 0; i < reply->members->n_members; i++) {
        if (strcmp(reply->members->members[i]->name, name) == 0) {
            found = reply->members->members[i]->leaf_ms;
        }
    }
    site_reply_free(reply);
    assert_int_not_equal(found, 0);
    return found;
}

static uint64_t leaf_age_ms(struct site *site, const char *name)
{
    return site_now_ms(site) - leaf_ms(site, name);
}

/* No rotation by age, so that every change is one of members; its members settle. */
static struct play *play_without_rotation(void)
{
    struct play *play = play_new(2);
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE};
    Groupseal__Secenv__GroupCreate create = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(OK));
    create.name = (char *)(uintptr_t)PLAY_GROUP;
    create.function = (char *)(uintptr_t) "door";
    create.sites = sites;
    create.n_sites = 1;
    create.rotate_every_s = UINT32_MAX;
    create.beat_interval_s = 86400;
    assert_int_equal(operator_create(play->site, &create), CODE(OK));
    site_advance(play->site, 120000);
    return play;
}

static void replaced_at_thirty_days(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    struct secret leaf = play_membership(play->door, PLAY_GROUP)->leaf;
    uint64_t serial = play_membership(play->door, PLAY_GROUP)->serial;
    site_advance(play->site, 26 * DAY_MS); /* the last tenth has not begun */
    assert_true(secret_equal(leaf.data, play_membership(play->door, PLAY_GROUP)->leaf.data, SECRET_SIZE));
    assert_true(leaf_age_ms(play->site, PLAY_DOOR) > 25 * DAY_MS);
    site_advance(play->site, 5 * DAY_MS);
    assert_false(secret_equal(leaf.data, play_membership(play->door, PLAY_GROUP)->leaf.data, SECRET_SIZE));
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->serial, serial);
    assert_true(leaf_age_ms(play->site, PLAY_DOOR) < 6 * DAY_MS);
    assert_true(leaf_age_ms(play->site, PLAY_DOOR_2) < 6 * DAY_MS);
    assert_true(leaf_age_ms(play->site, SITE_MN_CSE) < 6 * DAY_MS);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch_of(play->site));
    play_free(play);
}

static void age_is_a_setting_that_lasts(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    assert_int_equal(operator_leaf_age(play->site, 59), CODE(INVALID));
    assert_int_equal(operator_leaf_age(play->site, 31536001), CODE(INVALID));
    assert_int_equal(operator_leaf_age(play->site, UINT32_MAX), CODE(OK)); /* off */
    site_restart(site_authority(play->site));
    site_advance(play->site, 40 * DAY_MS);
    assert_true(leaf_age_ms(play->site, PLAY_DOOR) > 39 * DAY_MS);
    assert_int_equal(operator_leaf_age(play->site, 10 * DAY_S), CODE(OK));
    site_advance(play->site, 600000);
    assert_true(leaf_age_ms(play->site, PLAY_DOOR) < 600000);
    site_restart(site_authority(play->site));
    site_advance(play->site, 11 * DAY_MS);
    assert_true(leaf_age_ms(play->site, PLAY_DOOR) < 3 * DAY_MS);
    play_free(play);
}

/* All are overdue when the setting comes: the changes of one round are one. */
static void one_round_is_one_change(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    site_advance(play->site, 20 * DAY_MS);
    uint64_t epoch = epoch_of(play->site);
    uint64_t made = leaf_ms(play->site, PLAY_DOOR);
    assert_int_equal(operator_leaf_age(play->site, 10 * DAY_S), CODE(OK));
    site_advance(play->site, 10000);
    /* All three have authenticated; their leaves wait for those that may still come. */
    assert_int_equal(epoch_of(play->site), epoch);
    assert_int_equal(leaf_ms(play->site, PLAY_DOOR), made);
    site_advance(play->site, 120000);
    assert_int_equal(epoch_of(play->site), epoch + 1);
    assert_true(leaf_ms(play->site, PLAY_DOOR) > made);
    assert_true(leaf_ms(play->site, PLAY_DOOR_2) > made);
    assert_true(leaf_ms(play->site, SITE_MN_CSE) > made);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch + 1);

    /* The twin: the operator's word for one is a change at once. */
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR), CODE(OK));
    site_advance(play->site, 10000);
    assert_int_equal(epoch_of(play->site), epoch + 2);
    play_free(play);
}

/* An eviction does not wait for the round. */
static void eviction_takes_the_round_with_it(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    site_advance(play->site, 20 * DAY_MS);
    uint64_t epoch = epoch_of(play->site);
    uint64_t made = leaf_ms(play->site, PLAY_DOOR);
    assert_int_equal(operator_leaf_age(play->site, 10 * DAY_S), CODE(OK));
    site_advance(play->site, 10000);
    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_settle(play->site);
    assert_int_equal(epoch_of(play->site), epoch + 1);
    assert_true(leaf_ms(play->site, PLAY_DOOR) > made);
    site_advance(play->site, 120000);
    assert_int_equal(epoch_of(play->site), epoch + 1);
    play_free(play);
}

static void asked_when_it_comes_back(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    site_advance(play->site, 20 * DAY_MS);
    uint64_t made = leaf_ms(play->site, PLAY_DOOR_2);
    site_online(play->door2, false);
    site_advance(play->site, 15 * DAY_MS);
    assert_true(leaf_ms(play->site, PLAY_DOOR) > made);
    assert_int_equal(leaf_ms(play->site, PLAY_DOOR_2), made); /* nobody could ask it */
    site_online(play->door2, true);
    site_advance(play->site, 300000);
    assert_true(leaf_ms(play->site, PLAY_DOOR_2) > made);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch_of(play->site));
    play_free(play);
}

/* Power fails at the authority when all have authenticated and no leaf is replaced. */
static void restart_within_a_round(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    site_advance(play->site, 20 * DAY_MS);
    uint64_t made = leaf_ms(play->site, PLAY_DOOR);
    assert_int_equal(operator_leaf_age(play->site, 10 * DAY_S), CODE(OK));
    site_advance(play->site, 10000);
    site_restart(site_authority(play->site));
    site_advance(play->site, 1000);
    assert_true(leaf_ms(play->site, PLAY_DOOR) > made);
    site_advance(play->site, 120000);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch_of(play->site));
    play_free(play);
}

/* ---- a stolen leaf ---- */

/* With the leaf secret and all that the broker carries. */
static bool leaf_opens(const struct secret *leaf, uint32_t index, struct bytes payload)
{
    struct secret root;
    struct secret epoch;
    struct secret confirmation;
    Groupseal__Envelope__Announcement *announcement =
        groupseal__envelope__announcement__unpack(NULL, payload.length, payload.data);
    assert_non_null(announcement);
    struct bytes top = arena_view(announcement->top);
    bool opens = false;
    if (tree_climb(leaf, index, announcement->height, &top, 1, &root) == RESULT_OK) {
        assert_int_equal(epoch_secret(&root, announcement->instance.data, announcement->incarnation,
                                      announcement->epoch, &epoch),
                         RESULT_OK);
        assert_int_equal(epoch_confirmation(&epoch, &confirmation), RESULT_OK);
        opens = memcmp(confirmation.data, announcement->confirmation.data, SECRET_SIZE) == 0;
    }
    groupseal__envelope__announcement__free_unpacked(announcement, NULL);
    return opens;
}

static void stolen_leaf_opens_nothing_after_the_refresh(void **state)
{
    (void)state;
    struct play *play = play_without_rotation();
    struct secret leaf = play_membership(play->door, PLAY_GROUP)->leaf;
    uint32_t index = play_membership(play->door, PLAY_GROUP)->leaf_index;
    /* Before it opens what comes, the eviction of another included. */
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    assert_true(leaf_opens(&leaf, index, arena_view(play_last(play, TOPIC(EPOCH))->payload)));
    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_settle(play->site);
    assert_true(leaf_opens(&leaf, index, arena_view(play_last(play, TOPIC(EPOCH))->payload)));

    uint64_t made = leaf_ms(play->site, PLAY_DOOR);
    site_advance(play->site, 31 * DAY_MS);
    assert_true(leaf_ms(play->site, PLAY_DOOR) > made);
    assert_false(leaf_opens(&leaf, index, arena_view(play_last(play, TOPIC(EPOCH))->payload)));
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    assert_false(leaf_opens(&leaf, index, arena_view(play_last(play, TOPIC(EPOCH))->payload)));
    leaf = play_membership(play->door, PLAY_GROUP)->leaf;
    index = play_membership(play->door, PLAY_GROUP)->leaf_index;
    assert_true(leaf_opens(&leaf, index, arena_view(play_last(play, TOPIC(EPOCH))->payload)));
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_at_thirty_days),
        cmocka_unit_test(age_is_a_setting_that_lasts),
        cmocka_unit_test(one_round_is_one_change),
        cmocka_unit_test(eviction_takes_the_round_with_it),
        cmocka_unit_test(asked_when_it_comes_back),
        cmocka_unit_test(restart_within_a_round),
        cmocka_unit_test(stolen_leaf_opens_nothing_after_the_refresh),
    };
    return cmocka_run_group_tests_name("member_refresh", tests, NULL, NULL);
}
