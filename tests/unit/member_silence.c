/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* A member that is online and hears nothing of its group: when it asks, how often, and what comes of it. */
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define SECOND_MS 1000u
#define MINUTE_MS (60u * SECOND_MS)
#define HOUR_MS (60u * MINUTE_MS)

/* A broker that gives group topics to those in the roster, and tells when the door sent something to the
 * IN-CSE. */
struct broker {
    struct play *play;
    bool deaf; /* the MN-CSE hears nobody */
    uint64_t sent_ms[64];
    size_t sent;
};

static bool broker_gives(const struct broker *broker, const struct site_message *message)
{
    bool door = strcmp(message->to, SITE_MN_CSE) != 0;
    return door ? site_in_roster(broker->play->mn, message->publish->group, message->to)
                : !broker->deaf && site_in_roster(broker->play->mn, message->publish->group, message->from);
}

static enum site_fate carry(void *context, const struct site_message *message)
{
    struct broker *broker = context;
    if (message->what == SITE_PUBLISH) {
        return broker_gives(broker, message) ? SITE_DELIVER : SITE_DROP;
    }
    if (message->what == SITE_OBJECT && strcmp(message->from, PLAY_DOOR) == 0) {
        assert_true(broker->sent < sizeof(broker->sent_ms) / sizeof(broker->sent_ms[0]));
        broker->sent_ms[broker->sent++] = site_now_ms(broker->play->site);
    }
    return SITE_DELIVER;
}

static struct play *play_over(struct broker *broker)
{
    struct play *play = play_new(1);
    *broker = (struct broker){.play = play};
    site_carry(play->site, carry, broker);
    return play;
}

static void reconnect(struct play *play)
{
    site_online(play->door, false);
    site_online(play->door, true);
    site_settle(play->site);
}

static void forget(struct broker *broker)
{
    broker->sent = 0;
}

/* ---- how often ---- */

/* Between once and twice a minute that doubles up to half an hour; the authority knows the member, so nothing
 * else comes of it. */
static void asks_less_and_less(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    uint64_t handshakes = audit_value(AUDIT_HANDSHAKES_STARTED);
    broker.deaf = true;
    reconnect(play);
    uint64_t last_ms = site_now_ms(play->site);
    site_advance(play->site, 6u * HOUR_MS);
    uint64_t least_ms = MINUTE_MS;
    assert_true(broker.sent >= 8);
    for (size_t i = 0; i < broker.sent; i++) {
        uint64_t gap_ms = broker.sent_ms[i] - last_ms;
        assert_in_range(gap_ms, least_ms, 2u * least_ms + 1u);
        last_ms = broker.sent_ms[i];
        least_ms = 2u * least_ms < 30u * MINUTE_MS ? 2u * least_ms : 30u * MINUTE_MS;
    }
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), handshakes);
    play_free(play);
}

/* The twin, whose syncs are answered, and whose news come. */
static void asks_nothing_while_it_hears(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    reconnect(play);
    forget(&broker);
    site_advance(play->site, 2u * HOUR_MS);
    assert_int_equal(broker.sent, 0);
    play_free(play);
}

/* What was heard again starts the waits anew. */
static void answer_ends_the_silence(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    broker.deaf = true;
    reconnect(play);
    site_advance(play->site, HOUR_MS);
    broker.deaf = false;
    site_advance(play->site, MINUTE_MS);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->silence.due_us, NEVER);
    forget(&broker);
    broker.deaf = true;
    reconnect(play);
    site_advance(play->site, 2u * MINUTE_MS + SECOND_MS);
    assert_int_equal(broker.sent, 1);
    play_free(play);
}

/* Each time anew, with a connection that does not hold: nobody who could have answered had the time. */
static void offline_is_no_silence(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    broker.deaf = true;
    reconnect(play);
    site_online(play->door, false);
    site_advance(play->site, HOUR_MS);
    site_online(play->door, true);
    site_advance(play->site, 59u * SECOND_MS);
    assert_int_equal(broker.sent, 0);
    site_advance(play->site, MINUTE_MS + 2u * SECOND_MS);
    assert_int_equal(broker.sent, 1);
    play_free(play);
}

/* Only its beats stay out: it is not connected anew, and asks when its news are overdue. */
static void overdue_news_are_silence(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    site_online(site_authority(play->site), false);
    site_advance(play->site, 44u * MINUTE_MS);
    assert_int_equal(broker.sent, 0);
    site_advance(play->site, 5u * MINUTE_MS);
    assert_true(broker.sent > 0);
    site_online(site_authority(play->site), true);
    site_advance(play->site, 2u * MINUTE_MS);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->silence.due_us, NEVER);
    play_free(play);
}

/* ---- cleared topics ---- */

static Groupseal__Secenv__Code clear(struct play *play)
{
    return play_hear(play->door, TOPIC(EPOCH), "", (struct bytes){NULL, 0}, false);
}

/* A reason to ask soon, once until the next beat. Whoever does it again and again gains little. */
static void cleared_topics_are_asked_about(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    uint64_t handshakes = audit_value(AUDIT_HANDSHAKES_STARTED);
    assert_int_equal(clear(play), CODE(OK));
    site_advance(play->site, MINUTE_MS);
    assert_int_equal(broker.sent, 1);
    for (unsigned i = 0; i < 840; i++) {
        site_advance(play->site, SECOND_MS);
        assert_int_equal(clear(play), CODE(OK));
    }
    assert_in_range(broker.sent, 2, 6);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), handshakes);
    assert_true(play_membership(play->door, PLAY_GROUP)->current.present);
    play_free(play);
}

/* A site's devices hear it at the same moment, and do not ask at the same moment. */
static void cleared_members_spread(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    struct membership *membership = play_membership(play->door, PLAY_GROUP);
    uint64_t now_us = engine_now_us(membership->identity->engine);
    unsigned sixths[6] = {0};
    for (unsigned i = 0; i < 600; i++) { /* 100 in each sixth of the time, give or take 9 */
        silence_init(&membership->silence);
        silence_cleared(membership);
        uint64_t wait_us = membership->silence.due_us - now_us;
        assert_true(wait_us < SILENCE_CLEARED_US);
        sixths[wait_us * 6u / SILENCE_CLEARED_US]++;
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_in_range(sixths[i], 40, 200);
    }
    play_free(play);
}

/* What comes on them meanwhile makes it needless. */
static void cleared_and_filled_again(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    assert_int_equal(clear(play), CODE(OK));
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    forget(&broker);
    site_advance(play->site, 10u * MINUTE_MS);
    assert_int_equal(broker.sent, 0);
    play_free(play);
}

/* ---- what comes of it ---- */

/* Evicted and added again while it was off: the broker gives it nothing, and LEFT has not reached it. */
static void added_again_while_it_was_off(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    site_online(play->door, false);
    assert_int_equal(operator_evict(play->site, PLAY_DOOR), CODE(OK));
    site_enrol(play->site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, MINUTE_MS);
    assert_false(site_in_roster(play->mn, PLAY_GROUP, PLAY_DOOR));
    site_online(play->door, true);
    site_settle(play->site);
    assert_false(site_in_roster(play->mn, PLAY_GROUP, PLAY_DOOR));
    site_advance(play->site, 5u * MINUTE_MS);
    assert_true(site_in_roster(play->mn, PLAY_GROUP, PLAY_DOOR));
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 30000, id);
    site_advance(play->site, SECOND_MS);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* The authority knows the member, but not in the group: it says so, and the member believes that. */
static void unknown_in_the_group(void **state)
{
    (void)state;
    struct broker broker;
    struct play *play = play_over(&broker);
    struct store *store = site_store(site_authority(play->site));
    struct reason why = {""};
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(store_run(store, &why,
                               "DELETE FROM leaf WHERE member_id = (SELECT id FROM member WHERE name = ?)",
                               "t", PLAY_DOOR),
                     RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    assert_int_equal(clear(play), CODE(OK));
    site_advance(play->site, MINUTE_MS);
    const Groupseal__Secenv__Event *event =
        site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED);
    assert_non_null(event);
    assert_string_equal(event->departed->group, PLAY_GROUP);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_less_and_less),           cmocka_unit_test(asks_nothing_while_it_hears),
        cmocka_unit_test(answer_ends_the_silence),      cmocka_unit_test(offline_is_no_silence),
        cmocka_unit_test(overdue_news_are_silence),     cmocka_unit_test(cleared_topics_are_asked_about),
        cmocka_unit_test(cleared_and_filled_again),     cmocka_unit_test(cleared_members_spread),
        cmocka_unit_test(added_again_while_it_was_off), cmocka_unit_test(unknown_in_the_group),
    };
    return cmocka_run_group_tests_name("member_silence", tests, NULL, NULL);
}
