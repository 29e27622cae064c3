/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/holding.h"

#include "secenv/authority/authority.h"

#include <string.h>

#define START_SIZE 8u

const char holding_schema[] =
    "CREATE TABLE IF NOT EXISTS site_holding ("
    "  group_id INTEGER NOT NULL,"
    "  site TEXT NOT NULL," /* absolute CSE-ID */
    "  epoch INTEGER NOT NULL,"
    "  devices INTEGER NOT NULL,"
    "  behind INTEGER NOT NULL,"
    "  told_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (group_id, site)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS behind ("
    "  group_id INTEGER NOT NULL,"
    "  member_id INTEGER NOT NULL,"
    "  epoch INTEGER NOT NULL," /* the last that it was heard in; 0: none */
    "  since_ms INTEGER NOT NULL,"
    "  start BLOB NOT NULL," /* of the MN-CSE that told it */
    "  PRIMARY KEY (group_id, member_id)"
    ") WITHOUT ROWID;"
    "CREATE TRIGGER IF NOT EXISTS group_holding_gone AFTER DELETE ON key_group BEGIN"
    "  DELETE FROM site_holding WHERE group_id = OLD.id;"
    "  DELETE FROM behind WHERE group_id = OLD.id;"
    "END;";

typedef Groupseal__Envelope__Holdings Holdings;
typedef Groupseal__Envelope__HoldingEntry Entry;

/* ---- in ---- */

static enum result holdings_check(const struct member *mn_cse, const Holdings *holdings, struct reason *why)
{
    bool fits = mn_cse->kind == IDENTITY_MN_CSE && holdings->start.len == START_SIZE &&
                holdings->n_entries <= PAGE_ENTRIES_LIMIT && holdings->epoch <= INT64_MAX;
    for (size_t i = 0; fits && i < holdings->n_entries; i++) {
        fits = object_name_valid(holdings->entries[i]->name) && holdings->entries[i]->epoch <= INT64_MAX;
    }
    return fits ? RESULT_OK
                : result_fail(why, RESULT_INVALID, "what %s tells of its devices' epochs is malformed",
                              mn_cse->name);
}

struct wanted {
    bool found;
    int64_t id;
};

static enum result id_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(struct wanted *)context = (struct wanted){true, row_int(row, 0)};
    return RESULT_OK;
}

/* A device of that site which has a leaf. */
static enum result device_find(struct engine *engine, const struct group *group, const struct member *mn_cse,
                               const char *name, struct wanted *out, struct reason *why)
{
    *out = (struct wanted){.found = false};
    return store_query(engine->store, why, id_read, out,
                       "SELECT m.id FROM member m JOIN leaf l ON l.member_id = m.id AND l.group_id = ?"
                       " WHERE m.name = ? AND m.site = ? AND m.kind = ?",
                       "itti", group->id, name, mn_cse->name, (int64_t)IDENTITY_ADN_AE);
}

/* Since when: the earliest that was told, until it has caught up. */
static enum result behind_store(struct engine *engine, const struct group *group, int64_t member_id,
                                const Entry *entry, struct bytes start, struct reason *why)
{
    uint64_t now_ms = clock_wall_ms(engine->clock);
    uint64_t behind_ms = entry->behind_s < now_ms / 1000u ? entry->behind_s * 1000u : now_ms;
    return store_run(engine->store, why,
                     "INSERT INTO behind (group_id, member_id, epoch, since_ms, start) VALUES (?, ?, ?, ?, ?)"
                     " ON CONFLICT (group_id, member_id) DO UPDATE SET epoch = excluded.epoch,"
                     " since_ms = min(since_ms, excluded.since_ms), start = excluded.start",
                     "iiuub", group->id, member_id, entry->epoch, now_ms - behind_ms, start);
}

static enum result entry_take(struct engine *engine, const struct group *group, const struct member *mn_cse,
                              const Entry *entry, struct bytes start, struct reason *why)
{
    struct wanted device;
    GUARD(device_find(engine, group, mn_cse, entry->name, &device, why));
    if (!device.found) {
        return RESULT_OK;
    }
    if (entry->behind) {
        return behind_store(engine, group, device.id, entry, start, why);
    }
    return store_run(engine->store, why, "DELETE FROM behind WHERE group_id = ? AND member_id = ?", "ii",
                     group->id, device.id);
}

/* All has been told since the MN-CSE's start: what it told before is void. */
static enum result former_forget(struct engine *engine, const struct group *group,
                                 const struct member *mn_cse, struct bytes start, struct reason *why)
{
    return store_run(engine->store, why,
                     "DELETE FROM behind WHERE group_id = ? AND start <> ? AND"
                     " (SELECT site FROM member WHERE id = member_id) = ?",
                     "ibt", group->id, start, mn_cse->name);
}

enum result holding_take(struct engine *engine, const struct member *mn_cse, const Holdings *holdings,
                         struct reason *why)
{
    const struct group *group = groups_find_instance(&engine->groups, arena_view(holdings->instance));
    struct bytes start = arena_view(holdings->start);
    struct leaf leaf;
    bool relays = false;
    GUARD(holdings_check(mn_cse, holdings, why));
    if (group != NULL) {
        GUARD(leaf_load(engine->store, group, mn_cse->id, &leaf, &relays, why));
    }
    if (group == NULL || !relays || strcmp(group->name, holdings->group) != 0) {
        return result_fail(why, RESULT_UNKNOWN, "%s tells of group %.64s, which it does not relay",
                           mn_cse->name, holdings->group);
    }
    if (holdings->incarnation != group->incarnation || holdings->epoch > group->epoch) {
        return RESULT_OK; /* of a former life */
    }
    for (size_t i = 0; i < holdings->n_entries; i++) {
        GUARD(entry_take(engine, group, mn_cse, holdings->entries[i], start, why));
    }
    if (holdings->last) {
        GUARD(former_forget(engine, group, mn_cse, start, why));
    }
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO site_holding (group_id, site, epoch, devices, behind, told_ms)"
                     " VALUES (?, ?, ?, ?, ?, ?)",
                     "ituuuu", group->id, mn_cse->name, holdings->epoch, (uint64_t)holdings->devices,
                     (uint64_t)holdings->behind, clock_wall_ms(engine->clock));
}

enum result holding_departed(struct engine *engine, const struct group *group, const char *name,
                             struct reason *why)
{
    GUARD(store_run(engine->store, why, "DELETE FROM site_holding WHERE group_id = ? AND site = ?", "it",
                    group->id, name));
    return store_run(engine->store, why,
                     "DELETE FROM behind WHERE group_id = ? AND member_id IN"
                     " (SELECT id FROM member WHERE name = ?) AND NOT EXISTS"
                     " (SELECT 1 FROM leaf l WHERE l.group_id = behind.group_id"
                     " AND l.member_id = behind.member_id)",
                     "it", group->id, name);
}

/* ---- out ---- */

struct sites {
    struct arena *arena;
    Groupseal__Secenv__GroupDetail *detail;
};

static enum result site_read(void *context, const struct store_row *row, struct reason *why)
{
    const struct sites *sites = context;
    Groupseal__Secenv__SiteHolding *site = arena_alloc(sites->arena, sizeof(*site));
    if (site == NULL || sites->detail->n_holdings == GROUP_SITES_LIMIT) {
        return result_fail(why, RESULT_INTERNAL, "no room for what sites hold");
    }
    groupseal__secenv__site_holding__init(site);
    site->site = arena_text(sites->arena, row_text(row, 0));
    site->epoch = row_u64(row, 1);
    site->devices = (uint32_t)row_int(row, 2);
    site->behind = (uint32_t)row_int(row, 3);
    site->told_ms = row_u64(row, 4);
    sites->detail->holdings[sites->detail->n_holdings++] = site;
    return site->site != NULL ? RESULT_OK : RESULT_INTERNAL;
}

enum result holding_sites(struct engine *engine, const struct group *group, struct arena *arena,
                          Groupseal__Secenv__GroupDetail *detail, struct reason *why)
{
    struct sites sites = {arena, detail};
    detail->holdings = arena_alloc(arena, GROUP_SITES_LIMIT * sizeof(*detail->holdings));
    if (detail->holdings == NULL) {
        return RESULT_INTERNAL;
    }
    return store_query(engine->store, why, site_read, &sites,
                       "SELECT h.site, h.epoch, h.devices, h.behind, h.told_ms FROM site_holding h"
                       " JOIN group_site s ON s.group_id = h.group_id AND s.site = h.site"
                       " WHERE h.group_id = ? ORDER BY h.site",
                       "i", group->id);
}

static enum result member_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    Groupseal__Secenv__GroupMemberRow *out = context;
    out->behind = true;
    out->held_epoch = row_u64(row, 0);
    out->behind_ms = row_u64(row, 1);
    return RESULT_OK;
}

enum result holding_member(struct engine *engine, const struct group *group, int64_t member_id,
                           Groupseal__Secenv__GroupMemberRow *row, struct reason *why)
{
    return store_query(engine->store, why, member_read, row,
                       "SELECT epoch, since_ms FROM behind WHERE group_id = ? AND member_id = ?", "ii",
                       group->id, member_id);
}
