/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resource *resource_find(const struct resources *resources, const char *ri)
{
    return table_find_text(&resources->by_ri, ri);
}

struct resource *resource_named(const struct resources *resources, const char *name)
{
    return table_find_text(&resources->by_name, name);
}

bool resource_name_valid(const char *name)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return length > 0 && length <= RESOURCES_NAME_LIMIT && name[length] == '\0' &&
           name[strspn(name, ".")] != '\0' && strcmp(name, "fopt") != 0 && strcmp(name, "-") != 0;
}

static bool is_group(const struct onem2m_resource *content)
{
    return onem2m_resource_type(content) == ONEM2M_GROUP;
}

static bool resources_room(const struct resources *resources, const struct onem2m_resource *content)
{
    return is_group(content) ? resources->group_count < RESOURCES_GROUP_LIMIT
                             : table_count(&resources->by_ri) - resources->group_count < RESOURCES_AE_LIMIT;
}

size_t resources_groups_of(const struct resources *resources, const char *creator)
{
    const struct resource *group;
    size_t count = 0;
    LIST_FOREACH(group, &resources->groups, group)
    {
        count += strcmp(group->creator, creator) == 0;
    }
    return count;
}

static bool text_set(char *out, size_t size, const char *text)
{
    return (size_t)snprintf(out, size, "%s", text) < size;
}

struct resource *resource_add(struct resources *resources, const char *ri, const char *name,
                              const char *creator, struct onem2m_resource *content)
{
    if (resource_find(resources, ri) != NULL || resource_named(resources, name) != NULL ||
        !resources_room(resources, content)) {
        return NULL;
    }
    struct resource *resource = calloc(1, sizeof(*resource));
    if (resource == NULL) {
        return NULL;
    }
    if (!text_set(resource->ri, sizeof(resource->ri), ri) ||
        !text_set(resource->name, sizeof(resource->name), name) ||
        !text_set(resource->creator, sizeof(resource->creator), creator) ||
        !table_add_text(&resources->by_ri, &resource->by_ri, resource->ri, resource) ||
        !table_add_text(&resources->by_name, &resource->by_name, resource->name, resource)) {
        table_remove(&resources->by_ri, &resource->by_ri);
        free(resource);
        return NULL;
    }
    resource->content = content;
    if (is_group(content)) {
        LIST_INSERT_HEAD(&resources->groups, resource, group);
        resources->group_count++;
    }
    return resource;
}

void resource_remove(struct resources *resources, struct resource *resource)
{
    if (is_group(resource->content)) {
        LIST_REMOVE(resource, group);
        resources->group_count--;
    }
    table_remove(&resources->by_ri, &resource->by_ri);
    table_remove(&resources->by_name, &resource->by_name);
    onem2m_resource_free(resource->content);
    free(resource);
}

void resource_replace(struct resource *resource, struct onem2m_resource *content)
{
    onem2m_resource_free(resource->content);
    resource->content = content;
}

void resources_clear(struct resources *resources)
{
    struct resource *resource;
    while ((resource = table_first(&resources->by_ri)) != NULL) {
        resource_remove(resources, resource);
    }
}
