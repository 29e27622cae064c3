/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/groups.h"

#include "onem2m/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    uint32_t row;
    uint32_t column;
};

struct group {
    struct group *next;
    char name[65];
    char sites[GROUPS_SITES_LIMIT][65];
    size_t site_count;
    struct block blocks[GROUPS_BLOCKS_LIMIT]; /* of the tree, on the leaf's path */
    size_t block_count;
    bool renew; /* what is retained, when it is said again */
};

struct groups {
    struct connection *connection;
    struct group *first;
};

/* What a group is heard on at a site, in the order of asking: what `epoch` refers to is there before it. */
static const struct {
    const char *place;
    int qos;
    bool retained;
} topics[] = {{"cmd", 1, false}, {"msg/+", 1, false}, {"policy", 0, true}, {"epoch", 0, true}};
#define TOPICS (sizeof(topics) / sizeof(topics[0]))

typedef bool (*each_filter)(struct groups *groups, const char *filter, int qos, bool retained);

static bool topic_visit(struct groups *groups, const struct group *group, const char *site, size_t topic,
                        each_filter each)
{
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    snprintf(filter, sizeof(filter), "groupseal/v1/%s/%s/%s", site, group->name, topics[topic].place);
    return each(groups, filter, topics[topic].qos, topics[topic].retained);
}

static bool block_visit(struct groups *groups, const struct group *group, const char *site,
                        const struct block *block, each_filter each)
{
    char filter[ONEM2M_TOPIC_LIMIT + 1];
    snprintf(filter, sizeof(filter), "groupseal/v1/%s/%s/tree/%" PRIu32 "/%" PRIu32, site, group->name,
             block->row, block->column);
    return each(groups, filter, 0, true);
}

static bool site_visit(struct groups *groups, const struct group *group, const char *site, each_filter each)
{
    bool ok = true;
    for (size_t i = 0; i < group->block_count; i++) {
        ok = block_visit(groups, group, site, &group->blocks[i], each) && ok;
    }
    for (size_t i = 0; i < TOPICS; i++) {
        ok = topic_visit(groups, group, site, i, each) && ok;
    }
    return ok;
}

static bool subscribe(struct groups *groups, const char *filter, int qos, bool retained)
{
    (void)retained;
    return connection_subscribe(groups->connection, filter, qos);
}

static bool unsubscribe(struct groups *groups, const char *filter, int qos, bool retained)
{
    (void)qos;
    (void)retained;
    connection_unsubscribe(groups->connection, filter);
    return true;
}

static bool renew(struct groups *groups, const char *filter, int qos, bool retained)
{
    (void)qos;
    if (retained) {
        connection_resubscribe(groups->connection, filter);
    }
    return true;
}

/* What is retained and was asked for on this connection is asked for again. */
static bool subscribe_again(struct groups *groups, const char *filter, int qos, bool retained)
{
    renew(groups, filter, qos, retained);
    return subscribe(groups, filter, qos, retained);
}

static bool group_visit(struct groups *groups, const struct group *group, each_filter each)
{
    bool ok = true;
    for (size_t i = 0; i < group->site_count; i++) {
        ok = site_visit(groups, group, group->sites[i], each) && ok;
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
    if (strlen(joined->group) >= sizeof(probe.group) || joined->n_sites > GROUPS_SITES_LIMIT ||
        joined->n_blocks > GROUPS_BLOCKS_LIMIT) {
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
    for (size_t i = 0; i < joined->n_blocks; i++) {
        out->blocks[i] = (struct block){joined->blocks[i]->row, joined->blocks[i]->column};
    }
    out->block_count = joined->n_blocks;
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

static bool has_block(const struct group *group, const struct block *block)
{
    for (size_t i = 0; i < group->block_count; i++) {
        if (group->blocks[i].row == block->row && group->blocks[i].column == block->column) {
            return true;
        }
    }
    return false;
}

/* Of a site that it had before: all of it, or the blocks that are no longer on the path. */
static void site_give_up(struct groups *groups, const struct group *before, const struct group *now,
                         const char *site)
{
    if (!has_site(now, site)) {
        site_visit(groups, before, site, unsubscribe);
        return;
    }
    for (size_t i = 0; i < before->block_count; i++) {
        if (!has_block(now, &before->blocks[i])) {
            block_visit(groups, before, site, &before->blocks[i], unsubscribe);
        }
    }
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
    for (size_t i = 0; i < group->site_count; i++) {
        site_give_up(groups, group, &read, group->sites[i]);
    }
    read.next = group->next;
    bool again = group->renew;
    *group = read;
    group->renew = true;
    return group_visit(groups, group, again ? subscribe_again : subscribe);
}

void groups_renew_next(struct groups *groups, bool renew)
{
    for (struct group *group = groups->first; group != NULL; group = group->next) {
        group->renew = renew;
    }
}

void groups_depart(struct groups *groups, const char *name)
{
    struct group **place = find(groups, name);
    struct group *group = *place;
    if (group == NULL) {
        return;
    }
    group_visit(groups, group, unsubscribe);
    *place = group->next;
    free(group);
}

void groups_renew(struct groups *groups, const char *name)
{
    const struct group *group = *find(groups, name);
    if (group != NULL) {
        group_visit(groups, group, renew);
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
            snprintf(filter, sizeof(filter), "groupseal/v1/%s/%s/%s", group->sites[i], group->name,
                     places[j]);
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
