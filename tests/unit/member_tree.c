/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* A group whose tree has a row below the announcement: 40 devices and their MN-CSE, with real engines. */

#define DEVICES 40u
#define TOPIC(name) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name
#define CODE(name) GROUPSEAL__SECENV__CODE__##name

struct fleet {
    struct site *site;
    struct site_node *mn;
    struct site_node *devices[DEVICES];
    bool gone[DEVICES];
    uint32_t seed;       /* 0: all publishes arrive, in order */
    const char *lost_to; /* "": to everybody */
    Groupseal__Secenv__TopicKind lost_kind;
    size_t blocks_heard; /* by all devices */
};

static enum site_fate carry(void *context, const struct site_message *message)
{
    struct fleet *fleet = context;
    if (message->what != SITE_PUBLISH) {
        return SITE_DELIVER;
    }
    fleet->blocks_heard += message->publish->kind == TOPIC(TREE);
    bool lost_here =
        fleet->lost_to != NULL && (fleet->lost_to[0] == '\0' || strcmp(fleet->lost_to, message->to) == 0);
    if (lost_here && message->publish->kind == fleet->lost_kind) {
        return SITE_DROP;
    }
    if (fleet->seed == 0) {
        return SITE_DELIVER;
    }
    static const enum site_fate fates[] = {SITE_DELIVER, SITE_DELIVER, SITE_LOSE, SITE_TWICE, SITE_LATER};
    fleet->seed = fleet->seed * 1664525u + 1013904223u;
    return fates[(fleet->seed >> 16) % 5u];
}

static void name_of(size_t i, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/Sdoor%02zu", i);
}

static uint64_t authority_epoch(const struct fleet *fleet)
{
    Groupseal__Secenv__Reply *reply = operator_show(fleet->site, PLAY_GROUP);
    assert_int_equal(reply->code, CODE(OK));
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

static bool device_is_current(const struct fleet *fleet, size_t i)
{
    const struct membership *membership = play_membership(fleet->devices[i], PLAY_GROUP);
    const struct membership *mn = play_membership(fleet->mn, PLAY_GROUP);
    return membership->current.present && membership->current.epoch == mn->current.epoch &&
           secret_equal(membership->current.secret.data, mn->current.secret.data, SECRET_SIZE);
}

static void all_are_current(const struct fleet *fleet)
{
    assert_int_equal(play_membership(fleet->mn, PLAY_GROUP)->current.epoch, authority_epoch(fleet));
    for (size_t i = 0; i < DEVICES; i++) {
        if (!fleet->gone[i] && !device_is_current(fleet, i)) {
            fail_msg("device %zu has epoch %llu of %llu", i,
                     (unsigned long long)play_membership(fleet->devices[i], PLAY_GROUP)->current.epoch,
                     (unsigned long long)authority_epoch(fleet));
        }
    }
}

static int setup(void **state)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    char name[NAME_LIMIT + 1];
    assert_non_null(fleet);
    fleet->site = site_new();
    site_carry(fleet->site, carry, fleet);
    fleet->mn = site_join(fleet->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_group(fleet->site, PLAY_GROUP, "door", SITE_MN_CSE);
    for (size_t i = 0; i < DEVICES; i++) {
        name_of(i, name);
        fleet->devices[i] =
            site_join(fleet->site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    }
    site_advance(fleet->site, 1000);
    all_are_current(fleet);
    *state = fleet;
    return 0;
}

static int teardown(void **state)
{
    struct fleet *fleet = *state;
    site_free(fleet->site);
    free(fleet);
    return 0;
}

static void evict(struct fleet *fleet, size_t i)
{
    char name[NAME_LIMIT + 1];
    name_of(i, name);
    fleet->gone[i] = true;
    assert_int_equal(operator_evict(fleet->site, name), CODE(OK));
}

/* The lower block of a change is lost on the way to one device: it waits, subscribes again, and climbs. */
static void lost_block_is_had_again(void **state)
{
    struct fleet *fleet = *state;
    fleet->lost_to = site_name(fleet->devices[5]);
    fleet->lost_kind = TOPIC(TREE);
    evict(fleet, 6);
    site_settle(fleet->site);
    assert_false(device_is_current(fleet, 5)); /* it was its block that changed */
    assert_true(device_is_current(fleet, 4));
    fleet->lost_to = NULL;
    site_advance(fleet->site, 30000);
    all_are_current(fleet);
}

/* A change costs a device the blocks of its own path, and nobody hears those of others. */
static void only_the_own_path_is_heard(void **state)
{
    struct fleet *fleet = *state;
    const struct membership *left = play_membership(fleet->devices[6], PLAY_GROUP);
    size_t neighbours = 0;
    for (size_t i = 0; i < DEVICES; i++) {
        neighbours +=
            play_membership(fleet->devices[i], PLAY_GROUP)->leaf_index / 16 == left->leaf_index / 16;
    }
    fleet->blocks_heard = 0;
    evict(fleet, 6);
    site_settle(fleet->site);
    all_are_current(fleet);
    /* Who leaves may have gone before the block came, or not; its block is the only one below `epoch`. */
    assert_in_range(fleet->blocks_heard, neighbours - 1, neighbours);
}

/* Taken out and in again, a device has another leaf: it hears the blocks of the new place, those that are
 * retained at once. */
static void another_leaf_hears_other_blocks(void **state)
{
    struct fleet *fleet = *state;
    uint32_t before = play_membership(fleet->devices[30], PLAY_GROUP)->leaf_index;
    evict(fleet, 2);
    evict(fleet, 30);
    site_settle(fleet->site);
    site_enrol(fleet->site, site_name(fleet->devices[30]), IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE,
               "door");
    fleet->gone[30] = false;
    site_advance(fleet->site, 600000);
    uint32_t after = play_membership(fleet->devices[30], PLAY_GROUP)->leaf_index;
    assert_true(before / 16 != after / 16);
    all_are_current(fleet);
    evict(fleet, 3);
    evict(fleet, 31);
    site_settle(fleet->site);
    all_are_current(fleet);
}

/* Who lacks a block for good asks for a key package: not before 2 s, and not together. */
static void asks_are_spread(void **state)
{
    struct fleet *fleet = *state;
    uint64_t start = clock_monotonic_us(site_clock(fleet->site));
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    size_t asked = 0;
    fleet->lost_to = "";
    fleet->lost_kind = TOPIC(TREE);
    evict(fleet, 6);
    site_advance(fleet->site, 20000);
    for (size_t i = 0; i < DEVICES; i++) {
        const struct membership *membership =
            fleet->gone[i] ? NULL : play_membership(fleet->devices[i], PLAY_GROUP);
        uint64_t at = membership == NULL ? 0 : membership->package_asked_us;
        if (at >= start) {
            asked++;
            first = at < first ? at : first;
            last = at > last ? at : last;
        }
    }
    assert_in_range(asked, 8, 15); /* those of its block, and nobody else */
    assert_true(first >= start + 2000000u);
    assert_true(last >= first + 1000000u);
    fleet->lost_to = NULL;
    site_advance(fleet->site, 60000);
    all_are_current(fleet);
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % below;
}

static void step(struct fleet *fleet, uint32_t *seed)
{
    size_t device = draw(seed, DEVICES);
    switch (draw(seed, 7)) {
    case 0:
    case 1:
        if (!fleet->gone[device] && device % 4 != 0) { /* some stay to the end */
            evict(fleet, device);
        }
        break;
    case 2:
        assert_int_equal(operator_rotate(fleet->site, PLAY_GROUP), CODE(OK));
        break;
    case 3:
        site_online(fleet->devices[device], draw(seed, 2) == 0);
        break;
    case 4:
        site_restart(fleet->devices[device]);
        break;
    case 5:
        site_restart(fleet->mn);
        break;
    default:
        site_restart(site_authority(fleet->site));
        break;
    }
    site_advance(fleet->site, draw(seed, 3000));
}

/* Publishes are lost, doubled and put in another order, devices sleep, secure environments end: when the ways
 * are good again, everybody gets there, by itself. */
static void bad_ways_lead_there_too(void **state)
{
    struct fleet *fleet = *state;
    for (uint32_t schedule = 1; schedule <= 12; schedule++) {
        uint32_t seed = schedule;
        print_message("schedule %u\n", schedule);
        fleet->seed = schedule;
        for (size_t i = 0; i < 8; i++) {
            step(fleet, &seed);
        }
        fleet->seed = 0;
        for (size_t i = 0; i < DEVICES; i++) {
            site_online(fleet->devices[i], true);
        }
        site_advance(fleet->site, 150000);
        all_are_current(fleet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lost_block_is_had_again, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_own_path_is_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(another_leaf_hears_other_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_are_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_ways_lead_there_too, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
