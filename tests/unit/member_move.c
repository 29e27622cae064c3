/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/*
 * One group at two sites, with real engines: each MN-CSE has each change once, and a device goes from one
 * site to the other. Groups of its own at each site show who leaves and who comes.
 */

#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define EVENT(name_) GROUPSEAL__SECENV__EVENT__CONTENT_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_

#define MN_2 "//sp.example/mn-2"
#define SITE_2 "mn-2"
#define NEAR "near" /* at mn-1 alone */
#define FAR "far"   /* at mn-2 alone */

struct stage {
    struct play play; /* door and door2 at mn-1 */
    struct site_node *mn2;
    struct site_node *door3; /* at mn-2 */
    size_t announced[2];     /* announcements of the group that a door of each site heard */
    bool acks_lost;
    Groupseal__Secenv__Publish *command; /* the last one at mn-1 */
    Groupseal__Secenv__Publish *said;    /* the last ack or message of the door's at mn-1 */
};

static void keep(Groupseal__Secenv__Publish **kept, const Groupseal__Secenv__Publish *publish)
{
    uint8_t packed[4096];
    assert_true(groupseal__secenv__publish__get_packed_size(publish) <= sizeof(packed));
    size_t size = groupseal__secenv__publish__pack(publish, packed);
    if (*kept != NULL) {
        groupseal__secenv__publish__free_unpacked(*kept, NULL);
    }
    *kept = groupseal__secenv__publish__unpack(NULL, size, packed);
    assert_non_null(*kept);
}

static enum site_fate carry(void *context, const struct site_message *message)
{
    struct stage *stage = context;
    if (message->what != SITE_PUBLISH) {
        return SITE_DELIVER;
    }
    const Groupseal__Secenv__Publish *publish = message->publish;
    bool at_1 = strcmp(publish->site, PLAY_SITE) == 0;
    if (publish->kind == TOPIC(EPOCH) && strcmp(publish->group, PLAY_GROUP) == 0) {
        stage->announced[0] += strcmp(message->to, PLAY_DOOR_2) == 0;
        stage->announced[1] += strcmp(message->to, "//sp.example/Sdoor3") == 0;
    }
    if (at_1 && publish->kind == TOPIC(COMMAND)) {
        keep(&stage->command, publish);
    }
    if (at_1 && publish->kind == TOPIC(ACK) && strcmp(publish->sender, PLAY_DOOR) == 0) {
        keep(&stage->said, publish);
    }
    return stage->acks_lost && publish->kind == TOPIC(ACK) ? SITE_DROP : SITE_DELIVER;
}

static void group_create(struct site *site, const char *name, const char *const *at, size_t count)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    group.name = (char *)(uintptr_t)name;
    group.function = (char *)"door";
    group.sites = (char **)(uintptr_t)at;
    group.n_sites = count;
    group.authority_only = 1;
    assert_int_equal(operator_create(site, &group), CODE(OK));
}

static int setup(void **state)
{
    static const char *const sites[] = {SITE_MN_CSE, MN_2};
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    struct site *site = stage->play.site = site_new();
    site_carry(site, carry, stage);
    stage->play.mn = site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    stage->mn2 = site_join(site, MN_2, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group_create(site, PLAY_GROUP, sites, 2);
    group_create(site, NEAR, &sites[0], 1);
    group_create(site, FAR, &sites[1], 1);
    stage->play.door = site_join(site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    stage->play.door2 = site_join(site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    stage->door3 = site_join(site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, MN_2, "door");
    site_advance(site, 60000);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    site_free(stage->play.site);
    if (stage->command != NULL) {
        groupseal__secenv__publish__free_unpacked(stage->command, NULL);
    }
    if (stage->said != NULL) {
        groupseal__secenv__publish__free_unpacked(stage->said, NULL);
    }
    free(stage);
    return 0;
}

static struct membership *membership_of(struct site_node *node, const char *group)
{
    return membership_find(engine_identity(site_engine(node), site_name(node)), group);
}

static bool same_key(struct site_node *a, struct site_node *b, const char *group)
{
    const struct membership *left = membership_of(a, group);
    const struct membership *right = membership_of(b, group);
    return left != NULL && right != NULL && left->current.present && right->current.present &&
           left->current.epoch == right->current.epoch &&
           secret_equal(left->current.secret.data, right->current.secret.data, SECRET_SIZE);
}

static void everybody_has_the_key(struct stage *stage)
{
    assert_true(same_key(stage->play.mn, stage->mn2, PLAY_GROUP));
    assert_true(same_key(stage->play.mn, stage->play.door, PLAY_GROUP));
    assert_true(same_key(stage->play.mn, stage->play.door2, PLAY_GROUP));
    assert_true(same_key(stage->play.mn, stage->door3, PLAY_GROUP));
}

static void door_moves(struct stage *stage)
{
    assert_int_equal(operator_move(stage->play.site, PLAY_DOOR, MN_2), CODE(OK));
    site_advance(stage->play.site, 30000);
}

/* The owner of an MN-CSE was told, in a change of its list, that this device came or left. */
static bool told(struct site_node *mn, const char *group, const char *name, bool came)
{
    for (size_t i = 0; i < site_event_count(mn); i++) {
        const Groupseal__Secenv__Event *event = site_event(mn, i);
        if (event->content_case != EVENT(ROSTER) || event->roster->pages != 0 ||
            strcmp(event->roster->group, group) != 0) {
            continue;
        }
        size_t count = came ? event->roster->n_members : event->roster->n_left;
        char **names = came ? event->roster->members : event->roster->left;
        for (size_t k = 0; k < count; k++) {
            if (strcmp(names[k], name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void each_site_has_each_change_once(void **state)
{
    struct stage *stage = *state;
    stage->announced[0] = stage->announced[1] = 0;
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(operator_rotate(stage->play.site, PLAY_GROUP), CODE(OK));
        site_advance(stage->play.site, 5000);
        assert_int_equal(stage->announced[0], i);
        assert_int_equal(stage->announced[1], i);
        everybody_has_the_key(stage);
    }
}

static void key_and_rosters_follow(void **state)
{
    struct stage *stage = *state;
    everybody_has_the_key(stage);
    assert_null(membership_of(stage->play.door, FAR));
    struct secret leaf = membership_of(stage->play.door, PLAY_GROUP)->leaf;
    uint64_t near_epoch = membership_of(stage->play.mn, NEAR)->current.epoch;
    site_events_clear(stage->play.mn);
    site_events_clear(stage->mn2);
    door_moves(stage);
    everybody_has_the_key(stage);
    const struct membership *door = membership_of(stage->play.door, PLAY_GROUP);
    assert_int_equal(door->site_count, 1);
    assert_string_equal(door->sites[0].site, SITE_2);
    assert_true(door->sites[0].synchronised);
    assert_false(secret_equal(door->leaf.data, leaf.data, SECRET_SIZE));
    /* It has left the one and entered the other, and the one's key is not its any more. */
    assert_null(membership_of(stage->play.door, NEAR));
    assert_true(membership_of(stage->play.mn, NEAR)->current.epoch > near_epoch);
    assert_true(same_key(stage->play.mn, stage->play.door2, NEAR));
    assert_true(same_key(stage->mn2, stage->play.door, FAR));
    /* The plugins: each hears of its own site's devices alone. */
    assert_true(told(stage->play.mn, PLAY_GROUP, PLAY_DOOR, false));
    assert_true(told(stage->play.mn, NEAR, PLAY_DOOR, false));
    assert_true(told(stage->mn2, PLAY_GROUP, PLAY_DOOR, true));
    assert_true(told(stage->mn2, FAR, PLAY_DOOR, true));
    assert_false(told(stage->play.mn, PLAY_GROUP, PLAY_DOOR, true));
    assert_null(roster_find(membership_of(stage->play.mn, PLAY_GROUP)->relay, PLAY_DOOR));
    assert_non_null(roster_find(membership_of(stage->mn2, PLAY_GROUP)->relay, PLAY_DOOR));
    assert_null(roster_find(membership_of(stage->mn2, PLAY_GROUP)->relay, PLAY_DOOR_2));
}

static void all_finish(struct stage *stage, const uint8_t id[COMMAND_ID_SIZE])
{
    assert_int_equal(play_finish(stage->play.door, id, true, ""), CODE(OK));
    assert_int_equal(play_finish(stage->play.door2, id, true, ""), CODE(OK));
    assert_int_equal(play_finish(stage->door3, id, true, ""), CODE(OK));
    site_advance(stage->play.site, 2000);
}

static void command_reaches_it_once(void **state)
{
    struct stage *stage = *state;
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    door_moves(stage);
    play_order(&stage->play, "close", NULL, 60000, id);
    site_advance(stage->play.site, 1000);
    assert_int_equal(play_commands(stage->play.door), 1);
    assert_int_equal(play_commands(stage->play.door2), 1);
    assert_int_equal(play_commands(stage->door3), 1);
    all_finish(stage, id);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_true(complete);
    /* By name, too. */
    play_order(&stage->play, "open", PLAY_DOOR, 60000, id);
    site_advance(stage->play.site, 1000);
    assert_int_equal(play_commands(stage->play.door), 2);
    assert_int_equal(play_commands(stage->play.door2), 1);
    assert_int_equal(play_finish(stage->play.door, id, true, ""), CODE(OK));
    site_advance(stage->play.site, 2000);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_true(complete);
}

/* Asleep when the order came; awake again at the other site, it runs it there. For everybody, and by name:
 * then the new site did not have the order at all. */
static void open_order_follows(struct stage *stage, const char *target)
{
    uint8_t id[COMMAND_ID_SIZE];
    bool complete = false;
    site_online(stage->play.door, false);
    play_order(&stage->play, "close", target, 600000, id);
    site_advance(stage->play.site, 5000);
    door_moves(stage);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    site_online(stage->play.door, true);
    site_advance(stage->play.site, 90000);
    assert_int_equal(play_commands(stage->play.door), 1);
    assert_int_equal(play_finish(stage->play.door, id, true, "closed"), CODE(OK));
    if (target == NULL) {
        assert_int_equal(play_finish(stage->play.door2, id, true, ""), CODE(OK));
        assert_int_equal(play_finish(stage->door3, id, true, ""), CODE(OK));
    }
    site_advance(stage->play.site, 5000);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, &complete), OUTCOME(DONE));
    assert_true(complete);
    /* What the former site says at the end, that nobody answered there, alters nothing. */
    site_advance(stage->play.site, 700000);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    assert_int_equal(play_commands(stage->play.door), 1);
}

static void order_for_all_follows(void **state)
{
    open_order_follows(*state, NULL);
}

static void order_by_name_follows(void **state)
{
    open_order_follows(*state, PLAY_DOOR);
}

/* It has run the command, and nobody has heard of it: at the new site it says so, and does not run it again.
 */
static void what_has_run_is_not_run_again(void **state)
{
    struct stage *stage = *state;
    uint8_t id[COMMAND_ID_SIZE];
    stage->acks_lost = true;
    play_order(&stage->play, "close", PLAY_DOOR, 600000, id);
    site_advance(stage->play.site, 1000);
    assert_int_equal(play_commands(stage->play.door), 1);
    assert_int_equal(play_finish(stage->play.door, id, true, "closed"), CODE(OK));
    site_advance(stage->play.site, 2000);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, NULL), OUTCOME(NO_ANSWER));
    stage->acks_lost = false;
    door_moves(stage);
    site_advance(stage->play.site, 60000);
    assert_int_equal(play_outcome(&stage->play, id, PLAY_DOOR, NULL), OUTCOME(DONE));
    assert_int_equal(play_commands(stage->play.door), 1);
}

/* What was said and sealed at the former site is of no use at either: there and at the new one. */
static void nothing_of_the_former_site_is_usable(void **state)
{
    struct stage *stage = *state;
    uint8_t id[COMMAND_ID_SIZE];
    play_order(&stage->play, "close", NULL, 60000, id);
    site_advance(stage->play.site, 1000);
    all_finish(stage, id);
    size_t ran = play_commands(stage->play.door);
    assert_non_null(stage->command);
    assert_non_null(stage->said);
    assert_int_equal(operator_move(stage->play.site, PLAY_DOOR, MN_2), CODE(OK));
    site_settle(stage->play.site);
    play_order(&stage->play, "open", PLAY_DOOR_2, 60000, id); /* fresh, at mn-1, of the current epoch */
    site_advance(stage->play.site, 10000);
    assert_int_equal(site_hear(stage->play.door, stage->command, false), CODE(REFUSED));
    stage->command->site[3] = '2'; /* "mn-2" */
    assert_int_not_equal(site_hear(stage->play.door, stage->command, false), CODE(OK));
    assert_int_equal(play_commands(stage->play.door), ran);
    /* The twin: at the door that is still there it is the command that it was. */
    stage->command->site[3] = '1';
    assert_int_equal(play_commands(stage->play.door2), 2);
    /* The MN-CSEs: the former one does not know the device, the new one not what was sealed for another. */
    assert_int_equal(site_hear(stage->play.mn, stage->said, false), CODE(REFUSED));
    stage->said->site[3] = '2';
    assert_int_equal(site_hear(stage->mn2, stage->said, false), CODE(REFUSED));
}

static void comes_and_goes(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(operator_move(stage->play.site, PLAY_DOOR, MN_2), CODE(OK));
        assert_int_equal(operator_move(stage->play.site, PLAY_DOOR, SITE_MN_CSE), CODE(OK)); /* at once */
        site_advance(stage->play.site, 30000);
        everybody_has_the_key(stage);
        assert_true(same_key(stage->play.mn, stage->play.door, NEAR));
        assert_null(membership_of(stage->play.door, FAR));
        site_online(stage->play.door, i == 1); /* asleep while it moves, and awake */
        door_moves(stage);
        site_online(stage->play.door, true);
        site_advance(stage->play.site, 90000);
        everybody_has_the_key(stage);
        assert_true(same_key(stage->mn2, stage->play.door, FAR));
        assert_null(membership_of(stage->play.door, NEAR));
        assert_int_equal(operator_move(stage->play.site, PLAY_DOOR, SITE_MN_CSE), CODE(OK));
        site_advance(stage->play.site, 90000);
    }
    everybody_has_the_key(stage);
}

static void what_cannot_move(void **state)
{
    struct stage *stage = *state;
    struct site *site = stage->play.site;
    uint8_t before[32];
    uint8_t after[32];
    site_digest(site_authority(site), before);
    assert_int_equal(operator_move(site, "//sp.example/Snobody", MN_2), CODE(UNKNOWN));
    assert_int_equal(operator_move(site, PLAY_DOOR, "//sp.example/mn-9"), CODE(UNKNOWN));
    assert_int_equal(operator_move(site, PLAY_DOOR, PLAY_DOOR_2), CODE(UNKNOWN));
    assert_int_equal(operator_move(site, SITE_MN_CSE, MN_2), CODE(INVALID));
    assert_int_equal(operator_move(site, PLAY_DOOR, SITE_MN_CSE), CODE(OK)); /* it is there */
    site_digest(site_authority(site), after);
    assert_memory_equal(before, after, sizeof(before));
    site_enrol(site, SITE_MN_CSE "/Cdoor", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_int_equal(operator_move(site, SITE_MN_CSE "/Cdoor", MN_2), CODE(INVALID));
    assert_int_equal(operator_evict(site, PLAY_DOOR), CODE(OK));
    assert_int_equal(operator_move(site, PLAY_DOOR, MN_2), CODE(UNKNOWN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_site_has_each_change_once, setup, teardown),
        cmocka_unit_test_setup_teardown(key_and_rosters_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(command_reaches_it_once, setup, teardown),
        cmocka_unit_test_setup_teardown(order_for_all_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(order_by_name_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_run_is_not_run_again, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_of_the_former_site_is_usable, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_move, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
