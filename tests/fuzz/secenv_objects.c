/* SPDX-License-Identifier: GPL-3.0-or-later */

/* End-to-end objects: unpack and check. The first byte says which. Of signed ones, what keeps the limits can
 * be signed, and then passes its check; a foreign signature never does. Whatever is unpacked can be packed,
 * and is the same to a reader of that. */
#include "secenv/objects/object.h"

#include "tests/fuzz/fuzz.h"

#define ARENA_LIMIT (16u << 20) /* of two readings */

static struct signing_key key;

static const uint8_t instance[INSTANCE_SIZE] = {1};

static struct bytes key_view(void)
{
    return (struct bytes){key.public_key, VERIFY_KEY_SIZE};
}

#define FUZZ_OBJECT(noun)                                                                                    \
    static void noun##_fuzz(struct arena *arena, struct bytes packed)                                        \
    {                                                                                                        \
        uint8_t signature[SIGNATURE_SIZE];                                                                   \
        struct reason why;                                                                                   \
        noun##_type *object = object_unpack(&groupseal__envelope__##noun##__descriptor, packed, arena);      \
        if (object == NULL) {                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        ALWAYS(noun##_check(object, key_view(), &why) != RESULT_OK);                                         \
        if (noun##_sign(object, &key, signature) == RESULT_OK) {                                             \
            ALWAYS(noun##_check(object, key_view(), &why) == RESULT_OK);                                     \
        }                                                                                                    \
    }

typedef Groupseal__Envelope__Announcement announcement_type;
typedef Groupseal__Envelope__Block block_type;
typedef Groupseal__Envelope__Policy policy_type;
typedef Groupseal__Envelope__RosterDelta roster_delta_type;
typedef Groupseal__Envelope__RosterPage roster_page_type;
FUZZ_OBJECT(announcement)
FUZZ_OBJECT(block)
FUZZ_OBJECT(policy)
FUZZ_OBJECT(roster_delta)
FUZZ_OBJECT(roster_page)

/* A command as it comes out of a seal: order and body. */
static void command_fuzz(struct arena *arena, struct bytes packed)
{
    uint8_t signature[SIGNATURE_SIZE];
    struct reason why;
    Groupseal__Envelope__Command *command =
        object_unpack(&groupseal__envelope__command__descriptor, packed, arena);
    if (command == NULL || command->order == NULL) {
        return;
    }
    Groupseal__Envelope__Order *order = command->order;
    struct bytes body = arena_view(command->body);
    ALWAYS(order_check(order, instance, 1, "mn-1", body, key_view(), &why) != RESULT_OK);
    if (order_sign(order, instance, 1, body, &key, signature) == RESULT_OK) {
        order->n_sites = 0;
        ALWAYS(order_sign(order, instance, 1, body, &key, signature) == RESULT_OK);
        ALWAYS(order_check(order, instance, 1, "mn-1", body, key_view(), &why) == RESULT_OK);
        (void)order_targets(order, "//sp.example/Sdoor1");
    }
}

static void ack_fuzz(struct arena *arena, struct bytes packed)
{
    uint8_t hash[HASH_SIZE];
    Groupseal__Envelope__Ack *ack = object_unpack(&groupseal__envelope__ack__descriptor, packed, arena);
    if (ack != NULL) {
        (void)(ack_hash(ack, hash) == RESULT_OK);
    }
}

static void sync_fuzz(struct arena *arena, struct bytes packed)
{
    uint8_t hash[HASH_SIZE];
    Groupseal__Envelope__SyncReply *reply =
        object_unpack(&groupseal__envelope__sync_reply__descriptor, packed, arena);
    if (reply != NULL) {
        (void)(sync_hash(reply, hash) == RESULT_OK);
    }
}

static void again(const ProtobufCMessageDescriptor *type, struct arena *arena, struct bytes packed)
{
    const ProtobufCMessage *message = object_unpack(type, packed, arena);
    if (message == NULL) {
        return;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *first = arena_alloc(arena, size + 1);
    uint8_t *second = arena_alloc(arena, size + 1);
    ALWAYS(first != NULL && second != NULL);
    (void)protobuf_c_message_pack(message, first);
    message = object_unpack(type, (struct bytes){first, size}, arena);
    ALWAYS(message != NULL && protobuf_c_message_get_packed_size(message) == size);
    (void)protobuf_c_message_pack(message, second);
    ALWAYS(memcmp(first, second, size) == 0);
}

#define FUZZ_AGAIN(noun)                                                                                     \
    static void noun##_fuzz(struct arena *arena, struct bytes packed)                                        \
    {                                                                                                        \
        again(&groupseal__envelope__##noun##__descriptor, arena, packed);                                    \
    }

FUZZ_AGAIN(end_to_end)
FUZZ_AGAIN(record_body)
FUZZ_AGAIN(key_package)
FUZZ_AGAIN(change)
FUZZ_AGAIN(order_request)
FUZZ_AGAIN(report)
FUZZ_AGAIN(newest)
FUZZ_AGAIN(sealed)
FUZZ_AGAIN(member_message)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const objects[])(struct arena *, struct bytes) = {
        announcement_fuzz,   block_fuzz,       policy_fuzz,      roster_delta_fuzz,
        roster_page_fuzz,    command_fuzz,     ack_fuzz,         sync_fuzz,
        end_to_end_fuzz,     record_body_fuzz, key_package_fuzz, change_fuzz,
        order_request_fuzz,  report_fuzz,      newest_fuzz,      sealed_fuzz,
        member_message_fuzz,
    };
    static struct arena *arena;
    if (arena == NULL) {
        const struct secret seed = {{7}};
        arena = arena_new(ARENA_LIMIT);
        ALWAYS(arena != NULL && signing_key_from_seed(&seed, &key) == RESULT_OK);
    }
    if (size < 1 || size > OBJECT_LIMIT) {
        return 0;
    }
    objects[data[0] % (sizeof(objects) / sizeof(objects[0]))](arena, (struct bytes){data + 1, size - 1});
    arena_reset(arena);
    return 0;
}
