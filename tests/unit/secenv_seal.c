/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Group messages: sealing, the relay's and the member's signatures, and what they cost in bytes. */
#include "secenv/objects/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef Groupseal__Envelope__Sealed Sealed;

static const char body_text[] = "door 4 closed; smoke 0.2 dB/m; battery 87 %; link -61 dBm; no fault";

static struct signing_key relay_key;
static struct signing_key member_key;
static struct secret epoch_key;

static ProtobufCBinaryData view(const void *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

static struct bytes bytes_of(ProtobufCBinaryData field)
{
    return (struct bytes){field.data, field.len};
}

static struct seal_context context_of(Groupseal__Envelope__Kind kind)
{
    bool members =
        kind == GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE || kind == GROUPSEAL__ENVELOPE__KIND__KIND_ACK;
    return (struct seal_context){
        .instance = {1, 2, 3},
        .incarnation = 1700000000,
        .site = "mn-1",
        .kind = kind,
        .ae = members ? "//sp.example/Sdoor4" : "",
        .epoch = 4711,
        .serial = 4000,
        .boot = {8, 7, 6, 5, 4, 3, 2, 1},
        .counter = 1700000000000000,
    };
}

struct fixture {
    struct arena *arena;
    struct buffer payload;
    struct buffer plaintext;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->arena = arena_new(1u << 20);
    assert_non_null(fixture->arena);
    fixture->payload = BUFFER_EMPTY(OBJECT_LIMIT);
    fixture->plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    buffer_clear(&fixture->payload);
    buffer_clear(&fixture->plaintext);
    arena_free(fixture->arena);
    free(fixture);
    return 0;
}

static Sealed *sealed_of(struct fixture *fixture, const struct seal_context *context, enum aead cipher,
                         struct bytes plaintext)
{
    Sealed *sealed = NULL;
    buffer_clear(&fixture->payload);
    assert_int_equal(seal_message(context, cipher, &epoch_key, plaintext, &fixture->payload), RESULT_OK);
    assert_int_equal(seal_parse(buffer_bytes(&fixture->payload), fixture->arena, &sealed, NULL), RESULT_OK);
    assert_int_equal(sealed->kind, context->kind);
    assert_int_equal(sealed->epoch, context->epoch);
    assert_int_equal(sealed->serial, context->serial);
    assert_int_equal(sealed->counter, context->counter);
    assert_memory_equal(sealed->boot.data, context->boot, sizeof(context->boot));
    return sealed;
}

/* Every field of the context and every bit of the ciphertext counts. */
static void seal_alterations(struct fixture *fixture, Groupseal__Envelope__Kind kind, enum aead cipher)
{
    const struct seal_context context = context_of(kind);
    const struct bytes plaintext = bytes_of_text(body_text);
    const Sealed *sealed = sealed_of(fixture, &context, cipher, plaintext);
    struct bytes ciphertext = bytes_of(sealed->ciphertext);
    assert_int_equal(ciphertext.length, plaintext.length + AEAD_TAG_SIZE);
    assert_null(memmem(fixture->payload.data, fixture->payload.length, body_text, 8));

    struct seal_context altered[13];
    for (size_t i = 0; i < 13; i++) {
        altered[i] = context;
    }
    altered[0].instance[0] ^= 1;
    altered[1].instance[15] ^= 1;
    altered[2].incarnation ^= 1;
    altered[3].site = "mn-2";
    altered[4].epoch ^= 1;
    altered[5].epoch ^= 1ull << 63;
    altered[6].serial ^= 1;
    altered[7].boot[0] ^= 1;
    altered[8].boot[7] ^= 1;
    altered[9].counter ^= 1;
    altered[10].counter ^= 1ull << 63;
    altered[11].kind = (Groupseal__Envelope__Kind)(kind ^ (kind < 3 ? 3 : 7)); /* 1 with 2, 3 with 4 */
    altered[12].ae = context.ae[0] == '\0' ? "//sp.example/Sdoor4" : "//sp.example/Sdoor5";
    for (size_t i = 0; i < 13; i++) {
        enum result result = seal_open(&altered[i], cipher, &epoch_key, ciphertext, &fixture->plaintext);
        assert_int_equal(result, i == 12 && kind < 3 ? RESULT_INVALID : RESULT_REFUSED);
        assert_int_equal(fixture->plaintext.length, 0);
    }
    for (size_t at = 0; at < ciphertext.length; at++) {
        sealed->ciphertext.data[at] ^= 0x80;
        assert_int_equal(seal_open(&context, cipher, &epoch_key, ciphertext, &fixture->plaintext),
                         RESULT_REFUSED);
        sealed->ciphertext.data[at] ^= 0x80;
    }
    struct secret other = epoch_key;
    other.data[31] ^= 1;
    assert_int_equal(seal_open(&context, cipher, &other, ciphertext, &fixture->plaintext), RESULT_REFUSED);
    enum aead other_cipher =
        cipher == AEAD_AES_256_GCM_CIPHER ? AEAD_CHACHA20_POLY1305_CIPHER : AEAD_AES_256_GCM_CIPHER;
    assert_int_equal(seal_open(&context, other_cipher, &epoch_key, ciphertext, &fixture->plaintext),
                     RESULT_REFUSED);

    assert_int_equal(seal_open(&context, cipher, &epoch_key, ciphertext, &fixture->plaintext), RESULT_OK);
    assert_true(bytes_equal(buffer_bytes(&fixture->plaintext), plaintext));
    buffer_clear(&fixture->plaintext);
}

static void test_seal_and_open(void **state)
{
    for (unsigned kind = 1; kind <= 4; kind++) {
        seal_alterations(*state, (Groupseal__Envelope__Kind)kind, AEAD_CHACHA20_POLY1305_CIPHER);
        seal_alterations(*state, (Groupseal__Envelope__Kind)kind, AEAD_AES_256_GCM_CIPHER);
    }
}

static void test_kind_and_ae_must_fit(void **state)
{
    struct fixture *fixture = *state;
    const struct bytes plaintext = bytes_of_text(body_text);
    for (unsigned kind = 0; kind <= 5; kind++) {
        struct seal_context context = context_of((Groupseal__Envelope__Kind)kind);
        bool known = kind >= 1 && kind <= 4;
        const char *good = context.ae;
        assert_int_equal(
            seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key, plaintext, &fixture->payload),
            known ? RESULT_OK : RESULT_INVALID);
        context.ae = good[0] == '\0' ? "//sp.example/Sdoor4" : "";
        assert_int_equal(
            seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key, plaintext, &fixture->payload),
            RESULT_INVALID);
        context.ae = good;
        context.site = "mn/1";
        assert_int_equal(
            seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key, plaintext, &fixture->payload),
            RESULT_INVALID);
    }
}

static void test_parse_limits(void **state)
{
    struct fixture *fixture = *state;
    const struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND);
    const Sealed *good =
        sealed_of(fixture, &context, AEAD_CHACHA20_POLY1305_CIPHER, bytes_of_text(body_text));
    struct reason why;
    uint8_t packed[512];
    Sealed *out = NULL;

    for (unsigned wrong = 0; wrong < 5; wrong++) {
        Sealed sealed = *good;
        enum result expected = wrong == 0 ? RESULT_OK : RESULT_INVALID;
        if (wrong == 1) {
            sealed.kind = (Groupseal__Envelope__Kind)5;
        } else if (wrong == 2) {
            sealed.kind = GROUPSEAL__ENVELOPE__KIND__KIND_NONE;
        } else if (wrong == 3) {
            sealed.boot.len = 7;
        } else if (wrong == 4) {
            sealed.ciphertext.len = AEAD_TAG_SIZE - 1;
        }
        size_t size = groupseal__envelope__sealed__pack(&sealed, packed);
        assert_int_equal(seal_parse((struct bytes){packed, size}, fixture->arena, &out, &why), expected);
    }
    assert_int_equal(seal_parse((struct bytes){NULL, 0}, fixture->arena, &out, &why), RESULT_INVALID);
    assert_int_equal(seal_parse((struct bytes){(const uint8_t *)"\xff", 1}, fixture->arena, &out, &why),
                     RESULT_INVALID);
    uint8_t *large = calloc(1, OBJECT_LIMIT + 1);
    assert_int_equal(seal_parse((struct bytes){large, OBJECT_LIMIT + 1}, fixture->arena, &out, &why),
                     RESULT_INVALID);
    free(large);
}

static void test_too_large_a_message(void **state)
{
    struct fixture *fixture = *state;
    const struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND);
    uint8_t *large = calloc(1, OBJECT_LIMIT);
    assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key,
                                  (struct bytes){large, OBJECT_LIMIT - 32}, &fixture->payload),
                     RESULT_INVALID);
    assert_int_equal(fixture->payload.length, 0);
    assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key,
                                  (struct bytes){large, OBJECT_LIMIT - 128}, &fixture->payload),
                     RESULT_OK);
    free(large);
}

/* ---- signatures ---- */

/* Contexts that differ from the first in one field each. */
#define CONTEXTS 12u

static void contexts_of(Groupseal__Envelope__Kind kind, struct seal_context contexts[CONTEXTS])
{
    for (size_t i = 0; i < CONTEXTS; i++) {
        contexts[i] = context_of(kind);
    }
    contexts[1].instance[0] ^= 1;
    contexts[2].incarnation ^= 1;
    contexts[3].site = "mn-2";
    contexts[4].epoch ^= 1;
    contexts[5].serial ^= 1;
    contexts[6].boot[0] ^= 1;
    contexts[7].boot[7] ^= 1;
    contexts[8].counter ^= 1;
    contexts[9].counter ^= 1ull << 40;
    contexts[10].kind = (Groupseal__Envelope__Kind)(kind ^ (kind < 3 ? 3 : 7));
    contexts[11].ae = contexts[0].ae[0] == '\0' ? "//sp.example/Sdoor4" : "//sp.example/Sdoor5";
}

static void test_seal_signature(void **state)
{
    (void)state;
    struct seal_context contexts[CONTEXTS];
    uint8_t hash[HASH_SIZE] = {9};
    uint8_t other_hash[HASH_SIZE] = {8};
    uint8_t signature[SIGNATURE_SIZE];
    const struct bytes key = {relay_key.public_key, VERIFY_KEY_SIZE};
    contexts_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND, contexts);

    assert_int_equal(seal_sign(&contexts[0], 60000, hash, &relay_key, signature), RESULT_OK);
    assert_int_equal(seal_check(&contexts[0], 60000, hash, key, BYTES_OF(signature)), RESULT_OK);
    for (size_t i = 1; i < CONTEXTS; i++) {
        assert_int_not_equal(seal_check(&contexts[i], 60000, hash, key, BYTES_OF(signature)), RESULT_OK);
    }
    assert_int_equal(seal_check(&contexts[0], 60001, hash, key, BYTES_OF(signature)), RESULT_REFUSED);
    assert_int_equal(seal_check(&contexts[0], 60000, other_hash, key, BYTES_OF(signature)), RESULT_REFUSED);
    const struct bytes members = {member_key.public_key, VERIFY_KEY_SIZE};
    assert_int_equal(seal_check(&contexts[0], 60000, hash, members, BYTES_OF(signature)), RESULT_REFUSED);
    signature[63] ^= 1;
    assert_int_equal(seal_check(&contexts[0], 60000, hash, key, BYTES_OF(signature)), RESULT_REFUSED);

    /* a sync has no expiry; a member's kind is not the relay's to sign */
    struct seal_context sync = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_SYNC);
    assert_int_equal(seal_sign(&sync, 0, hash, &relay_key, signature), RESULT_OK);
    assert_int_equal(seal_check(&sync, 0, hash, key, BYTES_OF(signature)), RESULT_OK);
    assert_int_equal(seal_sign(&sync, 1, hash, &relay_key, signature), RESULT_INVALID);
    struct seal_context message = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE);
    assert_int_equal(seal_sign(&message, 0, hash, &relay_key, signature), RESULT_INVALID);
}

static void test_member_signature(void **state)
{
    (void)state;
    struct seal_context contexts[CONTEXTS];
    uint8_t hash[HASH_SIZE] = {9};
    uint8_t other_hash[HASH_SIZE] = {8};
    uint8_t signature[SIGNATURE_SIZE];
    const struct bytes key = {member_key.public_key, VERIFY_KEY_SIZE};
    for (unsigned kind = 3; kind <= 4; kind++) {
        contexts_of((Groupseal__Envelope__Kind)kind, contexts);
        assert_int_equal(said_sign(&contexts[0], hash, &member_key, signature), RESULT_OK);
        assert_int_equal(said_check(&contexts[0], hash, key, BYTES_OF(signature)), RESULT_OK);
        for (size_t i = 1; i < CONTEXTS; i++) {
            assert_int_equal(said_check(&contexts[i], hash, key, BYTES_OF(signature)), RESULT_REFUSED);
        }
        assert_int_equal(said_check(&contexts[0], other_hash, key, BYTES_OF(signature)), RESULT_REFUSED);
    }
    struct seal_context command = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND);
    assert_int_equal(said_sign(&command, hash, &member_key, signature), RESULT_INVALID);
}

static void test_sync_hash(void **state)
{
    (void)state;
    Groupseal__Envelope__SyncReply reply = GROUPSEAL__ENVELOPE__SYNC_REPLY__INIT;
    uint8_t nonce[NONCE_SIZE + 1] = {1};
    ProtobufCBinaryData nonces[1025];
    uint8_t first[HASH_SIZE];
    uint8_t second[HASH_SIZE];
    for (size_t i = 0; i < 1025; i++) {
        nonces[i] = view(nonce, NONCE_SIZE);
    }
    reply.nonces = nonces;
    reply.n_nonces = 1024;
    reply.floor = 7;
    reply.time_ms = 8;
    assert_int_equal(sync_hash(&reply, first), RESULT_OK);
    reply.floor++;
    assert_int_equal(sync_hash(&reply, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    reply.floor--;
    reply.time_ms++;
    assert_int_equal(sync_hash(&reply, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    reply.time_ms--;
    nonce[7] = 1;
    assert_int_equal(sync_hash(&reply, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    reply.n_nonces = 1025;
    assert_int_equal(sync_hash(&reply, second), RESULT_INVALID);
    reply.n_nonces = 1;
    nonces[0].len = NONCE_SIZE + 1;
    assert_int_equal(sync_hash(&reply, second), RESULT_INVALID);
}

static void test_ack_hash(void **state)
{
    (void)state;
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    Groupseal__Envelope__SyncRequest request = GROUPSEAL__ENVELOPE__SYNC_REQUEST__INIT;
    Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    uint8_t nonce[NONCE_SIZE] = {1};
    uint8_t id[COMMAND_ID_SIZE] = {2};
    char detail[DETAIL_LIMIT + 2];
    uint8_t first[HASH_SIZE];
    uint8_t second[HASH_SIZE];

    assert_int_equal(ack_hash(&ack, first), RESULT_INVALID);
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST;
    ack.sync_request = &request;
    assert_int_equal(ack_hash(&ack, first), RESULT_INVALID);
    request.nonce = view(nonce, sizeof(nonce));
    assert_int_equal(ack_hash(&ack, first), RESULT_OK);
    nonce[0] = 2;
    assert_int_equal(ack_hash(&ack, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);

    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
    ack.receipt = &receipt;
    receipt.command_id = view(id, sizeof(id));
    assert_int_equal(ack_hash(&ack, first), RESULT_INVALID); /* no outcome */
    receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE;
    assert_int_equal(ack_hash(&ack, first), RESULT_OK);
    receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED;
    assert_int_equal(ack_hash(&ack, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    receipt.outcome = (Groupseal__Envelope__Outcome)6;
    assert_int_equal(ack_hash(&ack, second), RESULT_INVALID);
    receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE;
    memset(detail, 'x', sizeof(detail));
    detail[DETAIL_LIMIT] = '\0';
    receipt.detail = detail;
    assert_int_equal(ack_hash(&ack, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    detail[DETAIL_LIMIT] = 'x';
    detail[DETAIL_LIMIT + 1] = '\0';
    assert_int_equal(ack_hash(&ack, second), RESULT_INVALID);
    receipt.detail = NULL;
    receipt.command_id.len = 15;
    assert_int_equal(ack_hash(&ack, second), RESULT_INVALID);
}

/* ---- what it costs ---- */

static size_t message_overhead(struct fixture *fixture, bool is_signed)
{
    const struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE);
    Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
    uint8_t signature[SIGNATURE_SIZE] = {1};
    uint8_t plaintext[512];
    message.body = view(body_text, sizeof(body_text) - 1);
    if (is_signed) {
        message.signature = view(signature, sizeof(signature));
    }
    size_t size = groupseal__envelope__member_message__pack(&message, plaintext);
    sealed_of(fixture, &context, AEAD_CHACHA20_POLY1305_CIPHER, (struct bytes){plaintext, size});
    return fixture->payload.length - (sizeof(body_text) - 1);
}

/* Over command id, the two times, two targets and the body. */
static size_t command_overhead(struct fixture *fixture)
{
    const struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND);
    static const char *const names[] = {"//sp.example/Sdoor4", "//sp.example/Sdoor5"};
    char *targets[] = {(char *)(uintptr_t)names[0], (char *)(uintptr_t)names[1]};
    Groupseal__Envelope__Order order = GROUPSEAL__ENVELOPE__ORDER__INIT;
    Groupseal__Envelope__Command command = GROUPSEAL__ENVELOPE__COMMAND__INIT;
    uint8_t signature[SIGNATURE_SIZE] = {1};
    uint8_t id[COMMAND_ID_SIZE] = {1};
    uint8_t plaintext[1024];
    order.command_id = view(id, sizeof(id));
    order.issued_ms = 1700000000000;
    order.expires_ms = 1700000060000;
    order.n_targets = 2;
    order.targets = targets;
    order.signature = view(signature, sizeof(signature));
    command.order = &order;
    command.body = view(body_text, sizeof(body_text) - 1);
    command.seal_expires_ms = 60000;
    command.seal_signature = view(signature, sizeof(signature));
    size_t size = groupseal__envelope__command__pack(&command, plaintext);
    sealed_of(fixture, &context, AEAD_CHACHA20_POLY1305_CIPHER, (struct bytes){plaintext, size});
    size_t said = sizeof(id) + 8 + 8 + strlen(names[0]) + strlen(names[1]) + sizeof(body_text) - 1;
    return fixture->payload.length - said;
}

static void test_overhead(void **state)
{
    struct fixture *fixture = *state;
    size_t unsigned_message = message_overhead(fixture, false);
    size_t signed_message = message_overhead(fixture, true);
    size_t command = command_overhead(fixture);
    print_message("bytes over the plaintext: member message %zu unsigned, %zu signed; command with two "
                  "signatures %zu over (id, times, two targets, body)\n",
                  unsigned_message, signed_message, command);
    assert_true(unsigned_message <= 56);
    assert_true(signed_message <= 122);
    assert_true(command <= 200);
}

static int setup_keys(void **state)
{
    (void)state;
    return signing_key_make(&relay_key) == RESULT_OK && signing_key_make(&member_key) == RESULT_OK &&
                   random_bytes(epoch_key.data, SECRET_SIZE) == RESULT_OK
               ? 0
               : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seal_and_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kind_and_ae_must_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parse_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_a_message, setup, teardown),
        cmocka_unit_test(test_seal_signature),
        cmocka_unit_test(test_member_signature),
        cmocka_unit_test(test_sync_hash),
        cmocka_unit_test(test_ack_hash),
        cmocka_unit_test_setup_teardown(test_overhead, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_keys, NULL);
}
