/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message.h"

#define REPEATED_LIMIT 3u
#define DEPTH_LIMIT 5u

struct making {
    const struct vocabulary *words;
    struct dice *dice;
    struct arena *arena;
    unsigned depth;
};

static ProtobufCMessage *make(struct making *making, const ProtobufCMessageDescriptor *type);

static ProtobufCBinaryData make_octets(struct making *making)
{
    const uint8_t *data = NULL;
    size_t choice = dice_pick(making->dice, making->words->octets_count + 2);
    if (choice == 0) {
        return (ProtobufCBinaryData){0, NULL};
    }
    if (choice <= making->words->octets_count) {
        return arena_field(making->words->octets[choice - 1]);
    }
    size_t length = dice_bytes(making->dice, &data);
    return (ProtobufCBinaryData){length, arena_copy(making->arena, (struct bytes){data, length})};
}

static uint64_t make_number(struct making *making)
{
    size_t choice = dice_pick(making->dice, making->words->number_count + 2);
    if (choice == 0) {
        return 0;
    }
    return choice <= making->words->number_count ? making->words->numbers[choice - 1]
                                                 : dice_byte(making->dice);
}

static char *make_text(struct making *making)
{
    const char *text = making->words->texts[dice_pick(making->dice, making->words->text_count)];
    return arena_text(making->arena, text);
}

static size_t field_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    default:
        return sizeof(uint32_t);
    }
}

static void make_value(struct making *making, const ProtobufCFieldDescriptor *field, void *place)
{
    const ProtobufCEnumDescriptor *values = field->descriptor;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)place = make_text(making);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)place = make_octets(making);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)place = make(making, field->descriptor);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)place = make_number(making);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)place = (uint32_t)make_number(making);
        break;
    case PROTOBUF_C_TYPE_ENUM: /* and one that is none */
        *(int *)place = (int)dice_pick(making->dice, values->n_values + 1);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)place = (dice_byte(making->dice) & 1) != 0;
        break;
    default: /* the formats have no other */
        abort();
    }
}

static void make_repeated(struct making *making, const ProtobufCFieldDescriptor *field, uint8_t *message)
{
    size_t size = field_size(field);
    size_t count = dice_pick(making->dice, REPEATED_LIMIT + 1);
    uint8_t *items = arena_alloc(making->arena, count * size + 1);
    if (items == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        make_value(making, field, items + i * size);
    }
    *(void **)(void *)(message + field->offset) = items;
    *(size_t *)(void *)(message + field->quantifier_offset) = count;
}

static bool is_oneof(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* One of the alternatives; each of our messages has at most one set of them. */
static const ProtobufCFieldDescriptor *alternative(struct making *making,
                                                   const ProtobufCMessageDescriptor *type)
{
    const ProtobufCFieldDescriptor *found[64];
    size_t count = 0;
    for (unsigned i = 0; i < type->n_fields && count < 64; i++) {
        if (is_oneof(&type->fields[i])) {
            found[count++] = &type->fields[i];
        }
    }
    return count == 0 ? NULL : found[dice_pick(making->dice, count)];
}

/* An absent message is as likely as not: the dice would go too deep. */
static bool left_out(struct making *making, const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED &&
           !is_oneof(field) && (dice_byte(making->dice) & 1) == 0;
}

static ProtobufCMessage *make(struct making *making, const ProtobufCMessageDescriptor *type)
{
    uint8_t *message = arena_alloc(making->arena, type->sizeof_message);
    if (message == NULL) {
        abort(); /* the arena is far larger than any input can fill */
    }
    protobuf_c_message_init(type, message);
    if (making->depth == DEPTH_LIMIT) {
        return (ProtobufCMessage *)(void *)message;
    }
    making->depth++;
    const ProtobufCFieldDescriptor *chosen = alternative(making, type);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if ((is_oneof(field) && field != chosen) || left_out(making, field)) {
            continue;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            make_repeated(making, field, message);
        } else {
            make_value(making, field, message + field->offset);
        }
        if (is_oneof(field)) {
            *(uint32_t *)(void *)(message + field->quantifier_offset) = field->id;
        }
    }
    making->depth--;
    return (ProtobufCMessage *)(void *)message;
}

void *message_make(const ProtobufCMessageDescriptor *type, const struct vocabulary *words, struct dice *dice,
                   struct arena *arena)
{
    struct making making = {words, dice, arena, 0};
    return make(&making, type);
}
