/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/objects/object.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* A group's life with real members: rotated by word and by age, deleted, made again; a member that was
 * evicted and joins again. */

#define CODE(name) GROUPSEAL__SECENV__CODE__##name
#define TOPIC(name) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name
#define DAY_MS 86400000u

static uint64_t epoch_of(struct play *play)
{
    Groupseal__Secenv__Reply *reply = operator_show(play->site, PLAY_GROUP);
    assert_int_equal(reply->code, CODE(OK));
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

static void all_at(struct play *play, uint64_t epoch)
{
    assert_int_equal(epoch_of(play), epoch);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->current.epoch, epoch);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch);
}

static void obeys(struct play *play, struct site_node *door)
{
    uint8_t id[COMMAND_ID_SIZE];
    site_events_clear(door);
    play_order(play, "close", site_name(door), 0, id);
    site_advance(play->site, 100);
    assert_int_equal(play_commands(door), 1);
    assert_int_equal(play_finish(door, id, true, "closed"), CODE(OK));
    site_advance(play->site, 5000);
    assert_int_equal(play_outcome(play, id, site_name(door), NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
}

static bool in_group(struct site_node *node)
{
    return membership_find(engine_identity(site_engine(node), site_name(node)), PLAY_GROUP) != NULL;
}

static void instance_text(struct play *play, char out[2 * INSTANCE_SIZE + 1])
{
    Groupseal__Secenv__Reply *reply = operator_show(play->site, PLAY_GROUP);
    assert_int_equal(reply->code, CODE(OK));
    (void)snprintf(out, 2 * INSTANCE_SIZE + 1, "%s", reply->group->instance);
    site_reply_free(reply);
}

/* ---- rotation ---- */

static void rotated_by_word(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint64_t epoch = epoch_of(play);
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    struct secret leaf = door->leaf;
    struct secret key = door->current.secret;
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    all_at(play, epoch + 1);
    assert_false(secret_equal(key.data, door->current.secret.data, SECRET_SIZE));
    /* Its leaf stays: a rotation is no refresh. */
    assert_true(secret_equal(leaf.data, door->leaf.data, SECRET_SIZE));
    obeys(play, play->door);
    obeys(play, play->door2);
    assert_int_equal(operator_rotate(play->site, "windows"), CODE(UNKNOWN));
    all_at(play, epoch + 1);
    play_free(play);
}

static void without_a_key_nothing_is_rotated(void **state)
{
    (void)state;
    struct site *site = site_new();
    site_provision(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT);
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, PLAY_GROUP, "door", SITE_MN_CSE);
    assert_int_equal(operator_rotate(site, PLAY_GROUP), CODE(NOT_READY));
    site_online(site_find(site, SITE_MN_CSE), true);
    site_advance(site, 1000);
    assert_int_equal(operator_rotate(site, PLAY_GROUP), CODE(OK));
    site_free(site);
}

/* The default age, which goes on through restarts; a change by other means begins it anew. */
static void rotated_by_age(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint64_t epoch = epoch_of(play);
    site_advance(play->site, DAY_MS / 2);
    site_restart(site_authority(play->site));
    site_advance(play->site, DAY_MS / 2 - 60000);
    all_at(play, epoch);
    site_advance(play->site, 60000);
    all_at(play, epoch + 1);
    site_advance(play->site, DAY_MS / 2);
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    all_at(play, epoch + 2);
    site_advance(play->site, DAY_MS / 2 + 60000);
    all_at(play, epoch + 2);
    site_advance(play->site, DAY_MS / 2);
    all_at(play, epoch + 3);
    play_free(play);
}

static void not_rotated_where_it_is_off(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE};
    Groupseal__Secenv__GroupCreate create = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(OK));
    create.name = (char *)(uintptr_t)PLAY_GROUP;
    create.function = (char *)(uintptr_t) "door";
    create.sites = sites;
    create.n_sites = 1;
    create.rotate_every_s = 31536001u;
    assert_int_equal(operator_create(play->site, &create), CODE(INVALID));
    create.rotate_every_s = UINT32_MAX;
    assert_int_equal(operator_create(play->site, &create), CODE(OK));
    site_advance(play->site, 60000); /* in no group for a moment, they authenticate anew */
    assert_false(site_mentions(play->mn, "'newest'", NULL)); /* not said again and again */
    uint64_t epoch = epoch_of(play);
    site_advance(play->site, 3 * DAY_MS);
    all_at(play, epoch);
    play_free(play);
}

/* Another age makes no new key by itself, and counts from the last change on. */
static void age_of_rotation_is_changed(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint64_t epoch = epoch_of(play);
    assert_int_equal(operator_rotate_every(play->site, PLAY_GROUP, 31536001u), CODE(INVALID));
    assert_int_equal(operator_rotate_every(play->site, PLAY_GROUP, UINT32_MAX), CODE(OK));
    site_restart(site_authority(play->site));
    site_advance(play->site, 2 * DAY_MS);
    all_at(play, epoch);
    assert_int_equal(operator_rotate_every(play->site, PLAY_GROUP, 3 * DAY_MS / 1000), CODE(OK));
    site_advance(play->site, DAY_MS - 60000);
    all_at(play, epoch);
    site_advance(play->site, 120000);
    all_at(play, epoch + 1);
    play_free(play);
}

/* ---- deletion ---- */

static void deleted_group_leaves_nothing_behind(void **state)
{
    (void)state;
    char instance[2 * INSTANCE_SIZE + 1];
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    obeys(play, play->door);
    instance_text(play, instance);
    site_online(play->door2, false);
    play_order(play, "close", PLAY_DOOR_2, 3600000, id);
    assert_true(site_mentions(play->door, instance, NULL)); /* the twin: it is looked for in the right way */
    assert_true(site_mentions(play->mn, instance, NULL));
    assert_true(site_mentions(site_authority(play->site), instance, NULL));

    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    assert_false(in_group(play->door));
    assert_false(in_group(play->mn));
    assert_string_equal(
        site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED)->departed->reason,
        "the group was deleted");
    assert_true(site_last_event(play->mn, GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER)->roster->deleted);
    assert_int_equal(site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH)).length, 0);
    assert_int_equal(site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(POLICY)).length, 0);
    /* The open order's report says why; one that was done stays as it was. */
    (void)play_outcome(play, id, PLAY_DOOR_2, &complete);
    assert_true(complete);

    /* Who was away is told when it is back, and until then only that waits for it. */
    assert_true(site_mentions(site_authority(play->site), instance, NULL));
    assert_false(site_mentions(site_authority(play->site), instance, "outbox"));
    assert_true(in_group(play->door2));
    site_online(play->door2, true);
    site_advance(play->site, 120000);
    assert_false(in_group(play->door2));
    assert_false(site_mentions(site_authority(play->site), instance, NULL));
    assert_false(site_mentions(play->door, instance, NULL));
    assert_false(site_mentions(play->door2, instance, NULL));
    assert_false(site_mentions(play->mn, instance, NULL));
    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(UNKNOWN));
    play_free(play);
}

/* A broker that lost what it was told last comes back with the old retained messages. */
static void cleared_again_at_the_next_start(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    const Groupseal__Secenv__Publish *epoch = play_last(play, TOPIC(EPOCH));
    const Groupseal__Secenv__Publish *policy = play_last(play, TOPIC(POLICY));
    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    assert_int_equal(site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH)).length, 0);
    site_online(play->mn, false);
    site_retain(play->site, epoch);
    site_retain(play->site, policy);
    site_online(play->mn, true);
    site_settle(play->site);
    assert_int_equal(site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH)).length, 0);
    assert_int_equal(site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(POLICY)).length, 0);
    assert_false(site_mentions(play->mn, PLAY_GROUP, NULL));
    play_free(play);
}

/* The name again, while a device that was in the old one was away: it ends in the new one, and what the old
 * one sealed is nothing to it. */
static void made_again_it_is_another_group(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "open", PLAY_DOOR, 3600000, id);
    struct buffer old = BUFFER_EMPTY(OBJECT_LIMIT);
    struct buffer old_epoch = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(buffer_append(&old, arena_view(play_last(play, TOPIC(COMMAND))->payload)), RESULT_OK);
    assert_int_equal(buffer_append(&old_epoch, arena_view(play_last(play, TOPIC(EPOCH))->payload)),
                     RESULT_OK);
    uint8_t instance[INSTANCE_SIZE];
    memcpy(instance, play_membership(play->door, PLAY_GROUP)->instance, INSTANCE_SIZE);

    site_online(play->door2, false);
    assert_int_equal(operator_delete(play->site, PLAY_GROUP), CODE(OK));
    site_settle(play->site);
    site_group(play->site, PLAY_GROUP, "door", SITE_MN_CSE);
    site_advance(play->site, 3000);
    assert_memory_not_equal(instance, play_membership(play->door, PLAY_GROUP)->instance, INSTANCE_SIZE);
    obeys(play, play->door);
    site_online(play->door2, true);
    site_advance(play->site, 120000);
    assert_memory_equal(play_membership(play->door, PLAY_GROUP)->instance,
                        play_membership(play->door2, PLAY_GROUP)->instance, INSTANCE_SIZE);
    obeys(play, play->door2);

    site_events_clear(play->door);
    assert_int_not_equal(play_hear(play->door, TOPIC(COMMAND), "", buffer_bytes(&old), false), CODE(OK));
    assert_int_not_equal(play_hear(play->door, TOPIC(EPOCH), "", buffer_bytes(&old_epoch), true), CODE(OK));
    assert_int_equal(play_commands(play->door), 0);
    obeys(play, play->door);
    buffer_clear(&old);
    buffer_clear(&old_epoch);
    play_free(play);
}

/* ---- a member that joins again ---- */

static void joins_again_with_nothing_of_the_old_life(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct membership *old = play_membership(play->door2, PLAY_GROUP);
    struct secret leaf = old->leaf;
    uint64_t serial = old->serial;
    uint64_t epoch = old->current.epoch;
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.identity = (char *)(uintptr_t)PLAY_DOOR_2;
    speak.group = (char *)(uintptr_t)PLAY_GROUP;
    speak.body = arena_field(bytes_of_text("all is well"));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    Groupseal__Secenv__Reply *said = site_request(play->door2, SOCKET_OWNER, 1, &request);
    assert_int_equal(said->code, CODE(OK));

    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_advance(play->site, 1000);
    assert_false(in_group(play->door2));
    site_enrol(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_advance(play->site, 400000);
    struct membership *again = play_membership(play->door2, PLAY_GROUP);
    assert_int_not_equal(again->serial, serial);
    assert_false(secret_equal(again->leaf.data, leaf.data, SECRET_SIZE));
    assert_true(again->current.epoch > epoch);
    /* What it sealed in its former life is refused by device and MN-CSE; what it seals now is not. */
    assert_int_not_equal(
        play_hear(play->door, TOPIC(MESSAGE), PLAY_DOOR_2, arena_view(said->spoken->payload), false),
        CODE(OK));
    assert_int_not_equal(
        play_hear(play->mn, TOPIC(MESSAGE), PLAY_DOOR_2, arena_view(said->spoken->payload), false), CODE(OK));
    site_reply_free(said);
    said = site_request(play->door2, SOCKET_OWNER, 1, &request);
    assert_int_equal(said->code, CODE(OK));
    assert_int_equal(
        play_hear(play->door, TOPIC(MESSAGE), PLAY_DOOR_2, arena_view(said->spoken->payload), false),
        CODE(OK));
    site_reply_free(said);
    obeys(play, play->door2);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotated_by_word),
        cmocka_unit_test(without_a_key_nothing_is_rotated),
        cmocka_unit_test(rotated_by_age),
        cmocka_unit_test(not_rotated_where_it_is_off),
        cmocka_unit_test(age_of_rotation_is_changed),
        cmocka_unit_test(deleted_group_leaves_nothing_behind),
        cmocka_unit_test(cleared_again_at_the_next_start),
        cmocka_unit_test(made_again_it_is_another_group),
        cmocka_unit_test(joins_again_with_nothing_of_the_old_life),
    };
    return cmocka_run_group_tests_name("member_group", tests, NULL, NULL);
}
