/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

#include <string.h>

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
}

/* Length of the level at `text`: up to a slash or the end; 0 where there is none or it has a foreign
 * character. */
static size_t level_length(const char *text)
{
    size_t length = 0;
    while (is_name_character(text[length])) {
        length++;
    }
    return text[length] == '\0' || text[length] == '/' ? length : 0;
}

/*
 * Walks `//SP/level[/Clevel]`. The second level starts at `*second`; `*third` is NULL where there are two.
 */
static bool name_split(const char *name, const char **second, const char **third)
{
    if (name == NULL || !text_within(name, NAME_LIMIT) || strncmp(name, "//", 2) != 0) {
        return false;
    }
    const char *at = name + 2;
    size_t length = level_length(at);
    if (length == 0 || at[length] != '/') {
        return false;
    }
    *second = at + length + 1;
    length = level_length(*second);
    if (length == 0) {
        return false;
    }
    *third = NULL;
    if ((*second)[length] == '\0') {
        return true;
    }
    *third = *second + length + 1;
    length = level_length(*third);
    return length > 0 && (*third)[0] == 'C' && (*third)[length] == '\0';
}

bool object_name_valid(const char *name)
{
    const char *second = NULL;
    const char *third = NULL;
    return name_split(name, &second, &third);
}

bool object_group_valid(const char *group)
{
    if (text_empty(group) || !text_within(group, GROUP_NAME_LIMIT)) {
        return false;
    }
    return strchr(group, ':') == NULL && level_length(group) == strlen(group);
}

bool object_site_valid(const char *site)
{
    return !text_empty(site) && text_within(site, SITE_LIMIT) && level_length(site) == strlen(site);
}

enum result object_site_of(const char *cse_name, char *out, size_t size)
{
    const char *second = NULL;
    const char *third = NULL;
    if (!name_split(cse_name, &second, &third) || third != NULL || !object_site_valid(second) ||
        strlen(second) >= size) {
        return RESULT_INVALID;
    }
    memcpy(out, second, strlen(second) + 1);
    return RESULT_OK;
}

/* ---- shared by the objects ---- */

bool field_sized(ProtobufCBinaryData field, size_t size)
{
    return field.len == size && (size == 0 || field.data != NULL);
}

void list_fix(struct fields *list, ProtobufCBinaryData field, size_t size)
{
    fields_fix(list, (struct bytes){field.data, field.len}, size);
}

void list_texts(struct fields *list, char *const *texts, size_t count)
{
    fields_u32(list, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        fields_text(list, texts[i]);
    }
}

enum result list_sign(struct fields *list, const struct signing_key *key, uint8_t signature[SIGNATURE_SIZE],
                      ProtobufCBinaryData *field)
{
    enum result result = signature_make(key, list, signature);
    fields_clear(list);
    if (result == RESULT_OK) {
        *field = (ProtobufCBinaryData){.len = SIGNATURE_SIZE, .data = signature};
    }
    return result;
}

enum result list_check(struct fields *list, struct bytes key, ProtobufCBinaryData signature, const char *noun,
                       const char *owner, struct reason *why)
{
    enum result result = signature_check(key, list, (struct bytes){signature.data, signature.len});
    fields_clear(list);
    if (result == RESULT_REFUSED) {
        return result_fail(why, result, "the signature of the %s of %s is not its signer's", noun, owner);
    }
    return result;
}

bool text_within(const char *text, size_t limit)
{
    return text == NULL || strnlen(text, limit + 1) <= limit;
}

bool text_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

bool names_valid(char *const *names, size_t count, size_t limit)
{
    for (size_t i = 0; i < count && i <= limit; i++) {
        if (!object_name_valid(names[i])) {
            return false;
        }
    }
    return count <= limit;
}

bool sites_valid(char *const *sites, size_t count, size_t limit)
{
    for (size_t i = 0; i < count && i <= limit; i++) {
        if (!object_site_valid(sites[i])) {
            return false;
        }
    }
    return count <= limit;
}

bool sites_include(char *const *sites, size_t count, const char *site)
{
    for (size_t i = 0; i < count; i++) {
        if (site != NULL && strcmp(sites[i], site) == 0) {
            return true;
        }
    }
    return count == 0;
}
