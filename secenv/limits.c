/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char limit_schema[] = "CREATE TABLE IF NOT EXISTS owner_limit ("
                            " identity TEXT NOT NULL,"
                            " pattern TEXT NOT NULL,"
                            " rights INTEGER NOT NULL,"
                            " rate INTEGER NOT NULL,"
                            " burst INTEGER NOT NULL,"
                            " PRIMARY KEY (identity, pattern)) WITHOUT ROWID;";

/* ---- rights as text ---- */

struct right_word {
    enum owner_right right;
    const char *word;
};

static const struct right_word words[] = {
    {OWNER_RELAY, "relay"}, {OWNER_READ, "read"}, {OWNER_SEND, "send"}, {OWNER_COMMAND, "command"}};
#define WORDS (sizeof(words) / sizeof(words[0]))

static unsigned right_of(const char *word, size_t length)
{
    for (size_t i = 0; i < WORDS; i++) {
        if (strlen(words[i].word) == length && strncmp(words[i].word, word, length) == 0) {
            return words[i].right;
        }
    }
    return 0;
}

bool rights_parse(const char *text, unsigned *out)
{
    *out = strcmp(text, "all") == 0 ? (unsigned)OWNER_RIGHTS : 0;
    if (*out != 0 || strcmp(text, "none") == 0) {
        return true;
    }
    for (const char *word = text;;) {
        size_t length = strcspn(word, ",");
        unsigned right = right_of(word, length);
        if (right == 0) {
            return false;
        }
        *out |= right;
        if (word[length] == '\0') {
            return true;
        }
        word += length + 1;
    }
}

void rights_print(unsigned rights, char out[RIGHTS_TEXT_SIZE])
{
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < WORDS; i++) {
        if ((rights & words[i].right) != 0) {
            length += (size_t)snprintf(out + length, RIGHTS_TEXT_SIZE - length, "%s%s",
                                       length == 0 ? "" : ",", words[i].word);
        }
    }
    if (length == 0) {
        (void)snprintf(out, RIGHTS_TEXT_SIZE, "none");
    }
}

/* ---- rules ---- */

struct limit limit_default(enum identity_kind kind)
{
    struct limit rule = {.pattern = "*", .rights = OWNER_RIGHTS};
    rule.rate = kind == IDENTITY_IN_CSE   ? LIMIT_IN_CSE_RATE
                : kind == IDENTITY_MN_CSE ? LIMIT_MN_CSE_RATE
                                          : LIMIT_DEVICE_RATE;
    rule.burst = kind == IDENTITY_IN_CSE   ? LIMIT_IN_CSE_BURST
                 : kind == IDENTITY_MN_CSE ? LIMIT_MN_CSE_BURST
                                           : LIMIT_DEVICE_BURST;
    return rule;
}

static bool pattern_valid(const char *pattern)
{
    char group[LIMIT_PATTERN_LIMIT + 1];
    size_t length = strnlen(pattern, sizeof(group));
    if (length == 0 || length == sizeof(group)) {
        return false;
    }
    memcpy(group, pattern, length + 1);
    if (group[length - 1] == '*') {
        group[length - 1] = '\0';
        return group[0] == '\0' || object_group_valid(group);
    }
    return object_group_valid(group);
}

enum result limits_check(const struct limit *rule, struct reason *why)
{
    if (!pattern_valid(rule->pattern)) {
        return result_fail(why, RESULT_INVALID,
                           "\"%.70s\" is no group, nor the begin of one with a * after it", rule->pattern);
    }
    if ((rule->rights & ~(unsigned)OWNER_RIGHTS) != 0) {
        return result_fail(why, RESULT_INVALID, "%u are no rights", rule->rights);
    }
    if (rule->rate < 1 || rule->rate > LIMIT_RATE_HIGHEST || rule->burst < 1 ||
        rule->burst > LIMIT_BURST_HIGHEST) {
        return result_fail(why, RESULT_INVALID, "a rate is 1 to %u a second, a burst 1 to %u",
                           LIMIT_RATE_HIGHEST, LIMIT_BURST_HIGHEST);
    }
    return RESULT_OK;
}

/* ---- store ---- */

static enum result rule_append(struct limits *limits, const struct limit *rule, struct reason *why)
{
    struct limit *larger = realloc(limits->rules, (limits->count + 1) * sizeof(*larger));
    if (larger == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an owner's limits");
    }
    limits->rules = larger;
    limits->rules[limits->count++] = *rule;
    return RESULT_OK;
}

static enum result rule_row(void *context, const struct store_row *row, struct reason *why)
{
    struct limits *limits = context;
    struct limit rule = {.rights = (unsigned)row_int(row, 1),
                         .rate = (uint32_t)row_int(row, 2),
                         .burst = (uint32_t)row_int(row, 3)};
    (void)snprintf(rule.pattern, sizeof(rule.pattern), "%s", row_text(row, 0));
    struct reason damage;
    if (limits_check(&rule, &damage) != RESULT_OK || limits->count > LIMIT_RULES_LIMIT) {
        return result_fail(why, RESULT_STORE, "an owner's limit for %.70s is damaged", rule.pattern);
    }
    return rule_append(limits, &rule, why);
}

enum result limits_load(struct store *store, const char *identity, enum identity_kind kind,
                        struct limits *out, struct reason *why)
{
    struct limit all = limit_default(kind);
    *out = (struct limits){.rules = NULL};
    enum result result = store_query(store, why, rule_row, out,
                                     "SELECT pattern, rights, rate, burst FROM owner_limit WHERE identity = ?"
                                     " ORDER BY instr(pattern, '*') > 0, length(pattern) DESC",
                                     "t", identity);
    if (result == RESULT_OK && (out->count == 0 || strcmp(out->rules[out->count - 1].pattern, "*") != 0)) {
        result = rule_append(out, &all, why);
    }
    if (result != RESULT_OK) {
        limits_clear(out);
    }
    return result;
}

void limits_clear(struct limits *limits)
{
    free(limits->rules);
    *limits = (struct limits){.rules = NULL};
}

enum result limits_set(struct store *store, const char *identity, const struct limit *rule,
                       struct reason *why)
{
    uint64_t others = 0;
    GUARD(limits_check(rule, why));
    GUARD(store_number(store, why, &others,
                       "SELECT count(*) FROM owner_limit WHERE identity = ? AND pattern <> ?", "tt", identity,
                       rule->pattern));
    if (others >= LIMIT_RULES_LIMIT) {
        return result_fail(why, RESULT_FULL, "%s has %u limits already", identity, LIMIT_RULES_LIMIT);
    }
    return store_run(store, why,
                     "INSERT OR REPLACE INTO owner_limit (identity, pattern, rights, rate, burst)"
                     " VALUES (?, ?, ?, ?, ?)",
                     "ttiii", identity, rule->pattern, (int64_t)rule->rights, (int64_t)rule->rate,
                     (int64_t)rule->burst);
}

enum result limits_remove(struct store *store, const char *identity, const char *pattern, struct reason *why)
{
    uint64_t found = 0;
    GUARD(store_number(store, why, &found,
                       "SELECT count(*) FROM owner_limit WHERE identity = ? AND pattern = ?", "tt", identity,
                       pattern));
    if (found == 0) {
        return result_fail(why, RESULT_UNKNOWN, "%s has no limit for %.70s", identity, pattern);
    }
    return store_run(store, why, "DELETE FROM owner_limit WHERE identity = ? AND pattern = ?", "tt", identity,
                     pattern);
}

/* ---- which one counts ---- */

const struct limit *limits_rule(const struct limits *limits, const char *pattern)
{
    for (size_t i = 0; i < limits->count; i++) {
        if (strcmp(limits->rules[i].pattern, pattern) == 0) {
            return &limits->rules[i];
        }
    }
    return NULL;
}

static bool pattern_fits(const char *pattern, const char *group)
{
    size_t length = strlen(pattern);
    return pattern[length - 1] == '*' ? strncmp(pattern, group, length - 1) == 0
                                      : strcmp(pattern, group) == 0;
}

struct limit *limits_for(const struct limits *limits, const char *group)
{
    for (size_t i = 0; i + 1 < limits->count; i++) {
        if (pattern_fits(limits->rules[i].pattern, group)) {
            return &limits->rules[i];
        }
    }
    return &limits->rules[limits->count - 1];
}

/* ---- status ---- */

static enum result rule_status(const struct limit *rule, struct arena *arena,
                               Groupseal__Secenv__OwnerLimit **out)
{
    char rights[RIGHTS_TEXT_SIZE];
    Groupseal__Secenv__OwnerLimit *status = arena_alloc(arena, sizeof(*status));
    if (status == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__owner_limit__init(status);
    rights_print(rule->rights, rights);
    status->groups = arena_text(arena, rule->pattern);
    status->allow = arena_text(arena, rights);
    status->rate = rule->rate;
    status->burst = rule->burst;
    *out = status;
    return status->groups == NULL || status->allow == NULL ? RESULT_INTERNAL : RESULT_OK;
}

enum result limits_status(const struct limits *limits, struct arena *arena,
                          Groupseal__Secenv__OwnerLimit ***out, size_t *count)
{
    *count = 0;
    *out = arena_alloc(arena, limits->count * sizeof(**out));
    if (*out == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < limits->count; i++) {
        GUARD(rule_status(&limits->rules[i], arena, &(*out)[i]));
    }
    *count = limits->count;
    return RESULT_OK;
}
