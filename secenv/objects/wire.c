/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/object.h"

/*
 * What an encoding must be before it is unpacked (docs/protocol.md section 1). protobuf-c cuts text at a NUL,
 * takes any bytes for text, reads a bool of any wire type, and merges a message that comes twice in a way of
 * its own; other readers do otherwise, so that one object would be two.
 */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_SIZED = 2, WIRE_FIXED32 = 5 };

#define NUMBER_BYTES 10u /* a varint of 64 bits */
#define TAG_BYTES 5u     /* a tag, or a length: one of 32 bits */

struct cursor {
    const uint8_t *at;
    size_t left;
};

/* False where it ends early, is longer, or does not fit into as many bits. */
static bool varint_read(struct cursor *cursor, size_t bytes, uint64_t *out)
{
    unsigned last = bytes == NUMBER_BYTES ? 0x01 : 0x0F;
    *out = 0;
    for (size_t i = 0; i < bytes && i < cursor->left; i++) {
        uint8_t byte = cursor->at[i];
        *out |= (uint64_t)(byte & 0x7Fu) << (7 * i);
        if (byte < 0x80) {
            cursor->at += i + 1;
            cursor->left -= i + 1;
            return i + 1 < bytes || byte <= last;
        }
    }
    return false;
}

/* `size` bytes; false where there are not as many. */
static bool cut(struct cursor *cursor, uint64_t size, struct bytes *out)
{
    if (size > cursor->left) {
        return false;
    }
    *out = (struct bytes){cursor->at, (size_t)size};
    cursor->at += size;
    cursor->left -= (size_t)size;
    return true;
}

/* How many bytes a character starting with this one has; 0 for none that may start one. */
static size_t character_size(uint8_t first)
{
    if (first < 0x80) {
        return first != '\0' ? 1 : 0;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        return 3;
    }
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/* The second byte keeps out what has a shorter form, surrogates, and what is beyond U+10FFFF. */
static bool second_valid(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

static bool text_valid(struct bytes text)
{
    for (size_t at = 0; at < text.length;) {
        const uint8_t *character = text.data + at;
        size_t size = character_size(character[0]);
        if (size == 0 || size > text.length - at || (size > 1 && !second_valid(character[0], character[1]))) {
            return false;
        }
        for (size_t i = 2; i < size; i++) {
            if ((character[i] & 0xC0) != 0x80) {
                return false;
            }
        }
        at += size;
    }
    return true;
}

static enum wire_type wire_type_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_FIXED64:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_SIZED;
    default:
        return WIRE_VARINT;
    }
}

static bool message_valid(const ProtobufCMessageDescriptor *descriptor, struct bytes packed);

static bool content_valid(const ProtobufCFieldDescriptor *field, struct bytes content)
{
    if (field == NULL) {
        return true;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return text_valid(content);
    }
    return field->type != PROTOBUF_C_TYPE_MESSAGE || message_valid(field->descriptor, content);
}

/* Of its own wire type, and not there already where there may be one. `seen` has a bit for each field. */
static bool known_valid(const ProtobufCMessageDescriptor *descriptor, const ProtobufCFieldDescriptor *field,
                        unsigned wire_type, uint64_t *seen)
{
    uint64_t bit = (uint64_t)1 << (field - descriptor->fields);
    if (field->label != PROTOBUF_C_LABEL_REPEATED && (*seen & bit) != 0) {
        return false;
    }
    *seen |= bit;
    return wire_type == wire_type_of(field);
}

/* One field, unknown ones too: those may be of any wire type but groups. */
static bool field_valid(const ProtobufCMessageDescriptor *descriptor, struct cursor *cursor, uint64_t *seen)
{
    uint64_t tag = 0;
    uint64_t number = 0;
    struct bytes content = {NULL, 0};
    if (!varint_read(cursor, TAG_BYTES, &tag) || tag >> 3 == 0) {
        return false;
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
    if (field != NULL && !known_valid(descriptor, field, tag & 7, seen)) {
        return false;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        return varint_read(cursor, NUMBER_BYTES, &number);
    case WIRE_FIXED64:
        return cut(cursor, 8, &content);
    case WIRE_FIXED32:
        return cut(cursor, 4, &content);
    case WIRE_SIZED:
        return varint_read(cursor, TAG_BYTES, &number) && cut(cursor, number, &content) &&
               content_valid(field, content);
    default:
        return false;
    }
}

/* Recursion is as deep as proto/envelope.proto, where no message holds its own kind. */
static bool message_valid(const ProtobufCMessageDescriptor *descriptor, struct bytes packed)
{
    struct cursor cursor = {packed.data, packed.length};
    uint64_t seen = 0;
    while (cursor.left > 0) {
        if (!field_valid(descriptor, &cursor, &seen)) {
            return false;
        }
    }
    return true;
}

void *object_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes packed, struct arena *arena)
{
    if (packed.length > OBJECT_LIMIT || !message_valid(descriptor, packed)) {
        return NULL;
    }
    return protobuf_c_message_unpack(descriptor, arena_allocator(arena), packed.length, packed.data);
}
