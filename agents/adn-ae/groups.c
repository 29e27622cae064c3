/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/groups.h"

#include "onem2m/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct group {
    struct group *next;
    char name[65];
    char sites[GROUPS_SITES_LIMIT][65];
    size_t site_count;
};

struct groups {
    struct connection *connection;
    struct group *first;
};

static const struct {
    const char *place;
    int qos;
    bool retained;
} topics[] = {
    {"cmd", 1, false}, {"msg/+", 1, false}, {"policy", 0, true}, {"tree/#", 0, true}, {"epoch", 0, true},
};
#define TOPICS (sizeof(topics) / sizeof(topics[0]))

static void topic_filter(const char *site, const char *group, const char *place, char *out, size_t size)
{
    snprintf(out, size, "groupseal/v1/%s/%s/%s", site, group, place);
}

static void site_unsubscribe(struct groups *groups, const struct group *group, const char *site)
{
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    for (size_t i = 0; i < TOPICS; i++) {
        topic_filter(site, group->name, topics[i].place, filter, sizeof(filter));
        connection_unsubscribe(groups->connection, filter);
    }
}

static bool site_subscribe(struct groups *groups, const struct group *group, const char *site)
{
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    bool ok = true;
    for (size_t i = 0; i < TOPICS; i++) {
        topic_filter(site, group->name, topics[i].place, filter, sizeof(filter));
        ok = ok && connection_subscribe(groups->connection, filter, topics[i].qos);
    }
    return ok;
}

/* Reads a site (topic level or absolute id) into a level that may stand in a topic. */
static bool site_level(const char *text, char out[65])
{
    char level[ONEM2M_ID_LIMIT + 1];
    char built[ONEM2M_TOPIC_LIMIT + 1];
    struct group_topic probe = {.group = "g", .kind = GROUP_CMD};
    if (text[0] == '/') {
        if (!onem2m_id_to_level(text, level, sizeof(level))) {
            return false;
        }
        text = level;
    }
    if (strlen(text) >= sizeof(probe.site)) {
        return false;
    }
    memcpy(probe.site, text, strlen(text) + 1);
    memcpy(out, text, strlen(text) + 1);
    return group_topic_build(&probe, built, sizeof(built));
}

static bool joined_read(const Groupseal__Secenv__Joined *joined, struct group *out)
{
    char built[ONEM2M_TOPIC_LIMIT + 1];
    struct group_topic probe = {.site = "s", .kind = GROUP_CMD};
    if (strlen(joined->group) >= sizeof(probe.group) || joined->n_sites > GROUPS_SITES_LIMIT) {
        return false;
    }
    memcpy(probe.group, joined->group, strlen(joined->group) + 1);
    memcpy(out->name, joined->group, strlen(joined->group) + 1);
    if (!group_topic_build(&probe, built, sizeof(built))) {
        return false;
    }
    for (size_t i = 0; i < joined->n_sites; i++) {
        if (!site_level(joined->sites[i], out->sites[i])) {
            return false;
        }
    }
    out->site_count = joined->n_sites;
    return true;
}

static bool has_site(const struct group *group, const char *site)
{
    for (size_t i = 0; i < group->site_count; i++) {
        if (strcmp(group->sites[i], site) == 0) {
            return true;
        }
    }
    return false;
}

static struct group **find(struct groups *groups, const char *name)
{
    struct group **place = &groups->first;
    while (*place != NULL && strcmp((*place)->name, name) != 0) {
        place = &(*place)->next;
    }
    return place;
}

bool groups_join(struct groups *groups, const Groupseal__Secenv__Joined *joined)
{
    struct group read = {0};
    if (!joined_read(joined, &read)) {
        return false;
    }
    struct group **place = find(groups, read.name);
    struct group *group = *place;
    if (group == NULL) {
        group = calloc(1, sizeof(*group));
        if (group == NULL) {
            return false;
        }
        *place = group;
    }
    for (size_t i = 0; i < group->site_count; i++) { /* sites that it had before */
        if (!has_site(&read, group->sites[i])) {
            site_unsubscribe(groups, group, group->sites[i]);
        }
    }
    read.next = group->next;
    *group = read;
    bool ok = true;
    for (size_t i = 0; i < group->site_count; i++) {
        ok = site_subscribe(groups, group, group->sites[i]) && ok;
    }
    return ok;
}

void groups_depart(struct groups *groups, const char *name)
{
    struct group **place = find(groups, name);
    struct group *group = *place;
    if (group == NULL) {
        return;
    }
    for (size_t i = 0; i < group->site_count; i++) {
        site_unsubscribe(groups, group, group->sites[i]);
    }
    *place = group->next;
    free(group);
}

void groups_renew(struct groups *groups, const char *name)
{
    const struct group *group = *find(groups, name);
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    for (size_t i = 0; group != NULL && i < group->site_count; i++) {
        for (size_t j = 0; j < TOPICS; j++) {
            if (topics[j].retained) {
                topic_filter(group->sites[i], group->name, topics[j].place, filter, sizeof(filter));
                connection_resubscribe(groups->connection, filter);
            }
        }
    }
}

bool groups_has(struct groups *groups, const char *name)
{
    return *find(groups, name) != NULL;
}

bool groups_granted(struct groups *groups, const char *name)
{
    static const char *const places[] = {"cmd", "epoch"};
    const struct group *group = *find(groups, name);
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    bool granted = group != NULL;
    for (size_t i = 0; granted && i < group->site_count; i++) {
        for (size_t j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
            topic_filter(group->sites[i], group->name, places[j], filter, sizeof(filter));
            granted = granted && connection_granted(groups->connection, filter);
        }
    }
    return granted;
}

bool groups_empty(const struct groups *groups)
{
    return groups->first == NULL;
}

struct groups *groups_new(struct connection *connection)
{
    struct groups *groups = calloc(1, sizeof(*groups));
    if (groups != NULL) {
        groups->connection = connection;
    }
    return groups;
}

void groups_free(struct groups *groups)
{
    while (groups != NULL && groups->first != NULL) {
        struct group *next = groups->first->next;
        free(groups->first);
        groups->first = next;
    }
    free(groups);
}
