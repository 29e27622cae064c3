/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/access.h"

#include <string.h>

#define FILTER_LEVELS 8u /* more than any topic of ours has */

static const char site_version[] = "v1";

bool access_credential_is(const struct access_view *view, const struct identity *client, const char *level)
{
    return identity_means(view->rule, level, client->id) || strcmp(level, client->credential) == 0;
}

static bool is_me(const struct access_view *view, const char *level)
{
    return identity_means(view->rule, level, view->rule->cse_id);
}

static bool is_client(const struct access_view *view, const struct identity *client, const char *level)
{
    return client->role != ROLE_NONE && identity_means(view->rule, level, client->id);
}

static bool is_member(const struct access_view *view, const struct identity *client, const char *site,
                      const char *group)
{
    return client->role != ROLE_NONE && strcmp(site, view->rule->cse_level) == 0 &&
           rosters_has(view->rosters, group, client->id);
}

/* ---- one topic: publish and read ---- */

static bool primitive_write(const struct access_view *view, const struct identity *client,
                            const struct onem2m_topic *topic)
{
    if (strcmp(topic->serialisation, "json") != 0) {
        return false;
    }
    switch (topic->tree) {
    case ONEM2M_REQ:
        return is_client(view, client, topic->originator) && is_me(view, topic->receiver);
    case ONEM2M_RESP:
        return is_me(view, topic->originator) && is_client(view, client, topic->receiver);
    case ONEM2M_REG_REQ:
        return client->role == ROLE_AE && access_credential_is(view, client, topic->originator) &&
               is_me(view, topic->receiver);
    case ONEM2M_REG_RESP:
        return false;
    }
    return false;
}

static bool primitive_read(const struct access_view *view, const struct identity *client,
                           const struct onem2m_topic *topic)
{
    switch (topic->tree) {
    case ONEM2M_REQ:
        return is_me(view, topic->originator) && is_client(view, client, topic->receiver);
    case ONEM2M_RESP:
        return is_client(view, client, topic->originator) && is_me(view, topic->receiver);
    case ONEM2M_REG_RESP:
        return client->role == ROLE_AE && access_credential_is(view, client, topic->originator) &&
               is_me(view, topic->receiver);
    case ONEM2M_REG_REQ:
        return false;
    }
    return false;
}

static bool group_write(const struct access_view *view, const struct identity *client,
                        const struct group_topic *topic)
{
    return (topic->kind == GROUP_MSG || topic->kind == GROUP_ACK) && is_client(view, client, topic->ae) &&
           is_member(view, client, topic->site, topic->group);
}

/*
 * That the group's announcement is cleared is for whoever was a member when it subscribed, and is none in the
 * roster any more: how else would a member hear that the authority has begun anew?
 */
static bool clearing_read(const struct access_view *view, const struct identity *client,
                          const struct group_topic *topic)
{
    return topic->kind == GROUP_EPOCH && client->role == ROLE_AE &&
           strcmp(topic->site, view->rule->cse_level) == 0;
}

static bool group_read(const struct access_view *view, const struct identity *client,
                       const struct group_topic *topic, bool empty)
{
    return (topic->kind != GROUP_ACK && is_member(view, client, topic->site, topic->group)) ||
           (empty && clearing_read(view, client, topic));
}

static enum agent_answer topic_decide(const struct access_view *view, const struct identity *client,
                                      const struct agent_attempt *attempt)
{
    struct onem2m_topic primitive;
    struct group_topic group;
    bool write = attempt->access == AGENT_WRITE;
    bool allowed = false;

    if (onem2m_topic_touches(attempt->topic)) {
        if (onem2m_topic_parse(attempt->topic, &primitive)) {
            allowed = write ? !attempt->retain && primitive_write(view, client, &primitive)
                            : primitive_read(view, client, &primitive);
        }
    } else if (group_topic_touches(attempt->topic)) {
        if (group_topic_parse(attempt->topic, &group)) {
            /* Nobody leaves a retained message where members expect the signed state. */
            allowed = write ? !attempt->retain && group_write(view, client, &group)
                            : group_read(view, client, &group, attempt->empty);
        }
    } else {
        return AGENT_FOREIGN;
    }
    return allowed && !attempt->will ? AGENT_ALLOWED : AGENT_DENIED;
}

/* ---- a filter: subscribe ---- */

struct filter {
    char text[ONEM2M_TOPIC_LIMIT + 1];
    const char *level[FILTER_LEVELS];
    size_t count;
};

/* False: longer than any filter within our trees. */
static bool filter_split(const char *text, struct filter *out)
{
    size_t length = strnlen(text, sizeof(out->text));
    if (length >= sizeof(out->text)) {
        return false;
    }
    memcpy(out->text, text, length + 1);
    out->count = 0;
    for (char *at = out->text; at != NULL;) {
        if (out->count == FILTER_LEVELS) {
            return false;
        }
        out->level[out->count++] = at;
        at = strchr(at, '/');
        if (at != NULL) {
            *at++ = '\0';
        }
    }
    return true;
}

static bool level_is(const struct filter *filter, size_t at, const char *text)
{
    return at < filter->count && strcmp(filter->level[at], text) == 0;
}

/* The other party's level, or one wildcard for it, and then the serialisation, a wildcard or nothing. */
static bool party_and_rest(const struct access_view *view, const struct filter *filter, size_t at)
{
    if (level_is(filter, at, "#")) {
        return filter->count == at + 1;
    }
    return at < filter->count && (level_is(filter, at, "+") || is_me(view, filter->level[at])) &&
           filter->count <= at + 2;
}

/* /oneM2M/<tree>/<originator>/<receiver>/<serialisation> */
static bool primitive_filter(const struct access_view *view, const struct identity *client,
                             const struct filter *filter)
{
    if (client->role == ROLE_NONE || filter->count < 5) {
        return false;
    }
    if (level_is(filter, 2, "req")) {
        return (level_is(filter, 3, "+") || is_me(view, filter->level[3])) &&
               is_client(view, client, filter->level[4]) && filter->count <= 6;
    }
    if (level_is(filter, 2, "resp")) {
        return is_client(view, client, filter->level[3]) && party_and_rest(view, filter, 4);
    }
    return level_is(filter, 2, "reg_resp") && client->role == ROLE_AE &&
           access_credential_is(view, client, filter->level[3]) && party_and_rest(view, filter, 4);
}

/* groupseal/v1/<site>/<group>/… */
static bool group_filter(const struct access_view *view, const struct identity *client,
                         const struct filter *filter)
{
    if (filter->count < 5 || !level_is(filter, 1, site_version) ||
        !is_member(view, client, filter->level[2], filter->level[3])) {
        return false;
    }
    if (level_is(filter, 4, "msg")) {
        return filter->count == 6;
    }
    if (level_is(filter, 4, "tree")) {
        return filter->count == 7 || (filter->count == 6 && level_is(filter, 5, "#"));
    }
    return filter->count == 5 &&
           (level_is(filter, 4, "cmd") || level_is(filter, 4, "epoch") || level_is(filter, 4, "policy"));
}

static enum agent_answer filter_decide(const struct access_view *view, const struct identity *client,
                                       const char *text)
{
    struct filter filter;
    const char *plain = topic_filter_unshared(text);
    bool primitives = strncmp(plain, "/oneM2M", 7) == 0 && (plain[7] == '/' || plain[7] == '\0');
    bool groups = strncmp(plain, "groupseal", 9) == 0 && (plain[9] == '/' || plain[9] == '\0');

    if (!primitives && !groups) {
        return AGENT_FOREIGN;
    }
    bool allowed = filter_split(plain, &filter) && (primitives ? primitive_filter(view, client, &filter)
                                                               : group_filter(view, client, &filter));
    return allowed ? AGENT_ALLOWED : AGENT_DENIED;
}

enum agent_answer access_decide(const struct access_view *view, const struct identity *client,
                                const struct agent_attempt *attempt)
{
    switch (attempt->access) {
    case AGENT_READ:
    case AGENT_WRITE:
        return topic_decide(view, client, attempt);
    case AGENT_SUBSCRIBE:
        return filter_decide(view, client, attempt->topic);
    case AGENT_UNSUBSCRIBE:
        return onem2m_topic_touches(attempt->topic) || group_topic_touches(attempt->topic) ? AGENT_ALLOWED
                                                                                           : AGENT_FOREIGN;
    }
    return AGENT_DENIED;
}
