/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/message_source.h"

#include "agents/adn-ae/message_line.h"
#include "agents/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* One stream of lines: a connection, or standard input. */
struct stream {
    struct stream *next;
    struct message_source *source;
    int fd;
    bool standard_input;
    bool waiting; /* for the answer to its last line */
    bool ended;   /* no more is read; freed when nothing is waited for */
    sd_event_source *readable;
    struct message_stream lines;
};

struct message_source {
    sd_event *loop;
    struct device *device;
    char *path;
    int listener;
    sd_event_source *accepting;
    struct stream *streams;
    size_t count;
};

/* Frees a stream that is in no list any more. */
static void stream_free(struct stream *stream)
{
    stream->readable = sd_event_source_disable_unref(stream->readable);
    if (!stream->standard_input) {
        close(stream->fd);
    }
    explicit_bzero(&stream->lines, sizeof(stream->lines));
    free(stream);
}

static void stream_end(struct stream *stream)
{
    struct stream **place = &stream->source->streams;
    while (*place != stream) {
        place = &(*place)->next;
    }
    *place = stream->next;
    stream->source->count--;
    stream_free(stream);
}

static void stream_answer(const struct stream *stream, const char *error)
{
    char text[512];
    if (stream->standard_input) {
        if (error != NULL) {
            agent_log(AGENT_LOG_WARNING, "a message from standard input was not sent: %s", error);
        }
        return;
    }
    int length = error == NULL ? snprintf(text, sizeof(text), "ok\n")
                               : snprintf(text, sizeof(text), "error %.480s\n", error);
    /* A peer that reads no answers loses them: it has at most one open. */
    (void)!send(stream->fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void stream_go_on(struct stream *stream);

static void on_said(void *context, const char *error)
{
    struct stream *stream = context;
    stream->waiting = false;
    stream_answer(stream, error);
    stream_go_on(stream);
}

/* Gives a line to the device. */
static void line_take(struct stream *stream, const char *line, size_t length)
{
    struct message_line message;
    if (stream->standard_input && length == 0) {
        return;
    }
    const char *complaint = message_line_parse(line, length, &message);
    if (complaint == NULL) {
        stream->waiting = device_say(stream->source->device, message.group, message.payload, message.length,
                                     on_said, stream);
        complaint = stream->waiting ? NULL : "too many messages wait to be sent";
    }
    if (complaint != NULL) {
        stream_answer(stream, complaint);
    }
}

/* Handles the lines that are there, until one must be waited for; then frees a stream at its end, or reads
 * on. */
static void stream_go_on(struct stream *stream)
{
    const char *line = NULL;
    size_t length = 0;
    while (!stream->waiting) {
        enum message_stream_state state = message_stream_next(&stream->lines, &line, &length);
        if (state == MESSAGE_STREAM_MORE) {
            break;
        }
        if (state == MESSAGE_STREAM_TOO_LONG) {
            stream_answer(stream, "the line is too long");
        } else {
            line_take(stream, line, length);
        }
    }
    if (!stream->waiting && stream->ended) {
        stream_end(stream);
    } else {
        sd_event_source_set_enabled(stream->readable,
                                    stream->waiting || stream->ended ? SD_EVENT_OFF : SD_EVENT_ON);
    }
}

static int on_readable(sd_event_source *event, int fd, uint32_t events, void *userdata)
{
    struct stream *stream = userdata;
    char *place = NULL;
    (void)event;
    (void)events;
    size_t room = message_stream_room(&stream->lines, &place);
    ssize_t got = read(fd, place, room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (got > 0) {
        message_stream_filled(&stream->lines, (size_t)got);
    } else {
        stream->ended = true;
    }
    stream_go_on(stream);
    return 0;
}

/* A regular file as standard input cannot be polled: it is always readable, so a deferred event does. */
static int on_turn(sd_event_source *event, void *userdata)
{
    struct stream *stream = userdata;
    return on_readable(event, stream->fd, 0, stream);
}

static bool stream_open(struct message_source *source, int fd, bool standard_input)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return false;
    }
    stream->source = source;
    stream->fd = fd;
    stream->standard_input = standard_input;
    int error = sd_event_add_io(source->loop, &stream->readable, fd, EPOLLIN, on_readable, stream);
    if (error == -EPERM) {
        error = sd_event_add_defer(source->loop, &stream->readable, on_turn, stream);
        if (error >= 0) {
            error = sd_event_source_set_enabled(stream->readable, SD_EVENT_ON);
        }
    }
    if (error < 0) {
        free(stream);
        return false;
    }
    stream->next = source->streams;
    source->streams = stream;
    source->count++;
    return true;
}

static int on_connection(sd_event_source *event, int fd, uint32_t events, void *userdata)
{
    struct message_source *source = userdata;
    (void)event;
    (void)events;
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted < 0) {
        return 0;
    }
    if (source->count >= MESSAGE_CONNECTIONS_LIMIT || !stream_open(source, accepted, false)) {
        agent_log(AGENT_LOG_WARNING, "a connection to the message socket was closed: too many are open");
        close(accepted);
    }
    return 0;
}

/* True where somebody listens there: only a refused connection says that nobody does. */
static bool in_use(const struct sockaddr_un *address)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return true;
    }
    bool refused =
        connect(probe, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    close(probe);
    return !refused;
}

/* Removes a socket that an earlier run left; anything else at that place stays. False: it is in use. */
static bool stale_remove(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return true;
    }
    return !in_use(address) && unlink(address->sun_path) == 0;
}

static bool listener_open(struct message_source *source, const char *path, char *why, size_t why_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        snprintf(why, why_size, "the path of the message socket is too long: %s", path);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (!stale_remove(&address)) {
        snprintf(why, why_size, "another process listens on the message socket %s, or it cannot be removed",
                 path);
        return false;
    }
    source->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0117);
    bool bound = source->listener >= 0 &&
                 bind(source->listener, (const struct sockaddr *)&address, sizeof(address)) == 0;
    umask(old);
    if (!bound || listen(source->listener, 8) != 0 || (source->path = strdup(path)) == NULL ||
        sd_event_add_io(source->loop, &source->accepting, source->listener, EPOLLIN, on_connection, source) <
            0) {
        snprintf(why, why_size, "cannot listen on the message socket %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

struct message_source *message_source_open(sd_event *loop, struct device *device, const char *path,
                                           bool standard_input, char *why, size_t why_size)
{
    struct message_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    source->loop = loop;
    source->device = device;
    source->listener = -1;
    if (path != NULL && !listener_open(source, path, why, why_size)) {
        message_source_close(source);
        return NULL;
    }
    if (standard_input && !stream_open(source, STDIN_FILENO, true)) {
        snprintf(why, why_size, "cannot read standard input");
        message_source_close(source);
        return NULL;
    }
    return source;
}

void message_source_close(struct message_source *source)
{
    if (source == NULL) {
        return;
    }
    while (source->streams != NULL) {
        struct stream *stream = source->streams;
        source->streams = stream->next;
        stream_free(stream);
    }
    sd_event_source_disable_unref(source->accepting);
    if (source->listener >= 0) {
        close(source->listener);
    }
    if (source->path != NULL) {
        unlink(source->path);
        free(source->path);
    }
    free(source);
}
