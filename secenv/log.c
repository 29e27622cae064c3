/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_LIMIT 1024

static enum log_level threshold = LOG_LEVEL_INFO;

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_ALARM:
        return "ALARM";
    }
    return "log";
}

void log_threshold(enum log_level lowest)
{
    threshold = lowest;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level < threshold) {
        return;
    }
    char line[LINE_LIMIT];
    int start = snprintf(line, sizeof(line) - 1, "secenv: %s: ", level_word(level));
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + start, sizeof(line) - 1 - (size_t)start, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[length++] = '\n';
    /* One write a line, so that lines of several processes on one pipe stay whole. */
    if (write(STDERR_FILENO, line, length) < 0) {
        return; /* nowhere to say it */
    }
}
