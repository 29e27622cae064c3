/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/message_line.h"

#include <string.h>

static bool group_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

const char *message_line_parse(const char *line, size_t length, struct message_line *out)
{
    size_t group = 0;
    while (group < length && group_byte(line[group])) {
        group++;
    }
    if (group == 0 || group == length || line[group] != ' ') {
        return "a line must be: GROUP payload";
    }
    if (group > MESSAGE_GROUP_LIMIT) {
        return "the name of the group is longer than 64 bytes";
    }
    if (length - group - 1 > DEVICE_BODY_LIMIT) {
        return "the payload is longer than 16384 bytes";
    }
    memcpy(out->group, line, group);
    out->group[group] = '\0';
    out->payload = (const uint8_t *)line + group + 1;
    out->length = length - group - 1;
    return NULL;
}

size_t message_stream_room(struct message_stream *stream, char **place)
{
    memmove(stream->bytes, stream->bytes + stream->taken, stream->length - stream->taken);
    stream->length -= stream->taken;
    stream->taken = 0;
    *place = stream->bytes + stream->length;
    return sizeof(stream->bytes) - stream->length;
}

void message_stream_filled(struct message_stream *stream, size_t length)
{
    stream->length += length;
}

enum message_stream_state message_stream_next(struct message_stream *stream, const char **line,
                                              size_t *length)
{
    const char *start = stream->bytes + stream->taken;
    size_t held = stream->length - stream->taken;
    const char *end = memchr(start, '\n', held);
    if (end == NULL) {
        if (held == sizeof(stream->bytes) || stream->skipping) { /* forget the beginning, wait for the end */
            stream->skipping = true;
            stream->length = 0;
            stream->taken = 0;
        }
        return MESSAGE_STREAM_MORE;
    }
    size_t found = (size_t)(end - start);
    stream->taken += found + 1;
    if (stream->skipping) {
        stream->skipping = false;
        return MESSAGE_STREAM_TOO_LONG;
    }
    *line = start;
    *length = found > 0 && start[found - 1] == '\r' ? found - 1 : found;
    return *length > MESSAGE_LINE_LIMIT ? MESSAGE_STREAM_TOO_LONG : MESSAGE_STREAM_LINE;
}
