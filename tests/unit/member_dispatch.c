/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/command_clock.h"
#include "secenv/member/packed.h"
#include "secenv/member/record.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/*
 * Orders at the MN-CSE, and what becomes of them: sealed, executed once, reported; over restarts of either
 * side, over an epoch change, for a device that slept.
 */

#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_

static void order_is_executed_once_and_reported(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_commands(play->door2), 1);
    const Groupseal__Secenv__Event *event =
        site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND);
    assert_memory_equal(event->command->body.data, "close", 5);
    assert_memory_equal(event->command->command_id.data, id, COMMAND_ID_SIZE);
    assert_string_equal(event->command->commander, SITE_AUTHORITY);
    assert_in_range(event->command->remaining_ms, 59000, 60000);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    assert_int_equal(play_finish(play->door2, id, false, "jammed"), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 1000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, &complete), OUTCOME(FAILED));
    assert_true(complete);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__EXISTS);
    play_free(play);
}

static void only_the_target_executes(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", PLAY_DOOR_2, 60000, id);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_commands(play->door2), 1);
    play_free(play);
}

/* Accepted within the window, finished later: two receipts. */
static void slow_application_answers_twice(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(ACCEPTED));
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 1000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* Many commands are being refused when it finishes: its outcome has a place nevertheless. */
static void outcome_is_told_whatever_waits(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(ACCEPTED));
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    for (uint8_t i = 0; i < 100; i++) {
        uint8_t other[COMMAND_ID_SIZE] = {i, 0xff};
        receipt_schedule(door, 0, other, "the table of commands is full");
    }
    assert_int_equal(door->receipts.refusals, RECEIPT_REFUSALS_LIMIT);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 2000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    assert_int_equal(door->receipts.count, 0);
    assert_int_equal(door->receipts.refusals, 0);
    play_free(play);
}

/* Power fails while the application works. */
static void interrupted_command_is_unknown(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 1);
    site_events_clear(play->door);
    site_restart(play->door);
    site_advance(play->site, 4000);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(NOT_KNOWN));
    /* The program that went on without its secure environment may still say what it did. */
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 2000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* The device's program ends while it works; its secure environment goes on, with the next one. */
static void command_of_a_lost_owner_is_unknown(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct engine_caller owner = {SOCKET_OWNER, 1};
    struct engine_caller another = {SOCKET_OWNER, 99};
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    /* A connection that is not the owner's changes nothing. */
    member_operations.disconnected(site_engine(play->door), &another);
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(ACCEPTED));
    member_operations.disconnected(site_engine(play->door), &owner);
    assert_int_equal(play_finish(play->door, (const uint8_t[COMMAND_ID_SIZE]){0}, true, ""),
                     GROUPSEAL__SECENV__CODE__UNKNOWN); /* any request: its batch has a turn */
    assert_false(engine_identity(site_engine(play->door), PLAY_DOOR)->online);
    site_online(play->door, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(NOT_KNOWN));
    play_free(play);
}

/* The same where power did not fail. */
static void uninterrupted_command_is_done(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_events_clear(play->door);
    site_restart(play->door);
    site_advance(play->site, 4000);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* A door that was off when the fire began closes when it comes back, once. */
static void sleeper_executes_when_it_comes_back(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    site_online(play->door, false);
    play_order(play, "close", NULL, 120000, id);
    assert_int_equal(play_commands(play->door), 0);
    site_advance(play->site, 10000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    site_restart(play->door);
    site_online(play->door, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_commands(play->door2), 1);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 2000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* The same, but the order has expired by then. */
static void sleeper_does_not_execute_after_expiry(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    site_online(play->door, false);
    play_order(play, "close", NULL, 5000, id);
    site_advance(play->site, 10000);
    site_online(play->door, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(NO_ANSWER));
    assert_true(complete);
    play_free(play);
}

/* A command is lost on its way; an epoch change gives it once more. */
static void epoch_change_brings_the_command_again(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    play_order(play, "close", NULL, 120000, id);
    play->dropped_to = NULL;
    assert_int_equal(play_commands(play->door), 0);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    play->door2 = site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 2000);
    assert_true(play_membership(play->door, PLAY_GROUP)->current.epoch > epoch);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* The door has started and asked; what is sealed before the reply it drops. */
static struct play *play_with_a_reply_due(void)
{
    struct play *play = play_new(1);
    site_restart(play->door);
    site_settle(play->site);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->relay->syncs.count, 1);
    assert_false(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    return play;
}

static void order_before_a_sync_reply_comes_again_after_it(void **state)
{
    (void)state;
    struct play *play = play_with_a_reply_due();
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), 0);
    site_advance(play->site, 1000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

static void epoch_change_before_a_sync_reply_costs_no_command(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    site_online(play->door, false);
    play_order(play, "close", NULL, 600000, id);
    site_restart(play->door);
    site_advance(play->site, 5000);
    site_online(play->door, true);
    site_settle(play->site);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->relay->syncs.count, 1);
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), GROUPSEAL__SECENV__CODE__OK);
    site_settle(play->site);
    assert_int_equal(play_commands(play->door), 0);
    site_advance(play->site, 1000);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* The MN-CSE's secure environment restarts between the order and the answer. */
static void relay_restart_forgets_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    play_order(play, "close", NULL, 120000, id);
    play->dropped_to = NULL;
    assert_int_equal(play_commands(play->door), 0);
    assert_int_equal(play_finish(play->door2, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_restart(play->mn);
    site_advance(play->site, 2000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_commands(play->door2), 1);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 5000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, NULL), OUTCOME(DONE));
    assert_true(complete);
    play_free(play);
}

/* Everybody restarts at each step; the application sees the command once. */
static void restarts_between_all_steps(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    site_restart(play->mn);
    site_restart(site_authority(play->site));
    site_advance(play->site, 3000);
    play_order(play, "close", NULL, 120000, id);
    site_restart(site_authority(play->site));
    site_restart(play->mn);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_restart(play->mn);
    site_restart(play->door);
    site_advance(play->site, 5000);
    site_restart(site_authority(play->site));
    site_restart(play->mn);
    site_advance(play->site, 10000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* Nobody looks at a command before something of it is due: its end, then the end of its remembrance. */
static void commands_are_looked_at_when_due(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", PLAY_DOOR, 600000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 5000);
    const struct dispatches *dispatches = &play_membership(play->mn, PLAY_GROUP)->relay->dispatches;
    uint64_t now = clock_monotonic_us(site_clock(play->site));
    assert_in_range(dispatches->due_us - now, UINT64_C(590000000), UINT64_C(596000000));
    site_advance(play->site, 600000);
    now = clock_monotonic_us(site_clock(play->site));
    assert_in_range(dispatches->due_us - now, UINT64_C(3590000000), UINT64_C(3600000000));
    assert_int_equal(dispatches->count, 1);
    site_advance(play->site, 3601000);
    assert_int_equal(dispatches->count, 0);
    assert_true(dispatches->due_us == UINT64_MAX);
    play_free(play);
}

/* A start or a new epoch brings a command again to those alone who have not answered, and to nobody where all
 * have. */
static void sealed_again_for_who_has_not_answered(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 600000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 5000);
    uint64_t sealed = audit_value(AUDIT_COMMANDS_SEALED);
    uint64_t receipts = audit_value(AUDIT_RECEIPTS_SEALED);
    site_restart(play->mn);
    site_advance(play->site, 5000);
    assert_true(audit_value(AUDIT_COMMANDS_SEALED) > sealed);
    assert_int_equal(audit_value(AUDIT_RECEIPTS_SEALED), receipts + 1); /* of the other: accepted */
    assert_int_equal(play_finish(play->door2, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 5000);
    sealed = audit_value(AUDIT_COMMANDS_SEALED);
    site_restart(play->mn);
    site_advance(play->site, 5000);
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 5000);
    assert_int_equal(audit_value(AUDIT_COMMANDS_SEALED), sealed);
    /* Who joins is to have it as well. */
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 5000);
    assert_true(audit_value(AUDIT_COMMANDS_SEALED) > sealed);
    assert_int_equal(play_commands(site_find(play->site, "//sp.example/Sdoor3")), 1);
    play_free(play);
}

/* ---- receipts ---- */

/* A receipt of the first door, as it was heard; to be sent again by hand. */
static const Groupseal__Secenv__Publish *receipt_of_door(struct play *play, uint8_t id[COMMAND_ID_SIZE])
{
    play->dropped_to = SITE_MN_CSE;
    play->dropped_kind = TOPIC(ACK);
    play_order(play, "close", PLAY_DOOR, 120000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 1000);
    play->dropped_to = NULL;
    const Groupseal__Secenv__Publish *receipt = play_last(play, TOPIC(ACK));
    assert_string_equal(receipt->sender, PLAY_DOOR);
    return receipt;
}

/* The order has expired and was reported; then the first door's answer comes, and power fails before the next
 * report is on its way. */
static void late_answer_survives_a_restart(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    play->dropped_to = SITE_MN_CSE;
    play->dropped_kind = TOPIC(ACK);
    play_order(play, "close", NULL, 5000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), GROUPSEAL__SECENV__CODE__OK);
    site_advance(play->site, 10000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(NO_ANSWER));
    assert_true(complete);
    const Groupseal__Secenv__Publish *receipt = play_last_of(play, TOPIC(ACK), PLAY_DOOR);
    assert_int_equal(play_hear(play->mn, TOPIC(ACK), PLAY_DOOR, arena_view(receipt->payload), false),
                     GROUPSEAL__SECENV__CODE__OK);
    site_restart(play->mn);
    site_advance(play->site, 5000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

static void receipt_is_taken_from_its_device_only(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    uint8_t before[32];
    uint8_t after[32];
    struct bytes payload = arena_view(receipt_of_door(play, id)->payload);
    site_digest(play->mn, before);
    /* As another device's. */
    assert_int_equal(play_hear(play->mn, TOPIC(ACK), PLAY_DOOR_2, payload, false),
                     GROUPSEAL__SECENV__CODE__REFUSED);
    /* On another topic. */
    assert_int_equal(play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR, payload, false),
                     GROUPSEAL__SECENV__CODE__REFUSED);
    site_digest(play->mn, after);
    assert_memory_equal(before, after, 32);
    /* Its own. */
    assert_int_equal(play_hear(play->mn, TOPIC(ACK), PLAY_DOOR, payload, false), GROUPSEAL__SECENV__CODE__OK);
    /* Twice. */
    assert_int_equal(play_hear(play->mn, TOPIC(ACK), PLAY_DOOR, payload, false),
                     GROUPSEAL__SECENV__CODE__REFUSED);
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    play_free(play);
}

/* The second door, who has the group's key too, answers for the first. */
static void member_cannot_answer_for_another(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    receipt_of_door(play, id);
    struct membership *liar = play_membership(play->door2, PLAY_GROUP);
    struct membership *victim = play_membership(play->door, PLAY_GROUP);
    struct signing_key keys[2] = {liar->identity->signing, victim->identity->signing};
    const Groupseal__Secenv__Code expected[2] = {GROUPSEAL__SECENV__CODE__REFUSED,
                                                 GROUPSEAL__SECENV__CODE__OK};
    for (size_t i = 0; i < 2; i++) {
        struct seal_context context = {.incarnation = victim->incarnation,
                                       .site = PLAY_SITE,
                                       .kind = GROUPSEAL__ENVELOPE__KIND__KIND_ACK,
                                       .ae = PLAY_DOOR,
                                       .epoch = victim->current.epoch,
                                       .serial = victim->serial,
                                       .counter = victim->seal_counter.next + 10u};
        memcpy(context.instance, victim->instance, INSTANCE_SIZE);
        Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
        Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
        uint8_t hash[HASH_SIZE];
        uint8_t signature[SIGNATURE_SIZE];
        struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
        struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
        receipt.command_id = arena_field(BYTES_OF(id));
        receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED;
        ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
        ack.receipt = &receipt;
        assert_int_equal(ack_hash(&ack, hash), RESULT_OK);
        assert_int_equal(said_sign(&context, hash, &keys[i], signature), RESULT_OK);
        ack.signature = arena_field(BYTES_OF(signature));
        assert_int_equal(message_pack(&ack.base, &packed), RESULT_OK);
        assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &liar->current.secret,
                                      buffer_bytes(&packed), &payload),
                         RESULT_OK);
        assert_int_equal(play_hear(play->mn, TOPIC(ACK), PLAY_DOOR, buffer_bytes(&payload), false),
                         expected[i]);
        buffer_clear(&packed);
        buffer_clear(&payload);
    }
    play_free(play);
}

/* ---- the command clock ---- */

static char boot[BOOT_ID_SIZE] = "first";

static enum result fake_boot(char out[BOOT_ID_SIZE])
{
    memcpy(out, boot, sizeof(boot));
    return RESULT_OK;
}

static uint64_t clock_read(struct command_clock *clock, struct play *play)
{
    struct reason why;
    uint64_t ms = 0;
    assert_int_equal(command_clock_read(clock, site_store(play->mn), site_clock(play->site), &ms, &why),
                     RESULT_OK);
    return ms;
}

static void command_clock_is_not_stepped(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct reason why;
    struct command_clock clock;
    command_clock_boot_id(fake_boot);
    assert_int_equal(command_clock_open(&clock, site_store(play->mn), site_clock(play->site), &why),
                     RESULT_OK);
    uint64_t first = clock_read(&clock, play);
    site_advance(play->site, 3000);
    assert_int_equal(clock_read(&clock, play), first + 3000);
    /* The process alone starts again: exactly on. */
    assert_int_equal(command_clock_open(&clock, site_store(play->mn), site_clock(play->site), &why),
                     RESULT_OK);
    assert_int_equal(clock_read(&clock, play), first + 3000);
    /* The system: never back, and at most one step on. */
    memcpy(boot, "other", 6);
    assert_int_equal(command_clock_open(&clock, site_store(play->mn), site_clock(play->site), &why),
                     RESULT_OK);
    assert_in_range(clock_read(&clock, play), first + 3000, first + 3000 + COMMAND_CLOCK_STEP_MS);
    command_clock_boot_id(NULL);
    play_free(play);
}

/* A request that reserved time is undone: what was reserved is not on disk, and must not be trusted to be. */
static void command_clock_outlives_what_is_undone(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct reason why;
    struct command_clock clock;
    struct store *store = site_store(play->mn);
    memcpy(boot, "first", 6);
    command_clock_boot_id(fake_boot);
    assert_int_equal(command_clock_open(&clock, store, site_clock(play->site), &why), RESULT_OK);
    (void)clock_read(&clock, play);
    site_advance(play->site, COMMAND_CLOCK_STEP_MS + 1000u);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_false(store_held(store));
    (void)clock_read(&clock, play);
    assert_true(store_held(store)); /* what says this time waits for the commit */
    store_rollback(store);
    site_advance(play->site, 5000);
    uint64_t shown = clock_read(&clock, play);
    memcpy(boot, "other", 6);
    assert_int_equal(command_clock_open(&clock, store, site_clock(play->site), &why), RESULT_OK);
    assert_in_range(clock_read(&clock, play), shown, shown + COMMAND_CLOCK_STEP_MS);
    command_clock_boot_id(NULL);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_executed_once_and_reported),
        cmocka_unit_test(only_the_target_executes),
        cmocka_unit_test(slow_application_answers_twice),
        cmocka_unit_test(commands_are_looked_at_when_due),
        cmocka_unit_test(sealed_again_for_who_has_not_answered),
        cmocka_unit_test(outcome_is_told_whatever_waits),
        cmocka_unit_test(interrupted_command_is_unknown),
        cmocka_unit_test(command_of_a_lost_owner_is_unknown),
        cmocka_unit_test(uninterrupted_command_is_done),
        cmocka_unit_test(sleeper_executes_when_it_comes_back),
        cmocka_unit_test(sleeper_does_not_execute_after_expiry),
        cmocka_unit_test(epoch_change_brings_the_command_again),
        cmocka_unit_test(order_before_a_sync_reply_comes_again_after_it),
        cmocka_unit_test(epoch_change_before_a_sync_reply_costs_no_command),
        cmocka_unit_test(relay_restart_forgets_nothing),
        cmocka_unit_test(restarts_between_all_steps),
        cmocka_unit_test(late_answer_survives_a_restart),
        cmocka_unit_test(receipt_is_taken_from_its_device_only),
        cmocka_unit_test(member_cannot_answer_for_another),
        cmocka_unit_test(command_clock_is_not_stepped),
        cmocka_unit_test(command_clock_outlives_what_is_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
