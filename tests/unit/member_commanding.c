/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/packed.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* An MN-CSE that commands: with the IN-CSE away, under the policy alone; and what devices take as its order.
 */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define OWNER_CONNECTION 1u

static Groupseal__Secenv__Reply *command_by(struct site_node *node, Groupseal__Secenv__Command *command)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    command->identity = (char *)site_name(node);
    command->group = (char *)PLAY_GROUP;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND;
    request.command = command;
    return site_request(node, SOCKET_OWNER, OWNER_CONNECTION, &request);
}

static Groupseal__Secenv__Command command_new(const char *body)
{
    Groupseal__Secenv__Command command = GROUPSEAL__SECENV__COMMAND__INIT;
    command.body = arena_field(bytes_of_text(body));
    return command;
}

static Groupseal__Secenv__Code command_code(struct site_node *node, Groupseal__Secenv__Command *command)
{
    Groupseal__Secenv__Reply *reply = command_by(node, command);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

static void command_give(struct play *play, Groupseal__Secenv__Command *command, uint8_t id[COMMAND_ID_SIZE])
{
    Groupseal__Secenv__Reply *reply = command_by(play->mn, command);
    if (reply->code != CODE(OK)) {
        fail_msg("command: %s", reply->reason);
    }
    assert_int_equal(reply->order->command_id.len, COMMAND_ID_SIZE);
    memcpy(id, reply->order->command_id.data, COMMAND_ID_SIZE);
    site_reply_free(reply);
    site_settle(play->site);
}

static void door_does(struct play *play, struct site_node *door, const uint8_t id[COMMAND_ID_SIZE])
{
    assert_int_equal(play_commands(door), 1);
    assert_string_equal(site_last_event(door, GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND)->command->commander,
                        SITE_MN_CSE);
    assert_int_equal(play_finish(door, id, true, ""), CODE(OK));
    site_advance(play->site, 3000);
}

static void mn_cse_commands_while_the_in_cse_is_away(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(2);
    uint8_t id[COMMAND_ID_SIZE];
    site_online(site_authority(play->site), false);
    Groupseal__Secenv__Command command = command_new("close");
    command_give(play, &command, id);
    door_does(play, play->door, id);
    door_does(play, play->door2, id);
    const Groupseal__Secenv__Event *event =
        site_last_event(play->mn, GROUPSEAL__SECENV__EVENT__CONTENT_REPORT);
    assert_non_null(event);
    assert_true(event->report->complete);
    assert_memory_equal(event->report->command_id.data, id, COMMAND_ID_SIZE);
    Groupseal__Secenv__Reply *reply = play_own_shown(play->mn, id, 0);
    assert_int_equal(reply->code, CODE(OK));
    assert_int_equal(reply->report->n_rows, 2);
    assert_int_equal(reply->report->pages, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(reply->report->rows[i]->outcome, OUTCOME(DONE));
    }
    site_reply_free(reply);
    reply = play_own_shown(play->mn, id, 1);
    assert_int_equal(reply->code, CODE(INVALID));
    site_reply_free(reply);
    play_free(play);
}

/* Of what was done without it the authority hears when it is back, over starts of the MN-CSE. */
static void authority_hears_of_it_later(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(2);
    struct site_node *authority = site_authority(play->site);
    uint8_t id[COMMAND_ID_SIZE];
    site_online(authority, false);
    site_online(play->door2, false);
    Groupseal__Secenv__Command command = command_new("close");
    uint64_t issued_ms = site_now_ms(play->site);
    command_give(play, &command, id);
    door_does(play, play->door, id);
    site_advance(play->site, 4000000); /* expired, and an hour more: the MN-CSE itself has forgotten it */
    Groupseal__Secenv__Reply *reply = play_own_shown(play->mn, id, 0);
    assert_int_equal(reply->code, CODE(UNKNOWN));
    site_reply_free(reply);
    site_restart(play->mn);
    site_events_clear(authority);
    site_online(authority, true);
    site_advance(play->site, 120000);
    struct bytes view = {id, COMMAND_ID_SIZE};
    reply = operator_order_show(play->site, view);
    assert_int_equal(reply->code, CODE(OK));
    assert_true(reply->report->complete);
    assert_string_equal(reply->report->group, PLAY_GROUP);
    assert_string_equal(reply->report->commander, SITE_MN_CSE);
    assert_int_equal(reply->report->issued_ms, issued_ms);
    assert_int_equal(reply->report->n_rows, 2);
    site_reply_free(reply);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, NULL), OUTCOME(NO_ANSWER));
    size_t told = 0;
    for (size_t i = 0; i < site_event_count(authority); i++) {
        const Groupseal__Secenv__Event *event = site_event(authority, i);
        told += event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE &&
                strstr(event->notice->text, "by itself: `in-cse report ") != NULL;
    }
    assert_int_equal(told, 1);
    play_free(play);
}

/* At most 122 bytes over id, times, targets and body. */
static void signed_once_is_small(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Secenv__Command command = command_new("close");
    command_give(play, &command, id);
    size_t content = COMMAND_ID_SIZE + 3 * 8 + strlen("close");
    size_t size = play_last(play, TOPIC(COMMAND))->payload.len;
    if (size > content + 122 + strlen(PLAY_SITE) + 2) { /* the order names its site */
        fail_msg("%zu bytes", size);
    }
    play_free(play);
}

static void authority_only_lets_no_mn_cse_command(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct play *twin = NULL;
    Groupseal__Secenv__Command command = command_new("close");
    Groupseal__Secenv__Reply *reply = command_by(play->mn, &command);
    assert_int_equal(reply->code, CODE(REFUSED));
    assert_non_null(strstr(reply->reason, "--mn-cse-commands"));
    site_reply_free(reply);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 0);
    play_free(play);
    twin = play_new_commanding(1);
    uint8_t id[COMMAND_ID_SIZE];
    command_give(twin, &command, id);
    assert_int_equal(play_commands(twin->door), 1);
    play_free(twin);
}

static void wrong_commands_are_refused(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    static const uint8_t id[COMMAND_ID_SIZE] = {1};
    static uint8_t large[BODY_LIMIT + 1];
    char *targets[] = {(char *)"//sp.example/Sdoor9"};
    Groupseal__Secenv__Command command = command_new("close");
    assert_int_equal(command_code(play->door, &command), CODE(REFUSED)); /* a device commands nobody */
    command.valid_ms = 86400001;
    assert_int_equal(command_code(play->mn, &command), CODE(INVALID));
    command.valid_ms = 86400000;
    command.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE - 1});
    assert_int_equal(command_code(play->mn, &command), CODE(INVALID));
    command.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    command.targets = targets;
    command.n_targets = 1;
    assert_int_equal(command_code(play->mn, &command), CODE(UNKNOWN));
    targets[0] = (char *)PLAY_DOOR;
    command.body = arena_field((struct bytes){large, sizeof(large)});
    assert_int_equal(command_code(play->mn, &command), CODE(INVALID));
    command.body = arena_field(bytes_of_text("close"));
    assert_int_equal(command_code(play->mn, &command), CODE(OK));
    site_settle(play->site);
    assert_int_equal(play_commands(play->door), 1);
    /* The same id once more: it is known, and nothing is done twice. */
    assert_int_equal(command_code(play->mn, &command), CODE(EXISTS));
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* Not the authority's to know: it gets no report of what it did not order, before and after a restart. */
static void own_command_survives_a_restart(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    Groupseal__Secenv__Command command = command_new("close");
    command.valid_ms = 600000;
    command_give(play, &command, id);
    site_advance(play->site, 5000);
    assert_int_equal(play_commands(play->door), 0);
    site_restart(play->mn);
    play->dropped_to = NULL;
    site_online(play->door, false);
    site_online(play->door, true);
    site_advance(play->site, 5000);
    door_does(play, play->door, id);
    const Groupseal__Secenv__Event *event =
        site_last_event(play->mn, GROUPSEAL__SECENV__EVENT__CONTENT_REPORT);
    assert_non_null(event);
    assert_true(event->report->complete);
    assert_int_equal(event->report->rows[0]->outcome, OUTCOME(DONE));
    play_free(play);
}

/* One change of the policy makes a commander, and one takes it back: for what is under way, too. */
static void policy_is_changed(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Secenv__Command command = command_new("close");
    command.valid_ms = 600000;
    assert_int_equal(command_code(play->mn, &command), CODE(REFUSED));
    assert_int_equal(
        operator_set(play->site, "nobody", GROUPSEAL__SECENV__SWITCH__ON, GROUPSEAL__SECENV__SWITCH__KEEP),
        CODE(UNKNOWN));
    uint64_t epoch = play_membership(play->mn, PLAY_GROUP)->current.epoch;
    assert_int_equal(
        operator_set(play->site, PLAY_GROUP, GROUPSEAL__SECENV__SWITCH__ON, GROUPSEAL__SECENV__SWITCH__ON),
        CODE(OK));
    site_advance(play->site, 2000);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->current.epoch, epoch + 1);
    assert_true(membership_policy(play_membership(play->door, PLAY_GROUP))->sign_member_messages);
    play->dropped_to = PLAY_DOOR_2;
    play->dropped_kind = TOPIC(COMMAND);
    command_give(play, &command, id);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(
        operator_set(play->site, PLAY_GROUP, GROUPSEAL__SECENV__SWITCH__OFF, GROUPSEAL__SECENV__SWITCH__KEEP),
        CODE(OK));
    play->dropped_to = NULL;
    site_advance(play->site, 5000);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->current.epoch, epoch + 2);
    assert_true(membership_policy(play_membership(play->door, PLAY_GROUP))->sign_member_messages);
    assert_int_equal(play_commands(play->door2), 0); /* it is not sealed again */
    assert_int_equal(command_code(play->mn, &command), CODE(REFUSED));
    /* What says nothing new changes nothing, and it outlives a restart. */
    site_restart(site_authority(play->site));
    assert_int_equal(
        operator_set(play->site, PLAY_GROUP, GROUPSEAL__SECENV__SWITCH__OFF, GROUPSEAL__SECENV__SWITCH__ON),
        CODE(OK));
    site_advance(play->site, 5000);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->current.epoch, epoch + 2);
    play_free(play);
}

/* ---- what a device takes as the relay's order ---- */

static Groupseal__Secenv__Code hear(struct play *play, const struct forgery *forgery)
{
    struct buffer payload = play_forge(forgery);
    Groupseal__Secenv__Code code = play_hear(play->door, TOPIC(COMMAND), "", buffer_bytes(&payload), false);
    buffer_clear(&payload);
    return code;
}

static struct play *play_dropped(struct play *play, struct arena *arena, struct forgery *forgery)
{
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    play_order(play, "close", PLAY_DOOR, 120000, id);
    play_forgery(play, id, arena, forgery);
    forgery->request->order->commander = (char *)"";
    forgery->request->order->signature = (ProtobufCBinaryData){0, NULL};
    return play;
}

/* Whoever has the group's key takes the commander's signature away: the seal alone is no order. */
static void seal_of_a_stripped_order_is_refused(void **state)
{
    (void)state;
    struct arena *arena = arena_new((size_t)1024 * 1024);
    struct forgery forgery;
    struct play *play = play_dropped(play_new_commanding(1), arena, &forgery);
    assert_int_equal(hear(play, &forgery), CODE(REFUSED));
    assert_int_equal(play_commands(play->door), 0);
    forgery.relay_commands = true;
    assert_int_equal(hear(play, &forgery), CODE(OK));
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
    arena_free(arena);
}

/* Of a relay that the policy does not name as a commander: answered with a refusal, not executed. */
static void order_of_a_relay_that_may_not_command_is_refused(void **state)
{
    (void)state;
    struct arena *arena = arena_new((size_t)1024 * 1024);
    struct forgery forgery;
    struct play *play = play_dropped(play_new(1), arena, &forgery);
    forgery.relay_commands = true;
    uint64_t refused = audit_value(AUDIT_COMMANDS_REFUSED);
    assert_int_equal(hear(play, &forgery), CODE(OK));
    assert_int_equal(audit_value(AUDIT_COMMANDS_REFUSED), refused + 1);
    assert_int_equal(play_commands(play->door), 0);
    play_free(play);
    play = play_dropped(play_new_commanding(1), arena, &forgery);
    forgery.relay_commands = true;
    assert_int_equal(hear(play, &forgery), CODE(OK));
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
    arena_free(arena);
}

/* A signature for both is none for a sealed order of another commander, and the site counts as ever. */
static void signature_for_both_is_for_the_relays_order_alone(void **state)
{
    (void)state;
    struct arena *arena = arena_new((size_t)1024 * 1024);
    struct forgery forgery;
    struct play *play = play_dropped(play_new_commanding(1), arena, &forgery);
    char *sites[] = {(char *)"mn-2"};
    Groupseal__Envelope__Order *order = forgery.request->order;
    forgery.relay_commands = true;
    order->commander = (char *)SITE_AUTHORITY;
    assert_int_equal(hear(play, &forgery), CODE(REFUSED));
    order->commander = (char *)SITE_MN_CSE;
    assert_int_equal(hear(play, &forgery), CODE(REFUSED));
    order->commander = (char *)"";
    order->sites = sites;
    order->n_sites = 1;
    assert_int_equal(hear(play, &forgery), CODE(REFUSED));
    sites[0] = (char *)PLAY_SITE;
    assert_int_equal(hear(play, &forgery), CODE(OK));
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
    arena_free(arena);
}

/* Nobody would send it again: it leaves when it is on disk, wherever the MN-CSE's secure environment ends. */
static void own_command_waits_for_the_disk(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    unsigned lost = 0;
    bool down = true;
    site_keep(play->site);
    for (size_t at = 0; down; at++) {
        site_return(play->site);
        play->mn = site_find(play->site, SITE_MN_CSE);
        play->door = site_find(play->site, PLAY_DOOR);
        site_advance(play->site, 3000); /* synchronised again */
        site_events_clear(play->door);
        site_cut(play->mn, POWER_KILL, at, 1);
        site_reply_free(play_own_command(play->mn, "close", 60000));
        down = site_down(play->mn);
        site_settle(play->site);
        if (down) {
            site_reopen(play->mn);
        }
        bool known = play_membership(play->mn, PLAY_GROUP)->relay->dispatches.first != NULL;
        assert_true(known || play_commands(play->door) == 0);
        lost += known ? 0 : 1;
    }
    assert_true(lost > 3);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

static bool report_says(struct play *play, const uint8_t id[COMMAND_ID_SIZE], const char *words)
{
    Groupseal__Secenv__Reply *reply = operator_order_show(play->site, (struct bytes){id, COMMAND_ID_SIZE});
    assert_int_equal(reply->code, CODE(OK));
    bool says = strstr(reply->report->refused, words) != NULL;
    site_reply_free(reply);
    return says;
}

/* A command that went out while it was on its way to the disk, and was lost there: where its MN-CSE comes
 * back when it has expired, nobody is told that it has not been sealed. */
static void order_that_went_out_is_not_called_expired_alone(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    unsigned lost = 0;
    bool down = true;
    site_keep(play->site);
    for (size_t at = 0; down; at++) {
        site_return(play->site);
        play->mn = site_find(play->site, SITE_MN_CSE);
        play->door = site_find(play->site, PLAY_DOOR);
        site_advance(play->site, 3000);
        site_events_clear(play->door);
        site_cut(play->mn, POWER_KILL, at, 1);
        play_order(play, "close", NULL, 5000, id);
        site_advance(play->site, 6000);
        down = site_down(play->mn);
        if (down) {
            site_reopen(play->mn);
        }
        bool known = play_membership(play->mn, PLAY_GROUP)->relay->dispatches.first != NULL;
        site_advance(play->site, 3000);
        if (!known && play_commands(play->door) > 0) {
            assert_true(report_says(play, id, "may have gone out"));
            lost++;
        }
    }
    assert_true(lost > 0);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mn_cse_commands_while_the_in_cse_is_away),
        cmocka_unit_test(authority_hears_of_it_later),
        cmocka_unit_test(signed_once_is_small),
        cmocka_unit_test(authority_only_lets_no_mn_cse_command),
        cmocka_unit_test(wrong_commands_are_refused),
        cmocka_unit_test(own_command_survives_a_restart),
        cmocka_unit_test(policy_is_changed),
        cmocka_unit_test(seal_of_a_stripped_order_is_refused),
        cmocka_unit_test(order_of_a_relay_that_may_not_command_is_refused),
        cmocka_unit_test(signature_for_both_is_for_the_relays_order_alone),
        cmocka_unit_test(own_command_waits_for_the_disk),
        cmocka_unit_test(order_that_went_out_is_not_called_expired_alone),
    };
    power_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
