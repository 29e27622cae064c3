/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_MESSAGE_LINE_H
#define GROUPSEAL_AGENTS_ADN_AE_MESSAGE_LINE_H

#include "agents/adn-ae/device.h"

/*
 * Lines "GROUP payload\n" from foreign programs: cut out of a stream and taken apart. Pure code, bounded.
 */
#define MESSAGE_GROUP_LIMIT 64u
#define MESSAGE_LINE_LIMIT (MESSAGE_GROUP_LIMIT + 1u + DEVICE_BODY_LIMIT)

struct message_line {
    char group[MESSAGE_GROUP_LIMIT + 1];
    const uint8_t *payload; /* inside the line; may be empty */
    size_t length;
};

/* Takes a line without its end apart: a group name of [A-Za-z0-9._-]{1,64}, one blank, the payload as it
 * is. Returns NULL, or what is wrong with the line. */
const char *message_line_parse(const char *line, size_t length, struct message_line *out);

/* A stream being cut into lines. Starts zeroed. */
struct message_stream {
    char bytes[MESSAGE_LINE_LIMIT + 2];
    size_t length; /* held */
    size_t taken;  /* of them, given out already */
    bool skipping; /* inside a line that is too long */
};

/* Where and how many bytes may be read into it; 0 only while a whole line waits in it. */
size_t message_stream_room(struct message_stream *stream, char **place);
void message_stream_filled(struct message_stream *stream, size_t length);

enum message_stream_state { MESSAGE_STREAM_LINE, MESSAGE_STREAM_TOO_LONG, MESSAGE_STREAM_MORE };

/* The next line (without "\n" or "\r\n"), valid until the next call here or of message_stream_room.
 * TOO_LONG: one was skipped. MORE: nothing whole is there. */
enum message_stream_state message_stream_next(struct message_stream *stream, const char **line,
                                              size_t *length);

#endif
