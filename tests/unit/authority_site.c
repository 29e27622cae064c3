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
#include "secenv/authority/authority.h"
#include "secenv/objects/object.h"
#include "tests/unit/operator.h"

/* Authority and real members together: join, order, report, evict, rejoin; restarts, losses, duplicates. */

#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define SENSOR "//sp.example/Ssensor1"
#define OK GROUPSEAL__SECENV__CODE__OK
#define COMMAND GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND
#define REPORT GROUPSEAL__SECENV__EVENT__CONTENT_REPORT

static int setup(void **state)
{
    *state = site_new();
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

/* MN-CSE by certificate, one door by certificate and one by PSK, a sensor in no group; all joined. */
static void site_build(struct site *site)
{
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_join(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "sensor");
}

static uint64_t epoch_of(struct site *site, uint32_t *members)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, "doors");
    assert_int_equal(reply->code, OK);
    uint64_t epoch = reply->group->group->epoch;
    *members = reply->group->group->members;
    for (size_t i = 0; i < reply->group->n_members; i++) {
        assert_true(reply->group->members[i]->package_taken);
    }
    site_reply_free(reply);
    return epoch;
}

/* The node's own view: it is in the group and at the authority's epoch. */
static bool is_at(struct site_node *node, uint64_t epoch)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    assert_int_equal(reply->code, OK);
    const Groupseal__Secenv__IdentityStatus *identity = reply->status->identities[0];
    bool at = identity->n_groups == 1 && identity->groups[0]->epoch == epoch;
    site_reply_free(reply);
    return at;
}

static void assert_all_at(struct site *site, uint32_t members)
{
    uint32_t count = 0;
    uint64_t epoch = epoch_of(site, &count);
    assert_int_equal(count, members);
    assert_true(is_at(site_find(site, SITE_MN_CSE), epoch));
    assert_true(is_at(site_find(site, DOOR_1), epoch));
    assert_true(is_at(site_find(site, DOOR_2), epoch));
}

static void finish(struct site_node *node, const Groupseal__Secenv__CommandEvent *command)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Finished finished = GROUPSEAL__SECENV__FINISHED__INIT;
    finished.identity = (char *)(uintptr_t)site_name(node);
    finished.group = command->group;
    finished.command_id = command->command_id;
    finished.done = 1;
    finished.detail = (char *)(uintptr_t) "closed";
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_FINISHED;
    request.finished = &finished;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    assert_int_equal(reply->code, OK);
    site_reply_free(reply);
}

/* The one command that the node was given since its events were cleared; finished. */
static void do_command(struct site_node *node, const char *body)
{
    size_t commands = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        commands += site_event(node, i)->content_case == COMMAND;
    }
    assert_int_equal(commands, 1);
    const Groupseal__Secenv__CommandEvent *command = site_last_event(node, COMMAND)->command;
    assert_int_equal(command->body.len, strlen(body));
    assert_memory_equal(command->body.data, body, strlen(body));
    finish(node, command);
}

static struct buffer order(struct site *site, const char *body)
{
    struct buffer id = BUFFER_EMPTY(16);
    Groupseal__Secenv__Reply *reply = operator_order(site, "doors", body, NULL, 0, 0);
    if (reply->code != OK) {
        fail_msg("%s", reply->reason);
    }
    assert_int_equal(
        buffer_append(&id, (struct bytes){reply->order->command_id.data, reply->order->command_id.len}),
        RESULT_OK);
    site_reply_free(reply);
    return id;
}

static void assert_done(struct site *site, struct bytes id, const char *name)
{
    Groupseal__Secenv__Reply *reply = operator_order_show(site, id);
    assert_int_equal(reply->code, OK);
    bool found = false;
    for (size_t i = 0; i < reply->report->n_rows; i++) {
        const Groupseal__Secenv__OrderRow *row = reply->report->rows[i];
        if (strcmp(row->name, name) == 0) {
            found = true;
            assert_int_equal(row->outcome, GROUPSEAL__SECENV__OUTCOME__DONE);
            assert_string_equal(row->detail, "closed");
            assert_string_equal(row->site, SITE_MN_CSE);
        }
    }
    assert_true(found);
    site_reply_free(reply);
}

static void command_runs(struct site *site)
{
    site_events_clear(site_find(site, DOOR_1));
    site_events_clear(site_find(site, DOOR_2));
    struct buffer id = order(site, "close");
    site_advance(site, 100);
    do_command(site_find(site, DOOR_1), "close");
    do_command(site_find(site, DOOR_2), "close");
    site_advance(site, 5000);
    assert_done(site, buffer_bytes(&id), DOOR_1);
    assert_done(site, buffer_bytes(&id), DOOR_2);
    buffer_clear(&id);
}

static void members_join_and_obey(void **state)
{
    struct site *site = *state;
    site_build(site);
    site_advance(site, 3000);
    assert_all_at(site, 3);
    assert_null(site_last_event(site_find(site, SENSOR), GROUPSEAL__SECENV__EVENT__CONTENT_JOINED));
    struct site_node *authority = site_authority(site);
    site_events_clear(authority);
    command_runs(site);
    /* The operator's connection was told, and nobody else; the last word is complete. */
    const Groupseal__Secenv__Event *event = site_last_event(authority, REPORT);
    assert_non_null(event);
    assert_true(event->report->complete);
    assert_string_equal(event->report->group, "doors");
    assert_int_equal(event->report->n_rows, 2);
    assert_int_equal(event->report->pages, 1);
    for (size_t i = 0; i < site_event_count(authority); i++) {
        if (site_event(authority, i)->content_case == REPORT) {
            assert_int_equal(site_event_connection(authority, i), SITE_OPERATOR_CONNECTION);
        }
    }
}

static void evicted_member_is_out(void **state)
{
    struct site *site = *state;
    site_build(site);
    site_advance(site, 3000);
    uint32_t members = 0;
    uint64_t before = epoch_of(site, &members);
    assert_int_equal(operator_evict(site, DOOR_2), OK);
    site_advance(site, 3000);
    uint64_t after = epoch_of(site, &members);
    assert_int_equal(after, before + 1);
    assert_int_equal(members, 2);
    assert_true(is_at(site_find(site, DOOR_1), after));
    assert_false(is_at(site_find(site, DOOR_2), after));
    /* It was told, and has wiped the group's keys; who stays was told nothing. */
    assert_non_null(site_last_event(site_find(site, DOOR_2), GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED));
    assert_null(site_last_event(site_find(site, DOOR_1), GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED));
    /* The MN-CSE's roster is without it. */
    const Groupseal__Secenv__Event *event =
        site_last_event(site_find(site, SITE_MN_CSE), GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER);
    assert_non_null(event);
    for (size_t i = 0; i < event->roster->n_members; i++) {
        assert_string_not_equal(event->roster->members[i], DOOR_2);
    }
    site_events_clear(site_find(site, DOOR_1));
    site_events_clear(site_find(site, DOOR_2));
    struct buffer id = order(site, "close");
    site_advance(site, 1000);
    do_command(site_find(site, DOOR_1), "close");
    assert_null(site_last_event(site_find(site, DOOR_2), COMMAND));
    buffer_clear(&id);
    /* Added again it is a new row: it authenticates, and gets another serial and leaf. */
    site_enrol(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 400000);
    assert_all_at(site, 3);
    command_runs(site);
}

static void asked_to_authenticate_anew(void **state)
{
    struct site *site = *state;
    site_build(site);
    site_advance(site, 3000);
    uint32_t members = 0;
    uint64_t before = epoch_of(site, &members);
    assert_int_equal(operator_reauthenticate(site, DOOR_1), OK);
    site_advance(site, 10000);
    assert_int_equal(epoch_of(site, &members), before + 1); /* its leaf is another one */
    assert_all_at(site, 3);
    assert_int_equal(operator_reauthenticate(site, SITE_MN_CSE), OK);
    site_advance(site, 10000);
    assert_int_equal(epoch_of(site, &members), before + 2);
    assert_all_at(site, 3);
    command_runs(site);
}

/* One group over two brokers: each site's MN-CSE relays to and reports of its own devices. */
static void two_sites(void **state)
{
    struct site *site = *state;
    static const char mn_2[] = "//sp.example/mn-2";
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)mn_2};
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_join(site, mn_2, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group.name = (char *)(uintptr_t) "doors";
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2;
    assert_int_equal(operator_create(site, &group),
                     OK); /* MN-CSEs may command: the order names its commander */
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, mn_2, "door");
    site_advance(site, 3000);
    assert_all_at(site, 4);
    site_events_clear(site_find(site, DOOR_1));
    site_events_clear(site_find(site, DOOR_2));
    struct buffer id = order(site, "close");
    site_advance(site, 100);
    do_command(site_find(site, DOOR_1), "close");
    do_command(site_find(site, DOOR_2), "close");
    site_advance(site, 5000);
    Groupseal__Secenv__Reply *reply = operator_order_show(site, buffer_bytes(&id));
    assert_true(reply->report->complete);
    assert_int_equal(reply->report->n_rows, 2);
    assert_string_equal(reply->report->refused, "");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(reply->report->rows[i]->outcome, GROUPSEAL__SECENV__OUTCOME__DONE);
        assert_string_equal(reply->report->rows[i]->site, i == 0 ? SITE_MN_CSE : mn_2);
    }
    site_reply_free(reply);
    buffer_clear(&id);
}

/* Restarts the authority at the n-th message from or to it, which is lost. */
struct interruption {
    size_t seen;
    size_t at;
    bool due;
};

static enum site_fate interrupt(void *context, const struct site_message *message)
{
    struct interruption *interruption = context;
    if (message->what == SITE_PUBLISH || interruption->seen++ != interruption->at) {
        return SITE_DELIVER;
    }
    interruption->due = true;
    return SITE_DROP;
}

static void settle_through(struct site *site, struct interruption *interruption)
{
    site_settle(site);
    if (interruption->due) {
        interruption->due = false;
        site_restart(site_authority(site));
        site_settle(site);
    }
}

/* False where the flow has fewer messages. */
static bool restarted_at(size_t at)
{
    struct site *site = site_new();
    struct interruption interruption = {.at = at};
    site_carry(site, interrupt, &interruption);
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_enrol(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_enrol(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_online(site_provision(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK), true);
    settle_through(site, &interruption);
    site_online(site_provision(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_PSK), true);
    settle_through(site, &interruption);
    site_online(site_provision(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK), true);
    settle_through(site, &interruption);
    for (int second = 0; second < 150; second++) {
        site_advance(site, 1000);
        settle_through(site, &interruption);
    }
    assert_all_at(site, 3);
    struct buffer id = order(site, "close");
    site_settle(site);
    settle_through(site, &interruption);
    for (int second = 0; second < 20; second++) {
        site_advance(site, 1000);
        settle_through(site, &interruption);
    }
    do_command(site_find(site, DOOR_1), "close");
    do_command(site_find(site, DOOR_2), "close");
    for (int second = 0; second < 30; second++) {
        site_advance(site, 1000);
        settle_through(site, &interruption);
    }
    assert_done(site, buffer_bytes(&id), DOOR_1);
    assert_done(site, buffer_bytes(&id), DOOR_2);
    buffer_clear(&id);
    site_free(site);
    return interruption.seen > at;
}

static void restarts_at_every_message(void **state)
{
    (void)state;
    for (size_t at = 0; restarted_at(at); at++) {
        assert_true(at < 100);
    }
}

/* The authority's k-th event cannot be told: request or turn is undone in the store, and memory must follow.
 */
static bool failing_at(size_t at)
{
    struct site *site = site_new();
    struct site_node *authority = site_authority(site);
    site_fail_event(authority, at);
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 150000);
    assert_all_at(site, 3);
    assert_int_equal(operator_reauthenticate(site, DOOR_1), OK);
    site_advance(site, 150000);
    assert_all_at(site, 3);
    struct buffer id = order(site, "close");
    site_advance(site, 20000);
    do_command(site_find(site, DOOR_1), "close");
    do_command(site_find(site, DOOR_2), "close");
    site_advance(site, 60000);
    assert_done(site, buffer_bytes(&id), DOOR_1);
    assert_done(site, buffer_bytes(&id), DOOR_2);
    buffer_clear(&id);
    bool failed = site_failed(authority);
    site_free(site);
    return failed;
}

static void fails_at_every_event(void **state)
{
    (void)state;
    for (size_t at = 0; failing_at(at); at++) {
        assert_true(at < 100);
    }
}

/* Closed and opened between any two steps of the operator's and the members' doings. */
static void restarts_between_steps(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_restart(authority);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_restart(authority);
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_restart(authority);
    site_settle(site);
    site_restart(authority);
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_restart(authority);
    site_advance(site, 5000);
    assert_all_at(site, 3);
    site_restart(authority);
    command_runs(site);
    assert_int_equal(operator_evict(site, DOOR_2), OK);
    site_restart(authority);
    site_advance(site, 3000);
    uint32_t members = 0;
    uint64_t epoch = epoch_of(site, &members);
    assert_int_equal(members, 2);
    assert_true(is_at(site_find(site, DOOR_1), epoch));
    assert_false(is_at(site_find(site, DOOR_2), epoch));
}

static enum site_fate all_twice(void *context, const struct site_message *message)
{
    (void)context;
    (void)message;
    return SITE_TWICE;
}

static void everything_twice(void **state)
{
    struct site *site = *state;
    site_carry(site, all_twice, NULL);
    site_build(site);
    site_advance(site, 3000);
    assert_all_at(site, 3);
    command_runs(site);
}

/* Loses, doubles and delays by a fixed sequence of numbers. */
static enum site_fate unreliable(void *context, const struct site_message *message)
{
    uint32_t *state = context;
    *state = *state * 1664525u + 1013904223u;
    switch (*state >> 29) {
    case 0:
        /* A connection that lives loses no publish, and one that comes up is given what is retained. */
        return message->what == SITE_PUBLISH ? SITE_DELIVER : SITE_DROP;
    case 1:
        return SITE_TWICE;
    case 2:
        return SITE_LATER;
    default:
        return SITE_DELIVER;
    }
}

static void unreliable_ways(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct site *site = site_new();
        uint32_t random = seed;
        site_carry(site, unreliable, &random);
        site_build(site);
        site_advance(site, 300000);
        site_carry(site, NULL, NULL);
        site_advance(site, 300000);
        assert_all_at(site, 3);
        command_runs(site);
        site_free(site);
    }
}

static enum site_fate lose_to_the_door(void *context, const struct site_message *message)
{
    (void)context;
    return message->what == SITE_OBJECT && strcmp(message->to, DOOR_1) == 0 ? SITE_LOSE : SITE_DELIVER;
}

static size_t under_way(struct site *site)
{
    return site_engine(site_authority(site))->ferry.under_way;
}

/* What the hop has told of is no more on its way; nor is anything when its connection begins anew. */
static void what_is_on_its_way_is_counted(void **state)
{
    struct site *site = *state;
    site_build(site);
    site_advance(site, 300000);
    assert_int_equal(under_way(site), 0);
    site_carry(site, lose_to_the_door, NULL);
    assert_int_equal(operator_reauthenticate(site, DOOR_1), OK);
    site_advance(site, 10000);
    assert_int_not_equal(under_way(site), 0);
    site_carry(site, NULL, NULL);
    site_online(site_authority(site), true);
    assert_in_range(under_way(site), 0, 1); /* what was sent at once */
    site_advance(site, 300000);
    assert_int_equal(under_way(site), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_join_and_obey, setup, teardown),
        cmocka_unit_test_setup_teardown(evicted_member_is_out, setup, teardown),
        cmocka_unit_test_setup_teardown(two_sites, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_to_authenticate_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(restarts_between_steps, setup, teardown),
        cmocka_unit_test(restarts_at_every_message),
        cmocka_unit_test(fails_at_every_event),
        cmocka_unit_test_setup_teardown(everything_twice, setup, teardown),
        cmocka_unit_test(unreliable_ways),
        cmocka_unit_test_setup_teardown(what_is_on_its_way_is_counted, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_site", tests, NULL, NULL);
}
