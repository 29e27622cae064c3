/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/rules.h"

#include "onem2m/identifier.h"
#include "onem2m/primitive_json.h"
#include "plugin/agent/duration.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LIMIT 64u
#define FIELD_LIMIT 128u
#define PAYLOAD_LIMIT 4096u
#define WITHIN_DEFAULT_MS 60000u
#define VALID_DEFAULT_MS 60000u
#define DAY_MS 86400000u

enum comparison { EQUAL, NOT_EQUAL, BELOW, AT_MOST, ABOVE, AT_LEAST, COMPARISONS_END };

static const char *const comparison_texts[] = {"=", "!=", "<", "<=", ">", ">="};

/* A device whose last word met the condition. */
struct report {
    char sender[ONEM2M_ID_LIMIT + 1];
    uint64_t at_ms;
};

struct rule {
    char *name;
    char *group;
    char *field; /* names, separated by / */
    enum comparison comparison;
    cJSON *value; /* number, text or boolean */
    unsigned devices;
    uint32_t for_ms;
    uint32_t within_ms;
    uint32_t again_ms; /* 0: not before the condition has ended */
    struct rules_command commands[RULES_COMMANDS_LIMIT];
    size_t command_count;

    struct report *reports;
    size_t report_count;
    bool holds; /* enough devices, since … */
    uint64_t since_ms;
    bool fired; /* in this spell, or lately; last … */
    bool spent; /* … and not to be again in this spell */
    uint64_t fired_ms;
};

struct rules {
    struct rule items[RULES_LIMIT];
    size_t count;
};

/* ---- reading ---- */

struct reading {
    const char *name; /* of the rule */
    char *why;
    size_t why_size;
};

static bool fail(const struct reading *reading, const char *member, const char *text)
{
    snprintf(reading->why, reading->why_size, "rule %.64s: `%s` %s", reading->name, member, text);
    return false;
}

static bool members_known(const struct reading *reading, const cJSON *object, const char *const *known,
                          size_t count)
{
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        size_t i = 0;
        while (i < count && strcmp(known[i], item->string) != 0) {
            i++;
        }
        if (i == count) {
            char member[40];
            snprintf(member, sizeof(member), "%.39s", item->string);
            return fail(reading, member, "is not known: remove it");
        }
    }
    return true;
}

static bool text_take(const struct reading *reading, const cJSON *object, const char *name, size_t limit,
                      char **out)
{
    const char *text = cJSON_GetStringValue(json_member(object, name));
    size_t length = text == NULL ? 0 : strlen(text);
    if (length == 0 || length > limit) {
        return fail(reading, name, "is missing, no text, or too long");
    }
    *out = strdup(text);
    return *out != NULL || fail(reading, name, "finds no memory");
}

static bool group_take(const struct reading *reading, const cJSON *object, char **out)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!text_take(reading, object, "group", NAME_LIMIT, out)) {
        return false;
    }
    return strspn(*out, allowed) == strlen(*out) || fail(reading, "group", "is no group's name");
}

/* "10s"; a member that is absent leaves the default. */
static bool time_take(const struct reading *reading, const cJSON *object, const char *name, uint32_t *out)
{
    const cJSON *item = json_member(object, name);
    if (item == NULL) {
        return true;
    }
    return duration_read(cJSON_GetStringValue(item), DAY_MS, out) ||
           fail(reading, name,
                "is no time of at most a day: write a number and ms, s, m or h, such as \"10s\"");
}

static bool comparison_take(const struct reading *reading, const cJSON *object, struct rule *rule)
{
    const char *text = json_text(object, "is");
    unsigned at = EQUAL;
    while (at < COMPARISONS_END && strcmp(comparison_texts[at], text) != 0) {
        at++;
    }
    if (at == COMPARISONS_END) {
        return fail(reading, "is", "must be \"=\", \"!=\", \"<\", \"<=\", \">\" or \">=\"");
    }
    rule->comparison = (enum comparison)at;
    const cJSON *value = json_member(object, "value");
    bool orders = at > NOT_EQUAL;
    if (!cJSON_IsNumber(value) && (orders || (!cJSON_IsString(value) && !cJSON_IsBool(value)))) {
        return fail(reading, "value",
                    orders ? "must be a number" : "must be a number, a text, true or false");
    }
    rule->value = cJSON_Duplicate(value, false);
    return rule->value != NULL || fail(reading, "value", "finds no memory");
}

static bool devices_take(const struct reading *reading, const cJSON *object, struct rule *rule)
{
    int devices = json_number(object, "devices", json_member(object, "devices") == NULL ? 1 : 0);
    if (devices < 1 || devices > (int)RULES_DEVICES_LIMIT) {
        return fail(reading, "devices", "must be a number from 1 to 1024");
    }
    rule->devices = (unsigned)devices;
    return true;
}

static bool target_take(const struct reading *reading, const cJSON *item, const char **out)
{
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || !onem2m_id_valid(text) || !onem2m_id_is_ae(text)) {
        return fail(reading, "targets", "must be absolute ids of AEs, such as \"//sp.example/Sdoor1\"");
    }
    *out = strdup(text);
    return *out != NULL || fail(reading, "targets", "finds no memory");
}

static bool targets_take(const struct reading *reading, const cJSON *object, struct rules_command *command)
{
    const cJSON *list = json_member(object, "targets");
    if (list == NULL) {
        return true;
    }
    int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count < 1 || count > (int)RULES_TARGETS_LIMIT) {
        return fail(reading, "targets", "must be a list of 1 to 64 ids");
    }
    const char **targets = calloc((size_t)count, sizeof(*targets));
    command->targets = targets;
    if (targets == NULL) {
        return fail(reading, "targets", "finds no memory");
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        if (!target_take(reading, item, &targets[command->target_count])) {
            return false;
        }
        command->target_count++;
    }
    return true;
}

static bool command_take(const struct reading *reading, const cJSON *object, struct rules_command *command)
{
    static const char *const known[] = {"group", "payload", "targets", "valid"};
    char *group = NULL;
    char *payload = NULL;
    command->valid_ms = VALID_DEFAULT_MS;
    if (!cJSON_IsObject(object)) {
        return fail(reading, "commands", "must be a list of objects");
    }
    bool taken = members_known(reading, object, known, 4) && group_take(reading, object, &group) &&
                 text_take(reading, object, "payload", PAYLOAD_LIMIT, &payload);
    command->group = group;
    command->payload = payload;
    if (!taken || !targets_take(reading, object, command) ||
        !time_take(reading, object, "valid", &command->valid_ms)) {
        return false;
    }
    return command->valid_ms > 0 || fail(reading, "valid", "must be more than nothing");
}

static bool commands_take(const struct reading *reading, const cJSON *object, struct rule *rule)
{
    const cJSON *list = json_member(object, "commands");
    int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count < 1 || count > (int)RULES_COMMANDS_LIMIT) {
        return fail(reading, "commands", "must be a list of 1 to 16 commands");
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        struct rules_command *command = &rule->commands[rule->command_count++];
        if (!command_take(reading, item, command)) {
            return false;
        }
        /* Else the devices that a rule listens to would set it off by what they answer. */
        if (strcmp(command->group, rule->group) == 0) {
            return fail(reading, "commands", "must go to other groups than the rule's own");
        }
    }
    return true;
}

static bool rule_take(struct reading *reading, const cJSON *object, struct rule *rule)
{
    static const char *const known[] = {"name",    "group",  "field", "is",    "value",
                                        "devices", "within", "for",   "again", "commands"};
    rule->within_ms = WITHIN_DEFAULT_MS;
    if (!cJSON_IsObject(object)) {
        return fail(reading, "rules", "must be a list of objects");
    }
    if (!text_take(reading, object, "name", NAME_LIMIT, &rule->name)) {
        return false;
    }
    reading->name = rule->name;
    if (!members_known(reading, object, known, sizeof(known) / sizeof(known[0])) ||
        !group_take(reading, object, &rule->group) ||
        !text_take(reading, object, "field", FIELD_LIMIT, &rule->field) ||
        !comparison_take(reading, object, rule) || !devices_take(reading, object, rule) ||
        !time_take(reading, object, "within", &rule->within_ms) ||
        !time_take(reading, object, "for", &rule->for_ms) ||
        !time_take(reading, object, "again", &rule->again_ms) || !commands_take(reading, object, rule)) {
        return false;
    }
    if (rule->within_ms <= rule->for_ms) {
        return fail(reading, "within",
                    "must be longer than `for`: a device's last word counts that long, and then no more");
    }
    rule->reports = calloc(RULES_DEVICES_LIMIT, sizeof(*rule->reports));
    return rule->reports != NULL || fail(reading, "rules", "finds no memory");
}

static bool list_take(struct rules *rules, const cJSON *file, char *why, size_t why_size)
{
    static const char *const known[] = {"rules"};
    const cJSON *list = json_member(file, "rules");
    struct reading reading = {.name = "file", .why = why, .why_size = why_size};
    if (!members_known(&reading, file, known, 1)) {
        return false;
    }
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) < 1 || cJSON_GetArraySize(list) > (int)RULES_LIMIT) {
        return fail(&reading, "rules", "must be a list of 1 to 64 rules");
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        char number[24];
        snprintf(number, sizeof(number), "%zu", rules->count + 1);
        reading.name = number;
        if (!rule_take(&reading, item, &rules->items[rules->count++])) {
            return false;
        }
    }
    return true;
}

struct rules *rules_new(const char *text, size_t length, char *why, size_t why_size)
{
    cJSON *file = length <= RULES_FILE_LIMIT ? json_object(text, length) : NULL;
    struct rules *rules = calloc(1, sizeof(*rules));
    bool good = file != NULL && rules != NULL;
    if (!good) {
        snprintf(why, why_size, "no JSON object of at most %u bytes, or no memory: write {\"rules\": [...]}",
                 RULES_FILE_LIMIT);
    }
    good = good && list_take(rules, file, why, why_size);
    cJSON_Delete(file);
    if (!good) {
        rules_free(rules);
        return NULL;
    }
    return rules;
}

struct rules *rules_read(const char *path, char *why, size_t why_size)
{
    struct rules *rules = NULL;
    char reason[300] = "";
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(RULES_FILE_LIMIT + 1);
    if (text == NULL) {
        snprintf(reason, sizeof(reason), "%s", strerror(errno));
    } else {
        size_t length = fread(text, 1, RULES_FILE_LIMIT + 1, file);
        rules = rules_new(text, length, reason, sizeof(reason));
    }
    if (rules == NULL) {
        snprintf(why, why_size, "the rules in %s cannot be taken: %s", path, reason);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(text);
    return rules;
}

static void rule_clear(struct rule *rule)
{
    for (size_t i = 0; i < rule->command_count; i++) {
        struct rules_command *command = &rule->commands[i];
        for (size_t j = 0; j < command->target_count; j++) {
            free((char *)(uintptr_t)command->targets[j]);
        }
        free((void *)(uintptr_t)command->targets);
        free((char *)(uintptr_t)command->group);
        free((char *)(uintptr_t)command->payload);
    }
    free(rule->name);
    free(rule->group);
    free(rule->field);
    cJSON_Delete(rule->value);
    free(rule->reports);
}

void rules_free(struct rules *rules)
{
    if (rules == NULL) {
        return;
    }
    for (size_t i = 0; i < rules->count; i++) {
        rule_clear(&rules->items[i]);
    }
    free(rules);
}

size_t rules_count(const struct rules *rules)
{
    return rules == NULL ? 0 : rules->count;
}

const char *rules_commanded(const struct rules *rules, size_t at)
{
    for (size_t i = 0; i < rules_count(rules); i++) {
        const struct rule *rule = &rules->items[i];
        if (at < rule->command_count) {
            return rule->commands[at].group;
        }
        at -= rule->command_count;
    }
    return NULL;
}

/* ---- a message ---- */

/* The member that the path names, or NULL. */
static const cJSON *field_find(const cJSON *object, const char *path)
{
    char name[FIELD_LIMIT + 1];
    while (object != NULL && *path != '\0') {
        size_t length = strcspn(path, "/");
        memcpy(name, path, length);
        name[length] = '\0';
        object = cJSON_IsObject(object) ? json_member(object, name) : NULL;
        path += length + (path[length] == '/');
    }
    return object;
}

static bool numbers_compare(enum comparison comparison, double left, double right)
{
    switch (comparison) {
    case EQUAL:
        return left >= right && left <= right;
    case NOT_EQUAL:
        return left < right || left > right;
    case BELOW:
        return left < right;
    case AT_MOST:
        return left <= right;
    case ABOVE:
        return left > right;
    default:
        return left >= right;
    }
}

/* False: another kind of value than the rule speaks of: it says nothing. */
static bool condition_test(const struct rule *rule, const cJSON *value, bool *met)
{
    if (cJSON_IsNumber(value) && cJSON_IsNumber(rule->value)) {
        *met = isfinite(value->valuedouble) &&
               numbers_compare(rule->comparison, value->valuedouble, rule->value->valuedouble);
        return true;
    }
    bool equal = false;
    if (cJSON_IsString(value) && cJSON_IsString(rule->value)) {
        equal = strcmp(value->valuestring, rule->value->valuestring) == 0;
    } else if (cJSON_IsBool(value) && cJSON_IsBool(rule->value)) {
        equal = cJSON_IsTrue(value) == cJSON_IsTrue(rule->value);
    } else {
        return false;
    }
    *met = equal == (rule->comparison == EQUAL);
    return true;
}

static struct report *report_find(struct rule *rule, const char *sender)
{
    for (size_t i = 0; i < rule->report_count; i++) {
        if (strcmp(rule->reports[i].sender, sender) == 0) {
            return &rule->reports[i];
        }
    }
    return NULL;
}

static void report_remove(struct rule *rule, size_t at)
{
    rule->report_count--;
    if (at != rule->report_count) {
        rule->reports[at] = rule->reports[rule->report_count];
    }
}

static void report_take(struct rule *rule, const char *sender, bool met, uint64_t now_ms)
{
    struct report *report = report_find(rule, sender);
    if (!met) {
        if (report != NULL) {
            report_remove(rule, (size_t)(report - rule->reports));
        }
        return;
    }
    if (report == NULL) {
        if (rule->report_count == RULES_DEVICES_LIMIT) {
            return;
        }
        report = &rule->reports[rule->report_count++];
        snprintf(report->sender, sizeof(report->sender), "%s", sender);
    }
    report->at_ms = now_ms;
}

/* Who has said nothing for long counts no more; and whether there are enough. */
static void rule_look(struct rule *rule, uint64_t now_ms)
{
    for (size_t i = rule->report_count; i > 0; i--) {
        if (now_ms - rule->reports[i - 1].at_ms >= rule->within_ms) {
            report_remove(rule, i - 1);
        }
    }
    bool holds = rule->report_count >= rule->devices;
    if (holds && !rule->holds) {
        rule->since_ms = now_ms;
        rule->spent = false;
    }
    rule->holds = holds;
}

void rules_hear(struct rules *rules, const char *group, const char *sender, const void *body, size_t length,
                uint64_t now_ms)
{
    cJSON *object = NULL;
    bool parsed = false;
    if (strlen(sender) > ONEM2M_ID_LIMIT) {
        return;
    }
    for (size_t i = 0; i < rules_count(rules); i++) {
        struct rule *rule = &rules->items[i];
        bool met = false;
        if (strcmp(rule->group, group) != 0) {
            continue;
        }
        if (!parsed) {
            object = json_object(body, length);
            parsed = true;
        }
        rule_look(rule, now_ms);
        const cJSON *value = field_find(object, rule->field);
        if (value != NULL && condition_test(rule, value, &met)) {
            report_take(rule, sender, met, now_ms);
            rule_look(rule, now_ms);
        }
    }
    cJSON_Delete(object);
}

/* ---- due ---- */

static bool rule_is_due(const struct rule *rule, uint64_t now_ms)
{
    if (!rule->holds || now_ms - rule->since_ms < rule->for_ms) {
        return false;
    }
    uint64_t gap = rule->spent && rule->again_ms > RULES_GAP_MS ? rule->again_ms : RULES_GAP_MS;
    if (rule->fired && now_ms - rule->fired_ms < gap) {
        return false;
    }
    return !rule->spent || rule->again_ms > 0;
}

const char *rules_due(struct rules *rules, uint64_t now_ms, const struct rules_command **commands,
                      size_t *count)
{
    for (size_t i = 0; i < rules_count(rules); i++) {
        struct rule *rule = &rules->items[i];
        rule_look(rule, now_ms);
        if (rule_is_due(rule, now_ms)) {
            rule->fired = rule->spent = true;
            rule->fired_ms = now_ms;
            *commands = rule->commands;
            *count = rule->command_count;
            return rule->name;
        }
    }
    return NULL;
}
