/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/schedules/population_authority.h"

#include "secenv/authority/authority.h"

static const struct group *group_of(struct site *site, const char *name)
{
    struct site_node *authority = site_authority(site);
    return site_down(authority) ? NULL : groups_find(&site_engine(authority)->groups, name);
}

uint64_t authority_epoch_of(struct site *site, const char *name)
{
    const struct group *group = group_of(site, name);
    return group == NULL ? 0 : group->epoch;
}

uint32_t authority_height_of(struct site *site, const char *name)
{
    const struct group *group = group_of(site, name);
    return group == NULL ? 0 : tree_height(group->tree);
}

bool authority_epoch_secret_of(struct site *site, const char *name, struct secret *out)
{
    struct secret root;
    const struct group *group = group_of(site, name);
    return group != NULL && tree_root(group->tree, &root) &&
           epoch_secret(&root, group->instance, group->incarnation, group->epoch, out) == RESULT_OK;
}
