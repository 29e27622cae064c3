/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/limits.h"
#include "tests/attack/attack.h"

/*
 * A network process that was taken over, with its secure environment's socket: it may ask whatever an owner
 * may ask, as often as it likes. Its rights and its rate are in the store; within them it is served.
 */

#define OWNER 1u

/* In the stopped store, as `secenv limit` does it. */
static void limit_set(struct play *play, struct site_node *node, const char *pattern, unsigned rights,
                      uint32_t rate, uint32_t burst)
{
    struct limit rule = {.rights = rights, .rate = rate, .burst = burst};
    struct reason why = {""};
    (void)snprintf(rule.pattern, sizeof(rule.pattern), "%s", pattern);
    assert_int_equal(store_begin(site_store(node), &why), RESULT_OK);
    assert_int_equal(limits_set(site_store(node), site_name(node), &rule, &why), RESULT_OK);
    assert_int_equal(store_commit(site_store(node), &why), RESULT_OK);
    site_restart(node);
    site_advance(play->site, 20000);
}

static Groupseal__Secenv__Code ask(struct site_node *node, Groupseal__Secenv__ToSecenv *request)
{
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, OWNER, request);
    Groupseal__Secenv__Code code = reply->code;
    assert_true(code == CODE(OK) || reply->reason[0] != '\0');
    site_reply_free(reply);
    return code;
}

static Groupseal__Secenv__Code speak(struct site_node *node)
{
    Groupseal__Secenv__Speak content = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.group = (char *)(uintptr_t)PLAY_GROUP;
    content.body = arena_field(bytes_of_text("open"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &content;
    return ask(node, &request);
}

static Groupseal__Secenv__Code command(struct site_node *node)
{
    Groupseal__Secenv__Command content = GROUPSEAL__SECENV__COMMAND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.group = (char *)(uintptr_t)PLAY_GROUP;
    content.body = arena_field(bytes_of_text("open"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND;
    request.command = &content;
    return ask(node, &request);
}

static Groupseal__Secenv__Code authenticate(struct site_node *node)
{
    Groupseal__Secenv__Authenticate content = GROUPSEAL__SECENV__AUTHENTICATE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_AUTHENTICATE;
    request.authenticate = &content;
    return ask(node, &request);
}

/* Asked for what its rights do not give: refused, counted, nothing changed. */
static void right_is_refused(struct site_node *node, Groupseal__Secenv__Code (*request)(struct site_node *))
{
    uint8_t before[32];
    uint8_t after[32];
    struct counts counts = counts_now();
    site_digest(node, before);
    assert_int_equal(request(node), CODE(REFUSED));
    site_digest(node, after);
    assert_memory_equal(before, after, 32);
    assert_int_equal(counts_since(&counts, AUDIT_OWNER_REFUSED), 1);
}

/* ---- rights ---- */

static void messages_without_the_right(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    limit_set(play, play->mn, "*", OWNER_RIGHTS & ~(unsigned)OWNER_SEND, 200, 2000);
    right_is_refused(play->mn, speak);
    limit_set(play, play->mn, "*", OWNER_SEND | OWNER_RELAY, 200, 2000);
    assert_int_equal(speak(play->mn), CODE(OK));
    play_free(play);
}

static void commands_without_the_right(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    limit_set(play, play->mn, "doors*", OWNER_RIGHTS & ~(unsigned)OWNER_COMMAND, 200, 2000);
    right_is_refused(play->mn, command);
    limit_set(play, play->mn, "doors", OWNER_RIGHTS, 200, 2000);
    assert_int_equal(command(play->mn), CODE(OK));
    play_free(play);
}

/* Whom nobody may read for acts on nothing, and says so. */
static void commands_that_the_owner_may_not_read(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    limit_set(play, play->door, "*", OWNER_SEND, 50, 500);
    site_events_clear(play->door);
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 0);
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__REFUSED_BY_MEMBER);
    limit_set(play, play->door, "*", OWNER_READ, 50, 500);
    site_events_clear(play->door);
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

static void messages_that_the_owner_may_not_read(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    Groupseal__Secenv__Publish *publish = NULL;
    for (unsigned twin = 0; twin < 2; twin++) {
        limit_set(play, play->door, "*", twin == 0 ? OWNER_SEND : OWNER_READ, 50, 500);
        struct insider insider;
        insider_take(play, play->mn, PLAY_GROUP, &insider);
        insider.context.site = PLAY_SITE;
        struct buffer packed = insider_statement(&insider, &insider.context, NULL);
        struct buffer payload = insider_seal(&insider, &insider.context, buffer_bytes(&packed));
        Groupseal__Secenv__Publish heard = publish_of(TOPIC(MESSAGE), SITE_MN_CSE, buffer_bytes(&payload));
        publish = publish_keep(&heard);
        struct counts before = counts_now();
        site_events_clear(play->door);
        twin_is_taken(play->door, publish, false);
        assert_int_equal(given(play->door), twin);
        assert_int_equal(counts_since(&before, AUDIT_MESSAGES_OPENED), 1);
        assert_int_equal(counts_since(&before, AUDIT_OWNER_WITHHELD), 1 - twin);
        publish_drop(publish);
        buffer_clear(&packed);
        buffer_clear(&payload);
    }
    play_free(play);
}

/* An MN-CSE that may not relay seals no command of anybody, and leaves nothing of it behind. */
static void relaying_without_the_right(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    limit_set(play, play->mn, "*", OWNER_RIGHTS & ~(unsigned)OWNER_RELAY, 200, 2000);
    struct counts before = counts_now();
    play_order(play, "close", NULL, 60000, id);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_SEALED), 0);
    assert_int_equal(counts_since(&before, AUDIT_OWNER_REFUSED), 1);
    assert_int_equal(counts_since(&before, AUDIT_CONTENTS_REFUSED), 1);
    assert_null(play_membership(play->mn, PLAY_GROUP)->relay->dispatches.first);
    site_restart(play->mn);
    assert_null(play_membership(play->mn, PLAY_GROUP)->relay->dispatches.first);
    before = counts_now();
    site_online(play->door, false);
    site_online(play->door, true); /* asks for a sync */
    site_advance(play->site, 1000);
    assert_int_equal(counts_since(&before, AUDIT_SYNCS_ANSWERED), 0);
    assert_true(counts_since(&before, AUDIT_OWNER_REFUSED) > 0);

    limit_set(play, play->mn, "*", OWNER_RELAY, 200, 2000);
    site_advance(play->site, 60000); /* the door asks again by itself */
    site_events_clear(play->door);
    play_order(play, "close", NULL, 60000, id);
    site_advance(play->site, 1000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* ---- rates ---- */

static void messages_beyond_the_rate(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    unsigned taken = 0;
    limit_set(play, play->mn, "*", OWNER_RIGHTS, 10, 20);
    struct counts before = counts_now();
    for (unsigned i = 0; i < 20; i++) { /* the twin: within it */
        assert_int_equal(speak(play->mn), CODE(OK));
    }
    for (unsigned i = 0; i < 1000; i++) { /* in ten seconds */
        Groupseal__Secenv__Code code = speak(play->mn);
        assert_true(code == CODE(OK) || code == CODE(TOO_OFTEN));
        taken += code == CODE(OK) ? 1 : 0;
        site_advance(play->site, 10);
    }
    assert_in_range(taken, 99, 101);
    assert_int_equal(counts_since(&before, AUDIT_MESSAGES_SEALED), 20 + taken);
    assert_int_equal(counts_since(&before, AUDIT_OWNER_TOO_OFTEN), 1000 - taken);
    site_advance(play->site, 3000);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(speak(play->mn), CODE(OK));
    }
    play_free(play);
}

/* Reading everything again from the store gives no more of it; a failure of ours must not be a way round. */
static void rate_outlives_what_is_read_again(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    limit_set(play, play->mn, "*", OWNER_RIGHTS, 1, 2);
    struct membership *membership = play_membership(play->mn, PLAY_GROUP);
    assert_int_equal(speak(play->mn), CODE(OK));
    assert_int_equal(speak(play->mn), CODE(OK));
    assert_int_equal(speak(play->mn), CODE(TOO_OFTEN));
    membership->identity->stale = true;
    assert_int_equal(speak(play->mn), CODE(TOO_OFTEN));
    site_advance(play->site, 1000);
    assert_int_equal(speak(play->mn), CODE(OK));
    play_free(play);
}

static void own_commands_beyond_the_rate(void **state)
{
    (void)state;
    struct play *play = play_new_commanding(1);
    limit_set(play, play->mn, "*", OWNER_RIGHTS, 1, 3);
    struct counts before = counts_now();
    unsigned taken = 0;
    for (unsigned i = 0; i < 50; i++) {
        Groupseal__Secenv__Code code = command(play->mn);
        assert_true(code == CODE(OK) || code == CODE(TOO_OFTEN));
        taken += code == CODE(OK) ? 1 : 0;
    }
    assert_int_equal(taken, 3);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_SEALED), 3);
    play_free(play);
}

/* What the authority ordered is sealed a little later, not lost; and the door's sync before it. */
static void orders_beyond_the_rate_are_put_off(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    limit_set(play, play->mn, "*", OWNER_RIGHTS, 2, 2);
    site_events_clear(play->door);
    struct counts before = counts_now();
    for (unsigned i = 0; i < 12; i++) {
        play_order(play, "close", NULL, 600000, id);
    }
    assert_in_range(counts_since(&before, AUDIT_COMMANDS_SEALED), 1, 4);
    assert_true(counts_since(&before, AUDIT_OWNER_TOO_OFTEN) > 0);
    assert_true(play_commands(play->door) < 12);
    site_advance(play->site, 12000);
    assert_int_equal(play_commands(play->door), 12);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_SEALED), 12);
    play_free(play);
}

/* Each "online" of an MN-CSE has its state published, open commands sealed, a record sent to the authority.
 */
static void online_again_and_again(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    site_advance(play->site, 100000);
    play_order(play, "close", NULL, 3600000, id); /* the door never says that it has finished */
    site_advance(play->site, 5000);
    struct counts before = counts_now();
    for (unsigned i = 0; i < 500; i++) { /* in five seconds */
        site_online(play->mn, false);
        site_online(play->mn, true);
        site_advance(play->site, 10);
    }
    assert_in_range(counts_since(&before, AUDIT_COMMANDS_SEALED), 1, IDENTITY_ONLINES_BURST + 4);
    assert_in_range(counts_since(&before, AUDIT_RECORDS_SEALED), 1, 4 * (IDENTITY_ONLINES_BURST + 4));
    assert_true(counts_since(&before, AUDIT_OWNER_TOO_OFTEN) > 400);
    assert_int_equal(counts_since(&before, AUDIT_HANDSHAKES_STARTED), 0);
    /* It comes up by itself, and all is as it was. */
    site_advance(play->site, IDENTITY_ONLINES_INTERVAL_US / 1000u);
    site_events_clear(play->door);
    play_order(play, "open", NULL, 60000, id);
    assert_true(play_commands(play->door) >= 1);
    play_free(play);
}

static void authentications_again_and_again(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    struct counts before = counts_now();
    unsigned taken = 0;
    for (unsigned i = 0; i < 600; i++) { /* in a minute */
        Groupseal__Secenv__Code code = authenticate(play->mn);
        assert_true(code == CODE(OK) || code == CODE(TOO_OFTEN));
        taken += code == CODE(OK) ? 1 : 0;
        site_advance(play->site, 100);
    }
    assert_in_range(taken, IDENTITY_AUTHENTICATIONS_BURST, IDENTITY_AUTHENTICATIONS_BURST + 1);
    assert_int_equal(counts_since(&before, AUDIT_OWNER_TOO_OFTEN), 600 - taken);
    assert_in_range(counts_since(&before, AUDIT_HANDSHAKES_STARTED), 1, 2 * taken); /* both ends count */
    assert_in_range(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1, epoch + taken);
    play_free(play);
}

/* in-cse: whatever it hands in, and however often. */
static void objects_beyond_the_rate(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct site_node *authority = site_authority(play->site);
    Groupseal__Secenv__Received content = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    unsigned taken = 0;
    limit_set(play, authority, "*", OWNER_RIGHTS, 10, 20);
    content.identity = (char *)(uintptr_t)SITE_AUTHORITY;
    content.from = (char *)(uintptr_t)PLAY_DOOR;
    content.hop = (char *)(uintptr_t)SITE_MN_CSE;
    content.object = arena_field(bytes_of_text("\xff"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    request.received = &content;
    struct counts before = counts_now();
    for (unsigned i = 0; i < 1000; i++) { /* in a second */
        Groupseal__Secenv__Code code = ask(authority, &request);
        assert_true(code == CODE(OK) || code == CODE(TOO_OFTEN));
        taken += code == CODE(OK) ? 1 : 0;
        site_advance(play->site, 1);
    }
    assert_in_range(taken, 29, 31);
    assert_int_equal(counts_since(&before, AUDIT_OBJECTS_REFUSED), taken);
    assert_int_equal(counts_since(&before, AUDIT_OWNER_TOO_OFTEN), 1000 - taken);
    /* The operator is served all the while, and peers again soon. */
    uint8_t id[COMMAND_ID_SIZE];
    site_events_clear(play->door);
    play_order(play, "close", NULL, 60000, id);
    site_advance(play->site, 5000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_without_the_right),
        cmocka_unit_test(commands_without_the_right),
        cmocka_unit_test(commands_that_the_owner_may_not_read),
        cmocka_unit_test(messages_that_the_owner_may_not_read),
        cmocka_unit_test(relaying_without_the_right),
        cmocka_unit_test(messages_beyond_the_rate),
        cmocka_unit_test(rate_outlives_what_is_read_again),
        cmocka_unit_test(own_commands_beyond_the_rate),
        cmocka_unit_test(orders_beyond_the_rate_are_put_off),
        cmocka_unit_test(online_again_and_again),
        cmocka_unit_test(authentications_again_and_again),
        cmocka_unit_test(objects_beyond_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
