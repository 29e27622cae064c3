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

static bool rule_valid(const char *rule)
{
    char id[ONEM2M_ID_LIMIT + 1];

    const char *at = strchr(rule, '%');
    if (at == NULL || strncmp(at, placeholder, strlen(placeholder)) != 0 || strchr(at + 1, '%') != NULL ||
        strlen(rule) > ONEM2M_ID_LIMIT) {
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
    if (text == NULL || !rule_valid(text)) {
        snprintf(why, why_size,
                 "the rule from a connection's name (%%u) to an absolute id is missing or wrong: write "
                 "plugin_opt_identity //sp.example/%%u");
        return false;
    }
    memcpy(rule->rule, text, strlen(text) + 1);
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

void identity_find(const struct identity_rule *rule, const char *name, struct identity *out)
{
    out->role = ROLE_NONE;
    out->id[0] = out->level[0] = out->credential[0] = '\0';
    if (name == NULL || name[0] == '\0' || !rule_apply(rule->rule, name, out->id, sizeof(out->id)) ||
        !onem2m_id_to_level(out->id, out->level, sizeof(out->level))) {
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
