/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/attack/attack.h"
#include "tests/unit/operator.h"

/*
 * The broker on the way: it has no key, and everything that passes. It withholds, delays, reorders, repeats,
 * mixes, freezes, and shows two members two states. What it can do is to keep silent: then nothing happens
 * that should not, and the authority learns in bounded time who did not answer.
 */

#define DOOR_3 "//sp.example/Sdoor3"
#define MN_2 "//sp.example/mn-2"
#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define WINDOW_MS 2500u /* the response window and the 2 s after which the MN-CSE reports */

/* An order that is lost on its way to the victim, kept by the broker. */
static Groupseal__Secenv__Publish *order_withheld(struct play *play, const char *body, uint32_t valid_ms,
                                                  uint8_t id[COMMAND_ID_SIZE])
{
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    play_order(play, body, NULL, valid_ms, id);
    return publish_keep(play_last(play, TOPIC(COMMAND)));
}

static void finish_all(struct site_node *node, const uint8_t id[COMMAND_ID_SIZE])
{
    assert_int_equal(play_finish(node, id, true, ""), CODE(OK));
}

/* ---- withholding ---- */

static void withheld_command_is_reported(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = true;
    publish_drop(order_withheld(play, "close", 60000, id));
    finish_all(play->door2, id);
    site_advance(play->site, WINDOW_MS);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(NO_ANSWER));
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, NULL), OUTCOME(DONE));
    assert_false(complete);
    site_advance(play->site, 62000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(NO_ANSWER));
    assert_true(complete);
    assert_int_equal(play_commands(play->door), 0);
    /* The twin: not withheld. */
    play->dropped_to = NULL;
    play_order(play, "close", NULL, 60000, id);
    finish_all(play->door, id);
    finish_all(play->door2, id);
    site_advance(play->site, WINDOW_MS);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_true(complete);
    play_free(play);
}

/* Receipts withheld: the authority does not know, and says so; the door ran it once. */
static void withheld_receipt_is_reported(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = SITE_MN_CSE;
    play->dropped_kind = TOPIC(ACK);
    play_order(play, "close", NULL, 60000, id);
    finish_all(play->door, id);
    site_advance(play->site, WINDOW_MS);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    play->dropped_to = NULL;
    site_restart(play->door); /* its next sync brings the command again, and the receipt */
    site_advance(play->site, 5000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

/* ---- delaying ---- */

static void delayed_by(uint64_t delay_ms, size_t executed, Groupseal__Secenv__Outcome outcome)
{
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    struct counts before = counts_now();
    Groupseal__Secenv__Publish *kept = order_withheld(play, "close", 10000, id);
    site_advance(play->site, delay_ms);
    twin_is_taken(play->door, kept, false); /* its seal is right: if too late, a receipt says so */
    assert_int_equal(play_commands(play->door), executed);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_REFUSED), 1 - executed);
    if (executed != 0) {
        finish_all(play->door, id);
    } else {
        const Groupseal__Secenv__Event *event =
            site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
        assert_non_null(event);
        assert_non_null(strstr(event->notice->text, "it has expired"));
    }
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), outcome);
    publish_drop(kept);
    play_free(play);
}

static void command_delayed_out_of_its_validity(void **state)
{
    (void)state;
    delayed_by(11000, 0, OUTCOME(REFUSED_BY_MEMBER));
    delayed_by(8000, 1, OUTCOME(DONE));
}

/* Kept back until the device has started again: whatever was sealed before its sync is void. */
static void command_delayed_over_a_start(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Secenv__Publish *kept = order_withheld(play, "close", 600000, id);
    play->dropped_to = SITE_MN_CSE;
    play->dropped_kind = TOPIC(ACK); /* its sync does not arrive */
    site_restart(play->door);
    site_advance(play->site, 1000);
    attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_DROPPED, "not synchronised");
    play->dropped_to = NULL;
    site_advance(play->site, 60000);
    assert_true(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    assert_int_equal(play_commands(play->door), 1); /* the twin: sealed again after the sync */
    attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_REPLAYED, "is repeated");
    publish_drop(kept);
    play_free(play);
}

/* A reply to a sync that is kept back as long as it is good for, 10 s, makes no late command look early. */
static void sync_reply_delayed(uint64_t reply_ms, uint64_t command_ms, bool synchronised, size_t executed)
{
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(COMMAND);
    site_restart(play->door);
    site_advance(play->site, 500);
    Groupseal__Secenv__Publish *reply = publish_keep(play_last(play, TOPIC(COMMAND)));
    Groupseal__Secenv__Publish *kept = order_withheld(play, "close", 12000, id);
    play->dropped_to = SITE_MN_CSE; /* no other sync helps it */
    play->dropped_kind = TOPIC(ACK);
    site_advance(play->site, reply_ms - 500);
    twin_is_taken(play->door, reply, false);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised, synchronised);
    site_advance(play->site, command_ms - reply_ms);
    if (synchronised) {
        twin_is_taken(play->door, kept, false);
    } else {
        attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_DROPPED, "not synchronised");
    }
    assert_int_equal(play_commands(play->door), executed);
    publish_drop(reply);
    publish_drop(kept);
    play_free(play);
}

static void delayed_sync_reply_brings_no_late_command(void **state)
{
    (void)state;
    sync_reply_delayed(9000, 13000, true, 0);
    sync_reply_delayed(9000, 11000, true, 1); /* the twin: in time */
    sync_reply_delayed(12000, 12100, false, 0);
}

/* ---- reordering ---- */

static void commands_reordered(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t first[COMMAND_ID_SIZE];
    uint8_t second[COMMAND_ID_SIZE];
    Groupseal__Secenv__Publish *one = order_withheld(play, "close", 60000, first);
    Groupseal__Secenv__Publish *two = order_withheld(play, "open", 60000, second);
    twin_is_taken(play->door, two, false);
    attack_is_refused(play->door, one, false, AUDIT_COMMANDS_REPLAYED, "is repeated");
    finish_all(play->door, second);
    site_advance(play->site, WINDOW_MS);
    assert_int_equal(play_outcome(play, first, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    assert_int_equal(play_outcome(play, second, PLAY_DOOR, NULL), OUTCOME(DONE));
    /* Not forgotten: it is there again when the device is connected again. */
    play->dropped_to = NULL;
    site_online(play->door, false);
    site_online(play->door, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 2);
    publish_drop(one);
    publish_drop(two);
    /* The twin: in their order. */
    one = order_withheld(play, "close", 60000, first);
    two = order_withheld(play, "open", 60000, second);
    twin_is_taken(play->door, one, false);
    twin_is_taken(play->door, two, false);
    assert_int_equal(play_commands(play->door), 4);
    publish_drop(one);
    publish_drop(two);
    play_free(play);
}

/* ---- repeating ---- */

static void command_repeated(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Secenv__Publish *kept = order_withheld(play, "close", 600000, id);
    twin_is_taken(play->door, kept, false);
    for (unsigned i = 0; i < 100; i++) {
        attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_REPLAYED, "is repeated");
    }
    finish_all(play->door, id);
    attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_REPLAYED, "is repeated");
    site_restart(play->door);
    site_advance(play->site, 2000);
    attack_is_refused(play->door, kept, false, AUDIT_COMMANDS_REPLAYED, "is repeated");
    assert_int_equal(play_commands(play->door), 1);
    publish_drop(kept);
    play_free(play);
}

/* ---- old state, and old mixed with new ---- */

static Groupseal__Secenv__Publish *retained_keep(struct play *play, Groupseal__Secenv__TopicKind kind)
{
    struct bytes payload = site_retained(play->site, PLAY_SITE, PLAY_GROUP, kind);
    assert_true(payload.length > 0);
    Groupseal__Secenv__Publish view = publish_of(kind, "", payload);
    return publish_keep(&view);
}

/* A group of two sites, so that an eviction of mn-2 changes the policy. */
static struct play *play_of_two_sites(struct site_node **mn_2)
{
    struct play *play = play_new(1);
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)MN_2};
    *mn_2 = site_join(play->site, MN_2, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group.name = (char *)(uintptr_t) "gates";
    group.function = (char *)(uintptr_t) "gate";
    group.sites = sites;
    group.n_sites = 2;
    group.authority_only = true;
    assert_int_equal(operator_create(play->site, &group), CODE(OK));
    return play;
}

static void older_state_changes_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    (void)site_join(play->site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    Groupseal__Secenv__Publish *old = retained_keep(play, TOPIC(EPOCH));
    Groupseal__Secenv__Publish *policy = retained_keep(play, TOPIC(POLICY));
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    play->dropped_to = PLAY_DOOR_2;
    play->dropped_kind = TOPIC(EPOCH);
    assert_int_equal(operator_evict(play->site, DOOR_3), CODE(OK));
    site_advance(play->site, 500);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1);
    for (unsigned restart = 0; restart < 2; restart++) {
        attack_changes_nothing(play->door, old, true);
        attack_changes_nothing(play->door, old, false);
        attack_changes_nothing(play->door, policy, true);
        assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1);
        site_restart(play->door);
        site_advance(play->site, 1000);
    }
    /* The twin: what is newer is taken, by one that lacks it. */
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch);
    Groupseal__Secenv__Publish *newest = retained_keep(play, TOPIC(EPOCH));
    twin_is_taken(play->door2, newest, true);
    assert_int_equal(play_membership(play->door2, PLAY_GROUP)->current.epoch, epoch + 1);
    publish_drop(newest);
    publish_drop(policy);
    publish_drop(old);
    play_free(play);
}

/* Parts of one announcement in another: the old tree under the new number, the new number without the list of
 * the evicted. The signature is over all of it. */
static void announcement_spliced(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    Groupseal__Secenv__Publish *old = retained_keep(play, TOPIC(EPOCH));
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(EPOCH);
    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_advance(play->site, 500);
    Groupseal__Secenv__Publish *newest = retained_keep(play, TOPIC(EPOCH));
    typedef Groupseal__Envelope__Announcement Announcement;
    for (unsigned part = 0; part < 6; part++) {
        Announcement *from =
            groupseal__envelope__announcement__unpack(NULL, old->payload.len, old->payload.data);
        Announcement *into =
            groupseal__envelope__announcement__unpack(NULL, newest->payload.len, newest->payload.data);
        assert_non_null(from);
        assert_non_null(into);
        Announcement spliced = *into;
        switch (part) {
        case 0:
            spliced.top = from->top;
            break;
        case 1:
            spliced.n_evicted = 0;
            break;
        case 2:
            spliced.confirmation = from->confirmation;
            break;
        case 3:
            spliced.time_ms = from->time_ms;
            break;
        case 4:
            spliced = *from;
            spliced.beat += 1000; /* news that nothing is new */
            break;
        default:
            spliced = *from;
            spliced.epoch += 1000; /* and nothing ever will be */
            break;
        }
        uint8_t packed[OBJECT_LIMIT];
        size_t size = groupseal__envelope__announcement__pack(&spliced, packed);
        Groupseal__Secenv__Publish publish = publish_of(TOPIC(EPOCH), "", (struct bytes){packed, size});
        attack_is_refused(play->door, &publish, true, AUDIT_ANNOUNCEMENTS_REFUSED, "signature");
        groupseal__envelope__announcement__free_unpacked(from, NULL);
        groupseal__envelope__announcement__free_unpacked(into, NULL);
    }
    twin_is_taken(play->door, newest, true);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->previous.epoch + 1,
                     play_membership(play->door, PLAY_GROUP)->current.epoch);
    publish_drop(newest);
    publish_drop(old);
    play_free(play);
}

/* The new epoch with the policy before it: no command is acted on until the policy that it names is here. */
static void old_policy_with_the_new_epoch(void **state)
{
    (void)state;
    struct site_node *mn_2 = NULL;
    struct play *play = play_of_two_sites(&mn_2);
    static const char gate[] = "//sp.example/Sgate";
    struct site_node *node =
        site_join(play->site, gate, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "gate");
    site_advance(play->site, 3000);
    struct bytes view = site_retained(play->site, PLAY_SITE, "gates", TOPIC(POLICY));
    Groupseal__Secenv__Publish of = publish_of(TOPIC(POLICY), "", view);
    of.group = (char *)(uintptr_t) "gates";
    Groupseal__Secenv__Publish *old = publish_keep(&of);
    play->dropped_to = gate;
    play->dropped_kind = TOPIC(POLICY);
    assert_int_equal(operator_evict(play->site, MN_2), CODE(OK));
    site_advance(play->site, 1000);
    struct membership *membership = play_membership(node, "gates");
    assert_false(membership_ready(membership));
    attack_changes_nothing(node, old, true);
    assert_false(membership_ready(membership));
    /* An order: it waits. */
    Groupseal__Secenv__Reply *reply = operator_order(play->site, "gates", "close", NULL, 0, 600000);
    assert_int_equal(reply->code, CODE(OK));
    site_reply_free(reply);
    site_advance(play->site, 2000);
    attack_changes_nothing(node, old, true);
    assert_int_equal(play_commands(node), 0);
    /* The twin: with the policy of this epoch the device is in order again. */
    play->dropped_to = NULL;
    site_advance(play->site, 30000);
    assert_true(membership_ready(membership));
    site_online(node, false);
    site_online(node, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(node), 1);
    publish_drop(old);
    play_free(play);
}

/* The new policy with the epoch before it: it waits, and the old one is obeyed, until the epoch names it. */
static void new_policy_with_the_old_epoch(void **state)
{
    (void)state;
    struct site_node *mn_2 = NULL;
    struct play *play = play_of_two_sites(&mn_2);
    static const char gate[] = "//sp.example/Sgate";
    struct site_node *node =
        site_join(play->site, gate, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "gate");
    site_advance(play->site, 3000);
    struct membership *membership = play_membership(node, "gates");
    size_t relays = membership_policy(membership)->n_relays;
    assert_int_equal(relays, 2);
    play->dropped_to = gate;
    play->dropped_kind = TOPIC(EPOCH);
    assert_int_equal(operator_evict(play->site, MN_2), CODE(OK));
    site_advance(play->site, 1000);
    assert_true(membership_ready(membership));
    assert_int_equal(membership_policy(membership)->n_relays, 2);
    play->dropped_to = NULL;
    site_online(node, false);
    site_online(node, true);
    site_advance(play->site, 3000);
    assert_true(membership_ready(membership));
    assert_int_equal(membership_policy(membership)->n_relays, 1);
    play_free(play);
}

/* ---- freezing, and two states ---- */

static size_t count_events(const struct site_node *node, Groupseal__Secenv__Event__ContentCase content)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == content;
    }
    return count;
}

static bool alarmed(const struct site_node *node)
{
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE &&
            event->notice->severity == GROUPSEAL__SECENV__SEVERITY__ALARM) {
            return true;
        }
    }
    return false;
}

/* All news are kept from one door: in three beats it knows; the other, which has them, is the twin. */
static void frozen_news_raise_an_alarm(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    site_advance(play->site, 1000000);
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(EPOCH);
    site_events_clear(play->door);
    site_events_clear(play->door2);
    site_advance(play->site, 2 * 900000);
    assert_false(alarmed(play->door));
    site_advance(play->site, 900000 + 60000);
    assert_true(alarmed(play->door));
    assert_false(alarmed(play->door2));
    play_free(play);
}

/* One door is kept in the epoch before an eviction. */
static void two_members_two_states(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct site_node *door3 =
        site_join(play->site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    uint8_t id[COMMAND_ID_SIZE];
    site_advance(play->site, 31000);
    struct insider evicted;
    insider_take(play, door3, PLAY_GROUP, &evicted);
    Groupseal__Secenv__Publish *old = retained_keep(play, TOPIC(EPOCH));
    play->dropped_to = PLAY_DOOR;
    play->dropped_kind = TOPIC(EPOCH);
    assert_int_equal(operator_evict(play->site, DOOR_3), CODE(OK));
    site_advance(play->site, 1000);
    site_events_clear(play->door);
    play_order(play, "close", NULL, 60000, id);
    finish_all(play->door2, id);
    /* The command is of an epoch that the frozen one does not have: it asks for the news, in moderation, and
     * is shown old ones; the authority learns that it does not answer. */
    for (unsigned i = 0; i < 50; i++) {
        site_advance(play->site, 1000);
        attack_changes_nothing(play->door, old, true);
    }
    assert_int_equal(play_commands(play->door), 0);
    assert_in_range(count_events(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE), 1, 6);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, NULL), OUTCOME(DONE));
    /* What the threat model admits: the frozen one hears the evicted one; the other does not. */
    struct buffer payload = insider_seal(&evicted, &evicted.context, bytes_of_text(""));
    Groupseal__Secenv__Publish said = publish_of(TOPIC(MESSAGE), DOOR_3, buffer_bytes(&payload));
    attack_is_refused(play->door2, &said, false, AUDIT_MESSAGES_REFUSED, "that epoch is over");
    twin_is_taken(play->door, &said, false);
    assert_int_equal(given(play->door), 1);
    buffer_clear(&payload);
    /* The twin: with the news it is where the others are. */
    play->dropped_to = NULL;
    site_online(play->door, false);
    site_online(play->door, true);
    site_advance(play->site, 3000);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch,
                     play_membership(play->door2, PLAY_GROUP)->current.epoch);
    publish_drop(old);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(withheld_command_is_reported),
        cmocka_unit_test(withheld_receipt_is_reported),
        cmocka_unit_test(command_delayed_out_of_its_validity),
        cmocka_unit_test(command_delayed_over_a_start),
        cmocka_unit_test(delayed_sync_reply_brings_no_late_command),
        cmocka_unit_test(commands_reordered),
        cmocka_unit_test(command_repeated),
        cmocka_unit_test(older_state_changes_nothing),
        cmocka_unit_test(announcement_spliced),
        cmocka_unit_test(old_policy_with_the_new_epoch),
        cmocka_unit_test(new_policy_with_the_old_epoch),
        cmocka_unit_test(frozen_news_raise_an_alarm),
        cmocka_unit_test(two_members_two_states),
    };
    return cmocka_run_group_tests_name("attack/broker", tests, NULL, NULL);
}
