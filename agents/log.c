/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/log.h"

#include <stdarg.h>
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

    char line[LINE_LIMIT + 64];
    int length = snprintf(line, sizeof(line), "%s: %s: %s\n", name, words[level], text);
    if (length > 0) {
        /* One write, so that lines of several threads do not mix; a log that nobody reads stops nothing. */
        ssize_t written = write(STDERR_FILENO, line, (size_t)length);
        (void)written;
    }
}
