/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/json_line.h"

#include "agents/in-cse/words.h"

#include "agents/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

/* Well-formed UTF-8, malloc'd; NULL: out of memory. */
static char *well_formed(const char *text)
{
    size_t length = strlen(text);
    char *out = malloc(length * 3 + 1); /* a byte becomes three at most */
    size_t written = 0;
    for (size_t i = 0; out != NULL && i < length;) {
        size_t size = utf8_character((const uint8_t *)text + i, length - i);
        if (size == 0) {
            memcpy(out + written, replacement, 3);
            written += 3;
            i++;
        } else {
            memcpy(out + written, text + i, size);
            written += size;
            i += size;
        }
    }
    if (out != NULL) {
        out[written] = '\0';
    }
    return out;
}

void json_line_text(cJSON *object, const char *name, const char *text)
{
    char *clean = well_formed(text != NULL ? text : "");
    cJSON_AddStringToObject(object, name, clean != NULL ? clean : "");
    free(clean);
}

void json_line_texts(cJSON *object, const char *name, char *const *texts, size_t count)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; i < count; i++) {
        char *clean = well_formed(texts[i]);
        cJSON_AddItemToArray(array, cJSON_CreateString(clean != NULL ? clean : ""));
        free(clean);
    }
}

void json_line_hex(cJSON *object, const char *name, const uint8_t *bytes, size_t length)
{
    char *hex = calloc(length + 1, 2);
    for (size_t i = 0; hex != NULL && i < length; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    cJSON_AddStringToObject(object, name, hex != NULL ? hex : "");
    free(hex);
}

void json_line_time(cJSON *object, const char *name, uint64_t ms)
{
    char text[WORDS_TIME_SIZE];
    words_time(ms, text);
    json_line_text(object, name, text);
}

int json_line_put(cJSON *value)
{
    char *line = value != NULL ? cJSON_PrintUnformatted(value) : NULL;
    cJSON_Delete(value);
    if (line == NULL) {
        return -1;
    }
    puts(line);
    free(line);
    return 0;
}
