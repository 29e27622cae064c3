/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/authority/admission.h"
#include "tests/attack/attack.h"
#include "tests/unit/hand.h"

/*
 * Too much of what one may do: each request is allowed, the flood is not. A member that asks for a sync again
 * and again would have every open command sealed for the whole group each time.
 */

/* A sync request of the insider, with the next of its counters, heard by the MN-CSE. */
static void sync_ask(struct play *play, struct insider *insider)
{
    struct seal_context *context = &insider->context;
    context->kind = KIND(ACK);
    context->counter++;
    struct buffer packed = insider_statement(insider, context, NULL);
    struct buffer payload = insider_seal(insider, context, buffer_bytes(&packed));
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(ACK), context->ae, buffer_bytes(&payload));
    twin_is_taken(play->mn, &publish, false);
    buffer_clear(&packed);
    buffer_clear(&payload);
    site_settle(play->site);
}

static void member_that_keeps_syncing_is_let_alone(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct insider insider;
    uint8_t id[COMMAND_ID_SIZE];
    const unsigned asked = 300;
    const unsigned seconds = asked / 5;
    site_advance(play->site, 100000); /* what their start took of their rate is there again */
    site_online(play->door, false);
    insider_take(play, play->door2, PLAY_GROUP, &insider);
    play_order(play, "close", NULL, 3600000, id);
    struct counts before = counts_now();
    for (unsigned i = 0; i < asked; i++) {
        sync_ask(play, &insider);
        site_advance(play->site, 200);
    }
    uint64_t most = ROSTER_SYNCS_BURST + seconds * 1000000u / ROSTER_SYNCS_INTERVAL_US + 1;
    assert_in_range(counts_since(&before, AUDIT_COMMANDS_SEALED), ROSTER_SYNCS_BURST, most);
    assert_in_range(counts_since(&before, AUDIT_SYNCS_ANSWERED), ROSTER_SYNCS_BURST, most);
    assert_in_range(counts_since(&before, AUDIT_SYNCS_REFUSED), asked - most, asked - ROSTER_SYNCS_BURST);

    /* Another roster gives it no more. */
    (void)site_join(play->site, "//sp.example/Sdoor9", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->relay->roster.count, 4);
    insider_take(play, play->door2, PLAY_GROUP, &insider);
    before = counts_now();
    sync_ask(play, &insider);
    sync_ask(play, &insider);
    assert_true(counts_since(&before, AUDIT_SYNCS_REFUSED) >= 1);

    /* The other one, that comes back meanwhile, has its command at once. */
    assert_int_equal(play_commands(play->door), 0);
    site_online(play->door, true);
    site_advance(play->site, 250); /* no more than between two sealings of one command */
    assert_int_equal(play_commands(play->door), 1);

    /* And the one that asked too often is no worse off for ever. */
    site_advance(play->site, 1000 * (ROSTER_SYNCS_INTERVAL_US / 1000000u));
    before = counts_now();
    sync_ask(play, &insider);
    site_advance(play->site, 1000);
    assert_int_equal(counts_since(&before, AUDIT_SYNCS_REFUSED), 0);
    assert_int_equal(counts_since(&before, AUDIT_SYNCS_ANSWERED), 1);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_SEALED), 1);
    play_free(play);
}

/* A door on a bad line: each time it is back it has what was ordered meanwhile, at once. */
static void reconnecting_member_has_its_commands(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t id[COMMAND_ID_SIZE];
    site_advance(play->site, 100000);
    for (unsigned i = 0; i < 20; i++) {
        site_online(play->door, false);
        site_settle(play->site);
        site_events_clear(play->door);
        play_order(play, "close", NULL, 60000, id);
        assert_int_equal(play_commands(play->door), 0);
        site_online(play->door, true);
        site_advance(play->site, 250);
        assert_int_equal(play_commands(play->door), 1);
        assert_int_equal(play_finish(play->door, id, true, ""), CODE(OK));
        site_advance(play->site, ROSTER_SYNCS_INTERVAL_US / 1000u);
    }
    play_free(play);
}

/* Each authentication costs the member's groups a change, and all their members an announcement. */
static void member_that_keeps_authenticating_is_let_alone(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    const unsigned tried = 60;
    struct hand *hand = hand_new(play->site, "//sp.example/Shand", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(play->site, hand->name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    site_advance(play->site, 10000);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    struct counts before = counts_now();
    unsigned taken = 0;
    for (unsigned i = 0; i < tried; i++) { /* in two minutes */
        taken += hand_authenticate(hand) ? 1 : 0;
        site_advance(play->site, 2000);
    }
    assert_in_range(taken, ADMISSION_EACH_BURST, ADMISSION_EACH_BURST + 2);
    assert_int_equal(counts_since(&before, AUDIT_REFUSED_BUSY), tried - taken);
    assert_in_range(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1, epoch + taken);
    /* Another member is let in all the while, and this one again soon. */
    struct hand *other = hand_new(play->site, "//sp.example/Sother", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(play->site, other->name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(other));
    site_advance(play->site, ADMISSION_EACH_INTERVAL_US / 1000u);
    assert_true(hand_authenticate(hand));
    site_settle(play->site);
    site_free(play->site); /* before the hands, to which it may send */
    play->site = NULL;
    hand_free(hand);
    hand_free(other);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_that_keeps_syncing_is_let_alone),
        cmocka_unit_test(reconnecting_member_has_its_commands),
        cmocka_unit_test(member_that_keeps_authenticating_is_let_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
