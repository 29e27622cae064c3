/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/primitive.h"

#include "onem2m/primitive_json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_LIMIT 16u
#define PRINT_ROOM 512u /* for members that are set anew */
#define PLAIN_PIECE 256u
#define DIGITS_ITEMS 16u
#define DIGITS_SIZE 12u

const cJSON *json_member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *json_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(json_member(object, name));
    return text != NULL ? text : "";
}

int json_number(const cJSON *object, const char *name, int missing)
{
    const cJSON *item = json_member(object, name);
    if (!cJSON_IsNumber(item)) {
        return missing;
    }
    double number = item->valuedouble;
    if (!(number >= INT_MIN && number <= INT_MAX) || trunc(number) < number || trunc(number) > number) {
        return missing;
    }
    return (int)number;
}

bool json_set(cJSON *object, const char *name, cJSON *value)
{
    if (value == NULL) {
        return false;
    }
    bool done = json_member(object, name) != NULL
                    ? cJSON_ReplaceItemInObjectCaseSensitive(object, name, value)
                    : cJSON_AddItemToObject(object, name, value);
    if (!done) {
        cJSON_Delete(value);
    }
    return done;
}

/* What a text holds, counted from its brackets and commas outside of quotes. */
struct text_count {
    unsigned depth;
    unsigned members; /* of the outermost object */
    unsigned values;  /* in all */
};

/* A comma announces one more value of its object or array, an opening bracket a first one. False: over a
 * limit. */
static bool byte_count(struct text_count *count, char byte)
{
    if (byte == '{' || byte == '[') {
        count->depth++;
    } else if (byte == '}' || byte == ']') {
        count->depth -= count->depth > 0;
        return true;
    } else if (byte != ',') {
        return true;
    }
    count->members += count->depth == 1;
    count->values++;
    return count->depth <= DEPTH_LIMIT && count->members <= ONEM2M_MEMBERS_LIMIT &&
           count->values <= ONEM2M_VALUES_LIMIT;
}

/* How many bytes of a text in quotes stand for themselves, of a piece of it: most of a primitive is in one.
 */
static size_t plain_length(const char *text, size_t length)
{
    size_t plain = length < PLAIN_PIECE ? length : PLAIN_PIECE;
    static const char ends[] = {'"', '\\', '\0'};
    for (size_t i = 0; i < sizeof(ends); i++) {
        const char *end = memchr(text, ends[i], plain);
        plain = end == NULL ? plain : (size_t)(end - text);
    }
    return plain;
}

/*
 * Looks at the bytes before cJSON does, for what cJSON would let pass: nesting over the limit, more members
 * and values than a primitive has use for, and NUL in text (raw or as an escape), which would make one text
 * read differently by two readers.
 */
static bool text_bounded(const char *json, size_t length)
{
    struct text_count count = {0, 0, 0};
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        i += quoted ? plain_length(json + i, length - i) : 0;
        char byte = i < length ? json[i] : ' ';
        if (byte == '\0') {
            return false;
        }
        if (quoted && byte == '\\') {
            if (length - i > 5 && memcmp(json + i, "\\u0000", 6) == 0) {
                return false;
            }
            i++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (!quoted && !byte_count(&count, byte)) {
            return false;
        }
    }
    return true;
}

static cJSON *object_parse(const char *json, size_t length)
{
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(json, length, &end, false);
    if (object == NULL) {
        return NULL;
    }
    while (end < json + length && strchr(" \t\r\n", *end) != NULL) {
        end++;
    }
    if (end == json + length && cJSON_IsObject(object)) {
        return object;
    }
    cJSON_Delete(object);
    return NULL;
}

/* Of members that come twice the first one counts; the others go, so that whoever reads the forwarded
 * primitive sees the same. */
static void duplicates_drop(cJSON *object)
{
    for (cJSON *item = object->child; item != NULL; item = item->next) {
        for (cJSON *later = item->next, *next = NULL; later != NULL; later = next) {
            next = later->next;
            if (strcmp(item->string, later->string) == 0) {
                cJSON_Delete(cJSON_DetachItemViaPointer(object, later));
            }
        }
    }
}

/* Mobius4 calls the request identifier `ri`. */
static bool rqi_rename(cJSON *object)
{
    cJSON *named = NULL;
    if (json_member(object, "rqi") != NULL) {
        return true;
    }
    named = cJSON_DetachItemFromObjectCaseSensitive(object, "ri");
    return named == NULL || json_set(object, "rqi", named);
}

static bool text_or_absent(const cJSON *object, const char *name)
{
    const cJSON *item = json_member(object, name);
    return item == NULL || cJSON_IsString(item);
}

static bool members_valid(const cJSON *object)
{
    if (!text_or_absent(object, "to") || !text_or_absent(object, "fr") || !text_or_absent(object, "rqi") ||
        strlen(json_text(object, "rqi")) > ONEM2M_RQI_LIMIT) {
        return false;
    }
    if (json_member(object, "op") == NULL) {
        return json_number(object, "rsc", -1) >= 0;
    }
    int op = json_number(object, "op", 0);
    return op >= ONEM2M_CREATE && op <= ONEM2M_NOTIFY;
}

cJSON *json_object(const char *json, size_t length)
{
    if (length > ONEM2M_PRIMITIVE_LIMIT || !text_bounded(json, length)) {
        return NULL;
    }
    cJSON *object = object_parse(json, length);
    if (object != NULL) {
        duplicates_drop(object);
    }
    return object;
}

struct onem2m_primitive *onem2m_parse(const char *json, size_t length)
{
    struct onem2m_primitive *primitive = calloc(1, sizeof *primitive);
    if (primitive == NULL) {
        return NULL;
    }
    primitive->json = json_object(json, length);
    primitive->size = length;
    if (primitive->json != NULL) {
        if (rqi_rename(primitive->json) && members_valid(primitive->json)) {
            return primitive;
        }
    }
    onem2m_free(primitive);
    return NULL;
}

void onem2m_free(struct onem2m_primitive *primitive)
{
    if (primitive == NULL) {
        return;
    }
    cJSON_Delete(primitive->json);
    free(primitive);
}

bool onem2m_is_request(const struct onem2m_primitive *primitive)
{
    return json_member(primitive->json, "op") != NULL;
}

enum onem2m_operation onem2m_op(const struct onem2m_primitive *primitive)
{
    return (enum onem2m_operation)json_number(primitive->json, "op", 0);
}

int onem2m_rsc_of(const struct onem2m_primitive *primitive)
{
    return json_number(primitive->json, "rsc", 0);
}

int onem2m_ty(const struct onem2m_primitive *primitive)
{
    return json_number(primitive->json, "ty", 0);
}

const char *onem2m_to(const struct onem2m_primitive *primitive)
{
    return json_text(primitive->json, "to");
}

const char *onem2m_fr(const struct onem2m_primitive *primitive)
{
    return json_text(primitive->json, "fr");
}

const char *onem2m_rqi(const struct onem2m_primitive *primitive)
{
    return json_text(primitive->json, "rqi");
}

/* `count` decimal digits; -1 where one is none. */
static int digits_value(const char *text, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* Days from 1970-01-01 in the Gregorian calendar. */
static int64_t days_from_date(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t past = year - 1;
    int64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days + before[month - 1] + (leap && month > 2) + day - 1;
}

/* "20141003T112032", with an optional fraction (",5" or ".5", not looked at) and "Z". */
static bool timestamp_parse(const char *text, uint64_t *ms)
{
    size_t length = strnlen(text, 40);
    if (length < 15 || length >= 40 || text[8] != 'T') {
        return false;
    }
    int year = digits_value(text, 4);
    int month = digits_value(text + 4, 2);
    int day = digits_value(text + 6, 2);
    int hour = digits_value(text + 9, 2);
    int minute = digits_value(text + 11, 2);
    int second = digits_value(text + 13, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60) {
        return false;
    }
    const char *rest = text + 15;
    if (*rest == ',' || *rest == '.') {
        size_t digits = strspn(rest + 1, "0123456789");
        if (digits == 0) {
            return false;
        }
        rest += 1 + digits;
    }
    if (*rest == 'Z') {
        rest++;
    }
    int64_t seconds =
        days_from_date(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
    *ms = (uint64_t)seconds * 1000;
    return *rest == '\0';
}

bool onem2m_non_blocking(const struct onem2m_primitive *request)
{
    int type = json_number(json_member(request->json, "rt"), "rtv", 3);
    return type == 1 || type == 2;
}

bool onem2m_wants_content(const struct onem2m_primitive *request)
{
    return json_number(request->json, "rcn", 1) != 0;
}

const char *onem2m_gid(const struct onem2m_primitive *request)
{
    return json_text(request->json, "gid");
}

size_t onem2m_group_target_count(const struct onem2m_primitive *request)
{
    return (size_t)cJSON_GetArraySize(json_member(request->json, "grtm"));
}

const char *onem2m_group_target(const struct onem2m_primitive *request, size_t at)
{
    const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(json_member(request->json, "grtm"), (int)at));
    return text != NULL ? text : "";
}

static bool time_passed(const struct onem2m_primitive *primitive, const char *name, uint64_t now_ms)
{
    const cJSON *item = json_member(primitive->json, name);
    if (item == NULL) {
        return false;
    }
    if (cJSON_IsNumber(item)) {
        return !(item->valuedouble > 0);
    }
    const char *text = json_text(primitive->json, name);
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && text[digits] == '\0') {
        return strspn(text, "0") == digits;
    }
    uint64_t until = 0;
    return !timestamp_parse(text, &until) || until <= now_ms;
}

bool onem2m_expired(const struct onem2m_primitive *primitive, uint64_t now_ms)
{
    return time_passed(primitive, "rqet", now_ms);
}

bool onem2m_result_expired(const struct onem2m_primitive *primitive, uint64_t now_ms)
{
    return time_passed(primitive, "rqet", now_ms) || time_passed(primitive, "rset", now_ms);
}

static bool text_set(struct onem2m_primitive *primitive, const char *name, const char *text)
{
    return json_set(primitive->json, name, cJSON_CreateString(text));
}

static struct onem2m_primitive *primitive_new(const char *code_name, int code, const char *to, const char *fr,
                                              const char *rqi)
{
    struct onem2m_primitive *primitive = calloc(1, sizeof *primitive);
    if (primitive == NULL) {
        return NULL;
    }
    primitive->json = cJSON_CreateObject();
    if (primitive->json != NULL && json_set(primitive->json, code_name, cJSON_CreateNumber(code)) &&
        (to == NULL || *to == '\0' || onem2m_set_to(primitive, to)) &&
        (fr == NULL || *fr == '\0' || onem2m_set_fr(primitive, fr)) && onem2m_set_rqi(primitive, rqi) &&
        text_set(primitive, "rvi", RELEASE_VERSION)) {
        return primitive;
    }
    onem2m_free(primitive);
    return NULL;
}

struct onem2m_primitive *onem2m_request(enum onem2m_operation op, const char *to, const char *fr,
                                        const char *rqi)
{
    return primitive_new("op", (int)op, to, fr, rqi);
}

struct onem2m_primitive *onem2m_response(enum onem2m_rsc rsc, const char *rqi, const char *to, const char *fr)
{
    return primitive_new("rsc", (int)rsc, to, fr, rqi);
}

struct onem2m_primitive *onem2m_copy(const struct onem2m_primitive *primitive)
{
    struct onem2m_primitive *copy = calloc(1, sizeof *copy);
    if (copy != NULL) {
        copy->size = primitive->size;
        copy->json = cJSON_Duplicate(primitive->json, true);
        if (copy->json != NULL) {
            return copy;
        }
    }
    free(copy);
    return NULL;
}

bool onem2m_set_rqi(struct onem2m_primitive *primitive, const char *rqi)
{
    return strnlen(rqi, ONEM2M_RQI_LIMIT + 1) <= ONEM2M_RQI_LIMIT && text_set(primitive, "rqi", rqi);
}

bool onem2m_set_to(struct onem2m_primitive *primitive, const char *to)
{
    return text_set(primitive, "to", to);
}

bool onem2m_set_fr(struct onem2m_primitive *primitive, const char *fr)
{
    return text_set(primitive, "fr", fr);
}

bool onem2m_set_gid(struct onem2m_primitive *primitive, const char *gid)
{
    return text_set(primitive, "gid", gid);
}

bool onem2m_set_aggregated(struct onem2m_primitive *response, struct onem2m_primitive *const *members,
                           size_t count)
{
    cJSON *content = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(cJSON_AddObjectToObject(content, "m2m:agr"), "m2m:rsp");
    bool built = list != NULL;
    for (size_t i = 0; built && i < count; i++) {
        built = members[i] == NULL || cJSON_AddItemToArray(list, cJSON_Duplicate(members[i]->json, true));
        response->size += members[i] == NULL ? 0 : members[i]->size;
    }
    if (built) {
        return json_set(response->json, "pc", content);
    }
    cJSON_Delete(content);
    return false;
}

/* Whole numbers as text, while a primitive is printed: cJSON prints each by way of floating point, and reads
 * it back to compare, which is most of what that costs. */
struct digits {
    cJSON *items[DIGITS_ITEMS];
    char texts[DIGITS_ITEMS][DIGITS_SIZE];
    size_t count;
};

static bool is_whole(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valueint >= 0 && item->valueint < INT_MAX &&
           !(item->valuedouble < item->valueint) && !(item->valuedouble > item->valueint);
}

static void digits_put(struct digits *digits, cJSON *item)
{
    char *text = digits->texts[digits->count] + DIGITS_SIZE - 1;
    int left = item->valueint;
    *text = '\0';
    do {
        *--text = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    item->type += cJSON_Raw - cJSON_Number;
    item->valuestring = text;
    digits->items[digits->count++] = item;
}

static void digits_put_members(struct digits *digits, const cJSON *object)
{
    for (cJSON *item = object->child; item != NULL && digits->count < DIGITS_ITEMS; item = item->next) {
        if (is_whole(item)) {
            digits_put(digits, item);
        }
    }
}

/* Of the primitive itself, and of the resource in it. */
static void digits_set(struct digits *digits, const cJSON *json)
{
    const cJSON *content = json_member(json, "pc");
    digits->count = 0;
    digits_put_members(digits, json);
    if (content != NULL && content->child != NULL) {
        digits_put_members(digits, content->child);
    }
}

static void digits_unset(struct digits *digits)
{
    for (size_t i = 0; i < digits->count; i++) {
        digits->items[i]->type += cJSON_Number - cJSON_Raw;
        digits->items[i]->valuestring = NULL;
    }
}

static char *json_print(const struct onem2m_primitive *primitive, size_t *length)
{
    size_t most = ONEM2M_PRIMITIVE_LIMIT;
    size_t room = (primitive->size < most ? primitive->size : most) + PRINT_ROOM;
    for (; room < 4 * most; room *= 2) {
        char *text = malloc(room);
        if (text == NULL) {
            return NULL;
        }
        if (cJSON_PrintPreallocated(primitive->json, text, (int)room, false)) {
            *length = strlen(text);
            char *fitted = *length <= most ? realloc(text, *length + 1) : NULL;
            if (fitted == NULL) {
                free(text);
            }
            return fitted;
        }
        free(text);
    }
    return NULL;
}

char *onem2m_print(const struct onem2m_primitive *primitive, size_t *length)
{
    struct digits digits;
    digits_set(&digits, primitive->json);
    char *text = json_print(primitive, length);
    digits_unset(&digits);
    return text;
}
