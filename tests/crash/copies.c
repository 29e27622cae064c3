/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/log.h"
#include "tests/crash/fleet.h"
#include "tests/crash/sealed.h"
#include "tests/unit/operator.h"

/*
 * A store put back to an older copy, a device's and the MN-CSE's, and the wall clock of their machines set by
 * ten years: the fleet recovers by itself, no key and nonce is used twice (sealed.h), no command is run
 * twice.
 */
#define TEN_YEARS_MS ((int64_t)3652 * 86400000)

static void folder_copy(const char *from, const char *to)
{
    char command[1200];
    (void)snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

static void copy_path(const struct site_node *node, char out[300])
{
    (void)snprintf(out, 300, "%s.copy", site_directory(node));
}

static void copy_keep(struct site_node *node)
{
    char copy[300];
    copy_path(node, copy);
    site_close(node);
    folder_copy(site_directory(node), copy);
    site_reopen(node);
}

static void copy_put_back(struct site_node *node)
{
    char copy[300];
    copy_path(node, copy);
    site_close(node);
    folder_copy(copy, site_directory(node));
    site_reopen(node);
}

/* Before: a command, a new key, an eviction, an authentication. After: a command again. */
static void put_back(struct site_node *(*which)(struct fleet *fleet))
{
    struct fleet *fleet = fleet_new(1);
    fleet->tardiness = 0;
    copy_keep(which(fleet));
    fleet_advance(fleet, 2000);
    fleet_order(fleet);
    fleet_speak(fleet, 0);
    fleet_advance(fleet, 3000);
    assert_int_equal(fleet->doors[0].run_count, 1);
    assert_int_equal(operator_rotate(fleet->site, FLEET_GROUP), GROUPSEAL__SECENV__CODE__OK);
    fleet_advance(fleet, 3000);
    fleet_enrol(fleet, false);
    fleet_advance(fleet, 10000);
    assert_int_equal(operator_reauthenticate(fleet->site, site_name(fleet->doors[0].node)),
                     GROUPSEAL__SECENV__CODE__OK);
    fleet_advance(fleet, 10000);
    copy_put_back(which(fleet));
    fleet_advance(fleet, 60000);
    fleet_order(fleet);
    fleet_rest(fleet);
    assert_true(sealed_count() > 0);
    fleet_free(fleet);
}

static struct site_node *door_of(struct fleet *fleet)
{
    return fleet->doors[0].node;
}

static struct site_node *mn_of(struct fleet *fleet)
{
    return fleet->mn;
}

static void older_store_of_a_device(void **state)
{
    (void)state;
    put_back(door_of);
}

static void older_store_of_the_mn_cse(void **state)
{
    (void)state;
    put_back(mn_of);
}

/* The copy is of when a door had not answered; all have, and the IN-CSE has commanded again, when it is put
 * back. */
static void older_store_with_open_commands(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    fleet->tardiness = 0;
    site_online(fleet->doors[0].node, false);
    fleet_order(fleet);
    fleet_command(fleet);
    fleet_advance(fleet, 3000);
    assert_int_equal(fleet->doors[0].run_count, 0);
    assert_int_equal(fleet->doors[1].run_count, 2);
    copy_keep(fleet->mn);
    site_online(fleet->doors[0].node, true);
    fleet_advance(fleet, 10000);
    assert_int_equal(fleet->doors[0].run_count, 2);
    fleet_order(fleet);
    fleet_advance(fleet, 3000);
    assert_int_equal(fleet->doors[0].run_count, 3);
    copy_put_back(fleet->mn);
    fleet_rest(fleet);
    fleet_free(fleet);
}

/* The doors have run a command, but one of them, which is away; then the store of one that has is put back to
 * before. The MN-CSE seals the command again, for the one that comes back, at its own start, and for a new
 * key. */
static void older_store_of_a_device_runs_nothing_again(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    fleet->tardiness = 0;
    copy_keep(door_of(fleet));
    fleet_advance(fleet, 2000);
    site_online(fleet->doors[1].node, false);
    fleet_order(fleet);
    fleet_advance(fleet, 3000);
    assert_int_equal(fleet->doors[0].run_count, 1);
    assert_int_equal(fleet->doors[1].run_count, 0);
    copy_put_back(door_of(fleet));
    fleet_advance(fleet, 5000);
    site_restart(fleet->mn);
    fleet_advance(fleet, 10000);
    assert_int_equal(operator_rotate(fleet->site, FLEET_GROUP), GROUPSEAL__SECENV__CODE__OK);
    fleet_advance(fleet, 10000);
    site_online(fleet->doors[1].node, true);
    fleet_advance(fleet, 5000);
    assert_int_equal(fleet->doors[1].run_count, 1); /* it was sealed again */
    fleet_rest(fleet);                              /* nobody has run it twice */
    fleet_free(fleet);
}

static void clock_set(struct site_node *node, int64_t step_ms, bool off)
{
    if (off) {
        site_close(node);
        site_boot(node);
    }
    site_clock_step(node, step_ms);
    if (off) {
        site_reopen(node);
    }
}

static void clock_of_a_device(int64_t step_ms, bool off)
{
    struct fleet *fleet = fleet_new(1);
    fleet->tardiness = 0;
    clock_set(fleet->doors[0].node, step_ms, off);
    fleet_advance(fleet, 2000);
    fleet_order(fleet);
    fleet_advance(fleet, 3000);
    assert_int_equal(fleet->doors[0].run_count, 1);
    site_clock_step(fleet->doors[0].node, -step_ms);
    fleet_rest(fleet);
    assert_true(sealed_count() > 0);
    fleet_free(fleet);
}

/* Commands go by the MN-CSE's clock and the device's monotonic one. */
static void device_obeys_whatever_its_clock_says(void **state)
{
    (void)state;
    clock_of_a_device(TEN_YEARS_MS, false);
    clock_of_a_device(-TEN_YEARS_MS, false);
    clock_of_a_device(TEN_YEARS_MS, true);
    clock_of_a_device(-TEN_YEARS_MS, true);
}

static void order_is_refused_for_its_time(struct fleet *fleet)
{
    fleet_order(fleet);
    fleet_advance(fleet, 3000);
    Groupseal__Secenv__Reply *reply =
        operator_order_show(fleet->site, (struct bytes){fleet->orders[0].id, COMMAND_ID_SIZE});
    assert_non_null(strstr(reply->report->refused, "has expired by the clock of this MN-CSE"));
    site_reply_free(reply);
    assert_int_equal(fleet->doors[0].run_count, 0);
}

/* An MN-CSE that is ahead takes no order, and says why; one that is behind extends none, and takes them. */
static void mn_cse_ahead_says_why(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        struct fleet *fleet = fleet_new(1);
        fleet->tardiness = 0;
        clock_set(fleet->mn, TEN_YEARS_MS, off != 0);
        fleet_advance(fleet, 2000);
        order_is_refused_for_its_time(fleet);
        clock_set(fleet->mn, -2 * TEN_YEARS_MS, off != 0); /* now ten years behind */
        fleet_advance(fleet, 2000);
        fleet_order(fleet);
        fleet_advance(fleet, 3000);
        assert_int_equal(fleet->doors[0].run_count, 1);
        fleet_free(fleet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_store_of_a_device),
        cmocka_unit_test(older_store_of_a_device_runs_nothing_again),
        cmocka_unit_test(older_store_of_the_mn_cse),
        cmocka_unit_test(older_store_with_open_commands),
        cmocka_unit_test(device_obeys_whatever_its_clock_says),
        cmocka_unit_test(mn_cse_ahead_says_why),
    };
    log_threshold(LOG_LEVEL_ALARM);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
