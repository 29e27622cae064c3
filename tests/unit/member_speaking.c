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

/* Member messages: what members take from each other, and what the MN-CSE takes for proven. */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define EVENT(name_) GROUPSEAL__SECENV__EVENT__CONTENT_##name_

/* A second group, in which member messages are signed. */
#define SIGNED_GROUP "sensors"

static void signed_group_add(struct play *play)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[1] = {(char *)SITE_MN_CSE};
    group.name = (char *)SIGNED_GROUP;
    group.function = (char *)"door";
    group.sites = sites;
    group.n_sites = 1;
    group.authority_only = true;
    group.sign_member_messages = true;
    assert_int_equal(operator_create(play->site, &group), CODE(OK));
    site_advance(play->site, 1000);
}

static Groupseal__Secenv__Publish *speak(struct site_node *node, const char *group, const char *body)
{
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.identity = (char *)site_name(node);
    speak.group = (char *)group;
    speak.body = arena_field(bytes_of_text(body));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    assert_int_equal(reply->code, CODE(OK));
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = reply->spoken->site;
    publish.group = (char *)group;
    publish.kind = TOPIC(MESSAGE);
    publish.sender = (char *)site_name(node);
    publish.payload = reply->spoken->payload;
    size_t size = groupseal__secenv__publish__get_packed_size(&publish);
    uint8_t packed[65536];
    assert_true(size < sizeof(packed));
    (void)groupseal__secenv__publish__pack(&publish, packed);
    site_reply_free(reply);
    return groupseal__secenv__publish__unpack(NULL, size, packed);
}

static void message_is_heard(const struct site_node *node, const char *body, bool proven)
{
    const Groupseal__Secenv__Event *event = site_last_event(node, EVENT(MESSAGE));
    assert_non_null(event);
    assert_string_equal(event->message->sender, PLAY_DOOR);
    assert_int_equal(event->message->body.len, strlen(body));
    assert_memory_equal(event->message->body.data, body, strlen(body));
    assert_int_equal(event->message->proven, proven);
}

static void refused_without_change(struct site_node *node, const Groupseal__Secenv__Publish *publish)
{
    uint8_t before[32];
    uint8_t after[32];
    site_digest(node, before);
    assert_int_equal(site_hear(node, publish, false), CODE(REFUSED));
    site_digest(node, after);
    assert_memory_equal(before, after, 32);
}

static void members_hear_each_other_once(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    assert_string_equal(said->site, PLAY_SITE);
    assert_true(said->payload.len <= strlen("85 C") + 56u);
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    message_is_heard(play->door2, "85 C", false);
    refused_without_change(play->door2, said);
    site_restart(play->door2);
    refused_without_change(play->door2, said);
    /* The broker gives it back to who said it. */
    site_events_clear(play->door);
    assert_int_equal(site_hear(play->door, said, false), CODE(OK));
    assert_null(site_last_event(play->door, EVENT(MESSAGE)));
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

static void unsigned_message_proves_nothing_to_the_relay(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    site_events_clear(play->mn);
    assert_int_equal(site_hear(play->mn, said, false), CODE(OK));
    assert_null(site_last_event(play->mn, EVENT(MESSAGE)));
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

static void signed_message_is_proven_to_the_relay(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    signed_group_add(play);
    Groupseal__Secenv__Publish *said = speak(play->door, SIGNED_GROUP, "85 C");
    Groupseal__Secenv__Publish as_other = *said;
    as_other.sender = (char *)PLAY_DOOR_2;
    refused_without_change(play->mn, &as_other);
    Groupseal__Secenv__Publish elsewhere = *said;
    elsewhere.group = (char *)PLAY_GROUP;
    refused_without_change(play->mn, &elsewhere);
    assert_int_equal(site_hear(play->mn, said, false), CODE(OK));
    message_is_heard(play->mn, "85 C", true);
    refused_without_change(play->mn, said);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

/* Sealed as the first door by the second one, who has the same group key: the signature is what it lacks. */
static void member_cannot_speak_for_another_to_the_relay(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    signed_group_add(play);
    struct membership *liar = play_membership(play->door2, SIGNED_GROUP);
    struct membership *victim = play_membership(play->door, SIGNED_GROUP);
    struct signing_key keys[2] = {liar->identity->signing, victim->identity->signing};
    for (size_t i = 0; i < 2; i++) {
        struct seal_context context = {.incarnation = victim->incarnation,
                                       .site = PLAY_SITE,
                                       .kind = GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE,
                                       .ae = PLAY_DOOR,
                                       .epoch = victim->current.epoch,
                                       .serial = victim->serial,
                                       .counter = clock_wall_us(site_clock(play->site))};
        memcpy(context.instance, victim->instance, INSTANCE_SIZE);
        Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
        uint8_t hash[HASH_SIZE];
        uint8_t signature[SIGNATURE_SIZE];
        struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
        struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
        message.body = arena_field(bytes_of_text("fire"));
        assert_int_equal(hash_bytes(bytes_of_text("fire"), hash), RESULT_OK);
        assert_int_equal(said_sign(&context, hash, &keys[i], signature), RESULT_OK);
        message.signature = arena_field(BYTES_OF(signature));
        assert_int_equal(message_pack(&message.base, &packed), RESULT_OK);
        assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &liar->current.secret,
                                      buffer_bytes(&packed), &payload),
                         RESULT_OK);
        Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
        publish.site = (char *)PLAY_SITE;
        publish.group = (char *)SIGNED_GROUP;
        publish.kind = TOPIC(MESSAGE);
        publish.sender = (char *)PLAY_DOOR;
        publish.payload = arena_field(buffer_bytes(&payload));
        assert_int_equal(site_hear(play->mn, &publish, false), i == 0 ? CODE(REFUSED) : CODE(OK));
        buffer_clear(&packed);
        buffer_clear(&payload);
    }
    play_free(play);
}

/* Sealed by another member, unsigned, as the first door: with a serial or a counter that is not the door's.
 */
static struct buffer claim(struct play *play, const char *group, uint64_t serial_ahead, uint64_t counter)
{
    const struct membership *victim = play_membership(play->door, group);
    struct seal_context context = {.incarnation = victim->incarnation,
                                   .site = PLAY_SITE,
                                   .kind = GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE,
                                   .ae = PLAY_DOOR,
                                   .epoch = victim->current.epoch,
                                   .serial = victim->serial + serial_ahead,
                                   .counter = counter};
    memcpy(context.instance, victim->instance, INSTANCE_SIZE);
    Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    message.body = arena_field(bytes_of_text("lie"));
    assert_int_equal(message_pack(&message.base, &packed), RESULT_OK);
    assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &victim->current.secret,
                                  buffer_bytes(&packed), &payload),
                     RESULT_OK);
    buffer_clear(&packed);
    return payload;
}

/* Any member can claim any serial: a higher one than the true sender's must not silence that one. */
static void claimed_serial_locks_nobody_out(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint64_t counter = play_membership(play->door, PLAY_GROUP)->seal_counter.next - 1;
    struct buffer lie = claim(play, PLAY_GROUP, 1000, counter);
    assert_int_equal(play_hear(play->door2, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&lie), false), CODE(OK));
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    message_is_heard(play->door2, "85 C", false);
    refused_without_change(play->door2, said);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    buffer_clear(&lie);
    play_free(play);
}

/* Nor does a counter, for much longer than the hour that it may be ahead: the true one follows the clock. */
static void claimed_counter_locks_out_for_an_hour_at_most(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    site_advance(play->site, 86400000);
    uint64_t ahead = clock_wall_us(site_clock(play->site)) + UINT64_C(3500000000);
    struct buffer lie = claim(play, PLAY_GROUP, 0, ahead);
    assert_int_equal(play_hear(play->door2, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&lie), false), CODE(OK));
    Groupseal__Secenv__Publish *silenced = speak(play->door, PLAY_GROUP, "85 C");
    refused_without_change(play->door2, silenced);
    site_advance(play->site, 4300000);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "86 C");
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    message_is_heard(play->door2, "86 C", false);
    groupseal__secenv__publish__free_unpacked(silenced, NULL);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    buffer_clear(&lie);
    play_free(play);
}

/* The MN-CSE gives nobody an unsigned message, so it moves no counter either. */
static void claimed_counter_moves_nothing_at_the_relay(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t before[32];
    uint8_t after[32];
    uint64_t ahead = clock_wall_us(site_clock(play->site)) + UINT64_C(1800000000);
    struct buffer lie = claim(play, PLAY_GROUP, 0, ahead);
    site_digest(play->mn, before);
    assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR, buffer_bytes(&lie), false), CODE(OK));
    site_digest(play->mn, after);
    assert_memory_equal(before, after, 32);
    buffer_clear(&lie);
    play_free(play);
}

/* ---- epochs ---- */

/* A fire report of yesterday's epoch: never too late for the MN-CSE, over by now for members. */
static void relay_takes_signed_messages_of_the_previous_epoch(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    signed_group_add(play);
    Groupseal__Secenv__Publish *said = speak(play->door, SIGNED_GROUP, "fire");
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 600000);
    refused_without_change(play->door2, said);
    play_forget(play);
    site_restart(play->mn);
    assert_int_equal(site_hear(play->mn, said, false), CODE(OK));
    message_is_heard(play->mn, "fire", true);
    /* And who speaks so late gets the news. */
    site_advance(play->site, 6000);
    assert_non_null(play_last(play, TOPIC(EPOCH)));
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

static void relay_refuses_unsigned_messages_of_the_previous_epoch(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "fire");
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    refused_without_change(play->mn, said);
    /* Members take it within the overlap. */
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

/* After an eviction members take only commands from the epoch that the evicted one was in. */
static void previous_epoch_is_over_for_messages_after_an_eviction(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct site_node *door3 =
        site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 31000);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    assert_int_equal(operator_evict(play->site, site_name(door3)), CODE(OK));
    site_advance(play->site, 1000);
    refused_without_change(play->door2, said);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

/* A door sleeps through `evicted` and wakes when the list of the evicted no longer names that one: what it
 * said to the group in the epoch that the sleeper knows. */
static Groupseal__Secenv__Code latecomer_hears_the_old_epoch(bool evicted)
{
    struct play *play = play_new(2);
    struct site_node *door3 =
        site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 31000);
    uint64_t epoch = play_membership(play->door2, PLAY_GROUP)->current.epoch;
    Groupseal__Secenv__Publish *said = speak(door3, PLAY_GROUP, "all is well");
    site_online(play->door2, false);
    if (evicted) {
        assert_int_equal(operator_evict(play->site, site_name(door3)), CODE(OK));
    }
    site_advance(play->site, 31000);
    (void)site_join(play->site, "//sp.example/Sdoor4", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    site_online(play->door2, true);
    site_settle(play->site);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch + (evicted ? 2 : 1));
    Groupseal__Secenv__Code code = site_hear(play->door2, said, false);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
    return code;
}

static void latecomer_takes_no_messages_of_the_evicted(void **state)
{
    (void)state;
    assert_int_equal(latecomer_hears_the_old_epoch(false), CODE(OK));
    assert_int_equal(latecomer_hears_the_old_epoch(true), CODE(REFUSED));
}

/* It wakes to a beat of the very next epoch, which names nobody any more: what the evicted said is refused,
 * and what is said now is taken. */
static void latecomer_to_a_beat(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct site_node *door3 =
        site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 31000);
    uint64_t epoch = play_membership(play->door2, PLAY_GROUP)->current.epoch;
    Groupseal__Secenv__Publish *said = speak(door3, PLAY_GROUP, "all is well");
    site_online(play->door2, false);
    assert_int_equal(operator_evict(play->site, site_name(door3)), CODE(OK));
    site_advance(play->site, 901000);
    site_online(play->door2, true);
    site_settle(play->site);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch + 1);
    refused_without_change(play->door2, said);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    said = speak(play->door, PLAY_GROUP, "fire");
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

static void message_of_a_newer_epoch_waits(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    play->dropped_to = PLAY_DOOR_2;
    play->dropped_kind = TOPIC(EPOCH);
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    assert_null(site_last_event(play->door2, EVENT(MESSAGE)));
    play->dropped_to = NULL;
    site_advance(play->site, 12000);
    message_is_heard(play->door2, "85 C", false);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

/* One that nobody can open yet. */
static Groupseal__Secenv__Code claim_epoch(struct site_node *node, const char *sender, uint64_t ahead)
{
    const struct membership *membership = play_membership(node, PLAY_GROUP);
    Groupseal__Envelope__Sealed sealed = GROUPSEAL__ENVELOPE__SEALED__INIT;
    uint8_t zero[32] = {0};
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    sealed.kind = GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE;
    sealed.epoch = membership->current.epoch + ahead;
    sealed.boot = arena_field((struct bytes){zero, 8});
    sealed.ciphertext = arena_field(BYTES_OF(zero));
    assert_int_equal(message_pack(&sealed.base, &payload), RESULT_OK);
    Groupseal__Secenv__Code code = play_hear(node, TOPIC(MESSAGE), sender, buffer_bytes(&payload), false);
    buffer_clear(&payload);
    return code;
}

static size_t resubscribed(const struct site_node *node)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == EVENT(RESUBSCRIBE);
    }
    return count;
}

/* One member, or who writes as it, cannot keep the others' messages out. */
static void nobody_fills_the_waiting_room_alone(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    play->dropped_to = PLAY_DOOR_2;
    play->dropped_kind = TOPIC(EPOCH);
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    for (unsigned i = 0; i < WAITING_ROOM_PLACES; i++) {
        assert_int_equal(claim_epoch(play->door2, "//sp.example/Sdoor3", 1),
                         i < WAITING_PLACES_OF_ONE ? CODE(OK) : CODE(FULL));
    }
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "85 C");
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    play->dropped_to = NULL;
    site_advance(play->site, 12000);
    message_is_heard(play->door2, "85 C", false);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

/* What a speaker claims costs the broker next to nothing. */
static void claimed_epochs_are_followed_less_and_less(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    site_events_clear(play->door2);
    assert_int_equal(claim_epoch(play->door2, PLAY_DOOR, UINT64_C(1) << 40), CODE(REFUSED));
    site_advance(play->site, 20000);
    assert_int_equal(resubscribed(play->door2), 0);
    for (unsigned i = 0; i < 3600; i++) {
        (void)claim_epoch(play->door2, PLAY_DOOR, 1);
        site_advance(play->site, 1000);
    }
    assert_in_range(resubscribed(play->door2), 5, 20); /* of 120 */
    site_advance(play->site, 31000);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->waiting_messages.count, 0);
    /* A climb shows that there is something to follow. */
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 31000);
    site_events_clear(play->door2);
    (void)claim_epoch(play->door2, PLAY_DOOR, 1);
    site_advance(play->site, 12000);
    assert_int_equal(resubscribed(play->door2), 1);
    play_free(play);
}

/* ---- counters ---- */

/* A forged counter far ahead would lock the true sender out. */
static void counter_far_ahead_is_refused(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    door->seal_counter.next += UINT64_C(7200000000);
    door->seal_counter.reserved = door->seal_counter.next + COUNTER_STEP;
    Groupseal__Secenv__Publish *ahead = speak(play->door, PLAY_GROUP, "85 C");
    door->seal_counter.next -= UINT64_C(7200000000);
    door->seal_counter.reserved = door->seal_counter.next + COUNTER_STEP;
    Groupseal__Secenv__Publish *said = speak(play->door, PLAY_GROUP, "86 C");
    refused_without_change(play->door2, ahead);
    refused_without_change(play->mn, ahead);
    assert_int_equal(site_hear(play->door2, said, false), CODE(OK));
    assert_int_equal(site_hear(play->mn, said, false), CODE(OK));
    groupseal__secenv__publish__free_unpacked(ahead, NULL);
    groupseal__secenv__publish__free_unpacked(said, NULL);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_hear_each_other_once),
        cmocka_unit_test(unsigned_message_proves_nothing_to_the_relay),
        cmocka_unit_test(signed_message_is_proven_to_the_relay),
        cmocka_unit_test(member_cannot_speak_for_another_to_the_relay),
        cmocka_unit_test(claimed_serial_locks_nobody_out),
        cmocka_unit_test(claimed_counter_locks_out_for_an_hour_at_most),
        cmocka_unit_test(claimed_counter_moves_nothing_at_the_relay),
        cmocka_unit_test(relay_takes_signed_messages_of_the_previous_epoch),
        cmocka_unit_test(relay_refuses_unsigned_messages_of_the_previous_epoch),
        cmocka_unit_test(previous_epoch_is_over_for_messages_after_an_eviction),
        cmocka_unit_test(latecomer_takes_no_messages_of_the_evicted),
        cmocka_unit_test(latecomer_to_a_beat),
        cmocka_unit_test(message_of_a_newer_epoch_waits),
        cmocka_unit_test(nobody_fills_the_waiting_room_alone),
        cmocka_unit_test(claimed_epochs_are_followed_less_and_less),
        cmocka_unit_test(counter_far_ahead_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
