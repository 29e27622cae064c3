/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/clearing.h"

#include "secenv/member/event.h"

const char clearing_schema[] =
    "CREATE TABLE IF NOT EXISTS relay_clearing ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, tree_row INTEGER NOT NULL," /* -1: policy and epoch */
    " tree_column INTEGER NOT NULL, PRIMARY KEY (identity, grp, tree_row, tree_column)) WITHOUT ROWID;";

enum result clearing_note(const struct relay *relay, struct reason *why)
{
    const struct membership *membership = relay->membership;
    struct store *store = membership->identity->engine->setup.store;
    const char *owner = membership->identity->identity.name;
    GUARD(store_run(store, why,
                    "INSERT OR REPLACE INTO relay_clearing (identity, grp, tree_row, tree_column)"
                    " SELECT identity, grp, -1, 0 FROM relay WHERE identity = ? AND grp = ?",
                    "tt", owner, membership->group));
    return store_run(store, why,
                     "INSERT OR REPLACE INTO relay_clearing (identity, grp, tree_row, tree_column)"
                     " SELECT identity, grp, tree_row, tree_column FROM relay_block"
                     " WHERE identity = ? AND grp = ?",
                     "tt", owner, membership->group);
}

struct repeating {
    const struct identity_state *identity;
    struct publication publication;
};

static enum result topic_clear(struct repeating *repeating, const char *group,
                               Groupseal__Secenv__TopicKind kind)
{
    repeating->publication.kind = kind;
    return event_publish_of(repeating->identity, group, &repeating->publication);
}

static enum result clearing_row(void *context, const struct store_row *row, struct reason *why)
{
    struct repeating *repeating = context;
    const char *group = row_text(row, 0);
    (void)why;
    if (row_int(row, 1) < 0) {
        GUARD(topic_clear(repeating, group, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH));
        return topic_clear(repeating, group, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY);
    }
    repeating->publication.row = (uint32_t)row_int(row, 1);
    repeating->publication.column = (uint32_t)row_int(row, 2);
    return topic_clear(repeating, group, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE);
}

enum result clearing_repeat(struct identity_state *identity, struct reason *why)
{
    char site[SITE_LIMIT + 1];
    struct store *store = identity->engine->setup.store;
    const char *owner = identity->identity.name;
    struct repeating repeating = {identity, {.site = site, .sender = "", .retained = true}};
    if (object_site_of(owner, site, sizeof(site)) != RESULT_OK) {
        return RESULT_OK; /* no MN-CSE that could have published anything */
    }
    GUARD(store_query(store, why, clearing_row, &repeating,
                      "SELECT grp, tree_row, tree_column FROM relay_clearing c WHERE identity = ? AND"
                      " NOT EXISTS (SELECT 1 FROM relay r WHERE r.identity = c.identity AND r.grp = c.grp"
                      "   AND c.tree_row < 0) AND"
                      " NOT EXISTS (SELECT 1 FROM relay_block b WHERE b.identity = c.identity"
                      "   AND b.grp = c.grp AND b.tree_row = c.tree_row AND b.tree_column = c.tree_column)"
                      " ORDER BY grp, tree_row, tree_column",
                      "t", owner));
    return store_run(store, why, "DELETE FROM relay_clearing WHERE identity = ?", "t", owner);
}
