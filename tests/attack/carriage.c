/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <malloc.h>

#include <cmocka.h>

#include "secenv/authority/admission.h"
#include "tests/attack/attack.h"
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/*
 * On the way between a member and its authority: flights and records that are cut, swapped, merged, come from
 * another session or under another name, answers to what nobody asked, and a flood of first flights. Altered
 * bytes within flights are in unit/handshake, within records in unit/association.
 */

#define DOOR PLAY_DOOR
#define SENSOR "//sp.example/Ssensor1"

typedef Groupseal__Envelope__EndToEnd EndToEnd;

static struct site *site_with(const char *const *names, size_t count)
{
    struct site *site = site_new();
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    for (size_t i = 0; i < count; i++) {
        site_enrol(site, names[i], IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    }
    return site;
}

/* Given to the authority as from `from`: the generic error, one more of `counter`, the reason in the log,
 * nothing changed. */
static void object_is_refused(struct site *site, const char *from, struct bytes object,
                              enum audit_counter counter, const char *words)
{
    struct site_node *authority = site_authority(site);
    uint8_t before[32];
    uint8_t after[32];
    site_advance(site, 2001); /* the log says five refusals of an originator in ten seconds */
    site_events_clear(authority);
    struct counts counts = counts_now();
    site_digest(authority, before);
    struct buffer answer = site_received(authority, from, SITE_MN_CSE, object);
    site_digest(authority, after);
    assert_true(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    assert_memory_equal(before, after, 32);
    const Groupseal__Secenv__Event *event =
        site_last_event(authority, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
    assert_non_null(event);
    if (strstr(event->notice->text, words) == NULL) {
        fail_msg("refused, but not for \"%s\": %s", words, event->notice->text);
    }
    if (counter != AUDIT_COUNT && counts_since(&counts, counter) != 1) {
        fail_msg("refused (%s), but %s is as before", event->notice->text, audit_name(counter));
    }
}

static EndToEnd *unpacked(const struct buffer *object)
{
    EndToEnd *out = groupseal__envelope__end_to_end__unpack(NULL, object->length, object->data);
    assert_non_null(out);
    return out;
}

static struct buffer packed(EndToEnd *object)
{
    struct buffer out = BUFFER_EMPTY(65536);
    size_t size = groupseal__envelope__end_to_end__get_packed_size(object);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    (void)groupseal__envelope__end_to_end__pack(object, bytes);
    assert_int_equal(buffer_append(&out, (struct bytes){bytes, size}), RESULT_OK);
    free(bytes);
    return out;
}

static struct buffer copy_of(const struct buffer *object)
{
    struct buffer out = BUFFER_EMPTY(65536);
    assert_int_equal(buffer_append(&out, buffer_bytes(object)), RESULT_OK);
    return out;
}

/* A hand between flights 2 and 3. */
struct half {
    struct hand *hand;
    struct buffer one;
    struct buffer two;
    struct buffer three;
};

/* A hand lives as long as its site: the authority may send to it at any time. */
static struct half half_new(struct site *site, const char *name)
{
    return (struct half){.hand = hand_new(site, name, IDENTITY_ADN_AE, CREDENTIALS_CERT)};
}

static void half_clear(struct half *half)
{
    buffer_clear(&half->one);
    buffer_clear(&half->two);
    buffer_clear(&half->three);
}

/* A new handshake, up to flight 3, which is not sent. */
static void half_open(struct half *half)
{
    half_clear(half);
    half->one = hand_flight1(half->hand);
    half->two = site_received(site_authority(half->hand->site), half->hand->name, SITE_MN_CSE,
                              buffer_bytes(&half->one));
    half->three = hand_flight3(half->hand, buffer_bytes(&half->two));
}

static void half_ends_well(struct half *half)
{
    struct buffer object = copy_of(&half->three);
    struct buffer answer = hand_give(half->hand, SITE_MN_CSE, &object);
    assert_true(hand_flight4(half->hand, buffer_bytes(&answer)));
    buffer_clear(&answer);
}

static void half_free(struct half *half)
{
    half_clear(half);
    hand_free(half->hand);
}

/* ---- flights ---- */

static void flights_truncated(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR};
    struct site *site = site_with(names, 1);
    struct half half = half_new(site, DOOR);
    half_open(&half);
    for (size_t length = 1; length < half.one.length; length += 17) {
        object_is_refused(site, DOOR, (struct bytes){half.one.data, length}, AUDIT_COUNT, DOOR);
    }
    half_open(&half);
    for (size_t length = 1; length < half.three.length / 2; length += 61) {
        object_is_refused(site, DOOR, (struct bytes){half.three.data, length}, AUDIT_COUNT, DOOR);
        half_open(&half);
    }
    half_ends_well(&half);
    half_free(&half);
    site_free(site);
}

static void flights_out_of_order(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR, SENSOR};
    struct site *site = site_with(names, 2);
    struct half half = half_new(site, DOOR);
    half_open(&half);
    /* The authority's own flights come back to it. */
    object_is_refused(site, DOOR, buffer_bytes(&half.two), AUDIT_HANDSHAKES_REFUSED,
                      "flight 2 is not one for an authority");
    /* Flight 3 under another name, and after its handshake is gone. */
    object_is_refused(site, SENSOR, buffer_bytes(&half.three), AUDIT_HANDSHAKES_REFUSED,
                      "belongs to no handshake under way");
    half_ends_well(&half); /* the twin, in its order and under its name */
    half_open(&half);
    site_restart(site_authority(site));
    object_is_refused(site, DOOR, buffer_bytes(&half.three), AUDIT_HANDSHAKES_REFUSED,
                      "belongs to no handshake under way");
    half_free(&half);
    site_free(site);
}

static void flights_merged(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR};
    struct site *site = site_with(names, 1);
    struct half half = half_new(site, DOOR);
    half_open(&half);
    EndToEnd *one = unpacked(&half.one);
    EndToEnd *three = unpacked(&half.three);
    const ProtobufCBinaryData parts[] = {one->flight->tls, three->flight->tls};
    ProtobufCBinaryData genuine = one->flight->tls;
    for (size_t i = 0; i < 2; i++) {
        struct buffer both = BUFFER_EMPTY(65536);
        assert_int_equal(buffer_append(&both, arena_view(genuine)), RESULT_OK);
        assert_int_equal(buffer_append(&both, arena_view(parts[i])), RESULT_OK);
        one->flight->tls = arena_field(buffer_bytes(&both));
        struct buffer object = packed(one);
        object_is_refused(site, DOOR, buffer_bytes(&object), AUDIT_REFUSED_HELLO, DOOR);
        buffer_clear(&object);
        buffer_clear(&both);
    }
    one->flight->tls = genuine;
    groupseal__envelope__end_to_end__free_unpacked(one, NULL);
    groupseal__envelope__end_to_end__free_unpacked(three, NULL);
    half_ends_well(&half);
    half_free(&half);
    site_free(site);
}

/* Each part of flight 3 from another session of the same member. */
static void flights_of_another_session(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR};
    struct site *site = site_with(names, 1);
    struct half halves[2] = {half_new(site, DOOR), half_new(site, DOOR)};
    for (unsigned part = 0; part < 3; part++) {
        half_open(&halves[0]);
        half_open(&halves[1]);
        EndToEnd *mine = unpacked(&halves[0].three);
        EndToEnd *others = unpacked(&halves[1].three);
        EndToEnd mixed = *mine;
        Groupseal__Envelope__Flight flight = *mine->flight;
        mixed.flight = &flight;
        if (part == 0) {
            flight.hello_hash = others->flight->hello_hash;
        } else if (part == 1) {
            flight.tls = others->flight->tls;
        } else {
            flight.record = others->flight->record;
        }
        struct buffer object = packed(&mixed);
        object_is_refused(site, DOOR, buffer_bytes(&object), AUDIT_HANDSHAKES_REFUSED,
                          part == 2 ? "is of an association that is not known here" : DOOR);
        buffer_clear(&object);
        groupseal__envelope__end_to_end__free_unpacked(mine, NULL);
        groupseal__envelope__end_to_end__free_unpacked(others, NULL);
        /* The twin: the session that was not touched ends well. */
        half_ends_well(&halves[part == 0 ? 0 : 1]);
    }
    half_free(&halves[0]);
    half_free(&halves[1]);
    site_free(site);
}

/* ---- the flood ---- */

static size_t flood(struct site *site, struct hand *attacker, unsigned count)
{
    size_t let = 0;
    for (unsigned i = 0; i < count; i++) {
        struct buffer object = hand_flight1(attacker);
        struct buffer answer = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&object));
        let += !hand_is_refusal(buffer_bytes(&answer));
        buffer_clear(&object);
        buffer_clear(&answer);
    }
    return let;
}

/* A thousand first flights in the door's name, from somebody with a certificate of another name. */
static void thousand_first_flights(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR, SENSOR};
    struct site *site = site_with(names, 2);
    struct site_node *authority = site_authority(site);
    struct identity identity;
    uint8_t before[32];
    uint8_t after[32];
    site_identity(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, &identity);
    struct hand *attacker = hand_new_with(site, SENSOR, &identity);
    site_digest(authority, before);
    struct counts counts = counts_now();
    assert_int_equal(flood(site, attacker, 10), 10);
    size_t memory = mallinfo2().uordblks;
    assert_int_equal(flood(site, attacker, 990), ADMISSION_ORIGIN_BURST - 10);
    assert_in_range(mallinfo2().uordblks, 0, memory + 262144);
    assert_int_equal(counts_since(&counts, AUDIT_HANDSHAKES_REFUSED), 1000 - ADMISSION_ORIGIN_BURST);
    site_digest(authority, after);
    assert_memory_equal(before, after, 32);
    /* Its site's other members notice nothing, nor do another site's. */
    struct half beside = half_new(site, SENSOR);
    half_open(&beside);
    half_ends_well(&beside);
    half_free(&beside);
    struct hand *elsewhere = hand_new(site, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_PSK);
    site_enrol(site, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    assert_true(hand_authenticate(elsewhere));
    /* The honest one: by its next try, a second later, though the flood goes on as the rate lets it. */
    site_advance(site, 1000);
    (void)flood(site, attacker, ADMISSION_ORIGIN_RATE / 2);
    struct half honest = half_new(site, DOOR);
    half_open(&honest);
    half_ends_well(&honest);
    site_settle(site);
    assert_int_equal(hand_count(honest.hand, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE), 1);
    hand_free(elsewhere);
    hand_free(attacker);
    half_free(&honest);
    site_free(site);
}

/* In the place of a certificate a pre-shared key: forged, the one recorded flight repeated, and by a taken
 * door itself. Each time the honest one is in by its next try. */
static void thousand_first_flights_with_a_pre_shared_key(void **state)
{
    (void)state;
    struct site *site = site_with(NULL, 0);
    struct site_node *authority = site_authority(site);
    struct identity identity;
    uint8_t before[32];
    uint8_t after[32];
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_identity(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, &identity);
    identity.psk.data[0] ^= 1u;
    struct hand *attacker = hand_new_with(site, DOOR, &identity);
    site_digest(authority, before);
    struct counts counts = counts_now();
    assert_int_equal(flood(site, attacker, 1000), 0);
    assert_int_equal(counts_since(&counts, AUDIT_REFUSED_PSK), ADMISSION_ORIGIN_BURST);
    assert_int_equal(counts_since(&counts, AUDIT_REFUSED_BUSY), 1000 - ADMISSION_ORIGIN_BURST);
    site_advance(site, 1000);
    (void)flood(site, attacker, ADMISSION_ORIGIN_RATE / 2);

    /* Recorded, and given a thousand times: it is one handshake, and still the honest one's. */
    struct half honest = {.hand = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK)};
    half_open(&honest);
    counts = counts_now();
    size_t memory = mallinfo2().uordblks;
    for (unsigned i = 0; i < 1000; i++) {
        struct buffer answer = site_received(authority, DOOR, SITE_MN_CSE, buffer_bytes(&honest.one));
        assert_true(bytes_equal(buffer_bytes(&answer), buffer_bytes(&honest.two)));
        buffer_clear(&answer);
    }
    assert_in_range(mallinfo2().uordblks, 0, memory + 65536);
    assert_int_equal(counts_since(&counts, AUDIT_HANDSHAKES_STARTED), 0);
    site_digest(authority, after);
    assert_memory_equal(before, after, 32);
    half_ends_well(&honest);

    /* A taken door's own: no more than its own rate, and four of them are kept. */
    site_advance(site, 20000);
    site_digest(authority, before);
    counts = counts_now();
    assert_int_equal(flood(site, honest.hand, 10), 10);
    memory = mallinfo2().uordblks;
    assert_int_equal(flood(site, honest.hand, 990), ADMISSION_ORIGIN_BURST - 10);
    assert_in_range(mallinfo2().uordblks, 0, memory + 262144);
    assert_int_equal(counts_since(&counts, AUDIT_REFUSED_BUSY), 1000 - ADMISSION_ORIGIN_BURST);
    site_digest(authority, after);
    assert_memory_equal(before, after, 32);
    site_advance(site, 1000);
    half_open(&honest);
    half_ends_well(&honest);
    hand_free(attacker);
    half_free(&honest);
    site_free(site);
}

/* The same through a hop that is not the door's: names alone take no place of it. */
static void first_flights_through_another_site(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR};
    struct site *site = site_with(names, 1);
    site_enrol(site, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    struct half half = half_new(site, DOOR);
    half_open(&half);
    struct hand *attacker = hand_new(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    for (unsigned i = 0; i < 20; i++) {
        struct buffer object = hand_flight1(attacker);
        struct buffer answer =
            site_received(site_authority(site), DOOR, "//sp.example/mn-2", buffer_bytes(&object));
        assert_true(hand_is_refusal(buffer_bytes(&answer)));
        buffer_clear(&object);
        buffer_clear(&answer);
    }
    half_ends_well(&half);
    half_free(&half);
    hand_free(attacker);
    site_free(site);
}

/* ---- records under another name, to another, back ---- */

struct tap {
    struct buffer kept; /* the newest object of the authority to `to` */
    const char *to;
};

static enum site_fate keep(void *context, const struct site_message *message)
{
    struct tap *tap = context;
    if (message->what == SITE_OBJECT && strcmp(message->from, SITE_AUTHORITY) == 0 &&
        strcmp(message->to, tap->to) == 0) {
        buffer_clear(&tap->kept);
        assert_int_equal(buffer_append(&tap->kept, message->payload), RESULT_OK);
    }
    return SITE_DELIVER;
}

static void records_under_another_name(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR, SENSOR};
    struct site *site = site_with(names, 2);
    struct half halves[2] = {half_new(site, DOOR), half_new(site, SENSOR)};
    struct tap tap = {.kept = BUFFER_EMPTY(65536), .to = DOOR};
    site_carry(site, keep, &tap);
    half_open(&halves[0]);
    half_open(&halves[1]);
    half_ends_well(&halves[0]);
    half_ends_well(&halves[1]);
    site_settle(site);
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    body.item = 5;
    struct buffer object = hand_record(halves[0].hand, &body);
    object_is_refused(site, SENSOR, buffer_bytes(&object), AUDIT_RECORDS_REFUSED, "not known here");
    object_is_refused(site, SITE_MN_CSE, buffer_bytes(&object), AUDIT_RECORDS_REFUSED, SITE_MN_CSE);
    object_is_refused(site, "//sp.example/Snobody", buffer_bytes(&object), AUDIT_RECORDS_REFUSED,
                      "//sp.example/Snobody");
    /* What the authority sent to the door comes back to it. */
    assert_true(tap.kept.length > 0);
    object_is_refused(site, DOOR, buffer_bytes(&tap.kept), AUDIT_RECORDS_REFUSED, DOOR);
    /* The twin, under its own name; once. */
    struct buffer again = copy_of(&object);
    struct buffer answer = hand_give(halves[0].hand, SITE_MN_CSE, &object);
    assert_false(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    object_is_refused(site, DOOR, buffer_bytes(&again), AUDIT_RECORDS_REFUSED, DOOR);
    buffer_clear(&again);
    buffer_clear(&tap.kept);
    half_free(&halves[0]);
    half_free(&halves[1]);
    site_free(site);
}

/* ---- at a member ---- */

static Groupseal__Secenv__Code answered(struct site_node *node, uint64_t token, struct bytes object)
{
    Groupseal__Secenv__Answered content = GROUPSEAL__SECENV__ANSWERED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.token = token;
    content.object = arena_field(object);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

/* Objects to a member: of another member's, from anybody but its authority, and answers that it never asked.
 */
static void objects_for_another_member(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct tap tap = {.kept = BUFFER_EMPTY(65536), .to = PLAY_DOOR_2};
    site_carry(play->site, keep, &tap);
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR_2), CODE(OK));
    site_settle(play->site);
    assert_true(tap.kept.length > 0);
    uint8_t before[32];
    uint8_t after[32];
    site_digest(play->door, before);
    static const char *const senders[] = {SITE_AUTHORITY, SITE_MN_CSE, PLAY_DOOR_2, "//sp.example/in-cse-2"};
    for (size_t i = 0; i < 4; i++) {
        struct counts counts = counts_now();
        struct buffer answer = site_received(play->door, senders[i], SITE_MN_CSE, buffer_bytes(&tap.kept));
        assert_true(hand_is_refusal(buffer_bytes(&answer)));
        buffer_clear(&answer);
        const Groupseal__Secenv__Event *event =
            site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
        assert_non_null(event);
        assert_non_null(
            strstr(event->notice->text, i == 0 ? "not known here" : "only //sp.example/in-cse may"));
        if (i == 0) {
            assert_int_equal(counts_since(&counts, AUDIT_RECORDS_REFUSED), 1);
        }
        site_events_clear(play->door);
    }
    /* Responses that nobody asked for, with every token there may be. */
    for (uint64_t token = 0; token < 200; token++) {
        assert_int_not_equal(answered(play->door, token == 199 ? UINT64_MAX : token, buffer_bytes(&tap.kept)),
                             CODE(INTERNAL));
    }
    site_digest(play->door, after);
    assert_memory_equal(before, after, 32);
    /* The twin: it still takes what is its own. */
    struct counts counts = counts_now();
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR), CODE(OK));
    site_advance(play->site, 10000);
    assert_in_range(counts_since(&counts, AUDIT_HANDSHAKES_DONE), 1, 2);
    buffer_clear(&tap.kept);
    play_free(play);
}

/* At the authority: a response to nothing, and the response of another. */
static void responses_nobody_asked_for(void **state)
{
    (void)state;
    static const char *const names[] = {DOOR};
    struct site *site = site_with(names, 1);
    struct site_node *authority = site_authority(site);
    struct half half = half_new(site, DOOR);
    uint8_t before[32];
    uint8_t after[32];
    half_open(&half);
    half_ends_well(&half);
    site_settle(site);
    site_advance(site, 1000);
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    accept.item = 1;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    struct buffer object = hand_record(half.hand, &body);
    site_digest(authority, before);
    assert_int_equal(answered(authority, 0, buffer_bytes(&object)), CODE(UNKNOWN));
    assert_int_equal(answered(authority, 1000000, buffer_bytes(&object)), CODE(UNKNOWN));
    assert_int_equal(answered(authority, UINT64_MAX, buffer_bytes(&object)), CODE(UNKNOWN));
    site_digest(authority, after);
    assert_memory_equal(before, after, 32);
    buffer_clear(&object);
    /* The twin: what was asked, a new package, is sent and its answer taken. */
    struct counts counts = counts_now();
    site_enrol(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    struct hand *sensor = hand_new(site, SENSOR, IDENTITY_ADN_AE, CREDENTIALS_CERT);
    assert_true(hand_authenticate(sensor));
    site_settle(site);
    assert_int_equal(counts_since(&counts, AUDIT_PACKAGES_ACCEPTED), 1);
    hand_free(sensor);
    half_free(&half);
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flights_truncated),
        cmocka_unit_test(flights_out_of_order),
        cmocka_unit_test(flights_merged),
        cmocka_unit_test(flights_of_another_session),
        cmocka_unit_test(thousand_first_flights),
        cmocka_unit_test(thousand_first_flights_with_a_pre_shared_key),
        cmocka_unit_test(first_flights_through_another_site),
        cmocka_unit_test(records_under_another_name),
        cmocka_unit_test(objects_for_another_member),
        cmocka_unit_test(responses_nobody_asked_for),
    };
    return cmocka_run_group_tests_name("attack/carriage", tests, NULL, NULL);
}
