/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/identity.h"

#include <stdio.h>
#include <string.h>

static const char placeholder[] = "%u";

/* Writes the rule with `name` in place of %u; false where that is too long. */
static bool rule_apply(const char *rule, const char *name, char *out, size_t size)
{
    const char *at = strstr(rule, placeholder);
    int length = snprintf(out, size, "%.*s%s%s", (int)(at - rule), rule, name, at + strlen(placeholder));
    return length > 0 && (size_t)length < size;
}

static bool placeholder_is_once(const char *text)
{
    const char *at = strchr(text, '%');
    return at != NULL && strncmp(at, placeholder, strlen(placeholder)) == 0 && strchr(at + 1, '%') == NULL;
}

static bool rule_valid(const char *rule)
{
    char id[ONEM2M_ID_LIMIT + 1];

    if (!placeholder_is_once(rule) || strlen(rule) > ONEM2M_ID_LIMIT) {
        return false;
    }
    /* It must be able to give an AE: from a whole id, from a stem with its letter, or from one without. */
    static const char *const samples[] = {"//sp.example/Sdoor", "Sdoor", "Cdoor", "door"};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        if (rule_apply(rule, samples[i], id, sizeof(id)) && onem2m_id_valid(id) && onem2m_id_is_ae(id)) {
            return true;
        }
    }
    return false;
}

static bool cse_set(const char *text, char *id, char *level)
{
    if (text == NULL || !onem2m_id_valid(text) || onem2m_id_is_ae(text)) {
        return false;
    }
    memcpy(id, text, strlen(text) + 1);
    return onem2m_id_to_level(id, level, ONEM2M_ID_LIMIT + 1);
}

bool identity_rule_set(struct identity_rule *rule, const char *cse_id, const char *in_cse, const char *text,
                       char *why, size_t why_size)
{
    memset(rule, 0, sizeof(*rule));
    if (!cse_set(cse_id, rule->cse_id, rule->cse_level)) {
        snprintf(why, why_size,
                 "this MN-CSE's absolute id is missing or wrong: write plugin_opt_cse_id //sp.example/mn-1");
        return false;
    }
    if (!cse_set(in_cse, rule->in_cse, rule->in_level)) {
        snprintf(why, why_size,
                 "the IN-CSE's absolute id is missing or wrong: write plugin_opt_in_cse //sp.example/in-cse");
        return false;
    }
    if (strcmp(rule->cse_id, rule->in_cse) == 0 || !identity_means(rule, rule->in_level, rule->in_cse)) {
        snprintf(why, why_size,
                 "plugin_opt_in_cse %s must be another CSE than plugin_opt_cse_id %s, of the same service "
                 "provider",
                 rule->in_cse, rule->cse_id);
        return false;
    }
    return identity_rule_add(rule, text, why, why_size);
}

bool identity_rule_add(struct identity_rule *rule, const char *text, char *why, size_t why_size)
{
    const char *space = text == NULL ? NULL : strchr(text, ' ');
    size_t length = space == NULL ? 0 : (size_t)(space - text);
    const char *result = space == NULL ? text : space + strspn(space, " ");
    struct identity_line *line = &rule->lines[rule->line_count];
    if (result == NULL || !rule_valid(result) || length > IDENTITY_PATTERN_LIMIT ||
        rule->line_count == IDENTITY_LINES_LIMIT) {
        snprintf(
            why, why_size,
            "the rule from a connection's name (%%u) to an absolute id is missing or wrong, or there are "
            "more than %u: write plugin_opt_identity //sp.example/%%u",
            IDENTITY_LINES_LIMIT);
        return false;
    }
    snprintf(line->pattern, sizeof(line->pattern), "%.*s", space == NULL ? 2 : (int)length,
             space == NULL ? placeholder : text);
    if (!placeholder_is_once(line->pattern)) {
        snprintf(why, why_size,
                 "a name's pattern has %%u once, where the part is that counts: write plugin_opt_identity "
                 "%%u.devices.example //sp.example/S%%u");
        return false;
    }
    memcpy(line->result, result, strlen(result) + 1);
    rule->line_count++;
    return true;
}

bool identity_means(const struct identity_rule *rule, const char *text, const char *id)
{
    char resolved[ONEM2M_ID_LIMIT + 1];
    return onem2m_id_resolve(text, rule->cse_id, resolved, sizeof(resolved)) && strcmp(resolved, id) == 0;
}

bool identity_is_local_ae(const struct identity_rule *rule, const char *id)
{
    char level[ONEM2M_ID_LIMIT + 1];
    /* Another registrar's C-type AE, or another provider's, has a stem that means somebody else here. */
    return onem2m_id_is_ae(id) && onem2m_id_to_level(id, level, sizeof(level)) &&
           identity_means(rule, level, id);
}

bool identity_fits_client_id(const struct identity_rule *rule, const struct identity *client,
                             const char *client_id)
{
    bool ae = strncmp(client_id, "A::", 3) == 0;
    if (!ae && strncmp(client_id, "C::", 3) != 0) {
        return true;
    }
    return onem2m_id_is_ae(client->id) == ae && identity_means(rule, client_id + 3, client->id);
}

/* The name as a Credential-ID level: "/" becomes ":" (TS-0010 6.4.4); "" where it cannot be one. */
static void credential_set(const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    out[0] = '\0';
    if (length >= size) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        out[i] = name[i] == '/' ? ':' : name[i];
    }
    out[length] = '\0';
}

/* What stands in the name where the pattern has %u; false: it does not fit. */
static bool pattern_match(const char *pattern, const char *name, char *out, size_t size)
{
    size_t before = (size_t)(strstr(pattern, placeholder) - pattern);
    const char *after = pattern + before + strlen(placeholder);
    size_t tail = strlen(after);
    size_t length = strlen(name);
    if (length <= before + tail || length - before - tail >= size || strncmp(name, pattern, before) != 0 ||
        strcmp(name + length - tail, after) != 0) {
        return false;
    }
    length -= before + tail;
    memcpy(out, name + before, length);
    out[length] = '\0';
    return true;
}

static bool line_apply(const struct identity_line *line, const char *name, struct identity *out)
{
    char part[ONEM2M_LEVEL_LIMIT + IDENTITY_PATTERN_LIMIT];
    return pattern_match(line->pattern, name, part, sizeof(part)) &&
           rule_apply(line->result, part, out->id, sizeof(out->id)) &&
           onem2m_id_to_level(out->id, out->level, sizeof(out->level));
}

static bool lines_apply(const struct identity_rule *rule, const char *name, struct identity *out)
{
    for (size_t i = 0; i < rule->line_count; i++) {
        if (line_apply(&rule->lines[i], name, out)) {
            return true;
        }
    }
    return false;
}

void identity_find(const struct identity_rule *rule, const char *name, struct identity *out)
{
    out->role = ROLE_NONE;
    out->id[0] = out->level[0] = out->credential[0] = '\0';
    if (name == NULL || name[0] == '\0' || !lines_apply(rule, name, out)) {
        return;
    }
    if (strcmp(out->id, rule->in_cse) == 0) {
        out->role = ROLE_IN_CSE;
    } else if (identity_is_local_ae(rule, out->id)) {
        out->role = ROLE_AE;
    } else {
        return;
    }
    credential_set(name, out->credential, sizeof(out->credential));
}
