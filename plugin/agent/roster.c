/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/roster.h"

#include "onem2m/identifier.h"
#include "plugin/agent/table.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_NAME_LIMIT 64u

struct member {
    UT_hash_handle hh;
    char id[]; /* absolute */
};

struct group {
    UT_hash_handle hh;
    char name[GROUP_NAME_LIMIT + 1];
    struct member *members; /* in force */
    struct member *coming;  /* pages so far */
    uint32_t next_page;     /* of `coming` */
    uint32_t pages;
    bool in_force;
    bool stale; /* not told again since rosters_mark */
};

struct rosters {
    struct group *groups;
};

static void members_free(struct member **members)
{
    struct member *member;
    struct member *next;
    HASH_ITER(hh, *members, member, next)
    {
        HASH_DEL(*members, member);
        free(member);
    }
}

static bool members_add(struct member **members, const char *id)
{
    struct member *member = NULL;
    size_t length = strlen(id);
    HASH_FIND(hh, *members, id, length, member);
    if (member != NULL) {
        return true;
    }
    member = calloc(1, sizeof(*member) + length + 1);
    if (member == NULL) {
        return false;
    }
    memcpy(member->id, id, length + 1);
    HASH_ADD_KEYPTR(hh, *members, member->id, length, member);
    if (member->hh.tbl == NULL) {
        free(member);
        return false;
    }
    return true;
}

static void group_free(struct rosters *rosters, struct group *group)
{
    HASH_DEL(rosters->groups, group);
    members_free(&group->members);
    members_free(&group->coming);
    free(group);
}

static struct group *group_find(const struct rosters *rosters, const char *name)
{
    struct group *group = NULL;
    HASH_FIND_STR(rosters->groups, name, group);
    return group;
}

static struct group *group_add(struct rosters *rosters, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > GROUP_NAME_LIMIT || HASH_COUNT(rosters->groups) >= ROSTER_GROUPS_LIMIT) {
        return NULL;
    }
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return NULL;
    }
    memcpy(group->name, name, length + 1);
    HASH_ADD_STR(rosters->groups, name, group);
    if (group->hh.tbl == NULL) {
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
    struct group *next;

    if (rosters == NULL) {
        return;
    }
    HASH_ITER(hh, rosters->groups, group, next)
    {
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
    if (count > ROSTER_PAGE_LIMIT || HASH_COUNT(group->coming) + count > ROSTER_MEMBERS_LIMIT) {
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
        members_free(&group->coming);
        group->pages = group->next_page = 0;
        if (!group->in_force) {
            group_free(rosters, group);
        }
        return false;
    }
    group->next_page++;
    if (group->next_page == group->pages) {
        members_free(&group->members);
        group->members = group->coming;
        group->coming = NULL;
        group->pages = group->next_page = 0;
        group->in_force = true;
        group->stale = false;
        *complete = true;
    }
    return true;
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
    for (struct group *group = rosters->groups; group != NULL; group = group->hh.next) {
        group->stale = true;
    }
}

size_t rosters_sweep(struct rosters *rosters)
{
    struct group *group;
    struct group *next;
    size_t dropped = 0;

    HASH_ITER(hh, rosters->groups, group, next)
    {
        if (group->stale) {
            group_free(rosters, group);
            dropped++;
        }
    }
    return dropped;
}

bool rosters_has(const struct rosters *rosters, const char *name, const char *id)
{
    struct group *group = group_find(rosters, name);
    if (group == NULL) {
        return false;
    }
    struct member *member = NULL;
    HASH_FIND_STR(group->members, id, member);
    return member != NULL;
}

size_t rosters_members(const struct rosters *rosters, const char *name)
{
    struct group *group = group_find(rosters, name);
    return group == NULL ? 0 : HASH_COUNT(group->members);
}
