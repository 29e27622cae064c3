/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Prints test vectors of every derivation, list and record of docs/protocol.md as one JSON object: what went
 * in, under the names that the protocol gives it, and what came out. tests/integration/test_vectors.py
 * computes each again with another library. Secrets here are the test's own.
 *
 *   vectors DIRECTORY > vectors.json
 *
 * DIRECTORY is an empty one, for a store.
 */
#include "secenv/association.h"
#include "secenv/objects/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum result result, const char *what)
{
    if (result != RESULT_OK) {
        fprintf(stderr, "vectors: %s: %s\n", what, result_word(result));
        exit(1);
    }
}

/* ---- JSON ---- */

static void print_hex(const uint8_t *data, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        printf("%02x", data[i]);
    }
    putchar('"');
}

static void hex(const char *name, const void *data, size_t length)
{
    printf("\"%s\": ", name);
    print_hex(data, length);
    printf(", ");
}

static void number(const char *name, uint64_t value)
{
    printf("\"%s\": %" PRIu64 ", ", name, value);
}

static void word(const char *name, const char *value)
{
    printf("\"%s\": \"%s\", ", name, value);
}

/* Each object of an array ends with a member that nobody reads, which spares counting commas. */
static void end(bool last)
{
    printf("\"end\": true}%s\n", last ? "" : ",");
}

static void print_message(const ProtobufCMessage *message);

static void print_value(const ProtobufCFieldDescriptor *field, const void *value)
{
    const ProtobufCBinaryData *binary = value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        print_hex(binary->data, binary->len);
        break;
    case PROTOBUF_C_TYPE_STRING:
        printf("\"%s\"", *(char *const *)value);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        print_message(*(ProtobufCMessage *const *)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        printf("%" PRIu64, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        printf("%s", *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    default:
        printf("%" PRIu32, *(const uint32_t *)value);
        break;
    }
}

static void print_list(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t count = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
    const char *values = *(char *const *)(const void *)((const char *)message + field->offset);
    size_t size = field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
    printf("[");
    for (size_t i = 0; i < count; i++) {
        printf("%s", i == 0 ? "" : ", ");
        print_value(field, values + i * size);
    }
    printf("]");
}

/* Is the field there: a message, or the one of a oneof. */
static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)message;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    }
    return field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE ||
           *(void *const *)(const void *)(base + field->offset) != NULL;
}

static void print_message(const ProtobufCMessage *message)
{
    const char *comma = "";
    printf("{");
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (!is_set(message, field)) {
            continue;
        }
        printf("%s\"%s\": ", comma, field->name);
        comma = ", ";
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            print_list(message, field);
        } else {
            print_value(field, (const char *)message + field->offset);
        }
    }
    printf("}");
}

/* Its fields, and its encoding on the wire. */
static void object(const ProtobufCMessage *message)
{
    uint8_t packed[8192];
    if (protobuf_c_message_get_packed_size(message) > sizeof(packed)) {
        must(RESULT_FULL, message->descriptor->name);
    }
    printf("\"object\": ");
    print_message(message);
    printf(", ");
    hex("packed", packed, protobuf_c_message_pack(message, packed));
}

/* ---- what goes in ---- */

static struct signing_key signer;
static uint8_t instance[INSTANCE_SIZE];
static uint8_t bytes32[32];
static const uint8_t body[] = "{\"door\": \"close\"}";

static ProtobufCBinaryData view(const void *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static void setup(void)
{
    struct secret seed;
    for (size_t i = 0; i < 32; i++) {
        seed.data[i] = (uint8_t)i;
        bytes32[i] = (uint8_t)(0x80 + i);
    }
    for (size_t i = 0; i < INSTANCE_SIZE; i++) {
        instance[i] = (uint8_t)(0x10 + i);
    }
    must(signing_key_from_seed(&seed, &signer), "key");
}

static void key_and_signature(const uint8_t signature[SIGNATURE_SIZE])
{
    hex("key", signer.public_key, VERIFY_KEY_SIZE);
    hex("signature", signature, SIGNATURE_SIZE);
}

/* ---- derivations ---- */

static void print_derivations(void)
{
    struct secret secret;
    struct secret out;
    struct secret tag;
    memcpy(secret.data, bytes32, sizeof(secret.data));
    printf("\"kdf\": [\n");
    static const char *const labels[] = {"key", "up", "confirm"};
    for (size_t i = 0; i < 3; i++) {
        must(kdf_label(&secret, labels[i], &out), labels[i]);
        printf("{");
        hex("secret", secret.data, SECRET_SIZE);
        word("label", labels[i]);
        hex("out", out.data, SECRET_SIZE);
        end(i == 2);
    }
    printf("],\n\"epoch\": [\n{");
    must(epoch_secret(&secret, instance, 1700000001, 77, &out), "epoch secret");
    must(epoch_confirmation(&out, &tag), "confirmation");
    hex("root", secret.data, SECRET_SIZE);
    hex("instance", instance, INSTANCE_SIZE);
    number("incarnation", 1700000001);
    number("epoch", 77);
    hex("secret", out.data, SECRET_SIZE);
    hex("confirmation", tag.data, SECRET_SIZE);
    end(true);
    printf("],\n");
}

static void print_blocks(struct tree *tree)
{
    uint32_t height = tree_height(tree);
    uint32_t top = tree_top_row(height);
    printf("\"blocks\": [");
    for (uint32_t row = 0; row <= top; row++) {
        uint32_t columns = row == top ? 1 : 1u << (height - TREE_BLOCK_LEVELS * (row + 1));
        for (uint32_t column = 0; column < columns; column++) {
            struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
            must(tree_pack(tree, (struct tree_place){row, column}, &packed, NULL), "pack");
            printf("%s{\"row\": %u, \"column\": %u, \"nodes\": ", row + column == 0 ? "" : ", ", row, column);
            print_hex(packed.data, packed.length);
            printf("}");
            buffer_clear(&packed);
        }
    }
    printf("], ");
}

/* So many members at once, then each third leaves and the second is replaced. */
static void print_tree(uint32_t members, bool last)
{
    struct tree *tree = tree_new(NULL);
    struct secret leaves[40];
    struct secret root;
    struct tree_leaf_change changes[40];
    if (tree == NULL) {
        must(RESULT_INTERNAL, "tree");
    }
    for (uint32_t i = 0; i < members; i++) {
        must(random_bytes(leaves[i].data, SECRET_SIZE), "leaf");
        changes[i] = (struct tree_leaf_change){.index = i, .occupied = true, .secret = leaves[i]};
    }
    must(tree_change(tree, changes, members, false, NULL, 0, NULL, NULL), "join");
    size_t count = 0;
    for (uint32_t i = 2; i < members; i += 3) {
        changes[count++] = (struct tree_leaf_change){.index = i};
    }
    must(random_bytes(leaves[1].data, SECRET_SIZE), "leaf");
    changes[count++] = (struct tree_leaf_change){.index = 1, .occupied = true, .secret = leaves[1]};
    must(tree_change(tree, changes, count, false, NULL, 0, NULL, NULL), "change");
    if (!tree_root(tree, &root)) {
        must(RESULT_INTERNAL, "root");
    }
    printf("{");
    number("height", tree_height(tree));
    printf("\"leaves\": {");
    for (uint32_t i = 0; i < members; i++) {
        if (i % 3 != 2) {
            printf("%s\"%u\": ", i == 0 ? "" : ", ", i);
            print_hex(leaves[i].data, SECRET_SIZE);
        }
    }
    printf("}, ");
    print_blocks(tree);
    hex("root", root.data, SECRET_SIZE);
    end(last);
    tree_free(tree);
}

static void print_trees(void)
{
    printf("\"tree\": [\n");
    print_tree(2, false);
    print_tree(3, false);
    print_tree(16, false);
    print_tree(40, true);
    printf("],\n");
}

/* ---- signed objects ---- */

static void print_announcement(void)
{
    Groupseal__Envelope__Announcement announcement = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    uint64_t evicted[] = {12, 300};
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t top[8 + WRAP_SIZE] = {0x40, 0, 0x40, 0, 0x40, 0, 0, 0, 0xAA};
    announcement.group = text("doors");
    announcement.instance = view(instance, sizeof(instance));
    announcement.incarnation = 1700000001;
    announcement.epoch = 77;
    announcement.beat = 3;
    announcement.height = 2;
    announcement.confirmation = view(bytes32, sizeof(bytes32));
    announcement.policy_hash = view(signer.public_key, HASH_SIZE);
    announcement.time_ms = 1700000002003;
    announcement.n_evicted = 2;
    announcement.evicted = evicted;
    announcement.overlap_ended = true;
    announcement.top = view(top, sizeof(top));
    must(announcement_sign(&announcement, &signer, signature), "announcement");
    printf("\"announcement\": [\n{");
    object(&announcement.base);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

static void print_block(void)
{
    Groupseal__Envelope__Block block = GROUPSEAL__ENVELOPE__BLOCK__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t nodes[8 + WRAP_SIZE] = {0x40, 0, 0x40, 0x44, 0x40, 0, 0, 0, 0xAA};
    block.instance = view(instance, sizeof(instance));
    block.incarnation = 1700000001;
    block.epoch = 77;
    block.column = 5;
    block.height = 7;
    block.nodes = view(nodes, sizeof(nodes));
    must(block_sign(&block, &signer, signature), "block");
    printf("\"block\": [\n{");
    object(&block.base);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

static void print_policy(void)
{
    Groupseal__Envelope__Policy policy = GROUPSEAL__ENVELOPE__POLICY__INIT;
    Groupseal__Envelope__Relay relay = GROUPSEAL__ENVELOPE__RELAY__INIT;
    Groupseal__Envelope__Commander commander = GROUPSEAL__ENVELOPE__COMMANDER__INIT;
    Groupseal__Envelope__Relay *relays[] = {&relay};
    Groupseal__Envelope__Commander *commanders[] = {&commander};
    char *sites[] = {text("mn-1"), text("mn-2")};
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t hash[HASH_SIZE];
    relay.name = text("//sp.example/mn-1");
    relay.site = text("mn-1");
    relay.incarnation = 1700000001;
    relay.serial = 4;
    relay.key = view(bytes32, sizeof(bytes32));
    commander.name = text("//sp.example/in-cse");
    commander.key = view(signer.public_key, VERIFY_KEY_SIZE);
    commander.n_sites = 2;
    commander.sites = sites;
    policy.group = text("doors");
    policy.instance = view(instance, sizeof(instance));
    policy.incarnation = 1700000001;
    policy.number = 6;
    policy.n_relays = 1;
    policy.relays = relays;
    policy.n_commanders = 1;
    policy.commanders = commanders;
    policy.aead = GROUPSEAL__ENVELOPE__AEAD__AEAD_AES_256_GCM;
    policy.overlap_ms = 30000;
    policy.response_window_ms = 500;
    policy.beat_interval_s = 900;
    policy.sign_member_messages = true;
    policy.authority_only = true;
    must(policy_sign(&policy, &signer, signature), "policy");
    must(policy_hash(&policy, hash), "policy hash");
    printf("\"policy\": [\n{");
    object(&policy.base);
    hex("hash", hash, HASH_SIZE);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

static void print_roster(void)
{
    Groupseal__Envelope__RosterEntry entries[2] = {GROUPSEAL__ENVELOPE__ROSTER_ENTRY__INIT,
                                                   GROUPSEAL__ENVELOPE__ROSTER_ENTRY__INIT};
    Groupseal__Envelope__RosterEntry *list[] = {&entries[0], &entries[1]};
    Groupseal__Envelope__RosterDelta delta = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    Groupseal__Envelope__RosterPage page = GROUPSEAL__ENVELOPE__ROSTER_PAGE__INIT;
    char *removed[] = {text("//sp.example/Sold1"), text("//sp.example/Sold2")};
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    for (size_t i = 0; i < 2; i++) {
        entries[i].name = text(i == 0 ? "//sp.example/Sdoor1" : "//sp.example/mn-1");
        entries[i].incarnation = 1700000001;
        entries[i].serial = 4 + i;
        entries[i].signing_key = view(bytes32, sizeof(bytes32));
        entries[i].site = text(i == 0 ? "mn-1" : "");
    }
    must(roster_hash(list, 2, hash), "roster hash");
    delta.group = page.group = text("doors");
    delta.instance = page.instance = view(instance, sizeof(instance));
    delta.incarnation = page.incarnation = 1700000001;
    delta.number = page.number = 9;
    delta.n_set = page.n_entries = 2;
    delta.set = page.entries = list;
    delta.n_removed = 2;
    delta.removed = removed;
    delta.hash = page.hash = view(hash, sizeof(hash));
    page.pages = 1;
    must(roster_delta_sign(&delta, &signer, signature), "roster delta");
    printf("\"roster_delta\": [\n{");
    object(&delta.base);
    key_and_signature(signature);
    end(true);
    must(roster_page_sign(&page, &signer, signature), "roster page");
    printf("],\n\"roster_page\": [\n{");
    object(&page.base);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

static void print_command_hash(Groupseal__Envelope__Command *command, bool last)
{
    uint8_t hash[HASH_SIZE];
    must(command_hash(command, instance, 1700000001, hash), "command hash");
    printf("{");
    object(&command->base);
    hex("instance", instance, INSTANCE_SIZE);
    number("incarnation", 1700000001);
    hex("hash", hash, HASH_SIZE);
    end(last);
}

/* Sealed for all, and again for two. */
static void print_command(Groupseal__Envelope__Order *order)
{
    static const uint8_t serials[2 * SERIAL_SIZE] = {[6] = 1, [7] = 44, [15] = 7};
    Groupseal__Envelope__Command command = GROUPSEAL__ENVELOPE__COMMAND__INIT;
    command.order = order;
    command.body = view(body, sizeof(body) - 1);
    command.seal_expires_ms = 99000;
    printf("\"command\": [\n");
    print_command_hash(&command, false);
    command.wanted = view(serials, sizeof(serials));
    print_command_hash(&command, true);
    printf("],\n");
}

static void print_order(void)
{
    Groupseal__Envelope__Order order = GROUPSEAL__ENVELOPE__ORDER__INIT;
    char *targets[] = {text("//sp.example/Sdoor1")};
    char *sites[] = {text("mn-1"), text("mn-2")};
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t hash[HASH_SIZE];
    order.command_id = view(bytes32, COMMAND_ID_SIZE);
    order.issued_ms = 1700000002003;
    order.expires_ms = 1700000062003;
    order.n_targets = 1;
    order.targets = targets;
    order.n_sites = 2;
    order.sites = sites;
    const struct bytes said = {body, sizeof(body) - 1};
    must(order_sign(&order, instance, 1700000001, said, &signer, signature), "order");
    must(order_hash(&order, instance, 1700000001, said, hash), "order hash");
    printf("\"order\": [\n{");
    object(&order.base);
    hex("instance", instance, INSTANCE_SIZE);
    number("incarnation", 1700000001);
    hex("body", said.data, said.length);
    hex("hash", hash, HASH_SIZE);
    key_and_signature(signature);
    end(true);
    printf("],\n");
    print_command(&order);
}

/* ---- group messages ---- */

static struct seal_context context_of(unsigned kind)
{
    struct seal_context context = {.incarnation = 1700000001,
                                   .site = "mn-1",
                                   .kind = (Groupseal__Envelope__Kind)kind,
                                   .ae = kind < 3 ? "" : "//sp.example/Sdoor1",
                                   .epoch = 77,
                                   .serial = 300,
                                   .boot = {1, 2, 3, 4, 5, 6, 7, 8},
                                   .counter = 1700000002003004};
    memcpy(context.instance, instance, INSTANCE_SIZE);
    return context;
}

static void print_context(const struct seal_context *context)
{
    hex("instance", context->instance, INSTANCE_SIZE);
    number("incarnation", context->incarnation);
    word("site", context->site);
    number("kind", context->kind);
    word("ae", context->ae);
    number("epoch", context->epoch);
    number("serial", context->serial);
    hex("boot", context->boot, sizeof(context->boot));
    number("counter", context->counter);
}

static void print_sealed(void)
{
    struct secret epoch_key;
    memcpy(epoch_key.data, bytes32, sizeof(epoch_key.data));
    const struct bytes plaintext = {body, sizeof(body) - 1};
    printf("\"sealed\": [\n");
    for (unsigned i = 0; i < 8; i++) {
        struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
        struct seal_context context = context_of(1 + i / 2);
        must(seal_message(&context, (enum aead)(i % 2), &epoch_key, plaintext, &payload), "seal");
        printf("{");
        print_context(&context);
        number("aead", i % 2);
        hex("epoch_secret", epoch_key.data, SECRET_SIZE);
        hex("plaintext", plaintext.data, plaintext.length);
        hex("payload", payload.data, payload.length);
        end(i == 7);
        buffer_clear(&payload);
    }
    printf("],\n");
}

static void print_seal_signatures(void)
{
    Groupseal__Envelope__SyncReply reply = GROUPSEAL__ENVELOPE__SYNC_REPLY__INIT;
    ProtobufCBinaryData nonces[] = {view(bytes32, NONCE_SIZE), view(bytes32 + 8, NONCE_SIZE)};
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    reply.n_nonces = 2;
    reply.nonces = nonces;
    reply.floor = 1700000002003000;
    reply.time_ms = 99000;
    must(sync_hash(&reply, hash), "sync hash");
    struct seal_context sync = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_SYNC);
    must(seal_sign(&sync, 0, hash, &signer, signature), "sync signature");
    printf("\"sync\": [\n{");
    reply.seal_signature = view(signature, sizeof(signature));
    object(&reply.base);
    print_context(&sync);
    hex("hash", hash, HASH_SIZE);
    key_and_signature(signature);
    end(true);

    struct seal_context command = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND);
    must(seal_sign(&command, 99000, bytes32, &signer, signature), "seal signature");
    printf("],\n\"seal\": [\n{");
    print_context(&command);
    number("seal_expires_ms", 99000);
    hex("hash", bytes32, HASH_SIZE);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

static void print_ack(Groupseal__Envelope__Ack *ack, const char *content, const ProtobufCMessage *message,
                      bool last)
{
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_ACK);
    must(ack_hash(ack, hash), content);
    must(said_sign(&context, hash, &signer, signature), content);
    printf("{");
    word("content", content);
    object(message);
    print_context(&context);
    hex("hash", hash, HASH_SIZE);
    key_and_signature(signature);
    end(last);
}

static void print_acks(void)
{
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    Groupseal__Envelope__SyncRequest request = GROUPSEAL__ENVELOPE__SYNC_REQUEST__INIT;
    Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    printf("\"ack\": [\n");
    request.nonce = view(bytes32, NONCE_SIZE);
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST;
    ack.sync_request = &request;
    print_ack(&ack, "sync_request", &request.base, false);
    receipt.command_id = view(bytes32, COMMAND_ID_SIZE);
    receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED;
    receipt.detail = text("door is blocked");
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
    ack.receipt = &receipt;
    print_ack(&ack, "receipt", &receipt.base, false);
    Groupseal__Envelope__Holding holding = GROUPSEAL__ENVELOPE__HOLDING__INIT;
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_HOLDING;
    ack.holding = &holding;
    print_ack(&ack, "holding", &holding.base, true);
    printf("],\n");

    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct seal_context context = context_of(GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE);
    must(hash_bytes((struct bytes){body, sizeof(body) - 1}, hash), "hash");
    must(said_sign(&context, hash, &signer, signature), "message");
    printf("\"message\": [\n{");
    print_context(&context);
    hex("body", body, sizeof(body) - 1);
    key_and_signature(signature);
    end(true);
    printf("],\n");
}

/* ---- messages with something in every field ---- */

static ProtobufCMessage *filled(const ProtobufCMessageDescriptor *descriptor, struct arena *arena);

static void fill_value(const ProtobufCFieldDescriptor *field, void *value, struct arena *arena)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)value = view(bytes32, 16 + field->id);
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)value = text("//sp.example/Sdoor1");
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)value = filled(field->descriptor, arena);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)value = 1700000002003004 + field->id;
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)value = 70000 + field->id;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)value = 1;
        break;
    default:
        *(uint32_t *)value = 1; /* an enumeration */
        break;
    }
}

/* One value, or a list of one. */
static void fill_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, struct arena *arena)
{
    char *base = (char *)message;
    void *value = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *(size_t *)(void *)(base + field->quantifier_offset) = 1;
        *(void **)value = arena_alloc(arena, sizeof(ProtobufCBinaryData));
        value = *(void **)value;
    } else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        *(uint32_t *)(void *)(base + field->quantifier_offset) = field->id;
    }
    if (value == NULL) {
        must(RESULT_INTERNAL, "arena");
    }
    fill_value(field, value, arena);
}

static ProtobufCMessage *filled(const ProtobufCMessageDescriptor *descriptor, struct arena *arena)
{
    ProtobufCMessage *message = arena_alloc(arena, descriptor->sizeof_message);
    if (message == NULL) {
        must(RESULT_INTERNAL, "arena");
    }
    protobuf_c_message_init(descriptor, message);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        fill_field(message, &descriptor->fields[i], arena);
    }
    return message;
}

/* ---- records of an association ---- */

static struct agreement agreement_of(enum credentials_mode mode)
{
    struct agreement agreement = {.mode = mode, .mechanism = MECHANISM_WRAP};
    memcpy(agreement.id, signer.public_key, ASSOCIATION_ID_SIZE);
    memcpy(agreement.key.data, bytes32, SECRET_SIZE);
    return agreement;
}

static void print_record(struct store *store, struct arena *arena, enum association_role role,
                         enum credentials_mode mode, const Groupseal__Envelope__RecordBody *content,
                         bool last)
{
    struct association association;
    struct reason why;
    struct agreement agreement = agreement_of(mode);
    Groupseal__Envelope__Record *record = NULL;
    association_init(&association, role, ASSOCIATION_CURRENT, "//sp.example/Sdoor1", "//sp.example/in-cse",
                     &agreement, 1700000002003);
    must(association_seal(&association, store, &clock_system, content, arena, &record, &why), "record");
    uint8_t packed[8192];
    size_t size = groupseal__envelope__record_body__pack(content, packed);
    printf("{");
    object(&record->base);
    word("member", association.member);
    word("authority", association.authority);
    number("direction", role == ASSOCIATION_MEMBER ? 1 : 2);
    number("mode", mode);
    word("mechanism", agreement.mechanism);
    hex("secret", agreement.key.data, SECRET_SIZE);
    hex("plaintext", packed, size);
    printf("\"body\": ");
    print_message(&content->base);
    printf(", ");
    end(last);
}

/* A record of every kind, in a direction that may carry it. */
static void print_record_kinds(struct store *store, struct arena *arena)
{
    const ProtobufCMessageDescriptor *descriptor = &groupseal__envelope__record_body__descriptor;
    for (unsigned i = 1; i < descriptor->n_fields; i++) { /* the first is `item` */
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (strcmp(field->name, "floor") == 0) {
            continue;
        }
        Groupseal__Envelope__RecordBody content = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
        bool to_authority = strcmp(field->name, "first") == 0 || strcmp(field->name, "report") == 0 ||
                            strcmp(field->name, "roster_ask") == 0 ||
                            strcmp(field->name, "package_ask") == 0 || strcmp(field->name, "newest") == 0 ||
                            strcmp(field->name, "holdings") == 0;
        content.item = i;
        content.floor = to_authority ? 0 : 1700000001;
        fill_field(&content.base, field, arena);
        print_record(store, arena, to_authority ? ASSOCIATION_MEMBER : ASSOCIATION_AUTHORITY,
                     CREDENTIALS_CERT, &content, i + 1 == descriptor->n_fields);
    }
}

/* ---- EndToEnd ---- */

static void print_end_to_end(const Groupseal__Envelope__EndToEnd *thing, struct arena *arena, bool last)
{
    struct bytes packed;
    must(carriage_pack(thing, arena, &packed), "EndToEnd");
    printf("{");
    object(&thing->base);
    end(last);
}

static void print_carriage(struct arena *arena)
{
    static const uint8_t tls[] = "bytes of TLS";
    Groupseal__Envelope__EndToEnd thing = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Refusal refusal = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    Groupseal__Envelope__Record record = GROUPSEAL__ENVELOPE__RECORD__INIT;
    record.association = view(bytes32, ASSOCIATION_ID_SIZE);
    record.boot = view(bytes32, BOOT_SIZE);
    record.counter = 1700000002003004;
    record.ciphertext = view(bytes32, sizeof(bytes32));
    printf("],\n\"end_to_end\": [\n");
    thing.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    for (uint32_t number = 1; number <= 4; number++) {
        Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
        flight.number = number;
        flight.hello_hash = view(bytes32, number == 1 ? 0 : HASH_SIZE);
        flight.tls = view(tls, number == 4 ? 0 : sizeof(tls) - 1);
        flight.record = number < 3 ? NULL : &record;
        record.type = number == 3 ? GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_FIRST
                                  : GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_CONFIRM;
        thing.flight = &flight;
        print_end_to_end(&thing, arena, false);
    }
    thing.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    thing.record = &record;
    print_end_to_end(&thing, arena, false);
    thing.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    thing.refusal = &refusal;
    print_end_to_end(&thing, arena, true);
}

static void print_records(struct store *store)
{
    struct arena *arena = arena_new(1u << 20);
    Groupseal__Envelope__RecordBody content = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    Groupseal__Envelope__First first = GROUPSEAL__ENVELOPE__FIRST__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    if (arena == NULL) {
        must(RESULT_INTERNAL, "arena");
    }
    accept.item = 12;
    content.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    content.accept = &accept;
    must(store_begin(store, NULL), "transaction");
    printf("\"record\": [\n");
    print_record(store, arena, ASSOCIATION_MEMBER, CREDENTIALS_CERT, &content, false);
    print_record(store, arena, ASSOCIATION_AUTHORITY, CREDENTIALS_PSK, &content, false);
    print_record_kinds(store, arena);
    store_rollback(store);

    struct agreement agreement = agreement_of(CREDENTIALS_CERT);
    must(first_sign(&agreement, "//sp.example/Sdoor1", &signer, signature), "first");
    first.signing_key = view(signer.public_key, VERIFY_KEY_SIZE);
    first.signature = view(signature, sizeof(signature));
    printf("],\n\"first\": [\n{");
    object(&first.base);
    hex("association", agreement.id, ASSOCIATION_ID_SIZE);
    word("name", "//sp.example/Sdoor1");
    key_and_signature(signature);
    end(true);
    print_carriage(arena);
    printf("]\n");
    arena_free(arena);
}

/* The counters of records want a store. */
static void print_records_of_a_store(const char *directory)
{
    char path[4096];
    char key_path[4096];
    struct reason why = {""};
    struct store *store = NULL;
    const char *const schemas[] = {counter_schema, association_schema};
    (void)snprintf(path, sizeof(path), "%s/store", directory);
    (void)snprintf(key_path, sizeof(key_path), "%s/root.key", directory);
    enum result result = store_create(path, STORE_MEMBER, key_path, &why);
    if (result == RESULT_OK) {
        result = store_open(path, STORE_MEMBER, root_key_file(key_path), schemas, 2, &store, &why);
    }
    must(result, why.text);
    print_records(store);
    store_close(store);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: vectors DIRECTORY > vectors.json\n");
        return 2;
    }
    setup();
    printf("{\n");
    print_derivations();
    print_trees();
    print_announcement();
    print_block();
    print_policy();
    print_roster();
    print_order();
    print_sealed();
    print_seal_signatures();
    print_acks();
    print_records_of_a_store(argv[1]);
    printf("}\n");
    return 0;
}
