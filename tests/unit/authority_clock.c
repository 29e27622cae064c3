/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/audit.h"
#include "secenv/member/membership.h"
#include "tests/unit/operator.h"

/*
 * The clock of the authority's machine is set, while it runs and while it is off. Certificates of the site
 * are valid for 300 days. Devices that come later are fresh ones: they know no time of the authority.
 */
#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define TEN_YEARS_MS (3653 * DAY_MS)

static int setup(void **state)
{
    struct site *site = site_new();
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 3000);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static size_t commands(struct site *site, const char *name)
{
    struct site_node *node = site_find(site, name);
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND ? 1 : 0;
    }
    return count;
}

/* One command; true where this door has run it. */
static bool command_runs(struct site *site, const char *door)
{
    size_t before = commands(site, door);
    Groupseal__Secenv__Reply *reply = operator_order(site, "doors", "close", NULL, 0, 0);
    assert_int_equal(reply->code, CODE(OK));
    site_reply_free(reply);
    site_advance(site, 3000);
    return commands(site, door) == before + 1;
}

static size_t told(const struct site_node *node, const char *words)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE &&
            strstr(event->notice->text, words) != NULL) {
            count++;
        }
    }
    return count;
}

#define ALARM "does not follow on what was signed"

struct clock_now {
    int64_t time_ms;
    int64_t system_ms;
    bool doubted;
};

static struct clock_now clock_now(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_clock(site, false);
    assert_int_equal(reply->code, CODE(OK));
    assert_int_equal(reply->content_case, GROUPSEAL__SECENV__REPLY__CONTENT_CLOCK);
    struct clock_now now = {(int64_t)reply->clock->time_ms, (int64_t)reply->clock->system_ms,
                            reply->clock->doubted != 0};
    site_reply_free(reply);
    return now;
}

static void accept_answers(struct site *site, Groupseal__Secenv__Code code, const char *words)
{
    Groupseal__Secenv__Reply *reply = operator_clock(site, true);
    assert_int_equal(reply->code, code);
    assert_non_null(strstr(reply->reason, words));
    site_reply_free(reply);
    site_settle(site);
}

/* Machine and secure environment are off while it is set. */
static void clock_set(struct site *site, int64_t step_ms, bool off)
{
    struct site_node *authority = site_authority(site);
    if (off) {
        site_close(authority);
        site_boot(authority);
        site_clock_step(authority, step_ms);
        site_reopen(authority);
        site_settle(site);
        site_advance(site, 5000); /* until the MN-CSE has said what it holds */
    } else {
        site_clock_step(authority, step_ms);
        site_advance(site, 6 * 60000); /* longer than until the next look */
    }
}

static const struct identity_state *identity_of(struct site *site, const char *name)
{
    return site_engine(site_find(site, name))->identities[0];
}

static int64_t newest_time(struct site *site, const char *name)
{
    return (int64_t)identity_of(site, name)->authority_time_ms;
}

static bool nearly(int64_t a_ms, int64_t b_ms)
{
    return a_ms - b_ms <= MINUTE_MS && b_ms - a_ms <= MINUTE_MS;
}

/* Who comes now gets in, by certificate and by pre-shared key, and obeys. */
static void newcomers_get_in(struct site *site)
{
    static unsigned number;
    for (int mode = CREDENTIALS_CERT; mode <= CREDENTIALS_PSK; mode++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "//sp.example/Snew%u", number++);
        site_join(site, name, IDENTITY_ADN_AE, (enum credentials_mode)mode, SITE_MN_CSE, "door");
        site_advance(site, 3000);
        assert_true(command_runs(site, name));
    }
}

static void goes_on(struct site *site)
{
    assert_true(command_runs(site, DOOR_1));
    assert_true(command_runs(site, DOOR_2));
    newcomers_get_in(site);
}

/* ---- ten years ---- */

static void wrong_by_ten_years(struct site *site, int64_t step_ms, bool off)
{
    struct site_node *authority = site_authority(site);
    uint64_t counted = audit_value(AUDIT_CLOCK_DOUBTED);
    goes_on(site);
    site_events_clear(authority);

    clock_set(site, step_ms, off);
    assert_int_equal(told(authority, ALARM), 1);
    assert_int_equal(audit_value(AUDIT_CLOCK_DOUBTED), counted + 1);
    struct clock_now now = clock_now(site);
    assert_true(now.doubted);
    assert_true(nearly(now.time_ms, (int64_t)site_now_ms(site)));
    assert_true(nearly(now.system_ms, (int64_t)site_now_ms(site) + step_ms));
    goes_on(site);
    assert_true(newest_time(site, DOOR_1) <= (int64_t)site_now_ms(site));
    /* Nobody could authenticate at that time: not even the operator makes it so. */
    accept_answers(site, CODE(REFUSED), "the certificate of " SITE_AUTHORITY);
    goes_on(site);

    /* The next start tells it again. */
    site_restart(authority);
    site_advance(site, 5000);
    assert_int_equal(told(authority, ALARM), 2);
    assert_true(clock_now(site).doubted);
    goes_on(site);

    clock_set(site, -step_ms, off);
    assert_false(clock_now(site).doubted);
    assert_int_equal(told(authority, "is followed again"), 1);
    goes_on(site);
    assert_int_equal(told(authority, ALARM), 2);
}

static void ahead_while_running(void **state)
{
    wrong_by_ten_years(*state, TEN_YEARS_MS, false);
}

static void behind_while_running(void **state)
{
    wrong_by_ten_years(*state, -TEN_YEARS_MS, false);
}

static void ahead_while_off(void **state)
{
    wrong_by_ten_years(*state, TEN_YEARS_MS, true);
}

static void behind_while_off(void **state)
{
    wrong_by_ten_years(*state, -TEN_YEARS_MS, true);
}

/* The twin: all is the same but the step. */
static void right_all_the_time(void **state)
{
    struct site *site = *state;
    for (int off = 0; off < 2; off++) {
        goes_on(site);
        clock_set(site, 0, off != 0);
        assert_int_equal(told(site_authority(site), ALARM), 0);
        assert_false(clock_now(site).doubted);
        goes_on(site);
        accept_answers(site, CODE(EXISTS), "not in doubt");
        goes_on(site);
    }
}

/* ---- steps that are followed, and what is not ---- */

static void small_steps_are_followed(void **state)
{
    struct site *site = *state;
    static const int64_t steps_ms[] = {-5 * MINUTE_MS, 5 * MINUTE_MS, 20 * HOUR_MS, 20 * HOUR_MS};
    int64_t sum_ms = 0;
    int64_t latest_ms = 0;
    site_advance(site, 2 * HOUR_MS);
    for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
        clock_set(site, steps_ms[i], false);
        sum_ms += steps_ms[i];
        struct clock_now now = clock_now(site);
        assert_false(now.doubted);
        assert_true(now.time_ms >= latest_ms); /* it never goes back */
        assert_true(nearly(now.system_ms, (int64_t)site_now_ms(site) + sum_ms));
        latest_ms = now.time_ms;
        assert_true(sum_ms < 0 || command_runs(site, DOOR_1));
    }
    assert_true(nearly(clock_now(site).time_ms, (int64_t)site_now_ms(site) + sum_ms));
    assert_int_equal(told(site_authority(site), ALARM), 0);
}

static void time_stands_still_for_a_small_step_back(void **state)
{
    struct site *site = *state;
    int64_t before_ms = clock_now(site).time_ms;
    site_clock_step(site_authority(site), -5 * MINUTE_MS);
    assert_int_equal(clock_now(site).time_ms, before_ms);
    site_advance(site, 4 * MINUTE_MS);
    assert_int_equal(clock_now(site).time_ms, before_ms);
    site_advance(site, 2 * MINUTE_MS);
    struct clock_now now = clock_now(site);
    assert_true(now.time_ms == now.system_ms && now.time_ms > before_ms);
}

/* Many small steps are one large one: each is measured from the latest time that was given. */
static void small_steps_back_add_up(void **state)
{
    struct site *site = *state;
    site_clock_step(site_authority(site), -6 * MINUTE_MS);
    assert_false(clock_now(site).doubted);
    site_clock_step(site_authority(site), -6 * MINUTE_MS);
    assert_true(clock_now(site).doubted);
}

/* In the first hour the machine may still get its time from the network; later nothing explains the step. */
static void a_week_is_followed_after_the_start_only(void **state)
{
    struct site *site = *state;
    clock_set(site, 7 * DAY_MS, true);
    assert_false(clock_now(site).doubted);
    clock_set(site, 7 * DAY_MS, false);
    assert_false(clock_now(site).doubted);
    site_advance(site, HOUR_MS);
    clock_set(site, 7 * DAY_MS, false);
    assert_true(clock_now(site).doubted);
    /* A restart is not the operator's word. */
    site_restart(site_authority(site));
    site_advance(site, 5000);
    assert_true(clock_now(site).doubted);
    clock_set(site, -7 * DAY_MS, false);
    assert_false(clock_now(site).doubted);
}

/* ---- accepted ---- */

/* Off for longer than is believed: orders are too old for the MN-CSE until the operator has looked. */
static void off_for_a_season(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    assert_true(command_runs(site, DOOR_1));
    site_close(authority);
    site_boot(authority);
    for (size_t i = 0; i < 3; i++) { /* the world has gone on */
        static const char *const names[] = {SITE_MN_CSE, DOOR_1, DOOR_2};
        site_clock_step(site_find(site, names[i]), 90 * DAY_MS);
    }
    site_clock_step(authority, 90 * DAY_MS);
    site_reopen(authority);
    site_advance(site, 5000);
    assert_int_equal(told(authority, ALARM), 1);

    Groupseal__Secenv__Reply *sent = operator_order(site, "doors", "close", NULL, 0, 0);
    site_advance(site, 3000);
    Groupseal__Secenv__Reply *report =
        operator_order_show(site, (struct bytes){sent->order->command_id.data, sent->order->command_id.len});
    assert_non_null(strstr(report->report->refused, "has expired by the clock of this MN-CSE"));
    site_reply_free(report);
    site_reply_free(sent);

    accept_answers(site, CODE(OK), "");
    assert_int_equal(told(authority, "accepted by the operator"), 1);
    struct clock_now now = clock_now(site);
    assert_true(!now.doubted && now.time_ms == now.system_ms);
    assert_true(command_runs(site, DOOR_1));
    assert_true(command_runs(site, DOOR_2));
    site_advance(site, 20 * MINUTE_MS); /* the beat brings the time */
    assert_true(nearly(newest_time(site, DOOR_1), now.time_ms + 15 * MINUTE_MS));
    assert_int_equal(told(authority, "followed again"), 0);
    accept_answers(site, CODE(EXISTS), "not in doubt");
}

static uint64_t incarnation_of(struct site *site, const char *name)
{
    const struct membership *membership = identity_of(site, name)->memberships;
    return membership == NULL ? 0 : membership->incarnation;
}

/* The authority signs for a time twenty days ahead: everybody remembers it. */
static void wrong_time_is_signed(struct site *site)
{
    clock_set(site, 20 * DAY_MS, true);
    assert_false(clock_now(site).doubted);
    assert_int_equal(operator_rotate(site, "doors"), CODE(OK));
    site_advance(site, 3000);
    assert_true(command_runs(site, DOOR_1));
    assert_true(newest_time(site, DOOR_1) > (int64_t)site_now_ms(site) + 19 * DAY_MS);
    assert_true(newest_time(site, DOOR_2) > (int64_t)site_now_ms(site) + 19 * DAY_MS);
}

static void members_are_brought_back(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    wrong_time_is_signed(site);
    site_online(site_find(site, DOOR_2), false); /* it hears of all that follows only later */
    clock_set(site, -20 * DAY_MS, false);
    assert_int_equal(told(authority, ALARM), 1);
    assert_true(command_runs(site, DOOR_1)); /* by the time that is carried on */
    uint64_t incarnation = incarnation_of(site, DOOR_1);
    uint64_t handshakes = audit_value(AUDIT_HANDSHAKES_DONE);

    accept_answers(site, CODE(OK), "");
    site_advance(site, 3000);
    assert_int_equal(told(authority, "earlier than what was signed"), 1);
    assert_false(clock_now(site).doubted);
    assert_true(nearly(clock_now(site).time_ms, (int64_t)site_now_ms(site)));
    assert_true(incarnation_of(site, DOOR_1) > incarnation);
    assert_true(nearly(newest_time(site, DOOR_1), (int64_t)site_now_ms(site)));
    assert_true(nearly(newest_time(site, SITE_MN_CSE), (int64_t)site_now_ms(site)));
    assert_true(command_runs(site, DOOR_1));

    site_advance(site, 2 * HOUR_MS);
    assert_true(newest_time(site, DOOR_2) > (int64_t)site_now_ms(site) + 19 * DAY_MS);
    site_online(site_find(site, DOOR_2), true);
    site_advance(site, 20000);
    assert_true(nearly(newest_time(site, DOOR_2), clock_now(site).time_ms) ||
                newest_time(site, DOOR_2) < clock_now(site).time_ms);
    assert_true(command_runs(site, DOOR_2));
    /* Within the associations, and nobody waits for a confirmation. */
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), handshakes);
    assert_int_equal(operator_confirm(site, DOOR_1), CODE(EXISTS));
    goes_on(site);
    /* That was all: a restart finds nothing to do. */
    incarnation = incarnation_of(site, DOOR_1);
    site_restart(authority);
    site_restart(site_find(site, DOOR_1));
    site_advance(site, 5000);
    goes_on(site);
    assert_int_equal(incarnation_of(site, DOOR_1), incarnation);
    assert_true(newest_time(site, DOOR_1) <= (int64_t)site_now_ms(site));
}

/* Whoever kept a retained announcement of the wrong time cannot bring it back. */
static void time_of_before_does_not_come_back(void **state)
{
    struct site *site = *state;
    wrong_time_is_signed(site);
    struct bytes kept = site_retained(site, "mn-1", "doors", GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH);
    assert_true(kept.length > 0 && kept.length < 4096);
    uint8_t copy[4096];
    memcpy(copy, kept.data, kept.length);
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.group = (char *)"doors";
    publish.site = (char *)"mn-1";
    publish.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH;
    publish.payload = (ProtobufCBinaryData){kept.length, copy};
    publish.retained = 1;

    clock_set(site, -20 * DAY_MS, false);
    accept_answers(site, CODE(OK), "");
    site_advance(site, 3000);
    (void)site_hear(site_find(site, DOOR_1), &publish, true);
    site_settle(site);
    assert_true(nearly(newest_time(site, DOOR_1), (int64_t)site_now_ms(site)));
    assert_true(command_runs(site, DOOR_1));
}

/* Before an MN-CSE has said what it holds, nobody knows whether the store is an old one. */
static void held_group_waits(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    wrong_time_is_signed(site);
    site_online(site_find(site, SITE_MN_CSE), false);
    site_close(authority);
    site_clock_step(authority, -20 * DAY_MS);
    site_reopen(authority);
    site_advance(site, 5000);
    accept_answers(site, CODE(NOT_READY), "group doors is held");
    assert_true(clock_now(site).doubted);
    site_online(site_find(site, SITE_MN_CSE), true);
    site_advance(site, 70000);
    accept_answers(site, CODE(OK), "");
    site_advance(site, 30000);
    assert_true(command_runs(site, DOOR_1));
}

/* ---- the first start ---- */

/* Nothing was signed yet, so nobody knows better: but never beyond the end of the own certificate, so that
 * members can still take that when all is put right. */
static void first_start_ten_years_ahead(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct site_node *authority = site_authority(site);
    site_clock_step(authority, TEN_YEARS_MS);
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_advance(site, 3000);
    assert_int_equal(told(authority, ALARM), 0);
    assert_true(newest_time(site, DOOR_2) > (int64_t)site_now_ms(site) + 299 * DAY_MS);
    assert_true(newest_time(site, DOOR_2) < (int64_t)site_now_ms(site) + 301 * DAY_MS);
    assert_true(command_runs(site, DOOR_2));
    assert_int_equal(newest_time(site, DOOR_1), 0); /* its certificate has expired at the authority */

    clock_set(site, -TEN_YEARS_MS, false);
    assert_int_equal(told(authority, ALARM), 1);
    accept_answers(site, CODE(OK), "");
    site_advance(site, 400000); /* the longest back-off of who was refused */
    assert_true(newest_time(site, DOOR_2) <= (int64_t)site_now_ms(site));
    assert_true(command_runs(site, DOOR_1));
    assert_true(command_runs(site, DOOR_2));
    newcomers_get_in(site);
    site_free(site);
}

/* The clock was not set yet. */
static void first_start_in_the_past(void **state)
{
    (void)state;
    struct site *site = site_new();
    site_clock_step(site_authority(site), -TEN_YEARS_MS);
    assert_false(clock_now(site).doubted);
    clock_set(site, TEN_YEARS_MS, false);
    assert_false(clock_now(site).doubted); /* nothing was signed */
    assert_true(nearly(clock_now(site).time_ms, (int64_t)site_now_ms(site)));
    site_free(site);
}

#define CLOCK_TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOCK_TEST(ahead_while_running),
        CLOCK_TEST(behind_while_running),
        CLOCK_TEST(ahead_while_off),
        CLOCK_TEST(behind_while_off),
        CLOCK_TEST(right_all_the_time),
        CLOCK_TEST(small_steps_are_followed),
        CLOCK_TEST(time_stands_still_for_a_small_step_back),
        CLOCK_TEST(small_steps_back_add_up),
        CLOCK_TEST(a_week_is_followed_after_the_start_only),
        CLOCK_TEST(off_for_a_season),
        CLOCK_TEST(members_are_brought_back),
        CLOCK_TEST(time_of_before_does_not_come_back),
        CLOCK_TEST(held_group_waits),
        cmocka_unit_test(first_start_ten_years_ahead),
        cmocka_unit_test(first_start_in_the_past),
    };
    return cmocka_run_group_tests_name("authority_clock", tests, NULL, NULL);
}
