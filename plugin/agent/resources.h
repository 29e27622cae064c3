/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_RESOURCES_H
#define GROUPSEAL_PLUGIN_RESOURCES_H

#include "onem2m/resource.h"
#include "onem2m/topic.h"
#include "plugin/agent/table.h"

#include <sys/queue.h>

/*
 * The resources below this MN-CSE's <CSEBase>: the <AE>s that are registered, and <group>s (TS-0001 9.6.5,
 * 9.6.13). Each has a resource id, which is the AE-ID-Stem of an AE and "g-" and the name of a group, and a
 * name that is unique below the base. Bounded; starts zeroed.
 */
#define RESOURCES_AE_LIMIT 65536u
#define RESOURCES_GROUP_LIMIT 256u
#define RESOURCES_GROUPS_OF_AE_LIMIT 16u /* made by one AE */
#define RESOURCES_NAME_LIMIT 64u
#define RESOURCES_MEMBERS_LIMIT 256u /* of a <group> */

struct resource {
    char ri[ONEM2M_ID_LIMIT + 1];        /* key */
    char name[RESOURCES_NAME_LIMIT + 1]; /* rn; key */
    char creator[ONEM2M_ID_LIMIT + 1];   /* absolute; of an <AE> the AE itself */
    struct onem2m_resource *content;
    struct table_link by_ri;
    struct table_link by_name;
    LIST_ENTRY(resource) group; /* of a <group> */
};

struct resources {
    struct table by_ri;
    struct table by_name;
    LIST_HEAD(resource_groups, resource) groups;
    size_t group_count;
};

/* NULL: none. */
struct resource *resource_find(const struct resources *resources, const char *ri);
struct resource *resource_named(const struct resources *resources, const char *name);

/* How many groups this entity has made. */
size_t resources_groups_of(const struct resources *resources, const char *creator);

/* True for [A-Za-z0-9._-]{1,64} but "fopt" and names of dots alone. */
bool resource_name_valid(const char *name);

/* Takes `content` on success. NULL: full, the name or id is taken, or out of memory. */
struct resource *resource_add(struct resources *resources, const char *ri, const char *name,
                              const char *creator, struct onem2m_resource *content);
void resource_remove(struct resources *resources, struct resource *resource);
/* Takes `content`, of the same type. */
void resource_replace(struct resource *resource, struct onem2m_resource *content);
void resources_clear(struct resources *resources);

#endif
