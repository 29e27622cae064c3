/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/output.h"

#include "agents/log.h"
#include "agents/timer.h"
#include "agents/utf8.h"
#include "onem2m/base64.h"

#include <cJSON.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define CLOSE_MS 1000u

struct line {
    STAILQ_ENTRY(line) next;
    size_t length;
    char text[];
};

struct output {
    int fd;
    sd_event_source *writable; /* NULL: a file, which always is */
    STAILQ_HEAD(, line) lines;
    size_t bytes;    /* that wait */
    size_t written;  /* of the first line */
    uint64_t missed; /* lines that nobody read */
};

/* ---- writing without waiting ---- */

static void line_end(struct output *output)
{
    struct line *line = STAILQ_FIRST(&output->lines);
    STAILQ_REMOVE_HEAD(&output->lines, next);
    output->bytes -= line->length;
    output->written = 0;
    free(line);
}

static bool is_writable(const struct output *output, int wait_ms)
{
    struct pollfd probe = {.fd = output->fd, .events = POLLOUT};
    return poll(&probe, 1, wait_ms) > 0;
}

/* Writes what can be written now. The descriptor may be shared with other programs, which would notice if it
 * were set to non-blocking; of a pipe that polls writable, PIPE_BUF bytes do not block. */
static void output_flush(struct output *output)
{
    while (!STAILQ_EMPTY(&output->lines) && is_writable(output, 0)) {
        const struct line *line = STAILQ_FIRST(&output->lines);
        size_t left = line->length - output->written;
        ssize_t sent = write(output->fd, line->text + output->written, left < PIPE_BUF ? left : PIPE_BUF);
        if (sent >= 0) {
            output->written += (size_t)sent;
        } else if (errno == EAGAIN || errno == EINTR) {
            break;
        } else {
            output->written = line->length; /* nobody is there to read it */
        }
        if (output->written == line->length) {
            line_end(output);
        }
    }
}

static void output_arm(struct output *output)
{
    bool waits = !STAILQ_EMPTY(&output->lines);
    if (output->writable != NULL) {
        sd_event_source_set_enabled(output->writable, waits ? SD_EVENT_ON : SD_EVENT_OFF);
    }
    if (!waits && output->missed > 0) {
        agent_log(AGENT_LOG_WARNING, "standard output is read again; %llu events were not written to it",
                  (unsigned long long)output->missed);
        output->missed = 0;
    }
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct output *output = userdata;
    (void)source;
    (void)fd;
    (void)events;
    output_flush(output);
    output_arm(output);
    return 0;
}

static void line_missed(struct output *output)
{
    if (output->missed++ == 0) {
        agent_log(AGENT_LOG_WARNING, "standard output is not read: events are not written to it");
    }
}

static void line_put(struct output *output, const char *text)
{
    size_t length = strlen(text) + 1;
    struct line *line = output->bytes + length <= OUTPUT_BYTES_LIMIT ? malloc(sizeof(*line) + length) : NULL;
    if (line == NULL) {
        line_missed(output);
        return;
    }
    memcpy(line->text, text, length - 1);
    line->text[length - 1] = '\n';
    line->length = length;
    STAILQ_INSERT_TAIL(&output->lines, line, next);
    output->bytes += length;
    output_flush(output);
    output_arm(output);
}

struct output *output_open(sd_event *loop, int fd)
{
    struct output *output = calloc(1, sizeof(*output));
    if (output == NULL) {
        return NULL;
    }
    output->fd = fd;
    STAILQ_INIT(&output->lines);
    int error = sd_event_add_io(loop, &output->writable, fd, EPOLLOUT, on_writable, output);
    if (error >= 0) {
        error = sd_event_source_set_enabled(output->writable, SD_EVENT_OFF);
    }
    if (error < 0 && error != -EPERM && error != -EBADF) { /* a file; or none: started without one */
        output_close(output);
        return NULL;
    }
    return output;
}

void output_close(struct output *output)
{
    if (output == NULL) {
        return;
    }
    uint64_t end = monotonic_ms() + CLOSE_MS;
    for (uint64_t now = monotonic_ms(); !STAILQ_EMPTY(&output->lines) && now < end; now = monotonic_ms()) {
        (void)is_writable(output, (int)(end - now));
        output_flush(output);
    }
    while (!STAILQ_EMPTY(&output->lines)) {
        line_missed(output);
        line_end(output);
    }
    output->writable = sd_event_source_disable_unref(output->writable);
    free(output);
}

/* ---- events ---- */

static void text_add(cJSON *object, const char *name, const char *text)
{
    bool valid = text != NULL && utf8_valid((const uint8_t *)text, strlen(text));
    cJSON_AddStringToObject(object, name, valid ? text : "");
}

/* Writes and frees. */
static void object_put(struct output *output, cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    if (text != NULL) {
        line_put(output, text);
        free(text);
    }
    cJSON_Delete(object);
}

static cJSON *event_new(const char *event, const char *group)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "event", event);
    text_add(object, "group", group);
    return object;
}

/* "text" where it is UTF-8, else "base64". */
static void body_add(cJSON *object, const uint8_t *body, size_t length)
{
    bool text = utf8_valid(body, length);
    char *value = text ? strndup((const char *)body, length) : base64_encode(body, length);
    if (value != NULL) {
        cJSON_AddStringToObject(object, text ? "text" : "base64", value);
        free(value);
    }
}

void output_message(struct output *output, const struct device_message *message)
{
    cJSON *object = event_new("message", message->group);
    text_add(object, "sender", message->sender);
    cJSON_AddBoolToObject(object, "proven", message->proven);
    body_add(object, message->body, message->length);
    object_put(output, object);
}

void output_command(struct output *output, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                    bool done, const char *detail)
{
    char hex[2 * DEVICE_COMMAND_ID_SIZE + 1];
    for (size_t i = 0; i < DEVICE_COMMAND_ID_SIZE; i++) {
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    cJSON *object = event_new("command", group);
    cJSON_AddStringToObject(object, "command_id", hex);
    cJSON_AddStringToObject(object, "outcome", done ? "done" : "failed");
    text_add(object, "detail", detail);
    object_put(output, object);
}

void output_joined(struct output *output, const char *group)
{
    object_put(output, event_new("joined", group));
}

void output_departed(struct output *output, const char *group, const char *reason)
{
    cJSON *object = event_new("departed", group);
    text_add(object, "reason", reason);
    object_put(output, object);
}
