/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/notices.h"

#include "secenv/authority/authority.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 480u

void notices_init(struct notices *notices)
{
    memset(notices, 0, sizeof(*notices));
    notices->lines.unlimited_in_all = true;
}

enum result notice_of_peer(struct engine *engine, const char *originator,
                           Groupseal__Secenv__Severity severity, const char *format, ...)
{
    char text[TEXT_SIZE];
    char end[MODERATION_END_SIZE];
    if (!moderation_take(&engine->notices.refusals, "", originator, clock_monotonic_us(engine->clock), end)) {
        return RESULT_OK;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return authority_notice(engine, severity, "%s%s", text, end);
}

void log_of_peer(struct engine *engine, const char *originator, const char *format, ...)
{
    char text[TEXT_SIZE];
    char end[MODERATION_END_SIZE];
    if (!moderation_take(&engine->notices.lines, "", originator, clock_monotonic_us(engine->clock), end)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_line(LOG_LEVEL_INFO, "%s%s", text, end);
}
