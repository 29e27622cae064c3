/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "secenv/crypto/secret.h"

#define ARENA_ALIGNMENT 16u
#define ARENA_CHUNK_SIZE ((size_t)64 * 1024)

/* Pages from the kernel; the allocations follow this head. */
struct chunk {
    struct chunk *next;
    size_t size; /* of the mapping */
    size_t used; /* from the start of the mapping, head included */
};

/* Wiped pages that no arena has: to map and lock them anew costs more than most requests. Only the one thread
 * of secenv has arenas. */
#define SPARE_LIMIT 16u
static struct chunk *spare;
static size_t spare_count;

#define CHUNK_HEAD ((sizeof(struct chunk) + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT)

struct arena {
    struct chunk *newest; /* allocations go here; the list ends with the first pages */
    size_t limit;
    size_t allocated;
    ProtobufCAllocator allocator;
};

/*
 * Locking may fail where RLIMIT_MEMLOCK is small: secret_protect_process has said so then, and
 * a refusal to work would help nobody.
 */
static struct chunk *chunk_new(size_t payload)
{
    size_t size = payload > ARENA_CHUNK_SIZE - CHUNK_HEAD ? payload + CHUNK_HEAD : ARENA_CHUNK_SIZE;
    if (size == ARENA_CHUNK_SIZE && spare != NULL) {
        struct chunk *chunk = spare;
        spare = chunk->next;
        spare_count--;
        chunk->next = NULL;
        return chunk;
    }
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    (void)mlock(pages, size);
    (void)madvise(pages, size, MADV_DONTDUMP);
    struct chunk *chunk = pages;
    chunk->size = size;
    chunk->used = CHUNK_HEAD;
    return chunk;
}

static void chunk_wipe(struct chunk *chunk)
{
    secret_wipe_bytes((uint8_t *)chunk + CHUNK_HEAD, chunk->used - CHUNK_HEAD);
    chunk->used = CHUNK_HEAD;
}

static void chunk_free(struct chunk *chunk)
{
    chunk_wipe(chunk);
    if (chunk->size == ARENA_CHUNK_SIZE && spare_count < SPARE_LIMIT) {
        chunk->next = spare;
        spare = chunk;
        spare_count++;
        return;
    }
    (void)munmap(chunk, chunk->size);
}

static void *allocator_alloc(void *context, size_t size)
{
    return arena_alloc(context, size);
}

static void allocator_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

struct arena *arena_new(size_t limit)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL) {
        return NULL;
    }
    arena->newest = chunk_new(0);
    if (arena->newest == NULL) {
        free(arena);
        return NULL;
    }
    arena->limit = limit;
    arena->allocator = (ProtobufCAllocator){allocator_alloc, allocator_free, arena};
    return arena;
}

/* Frees every chunk that is newer than the first one. */
static void arena_shrink(struct arena *arena)
{
    while (arena->newest->next != NULL) {
        struct chunk *older = arena->newest->next;
        chunk_free(arena->newest);
        arena->newest = older;
    }
}

void arena_free(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    arena_shrink(arena);
    chunk_free(arena->newest);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    arena_shrink(arena);
    chunk_wipe(arena->newest);
    arena->allocated = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > arena->limit) {
        return NULL;
    }
    /* A distinct address for nothing, too: NULL means failure. */
    size_t rounded =
        size == 0 ? ARENA_ALIGNMENT : (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (rounded > arena->limit || arena->allocated > arena->limit - rounded) {
        return NULL;
    }
    struct chunk *chunk = arena->newest;
    if (chunk->size - chunk->used < rounded) {
        chunk = chunk_new(rounded);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = arena->newest;
        arena->newest = chunk;
    }
    void *memory = (uint8_t *)chunk + chunk->used; /* never used before, or wiped: zero */
    chunk->used += rounded;
    arena->allocated += rounded;
    return memory;
}

char *arena_text(struct arena *arena, const char *text)
{
    return (char *)arena_copy(arena, (struct bytes){(const uint8_t *)text, strlen(text) + 1});
}

char *arena_print(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return NULL;
    }
    char *text = arena_alloc(arena, (size_t)length + 1);
    if (text == NULL) {
        return NULL;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

uint8_t *arena_copy(struct arena *arena, struct bytes bytes)
{
    uint8_t *copy = arena_alloc(arena, bytes.length);
    if (copy != NULL && bytes.length != 0) {
        memcpy(copy, bytes.data, bytes.length);
    }
    return copy;
}

ProtobufCAllocator *arena_allocator(struct arena *arena)
{
    return &arena->allocator;
}

struct bytes arena_view(ProtobufCBinaryData field)
{
    return (struct bytes){field.data, field.len};
}

ProtobufCBinaryData arena_field(struct bytes bytes)
{
    /* protobuf-c has no const; it only reads what it packs. */
    return (ProtobufCBinaryData){bytes.length, (uint8_t *)(uintptr_t)bytes.data};
}
