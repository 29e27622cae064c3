/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The secure environment's own code, asked case by case: tests/vectors/agree.py asks the second
 * implementation (tests/vectors/groupseal_reference) the same and compares.
 *
 *   agree < cases > answers
 *
 * A case is `u32` length, `u8` question, then fields, each `u32` length and its bytes; numbers are fields of
 * 8 bytes. An answer is `u32` length, `u8` verdict (1 taken, 0 refused), then what was found. All big-endian.
 * Answers come in the order of the cases. Secrets here are the test's own.
 */
#include "secenv/association.h"
#include "secenv/objects/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 512u
#define CASE_LIMIT (1u << 20)

struct question {
    struct bytes fields[FIELDS_MAX];
    size_t count;
    size_t next;
    struct arena *arena;
    struct fields found;
};

static void stop(const char *what)
{
    fprintf(stderr, "agree: %s\n", what);
    exit(2);
}

static void must(enum result result, const char *what)
{
    if (result != RESULT_OK) {
        stop(what);
    }
}

/* ---- fields of a case ---- */

static struct bytes take(struct question *question)
{
    if (question->next == question->count) {
        stop("a case has too few fields");
    }
    return question->fields[question->next++];
}

static struct bytes take_sized(struct question *question, size_t size)
{
    const struct bytes field = take(question);
    if (field.length != size) {
        stop("a field of a case has the wrong size");
    }
    return field;
}

static uint64_t number_at(const uint8_t *data, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static uint64_t take_number(struct question *question)
{
    return number_at(take_sized(question, 8).data, 8);
}

static uint32_t take_u32(struct question *question)
{
    return (uint32_t)take_number(question);
}

static struct secret take_secret(struct question *question)
{
    struct secret secret;
    memcpy(secret.data, take_sized(question, SECRET_SIZE).data, SECRET_SIZE);
    return secret;
}

static struct signing_key take_seed(struct question *question)
{
    struct signing_key key;
    const struct secret seed = take_secret(question);
    must(signing_key_from_seed(&seed, &key), "no key from a seed");
    return key;
}

static char *take_text(struct question *question)
{
    const struct bytes field = take(question);
    char *text = arena_alloc(question->arena, field.length + 1);
    if (text == NULL) {
        stop("no room for a text");
    }
    if (field.length > 0) {
        memcpy(text, field.data, field.length);
    }
    return text;
}

/* A message as the engines parse it; NULL where it cannot be read. */
static void *take_message(struct question *question, const ProtobufCMessageDescriptor *descriptor)
{
    return object_unpack(descriptor, take(question), question->arena);
}

/* ---- what a message says, for comparing what two readers have read ---- */

static void write_message(const ProtobufCMessage *message, struct fields *out);

static void write_value(const ProtobufCFieldDescriptor *field, const void *value, struct fields *out)
{
    struct fields inner;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        fields_var(out, arena_view(*(const ProtobufCBinaryData *)value));
        break;
    case PROTOBUF_C_TYPE_STRING:
        fields_text(out, *(char *const *)value);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        fields_init(&inner);
        write_message(*(ProtobufCMessage *const *)value, &inner);
        must(fields_done(&inner), "a message is too long to be written down");
        fields_var(out, fields_bytes(&inner));
        fields_clear(&inner);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        fields_u64(out, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        fields_u8(out, *(const protobuf_c_boolean *)value != 0);
        break;
    default:
        fields_u32(out, *(const uint32_t *)value);
        break;
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

/* How many values a field has, and where the first is. */
static size_t values_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        const char **values)
{
    const char *base = (const char *)message;
    *values = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *values = *(char *const *)(const void *)*values;
        return *(const size_t *)(const void *)(base + field->quantifier_offset);
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    }
    return field->type != PROTOBUF_C_TYPE_MESSAGE || *(void *const *)(const void *)*values != NULL;
}

static void write_message(const ProtobufCMessage *message, struct fields *out)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *values = NULL;
        size_t count = values_of(message, field, &values);
        fields_u32(out, field->id);
        fields_u32(out, (uint32_t)count);
        for (size_t k = 0; k < count; k++) {
            write_value(field, values + k * value_size(field), out);
        }
    }
}

static void found_fix(struct question *question, const void *data, size_t size)
{
    fields_fix(&question->found, (struct bytes){data, size}, size);
}

static void found_message(struct question *question, const ProtobufCMessage *message)
{
    struct fields written;
    uint8_t hash[HASH_SIZE];
    fields_init(&written);
    write_message(message, &written);
    must(hash_fields(&written, hash), "a message is too long to be hashed");
    fields_clear(&written);
    found_fix(question, hash, sizeof(hash));
}

/* ---- derivations and the tree ---- */

static bool ask_kdf(struct question *question)
{
    const struct secret secret = take_secret(question);
    struct secret out;
    must(kdf_label(&secret, take_text(question), &out), "KDF");
    found_fix(question, out.data, SECRET_SIZE);
    return true;
}

static bool ask_epoch(struct question *question)
{
    const struct secret root = take_secret(question);
    const struct bytes instance = take_sized(question, INSTANCE_SIZE);
    const uint64_t incarnation = take_number(question);
    struct secret secret;
    struct secret tag;
    must(epoch_secret(&root, instance.data, incarnation, take_number(question), &secret), "epoch secret");
    must(epoch_confirmation(&secret, &tag), "confirmation");
    found_fix(question, secret.data, SECRET_SIZE);
    found_fix(question, tag.data, SECRET_SIZE);
    return true;
}

static bool ask_climb(struct question *question)
{
    const struct secret leaf = take_secret(question);
    const uint32_t index = take_u32(question);
    const uint32_t height = take_u32(question);
    const struct bytes *blocks = question->fields + question->next;
    struct secret root;
    if (tree_climb(&leaf, index, height, blocks, question->count - question->next, &root) != RESULT_OK) {
        return false;
    }
    found_fix(question, root.data, SECRET_SIZE);
    return true;
}

static bool ask_packed(struct question *question)
{
    const uint32_t row = take_u32(question);
    const uint32_t height = take_u32(question);
    return tree_packed_check(take(question), row, height) == RESULT_OK;
}

static bool ask_path(struct question *question)
{
    const uint32_t leaf = take_u32(question);
    const uint32_t height = take_u32(question);
    for (uint32_t row = 0; row <= tree_top_row(height); row++) {
        const struct tree_place place = tree_path(leaf, height, row);
        fields_u32(&question->found, place.row);
        fields_u32(&question->found, place.column);
    }
    return true;
}

/* A tree made here: for each change its count, whether it rotates, and (leaf, secret or empty) so many times.
 * What is found is the height, the root, and of each leaf of the last field its path of blocks. */
static bool ask_change(struct question *question)
{
    struct tree *tree = tree_new(NULL);
    struct secret root;
    if (tree == NULL) {
        stop("no tree");
    }
    const struct bytes leaves = question->fields[question->count - 1];
    while (question->next + 1 < question->count) {
        struct tree_leaf_change changes[FIELDS_MAX];
        size_t count = take_number(question);
        bool rotate = take_number(question) != 0;
        for (size_t i = 0; i < count; i++) {
            changes[i] = (struct tree_leaf_change){.index = take_u32(question)};
            const struct bytes secret = take(question);
            changes[i].occupied = secret.length == SECRET_SIZE;
            if (changes[i].occupied) {
                memcpy(changes[i].secret.data, secret.data, SECRET_SIZE);
            }
        }
        must(tree_change(tree, changes, count, rotate, NULL, 0, NULL, NULL), "change");
    }
    bool has_root = tree_root(tree, &root);
    if (has_root) {
        fields_u32(&question->found, tree_height(tree));
        found_fix(question, root.data, SECRET_SIZE);
    }
    for (size_t i = 0; has_root && i + 4 <= leaves.length; i += 4) {
        const uint32_t leaf = (uint32_t)number_at(leaves.data + i, 4);
        for (uint32_t row = 0; row <= tree_top_row(tree_height(tree)); row++) {
            struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
            must(tree_pack(tree, tree_path(leaf, tree_height(tree), row), &packed, NULL), "pack");
            fields_var(&question->found, buffer_bytes(&packed));
            buffer_clear(&packed);
        }
    }
    tree_free(tree);
    return has_root;
}

/* ---- signed objects ---- */

typedef Groupseal__Envelope__Announcement Announcement;
typedef Groupseal__Envelope__Block Block;
typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__RosterDelta RosterDelta;
typedef Groupseal__Envelope__RosterPage RosterPage;
typedef Groupseal__Envelope__Order Order;

static bool ask_announcement(struct question *question)
{
    const struct bytes key = take(question);
    const Announcement *announcement = take_message(question, &groupseal__envelope__announcement__descriptor);
    return announcement != NULL && announcement_check(announcement, key, NULL) == RESULT_OK;
}

static bool ask_compare(struct question *question)
{
    const Announcement *a = take_message(question, &groupseal__envelope__announcement__descriptor);
    const Announcement *b = take_message(question, &groupseal__envelope__announcement__descriptor);
    if (a == NULL || b == NULL) {
        return false;
    }
    int order = announcement_compare(a, b);
    fields_u8(&question->found, (uint8_t)(order < 0 ? 0 : order == 0 ? 1 : 2));
    return true;
}

static bool ask_block(struct question *question)
{
    const struct bytes key = take(question);
    const Block *block = take_message(question, &groupseal__envelope__block__descriptor);
    return block != NULL && block_check(block, key, NULL) == RESULT_OK;
}

static bool ask_policy(struct question *question)
{
    const struct bytes key = take(question);
    const char *site = take_text(question);
    const uint64_t incarnation = take_number(question);
    const uint64_t serial = take_number(question);
    const char *name = take_text(question);
    const Policy *policy = take_message(question, &groupseal__envelope__policy__descriptor);
    uint8_t hash[HASH_SIZE];
    if (policy == NULL || policy_check(policy, key, NULL) != RESULT_OK) {
        return false;
    }
    must(policy_hash(policy, hash), "hash of a policy");
    found_fix(question, hash, sizeof(hash));
    const Groupseal__Envelope__Relay *relay = policy_relay(policy, site, incarnation, serial);
    const Groupseal__Envelope__Commander *commander = policy_commander(policy, name, site);
    fields_u8(&question->found, relay != NULL);
    if (relay != NULL) {
        found_message(question, &relay->base);
    }
    fields_u8(&question->found, commander != NULL);
    if (commander != NULL) {
        found_message(question, &commander->base);
    }
    return true;
}

static bool found_roster(struct question *question, Groupseal__Envelope__RosterEntry *const *entries,
                         size_t count)
{
    uint8_t hash[HASH_SIZE];
    must(roster_hash(entries, count, hash), "hash of a roster");
    found_fix(question, hash, sizeof(hash));
    return true;
}

static bool ask_delta(struct question *question)
{
    const struct bytes key = take(question);
    const RosterDelta *delta = take_message(question, &groupseal__envelope__roster_delta__descriptor);
    return delta != NULL && roster_delta_check(delta, key, NULL) == RESULT_OK &&
           found_roster(question, delta->set, delta->n_set);
}

static bool ask_page(struct question *question)
{
    const struct bytes key = take(question);
    const RosterPage *page = take_message(question, &groupseal__envelope__roster_page__descriptor);
    return page != NULL && roster_page_check(page, key, NULL) == RESULT_OK &&
           found_roster(question, page->entries, page->n_entries);
}

static bool ask_order(struct question *question)
{
    const struct bytes key = take(question);
    const struct bytes instance = take_sized(question, INSTANCE_SIZE);
    const uint64_t incarnation = take_number(question);
    const char *site = take_text(question);
    const char *name = take_text(question);
    const struct bytes body = take(question);
    const Order *order = take_message(question, &groupseal__envelope__order__descriptor);
    uint8_t hash[HASH_SIZE];
    if (order == NULL || order_check(order, instance.data, incarnation, site, body, key, NULL) != RESULT_OK) {
        return false;
    }
    must(order_hash(order, instance.data, incarnation, body, hash), "hash of an order");
    found_fix(question, hash, sizeof(hash));
    fields_u8(&question->found, order_targets(order, name));
    return true;
}

/* ---- the same objects, signed here ---- */

static bool found_signature(struct question *question, enum result result,
                            const uint8_t signature[SIGNATURE_SIZE])
{
    if (result == RESULT_OK) {
        found_fix(question, signature, SIGNATURE_SIZE);
    }
    return result == RESULT_OK;
}

static bool ask_sign_announcement(struct question *question)
{
    const struct signing_key key = take_seed(question);
    Announcement *thing = take_message(question, &groupseal__envelope__announcement__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL && found_signature(question, announcement_sign(thing, &key, signature), signature);
}

static bool ask_sign_block(struct question *question)
{
    const struct signing_key key = take_seed(question);
    Block *thing = take_message(question, &groupseal__envelope__block__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL && found_signature(question, block_sign(thing, &key, signature), signature);
}

static bool ask_sign_policy(struct question *question)
{
    const struct signing_key key = take_seed(question);
    Policy *thing = take_message(question, &groupseal__envelope__policy__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL && found_signature(question, policy_sign(thing, &key, signature), signature);
}

static bool ask_sign_delta(struct question *question)
{
    const struct signing_key key = take_seed(question);
    RosterDelta *thing = take_message(question, &groupseal__envelope__roster_delta__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL && found_signature(question, roster_delta_sign(thing, &key, signature), signature);
}

static bool ask_sign_page(struct question *question)
{
    const struct signing_key key = take_seed(question);
    RosterPage *thing = take_message(question, &groupseal__envelope__roster_page__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL && found_signature(question, roster_page_sign(thing, &key, signature), signature);
}

static bool ask_sign_order(struct question *question)
{
    const struct signing_key key = take_seed(question);
    const struct bytes instance = take_sized(question, INSTANCE_SIZE);
    const uint64_t incarnation = take_number(question);
    const struct bytes body = take(question);
    Order *thing = take_message(question, &groupseal__envelope__order__descriptor);
    uint8_t signature[SIGNATURE_SIZE];
    return thing != NULL &&
           found_signature(question, order_sign(thing, instance.data, incarnation, body, &key, signature),
                           signature);
}

/* ---- group messages ---- */

static struct seal_context take_context(struct question *question)
{
    struct seal_context context;
    memset(&context, 0, sizeof(context));
    memcpy(context.instance, take_sized(question, INSTANCE_SIZE).data, INSTANCE_SIZE);
    context.incarnation = take_number(question);
    context.site = take_text(question);
    context.kind = (Groupseal__Envelope__Kind)take_u32(question);
    context.ae = take_text(question);
    return context;
}

static void take_header(struct question *question, struct seal_context *context)
{
    context->epoch = take_number(question);
    context->serial = take_number(question);
    memcpy(context->boot, take_sized(question, sizeof(context->boot)).data, sizeof(context->boot));
    context->counter = take_number(question);
}

static bool ask_seal(struct question *question)
{
    struct seal_context context = take_context(question);
    take_header(question, &context);
    const enum aead cipher = (enum aead)take_u32(question);
    const struct secret epoch_key = take_secret(question);
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    bool sealed = seal_message(&context, cipher, &epoch_key, take(question), &payload) == RESULT_OK;
    if (sealed) {
        fields_var(&question->found, buffer_bytes(&payload));
    }
    buffer_clear(&payload);
    return sealed;
}

/* The signature of a relay, where the kind is one that relays sign, else that of a member. */
static bool ask_sign_seal(struct question *question)
{
    const struct signing_key key = take_seed(question);
    struct seal_context context = take_context(question);
    take_header(question, &context);
    const uint64_t expires_ms = take_number(question);
    const uint8_t *hash = take_sized(question, HASH_SIZE).data;
    uint8_t signature[SIGNATURE_SIZE];
    bool sealed =
        found_signature(question, seal_sign(&context, expires_ms, hash, &key, signature), signature);
    bool said = found_signature(question, said_sign(&context, hash, &key, signature), signature);
    return sealed != said;
}

/* What was sealed, as the engines read it: parse, hash, signatures. */
struct inner {
    const struct seal_context *context;
    struct bytes plaintext;
    struct bytes sender_key;
    struct bytes commander_key;
    uint8_t hash[HASH_SIZE];
};

static void *unpack_inner(struct question *question, const struct inner *inner,
                          const ProtobufCMessageDescriptor *descriptor)
{
    return object_unpack(descriptor, inner->plaintext, question->arena);
}

static bool check_command(struct question *question, struct inner *inner)
{
    const struct seal_context *context = inner->context;
    const Groupseal__Envelope__Command *command =
        unpack_inner(question, inner, &groupseal__envelope__command__descriptor);
    if (command == NULL || command->order == NULL) {
        return false;
    }
    const struct bytes body = arena_view(command->body);
    if (command_hash(command, context->instance, context->incarnation, inner->hash) != RESULT_OK) {
        return false;
    }
    if (order_is_relays(command->order)) {
        return seal_order_check(context, command->seal_expires_ms, inner->hash, inner->sender_key,
                                arena_view(command->seal_signature)) == RESULT_OK &&
               order_at_site(command->order, context->site, NULL) == RESULT_OK;
    }
    return seal_check(context, command->seal_expires_ms, inner->hash, inner->sender_key,
                      arena_view(command->seal_signature)) == RESULT_OK &&
           order_check(command->order, context->instance, context->incarnation, context->site, body,
                       inner->commander_key, NULL) == RESULT_OK;
}

static bool check_sync(struct question *question, struct inner *inner)
{
    const Groupseal__Envelope__SyncReply *reply =
        unpack_inner(question, inner, &groupseal__envelope__sync_reply__descriptor);
    return reply != NULL && sync_hash(reply, inner->hash) == RESULT_OK &&
           seal_check(inner->context, 0, inner->hash, inner->sender_key, arena_view(reply->seal_signature)) ==
               RESULT_OK;
}

static bool check_message(struct question *question, struct inner *inner)
{
    const Groupseal__Envelope__MemberMessage *message =
        unpack_inner(question, inner, &groupseal__envelope__member_message__descriptor);
    if (message == NULL || message->body.len > BODY_LIMIT ||
        hash_bytes(arena_view(message->body), inner->hash) != RESULT_OK) {
        return false;
    }
    return message->signature.len == 0 || said_check(inner->context, inner->hash, inner->sender_key,
                                                     arena_view(message->signature)) == RESULT_OK;
}

static bool check_ack(struct question *question, struct inner *inner)
{
    const Groupseal__Envelope__Ack *ack =
        unpack_inner(question, inner, &groupseal__envelope__ack__descriptor);
    return ack != NULL && ack_hash(ack, inner->hash) == RESULT_OK &&
           said_check(inner->context, inner->hash, inner->sender_key, arena_view(ack->signature)) ==
               RESULT_OK;
}

static bool check_inner(struct question *question, struct inner *inner)
{
    switch ((unsigned)inner->context->kind) {
    case GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND:
        return check_command(question, inner);
    case GROUPSEAL__ENVELOPE__KIND__KIND_SYNC:
        return check_sync(question, inner);
    case GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE:
        return check_message(question, inner);
    default:
        return check_ack(question, inner);
    }
}

/* Found: how far it came (0 header, 1 opened, 2 all), and what was there. */
static bool ask_open(struct question *question)
{
    struct seal_context context = take_context(question);
    const enum aead cipher = (enum aead)take_u32(question);
    const struct secret epoch_key = take_secret(question);
    struct inner inner = {.context = &context};
    inner.sender_key = take(question);
    inner.commander_key = take(question);
    Groupseal__Envelope__Sealed *sealed = NULL;
    if (seal_parse(take(question), question->arena, &sealed, NULL) != RESULT_OK ||
        sealed->kind != context.kind) {
        fields_u8(&question->found, 0);
        return false;
    }
    context.epoch = sealed->epoch;
    context.serial = sealed->serial;
    memcpy(context.boot, sealed->boot.data, sizeof(context.boot));
    context.counter = sealed->counter;
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    if (seal_open(&context, cipher, &epoch_key, arena_view(sealed->ciphertext), &plaintext) != RESULT_OK) {
        fields_u8(&question->found, 0);
        return false;
    }
    inner.plaintext = buffer_bytes(&plaintext);
    bool taken = check_inner(question, &inner);
    fields_u8(&question->found, taken ? 2 : 1);
    fields_var(&question->found, inner.plaintext);
    if (taken) {
        found_fix(question, inner.hash, HASH_SIZE);
    }
    buffer_clear(&plaintext);
    return taken;
}

/* ---- association ---- */

static struct agreement take_agreement(struct question *question)
{
    struct agreement agreement = {.mode = CREDENTIALS_CERT};
    memcpy(agreement.id, take_sized(question, ASSOCIATION_ID_SIZE).data, ASSOCIATION_ID_SIZE);
    agreement.key = take_secret(question);
    agreement.mode = (enum credentials_mode)take_u32(question);
    (void)snprintf(agreement.mechanism, sizeof(agreement.mechanism), "%s", take_text(question));
    return agreement;
}

static bool ask_end_to_end(struct question *question)
{
    Groupseal__Envelope__EndToEnd *object = NULL;
    if (carriage_parse(take(question), question->arena, &object, NULL) != RESULT_OK) {
        return false;
    }
    found_message(question, &object->base);
    return true;
}

static bool ask_record(struct question *question)
{
    const struct agreement agreement = take_agreement(question);
    const char *member = take_text(question);
    const char *authority = take_text(question);
    const uint32_t direction = take_u32(question);
    struct association association;
    association_init(&association, direction == 1 ? ASSOCIATION_AUTHORITY : ASSOCIATION_MEMBER,
                     ASSOCIATION_CURRENT, member, authority, &agreement, 0);
    association.received = take_number(question);
    Groupseal__Envelope__EndToEnd *object = NULL;
    Groupseal__Envelope__RecordBody *content = NULL;
    if (carriage_parse(take(question), question->arena, &object, NULL) != RESULT_OK ||
        object->content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD ||
        association_open(&association, NULL, object->record, question->arena, &content, NULL) != RESULT_OK) {
        return false;
    }
    found_message(question, &content->base);
    return true;
}

static bool ask_first(struct question *question)
{
    const struct agreement agreement = take_agreement(question);
    const char *name = take_text(question);
    const Groupseal__Envelope__First *first = take_message(question, &groupseal__envelope__first__descriptor);
    return first != NULL && first_check(&agreement, name, first) == RESULT_OK;
}

static bool ask_sign_first(struct question *question)
{
    const struct signing_key key = take_seed(question);
    const struct agreement agreement = take_agreement(question);
    uint8_t signature[SIGNATURE_SIZE];
    return found_signature(question, first_sign(&agreement, take_text(question), &key, signature), signature);
}

/* ---- names ---- */

static bool ask_name(struct question *question)
{
    char site[SITE_LIMIT + 1] = "";
    const char *name = take_text(question);
    fields_u8(&question->found, object_name_valid(name));
    fields_u8(&question->found, object_group_valid(name));
    fields_u8(&question->found, object_site_valid(name));
    if (object_site_of(name, site, sizeof(site)) == RESULT_OK) {
        fields_text(&question->found, site);
    }
    return true;
}

/* ---- cases and answers ---- */

typedef bool (*asker)(struct question *question);

static const asker askers[] = {
    /* agree.py counts them the same way, from 0 */
    ask_kdf,          ask_epoch,
    ask_climb,        ask_packed,
    ask_path,         ask_change,
    ask_announcement, ask_compare,
    ask_block,        ask_policy,
    ask_delta,        ask_page,
    ask_order,        ask_sign_announcement,
    ask_sign_block,   ask_sign_policy,
    ask_sign_delta,   ask_sign_page,
    ask_sign_order,   ask_seal,
    ask_sign_seal,    ask_open,
    ask_end_to_end,   ask_record,
    ask_first,        ask_sign_first,
    ask_name,
};

/* The next case; its bytes live until the next call. False at the end. */
static bool read_case(uint8_t *data, size_t *length)
{
    uint8_t head[4];
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head)) {
        return false;
    }
    *length = number_at(head, sizeof(head));
    if (*length == 0 || *length > CASE_LIMIT || fread(data, 1, *length, stdin) != *length) {
        stop("a case cannot be read");
    }
    return true;
}

static void split(const uint8_t *data, size_t length, struct question *question)
{
    size_t at = 1;
    while (at + 4 <= length && question->count < FIELDS_MAX) {
        size_t size = number_at(data + at, 4);
        at += 4;
        if (size > length - at) {
            stop("a field of a case is cut");
        }
        question->fields[question->count++] = (struct bytes){data + at, size};
        at += size;
    }
    if (at != length) {
        stop("a case has bytes left");
    }
}

static void answer(bool taken, struct bytes found)
{
    const uint32_t length = (uint32_t)found.length + 1;
    const uint8_t head[] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                            (uint8_t)length, taken};
    if (fwrite(head, 1, sizeof(head), stdout) != sizeof(head) ||
        (found.length > 0 && fwrite(found.data, 1, found.length, stdout) != found.length)) {
        stop("an answer cannot be written");
    }
}

int main(void)
{
    uint8_t *data = malloc(CASE_LIMIT);
    struct arena *arena = arena_new(1u << 22);
    size_t length = 0;
    if (data == NULL || arena == NULL) {
        stop("no memory");
    }
    while (read_case(data, &length)) {
        struct question question = {.arena = arena};
        if (data[0] >= sizeof(askers) / sizeof(askers[0])) {
            stop("no such question");
        }
        split(data, length, &question);
        fields_init(&question.found);
        bool taken = askers[data[0]](&question);
        must(fields_done(&question.found), "an answer is too long");
        answer(taken, fields_bytes(&question.found));
        fields_clear(&question.found);
        arena_reset(arena);
    }
    arena_free(arena);
    free(data);
    return 0;
}
