/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_ARENA_H
#define GROUPSEAL_SECENV_ARENA_H

#include "secenv/bytes.h"

#include <protobuf-c/protobuf-c.h>

/*
 * Memory of one request: everything that its parsed message, its reply and its events
 * point to, in locked pages, wiped and freed at once. Bounded; when it is exhausted,
 * allocation returns NULL and protobuf-c's unpack returns NULL.
 */
struct arena;

/* `limit` bytes in all. Returns NULL when memory cannot be had. */
struct arena *arena_new(size_t limit) MUST_USE;
void arena_free(struct arena *arena);  /* wipes; NULL is allowed */
void arena_reset(struct arena *arena); /* wipes, keeps the first pages */

void *arena_alloc(struct arena *arena, size_t size) MUST_USE; /* zeroed, aligned to 16 */
char *arena_text(struct arena *arena, const char *text) MUST_USE;
char *arena_print(struct arena *arena, const char *format, ...) MUST_USE
    __attribute__((format(printf, 2, 3)));
uint8_t *arena_copy(struct arena *arena, struct bytes bytes) MUST_USE;

/* For protobuf-c's unpack functions: frees nothing, the arena does. */
ProtobufCAllocator *arena_allocator(struct arena *arena);

/* A view of a protobuf-c bytes field, and back (the data is not copied). */
struct bytes arena_view(ProtobufCBinaryData field);
ProtobufCBinaryData arena_field(struct bytes bytes);

#endif
