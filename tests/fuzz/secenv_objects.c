/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Signed objects: unpack and check. The first byte says which. What keeps the limits can be signed, and then
 * passes its check; a foreign signature never does. */
#include "secenv/objects/object.h"

#include "tests/fuzz/fuzz.h"

#define ARENA_LIMIT (4u << 20)

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const objects[])(struct arena *, struct bytes) = {
        announcement_fuzz, block_fuzz,   policy_fuzz, roster_delta_fuzz,
        roster_page_fuzz,  command_fuzz, ack_fuzz,    sync_fuzz,
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
