/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/message_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    struct message_line line;
    (void)state;
    assert_null(message_line_parse("doors heat 71", 13, &line));
    assert_string_equal(line.group, "doors");
    assert_int_equal(line.length, 7);
    assert_memory_equal(line.payload, "heat 71", 7);
    assert_null(message_line_parse("a ", 2, &line));
    assert_int_equal(line.length, 0);
    assert_null(message_line_parse("a  b", 4, &line));
    assert_memory_equal(line.payload, " b", 2);
}

static void test_parse_complaints(void **state)
{
    static const char *const wrong[] = {"", " ", "doors", " doors x", "do/ors x", "doors\tx", "d\xc3\xb6r x"};
    struct message_line line;
    char *text = malloc(MESSAGE_LINE_LIMIT + 2);
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_non_null(message_line_parse(wrong[i], strlen(wrong[i]), &line));
    }
    memset(text, 'g', MESSAGE_LINE_LIMIT + 2);
    text[64] = ' ';
    assert_null(message_line_parse(text, MESSAGE_LINE_LIMIT, &line));
    assert_int_equal(line.length, DEVICE_BODY_LIMIT);
    assert_non_null(message_line_parse(text, MESSAGE_LINE_LIMIT + 1, &line));
    text[64] = 'g';
    text[65] = ' ';
    assert_non_null(message_line_parse(text, 70, &line));
    free(text);
}

static void feed(struct message_stream *stream, const char *text, size_t length)
{
    char *place = NULL;
    size_t room = message_stream_room(stream, &place);
    assert_true(length <= room);
    memcpy(place, text, length);
    message_stream_filled(stream, length);
}

static void test_stream(void **state)
{
    struct message_stream *stream = calloc(1, sizeof(*stream));
    const char *line = NULL;
    size_t length = 0;
    (void)state;
    feed(stream, "a one\r\nb tw", 11);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_LINE);
    assert_int_equal(length, 5);
    assert_memory_equal(line, "a one", 5);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_MORE);
    feed(stream, "o\n\n", 3);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_LINE);
    assert_memory_equal(line, "b two", 5);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_LINE);
    assert_int_equal(length, 0);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_MORE);
    free(stream);
}

/* A line too long is skipped whole, however it is cut, and the next one is heard. */
static void test_stream_skips(void **state)
{
    struct message_stream *stream = calloc(1, sizeof(*stream));
    const char *line = NULL;
    size_t length = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        char *place = NULL;
        size_t room = message_stream_room(stream, &place);
        assert_true(room > 0);
        memset(place, 'x', room);
        message_stream_filled(stream, room);
        assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_MORE);
    }
    feed(stream, "yz\na b\n", 7);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_TOO_LONG);
    assert_int_equal(message_stream_next(stream, &line, &length), MESSAGE_STREAM_LINE);
    assert_memory_equal(line, "a b", 3);
    free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_complaints),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_skips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
