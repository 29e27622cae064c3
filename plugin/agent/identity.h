/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_IDENTITY_H
#define GROUPSEAL_PLUGIN_IDENTITY_H

#include "onem2m/identifier.h"
#include "onem2m/topic.h"

/*
 * Who a connection is: the rule of the configuration applied to the name that it proved, seen from this
 * MN-CSE. Pure.
 */
#define IDENTITY_LINES_LIMIT 8u
#define IDENTITY_PATTERN_LIMIT 200u

enum role {
    ROLE_NONE, /* no oneM2M entity of this MN-CSE */
    ROLE_AE,   /* an AE that this MN-CSE is the registrar of, or may become */
    ROLE_IN_CSE,
};

struct identity_rule {
    char cse_id[ONEM2M_ID_LIMIT + 1];
    char cse_level[ONEM2M_ID_LIMIT + 1];
    char in_cse[ONEM2M_ID_LIMIT + 1];
    char in_level[ONEM2M_ID_LIMIT + 1];
    struct identity_line {
        char pattern[IDENTITY_PATTERN_LIMIT + 1]; /* what the name must look like, with one %u */
        char result[ONEM2M_ID_LIMIT + 1];         /* the id, with one %u for what stood there */
    } lines[IDENTITY_LINES_LIMIT];                /* the first that fits and gives an id counts */
    size_t line_count;
};

struct identity {
    enum role role;
    char id[ONEM2M_ID_LIMIT + 1];            /* absolute */
    char level[ONEM2M_ID_LIMIT + 1];         /* the id as a topic level: the stem */
    char credential[ONEM2M_LEVEL_LIMIT + 1]; /* the proven name as a topic level, or "" */
};

/* False: `why` says which line to write. */
bool identity_rule_set(struct identity_rule *rule, const char *cse_id, const char *in_cse, const char *text,
                       char *why, size_t why_size);

/* One more line, "PATTERN RESULT" or "RESULT" alone, for every name. False as above. */
bool identity_rule_add(struct identity_rule *rule, const char *text, char *why, size_t why_size);

/* `name` may be NULL. The role is ROLE_NONE where the rule gives no id, or another CSE's, or this one's own.
 */
void identity_find(const struct identity_rule *rule, const char *name, struct identity *out);

/* True where the topic level or the primitive's text means the id (absolute): stem and full form are one. */
bool identity_means(const struct identity_rule *rule, const char *text, const char *id);

/* True where the client may connect under this MQTT client id: A::<AE-ID> and C::<CSE-ID> are their owner's
 * (TS-0010 6.3.3), all others anybody's. */
bool identity_fits_client_id(const struct identity_rule *rule, const struct identity *client,
                             const char *client_id);

/* True where the id (absolute) is an AE that topics of this MN-CSE can name. */
bool identity_is_local_ae(const struct identity_rule *rule, const char *id);

#endif
