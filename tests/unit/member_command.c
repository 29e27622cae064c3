/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/command_table.h"
#include "secenv/member/packed.h"
#include "tests/unit/member_play.h"

/*
 * A device receives commands: each check of docs/protocol.md section 6 with the one thing wrong that it is
 * for, and its twin, the same message without that, which is executed. A command is a real order, sealed by
 * hand.
 */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_

struct attack {
    struct play *play;
    struct arena *arena;
    uint8_t id[COMMAND_ID_SIZE];
    struct forgery forgery;
};

/* An order that the MN-CSE has, but that has not reached the door. */
static struct attack attack_new(void)
{
    struct attack attack = {.play = play_new(1), .arena = arena_new((size_t)1024 * 1024)};
    assert_non_null(attack.arena);
    attack.play->dropped_to = PLAY_DOOR;
    attack.play->dropped_kind = TOPIC(COMMAND);
    play_order(attack.play, "close", PLAY_DOOR, 120000, attack.id);
    play_forgery(attack.play, attack.id, attack.arena, &attack.forgery);
    assert_int_equal(play_commands(attack.play->door), 0);
    return attack;
}

static void attack_free(struct attack *attack)
{
    arena_free(attack->arena);
    play_free(attack->play);
}

static Groupseal__Secenv__Code attack_hear(struct attack *attack, bool retained)
{
    struct buffer payload = play_forge(&attack->forgery);
    Groupseal__Secenv__Code code =
        play_hear(attack->play->door, TOPIC(COMMAND), "", buffer_bytes(&payload), retained);
    buffer_clear(&payload);
    return code;
}

/* Refused, and nothing has changed. */
static void attack_fails(struct attack *attack, bool retained)
{
    uint8_t before[32];
    uint8_t after[32];
    site_digest(attack->play->door, before);
    assert_int_equal(attack_hear(attack, retained), CODE(REFUSED));
    site_digest(attack->play->door, after);
    assert_memory_equal(before, after, 32);
    assert_int_equal(play_commands(attack->play->door), 0);
}

/* The twin: executed. */
static void twin_succeeds(struct attack *attack)
{
    assert_int_equal(attack_hear(attack, false), CODE(OK));
    assert_int_equal(play_commands(attack->play->door), 1);
}

static void retained_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack_fails(&attack, true);
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void another_site_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.forgery.context.site = "mn-2";
    attack_fails(&attack, false);
    attack.forgery.context.site = PLAY_SITE;
    struct buffer payload = play_forge(&attack.forgery);
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = (char *)"mn-2";
    publish.group = (char *)PLAY_GROUP;
    publish.kind = TOPIC(COMMAND);
    publish.payload = arena_field(buffer_bytes(&payload));
    assert_int_equal(site_hear(attack.play->door, &publish, false), CODE(REFUSED));
    publish.site = (char *)PLAY_SITE;
    publish.group = (char *)"windows";
    assert_int_equal(site_hear(attack.play->door, &publish, false), CODE(UNKNOWN));
    buffer_clear(&payload);
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void another_kind_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.forgery.context.kind = GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE;
    attack.forgery.context.ae = PLAY_DOOR_2;
    attack_fails(&attack, false);
    /* Sealed as a sync, opened as one, and found to be none. */
    attack.forgery.context.kind = GROUPSEAL__ENVELOPE__KIND__KIND_SYNC;
    attack.forgery.context.ae = "";
    assert_int_not_equal(attack_hear(&attack, false), CODE(OK));
    attack.forgery.context.kind = GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND;
    struct buffer payload = play_forge(&attack.forgery);
    assert_int_equal(play_hear(attack.play->door, TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&payload), false),
                     CODE(REFUSED));
    buffer_clear(&payload);
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void another_instance_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.forgery.context.instance[3] ^= 1u;
    attack_fails(&attack, false);
    attack.forgery.context.instance[3] ^= 1u;
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void sender_that_is_no_relay_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct membership *door = play_membership(attack.play->door, PLAY_GROUP);
    uint64_t serial = attack.forgery.context.serial;
    struct signing_key relay = attack.forgery.relay;
    attack.forgery.context.serial = door->serial;
    attack.forgery.relay = door->identity->signing;
    attack_fails(&attack, false);
    attack.forgery.context.serial = serial;
    attack.forgery.relay = relay;
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* A member has the group's key and can seal as the relay: it lacks the relay's signature. */
static void seal_of_another_key_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct signing_key relay = attack.forgery.relay;
    attack.forgery.relay = play_membership(attack.play->door, PLAY_GROUP)->identity->signing;
    attack_fails(&attack, false);
    attack.forgery.relay = relay;
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void another_group_key_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.forgery.epoch_key.data[0] ^= 1u;
    attack_fails(&attack, false);
    attack.forgery.epoch_key.data[0] ^= 1u;
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void altered_message_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct buffer payload = play_forge(&attack.forgery);
    for (size_t i = 0; i < payload.length; i++) {
        payload.data[i] ^= 0x40u;
        Groupseal__Secenv__Code code =
            play_hear(attack.play->door, TOPIC(COMMAND), "", buffer_bytes(&payload), false);
        /* An epoch that is far ahead waits; anything else is refused. */
        assert_true(code != CODE(OK) || play_commands(attack.play->door) == 0);
        payload.data[i] ^= 0x40u;
    }
    site_advance(attack.play->site, 100);
    assert_int_equal(play_commands(attack.play->door), 0);
    buffer_clear(&payload);
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* The relay itself, or who has its key, alters an order. */
static void altered_order_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    Groupseal__Envelope__Order *order = attack.forgery.request->order;
    order->expires_ms += 1000;
    attack_fails(&attack, false);
    order->expires_ms -= 1000;
    attack.forgery.request->body.data[0] ^= 1u;
    attack_fails(&attack, false);
    attack.forgery.request->body.data[0] ^= 1u;
    order->n_targets = 0;
    attack_fails(&attack, false);
    order->n_targets = 1;
    attack.forgery.order_altered_after_sealing = true;
    attack_fails(&attack, false);
    order->expires_ms--;
    attack.forgery.order_altered_after_sealing = false;
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* What the relay may not command itself: its signature in the place of the commander's. */
static void order_of_the_relay_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct forgery *forgery = &attack.forgery;
    Groupseal__Envelope__Order *order = forgery->request->order;
    ProtobufCBinaryData genuine = order->signature;
    uint8_t signature[SIGNATURE_SIZE];
    assert_int_equal(order_sign(order, forgery->context.instance, forgery->context.incarnation,
                                arena_view(forgery->request->body), &forgery->relay, signature),
                     RESULT_OK);
    attack_fails(&attack, false);
    order->signature = genuine;
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* Answered with a receipt, so the request is OK; nothing is executed. */
static void refusal_is_answered(struct attack *attack)
{
    uint64_t refused = audit_value(AUDIT_COMMANDS_REFUSED);
    uint64_t sealed = audit_value(AUDIT_RECEIPTS_SEALED);
    assert_int_equal(attack_hear(attack, false), CODE(OK));
    assert_int_equal(audit_value(AUDIT_COMMANDS_REFUSED), refused + 1);
    assert_int_equal(play_commands(attack->play->door), 0);
    site_advance(attack->play->site, 1000);
    assert_int_equal(audit_value(AUDIT_RECEIPTS_SEALED), sealed + 1);
    assert_int_equal(play_commands(attack->play->door), 0);
    attack->forgery.context.counter += 1000;
}

static void commander_that_policy_does_not_name_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    char *commander = attack.forgery.request->order->commander;
    attack.forgery.request->order->commander = (char *)SITE_MN_CSE;
    refusal_is_answered(&attack);
    attack.forgery.request->order->commander = commander;
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void expired_seal_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    uint64_t expires = attack.forgery.seal_expires_ms;
    site_advance(attack.play->site, 20000);
    attack.forgery.seal_expires_ms = expires - 110000;
    refusal_is_answered(&attack);
    attack.forgery.seal_expires_ms = expires;
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* The relay extends an order: the authority's own time says that it is over. */
static void order_that_expired_before_the_authoritys_time_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct identity_state *identity = play_membership(attack.play->door, PLAY_GROUP)->identity;
    uint64_t time_ms = identity->authority_time_ms;
    identity->authority_time_ms = attack.forgery.request->order->expires_ms + 1;
    refusal_is_answered(&attack);
    identity->authority_time_ms = time_ms;
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void full_table_refuses_and_does_not_forget(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct membership *door = play_membership(attack.play->door, PLAY_GROUP);
    struct reason why;
    struct command_row row = {.expires_ms = attack.forgery.request->order->expires_ms,
                              .seal_expires_ms = attack.forgery.seal_expires_ms,
                              .outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE};
    for (size_t i = 0; i < COMMAND_TABLE_LIMIT; i++) {
        memcpy(row.id, &i, sizeof(i));
        assert_int_equal(command_table_add(door, &row, &why), RESULT_OK);
    }
    refusal_is_answered(&attack);
    bool found = false;
    memset(row.id, 0, sizeof(row.id));
    assert_int_equal(command_table_find(door, row.id, &row, &found, &why), RESULT_OK);
    assert_true(found);
    assert_int_equal(store_run(site_store(attack.play->door), &why, "DELETE FROM command WHERE id = ?", "b",
                               BYTES_OF(row.id)),
                     RESULT_OK);
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void command_for_another_is_not_executed(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    uint64_t sealed = audit_value(AUDIT_RECEIPTS_SEALED);
    play_order(play, "close", PLAY_DOOR_2, 60000, id);
    site_advance(play->site, 2000);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_commands(play->door2), 1);
    assert_int_equal(audit_value(AUDIT_RECEIPTS_SEALED), sealed + 1);
    play_free(play);
}

/* ---- sealed for some ---- */

static void serial_pack(uint64_t serial, uint8_t out[SERIAL_SIZE])
{
    for (size_t i = 0; i < SERIAL_SIZE; i++) {
        out[i] = (uint8_t)(serial >> (56 - 8 * i));
    }
}

/* Who is not meant neither runs it nor answers. */
static void sealed_for_another_is_passed_over(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    uint8_t serials[2 * SERIAL_SIZE];
    uint64_t own = play_membership(attack.play->door, PLAY_GROUP)->serial;
    serial_pack(own + 1000, serials);
    serial_pack(own, serials + SERIAL_SIZE);
    attack.forgery.wanted = (struct bytes){serials, SERIAL_SIZE};
    assert_int_equal(attack_hear(&attack, false), CODE(OK));
    assert_int_equal(play_commands(attack.play->door), 0);
    assert_int_equal(play_membership(attack.play->door, PLAY_GROUP)->receipts.count, 0);
    attack.forgery.context.counter += 1000;
    attack.forgery.wanted = BYTES_OF(serials);
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* A member has the key, and could so keep others from it. */
static void list_that_the_relay_did_not_sign_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    uint8_t serial[SERIAL_SIZE];
    serial_pack(play_membership(attack.play->door, PLAY_GROUP)->serial, serial);
    attack.forgery.wanted = BYTES_OF(serial);
    attack.forgery.wanted_added_after_sealing = true;
    attack_fails(&attack, false);
    attack.forgery.wanted_added_after_sealing = false;
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* ---- replays ---- */

static void replay_is_refused(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    uint64_t replayed = audit_value(AUDIT_COMMANDS_REPLAYED);
    twin_succeeds(&attack);
    site_events_clear(attack.play->door);
    /* QoS 1 gives it twice. */
    attack_fails(&attack, false);
    assert_int_equal(audit_value(AUDIT_COMMANDS_REPLAYED), replayed + 1);
    /* After a restart as well. */
    site_restart(attack.play->door);
    site_advance(attack.play->site, 1000);
    site_events_clear(attack.play->door);
    attack_fails(&attack, false);
    attack_free(&attack);
}

/* The same command sealed again: the stored outcome is the answer. */
static void command_sealed_again_runs_once(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    twin_succeeds(&attack);
    assert_int_equal(play_finish(attack.play->door, attack.id, true, ""), CODE(OK));
    site_advance(attack.play->site, 1000);
    uint64_t sealed = audit_value(AUDIT_RECEIPTS_SEALED);
    for (unsigned i = 1; i <= 3; i++) {
        attack.forgery.context.counter += 1000;
        assert_int_equal(attack_hear(&attack, false), CODE(OK));
        site_advance(attack.play->site, 1000);
        assert_int_equal(audit_value(AUDIT_RECEIPTS_SEALED), sealed + i);
    }
    attack.play->dropped_to = NULL;
    site_restart(attack.play->door);
    site_advance(attack.play->site, 1000);
    attack.forgery.context.counter += 1000;
    assert_int_equal(attack_hear(&attack, false), CODE(OK));
    assert_int_equal(play_commands(attack.play->door), 1);
    attack_free(&attack);
}

/* A member's high counter does not stop the relay's commands: they have replay state of their own. */
static void members_counter_does_not_stop_commands(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    struct membership *door = play_membership(attack.play->door, PLAY_GROUP);
    struct seal_context context = attack.forgery.context;
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    context.kind = GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE;
    context.ae = PLAY_DOOR_2;
    context.counter += 1000000;
    assert_int_equal(
        seal_message(&context, attack.forgery.aead, &door->current.secret, (struct bytes){NULL, 0}, &payload),
        RESULT_OK);
    assert_int_equal(play_hear(attack.play->door, TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&payload), false),
                     CODE(OK));
    buffer_clear(&payload);
    twin_succeeds(&attack);
    attack_free(&attack);
}

/* ---- freshness ---- */

static void unsynchronised_command_is_dropped(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.play->dropped_to = SITE_MN_CSE;
    attack.play->dropped_kind = TOPIC(ACK);
    site_restart(attack.play->door);
    site_advance(attack.play->site, 1000);
    uint64_t dropped = audit_value(AUDIT_COMMANDS_DROPPED);
    attack_fails(&attack, false);
    assert_int_equal(audit_value(AUDIT_COMMANDS_DROPPED), dropped + 1);
    attack.play->dropped_to = PLAY_DOOR_2;
    site_events_clear(attack.play->door);
    site_advance(attack.play->site, 5000);
    /* Sealed before the reply: below the floor. */
    site_events_clear(attack.play->door);
    attack_fails(&attack, false);
    attack_free(&attack);
}

static void synchronised_command_is_taken_after_restart(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.play->dropped_to = NULL;
    site_restart(attack.play->door);
    site_advance(attack.play->site, 5000);
    /* The MN-CSE has sealed it again by itself, above the floor. */
    assert_int_equal(play_commands(attack.play->door), 1);
    attack_free(&attack);
}

/* The reply is held back for longer than ten seconds. */
static void late_sync_reply_is_void(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct membership *door = NULL;
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    site_restart(play->door);
    site_advance(play->site, 500);
    Groupseal__Secenv__Publish *held = play->captured[play->captured_count - 1];
    assert_int_equal(held->kind, TOPIC(COMMAND));
    door = play_membership(play->door, PLAY_GROUP);
    assert_false(door->sites[0].synchronised);
    play->captured_count--; /* ours now */
    uint64_t asked = door->sites[0].questions[0].asked_us;
    assert_int_equal(asked != 0, 1);
    site_advance(play->site, 10600);
    assert_int_equal(site_hear(play->door, held, false), CODE(OK));
    assert_false(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    groupseal__secenv__publish__free_unpacked(held, NULL);
    play->dropped_to = NULL;
    site_advance(play->site, 40000);
    assert_true(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    play_free(play);
}

/* The same, given in time. */
static void sync_reply_in_time_is_taken(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    site_restart(play->door);
    site_advance(play->site, 500);
    Groupseal__Secenv__Publish *held = play->captured[--play->captured_count];
    assert_int_equal(held->kind, TOPIC(COMMAND));
    site_advance(play->site, 9000);
    assert_int_equal(site_hear(play->door, held, false), CODE(OK));
    assert_true(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    /* The clock counts from the question: a reply that was held back hides no lateness. */
    uint64_t relay_ms = sync_relay_ms(&play_membership(play->door, PLAY_GROUP)->sites[0],
                                      clock_monotonic_us(site_clock(play->site)));
    uint64_t own_ms = 0;
    struct reason why;
    struct engine *mn = site_engine(play->mn);
    assert_int_equal(
        command_clock_read(&mn->command_clock, site_store(play->mn), site_clock(play->site), &own_ms, &why),
        RESULT_OK);
    assert_true(relay_ms >= own_ms);
    groupseal__secenv__publish__free_unpacked(held, NULL);
    play_free(play);
}

/* ---- epochs ---- */

static void command_of_a_newer_epoch_waits_for_the_climb(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(EPOCH);
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 0);
    assert_in_range(play_membership(play->door, PLAY_GROUP)->waiting_commands.count, 1, 2);
    play->dropped_to = NULL;
    /* It asks for the news by itself, again after a while. */
    site_advance(play->site, 12000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

static void previous_epoch_is_taken_within_the_overlap(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    attack.play->dropped_to = PLAY_DOOR;
    (void)site_join(attack.play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(attack.play->site, 1000);
    assert_int_equal(
        membership_epoch_age(play_membership(attack.play->door, PLAY_GROUP), attack.forgery.context.epoch),
        EPOCH_PREVIOUS);
    twin_succeeds(&attack);
    attack_free(&attack);
}

static void previous_epoch_is_refused_after_the_overlap(void **state)
{
    (void)state;
    struct attack attack = attack_new();
    (void)site_join(attack.play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(attack.play->site, 31000);
    attack_fails(&attack, false);
    attack_free(&attack);
}

/* ---- overdue news ---- */

/* The authority is away for an hour. What the policy wants is set in memory: its hash names it as before. */
static Groupseal__Secenv__Outcome outcome_when_overdue(bool refuse, bool beats)
{
    struct play *play = play_new(1);
    struct attack attack = {.play = play, .arena = arena_new((size_t)1024 * 1024)};
    play_membership(play->door, PLAY_GROUP)->policy.policy->refuse_when_overdue = refuse;
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    play_order(play, "close", PLAY_DOOR, 86400000, attack.id);
    site_online(site_authority(play->site), beats);
    site_advance(play->site, 3600000);
    play->dropped_to = NULL;
    play_forgery(play, attack.id, attack.arena, &attack.forgery);
    assert_int_equal(attack_hear(&attack, false), CODE(OK));
    assert_int_equal(play_commands(play->door), refuse && !beats ? 0 : 1);
    site_online(site_authority(play->site), true);
    site_advance(play->site, 70000);
    Groupseal__Secenv__Outcome outcome = play_outcome(play, attack.id, PLAY_DOOR, NULL);
    attack_free(&attack);
    return outcome;
}

static void overdue_news_end_autonomy_where_the_policy_says_so(void **state)
{
    (void)state;
    assert_int_equal(outcome_when_overdue(true, true), GROUPSEAL__SECENV__OUTCOME__ACCEPTED);
    assert_int_equal(outcome_when_overdue(false, false), GROUPSEAL__SECENV__OUTCOME__ACCEPTED);
    assert_int_equal(outcome_when_overdue(true, false), GROUPSEAL__SECENV__OUTCOME__REFUSED_BY_MEMBER);
}

/* The MN-CSE does not seal either; the order waits for the beat that is on its way behind it. */
static void overdue_relay_seals_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct membership *mn = play_membership(play->mn, PLAY_GROUP);
    uint8_t id[COMMAND_ID_SIZE];
    mn->policy.policy->refuse_when_overdue = true;
    mn->beat_us -= UINT64_C(2700000000) - 1000000u;
    site_advance(play->site, 2000);
    uint64_t sealed = audit_value(AUDIT_COMMANDS_SEALED);
    play_order(play, "close", NULL, 3600000, id);
    site_advance(play->site, 60000);
    assert_int_equal(audit_value(AUDIT_COMMANDS_SEALED), sealed);
    site_advance(play->site, 1000000); /* the beat, and the longest back-off of the order */
    assert_true(audit_value(AUDIT_COMMANDS_SEALED) > sealed);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retained_is_refused),
        cmocka_unit_test(another_site_is_refused),
        cmocka_unit_test(another_kind_is_refused),
        cmocka_unit_test(another_instance_is_refused),
        cmocka_unit_test(sender_that_is_no_relay_is_refused),
        cmocka_unit_test(seal_of_another_key_is_refused),
        cmocka_unit_test(another_group_key_is_refused),
        cmocka_unit_test(altered_message_is_refused),
        cmocka_unit_test(altered_order_is_refused),
        cmocka_unit_test(order_of_the_relay_is_refused),
        cmocka_unit_test(commander_that_policy_does_not_name_is_refused),
        cmocka_unit_test(expired_seal_is_refused),
        cmocka_unit_test(order_that_expired_before_the_authoritys_time_is_refused),
        cmocka_unit_test(full_table_refuses_and_does_not_forget),
        cmocka_unit_test(command_for_another_is_not_executed),
        cmocka_unit_test(sealed_for_another_is_passed_over),
        cmocka_unit_test(list_that_the_relay_did_not_sign_is_refused),
        cmocka_unit_test(replay_is_refused),
        cmocka_unit_test(command_sealed_again_runs_once),
        cmocka_unit_test(members_counter_does_not_stop_commands),
        cmocka_unit_test(unsynchronised_command_is_dropped),
        cmocka_unit_test(synchronised_command_is_taken_after_restart),
        cmocka_unit_test(late_sync_reply_is_void),
        cmocka_unit_test(sync_reply_in_time_is_taken),
        cmocka_unit_test(command_of_a_newer_epoch_waits_for_the_climb),
        cmocka_unit_test(previous_epoch_is_taken_within_the_overlap),
        cmocka_unit_test(previous_epoch_is_refused_after_the_overlap),
        cmocka_unit_test(overdue_news_end_autonomy_where_the_policy_says_so),
        cmocka_unit_test(overdue_relay_seals_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
