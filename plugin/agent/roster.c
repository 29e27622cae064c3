/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/roster.h"

#include "onem2m/identifier.h"
#include "plugin/agent/table.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_NAME_LIMIT 64u

struct member {
    struct table_link link;
    char id[]; /* absolute */
};

struct group {
    struct table_link link;
    char name[GROUP_NAME_LIMIT + 1];
    struct table members; /* in force */
    struct table coming;  /* pages so far */
    uint32_t next_page;   /* of `coming` */
    uint32_t pages;
    bool in_force;
    bool stale; /* not told again since rosters_mark */
};

struct rosters {
    struct table groups;
};

static void members_free(struct table *members)
{
    struct member *member;
    while ((member = table_first(members)) != NULL) {
        table_remove(members, &member->link);
        free(member);
    }
}

static bool members_add(struct table *members, const char *id)
{
    size_t length = strlen(id);
    if (table_find(members, id, length) != NULL) {
        return true;
    }
    struct member *member = calloc(1, sizeof(*member) + length + 1);
    if (member == NULL) {
        return false;
    }
    memcpy(member->id, id, length + 1);
    if (!table_add(members, &member->link, member->id, length, member)) {
        free(member);
        return false;
    }
    return true;
}

static void group_free(struct rosters *rosters, struct group *group)
{
    table_remove(&rosters->groups, &group->link);
    members_free(&group->members);
    members_free(&group->coming);
    free(group);
}

static void pages_forget(struct group *group)
{
    members_free(&group->coming);
    group->pages = group->next_page = 0;
}

static struct group *group_find(const struct rosters *rosters, const char *name)
{
    return table_find_text(&rosters->groups, name);
}

static struct group *group_add(struct rosters *rosters, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > GROUP_NAME_LIMIT || table_count(&rosters->groups) >= ROSTER_GROUPS_LIMIT) {
        return NULL;
    }
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return NULL;
    }
    memcpy(group->name, name, length + 1);
    if (!table_add(&rosters->groups, &group->link, group->name, length, group)) {
        free(group);
        return NULL;
    }
    return group;
}

struct rosters *rosters_new(void)
{
    return calloc(1, sizeof(struct rosters));
}

void rosters_free(struct rosters *rosters)
{
    struct group *group;

    if (rosters == NULL) {
        return;
    }
    while ((group = table_first(&rosters->groups)) != NULL) {
        group_free(rosters, group);
    }
    free(rosters);
}

/* True where this page is the one that is due; page 0 begins the list anew. */
static bool page_due(struct group *group, uint32_t page, uint32_t pages)
{
    if (page == 0) {
        members_free(&group->coming);
        group->pages = pages;
        group->next_page = 0;
    }
    return page == group->next_page && pages == group->pages && page < pages;
}

static bool page_take(struct group *group, char *const *members, size_t count)
{
    if (count > ROSTER_PAGE_LIMIT || table_count(&group->coming) + count > ROSTER_MEMBERS_LIMIT) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!onem2m_id_valid(members[i]) || !members_add(&group->coming, members[i])) {
            return false;
        }
    }
    return true;
}

bool rosters_page(struct rosters *rosters, const char *name, uint32_t page, uint32_t pages,
                  char *const *members, size_t count, bool *complete)
{
    *complete = false;
    struct group *group = group_find(rosters, name);
    if (group == NULL && page == 0) {
        group = group_add(rosters, name);
    }
    if (group == NULL) {
        return false;
    }
    if (!page_due(group, page, pages) || !page_take(group, members, count)) {
        pages_forget(group);
        if (!group->in_force) {
            group_free(rosters, group);
        }
        return false;
    }
    group->next_page++;
    if (group->next_page == group->pages) {
        members_free(&group->members);
        group->members = group->coming;
        group->coming = (struct table){NULL};
        group->pages = group->next_page = 0;
        group->in_force = true;
        group->stale = false;
        *complete = true;
    }
    return true;
}

static void members_remove(struct table *members, const char *id)
{
    struct member *member = table_find_text(members, id);
    if (member != NULL) {
        table_remove(members, &member->link);
        free(member);
    }
}

bool rosters_change(struct rosters *rosters, const char *name, char *const *came, size_t came_count,
                    char *const *left, size_t left_count)
{
    struct group *group = group_find(rosters, name);
    if (group == NULL || !group->in_force) {
        return false;
    }
    for (size_t i = 0; i < left_count; i++) {
        members_remove(&group->members, left[i]);
    }
    bool taken = !group->stale && table_count(&group->members) + came_count <= ROSTER_MEMBERS_LIMIT;
    for (size_t i = 0; taken && i < came_count; i++) {
        taken = onem2m_id_valid(came[i]) && members_add(&group->members, came[i]);
    }
    return taken;
}

void rosters_delete(struct rosters *rosters, const char *name)
{
    struct group *group = group_find(rosters, name);
    if (group != NULL) {
        group_free(rosters, group);
    }
}

void rosters_mark(struct rosters *rosters)
{
    for (struct group *group = table_first(&rosters->groups); group != NULL;
         group = table_next(&group->link)) {
        group->stale = true;
        pages_forget(group); /* the rest of them was the last connection's */
    }
}

size_t rosters_sweep(struct rosters *rosters)
{
    struct group *next = NULL;
    size_t dropped = 0;

    for (struct group *group = table_first(&rosters->groups); group != NULL; group = next) {
        next = table_next(&group->link);
        if (group->stale && group->next_page == 0) {
            group_free(rosters, group);
            dropped++;
        }
    }
    return dropped;
}

bool rosters_have_stale(const struct rosters *rosters)
{
    for (const struct group *group = table_first(&rosters->groups); group != NULL;
         group = table_next(&group->link)) {
        if (group->stale) {
            return true;
        }
    }
    return false;
}

bool rosters_has(const struct rosters *rosters, const char *name, const char *id)
{
    const struct group *group = group_find(rosters, name);
    return group != NULL && table_find_text(&group->members, id) != NULL;
}

size_t rosters_members(const struct rosters *rosters, const char *name)
{
    const struct group *group = group_find(rosters, name);
    return group == NULL ? 0 : table_count(&group->members);
}

size_t rosters_list(const struct rosters *rosters, const char *name, size_t first, size_t count,
                    const char **out)
{
    const struct group *group = group_find(rosters, name);
    size_t at = 0;
    size_t taken = 0;
    if (group == NULL || !group->in_force) {
        return 0;
    }
    for (const struct member *member = table_first(&group->members); member != NULL && taken < count;
         member = table_next(&member->link)) {
        if (at++ >= first) {
            out[taken++] = member->id;
        }
    }
    return taken;
}

const char *rosters_group(const struct rosters *rosters, size_t at)
{
    for (const struct group *group = table_first(&rosters->groups); group != NULL;
         group = table_next(&group->link)) {
        if (group->in_force && at-- == 0) {
            return group->name;
        }
    }
    return NULL;
}
