/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

#include <stdlib.h>
#include <string.h>

typedef Groupseal__Envelope__Sealed Sealed;

#define NONCES_LIMIT 1024u
#define BOOT_LENGTH 8u

#define COMMAND GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND
#define SYNC GROUPSEAL__ENVELOPE__KIND__KIND_SYNC
#define MESSAGE GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE
#define ACK GROUPSEAL__ENVELOPE__KIND__KIND_ACK

static bool kind_is_relays(Groupseal__Envelope__Kind kind)
{
    return kind == COMMAND || kind == SYNC;
}

static bool kind_is_members(Groupseal__Envelope__Kind kind)
{
    return kind == MESSAGE || kind == ACK;
}

/* Relays' kinds have no AE, members' have one. */
static enum result context_check(const struct seal_context *context)
{
    Groupseal__Envelope__Kind kind = context->kind;
    bool fits = kind_is_relays(kind) ? text_empty(context->ae)
                                     : kind_is_members(kind) && object_name_valid(context->ae);
    return fits && object_site_valid(context->site) ? RESULT_OK : RESULT_INVALID;
}

static struct bytes instance_of(const struct seal_context *context)
{
    return (struct bytes){context->instance, INSTANCE_SIZE};
}

static struct bytes boot_of(const struct seal_context *context)
{
    return (struct bytes){context->boot, BOOT_LENGTH};
}

/* ---- sealing ---- */

static enum result seal_key(const struct seal_context *context, const struct secret *epoch_key,
                            struct secret *out)
{
    struct fields info;
    fields_init(&info);
    fields_label(&info, "seal");
    fields_u8(&info, (uint8_t)context->kind);
    fields_fix(&info, instance_of(context), INSTANCE_SIZE);
    fields_u64(&info, context->incarnation);
    fields_u64(&info, context->serial);
    fields_fix(&info, boot_of(context), BOOT_LENGTH);
    enum result result = kdf_fields(epoch_key, &info, out);
    fields_clear(&info);
    return result;
}

static enum result seal_aad(const struct seal_context *context, struct fields *aad)
{
    fields_init(aad);
    fields_fix(aad, instance_of(context), INSTANCE_SIZE);
    fields_u64(aad, context->incarnation);
    fields_text(aad, context->site);
    fields_u8(aad, (uint8_t)context->kind);
    fields_text(aad, context->ae);
    fields_u64(aad, context->epoch);
    fields_u64(aad, context->serial);
    fields_fix(aad, boot_of(context), BOOT_LENGTH);
    fields_u64(aad, context->counter);
    return fields_done(aad);
}

/* Appends the packed message to `out`. */
static enum result sealed_pack(const struct seal_context *context, const struct buffer *ciphertext,
                               struct buffer *out)
{
    Sealed sealed = GROUPSEAL__ENVELOPE__SEALED__INIT;
    uint8_t boot[BOOT_LENGTH];
    memcpy(boot, context->boot, sizeof(boot));
    sealed.kind = context->kind;
    sealed.epoch = context->epoch;
    sealed.serial = context->serial;
    sealed.boot = (ProtobufCBinaryData){.len = sizeof(boot), .data = boot};
    sealed.counter = context->counter;
    sealed.ciphertext = (ProtobufCBinaryData){.len = ciphertext->length, .data = ciphertext->data};

    size_t size = groupseal__envelope__sealed__get_packed_size(&sealed);
    if (size > OBJECT_LIMIT) {
        return RESULT_INVALID;
    }
    uint8_t *packed = malloc(size);
    if (packed == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__sealed__pack(&sealed, packed);
    enum result result = buffer_append(out, (struct bytes){packed, size});
    free(packed);
    return result;
}

enum result seal_message(const struct seal_context *context, enum aead cipher, const struct secret *epoch_key,
                         struct bytes plaintext, struct buffer *out)
{
    GUARD(context_check(context));
    struct buffer ciphertext = BUFFER_EMPTY(OBJECT_LIMIT);
    struct fields aad;
    struct secret key;
    enum result result = seal_key(context, epoch_key, &key);
    if (result != RESULT_OK) {
        return result;
    }
    GUARD_OUT(seal_aad(context, &aad));
    GUARD_OUT(aead_seal(cipher, &key, context->counter, fields_bytes(&aad), plaintext, &ciphertext));
    result = sealed_pack(context, &ciphertext, out);
out:
    secret_wipe(&key);
    fields_clear(&aad);
    buffer_clear(&ciphertext);
    return result;
}

enum result seal_parse(struct bytes payload, struct arena *arena, Sealed **out, struct reason *why)
{
    if (payload.length == 0 || payload.length > OBJECT_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a group message is of %zu bytes, not of 1 to %u",
                           payload.length, OBJECT_LIMIT);
    }
    Sealed *sealed = object_unpack(&groupseal__envelope__sealed__descriptor, payload, arena);
    if (sealed == NULL) {
        return result_fail(why, RESULT_INVALID, "a group message is no sealed message");
    }
    if (!kind_is_relays(sealed->kind) && !kind_is_members(sealed->kind)) {
        return result_fail(why, RESULT_INVALID, "a group message is of an unknown kind");
    }
    if (!field_sized(sealed->boot, BOOT_LENGTH) || sealed->ciphertext.len < AEAD_TAG_SIZE) {
        return result_fail(why, RESULT_INVALID, "a field of a group message has a wrong size");
    }
    *out = sealed;
    return RESULT_OK;
}

enum result seal_open(const struct seal_context *context, enum aead cipher, const struct secret *epoch_key,
                      struct bytes ciphertext, struct buffer *plaintext)
{
    GUARD(context_check(context));
    if (ciphertext.length < AEAD_TAG_SIZE || ciphertext.length > OBJECT_LIMIT) {
        return RESULT_INVALID;
    }
    struct fields aad;
    struct secret key;
    enum result result = seal_key(context, epoch_key, &key);
    if (result != RESULT_OK) {
        return result;
    }
    GUARD_OUT(seal_aad(context, &aad));
    result = aead_open(cipher, &key, context->counter, fields_bytes(&aad), ciphertext, plaintext);
out:
    secret_wipe(&key);
    fields_clear(&aad);
    return result;
}

/* ---- the relay's signature ---- */

static const char label_seal[] = "seal";
static const char label_seal_and_order[] = "seal and order";

static enum result seal_list(const char *label, const struct seal_context *context, uint64_t seal_expires_ms,
                             const uint8_t hash[HASH_SIZE], struct fields *list)
{
    GUARD(context_check(context));
    if (!kind_is_relays(context->kind) || (context->kind == SYNC && seal_expires_ms != 0) ||
        (context->kind == SYNC && label == label_seal_and_order)) {
        return RESULT_INVALID;
    }
    fields_init(list);
    fields_label(list, label);
    fields_fix(list, instance_of(context), INSTANCE_SIZE);
    fields_text(list, context->site);
    fields_u8(list, (uint8_t)context->kind);
    fields_u64(list, context->incarnation);
    fields_u64(list, context->epoch);
    fields_u64(list, context->serial);
    fields_fix(list, boot_of(context), BOOT_LENGTH);
    fields_u64(list, context->counter);
    fields_u64(list, seal_expires_ms);
    fields_fix(list, (struct bytes){hash, HASH_SIZE}, HASH_SIZE);
    return RESULT_OK;
}

static enum result seal_sign_as(const char *label, const struct seal_context *context,
                                uint64_t seal_expires_ms, const uint8_t hash[HASH_SIZE],
                                const struct signing_key *relay, uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(seal_list(label, context, seal_expires_ms, hash, &list));
    enum result result = signature_make(relay, &list, signature);
    fields_clear(&list);
    return result;
}

static enum result seal_check_as(const char *label, const struct seal_context *context,
                                 uint64_t seal_expires_ms, const uint8_t hash[HASH_SIZE],
                                 struct bytes relay_key, struct bytes signature)
{
    struct fields list;
    GUARD(seal_list(label, context, seal_expires_ms, hash, &list));
    enum result result = signature_check(relay_key, &list, signature);
    fields_clear(&list);
    return result;
}

enum result seal_sign(const struct seal_context *context, uint64_t seal_expires_ms,
                      const uint8_t hash[HASH_SIZE], const struct signing_key *relay,
                      uint8_t signature[SIGNATURE_SIZE])
{
    return seal_sign_as(label_seal, context, seal_expires_ms, hash, relay, signature);
}

enum result seal_check(const struct seal_context *context, uint64_t seal_expires_ms,
                       const uint8_t hash[HASH_SIZE], struct bytes relay_key, struct bytes signature)
{
    return seal_check_as(label_seal, context, seal_expires_ms, hash, relay_key, signature);
}

enum result seal_order_sign(const struct seal_context *context, uint64_t seal_expires_ms,
                            const uint8_t hash[HASH_SIZE], const struct signing_key *relay,
                            uint8_t signature[SIGNATURE_SIZE])
{
    return seal_sign_as(label_seal_and_order, context, seal_expires_ms, hash, relay, signature);
}

enum result seal_order_check(const struct seal_context *context, uint64_t seal_expires_ms,
                             const uint8_t hash[HASH_SIZE], struct bytes relay_key, struct bytes signature)
{
    return seal_check_as(label_seal_and_order, context, seal_expires_ms, hash, relay_key, signature);
}

enum result sync_hash(const Groupseal__Envelope__SyncReply *reply, uint8_t out[HASH_SIZE])
{
    if (reply->n_nonces > NONCES_LIMIT) {
        return RESULT_INVALID;
    }
    struct fields list;
    fields_init(&list);
    fields_u32(&list, (uint32_t)reply->n_nonces);
    for (size_t i = 0; i < reply->n_nonces; i++) {
        list_fix(&list, reply->nonces[i], NONCE_SIZE);
    }
    fields_u64(&list, reply->floor);
    fields_u64(&list, reply->time_ms);
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

/* ---- the member's signature ---- */

static enum result said_list(const struct seal_context *context, const uint8_t hash[HASH_SIZE],
                             struct fields *list)
{
    GUARD(context_check(context));
    if (!kind_is_members(context->kind)) {
        return RESULT_INVALID;
    }
    fields_init(list);
    fields_label(list, "said");
    fields_fix(list, instance_of(context), INSTANCE_SIZE);
    fields_text(list, context->site);
    fields_u8(list, (uint8_t)context->kind);
    fields_text(list, context->ae);
    fields_u64(list, context->incarnation);
    fields_u64(list, context->epoch);
    fields_u64(list, context->serial);
    fields_fix(list, boot_of(context), BOOT_LENGTH);
    fields_u64(list, context->counter);
    fields_fix(list, (struct bytes){hash, HASH_SIZE}, HASH_SIZE);
    return RESULT_OK;
}

enum result said_sign(const struct seal_context *context, const uint8_t hash[HASH_SIZE],
                      const struct signing_key *member, uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(said_list(context, hash, &list));
    enum result result = signature_make(member, &list, signature);
    fields_clear(&list);
    return result;
}

enum result said_check(const struct seal_context *context, const uint8_t hash[HASH_SIZE],
                       struct bytes member_key, struct bytes signature)
{
    struct fields list;
    GUARD(said_list(context, hash, &list));
    enum result result = signature_check(member_key, &list, signature);
    fields_clear(&list);
    return result;
}

static enum result receipt_list(const Groupseal__Envelope__Receipt *receipt, struct fields *list)
{
    if (receipt->outcome < GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED ||
        receipt->outcome > GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN ||
        !text_within(receipt->detail, DETAIL_LIMIT)) {
        return RESULT_INVALID;
    }
    fields_u8(list, 2);
    list_fix(list, receipt->command_id, COMMAND_ID_SIZE);
    fields_u8(list, (uint8_t)receipt->outcome);
    fields_text(list, receipt->detail);
    return RESULT_OK;
}

enum result ack_hash(const Groupseal__Envelope__Ack *ack, uint8_t out[HASH_SIZE])
{
    struct fields list;
    enum result result = RESULT_INVALID;
    fields_init(&list);
    if (ack->content_case == GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST) {
        fields_u8(&list, 1);
        list_fix(&list, ack->sync_request->nonce, NONCE_SIZE);
        result = RESULT_OK;
    } else if (ack->content_case == GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT) {
        result = receipt_list(ack->receipt, &list);
    } else if (ack->content_case == GROUPSEAL__ENVELOPE__ACK__CONTENT_HOLDING) {
        fields_u8(&list, 3);
        result = RESULT_OK;
    }
    if (result == RESULT_OK) {
        result = hash_fields(&list, out);
    }
    fields_clear(&list);
    return result;
}
