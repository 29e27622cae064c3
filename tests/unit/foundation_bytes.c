/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/arena.h"
#include "secenv/bytes.h"
#include "secenv/crypto/secret.h"

static void buffer_keeps_its_limit(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY(600);
    uint8_t piece[300];
    memset(piece, 7, sizeof(piece));
    assert_int_equal(buffer_append(&buffer, BYTES_OF(piece)), RESULT_OK);
    assert_int_equal(buffer_append(&buffer, BYTES_OF(piece)), RESULT_OK);
    assert_int_equal(buffer.length, 600);
    assert_int_equal(buffer_append(&buffer, (struct bytes){piece, 1}), RESULT_FULL);
    assert_int_equal(buffer.length, 600);
    assert_int_equal(buffer.data[599], 7);
    buffer_clear(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.limit, 600);
    assert_int_equal(buffer_append(&buffer, (struct bytes){piece, 1}), RESULT_OK);
    buffer_clear(&buffer);
}

static void fields_are_big_endian_and_prefixed(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0,    16,   'g',  'r',  'o',  'u',  'p',  's',  'e',  'a',  'l',  '/',
                                       'v',  '1',  ' ',  'k',  'e',  'y',  0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
                                       0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0xaa, 0xbb, 0,
                                       0,    0,    2,    'h',  'i',  0,    0,    0,    0};
    static const uint8_t pair[] = {0xaa, 0xbb};
    struct fields fields;
    fields_init(&fields);
    fields_label(&fields, "key");
    fields_u8(&fields, 0x01);
    fields_u16(&fields, 0x0203);
    fields_u32(&fields, 0x04050607);
    fields_u64(&fields, 0x08090a0b0c0d0e0f);
    fields_fix(&fields, BYTES_OF(pair), 2);
    fields_text(&fields, "hi");
    fields_text(&fields, NULL);
    assert_int_equal(fields_done(&fields), RESULT_OK);
    assert_true(bytes_equal(fields_bytes(&fields), BYTES_OF(expected)));
    fields_clear(&fields);
}

static void fields_remember_an_error(void **state)
{
    (void)state;
    static const uint8_t pair[] = {0xaa, 0xbb};
    struct fields fields;
    fields_init(&fields);
    fields_fix(&fields, BYTES_OF(pair), 3);
    fields_u8(&fields, 1);
    assert_int_equal(fields_done(&fields), RESULT_INVALID);
    fields_clear(&fields);

    uint8_t large[4096] = {0};
    fields_init(&fields);
    for (unsigned i = 0; i < FIELDS_LIMIT / sizeof(large); i++) {
        fields_fix(&fields, BYTES_OF(large), sizeof(large));
    }
    assert_int_equal(fields_done(&fields), RESULT_OK);
    fields_u8(&fields, 1);
    assert_int_equal(fields_done(&fields), RESULT_FULL);
    fields_clear(&fields);
}

static void texts_are_viewed(void **state)
{
    (void)state;
    assert_int_equal(bytes_of_text(NULL).length, 0);
    assert_int_equal(bytes_of_text("abc").length, 3);
    assert_true(bytes_equal(bytes_of_text(""), bytes_of_text(NULL)));
    assert_false(bytes_equal(bytes_of_text("a"), bytes_of_text("b")));
    assert_true(secret_equal("abc", "abc", 3));
    assert_false(secret_equal("abc", "abd", 3));
}

static void arena_is_bounded_and_aligned(void **state)
{
    (void)state;
    struct arena *arena = arena_new(256u * 1024u);
    assert_non_null(arena);
    uint8_t *small = arena_alloc(arena, 3);
    uint8_t *next = arena_alloc(arena, 3);
    assert_non_null(small);
    assert_int_equal((uintptr_t)small % 16, 0);
    assert_int_equal(next - small, 16);
    uint8_t *large = arena_alloc(arena, 200u * 1024u);
    assert_non_null(large);
    for (size_t i = 0; i < 200u * 1024u; i++) {
        assert_int_equal(large[i], 0);
    }
    memset(large, 0xff, 200u * 1024u);
    assert_null(arena_alloc(arena, 100u * 1024u));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_non_null(arena_alloc(arena, 10u * 1024u));
    arena_free(arena);
    arena_free(NULL);
}

static void arena_reset_wipes(void **state)
{
    (void)state;
    struct arena *arena = arena_new(200u * 1024u);
    assert_non_null(arena);
    for (int round = 0; round < 3; round++) {
        uint8_t *first = arena_alloc(arena, 1000);
        uint8_t *second = arena_alloc(arena, 100u * 1024u);
        assert_non_null(first);
        assert_non_null(second);
        for (size_t i = 0; i < 1000; i++) {
            assert_int_equal(first[i], 0);
        }
        memset(first, 0xee, 1000);
        memset(second, 0xee, 100u * 1024u);
        arena_reset(arena);
    }
    arena_free(arena);
}

static void arena_prints(void **state)
{
    (void)state;
    struct arena *arena = arena_new(100);
    assert_non_null(arena);
    assert_string_equal(arena_print(arena, "%s-%d", "door", 7), "door-7");
    assert_string_equal(arena_text(arena, "text"), "text");
    assert_null(arena_print(arena, "%200d", 7));
    ProtobufCAllocator *allocator = arena_allocator(arena);
    void *memory = allocator->alloc(allocator->allocator_data, 16);
    assert_non_null(memory);
    allocator->free(allocator->allocator_data, memory);
    assert_null(allocator->alloc(allocator->allocator_data, 100));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_keeps_its_limit),
        cmocka_unit_test(fields_are_big_endian_and_prefixed),
        cmocka_unit_test(fields_remember_an_error),
        cmocka_unit_test(texts_are_viewed),
        cmocka_unit_test(arena_is_bounded_and_aligned),
        cmocka_unit_test(arena_reset_wipes),
        cmocka_unit_test(arena_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
