/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/packed.h"
#include "tests/crash/fleet.h"
#include "tests/unit/operator.h"

#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define OWNER_CONNECTION 1u

static const char *const door_names[FLEET_DOORS] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2",
                                                    "//sp.example/Sdoor3"};

/* ---- making ---- */

static void door_add(struct fleet *fleet, size_t place, enum credentials_mode mode)
{
    struct fleet_door *door = &fleet->doors[place];
    door->node = site_join(fleet->site, door_names[place], IDENTITY_ADN_AE, mode, SITE_MN_CSE, "door");
    door->enrolled = true;
    fleet->nodes[2 + place] = door->node;
}

struct fleet *fleet_new(uint64_t seed)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE};
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    assert_non_null(fleet);
    fleet->random = seed | 1u;
    fleet->tardiness = 4;
    fleet->site = site_new();
    fleet->nodes[0] = site_authority(fleet->site);
    fleet->mn = site_join(fleet->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    fleet->nodes[1] = fleet->mn;
    group.name = (char *)(uintptr_t)FLEET_GROUP;
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 1;
    assert_int_equal(operator_create(fleet->site, &group), CODE(OK));
    door_add(fleet, 0, CREDENTIALS_PSK);
    door_add(fleet, 1, CREDENTIALS_CERT);
    door_add(fleet, 2, CREDENTIALS_PSK);
    site_advance(fleet->site, 1000);
    return fleet;
}

static void record_forget(struct fleet *fleet)
{
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        struct fleet_door *door = &fleet->doors[i];
        free(door->runs);
        door->runs = NULL;
        door->run_count = 0;
        door->read = 0;
        site_events_clear(door->node);
    }
    free(fleet->orders);
    fleet->orders = NULL;
    fleet->order_count = 0;
}

void fleet_free(struct fleet *fleet)
{
    record_forget(fleet);
    site_free(fleet->site);
    free(fleet);
}

size_t fleet_random(struct fleet *fleet, size_t below)
{
    fleet->random ^= fleet->random << 13; /* xorshift */
    fleet->random ^= fleet->random >> 7;
    fleet->random ^= fleet->random << 17;
    return (size_t)((fleet->random >> 11) % below);
}

/* ---- asking ---- */

static void order_note(struct fleet *fleet, const Groupseal__Secenv__Reply *reply, bool own)
{
    if (reply->code != CODE(OK)) {
        return; /* lost, or not ready: who asked knows that it may not have been done */
    }
    fleet->orders = realloc(fleet->orders, (fleet->order_count + 1) * sizeof(*fleet->orders));
    assert_non_null(fleet->orders);
    struct fleet_order *order = &fleet->orders[fleet->order_count++];
    assert_int_equal(reply->order->command_id.len, COMMAND_ID_SIZE);
    memcpy(order->id, reply->order->command_id.data, COMMAND_ID_SIZE);
    order->own = own;
}

void fleet_order(struct fleet *fleet)
{
    Groupseal__Secenv__Reply *reply =
        operator_order(fleet->site, FLEET_GROUP, "close", NULL, 0, FLEET_VALID_MS);
    order_note(fleet, reply, false);
    site_reply_free(reply);
}

void fleet_command(struct fleet *fleet)
{
    Groupseal__Secenv__Reply *reply = play_own_command(fleet->mn, "open", FLEET_VALID_MS);
    order_note(fleet, reply, true);
    site_reply_free(reply);
}

void fleet_speak(struct fleet *fleet, size_t door)
{
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.identity = (char *)(uintptr_t)door_names[door];
    speak.group = (char *)(uintptr_t)FLEET_GROUP;
    speak.body = arena_field(bytes_of_text("smoke"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    site_reply_free(site_request(fleet->doors[door].node, SOCKET_OWNER, OWNER_CONNECTION, &request));
}

void fleet_enrol(struct fleet *fleet, bool enrolled)
{
    struct fleet_door *door = &fleet->doors[FLEET_STEADY];
    struct new_member member;
    new_member_init(&member, door_names[FLEET_STEADY], IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    Groupseal__Secenv__NewMember *members[] = {&member.member};
    Groupseal__Secenv__Code code = enrolled ? operator_add(fleet->site, members, 1)
                                            : operator_evict(fleet->site, door_names[FLEET_STEADY]);
    door->enrolled = enrolled;
    door->asked = code == CODE(STORE); /* no answer: the operator asks again later, which may be twice */
    if (!door->asked && code != CODE(OK) && code != (enrolled ? CODE(EXISTS) : CODE(UNKNOWN))) {
        fail_msg("%s the third door: code %d", enrolled ? "adding" : "evicting", (int)code);
    }
}

/* ---- applications ---- */

static struct fleet_run *run_find(const struct fleet_door *door, const uint8_t *id)
{
    for (size_t i = 0; i < door->run_count; i++) {
        if (memcmp(door->runs[i].id, id, COMMAND_ID_SIZE) == 0) {
            return &door->runs[i];
        }
    }
    return NULL;
}

static void command_run(struct fleet *fleet, struct fleet_door *door,
                        const Groupseal__Secenv__CommandEvent *command)
{
    assert_int_equal(command->command_id.len, COMMAND_ID_SIZE);
    struct fleet_run *run = run_find(door, command->command_id.data);
    if (run == NULL) {
        door->runs = realloc(door->runs, (door->run_count + 1) * sizeof(*door->runs));
        assert_non_null(door->runs);
        run = &door->runs[door->run_count++];
        *run = (struct fleet_run){.finishing = true, .done = fleet_random(fleet, 4) != 0};
        memcpy(run->id, command->command_id.data, COMMAND_ID_SIZE);
    }
    if (++run->times > 1) {
        fail_msg("%s ran a command %u times", site_name(door->node), run->times);
    }
}

/* What it was told before it ended, and did not read, it will never know of. */
static void application_end(struct fleet_door *door)
{
    door->read = site_event_count(door->node);
    for (size_t i = 0; i < door->run_count; i++) {
        door->runs[i].finishing = false;
    }
}

static void application_work(struct fleet *fleet, struct fleet_door *door)
{
    while (door->read < site_event_count(door->node)) {
        const Groupseal__Secenv__Event *event = site_event(door->node, door->read++);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND) {
            command_run(fleet, door, event->command);
        }
    }
    for (size_t i = 0; i < door->run_count && !site_down(door->node); i++) {
        struct fleet_run *run = &door->runs[i];
        if (run->finishing && (fleet->tardiness == 0 || fleet_random(fleet, fleet->tardiness) != 0)) {
            run->finishing =
                play_finish(door->node, run->id, run->done, run->done ? "" : "stuck") == CODE(STORE);
        }
    }
}

static bool machine_off(const struct site_node *node)
{
    return site_down(node) && power_loss_of(site_power((struct site_node *)(uintptr_t)node)) != POWER_KILL;
}

static void applications_work(struct fleet *fleet)
{
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        if (machine_off(fleet->doors[i].node)) {
            application_end(&fleet->doors[i]);
        } else {
            application_work(fleet, &fleet->doors[i]);
        }
    }
}

void fleet_advance(struct fleet *fleet, uint64_t ms)
{
    site_settle(fleet->site);
    applications_work(fleet);
    site_advance(fleet->site, ms);
    applications_work(fleet);
}

/* ---- killing ---- */

static struct fleet_door *door_of(struct fleet *fleet, const struct site_node *node)
{
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        if (fleet->doors[i].node == node) {
            return &fleet->doors[i];
        }
    }
    return NULL;
}

void fleet_owner_kill(struct fleet *fleet, struct site_node *node)
{
    struct fleet_door *door = door_of(fleet, node);
    if (door != NULL) {
        application_end(door);
    }
    site_owner_lost(node);
    fleet->others++;
    if (!site_down(node)) {
        site_online(node, true);
    }
}

void fleet_broker_kill(struct fleet *fleet)
{
    site_broker_crash(fleet->site);
    fleet->others++;
    for (size_t i = 0; i < FLEET_NODES; i++) {
        if (fleet->nodes[i] == fleet->mn) {
            site_owner_lost(fleet->mn); /* it is in the broker */
        } else if (!site_down(fleet->nodes[i])) {
            site_online(fleet->nodes[i], false);
        }
    }
    for (size_t i = 0; i < FLEET_NODES; i++) {
        if (!site_down(fleet->nodes[i])) {
            site_online(fleet->nodes[i], true);
        }
    }
}

void fleet_raise(struct fleet *fleet)
{
    applications_work(fleet);
    for (size_t i = 0; i < FLEET_NODES; i++) {
        struct site_node *node = fleet->nodes[i];
        if (site_down(node)) {
            fleet->losses[power_loss_of(site_power(node))]++;
            site_reopen(node);
        } else {
            power_disarm(site_power(node));
        }
    }
}

/* ---- what must be ---- */

static Groupseal__Secenv__Reply *report_of(struct fleet *fleet, const struct fleet_order *order)
{
    Groupseal__Secenv__Reply *reply =
        order->own ? play_own_shown(fleet->mn, order->id, 0)
                   : operator_order_show(fleet->site, (struct bytes){order->id, COMMAND_ID_SIZE});
    if (reply->code != CODE(OK)) {
        fail_msg("a command that was taken is forgotten: %s", reply->reason);
    }
    return reply;
}

static bool row_ended(const Groupseal__Secenv__OrderRow *row)
{
    return row != NULL && (row->outcome == OUTCOME(DONE) || row->outcome == OUTCOME(FAILED) ||
                           row->outcome == OUTCOME(NOT_KNOWN));
}

static bool order_ended(struct fleet *fleet, const struct fleet_order *order)
{
    bool ended = true;
    Groupseal__Secenv__Reply *reply = report_of(fleet, order);
    for (size_t i = 0; i < FLEET_STEADY; i++) {
        ended = ended && row_ended(play_row(reply->report, door_names[i]));
    }
    site_reply_free(reply);
    return ended;
}

static bool door_is_current(struct fleet *fleet, const struct fleet_door *door)
{
    const struct identity_state *identity = engine_identity(site_engine(door->node), site_name(door->node));
    const struct membership *membership = membership_find(identity, FLEET_GROUP);
    const struct membership *relay = play_membership(fleet->mn, FLEET_GROUP);
    if (!door->enrolled) { /* where nobody could tell it, it has the old keys */
        return membership == NULL || membership->current.epoch < relay->current.epoch;
    }
    return membership != NULL && membership->sites[0].synchronised && membership->current.present &&
           membership->current.epoch == relay->current.epoch;
}

static bool all_current(struct fleet *fleet)
{
    bool current = true;
    Groupseal__Secenv__Reply *reply = operator_show(fleet->site, FLEET_GROUP);
    assert_int_equal(reply->code, CODE(OK));
    const struct membership *relay = play_membership(fleet->mn, FLEET_GROUP);
    current = relay->current.present && relay->current.epoch == reply->group->group->epoch;
    site_reply_free(reply);
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        current = current && door_is_current(fleet, &fleet->doors[i]);
    }
    for (size_t i = 0; i < fleet->order_count; i++) {
        current = current && order_ended(fleet, &fleet->orders[i]);
    }
    return current;
}

static void complain(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->order_count; i++) {
        Groupseal__Secenv__Reply *reply = report_of(fleet, &fleet->orders[i]);
        for (size_t d = 0; d < FLEET_STEADY; d++) {
            const Groupseal__Secenv__OrderRow *row = play_row(reply->report, door_names[d]);
            if (!row_ended(row)) {
                print_message("order %zu (%s): %s %d \"%s\"; run %u times; refused \"%s\"\n", i,
                              fleet->orders[i].own ? "MN-CSE's" : "authority's", door_names[d],
                              row == NULL ? -1 : (int)row->outcome, row == NULL ? "" : row->detail,
                              run_find(&fleet->doors[d], fleet->orders[i].id) != NULL ? 1u : 0u,
                              reply->report->refused);
            }
        }
        site_reply_free(reply);
    }
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        print_message("%s, %s, is %s\n", door_names[i], fleet->doors[i].enrolled ? "enrolled" : "evicted",
                      door_is_current(fleet, &fleet->doors[i]) ? "current" : "behind");
    }
    Groupseal__Secenv__Reply *members = operator_list(fleet->site, "");
    for (size_t i = 0; i < members->members->n_members; i++) {
        print_message("%s at the authority: %s\n", members->members->members[i]->name,
                      members->members->members[i]->state);
    }
    site_reply_free(members);
    fail_msg("the fleet does not recover");
}

/* Said to have ended so, and so it was. */
static void ending_check(struct fleet *fleet, const struct fleet_order *order)
{
    Groupseal__Secenv__Reply *reply = report_of(fleet, order);
    for (size_t i = 0; i < FLEET_STEADY; i++) {
        const struct fleet_run *run = run_find(&fleet->doors[i], order->id);
        const Groupseal__Secenv__OrderRow *row = play_row(reply->report, door_names[i]);
        assert_non_null(row);
        fleet->outcomes[row->outcome]++;
        if (row->outcome != OUTCOME(NOT_KNOWN)) {
            assert_non_null(run);
            assert_int_equal(row->outcome, run->done ? OUTCOME(DONE) : OUTCOME(FAILED));
        }
    }
    site_reply_free(reply);
}

/* Nobody has run what nobody has ordered: an order whose answer was lost is on record. */
static void runs_check(struct fleet *fleet)
{
    for (size_t i = 0; i < FLEET_DOORS; i++) {
        for (size_t r = 0; r < fleet->doors[i].run_count; r++) {
            struct bytes id = {fleet->doors[i].runs[r].id, COMMAND_ID_SIZE};
            struct fleet_order own = {.own = true};
            memcpy(own.id, id.data, COMMAND_ID_SIZE);
            Groupseal__Secenv__Reply *ordered = operator_order_show(fleet->site, id);
            Groupseal__Secenv__Reply *commanded = play_own_shown(fleet->mn, own.id, 0);
            assert_true(ordered->code == CODE(OK) || commanded->code == CODE(OK));
            site_reply_free(ordered);
            site_reply_free(commanded);
        }
    }
}

void fleet_rest(struct fleet *fleet)
{
    unsigned tardiness = fleet->tardiness;
    fleet_raise(fleet);
    for (size_t i = 0; i < FLEET_NODES; i++) {
        assert_false(site_down(fleet->nodes[i]));
        site_online(fleet->nodes[i], true);
    }
    fleet->tardiness = 0;
    if (fleet->doors[FLEET_STEADY].asked) {
        fleet_enrol(fleet, fleet->doors[FLEET_STEADY].enrolled);
    }
    fleet_advance(fleet, 5000);
    for (unsigned i = 0; i < 120 && !all_current(fleet); i++) {
        fleet_advance(fleet, 10000);
    }
    if (!all_current(fleet)) {
        complain(fleet);
    }
    for (size_t i = 0; i < fleet->order_count; i++) {
        ending_check(fleet, &fleet->orders[i]);
    }
    runs_check(fleet);
    fleet_advance(fleet, 2 * (uint64_t)FLEET_VALID_MS + 600000u);
    record_forget(fleet);
    fleet->tardiness = tardiness;
}
