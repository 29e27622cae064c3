/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "secenv/log.h"
#include "tests/crash/fleet.h"
#include "tests/crash/sealed.h"
#include "tests/unit/operator.h"

/*
 * Processes that are killed, and machines whose power goes off, at any point: between any two writes of a
 * store, any two messages of a socket; one, and several at once. GROUPSEAL_CRASH_POINTS says how many at
 * random points (default 300), GROUPSEAL_CRASH_SEED repeats a run.
 */
static size_t number_of(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : (size_t)strtoull(text, NULL, 10);
}

static size_t crashes(const struct fleet *fleet)
{
    return fleet->losses[POWER_KILL] + fleet->losses[POWER_OFF] + fleet->losses[POWER_TORN] + fleet->others;
}

/* ---- at every point of one command ---- */

/* False: the node had passed all its points. */
static bool command_cut_at(struct fleet *fleet, size_t node, enum power_loss loss, size_t at)
{
    site_cut(fleet->nodes[node], loss, at, fleet_random(fleet, SIZE_MAX));
    fleet_order(fleet);
    fleet_advance(fleet, 1500);
    bool cut = site_down(fleet->nodes[node]);
    fleet_raise(fleet);
    fleet_advance(fleet, 1500);
    return cut;
}

static void every_point_of_a_command(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(1);
    size_t points = 0;
    fleet->tardiness = 0;
    for (size_t node = 0; node < 3; node++) { /* authority, MN-CSE, a door */
        for (unsigned loss = 0; loss < POWER_LOSSES; loss++) {
            size_t at = 0;
            while (command_cut_at(fleet, node, (enum power_loss)loss, at)) {
                if (++at % 16 == 0) {
                    fleet_rest(fleet);
                }
            }
            fleet_rest(fleet);
            print_message("%s: %zu points\n", site_name(fleet->nodes[node]), at);
            assert_true(at > 5); /* a request, a reply, an event, writes and a sync: it was in use */
            points += at;
        }
    }
    print_message("%zu points in all\n", points);
    fleet_free(fleet);
}

/* ---- at random points ---- */

static void arm_some(struct fleet *fleet)
{
    for (size_t i = 1 + fleet_random(fleet, 3); i > 0; i--) {
        site_cut(fleet->nodes[fleet_random(fleet, FLEET_NODES)],
                 (enum power_loss)fleet_random(fleet, POWER_LOSSES),
                 fleet_random(fleet, fleet_random(fleet, 2) == 0 ? 12 : 80), fleet_random(fleet, SIZE_MAX));
    }
}

static void act(struct fleet *fleet)
{
    switch (fleet_random(fleet, 16)) {
    case 0:
        (void)operator_rotate(fleet->site, FLEET_GROUP);
        break;
    case 1:
        fleet_enrol(fleet, !fleet->doors[FLEET_STEADY].enrolled);
        break;
    case 2:
        (void)operator_reauthenticate(fleet->site, site_name(fleet->doors[fleet_random(fleet, 2)].node));
        break;
    case 3:
    case 4:
        fleet_command(fleet);
        break;
    case 5:
    case 6:
        fleet_speak(fleet, fleet_random(fleet, FLEET_STEADY));
        break;
    case 7:
        fleet_owner_kill(fleet, fleet->nodes[fleet_random(fleet, FLEET_NODES)]);
        break;
    case 8:
        fleet_broker_kill(fleet);
        break;
    default:
        fleet_order(fleet);
        break;
    }
}

static void round_play(struct fleet *fleet)
{
    arm_some(fleet);
    for (size_t i = 1 + fleet_random(fleet, 3); i > 0; i--) {
        act(fleet);
        if (fleet_random(fleet, 3) != 0) {
            fleet_advance(fleet, fleet_random(fleet, 700));
        }
    }
    fleet_advance(fleet, fleet_random(fleet, 3000));
    fleet_raise(fleet);
    if (fleet_random(fleet, 3) == 0) { /* killed again while it starts */
        arm_some(fleet);
    }
    fleet_advance(fleet, fleet_random(fleet, 1000));
    fleet_raise(fleet);
}

static void random_points(void **state)
{
    (void)state;
    size_t wanted = number_of("GROUPSEAL_CRASH_POINTS", 300);
    uint64_t seed = number_of("GROUPSEAL_CRASH_SEED", (size_t)time(NULL));
    print_message("GROUPSEAL_CRASH_SEED=%llu\n", (unsigned long long)seed);
    struct fleet *fleet = fleet_new(seed);
    while (crashes(fleet) < wanted) {
        for (unsigned i = 0; i < 12; i++) {
            round_play(fleet);
        }
        fleet_rest(fleet);
    }
    print_message(
        "%zu killed, %zu off, %zu off with torn writes, %zu owners and brokers; %zu done, %zu failed, "
        "%zu not known; %zu sealed\n",
        fleet->losses[POWER_KILL], fleet->losses[POWER_OFF], fleet->losses[POWER_TORN], fleet->others,
        fleet->outcomes[GROUPSEAL__SECENV__OUTCOME__DONE],
        fleet->outcomes[GROUPSEAL__SECENV__OUTCOME__FAILED],
        fleet->outcomes[GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN], sealed_count());
    assert_true(fleet->outcomes[GROUPSEAL__SECENV__OUTCOME__DONE] > 0);
    assert_true(fleet->outcomes[GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN] > 0);
    fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_of_a_command),
        cmocka_unit_test(random_points),
    };
    log_threshold(LOG_LEVEL_ALARM);
    power_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
