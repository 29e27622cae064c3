/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "secenv/audit.h"
#include "secenv/authority/admission.h"
#include "secenv/authority/notices.h"
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/* End-to-end authentication at the authority, both modes, by a member that is played by hand. */

#define DOOR "//sp.example/Sdoor1"
#define SENSOR "//sp.example/Ssensor1"
#define OK GROUPSEAL__SECENV__CODE__OK
#define LAMP "//sp.example/Slamp0"
#define LAMPS 250u
#define MEETS_DOOR "//sp.example/Slamp638" /* FNV-1a of both is the same modulo ADMISSION_BUCKETS */
#define PACKAGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE

static int setup(void **state)
{
    struct site *site = site_new();
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

struct counted {
    uint64_t values[AUDIT_COUNT];
};

static struct counted count(void)
{
    struct counted now;
    for (size_t i = 0; i < AUDIT_COUNT; i++) {
        now.values[i] = audit_value((enum audit_counter)i);
    }
    return now;
}

static uint64_t since(const struct counted *before, enum audit_counter counter)
{
    return audit_value(counter) - before->values[counter];
}

/* The object is refused with the one generic error, the reason is told to the owner, and the store is as it
 * was. */
static void assert_refused(struct hand *hand, struct buffer *object)
{
    struct site_node *authority = site_authority(hand->site);
    uint8_t before[32];
    uint8_t after[32];
    site_digest(authority, before);
    site_events_clear(authority);
    struct buffer answer = hand_give(hand, NULL, object);
    assert_true(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    site_digest(authority, after);
    assert_memory_equal(before, after, 32);
    const Groupseal__Secenv__Event *event =
        site_last_event(authority, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
    assert_non_null(event);
    assert_int_equal(event->notice->severity, GROUPSEAL__SECENV__SEVERITY__WARNING);
    assert_int_equal(site_event_connection(authority, 0), 0);
}

static void member_authenticates(struct site *site, enum credentials_mode mode, enum audit_counter done)
{
    struct counted before = count();
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, mode);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, mode, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_STARTED), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_DONE), 1);
    assert_int_equal(since(&before, done), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_REFUSED), 0);
    site_settle(site);
    assert_int_equal(hand_count(hand, PACKAGE), 1);
    Groupseal__Secenv__Reply *reply = operator_list(site, "");
    assert_string_equal(reply->members->members[0]->name, DOOR);
    assert_string_equal(reply->members->members[0]->state, "associated");
    assert_int_equal(reply->members->members[0]->n_groups, 1);
    assert_true(reply->members->members[0]->associated_ms > 0);
    site_reply_free(reply);
    hand_free(hand);
}

static void certificate_member(void **state)
{
    member_authenticates(*state, CREDENTIALS_CERT, AUDIT_HANDSHAKES_DONE_CERT);
}

static void psk_member(void **state)
{
    member_authenticates(*state, CREDENTIALS_PSK, AUDIT_HANDSHAKES_DONE_PSK);
}

/* Not in the roster, then evicted: refused alike; in the roster: let in. */
static void unknown_and_evicted(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct counted before = count();
    struct buffer object = hand_flight1(hand);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_REFUSED_UNKNOWN), 1);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    site_settle(site);
    assert_int_equal(operator_evict(site, DOOR), OK);
    before = count();
    object = hand_flight1(hand);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_REFUSED_UNKNOWN), 1);
    /* Its association is gone too. */
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    object = hand_record(hand, &body);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_RECORDS_REFUSED), 1);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    hand_free(hand);
}

static void wrong_psk(void **state)
{
    struct site *site = *state;
    struct identity identity;
    site_identity(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, &identity);
    identity.psk.data[0] ^= 1;
    struct hand *hand = hand_new_with(site, DOOR, &identity);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    struct counted before = count();
    struct buffer object = hand_flight1(hand);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_REFUSED_PSK), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_REFUSED), 1);
    hand_free(hand);
}

static void wrong_psk_identity(void **state)
{
    struct site *site = *state;
    struct identity identity;
    site_identity(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, &identity);
    (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), "somebody");
    struct hand *hand = hand_new_with(site, DOOR, &identity);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    struct counted before = count();
    struct buffer object = hand_flight1(hand);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_REFUSED_UNKNOWN), 1);
    hand_free(hand);
}

/* A sensor's certificate under a door's name: it must fail at the name, after the handshake's last flight. */
static void wrong_name(void **state)
{
    struct site *site = *state;
    struct identity identity;
    site_identity(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, &identity);
    struct hand *hand = hand_new_with(site, DOOR, &identity);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    struct counted before = count();
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    object = hand_flight3(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    assert_refused(hand, &object);
    assert_int_equal(since(&before, AUDIT_REFUSED_NAME), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_DONE), 0);
    hand_free(hand);
}

static void wrong_mode(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    struct buffer object = hand_flight1(hand);
    assert_refused(hand, &object);
    hand_free(hand);
}

/* FIRST must prove its key for this very member: a proof for another name is none. */
static void first_must_prove(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    hand->first_name = SENSOR;
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    object = hand_flight3(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    assert_refused(hand, &object);
    hand->first_name = NULL;
    assert_true(hand_authenticate(hand));
    hand_free(hand);
}

/* Every flight may come twice (QoS 1): the same flight 2, and a fresh CONFIRM. */
static void duplicates(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    struct counted before = count();
    struct site_node *authority = site_authority(site);
    struct buffer flight1 = hand_flight1(hand);
    struct buffer flight2 = site_received(authority, DOOR, DOOR, buffer_bytes(&flight1));
    struct buffer again = site_received(authority, DOOR, DOOR, buffer_bytes(&flight1));
    assert_true(bytes_equal(buffer_bytes(&flight2), buffer_bytes(&again)));
    buffer_clear(&again);
    struct buffer flight3 = hand_flight3(hand, buffer_bytes(&flight2));
    struct buffer flight4 = site_received(authority, DOOR, DOOR, buffer_bytes(&flight3));
    again = site_received(authority, DOOR, DOOR, buffer_bytes(&flight3));
    assert_true(hand_flight4(hand, buffer_bytes(&flight4)));
    assert_false(bytes_equal(buffer_bytes(&flight4), buffer_bytes(&again)));
    assert_true(hand_flight4(hand, buffer_bytes(&again)));
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_STARTED), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_DONE), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_REFUSED), 0);
    site_settle(site);
    assert_int_equal(since(&before, AUDIT_GROUP_KEYS_MADE), 1);
    /* Another flight 3 for the same hello is none. */
    buffer_clear(&again);
    flight3.data[flight3.length - 1] ^= 1;
    assert_refused(hand, &flight3);
    buffer_clear(&flight1);
    buffer_clear(&flight2);
    buffer_clear(&flight4);
    hand_free(hand);
}

/* After 30 s a handshake is gone; before, it is there. */
static void handshakes_expire(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    object = hand_flight3(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    site_advance(site, 30000);
    assert_refused(hand, &object);
    object = hand_flight1(hand);
    answer = hand_give(hand, NULL, &object);
    object = hand_flight3(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    site_advance(site, 29000);
    answer = hand_give(hand, NULL, &object);
    assert_true(hand_flight4(hand, buffer_bytes(&answer)));
    buffer_clear(&answer);
    hand_free(hand);
}

/* Five hellos: the oldest handshake gives way, the newest four live. */
static void four_handshakes_each(void **state)
{
    struct site *site = *state;
    struct hand *hands[5];
    struct buffer answers[5];
    for (size_t i = 0; i < 5; i++) {
        hands[i] = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    }
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    for (size_t i = 0; i < 5; i++) {
        struct buffer object = hand_flight1(hands[i]);
        site_advance(site, 1);
        answers[i] = hand_give(hands[i], NULL, &object);
        assert_false(hand_is_refusal(buffer_bytes(&answers[i])));
    }
    struct buffer object = hand_flight3(hands[0], buffer_bytes(&answers[0]));
    assert_refused(hands[0], &object);
    object = hand_flight3(hands[1], buffer_bytes(&answers[1]));
    struct buffer answer = hand_give(hands[1], NULL, &object);
    assert_true(hand_flight4(hands[1], buffer_bytes(&answer)));
    buffer_clear(&answer);
    for (size_t i = 0; i < 5; i++) {
        buffer_clear(&answers[i]);
        hand_free(hands[i]);
    }
}

/* Those that have ended well are kept, but never in the way of new ones. */
static void ended_handshakes_give_way(void **state)
{
    struct site *site = *state;
    char name[64];
    struct identity identity;
    for (unsigned i = 0; i < ADMISSION_SLOTS + 20; i++) {
        (void)snprintf(name, sizeof(name), "//sp.example/Slamp%u", i);
        site_enrol(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, NULL);
    }
    /* One hand in the place of all: only the name on the wire differs. */
    struct hand *hand = hand_new(site, "//sp.example/Slamp0", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    for (unsigned i = 0; i < ADMISSION_SLOTS + 20; i++) {
        (void)snprintf(name, sizeof(name), "//sp.example/Slamp%u", i);
        site_identity(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, &identity);
        hand_rename(hand, name, &identity);
        assert_true(hand_authenticate(hand));
    }
    hand_free(hand);
}

static void lamp_name(unsigned number, char out[64])
{
    (void)snprintf(out, 64, "//sp.example/Slamp%u", number);
}

/* First flights through a hop, each of another originator: how many are let. */
static unsigned lamps_begin(struct site *site, struct hand *hand, unsigned count)
{
    unsigned let = 0;
    for (unsigned i = 0; i < count; i++) {
        char name[64];
        lamp_name(i, name);
        struct buffer object = hand_flight1(hand);
        struct buffer answer = site_received(site_authority(site), name, SITE_MN_CSE, buffer_bytes(&object));
        let += !hand_is_refusal(buffer_bytes(&answer));
        buffer_clear(&answer);
        buffer_clear(&object);
    }
    return let;
}

/* Those that come to nothing: a burst through one hop, then 50 a second; another hop is not slowed. Four of
 * each originator are kept, so that it is not for want of places. */
static void hops_have_a_rate(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    for (unsigned i = 0; i < LAMPS; i++) {
        char name[64];
        lamp_name(i, name);
        site_enrol(site, name, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, NULL);
    }
    unsigned let = 0;
    for (unsigned begun = 0; begun < ADMISSION_HOP_BURST + LAMPS; begun += LAMPS) {
        let += lamps_begin(site, hand, LAMPS);
    }
    assert_int_equal(let, ADMISSION_HOP_BURST);
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    assert_false(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    site_advance(site, 100);
    assert_int_equal(lamps_begin(site, hand, LAMPS), ADMISSION_HOP_RATE / 10);
    hand_free(hand);
}

static bool hello_is_let(struct hand *hand)
{
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, SITE_MN_CSE, &object);
    bool let = !hand_is_refusal(buffer_bytes(&answer));
    buffer_clear(&answer);
    return let;
}

/* One originator alone, sooner; another one of its hop is not slowed. */
static void originators_have_a_rate(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct hand *other = hand_new(site, LAMP, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_enrol(site, LAMP, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "lamp");
    unsigned let = 0;
    for (unsigned i = 0; i < ADMISSION_ORIGIN_BURST + 10; i++) {
        let += hello_is_let(hand);
    }
    assert_int_equal(let, ADMISSION_ORIGIN_BURST);
    assert_true(hello_is_let(other));
    site_advance(site, 1000);
    let = 0;
    for (unsigned i = 0; i < 10; i++) {
        let += hello_is_let(hand);
    }
    assert_int_equal(let, ADMISSION_ORIGIN_RATE);
    hand_free(hand);
    hand_free(other);
}

/* Nor one whose name falls to the same place of a table that is smaller than the fleet. */
static void names_that_meet_have_rates_of_their_own(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct hand *other = hand_new(site, MEETS_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_enrol(site, MEETS_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "lamp");
    while (hello_is_let(hand)) {
    }
    assert_true(hello_is_let(other));
    assert_false(hello_is_let(hand));
    hand_free(hand);
    hand_free(other);
}

static bool authenticates_through(struct hand *hand, const char *hop)
{
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, hop, &object);
    bool done = !hand_is_refusal(buffer_bytes(&answer));
    if (done) {
        object = hand_flight3(hand, buffer_bytes(&answer));
        buffer_clear(&answer);
        answer = hand_give(hand, hop, &object);
        done = hand_flight4(hand, buffer_bytes(&answer));
    }
    buffer_clear(&answer);
    return done;
}

/* Those that end well take nothing of a hop's rate. */
static void ended_well_costs_no_rate(void **state)
{
    struct site *site = *state;
    struct identity identity;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    for (unsigned i = 0; i < ADMISSION_HOP_BURST + 20; i++) {
        char name[64];
        lamp_name(i, name);
        site_enrol(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, NULL);
        site_identity(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, &identity);
        hand_rename(hand, name, &identity);
        assert_true(authenticates_through(hand, SITE_MN_CSE));
    }
    hand_free(hand);
}

/* Another site's MN-CSE cannot use the places of this site's members, nor one hop all of them. */
static void members_come_through_their_site(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    struct counted before = count();
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, "//sp.example/mn-2", &object);
    assert_true(hand_is_refusal(buffer_bytes(&answer)));
    assert_int_equal(since(&before, AUDIT_REFUSED_UNKNOWN), 1);
    assert_int_equal(since(&before, AUDIT_HANDSHAKES_STARTED), 0);
    buffer_clear(&answer);
    object = hand_flight1(hand);
    answer = hand_give(hand, SITE_MN_CSE, &object);
    assert_false(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    hand_free(hand);
}

static void one_hop_does_not_fill_the_table(void **state)
{
    struct site *site = *state;
    char name[64];
    unsigned let = 0;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    for (unsigned i = 0; i < ADMISSION_SLOTS_HOP + 10; i++) {
        (void)snprintf(name, sizeof(name), "//sp.example/Slamp%u", i);
        site_enrol(site, name, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, NULL);
    }
    for (unsigned i = 0; i < ADMISSION_SLOTS_HOP + 10; i++) {
        (void)snprintf(name, sizeof(name), "//sp.example/Slamp%u", i);
        struct buffer object = hand_flight1(hand);
        struct buffer answer = site_received(site_authority(site), name, SITE_MN_CSE, buffer_bytes(&object));
        let += !hand_is_refusal(buffer_bytes(&answer));
        buffer_clear(&answer);
        buffer_clear(&object);
    }
    assert_int_equal(let, ADMISSION_SLOTS_HOP);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand)); /* directly: another hop */
    hand_free(hand);
}

/* Flight 3 of an earlier handshake, held back on the way, comes after a later one has ended well. */
static void late_flight3_takes_no_place(void **state)
{
    struct site *site = *state;
    struct hand *early = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct hand *late = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    struct buffer object = hand_flight1(early);
    struct buffer answer = hand_give(early, NULL, &object);
    struct buffer held = hand_flight3(early, buffer_bytes(&answer));
    buffer_clear(&answer);
    site_advance(site, 1);
    assert_true(hand_authenticate(late));
    assert_refused(early, &held);
    site_advance(site, 10000);
    site_settle(site);

    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    assert_int_equal(hand_say(late, &body), 0); /* its association is the one in use */
    hand_free(early);
    hand_free(late);
}

/* ---- what is told ---- */

static void hello_through(struct hand *hand, const char *hop, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct buffer object = hand_flight1(hand);
        struct buffer answer = hand_give(hand, hop, &object);
        assert_true(hand_is_refusal(buffer_bytes(&answer)));
        buffer_clear(&answer);
    }
}

/* The log is nobody's to fill: some refusals are told, all are counted, and nobody hides those of others. */
static void refusals_are_told_in_moderation(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct hand *other = hand_new(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct counted before = count();
    site_advance(site, MODERATION_EACH_US / 1000);
    site_events_clear(authority);
    hello_through(hand, NULL, MODERATION_EACH + 10);
    assert_int_equal(since(&before, AUDIT_REFUSED_UNKNOWN), MODERATION_EACH + 10);
    assert_int_equal(site_event_count(authority), MODERATION_EACH);
    hello_through(other, NULL, 1);
    assert_int_equal(site_event_count(authority), MODERATION_EACH + 1);
    site_advance(site, MODERATION_EACH_US / 1000);
    hello_through(hand, NULL, 1);
    assert_int_equal(site_event_count(authority), MODERATION_EACH + 2);
    assert_non_null(strstr(site_event(authority, MODERATION_EACH + 1)->notice->text, "10 more"));
    /* A name that came through a hop which is not its own is that hop's doing. */
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_advance(site, MODERATION_EACH_US / 1000);
    site_events_clear(authority);
    hello_through(hand, "//sp.example/mn-2", MODERATION_EACH);
    hello_through(other, "//sp.example/mn-2", MODERATION_EACH);
    assert_int_equal(site_event_count(authority), MODERATION_EACH);
    hello_through(hand, NULL, 1); /* its mode is another */
    assert_int_equal(site_event_count(authority), MODERATION_EACH + 1);
    hand_free(hand);
    hand_free(other);
}

static void all_together_are_bounded(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    char hop[64];
    site_advance(site, MODERATION_EACH_US / 1000);
    site_events_clear(authority);
    for (unsigned i = 0; i < 2 * MODERATION_ALL; i++) {
        (void)snprintf(hop, sizeof(hop), "//sp.example/mn-%u", i + 2);
        hello_through(hand, hop, 1);
    }
    assert_int_equal(site_event_count(authority), MODERATION_ALL);
    site_advance(site, MODERATION_ALL_US / 1000);
    hello_through(hand, NULL, 1);
    assert_int_equal(site_event_count(authority), MODERATION_ALL + 1);
    hand_free(hand);
}

/* Who is in the roster is no exception: with bad records, nor with good authentications. */
static void members_are_told_in_moderation(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    FILE *log = tmpfile();
    int out = dup(STDERR_FILENO);
    assert_non_null(log);
    assert_true(out >= 0 && dup2(fileno(log), STDERR_FILENO) >= 0);
    for (unsigned i = 0; i < 2 * MODERATION_EACH; i++) {
        assert_true(hand_authenticate(hand));
    }
    assert_true(dup2(out, STDERR_FILENO) >= 0 && close(out) == 0);
    rewind(log);
    char line[1024];
    unsigned lines = 0;
    while (fgets(line, sizeof(line), log) != NULL) {
        lines += strstr(line, "authenticated end to end") != NULL;
    }
    (void)fclose(log);
    assert_int_equal(lines, MODERATION_EACH);

    site_advance(site, MODERATION_EACH_US / 1000);
    site_events_clear(authority);
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    ask.group = (char *)(uintptr_t) "lamps";
    for (unsigned i = 0; i < MODERATION_EACH + 10; i++) {
        assert_int_equal(hand_say(hand, &body), 3);
    }
    assert_int_equal(site_event_count(authority), MODERATION_EACH);
    hand_free(hand);
}

/* A new authentication: until the member uses it, the old association and leaf live on. */
static void old_one_lives_until_new_is_used(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    site_settle(site);
    struct association old = hand->association;
    uint64_t serial = hand_last(hand, PACKAGE)->package->serial;
    assert_int_equal(hand_count(hand, PACKAGE), 1);
    assert_true(hand_authenticate(hand));
    site_settle(site);
    assert_int_equal(hand_count(hand, PACKAGE), 1); /* nothing replaced yet */
    struct association fresh = hand->association;

    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask; /* of no group: enough to be heard */
    hand->association = old;
    assert_int_equal(hand_say(hand, &body), 0);
    old = hand->association;
    hand->association = fresh;
    assert_int_equal(hand_say(hand, &body), 0); /* the first use */
    fresh = hand->association;
    hand->association = old;
    assert_int_equal(hand_say(hand, &body), HAND_REFUSED); /* wiped */
    hand->association = fresh;
    site_settle(site);
    assert_int_equal(hand_count(hand, PACKAGE), 2);
    assert_int_equal(hand_last(hand, PACKAGE)->package->serial, serial); /* the same signing key */
    assert_int_equal(hand_last(hand, PACKAGE)->package->epoch, 2);
    hand_free(hand);
}

/* A member that has nothing to say: its new association counts after some seconds. And a new key, a new
 * serial. */
static void silent_member_is_promoted(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    site_settle(site);
    uint64_t serial = hand_last(hand, PACKAGE)->package->serial;
    assert_int_equal(signing_key_make(&hand->signing), RESULT_OK);
    assert_true(hand_authenticate(hand));
    site_advance(site, 4000);
    assert_int_equal(hand_count(hand, PACKAGE), 1);
    site_restart(site_authority(site)); /* the pending one is in the store */
    site_advance(site, 6000);
    assert_int_equal(hand_count(hand, PACKAGE), 2);
    assert_true(hand_last(hand, PACKAGE)->package->serial > serial);
    hand_free(hand);
}

/* Flight 3 again is a use as well: the member is there, its CONFIRM was lost. */
static void repeated_flight3_promotes(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    assert_true(hand_authenticate(hand));
    site_settle(site);
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    object = hand_flight3(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    answer = site_received(site_authority(site), DOOR, DOOR, buffer_bytes(&object));
    buffer_clear(&answer); /* lost */
    site_settle(site);
    assert_int_equal(hand_count(hand, PACKAGE), 1);
    answer = hand_give(hand, NULL, &object);
    assert_true(hand_flight4(hand, buffer_bytes(&answer)));
    buffer_clear(&answer);
    site_settle(site);
    assert_int_equal(hand_count(hand, PACKAGE), 2);
    hand_free(hand);
}

/* What is no end-to-end object, or not for an authority. */
static void strange_objects(void **state)
{
    struct site *site = *state;
    struct hand *hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    static const uint8_t garbage[] = {0xff, 0xff, 0xff};
    struct buffer object = BUFFER_EMPTY(65536);
    assert_int_equal(buffer_append(&object, BYTES_OF(garbage)), RESULT_OK);
    assert_refused(hand, &object);
    static const uint8_t refusal[] = {0x1a, 0x00};
    assert_int_equal(buffer_append(&object, BYTES_OF(refusal)), RESULT_OK);
    assert_refused(hand, &object);
    object = hand_flight1(hand);
    object.data[object.length / 2] ^= 1;
    struct buffer answer = hand_give(hand, NULL, &object);
    buffer_clear(&answer); /* a byte within a random field may pass: it must only not crash */
    assert_true(hand_authenticate(hand));
    /* A record that was altered. */
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    body.item = 9;
    site_advance(site, MODERATION_EACH_US / 1000); /* so that what follows is told */
    object = hand_record(hand, &body);
    struct buffer altered = BUFFER_EMPTY(65536);
    assert_int_equal(buffer_append(&altered, buffer_bytes(&object)), RESULT_OK);
    altered.data[altered.length - 1] ^= 1;
    assert_refused(hand, &altered);
    struct buffer twin = BUFFER_EMPTY(65536);
    assert_int_equal(buffer_append(&twin, buffer_bytes(&object)), RESULT_OK);
    answer = hand_give(hand, NULL, &object);
    assert_false(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    assert_refused(hand, &twin); /* the same again is a replay */
    hand_free(hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(certificate_member, setup, teardown),
        cmocka_unit_test_setup_teardown(psk_member, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_and_evicted, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_psk, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_psk_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_name, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(first_must_prove, setup, teardown),
        cmocka_unit_test_setup_teardown(duplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(handshakes_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(four_handshakes_each, setup, teardown),
        cmocka_unit_test_setup_teardown(ended_handshakes_give_way, setup, teardown),
        cmocka_unit_test_setup_teardown(hops_have_a_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(originators_have_a_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_meet_have_rates_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(ended_well_costs_no_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(members_come_through_their_site, setup, teardown),
        cmocka_unit_test_setup_teardown(one_hop_does_not_fill_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(late_flight3_takes_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_are_told_in_moderation, setup, teardown),
        cmocka_unit_test_setup_teardown(all_together_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(members_are_told_in_moderation, setup, teardown),
        cmocka_unit_test_setup_teardown(old_one_lives_until_new_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_member_is_promoted, setup, teardown),
        cmocka_unit_test_setup_teardown(repeated_flight3_promotes, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_objects, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_admission", tests, NULL, NULL);
}
