/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/message_line.h"

#include "fuzz.h"

/* The first byte says how many bytes come at once. Lines are those of the input, or too long, and never more.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t step = (size_t)data[0] * 64 + 1;
    struct message_stream *stream = calloc(1, sizeof(*stream));
    ALWAYS(stream != NULL);
    size_t ends = 0;
    size_t lines = 0;
    for (size_t taken = 1; taken < size;) {
        char *place = NULL;
        size_t room = message_stream_room(stream, &place);
        ALWAYS(room > 0);
        size_t part = size - taken < step ? size - taken : step;
        part = part < room ? part : room;
        memcpy(place, data + taken, part);
        message_stream_filled(stream, part);
        for (size_t i = 0; i < part; i++) {
            ends += data[taken + i] == '\n';
        }
        taken += part;

        const char *line = NULL;
        size_t length = 0;
        enum message_stream_state state;
        while ((state = message_stream_next(stream, &line, &length)) != MESSAGE_STREAM_MORE) {
            struct message_line message;
            lines++;
            if (state == MESSAGE_STREAM_LINE && message_line_parse(line, length, &message) == NULL) {
                ALWAYS(message.length <= DEVICE_BODY_LIMIT && message.group[0] != '\0');
                ALWAYS(strlen(message.group) + 1 + message.length == length);
            }
        }
    }
    ALWAYS(lines == ends);
    free(stream);
    return 0;
}
