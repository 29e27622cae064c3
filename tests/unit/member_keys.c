/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/association.h"
#include "secenv/member/news.h"
#include "secenv/member/packed.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* Authentication, key packages, the climb, policy, leaving: what a member has, and what it does not take. */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define EVENT(name_) GROUPSEAL__SECENV__EVENT__CONTENT_##name_

static void same_key(struct site_node *a, struct site_node *b, bool same)
{
    struct membership *left = play_membership(a, PLAY_GROUP);
    struct membership *right = play_membership(b, PLAY_GROUP);
    assert_true(left->current.present && right->current.present);
    assert_int_equal(secret_equal(left->current.secret.data, right->current.secret.data, SECRET_SIZE), same);
}

static void evict(struct play *play, const char *name)
{
    Groupseal__Secenv__MemberEvict evict = GROUPSEAL__SECENV__MEMBER_EVICT__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char *names[] = {(char *)(uintptr_t)name};
    evict.names = names;
    evict.n_names = 1;
    evict.reason = (char *)"stolen";
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
    request.member_evict = &evict;
    Groupseal__Secenv__Reply *reply =
        site_request(site_authority(play->site), SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION, &request);
    assert_int_equal(reply->code, CODE(OK));
    site_reply_free(reply);
    site_settle(play->site);
}

static enum result count_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(int64_t *)context = row_int(row, 0);
    return RESULT_OK;
}

static int64_t stored_keys(struct site_node *node)
{
    int64_t count = -1;
    struct reason why;
    assert_int_equal(
        store_query(site_store(node), &why, count_row, &count,
                    "SELECT (SELECT count(*) FROM epoch_key) + (SELECT count(*) FROM membership)", ""),
        RESULT_OK);
    return count;
}

static Groupseal__Secenv__Code speak(struct site_node *node, const char *body)
{
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.identity = (char *)site_name(node);
    speak.group = (char *)PLAY_GROUP;
    speak.body = arena_field(bytes_of_text(body));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

/* ---- climbing ---- */

static void members_reach_the_same_key(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    same_key(play->mn, play->door, true);
    same_key(play->mn, play->door2, true);
    const Groupseal__Secenv__Event *joined = site_last_event(play->door, EVENT(JOINED));
    assert_string_equal(joined->joined->group, PLAY_GROUP);
    assert_int_equal(joined->joined->n_sites, 1);
    assert_string_equal(joined->joined->sites[0], PLAY_SITE);
    play_free(play);
}

static enum result left_take(struct play *play, uint64_t epoch)
{
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    struct store *store = site_store(play->door);
    struct reason why;
    uint8_t instance[INSTANCE_SIZE];
    Groupseal__Envelope__Left left = GROUPSEAL__ENVELOPE__LEFT__INIT;
    memcpy(instance, door->instance, INSTANCE_SIZE);
    left.group = (char *)PLAY_GROUP;
    left.instance = arena_field(BYTES_OF(instance));
    left.incarnation = door->incarnation;
    left.epoch = epoch;
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    enum result result = membership_take_left(door->identity, &left, &why);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    site_advance(play->site, 100);
    return result;
}

static void member_that_left_has_nothing_left(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    assert_true(stored_keys(play->door) > 0);
    /* From before it joined: nothing happens. */
    assert_int_equal(left_take(play, play_membership(play->door, PLAY_GROUP)->joined_epoch - 1), RESULT_OK);
    same_key(play->mn, play->door, true);
    assert_int_equal(left_take(play, play_membership(play->door, PLAY_GROUP)->joined_epoch), RESULT_OK);
    assert_int_equal(stored_keys(play->door), 0);
    assert_null(engine_identity(site_engine(play->door), PLAY_DOOR)->memberships);
    assert_int_equal(speak(play->door, "hello"), CODE(UNKNOWN));
    assert_non_null(site_last_event(play->door, EVENT(DEPARTED)));
    site_restart(play->door);
    assert_null(engine_identity(site_engine(play->door), PLAY_DOOR)->memberships);
    play_free(play);
}

static enum site_fate packages_lost(void *context, const struct site_message *message)
{
    const bool *lost = context;
    return *lost && message->what == SITE_OBJECT && strcmp(message->to, PLAY_DOOR_2) == 0 ? SITE_LOSE
                                                                                          : SITE_DELIVER;
}

/* Evicted before its key package came, and added again, connected all the time. */
static void member_that_left_before_it_came_comes_back(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    bool lost = true;
    site_carry(play->site, packages_lost, &lost);
    play->door2 = site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    const struct identity_state *identity = engine_identity(site_engine(play->door2), PLAY_DOOR_2);
    assert_true(identity->associated);
    assert_null(identity->memberships);
    lost = false;
    assert_int_equal(operator_evict(play->site, PLAY_DOOR_2), CODE(OK));
    site_settle(play->site);
    site_enrol(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 600000);
    same_key(play->mn, play->door2, true);
    play_free(play);
}

/* It never hears that it is out, and goes on listening: it cannot climb, and its keys open nothing new. */
static void evicted_member_cannot_climb(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    site_online(play->door, false);
    evict(play, PLAY_DOOR);
    site_advance(play->site, 2000);
    struct bytes news = site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH));
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    assert_int_equal(play_hear(play->door, TOPIC(EPOCH), "", news, true), CODE(OK));
    assert_true(play_membership(play->door, PLAY_GROUP)->waiting.present);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch);
    same_key(play->mn, play->door, false);
    same_key(play->mn, play->door2, true);
    play_free(play);
}

/* After any absence, from what is retained alone. */
static void absent_member_climbs_from_retained_state(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    site_online(play->door, false);
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    (void)site_join(play->site, "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 100000);
    same_key(play->mn, play->door, false);
    site_restart(play->door);
    site_online(play->door, true);
    site_settle(play->site);
    same_key(play->mn, play->door, true);
    play_free(play);
}

static void restart_needs_no_handshake(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint64_t handshakes = audit_value(AUDIT_HANDSHAKES_STARTED);
    site_restart(play->door);
    site_restart(play->mn);
    site_advance(play->site, 3000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), handshakes);
    same_key(play->mn, play->door, true);
    assert_true(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    play_free(play);
}

static void new_authentication_gives_a_new_leaf(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct secret leaf = play_membership(play->door, PLAY_GROUP)->leaf;
    struct signing_key signing = play_membership(play->door, PLAY_GROUP)->identity->signing;
    uint64_t serial = play_membership(play->door, PLAY_GROUP)->serial;
    Groupseal__Secenv__MemberReauthenticate content = GROUPSEAL__SECENV__MEMBER_REAUTHENTICATE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = (char *)PLAY_DOOR;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_REAUTHENTICATE;
    request.member_reauthenticate = &content;
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    site_reply_free(
        site_request(site_authority(play->site), SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION, &request));
    site_advance(play->site, 10000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2); /* both ends count in this process */
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    assert_false(secret_equal(leaf.data, door->leaf.data, SECRET_SIZE));
    assert_memory_equal(signing.public_key, door->identity->signing.public_key, VERIFY_KEY_SIZE);
    assert_int_equal(door->serial, serial);
    same_key(play->mn, play->door, true);
    play_free(play);
}

static enum site_fate door_is_mute(void *context, const struct site_message *message)
{
    (void)context;
    bool door = strcmp(message->from, PLAY_DOOR) == 0 && message->what == SITE_OBJECT;
    return door ? SITE_DROP : SITE_DELIVER;
}

/* The operator's word is taken, but power fails before the handshake. */
static void ordered_authentication_survives_a_restart(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct secret leaf = play_membership(play->door, PLAY_GROUP)->leaf;
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    site_carry(play->site, door_is_mute, NULL);
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR), CODE(OK));
    site_advance(play->site, 5000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done);
    site_restart(play->door);
    site_carry(play->site, NULL, NULL);
    site_advance(play->site, 10000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2);
    assert_false(secret_equal(leaf.data, play_membership(play->door, PLAY_GROUP)->leaf.data, SECRET_SIZE));
    same_key(play->mn, play->door, true);
    /* Done once: the next start needs none. */
    site_restart(play->door);
    site_advance(play->site, 10000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2);
    play_free(play);
}

/* ---- news ---- */

static void forged_announcement_changes_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t before[32];
    uint8_t after[32];
    play->dropped_to = PLAY_DOOR;
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 500);
    struct bytes news = site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH));
    struct buffer forged = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(buffer_append(&forged, news), RESULT_OK);
    site_digest(play->door, before);
    for (size_t i = 0; i < forged.length; i++) {
        forged.data[i] ^= 0x10u;
        assert_int_not_equal(play_hear(play->door, TOPIC(EPOCH), "", buffer_bytes(&forged), true), CODE(OK));
        forged.data[i] ^= 0x10u;
    }
    site_digest(play->door, after);
    assert_memory_equal(before, after, 32);
    assert_int_equal(play_hear(play->door, TOPIC(EPOCH), "", buffer_bytes(&forged), true), CODE(OK));
    same_key(play->mn, play->door, true);
    buffer_clear(&forged);
    play_free(play);
}

static void older_announcement_changes_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint8_t before[32];
    uint8_t after[32];
    struct buffer old = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(buffer_append(&old, site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH))),
                     RESULT_OK);
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 500);
    site_digest(play->door, before);
    assert_int_equal(play_hear(play->door, TOPIC(EPOCH), "", buffer_bytes(&old), true), CODE(OK));
    site_digest(play->door, after);
    assert_memory_equal(before, after, 32);
    same_key(play->mn, play->door, true);
    buffer_clear(&old);
    play_free(play);
}

static void announcement_of_another_instance_is_refused(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    struct bytes news = site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(EPOCH));
    struct bytes policy = site_retained(play->site, PLAY_SITE, PLAY_GROUP, TOPIC(POLICY));
    door->instance[0] ^= 1u;
    assert_int_equal(play_hear(play->door, TOPIC(EPOCH), "", news, true), CODE(REFUSED));
    assert_int_equal(play_hear(play->door, TOPIC(POLICY), "", policy, true), CODE(REFUSED));
    door->instance[0] ^= 1u;
    assert_int_equal(play_hear(play->door, TOPIC(EPOCH), "", news, true), CODE(OK));
    assert_int_equal(play_hear(play->door, TOPIC(POLICY), "", policy, true), CODE(OK));
    play_free(play);
}

/* Nobody speaks or obeys by a policy that `epoch` does not name: it is asked for. */
static void missing_policy_is_asked_for(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    play->dropped_to = PLAY_DOOR_2;
    play->dropped_kind = TOPIC(POLICY);
    struct site_node *door2 =
        site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    assert_true(play_membership(door2, PLAY_GROUP)->current.present);
    assert_null(membership_policy(play_membership(door2, PLAY_GROUP)));
    assert_int_equal(speak(door2, "hello"), CODE(NOT_READY));
    site_advance(play->site, 1500);
    assert_non_null(site_last_event(door2, EVENT(RESUBSCRIBE)));
    play->dropped_to = NULL;
    site_advance(play->site, 12000);
    assert_int_equal(speak(door2, "hello"), CODE(OK));
    play_free(play);
}

/* Not more than one in ten seconds, however much there is to miss. */
static void resubscribing_is_rate_limited(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct membership *door = play_membership(play->door, PLAY_GROUP);
    uint64_t asked = 0;
    site_events_clear(play->door);
    for (unsigned i = 0; i < 60; i++) {
        Groupseal__Envelope__Sealed sealed = GROUPSEAL__ENVELOPE__SEALED__INIT;
        uint8_t zero[32] = {0};
        struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
        sealed.kind = GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND;
        sealed.epoch = door->current.epoch + 1000u;
        sealed.boot = arena_field((struct bytes){zero, 8});
        sealed.ciphertext = arena_field(BYTES_OF(zero));
        assert_int_equal(message_pack(&sealed.base, &payload), RESULT_OK);
        (void)play_hear(play->door, TOPIC(COMMAND), "", buffer_bytes(&payload), false);
        buffer_clear(&payload);
        site_advance(play->site, 500);
    }
    for (size_t i = 0; i < site_event_count(play->door); i++) {
        asked += site_event(play->door, i)->content_case == EVENT(RESUBSCRIBE);
    }
    assert_in_range(asked, 2, 4);
    assert_in_range(door->waiting_commands.count, 0, WAITING_ROOM_PLACES);
    site_advance(play->site, 60000);
    assert_int_equal(door->waiting_commands.count, 0);
    play_free(play);
}

/* ---- overdue ---- */

static size_t notices(const struct site_node *node, Groupseal__Secenv__Severity severity)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        count += event->content_case == EVENT(NOTICE) && event->notice->severity == severity;
    }
    return count;
}

static bool status_is_overdue(struct site_node *node)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_AUDIT, 9, &request);
    bool overdue = reply->status->identities[0]->groups[0]->overdue;
    site_reply_free(reply);
    return overdue;
}

static size_t resubscribed(const struct site_node *node)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == EVENT(RESUBSCRIBE);
    }
    return count;
}

/* Three beats of the default interval are missed; the alarm is raised once, and ends with the next beat. */
static void overdue_news_raise_an_alarm(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct site_node *nodes[2] = {play->door, play->mn};
    /* The twin: beats come. */
    site_advance(play->site, 6000000);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(notices(nodes[i], GROUPSEAL__SECENV__SEVERITY__ALARM), 0);
        assert_false(status_is_overdue(nodes[i]));
    }
    site_online(site_authority(play->site), false);
    site_events_clear(play->door);
    site_advance(play->site, 1700000);
    assert_int_equal(notices(play->door, GROUPSEAL__SECENV__SEVERITY__ALARM), 0);
    site_advance(play->site, 1100000);
    assert_int_equal(resubscribed(play->door), 1);
    site_advance(play->site, 7200000);
    assert_in_range(resubscribed(play->door), 3, 4);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(notices(nodes[i], GROUPSEAL__SECENV__SEVERITY__ALARM), 1);
        assert_true(status_is_overdue(nodes[i]));
    }
    site_online(site_authority(play->site), true);
    site_advance(play->site, 70000);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(notices(nodes[i], GROUPSEAL__SECENV__SEVERITY__ALARM), 1);
        assert_false(status_is_overdue(nodes[i]));
    }
    play_free(play);
}

/* ---- problems ---- */

static bool door_is_synchronised(struct play *play, const char *group)
{
    return play_membership(play->door, group)->sites[0].synchronised;
}

/* A counter is used up in one group: the turn, which is everybody's, goes on. */
static void own_problem_ends_no_turn(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    site_group(play->site, "others", "door", SITE_MN_CSE);
    site_advance(play->site, 1000);
    for (unsigned broken = 0; broken < 2; broken++) {
        struct counter *counter = &play_membership(play->door, PLAY_GROUP)->seal_counter;
        if (broken == 1) {
            counter->next = (uint64_t)INT64_MAX;
            counter->reserved = (uint64_t)INT64_MAX;
        }
        site_online(play->door, false);
        play_membership(play->door, PLAY_GROUP)->sites[0].synchronised = false;
        play_membership(play->door, "others")->sites[0].synchronised = false;
        site_online(play->door, true);
        site_advance(play->site, 40000);
        assert_int_equal(door_is_synchronised(play, PLAY_GROUP), broken == 0);
        assert_true(door_is_synchronised(play, "others"));
    }
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 1000);
    same_key(play->mn, play->door, true);
    play_free(play);
}

/* ---- objects ---- */

static bool is_refusal(struct bytes object)
{
    struct arena *arena = arena_new((size_t)256 * 1024);
    struct reason why;
    Groupseal__Envelope__EndToEnd *parsed = NULL;
    bool refusal = carriage_parse(object, arena, &parsed, &why) == RESULT_OK &&
                   parsed->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    arena_free(arena);
    return refusal;
}

struct object_capture {
    struct buffer object;
    const char *to;
};

static enum site_fate object_keep(void *context, const struct site_message *message)
{
    struct object_capture *capture = context;
    if (message->what == SITE_OBJECT && strcmp(message->to, capture->to) == 0) {
        buffer_clear(&capture->object);
        assert_int_equal(buffer_append(&capture->object, message->payload), RESULT_OK);
    }
    return SITE_DELIVER;
}

static void object_refused(struct play *play, const char *from, struct bytes object)
{
    uint8_t before[32];
    uint8_t after[32];
    site_digest(play->door, before);
    struct buffer answer = site_received(play->door, from, "hop", object);
    site_digest(play->door, after);
    assert_true(is_refusal(buffer_bytes(&answer)));
    assert_memory_equal(before, after, 32);
    buffer_clear(&answer);
}

static void foreign_objects_are_refused(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct object_capture capture = {BUFFER_EMPTY(65536), PLAY_DOOR};
    uint8_t noise[64] = {0x12, 0x34};
    site_carry(play->site, object_keep, &capture);
    (void)site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    evict(play, PLAY_DOOR_2);
    site_group(play->site, "others", "door", SITE_MN_CSE);
    site_advance(play->site, 2000);
    assert_true(capture.object.length > 0);
    struct bytes object = buffer_bytes(&capture.object);
    object_refused(play, SITE_AUTHORITY, object); /* again */
    object_refused(play, SITE_MN_CSE, object);
    object_refused(play, SITE_AUTHORITY, BYTES_OF(noise));
    object_refused(play, SITE_AUTHORITY, (struct bytes){NULL, 0});
    capture.object.data[capture.object.length / 2] ^= 1u;
    object_refused(play, SITE_AUTHORITY, object);
    buffer_clear(&capture.object);
    play_free(play);
}

/* ---- back-off ---- */

static void unknown_member_tries_again_by_its_backoff(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct site_node *door = site_provision(site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    uint64_t started = audit_value(AUDIT_HANDSHAKES_STARTED);
    site_online(door, true);
    site_settle(site);
    assert_true(audit_value(AUDIT_HANDSHAKES_STARTED) > started);
    site_advance(site, 600000);
    /* 0, 2, 4, 8, … 300 s, each drawn from its upper half: not many in ten minutes, and said once. */
    assert_in_range(audit_value(AUDIT_HANDSHAKES_STARTED) - started, 7, 24);
    size_t notices = 0;
    for (size_t i = 0; i < site_event_count(door); i++) {
        notices += site_event(door, i)->content_case == EVENT(NOTICE);
    }
    assert_int_equal(notices, 1);
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_enrol(site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 300000);
    assert_true(engine_identity(site_engine(door), PLAY_DOOR)->associated);
    site_free(site);
}

/* The authority is away for ten minutes: when it is back, what waited is taken, in the association there is.
 */
static void absent_authority_costs_no_new_key(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint64_t started = audit_value(AUDIT_HANDSHAKES_STARTED);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 60000, id);
    site_online(site_authority(play->site), false);
    assert_int_equal(play_finish(play->door, id, true, ""), CODE(OK));
    site_advance(play->site, 600000);
    site_online(site_authority(play->site), true);
    site_advance(play->site, 80000);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), started);
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch);
    play_free(play);
}

/* Another key at this end alone; the same again brings the right one back. */
static void key_flip(struct identity_state *identity)
{
    struct association *association = &identity->association;
    association->agreement.key.data[0] ^= 1u;
    association->keys[0].known = association->keys[1].known = false;
}

/* Refusals raise a doubt; a record that is taken before anything came of it clears it. */
static void doubt_is_cleared_by_a_record_that_is_taken(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct identity_state *mn = play_membership(play->mn, PLAY_GROUP)->identity;
    uint64_t started = audit_value(AUDIT_HANDSHAKES_STARTED);
    key_flip(mn);
    site_online(play->mn, true); /* it has something to say */
    while (!mn->authentication.doubted) {
        site_advance(play->site, 100);
    }
    assert_int_equal(mn->authentication.step, AUTHENTICATION_IDLE);
    key_flip(mn);
    site_online(play->mn, true);
    site_advance(play->site, 120000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), started);
    play_free(play);
}

/* It has lost the association (restored backup): three refusals, then a new authentication by itself. */
static void lost_association_is_made_anew(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    key_flip(play_membership(play->mn, PLAY_GROUP)->identity);
    site_online(play->mn, true); /* it has something to say */
    site_advance(play->site, 120000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2); /* both ends */
    same_key(play->mn, play->door, true);
    play_free(play);
}

/* ---- online, again ---- */

struct loss {
    unsigned passed; /* objects of the door that still arrive */
    enum site_fate fate;
};

static enum site_fate door_loses(void *context, const struct site_message *message)
{
    struct loss *loss = context;
    if (message->what != SITE_OBJECT || strcmp(message->from, PLAY_DOOR) != 0) {
        return SITE_DELIVER;
    }
    if (loss->passed > 0) {
        loss->passed--;
        return SITE_DELIVER;
    }
    return loss->fate;
}

/* An authentication is wanted, and what the door sends is lost for a while. */
static struct play *play_with_loss(struct loss *loss, uint64_t ms)
{
    struct play *play = play_new(1);
    site_carry(play->site, door_loses, loss);
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR), CODE(OK));
    site_advance(play->site, ms);
    site_carry(play->site, NULL, NULL);
    return play;
}

static void online_again_restarts_what_waits(void **state)
{
    (void)state;
    struct loss losses[2] = {{0, SITE_DROP}, {0, SITE_LOSE}};
    const uint64_t ms[2] = {1200000, 5000};
    const enum authentication_step steps[2] = {AUTHENTICATION_IDLE, AUTHENTICATION_HELLO_SENT};
    for (size_t i = 0; i < 2; i++) {
        struct play *play = play_with_loss(&losses[i], ms[i]);
        uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
        assert_int_equal(engine_identity(site_engine(play->door), PLAY_DOOR)->authentication.step, steps[i]);
        site_online(play->door, true);
        site_settle(play->site);
        assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2);
        play_free(play);
    }
}

/* Flight 3 may have arrived: its answer is waited for, and what follows from none comes at once. */
static void online_again_keeps_flight_3(void **state)
{
    (void)state;
    struct loss loss = {1, SITE_LOSE};
    struct play *play = play_with_loss(&loss, 5000);
    const struct authentication *authentication =
        &engine_identity(site_engine(play->door), PLAY_DOOR)->authentication;
    uint8_t hello_hash[HASH_SIZE];
    memcpy(hello_hash, authentication->hello_hash, HASH_SIZE);
    assert_int_equal(authentication->step, AUTHENTICATION_FINISH_SENT);
    site_online(play->door, true);
    site_settle(play->site);
    assert_int_equal(authentication->step, AUTHENTICATION_FINISH_SENT);
    assert_memory_equal(hello_hash, authentication->hello_hash, HASH_SIZE);
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    site_advance(play->site, 65000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2);
    play_free(play);
}

/* Who was online all the time: nothing is published, sealed or negotiated again. */
static void online_again_repeats_nothing(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    struct site_node *alone =
        site_join(play->site, "//sp.example/Ssensor1", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, NULL);
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", NULL, 600000, id);
    site_advance(play->site, 60000);
    uint64_t started = audit_value(AUDIT_HANDSHAKES_STARTED);
    site_events_clear(play->door);
    play_forget(play);
    site_online(play->mn, true);
    site_settle(play->site);
    assert_int_equal(play->captured_count, 0);
    site_online(play->door, true); /* the harness gives it what is retained, as to any connection */
    site_online(alone, true);
    site_advance(play->site, 5000);
    for (size_t i = 0; i < play->captured_count; i++) {
        assert_int_not_equal(play->captured[i]->kind, TOPIC(ACK));
    }
    assert_null(site_last_event(play->door, EVENT(JOINED)));
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_STARTED), started);
    /* The twin: its connection was down. */
    site_online(play->mn, false);
    site_online(play->mn, true);
    site_settle(play->site);
    assert_non_null(play_last(play, TOPIC(EPOCH)));
    assert_non_null(play_last(play, TOPIC(COMMAND)));
    play_free(play);
}

/* So does another owner, whose program has subscribed nothing yet. */
static void another_owner_is_told_everything(void **state)
{
    (void)state;
    struct play *play = play_new(1);
    Groupseal__Secenv__Online online = GROUPSEAL__SECENV__ONLINE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    online.identity = (char *)PLAY_DOOR;
    online.online = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &online;
    site_events_clear(play->door);
    site_reply_free(site_request(play->door, SOCKET_OWNER, 2, &request));
    assert_non_null(site_last_event(play->door, EVENT(JOINED)));
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_reach_the_same_key),
        cmocka_unit_test(member_that_left_has_nothing_left),
        cmocka_unit_test(member_that_left_before_it_came_comes_back),
        cmocka_unit_test(evicted_member_cannot_climb),
        cmocka_unit_test(absent_member_climbs_from_retained_state),
        cmocka_unit_test(restart_needs_no_handshake),
        cmocka_unit_test(new_authentication_gives_a_new_leaf),
        cmocka_unit_test(ordered_authentication_survives_a_restart),
        cmocka_unit_test(forged_announcement_changes_nothing),
        cmocka_unit_test(older_announcement_changes_nothing),
        cmocka_unit_test(announcement_of_another_instance_is_refused),
        cmocka_unit_test(missing_policy_is_asked_for),
        cmocka_unit_test(resubscribing_is_rate_limited),
        cmocka_unit_test(overdue_news_raise_an_alarm),
        cmocka_unit_test(own_problem_ends_no_turn),
        cmocka_unit_test(foreign_objects_are_refused),
        cmocka_unit_test(absent_authority_costs_no_new_key),
        cmocka_unit_test(doubt_is_cleared_by_a_record_that_is_taken),
        cmocka_unit_test(lost_association_is_made_anew),
        cmocka_unit_test(online_again_restarts_what_waits),
        cmocka_unit_test(online_again_keeps_flight_3),
        cmocka_unit_test(online_again_repeats_nothing),
        cmocka_unit_test(another_owner_is_told_everything),
        cmocka_unit_test(unknown_member_tries_again_by_its_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
