/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/hand.h"

typedef Groupseal__Envelope__EndToEnd EndToEnd;
typedef Groupseal__Envelope__RecordBody RecordBody;

static const char *const hand_schemas[] = {counter_schema, association_schema};

/* ---- life ---- */

static struct buffer hand_take(void *context, struct bytes object);

static void hand_store_open(struct hand *hand)
{
    static unsigned number;
    char directory[256];
    char root_key[300];
    struct reason why = {""};
    (void)snprintf(directory, sizeof(directory), "%s/hand-%u", site_scratch(hand->site), number++);
    (void)snprintf(root_key, sizeof(root_key), "%s/root.key", directory);
    assert_int_equal(store_create(directory, STORE_MEMBER, root_key, &why), RESULT_OK);
    assert_int_equal(
        store_open(directory, STORE_MEMBER, root_key_file(root_key), hand_schemas, 2, &hand->store, &why),
        RESULT_OK);
}

struct hand *hand_new_with(struct site *site, const char *name, struct identity *identity)
{
    struct reason why = {""};
    struct hand *hand = calloc(1, sizeof(*hand));
    assert_non_null(hand);
    hand->site = site;
    hand->kind = identity->kind;
    hand->mode = identity->mode;
    (void)snprintf(hand->name, sizeof(hand->name), "%s", name);
    hand->arena = arena_new((size_t)8 * 1024 * 1024);
    assert_non_null(hand->arena);
    assert_int_equal(handshake_context_new(identity, site_clock(site), &hand->tls, &why), RESULT_OK);
    assert_int_equal(signing_key_make(&hand->signing), RESULT_OK);
    hand_store_open(hand);
    identity_clear(identity);
    site_stranger_add(site, name, hand_take, hand);
    return hand;
}

struct hand *hand_new(struct site *site, const char *name, enum identity_kind kind,
                      enum credentials_mode mode)
{
    struct identity identity;
    site_identity(site, name, kind, mode, &identity);
    return hand_new_with(site, name, &identity);
}

void hand_rename(struct hand *hand, const char *name, struct identity *identity)
{
    struct reason why = {""};
    handshake_free(hand->handshake);
    hand->handshake = NULL;
    handshake_context_free(hand->tls);
    assert_int_equal(handshake_context_new(identity, site_clock(hand->site), &hand->tls, &why), RESULT_OK);
    (void)snprintf(hand->name, sizeof(hand->name), "%s", name);
    hand->associated = false;
    identity_clear(identity);
    arena_reset(hand->arena);
    hand_forget(hand);
}

void hand_forget(struct hand *hand)
{
    hand->body_count = 0;
}

void hand_free(struct hand *hand)
{
    if (hand == NULL) {
        return;
    }
    handshake_free(hand->handshake);
    handshake_context_free(hand->tls);
    store_close(hand->store);
    arena_free(hand->arena);
    free(hand);
}

/* ---- packing ---- */

static struct buffer packed(struct hand *hand, const EndToEnd *object)
{
    struct bytes bytes;
    struct buffer out = BUFFER_EMPTY(65536);
    assert_int_equal(carriage_pack(object, hand->arena, &bytes), RESULT_OK);
    assert_int_equal(buffer_append(&out, bytes), RESULT_OK);
    return out;
}

static struct buffer packed_flight(struct hand *hand, Groupseal__Envelope__Flight *flight)
{
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    object.flight = flight;
    return packed(hand, &object);
}

static EndToEnd *parsed(struct hand *hand, struct bytes object)
{
    EndToEnd *out = NULL;
    struct reason why = {""};
    return carriage_parse(object, hand->arena, &out, &why) == RESULT_OK ? out : NULL;
}

bool hand_is_refusal(struct bytes object)
{
    EndToEnd *out = groupseal__envelope__end_to_end__unpack(NULL, object.length, object.data);
    assert_non_null(out);
    bool refusal = out->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    groupseal__envelope__end_to_end__free_unpacked(out, NULL);
    return refusal;
}

/* ---- flights ---- */

struct buffer hand_flight1(struct hand *hand)
{
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    struct buffer tls = BUFFER_EMPTY(65536);
    struct reason why = {""};
    handshake_free(hand->handshake);
    hand->handshake = NULL;
    assert_int_equal(handshake_client_start(hand->tls, &hand->handshake, &tls, hand->hello_hash, &why),
                     RESULT_OK);
    flight.number = 1;
    flight.tls = arena_field(buffer_bytes(&tls));
    struct buffer object = packed_flight(hand, &flight);
    buffer_clear(&tls);
    return object;
}

static Groupseal__Envelope__Record *first_record(struct hand *hand)
{
    Groupseal__Envelope__First first = GROUPSEAL__ENVELOPE__FIRST__INIT;
    RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Record *record = NULL;
    uint8_t signature[SIGNATURE_SIZE];
    struct reason why = {""};
    const char *name = hand->first_name != NULL ? hand->first_name : hand->name;
    assert_int_equal(first_sign(&hand->coming.agreement, name, &hand->signing, signature), RESULT_OK);
    first.signing_key = arena_field(BYTES_OF(hand->signing.public_key));
    first.signature = arena_field(BYTES_OF(signature));
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_FIRST;
    body.first = &first;
    assert_int_equal(association_seal(&hand->coming, hand->store, site_clock(hand->site), &body, hand->arena,
                                      &record, &why),
                     RESULT_OK);
    return record;
}

struct buffer hand_flight3(struct hand *hand, struct bytes answer)
{
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    struct buffer tls = BUFFER_EMPTY(65536);
    struct agreement agreement;
    enum audit_counter cause;
    struct reason why = {""};
    const EndToEnd *object = parsed(hand, answer);
    assert_non_null(object);
    assert_int_equal(object->content_case, GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT);
    assert_int_equal(object->flight->number, 2);
    enum result result = handshake_client_finish(hand->handshake, arena_view(object->flight->tls), &tls,
                                                 &agreement, &cause, &why);
    if (result != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    association_init(&hand->coming, ASSOCIATION_MEMBER, ASSOCIATION_CURRENT, hand->name, SITE_AUTHORITY,
                     &agreement, site_now_ms(hand->site));
    flight.number = 3;
    flight.hello_hash = arena_field(BYTES_OF(hand->hello_hash));
    flight.tls = arena_field(buffer_bytes(&tls));
    flight.record = first_record(hand);
    struct buffer out = packed_flight(hand, &flight);
    buffer_clear(&tls);
    return out;
}

bool hand_flight4(struct hand *hand, struct bytes answer)
{
    RecordBody *body = NULL;
    struct reason why = {""};
    const EndToEnd *object = parsed(hand, answer);
    if (object == NULL || object->content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT ||
        object->flight->number != 4) {
        return false;
    }
    assert_int_equal(
        association_open(&hand->coming, hand->store, object->flight->record, hand->arena, &body, &why),
        RESULT_OK);
    assert_int_equal(body->content_case, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CONFIRM);
    hand->association = hand->coming;
    hand->associated = true;
    return true;
}

struct buffer hand_give(struct hand *hand, const char *hop, struct buffer *object)
{
    struct buffer answer = site_received(site_authority(hand->site), hand->name,
                                         hop != NULL ? hop : hand->name, buffer_bytes(object));
    buffer_clear(object);
    return answer;
}

bool hand_authenticate(struct hand *hand)
{
    struct buffer object = hand_flight1(hand);
    struct buffer answer = hand_give(hand, NULL, &object);
    bool done = false;
    if (!hand_is_refusal(buffer_bytes(&answer))) {
        object = hand_flight3(hand, buffer_bytes(&answer));
        buffer_clear(&answer);
        answer = hand_give(hand, NULL, &object);
        done = hand_flight4(hand, buffer_bytes(&answer));
    }
    buffer_clear(&answer);
    return done;
}

/* ---- records ---- */

struct buffer hand_record(struct hand *hand, RecordBody *body)
{
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct reason why = {""};
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    assert_int_equal(association_seal(&hand->association, hand->store, site_clock(hand->site), body,
                                      hand->arena, &object.record, &why),
                     RESULT_OK);
    return packed(hand, &object);
}

static RecordBody *hand_open(struct hand *hand, struct bytes bytes)
{
    RecordBody *body = NULL;
    struct reason why = {""};
    const EndToEnd *object = parsed(hand, bytes);
    if (object == NULL || object->content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD ||
        !hand->associated) {
        return NULL;
    }
    return association_open(&hand->association, hand->store, object->record, hand->arena, &body, &why) ==
                   RESULT_OK
               ? body
               : NULL;
}

uint32_t hand_say(struct hand *hand, RecordBody *body)
{
    body->item = 77;
    struct buffer object = hand_record(hand, body);
    struct buffer answer = hand_give(hand, NULL, &object);
    const RecordBody *opened = hand_open(hand, buffer_bytes(&answer));
    buffer_clear(&answer);
    if (opened == NULL) {
        return HAND_REFUSED;
    }
    assert_int_equal(opened->content_case, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT);
    assert_int_equal(opened->accept->item, 77);
    return opened->accept->result;
}

/* What the authority sends: kept, and answered; what does not open is refused. */
static struct buffer hand_take(void *context, struct bytes bytes)
{
    struct hand *hand = context;
    EndToEnd refusal_object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Refusal refusal = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    if (hand->accept == HAND_SILENT) {
        return BUFFER_EMPTY(65536);
    }
    RecordBody *body = hand_open(hand, bytes);
    if (body == NULL) {
        refusal_object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
        refusal_object.refusal = &refusal;
        return packed(hand, &refusal_object);
    }
    assert_true(hand->body_count < 256u);
    hand->bodies[hand->body_count++] = body;
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    RecordBody answer = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    accept.item = body->item;
    accept.result = hand->accept;
    accept.reason = (char *)(uintptr_t)(hand->accept == 0 ? "" : "by hand");
    answer.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    answer.accept = &accept;
    return hand_record(hand, &answer);
}

const RecordBody *hand_last(const struct hand *hand, Groupseal__Envelope__RecordBody__ContentCase content)
{
    for (size_t i = hand->body_count; i > 0; i--) {
        if (hand->bodies[i - 1]->content_case == content) {
            return hand->bodies[i - 1];
        }
    }
    return NULL;
}

const Groupseal__Envelope__Policy *hand_policy(const struct hand *hand)
{
    for (size_t i = hand->body_count; i > 0; i--) {
        const RecordBody *body = hand->bodies[i - 1];
        if (body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE &&
            body->change->policy != NULL) {
            return body->change->policy;
        }
    }
    return NULL;
}

size_t hand_count(const struct hand *hand, Groupseal__Envelope__RecordBody__ContentCase content)
{
    size_t count = 0;
    for (size_t i = 0; i < hand->body_count; i++) {
        count += hand->bodies[i]->content_case == content;
    }
    return count;
}
