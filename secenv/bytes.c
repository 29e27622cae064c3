/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "secenv/crypto/secret.h"

#define BUFFER_FIRST_CAPACITY 256u

/* Every label of a KDF or a signature starts with it: docs/protocol.md section 1. */
static const char label_prefix[] = "groupseal/v1 ";

struct bytes bytes_of_text(const char *text)
{
    if (text == NULL) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Moves the buffer to memory of at least `needed` bytes; the old memory is wiped. */
static enum result buffer_grow(struct buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity == 0 ? BUFFER_FIRST_CAPACITY : buffer->capacity;
    while (capacity < needed) {
        capacity = capacity > buffer->limit / 2 ? buffer->limit : capacity * 2;
    }
    uint8_t *data = malloc(capacity);
    if (data == NULL) {
        return RESULT_FULL;
    }
    if (buffer->length != 0) {
        memcpy(data, buffer->data, buffer->length);
    }
    if (buffer->data != NULL) {
        secret_wipe_bytes(buffer->data, buffer->capacity);
        free(buffer->data);
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return RESULT_OK;
}

enum result buffer_append(struct buffer *buffer, struct bytes bytes)
{
    if (bytes.length > buffer->limit || buffer->length > buffer->limit - bytes.length) {
        return RESULT_FULL;
    }
    if (bytes.length == 0) {
        return RESULT_OK;
    }
    if (buffer->length + bytes.length > buffer->capacity) {
        GUARD(buffer_grow(buffer, buffer->length + bytes.length));
    }
    memcpy(buffer->data + buffer->length, bytes.data, bytes.length);
    buffer->length += bytes.length;
    return RESULT_OK;
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->data != NULL) {
        secret_wipe_bytes(buffer->data, buffer->capacity);
        free(buffer->data);
    }
    *buffer = BUFFER_EMPTY(buffer->limit);
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->length};
}

void fields_init(struct fields *fields)
{
    fields->buffer = BUFFER_EMPTY(FIELDS_LIMIT);
    fields->state = RESULT_OK;
}

static void fields_append(struct fields *fields, const void *data, size_t length)
{
    if (fields->state == RESULT_OK) {
        fields->state = buffer_append(&fields->buffer, (struct bytes){data, length});
    }
}

static void fields_integer(struct fields *fields, uint64_t value, size_t width)
{
    uint8_t encoded[8];
    for (size_t i = 0; i < width; i++) {
        encoded[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
    fields_append(fields, encoded, width);
}

void fields_label(struct fields *fields, const char *label)
{
    size_t length = sizeof(label_prefix) - 1 + strlen(label);
    if (length > UINT16_MAX) {
        fields->state = RESULT_INVALID;
        return;
    }
    fields_u16(fields, (uint16_t)length);
    fields_append(fields, label_prefix, sizeof(label_prefix) - 1);
    fields_append(fields, label, strlen(label));
}

void fields_u8(struct fields *fields, uint8_t value)
{
    fields_integer(fields, value, 1);
}

void fields_u16(struct fields *fields, uint16_t value)
{
    fields_integer(fields, value, 2);
}

void fields_u32(struct fields *fields, uint32_t value)
{
    fields_integer(fields, value, 4);
}

void fields_u64(struct fields *fields, uint64_t value)
{
    fields_integer(fields, value, 8);
}

void fields_fix(struct fields *fields, struct bytes value, size_t size)
{
    if (value.length != size) {
        fields->state = RESULT_INVALID;
        return;
    }
    fields_append(fields, value.data, value.length);
}

void fields_var(struct fields *fields, struct bytes value)
{
    if (value.length > UINT32_MAX) {
        fields->state = RESULT_INVALID;
        return;
    }
    fields_u32(fields, (uint32_t)value.length);
    fields_append(fields, value.data, value.length);
}

void fields_text(struct fields *fields, const char *text)
{
    fields_var(fields, bytes_of_text(text));
}

enum result fields_done(const struct fields *fields)
{
    return fields->state;
}

struct bytes fields_bytes(const struct fields *fields)
{
    return buffer_bytes(&fields->buffer);
}

void fields_clear(struct fields *fields)
{
    buffer_clear(&fields->buffer);
    fields->state = RESULT_OK;
}
