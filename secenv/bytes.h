/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_BYTES_H
#define GROUPSEAL_SECENV_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secenv/result.h"

/* A view of bytes that somebody else owns. */
struct bytes {
    const uint8_t *data;
    size_t length;
};

#define BYTES_OF(array) ((struct bytes){(array), sizeof(array)})

struct bytes bytes_of_text(const char *text);     /* without the zero byte; NULL is empty */
bool bytes_equal(struct bytes a, struct bytes b); /* not constant time: for public values */

/*
 * A growing buffer with a hard limit, wiped when it is cleared or grows. Starts as
 * BUFFER_EMPTY(limit). A failed write leaves it unchanged and returns RESULT_FULL.
 */
struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    size_t limit;
};

#define BUFFER_EMPTY(limit_) ((struct buffer){NULL, 0, 0, (limit_)})

enum result buffer_append(struct buffer *buffer, struct bytes bytes) MUST_USE;
void buffer_clear(struct buffer *buffer); /* wipes, frees, keeps the limit */
struct bytes buffer_bytes(const struct buffer *buffer);

/*
 * Writer of the fixed-width, length-prefixed lists of docs/protocol.md section 1, into
 * a buffer. Errors stick: check once with fields_done(). Big-endian.
 */
struct fields {
    struct buffer buffer;
    enum result state;
};

#define FIELDS_LIMIT ((size_t)256 * 1024)

void fields_init(struct fields *fields);
/* Starts the list with the label of a KDF info or of a signature:
 * u16 length of "groupseal/v1 <label>", then that text. */
void fields_label(struct fields *fields, const char *label);
void fields_u8(struct fields *fields, uint8_t value);
void fields_u16(struct fields *fields, uint16_t value);
void fields_u32(struct fields *fields, uint32_t value);
void fields_u64(struct fields *fields, uint64_t value);
void fields_fix(struct fields *fields, struct bytes value, size_t size); /* size != length: INVALID sticks */
void fields_var(struct fields *fields, struct bytes value);
void fields_text(struct fields *fields, const char *text); /* var; NULL is empty */
enum result fields_done(const struct fields *fields) MUST_USE;
struct bytes fields_bytes(const struct fields *fields);
void fields_clear(struct fields *fields); /* wipes */

#endif
