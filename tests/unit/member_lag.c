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

/*
 * What belongs to one change travels by itself: key, roster and orders to the MN-CSE, news and commands to
 * the devices. Whichever comes late, nobody gets or says what is not theirs, and nothing is lost.
 */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define EVENT(name_) GROUPSEAL__SECENV__EVENT__CONTENT_##name_
#define PLAY_DOOR_3 "//sp.example/Sdoor3"

/* Objects to the MN-CSE are lost by number; all to the second door, which cannot be told that it was evicted.
 */
struct losses {
    unsigned passed;
    unsigned lost; /* by bit: the first one is bit 0 */
};

static enum site_fate losses_carry(void *context, const struct site_message *message)
{
    struct losses *losses = context;
    if (message->what != SITE_OBJECT) {
        return SITE_DELIVER;
    }
    if (strcmp(message->to, PLAY_DOOR_2) == 0) {
        return SITE_LOSE;
    }
    if (strcmp(message->to, SITE_MN_CSE) != 0) {
        return SITE_DELIVER;
    }
    return (losses->lost & 1u << losses->passed++) != 0 ? SITE_LOSE : SITE_DELIVER;
}

#define ROSTER_LOST 1u
#define ROSTER_AND_CHANGE_LOST 3u

static uint64_t epoch_of(struct play *play)
{
    return play_membership(play->mn, PLAY_GROUP)->current.epoch;
}

static bool in_roster(struct play *play, const char *name)
{
    return roster_find(play_membership(play->mn, PLAY_GROUP)->relay, name) != NULL;
}

/* The order overtakes the change that takes the second door out: it is not sealed with the key that it has.
 */
static void order_waits_for_the_key_of_its_time(void **state)
{
    (void)state;
    for (int evicted = 0; evicted < 2; evicted++) {
        struct losses losses = {.lost = evicted != 0 ? ROSTER_AND_CHANGE_LOST : 0};
        uint8_t id[COMMAND_ID_SIZE];
        struct play *play = play_new(2);
        uint64_t epoch = epoch_of(play);
        site_carry(play->site, losses_carry, &losses);
        if (evicted != 0) {
            assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
            site_settle(play->site);
            assert_int_equal(losses.passed, 2);
        }
        play_order(play, "close", NULL, 60000, id);
        assert_int_equal(epoch_of(play), epoch); /* the order alone has arrived */
        assert_int_equal(play_commands(play->door), evicted == 0);
        site_advance(play->site, 10000);
        assert_int_equal(epoch_of(play), epoch + (evicted != 0 ? 1u : 0u));
        assert_int_equal(play_commands(play->door), 1);
        assert_int_equal(play_commands(play->door2), evicted == 0);
        play_free(play);
    }
}

/* News do not come through, and more commands than can wait for them do. */
static void commands_beyond_the_room_come_again(void **state)
{
    (void)state;
    const unsigned counts[] = {WAITING_ROOM_PLACES, WAITING_ROOM_PLACES + 5u};
    for (size_t i = 0; i < 2; i++) {
        struct play *play = play_new(1);
        uint64_t dropped = audit_value(AUDIT_COMMANDS_DROPPED);
        play->dropped_to = PLAY_DOOR;
        play->dropped_kind = TOPIC(EPOCH);
        assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
        site_settle(play->site);
        for (unsigned n = 0; n < counts[i]; n++) {
            uint8_t id[COMMAND_ID_SIZE];
            play_order(play, "close", NULL, 60000, id);
        }
        assert_int_equal(play_commands(play->door), 0);
        assert_int_equal(audit_value(AUDIT_COMMANDS_DROPPED) - dropped, counts[i] - WAITING_ROOM_PLACES);
        play->dropped_to = NULL;
        site_advance(play->site, 25000); /* it subscribes again within 20 s */
        assert_int_equal(play_commands(play->door), counts[i]);
        play_free(play);
    }
}

/* ---- the roster is late ---- */

static struct play *play_new_signed(size_t doors)
{
    struct play *play = play_new(doors);
    assert_int_equal(
        operator_set(play->site, PLAY_GROUP, GROUPSEAL__SECENV__SWITCH__KEEP, GROUPSEAL__SECENV__SWITCH__ON),
        CODE(OK));
    site_advance(play->site, 1000);
    site_events_clear(play->mn);
    return play;
}

/* What its owner would publish; the caller's. */
static struct buffer speak(struct site_node *node)
{
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct buffer payload = BUFFER_EMPTY(65536);
    speak.identity = (char *)(uintptr_t)site_name(node);
    speak.group = (char *)(uintptr_t)PLAY_GROUP;
    speak.body = arena_field(bytes_of_text("smoke"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    assert_int_equal(reply->code, CODE(OK));
    assert_int_equal(buffer_append(&payload, arena_view(reply->spoken->payload)), RESULT_OK);
    site_reply_free(reply);
    return payload;
}

static void evicted_is_out_before_the_roster_says_so(void **state)
{
    (void)state;
    for (int evicted = 0; evicted < 2; evicted++) {
        struct losses losses = {.lost = evicted != 0 ? ROSTER_LOST : 0};
        struct play *play = play_new_signed(2);
        struct buffer said = speak(play->door2);
        uint64_t epoch = epoch_of(play);
        site_carry(play->site, losses_carry, &losses);
        assert_int_equal(evicted != 0 ? operator_evict(play->site, PLAY_DOOR_2)
                                      : operator_rotate(play->site, PLAY_GROUP),
                         CODE(OK));
        site_settle(play->site);
        assert_int_equal(epoch_of(play), epoch + 1);
        assert_true(in_roster(play, PLAY_DOOR_2)); /* still */
        assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&said), false),
                         evicted != 0 ? CODE(REFUSED) : CODE(OK));
        assert_int_equal(site_last_event(play->mn, EVENT(MESSAGE)) != NULL, evicted == 0);
        buffer_clear(&said);
        play_free(play);
    }
}

static void evicted_is_out_after_a_start_too(void **state)
{
    struct losses losses = {.lost = ROSTER_LOST};
    struct play *play = play_new_signed(2);
    struct buffer said = speak(play->door2);
    (void)state;
    site_carry(play->site, losses_carry, &losses);
    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_settle(play->site);
    site_restart(play->mn);
    assert_true(in_roster(play, PLAY_DOOR_2));
    assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&said), false),
                     CODE(REFUSED));
    assert_null(site_last_event(play->mn, EVENT(MESSAGE)));
    buffer_clear(&said);
    play_free(play);
}

/* It has the key, and speaks before the MN-CSE has heard of it. */
static void newcomer_is_heard_when_the_roster_comes(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct losses losses = {.lost = late != 0 ? ROSTER_LOST : 0};
        struct play *play = play_new_signed(1);
        site_carry(play->site, losses_carry, &losses);
        struct site_node *door =
            site_join(play->site, PLAY_DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
        assert_int_equal(in_roster(play, PLAY_DOOR_3), late == 0);
        assert_int_equal(play_membership(door, PLAY_GROUP)->current.epoch, epoch_of(play));
        struct buffer said = speak(door);
        assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR_3, buffer_bytes(&said), false),
                         CODE(OK));
        assert_int_equal(site_last_event(play->mn, EVENT(MESSAGE)) != NULL, late == 0);
        site_advance(play->site, 10000);
        const Groupseal__Secenv__Event *event = site_last_event(play->mn, EVENT(MESSAGE));
        assert_non_null(event);
        assert_string_equal(event->message->sender, PLAY_DOOR_3);
        assert_true(event->message->proven);
        buffer_clear(&said);
        play_free(play);
    }
}

/* ---- several changes overtake it ---- */

static void rotate(struct play *play, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
        site_advance(play->site, 100);
    }
}

/* As many keys as are kept; one more; too late. */
static void signed_message_is_taken_over_several_changes(void **state)
{
    static const struct {
        unsigned changes;
        uint64_t later_ms;
        bool taken;
    } cases[] = {{2, 0, true},
                 {PAST_EPOCHS + 1, 0, true},
                 {PAST_EPOCHS + 2, 0, false},
                 {2, PAST_EPOCH_US / 1000u - 1000u, true},
                 {2, PAST_EPOCH_US / 1000u + 1000u, false}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct play *play = play_new_signed(1);
        struct buffer said = speak(play->door);
        uint64_t epoch = epoch_of(play);
        rotate(play, cases[i].changes);
        assert_int_equal(epoch_of(play), epoch + cases[i].changes);
        site_advance(play->site, cases[i].later_ms);
        assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&said), false),
                         cases[i].taken ? CODE(OK) : CODE(REFUSED));
        assert_int_equal(site_last_event(play->mn, EVENT(MESSAGE)) != NULL, cases[i].taken);
        /* Once. */
        assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&said), false),
                         CODE(REFUSED));
        buffer_clear(&said);
        play_free(play);
    }
}

/* Whatever keys are kept: an unsigned one is not taken, nor one of who was evicted since. */
static void past_keys_are_for_signed_ones_of_members(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct buffer unsigned_one = speak(play->door);
    rotate(play, 2);
    assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&unsigned_one), false),
                     CODE(REFUSED));
    buffer_clear(&unsigned_one);
    play_free(play);
    for (int evicted = 0; evicted < 2; evicted++) {
        struct losses losses = {.lost = 0};
        play = play_new_signed(2);
        struct buffer said = speak(play->door2);
        site_carry(play->site, losses_carry, &losses);
        if (evicted != 0) {
            assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
        }
        rotate(play, 2);
        assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&said), false),
                         evicted != 0 ? CODE(REFUSED) : CODE(OK));
        buffer_clear(&said);
        play_free(play);
    }
}

/* ---- nobody could tell it ---- */

/* It has an association, and its key package is lost; it is evicted, and added again. */
static void evicted_unheard_comes_back(void **state)
{
    (void)state;
    for (int added = 0; added < 2; added++) {
        struct losses losses = {.lost = 0};
        struct play *play = play_new(1);
        site_carry(play->site, losses_carry, &losses);
        struct site_node *door =
            site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
        struct identity_state *identity = engine_identity(site_engine(door), PLAY_DOOR_2);
        assert_true(identity->associated);
        assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
        site_settle(play->site);
        site_carry(play->site, NULL, NULL);
        if (added != 0) {
            site_enrol(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
        }
        assert_null(membership_find(identity, PLAY_GROUP));
        site_advance(play->site, 600000);
        const struct membership *membership = membership_find(identity, PLAY_GROUP);
        assert_int_equal(membership != NULL && membership->current.epoch == epoch_of(play), added != 0);
        play_free(play);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_waits_for_the_key_of_its_time),
        cmocka_unit_test(commands_beyond_the_room_come_again),
        cmocka_unit_test(evicted_is_out_before_the_roster_says_so),
        cmocka_unit_test(evicted_is_out_after_a_start_too),
        cmocka_unit_test(newcomer_is_heard_when_the_roster_comes),
        cmocka_unit_test(signed_message_is_taken_over_several_changes),
        cmocka_unit_test(past_keys_are_for_signed_ones_of_members),
        cmocka_unit_test(evicted_unheard_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
