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
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/*
 * Who one is: valid certificates of others at a real authority, and ClientHellos whose extensions were
 * changed on the way. Certificates and keys of every other wrong kind are in unit/handshake; this is what
 * they leave.
 */

#define DOOR PLAY_DOOR
#define SENSOR "//sp.example/Ssensor1"

typedef Groupseal__Envelope__EndToEnd EndToEnd;

static struct site *site_with(enum credentials_mode mode)
{
    struct site *site = site_new();
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, mode, SITE_MN_CSE, "door");
    site_enrol(site, SENSOR, IDENTITY_ADN_AE, mode, SITE_MN_CSE, "sensor");
    return site;
}

/* The authority is given an object of `from`: refused, for this reason, with nothing changed. */
static void is_refused(struct site *site, const char *from, struct bytes object, enum audit_counter counter,
                       const char *words)
{
    struct site_node *authority = site_authority(site);
    uint8_t before[32];
    uint8_t after[32];
    site_advance(site, 1000);
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
    if (strstr(event->notice->text, words) == NULL || counts_since(&counts, counter) != 1) {
        fail_msg("refused, but not by %s for \"%s\": %s", audit_name(counter), words, event->notice->text);
    }
    assert_int_equal(counts_since(&counts, AUDIT_HANDSHAKES_REFUSED), 1);
    assert_int_equal(counts_since(&counts, AUDIT_HANDSHAKES_DONE), 0);
}

/* The credentials of `owner`, used in the door's name. */
static void posing(const char *owner, enum identity_kind kind)
{
    struct site *site = site_with(CREDENTIALS_CERT);
    struct identity identity;
    site_identity(site, owner, kind, CREDENTIALS_CERT, &identity);
    struct hand *poser = hand_new_with(site, DOOR, &identity);
    struct buffer one = hand_flight1(poser);
    struct buffer two = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&one));
    struct buffer three = hand_flight3(poser, buffer_bytes(&two));
    is_refused(site, DOOR, buffer_bytes(&three), AUDIT_REFUSED_NAME, "is not of //sp.example/Sdoor1");
    /* The twin: the same hand with the door's own. */
    site_identity(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, &identity);
    hand_rename(poser, DOOR, &identity);
    assert_true(hand_authenticate(poser));
    buffer_clear(&one);
    buffer_clear(&two);
    buffer_clear(&three);
    hand_free(poser);
    site_free(site);
}

static void valid_certificates_of_others(void **state)
{
    (void)state;
    posing(SENSOR, IDENTITY_ADN_AE);
    posing(SITE_MN_CSE, IDENTITY_MN_CSE);
    posing("//sp.example/Sdoor11", IDENTITY_ADN_AE); /* a longer name, a shorter one */
    posing("//sp.example/Sdoor", IDENTITY_ADN_AE);
}

/* A right pre-shared key, in the name of another AE: each is of one pair. */
static void right_key_of_another_name(void **state)
{
    (void)state;
    struct site *site = site_with(CREDENTIALS_PSK);
    struct hand *door = hand_new(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct buffer one = hand_flight1(door);
    is_refused(site, SENSOR, buffer_bytes(&one), AUDIT_REFUSED_UNKNOWN, "not the one in the roster");
    struct buffer two = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&one));
    assert_false(hand_is_refusal(buffer_bytes(&two)));
    struct buffer three = hand_flight3(door, buffer_bytes(&two));
    is_refused(site, SENSOR, buffer_bytes(&three), AUDIT_HANDSHAKES_REFUSED, "no handshake under way");
    assert_true(hand_authenticate(door));
    buffer_clear(&one);
    buffer_clear(&two);
    buffer_clear(&three);
    hand_free(door);
    site_free(site);
}

/* ---- a ClientHello, changed on its way ---- */

#define EXTENSION_ALPN 16u
#define EXTENSION_EARLY_DATA 42u

static size_t u16_at(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static void u16_put(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Where the length of the extensions is: behind record and message header, version, random, session id,
 * suites and compression methods. */
static size_t extensions_at(const uint8_t *hello)
{
    size_t at = 5 + 4 + 2 + 32;
    at += 1u + hello[at];
    at += 2u + u16_at(hello + at);
    at += 1u + hello[at];
    return at;
}

/* Takes the extension of this type out, and puts `added` (a whole one, or none) before the others. */
static struct buffer hello_changed(struct bytes hello, unsigned removed, struct bytes added)
{
    struct buffer out = BUFFER_EMPTY(65536);
    size_t head = extensions_at(hello.data) + 2;
    size_t at = head;
    assert_int_equal(hello.data[0], 0x16);
    assert_int_equal(hello.length, 5 + u16_at(hello.data + 3));
    assert_int_equal(buffer_append(&out, (struct bytes){hello.data, head}), RESULT_OK);
    if (added.length > 0) {
        assert_int_equal(buffer_append(&out, added), RESULT_OK);
    }
    while (at < hello.length) {
        size_t length = 4 + u16_at(hello.data + at + 2);
        if (u16_at(hello.data + at) != removed) {
            assert_int_equal(buffer_append(&out, (struct bytes){hello.data + at, length}), RESULT_OK);
        }
        at += length;
    }
    u16_put(out.data + 3, out.length - 5);
    u16_put(out.data + 7, out.length - 9);
    u16_put(out.data + head - 2, out.length - head);
    return out;
}

static struct buffer object_changed(struct bytes flight1, unsigned removed, struct bytes added)
{
    EndToEnd *object = groupseal__envelope__end_to_end__unpack(NULL, flight1.length, flight1.data);
    assert_non_null(object);
    struct buffer tls = hello_changed(arena_view(object->flight->tls), removed, added);
    ProtobufCBinaryData genuine = object->flight->tls;
    object->flight->tls = arena_field(buffer_bytes(&tls));
    struct buffer out = BUFFER_EMPTY(65536);
    uint8_t packed[65536];
    size_t size = groupseal__envelope__end_to_end__pack(object, packed);
    assert_int_equal(buffer_append(&out, (struct bytes){packed, size}), RESULT_OK);
    object->flight->tls = genuine;
    groupseal__envelope__end_to_end__free_unpacked(object, NULL);
    buffer_clear(&tls);
    return out;
}

static const uint8_t early_data[] = {0, EXTENSION_EARLY_DATA, 0, 0};
static const uint8_t other_alpn[] = {
    0, EXTENSION_ALPN, 0, 12, 0, 10, 9, 'g', 's', '-', 'w', 'r', 'a', 'p', '/', '0'};
static const uint8_t longer_alpn[] = {0,   EXTENSION_ALPN,
                                      0,   22,
                                      0,   20,
                                      9,   'g',
                                      's', '-',
                                      'w', 'r',
                                      'a', 'p',
                                      '/', '1',
                                      9,   'g',
                                      's', '-',
                                      'w', 'e',
                                      'a', 'k',
                                      '/', '1'};

static void hello_changed_on_the_way(enum credentials_mode mode)
{
    struct site *site = site_with(mode);
    struct hand *door = hand_new(site, DOOR, IDENTITY_ADN_AE, mode);
    const struct bytes none = {NULL, 0};
    struct buffer one = hand_flight1(door);
    const struct {
        unsigned removed;
        struct bytes added;
        enum audit_counter counter;
        const char *words;
    } cases[] = {
        {UINT16_MAX + 1u, BYTES_OF(early_data), AUDIT_REFUSED_HELLO, "early data"},
        {EXTENSION_ALPN, none, AUDIT_REFUSED_MECHANISM, "offers no mechanism"},
        {EXTENSION_ALPN, BYTES_OF(other_alpn), AUDIT_REFUSED_MECHANISM, "no mechanism that is taken"},
        {51u, none, AUDIT_REFUSED_HELLO, "no key share"},
        {43u, none, AUDIT_REFUSED_HELLO, "TLS 1.3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer object = object_changed(buffer_bytes(&one), cases[i].removed, cases[i].added);
        if (mode == CREDENTIALS_PSK && cases[i].counter == AUDIT_REFUSED_MECHANISM &&
            cases[i].added.length > 0) {
            /* The binder is over the hello: it fails before anything is picked. */
            is_refused(site, DOOR, buffer_bytes(&object), AUDIT_HANDSHAKES_REFUSED, DOOR);
        } else {
            is_refused(site, DOOR, buffer_bytes(&object), cases[i].counter, cases[i].words);
        }
        buffer_clear(&object);
    }
    /* A longer list: both ends would agree, but on different hellos. */
    struct buffer object = object_changed(buffer_bytes(&one), EXTENSION_ALPN, BYTES_OF(longer_alpn));
    struct buffer two = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&object));
    if (mode == CREDENTIALS_PSK) {
        assert_true(hand_is_refusal(buffer_bytes(&two)));
    } else {
        EndToEnd *answer = groupseal__envelope__end_to_end__unpack(NULL, two.length, two.data);
        struct buffer three = BUFFER_EMPTY(65536);
        struct agreement agreement;
        enum audit_counter cause = AUDIT_COUNT;
        struct reason why = {""};
        assert_int_equal(answer->content_case, GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT);
        assert_int_not_equal(handshake_client_finish(door->handshake, arena_view(answer->flight->tls), &three,
                                                     &agreement, &cause, &why),
                             RESULT_OK);
        assert_in_range(cause, AUDIT_REFUSED_CHAIN, AUDIT_REFUSED_HELLO);
        groupseal__envelope__end_to_end__free_unpacked(answer, NULL);
        buffer_clear(&three);
    }
    buffer_clear(&two);
    buffer_clear(&object);
    /* The twin: parsed, and put together again, as it was. */
    buffer_clear(&one);
    one = hand_flight1(door);
    object = object_changed(buffer_bytes(&one), UINT16_MAX + 1u, none);
    two = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&object));
    struct buffer three = hand_flight3(door, buffer_bytes(&two));
    struct buffer four = site_received(site_authority(site), DOOR, SITE_MN_CSE, buffer_bytes(&three));
    assert_true(hand_flight4(door, buffer_bytes(&four)));
    buffer_clear(&one);
    buffer_clear(&two);
    buffer_clear(&three);
    buffer_clear(&four);
    buffer_clear(&object);
    hand_free(door);
    site_free(site);
}

static void hello_with_a_certificate_changed(void **state)
{
    (void)state;
    hello_changed_on_the_way(CREDENTIALS_CERT);
}

static void hello_with_a_pre_shared_key_changed(void **state)
{
    (void)state;
    hello_changed_on_the_way(CREDENTIALS_PSK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_certificates_of_others),
        cmocka_unit_test(right_key_of_another_name),
        cmocka_unit_test(hello_with_a_certificate_changed),
        cmocka_unit_test(hello_with_a_pre_shared_key_changed),
    };
    return cmocka_run_group_tests_name("attack/identity", tests, NULL, NULL);
}
