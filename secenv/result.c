/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/result.h"

#include <stdarg.h>
#include <stdio.h>

enum result result_fail(struct reason *why, enum result code, const char *format, ...)
{
    if (why != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(why->text, sizeof(why->text), format, arguments);
        va_end(arguments);
    }
    return code;
}

const char *result_word(enum result code)
{
    switch (code) {
    case RESULT_OK:
        return "ok";
    case RESULT_INVALID:
        return "invalid";
    case RESULT_REFUSED:
        return "refused";
    case RESULT_UNKNOWN:
        return "unknown";
    case RESULT_EXISTS:
        return "exists";
    case RESULT_FULL:
        return "full";
    case RESULT_NOT_READY:
        return "not ready";
    case RESULT_STORE:
        return "store";
    case RESULT_INTERNAL:
        return "internal";
    case RESULT_TOO_OFTEN:
        return "too often";
    }
    return "no result code";
}
