/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/audit.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* Groups whose tree has rows below `epoch`: real engines on one site, more devices than the top block holds,
 * under change, sleep and loss. */

#define DEVICES 40u
#define OK GROUPSEAL__SECENV__CODE__OK

struct large {
    struct site *site;
    struct site_node *mn;
    struct site_node *devices[DEVICES];
};

static void device_name(size_t number, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/Sdoor%03zu", number);
}

static void device_join(struct large *large, size_t number)
{
    char name[NAME_LIMIT + 1];
    device_name(number, name);
    large->devices[number] =
        site_join(large->site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
}

static struct large *large_new(size_t devices)
{
    struct large *large = calloc(1, sizeof(*large));
    assert_non_null(large);
    large->site = site_new();
    large->mn = site_join(large->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_group(large->site, PLAY_GROUP, "door", SITE_MN_CSE);
    for (size_t i = 0; i < devices; i++) {
        device_join(large, i);
    }
    site_advance(large->site, 60000);
    return large;
}

static void large_free(struct large *large)
{
    site_free(large->site);
    free(large);
}

static uint64_t epoch_of(const struct large *large)
{
    return play_membership(large->mn, PLAY_GROUP)->current.epoch;
}

/* The one that the MN-CSE has climbed to. */
static bool has_key(const struct large *large, struct site_node *node)
{
    const struct membership *relay = play_membership(large->mn, PLAY_GROUP);
    const struct membership *membership = play_membership(node, PLAY_GROUP);
    return membership != NULL && membership->current.present &&
           membership->current.epoch == relay->current.epoch &&
           memcmp(membership->current.secret.data, relay->current.secret.data, SECRET_SIZE) == 0;
}

static void everybody_has_the_key(struct large *large, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (!has_key(large, large->devices[i])) {
            fail_msg("device %zu has not climbed to epoch %llu", i, (unsigned long long)epoch_of(large));
        }
    }
}

static void device_evict(struct large *large, size_t number)
{
    char name[NAME_LIMIT + 1];
    device_name(number, name);
    assert_int_equal(operator_evict(large->site, name), OK);
    site_settle(large->site);
}

static void rows_below_are_published_and_climbed(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    everybody_has_the_key(large, 0, DEVICES);
    assert_true(epoch_of(large) > 1);
    assert_true(
        site_retained(large->site, PLAY_SITE, PLAY_GROUP, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE).length >
        0);
    assert_true(play_membership(large->devices[DEVICES - 1], PLAY_GROUP)->leaf_index >= DEVICES - 1);
    large_free(large);
}

static void evicted_device_is_out(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    device_evict(large, 7);
    everybody_has_the_key(large, 0, 7);
    everybody_has_the_key(large, 8, DEVICES);
    assert_non_null(site_last_event(large->devices[7], GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED));
    /* Its place is given away, and the newcomer is not it. */
    uint64_t opened = audit_value(AUDIT_PACKAGES_OPENED);
    device_evict(large, 9);
    everybody_has_the_key(large, 10, DEVICES);
    assert_int_equal(audit_value(AUDIT_PACKAGES_OPENED), opened); /* nobody needed a new leaf */
    large_free(large);
}

/* A device sleeps through joins that add a row, evictions and rotations: back, it climbs by what is retained.
 */
static void sleeper_climbs_by_itself(void **state)
{
    struct large *large = large_new(12);
    (void)state;
    site_online(large->devices[3], false);
    for (size_t i = 12; i < DEVICES; i++) {
        device_join(large, i);
    }
    site_advance(large->site, 60000);
    device_evict(large, 5);
    device_evict(large, 20);
    uint64_t epoch = epoch_of(large);
    assert_int_equal(operator_rotate(large->site, PLAY_GROUP), OK);
    site_settle(large->site);
    assert_true(epoch_of(large) > epoch);
    assert_false(has_key(large, large->devices[3]));
    uint64_t opened = audit_value(AUDIT_PACKAGES_OPENED);
    site_online(large->devices[3], true);
    site_advance(large->site, 5000);
    assert_true(has_key(large, large->devices[3]));
    assert_int_equal(audit_value(AUDIT_PACKAGES_OPENED), opened);
    large_free(large);
}

/* The MN-CSE is away during changes, and has lost nothing of them when it is back. */
static void mn_cse_that_was_away_gets_all_blocks(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    site_online(large->mn, false);
    device_evict(large, 2);
    device_evict(large, 18);
    device_evict(large, 35);
    site_advance(large->site, 30000);
    uint64_t epoch = epoch_of(large);
    site_online(large->mn, true);
    site_advance(large->site, 120000);
    assert_true(epoch_of(large) >= epoch + 3);
    everybody_has_the_key(large, 3, 18);
    everybody_has_the_key(large, 19, 35);
    everybody_has_the_key(large, 36, DEVICES);
    large_free(large);
}

/* The broker forgets everything while the key is changed: the MN-CSE gives it all of it again, every block,
 * as devices find that have nothing but their leaf. */
static void broker_lost_what_it_retained(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    uint64_t opened = audit_value(AUDIT_PACKAGES_OPENED);
    site_online(large->mn, false);
    for (size_t i = 0; i < DEVICES; i++) {
        site_online(large->devices[i], false);
    }
    site_broker_crash(large->site);
    device_evict(large, 11);
    site_advance(large->site, 30000);
    site_online(large->mn, true);
    site_advance(large->site, 120000);
    for (size_t i = 0; i < DEVICES; i++) {
        if (i != 11) {
            site_restart(large->devices[i]); /* what it had heard of the tree was in memory alone */
            site_online(large->devices[i], true);
        }
    }
    site_advance(large->site, 30000);
    everybody_has_the_key(large, 0, 11);
    everybody_has_the_key(large, 12, DEVICES);
    assert_int_equal(audit_value(AUDIT_PACKAGES_OPENED), opened);
    large_free(large);
}

/* The MN-CSE's owner takes a part of a change's publishes and no more: they come again, all of them, and
 * nobody needs another leaf. */
static void change_is_published_by_halves(void **state)
{
    struct large *large = large_new(DEVICES);
    bool failed = true;
    (void)state;
    uint64_t opened = audit_value(AUDIT_PACKAGES_OPENED);
    for (size_t at = 0; failed; at++) {
        assert_true(at < 16);
        uint64_t epoch = epoch_of(large);
        site_fail_event(large->mn, at);
        device_evict(large, at);
        failed = site_failed(large->mn);
        site_advance(large->site, 60000);
        assert_true(epoch_of(large) > epoch);
        site_restart(large->devices[DEVICES - 1 - at % 16]); /* what is retained is whole */
        site_advance(large->site, 30000);
        everybody_has_the_key(large, at + 1, DEVICES);
    }
    assert_int_equal(audit_value(AUDIT_PACKAGES_OPENED), opened);
    large_free(large);
}

static void everything_restarts(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    site_restart(site_authority(large->site));
    site_restart(large->mn);
    device_evict(large, 1);
    site_advance(large->site, 120000);
    everybody_has_the_key(large, 2, DEVICES);
    for (size_t i = 2; i < DEVICES; i += 7) {
        site_restart(large->devices[i]);
    }
    device_evict(large, 0);
    site_advance(large->site, 120000);
    everybody_has_the_key(large, 2, DEVICES);
    large_free(large);
}

/* All commands are answered for by all. */
static void command_reaches_all(void **state)
{
    struct large *large = large_new(DEVICES);
    (void)state;
    for (size_t i = 0; i < DEVICES; i++) {
        site_events_clear(large->devices[i]);
    }
    uint8_t id[COMMAND_ID_SIZE];
    struct play play = {.site = large->site, .mn = large->mn, .door = large->devices[0]};
    play_order(&play, "close", NULL, 60000, id);
    site_advance(large->site, 5000);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(play_commands(large->devices[i]), 1);
        assert_int_equal(play_finish(large->devices[i], id, true, ""), OK);
    }
    site_advance(large->site, 5000);
    for (size_t i = 0; i < DEVICES; i++) {
        char name[NAME_LIMIT + 1];
        device_name(i, name);
        assert_int_equal(play_outcome(&play, id, name, NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
    }
    large_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_below_are_published_and_climbed),
        cmocka_unit_test(evicted_device_is_out),
        cmocka_unit_test(sleeper_climbs_by_itself),
        cmocka_unit_test(mn_cse_that_was_away_gets_all_blocks),
        cmocka_unit_test(broker_lost_what_it_retained),
        cmocka_unit_test(change_is_published_by_halves),
        cmocka_unit_test(everything_restarts),
        cmocka_unit_test(command_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
