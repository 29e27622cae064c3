/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/identifier.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A level of an id, as a slice of its text. */
struct level {
    const char *text;
    size_t length;
};

/* An absolute id taken apart: two levels (SP, CSE or S-type AE) or three (SP, CSE, C-type AE). */
struct parts {
    struct level level[3];
    size_t count;
};

static bool id_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           byte == '.' || byte == '_' || byte == '-';
}

/* Takes levels divided by `separator` apart; false where one is empty, "." or "..", or holds a foreign byte.
 */
static bool levels_split(const char *text, char separator, struct parts *out)
{
    out->count = 0;
    for (;;) {
        if (out->count == sizeof out->level / sizeof out->level[0]) {
            return false;
        }
        struct level *level = &out->level[out->count++];
        level->text = text;
        while (id_byte(*text)) {
            text++;
        }
        level->length = (size_t)(text - level->text);
        if (level->length == 0 || strspn(level->text, ".") >= level->length) {
            return false;
        }
        if (*text == '\0') {
            return true;
        }
        if (*text++ != separator) {
            return false;
        }
    }
}

static bool absolute_split(const char *absolute, struct parts *out)
{
    if (absolute == NULL || strnlen(absolute, ONEM2M_ID_LIMIT + 1) > ONEM2M_ID_LIMIT ||
        strncmp(absolute, "//", 2) != 0 || !levels_split(absolute + 2, '/', out)) {
        return false;
    }
    const struct level *second = &out->level[1];
    if (out->count == 2) {
        return second->text[0] != 'C';
    }
    return out->count == 3 && second->text[0] != 'C' && second->text[0] != 'S' &&
           out->level[2].text[0] == 'C';
}

bool onem2m_id_valid(const char *absolute)
{
    struct parts parts;
    return absolute_split(absolute, &parts);
}

bool onem2m_id_stem(const char *absolute, char *out, size_t size)
{
    struct parts parts;
    if (!absolute_split(absolute, &parts)) {
        return false;
    }
    const struct level *last = &parts.level[parts.count - 1];
    if (last->length >= size) {
        return false;
    }
    memcpy(out, last->text, last->length);
    out[last->length] = '\0';
    return true;
}

bool onem2m_id_to_level(const char *absolute, char *out, size_t size)
{
    return onem2m_id_stem(absolute, out, size);
}

bool onem2m_id_is_ae(const char *absolute)
{
    struct parts parts;
    return absolute_split(absolute, &parts) && (parts.count == 3 || parts.level[1].text[0] == 'S');
}

/* Writes "//<sp>/" and `relative`, with every `separator` in it as '/'; false where that is no absolute id.
 */
static bool absolute_build(const struct level *sp, const char *relative, char separator, char *out,
                           size_t size)
{
    int length = snprintf(out, size, "//%.*s/%s", (int)sp->length, sp->text, relative);
    if (length < 0 || (size_t)length >= size) {
        return false;
    }
    for (char *byte = out + sp->length + 3; *byte != '\0'; byte++) {
        if (*byte == separator) {
            *byte = '/';
        } else if (*byte == '/') {
            return false;
        }
    }
    return onem2m_id_valid(out);
}

/* An id written with slashes, without its CSEBase suffix "/." */
static bool slashes_resolve(const char *text, const struct level *sp, char *out, size_t size)
{
    char plain[ONEM2M_ID_LIMIT + 3];
    size_t length = strnlen(text, sizeof plain);
    if (length >= sizeof plain) {
        return false;
    }
    bool base = length > 2 && strcmp(text + length - 2, "/.") == 0;
    if (base) {
        length -= 2;
    }
    memcpy(plain, text, length);
    plain[length] = '\0';
    if (plain[1] != '/') {
        if (!absolute_build(sp, plain + 1, '/', out, size)) {
            return false;
        }
    } else if (length >= size || !onem2m_id_valid(plain)) {
        return false;
    } else {
        memcpy(out, plain, length + 1);
    }
    return !base || !onem2m_id_is_ae(out);
}

bool onem2m_id_resolve(const char *text, const char *cse, char *out, size_t size)
{
    struct parts own;
    if (text == NULL || !absolute_split(cse, &own) || onem2m_id_is_ae(cse)) {
        return false;
    }
    const struct level *sp = &own.level[0];
    if (text[0] == '/') {
        return slashes_resolve(text, sp, out, size);
    }
    if (text[0] == 'C' && strchr(text, ':') == NULL) {
        int length = snprintf(out, size, "%s/%s", cse, text);
        return length > 0 && (size_t)length < size && onem2m_id_valid(out);
    }
    return absolute_build(sp, text, ':', out, size);
}
