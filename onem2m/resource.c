/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/resource.h"

#include "onem2m/primitive_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { TEXT, NUMBER, BOOLEAN, TEXTS, NUMBERS, OBJECT };

/* Who sets an attribute: the originator of a CREATE alone, of an UPDATE too, or the hosting CSE. */
enum setter { AT_CREATE, AT_UPDATE, BY_CSE };

struct attribute {
    const char *name;
    enum kind kind;
    enum setter setter;
    bool mandatory; /* in a CREATE */
};

struct resource_type {
    enum onem2m_type type;
    const char *name;
    const struct attribute *attributes;
};

/* clang-format off */
#define UNIVERSAL {"rn", TEXT, AT_CREATE, false}, {"ri", TEXT, BY_CSE, false}, {"pi", TEXT, BY_CSE, false}, \
    {"ty", NUMBER, BY_CSE, false}, {"ct", TEXT, BY_CSE, false}, {"lt", TEXT, BY_CSE, false},                \
    {"et", TEXT, AT_UPDATE, false}, {"lbl", TEXTS, AT_UPDATE, false}, {"acpi", TEXTS, AT_UPDATE, false},    \
    {"cr", TEXT, BY_CSE, false}

static const struct attribute ae_attributes[] = {
    UNIVERSAL,
    {"api", TEXT, AT_CREATE, false}, {"aei", TEXT, BY_CSE, false}, {"rr", BOOLEAN, AT_UPDATE, false},
    {"apn", TEXT, AT_UPDATE, false}, {"poa", TEXTS, AT_UPDATE, false}, {"or", TEXT, AT_UPDATE, false},
    {"nl", TEXT, AT_UPDATE, false}, {"csz", TEXTS, AT_UPDATE, false}, {"srv", TEXTS, AT_UPDATE, false},
    {"esi", OBJECT, AT_UPDATE, false}, {"mei", TEXT, AT_UPDATE, false}, {NULL, TEXT, BY_CSE, false}};

static const struct attribute group_attributes[] = {
    UNIVERSAL,
    {"mnm", NUMBER, AT_UPDATE, true}, {"mid", TEXTS, AT_UPDATE, true}, {"mt", NUMBER, AT_CREATE, false},
    {"csy", NUMBER, AT_CREATE, false}, {"macp", TEXTS, AT_UPDATE, false}, {"gn", TEXT, AT_UPDATE, false},
    {"cnm", NUMBER, BY_CSE, false}, {"mtv", BOOLEAN, BY_CSE, false}, {NULL, TEXT, BY_CSE, false}};

static const struct attribute base_attributes[] = {
    UNIVERSAL,
    {"cst", NUMBER, BY_CSE, false}, {"csi", TEXT, BY_CSE, false}, {"srt", NUMBERS, BY_CSE, false},
    {"srv", TEXTS, BY_CSE, false}, {"poa", TEXTS, BY_CSE, false}, {NULL, TEXT, BY_CSE, false}};
/* clang-format on */

static const struct resource_type types[] = {{ONEM2M_AE, "m2m:ae", ae_attributes},
                                             {ONEM2M_CSE_BASE, "m2m:cb", base_attributes},
                                             {ONEM2M_GROUP, "m2m:grp", group_attributes}};

struct onem2m_resource {
    const struct resource_type *type;
    cJSON *json;
};

static const struct resource_type *type_find(enum onem2m_type type)
{
    size_t at = 0;
    while (types[at].type != type) {
        at++;
    }
    return &types[at];
}

static const struct attribute *attribute_find(const struct resource_type *type, const char *name)
{
    for (const struct attribute *attribute = type->attributes; attribute->name != NULL; attribute++) {
        if (strcmp(attribute->name, name) == 0) {
            return attribute;
        }
    }
    return NULL;
}

static bool list_holds(const cJSON *value, cJSON_bool (*is)(const cJSON *))
{
    const cJSON *item = NULL;
    if (!cJSON_IsArray(value)) {
        return false;
    }
    cJSON_ArrayForEach(item, value)
    {
        if (!is(item)) {
            return false;
        }
    }
    return true;
}

static bool kind_fits(enum kind kind, const cJSON *value)
{
    switch (kind) {
    case TEXT:
        return cJSON_IsString(value);
    case NUMBER:
        return cJSON_IsNumber(value);
    case BOOLEAN:
        return cJSON_IsBool(value);
    case TEXTS:
        return list_holds(value, cJSON_IsString);
    case NUMBERS:
        return list_holds(value, cJSON_IsNumber);
    case OBJECT:
        return cJSON_IsObject(value);
    }
    return false;
}

static bool size_fits(const cJSON *json)
{
    char *printed = cJSON_PrintUnformatted(json);
    bool fits = printed != NULL && strlen(printed) <= ONEM2M_RESOURCE_LIMIT;
    cJSON_free(printed);
    return fits;
}

static struct onem2m_resource *resource_of(const struct resource_type *type, cJSON *json)
{
    struct onem2m_resource *resource = json == NULL ? NULL : calloc(1, sizeof(*resource));
    if (resource == NULL) {
        cJSON_Delete(json);
        return NULL;
    }
    resource->type = type;
    resource->json = json;
    return resource;
}

struct onem2m_resource *onem2m_resource_new(enum onem2m_type type)
{
    return resource_of(type_find(type), cJSON_CreateObject());
}

void onem2m_resource_free(struct onem2m_resource *resource)
{
    if (resource != NULL) {
        cJSON_Delete(resource->json);
        free(resource);
    }
}

/* One attribute of an originator's; `update` tells of which operation. What the type does not have is passed
 * over. */
static bool attribute_take(struct onem2m_resource *resource, const cJSON *value, bool update)
{
    const struct attribute *attribute = attribute_find(resource->type, value->string);
    if (attribute == NULL || (attribute->setter == BY_CSE && !update)) {
        return true;
    }
    if (update && attribute->setter != AT_UPDATE) {
        return false;
    }
    if (update && cJSON_IsNull(value) && !attribute->mandatory) {
        cJSON_DeleteItemFromObjectCaseSensitive(resource->json, attribute->name);
        return true;
    }
    return kind_fits(attribute->kind, value) &&
           json_set(resource->json, attribute->name, cJSON_Duplicate(value, true));
}

static bool attributes_take(struct onem2m_resource *resource, const cJSON *asked, bool update)
{
    const cJSON *value = NULL;
    if (!cJSON_IsObject(asked)) {
        return false;
    }
    cJSON_ArrayForEach(value, asked)
    {
        if (!attribute_take(resource, value, update)) {
            return false;
        }
    }
    return size_fits(resource->json);
}

static bool mandatory_there(const struct onem2m_resource *resource)
{
    for (const struct attribute *attribute = resource->type->attributes; attribute->name != NULL;
         attribute++) {
        if (attribute->mandatory && json_member(resource->json, attribute->name) == NULL) {
            return false;
        }
    }
    return true;
}

struct onem2m_resource *onem2m_resource_asked(const struct onem2m_primitive *request, enum onem2m_type type)
{
    struct onem2m_resource *resource = onem2m_resource_new(type);
    if (resource != NULL) {
        const cJSON *asked = json_member(json_member(request->json, "pc"), resource->type->name);
        if (attributes_take(resource, asked, false) && mandatory_there(resource)) {
            return resource;
        }
    }
    onem2m_resource_free(resource);
    return NULL;
}

struct onem2m_resource *onem2m_resource_updated(const struct onem2m_resource *resource,
                                                const struct onem2m_primitive *request)
{
    struct onem2m_resource *updated = resource_of(resource->type, cJSON_Duplicate(resource->json, true));
    if (updated != NULL) {
        const cJSON *asked = json_member(json_member(request->json, "pc"), resource->type->name);
        if (attributes_take(updated, asked, true)) {
            return updated;
        }
    }
    onem2m_resource_free(updated);
    return NULL;
}

/* ---- attributes ---- */

static bool value_set(struct onem2m_resource *resource, const char *name, cJSON *value)
{
    const struct attribute *attribute = attribute_find(resource->type, name);
    if (attribute != NULL && value != NULL && kind_fits(attribute->kind, value)) {
        return json_set(resource->json, name, value);
    }
    cJSON_Delete(value);
    return false;
}

bool onem2m_resource_set_text(struct onem2m_resource *resource, const char *name, const char *text)
{
    return value_set(resource, name, cJSON_CreateString(text));
}

bool onem2m_resource_set_number(struct onem2m_resource *resource, const char *name, int number)
{
    return value_set(resource, name, cJSON_CreateNumber(number));
}

bool onem2m_resource_set_texts(struct onem2m_resource *resource, const char *name, const char *const *texts,
                               size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < count; i++) {
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(texts[i]))) {
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return value_set(resource, name, list);
}

bool onem2m_resource_set_numbers(struct onem2m_resource *resource, const char *name, const int *numbers,
                                 size_t count)
{
    return value_set(resource, name, cJSON_CreateIntArray(numbers, (int)count));
}

const char *onem2m_resource_text(const struct onem2m_resource *resource, const char *name)
{
    return json_text(resource->json, name);
}

int onem2m_resource_number(const struct onem2m_resource *resource, const char *name, int missing)
{
    return json_number(resource->json, name, missing);
}

size_t onem2m_resource_count(const struct onem2m_resource *resource, const char *name)
{
    return (size_t)cJSON_GetArraySize(json_member(resource->json, name));
}

const char *onem2m_resource_item(const struct onem2m_resource *resource, const char *name, size_t at)
{
    const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(json_member(resource->json, name), (int)at));
    return text != NULL ? text : "";
}

enum onem2m_type onem2m_resource_type(const struct onem2m_resource *resource)
{
    return resource->type->type;
}

/* ---- in primitives, and as text ---- */

static cJSON *resource_wrapped(const struct onem2m_resource *resource)
{
    cJSON *wrapped = cJSON_CreateObject();
    if (wrapped != NULL && json_set(wrapped, resource->type->name, cJSON_Duplicate(resource->json, true))) {
        return wrapped;
    }
    cJSON_Delete(wrapped);
    return NULL;
}

bool onem2m_set_resource(struct onem2m_primitive *response, const struct onem2m_resource *resource)
{
    return json_set(response->json, "pc", resource_wrapped(resource));
}

char *onem2m_resource_print(const struct onem2m_resource *resource, size_t *length)
{
    cJSON *wrapped = resource_wrapped(resource);
    char *printed = wrapped == NULL ? NULL : cJSON_PrintUnformatted(wrapped);
    char *text = printed == NULL ? NULL : strdup(printed); /* cJSON's memory goes back through cJSON */
    *length = text == NULL ? 0 : strlen(text);
    cJSON_free(printed);
    cJSON_Delete(wrapped);
    return text;
}

/* Of a text of ours: each attribute is one of the type's, and of its kind. */
static bool attributes_ours(const struct resource_type *type, const cJSON *json)
{
    const cJSON *value = NULL;
    cJSON_ArrayForEach(value, json)
    {
        const struct attribute *attribute = attribute_find(type, value->string);
        if (attribute == NULL || !kind_fits(attribute->kind, value)) {
            return false;
        }
    }
    return true;
}

struct onem2m_resource *onem2m_resource_parse(const char *json, size_t length)
{
    struct onem2m_resource *resource = NULL;
    cJSON *wrapped = length > ONEM2M_PRIMITIVE_LIMIT ? NULL : cJSON_ParseWithLength(json, length);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        cJSON *inner = cJSON_DetachItemFromObjectCaseSensitive(wrapped, types[i].name);
        if (cJSON_IsObject(inner) && attributes_ours(&types[i], inner) && resource == NULL) {
            resource = resource_of(&types[i], inner);
        } else {
            cJSON_Delete(inner);
        }
    }
    cJSON_Delete(wrapped);
    return resource;
}

void onem2m_time_text(uint64_t wall_ms, char out[ONEM2M_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000u);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL || strftime(out, ONEM2M_TIME_SIZE, "%Y%m%dT%H%M%S", &utc) == 0) {
        out[0] = '\0';
    }
}
