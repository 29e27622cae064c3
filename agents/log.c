/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_LIMIT 1024

static const char *const words[] = {"debug", "info", "warning", "alarm"};
static const char *name = "groupseal";
static enum agent_log_level lowest = AGENT_LOG_INFO;

void agent_log_open(const char *program, enum agent_log_level threshold)
{
    name = program;
    lowest = threshold;
}

bool agent_log_level_parse(const char *word, enum agent_log_level *out)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum agent_log_level)i;
            return true;
        }
    }
    return false;
}

static void clean(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

/* One write, so that lines of several threads do not mix; shorter than PIPE_BUF, so that a pipe that polls
 * writable takes it without blocking. A log that nobody reads stops nothing: lines are dropped, and counted.
 */
static void line_write(const char *level, const char *text)
{
    static atomic_ullong missed;
    char line[LINE_LIMIT + 256];
    struct pollfd probe = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&probe, 1, 0) <= 0) {
        atomic_fetch_add(&missed, 1);
        return;
    }
    unsigned long long before = atomic_exchange(&missed, 0);
    int length = 0;
    if (before > 0) {
        length = snprintf(line, sizeof(line),
                          "%s: warning: the log was not read: %llu lines are missing here\n", name, before);
    }
    length += snprintf(line + length, sizeof(line) - (size_t)length, "%s: %s: %s\n", name, level, text);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written;
}

void agent_log(enum agent_log_level level, const char *format, ...)
{
    if (level < lowest) {
        return;
    }
    char text[LINE_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    clean(text);

    line_write(words[level], text);
}
