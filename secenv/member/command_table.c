/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/command_table.h"

#include <stdio.h>
#include <string.h>

const char command_schema[] =
    "CREATE TABLE IF NOT EXISTS command ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, instance BLOB NOT NULL, id BLOB NOT NULL,"
    " site TEXT NOT NULL, expires_ms INTEGER NOT NULL, seal_expires_ms INTEGER NOT NULL,"
    " outcome INTEGER NOT NULL, detail TEXT NOT NULL,"
    " PRIMARY KEY (identity, grp, instance, id)) WITHOUT ROWID;";

#define DAY_MS 86400000u

#define OUTCOME_ACCEPTED GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED
#define OUTCOME_UNKNOWN GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN

struct search {
    const struct membership *membership;
    struct command_row *out;
    bool found;
};

/* A site that relays no longer: the first one that does gets the receipt. */
static size_t site_index(const struct membership *membership, const char *site)
{
    for (size_t i = 0; i < membership->site_count; i++) {
        if (strcmp(membership->sites[i].site, site) == 0) {
            return i;
        }
    }
    return 0;
}

static enum result command_read(void *context, const struct store_row *row, struct reason *why)
{
    struct search *search = context;
    struct bytes id = row_bytes(row, 0);
    if (id.length != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_STORE, "a stored command id has a wrong size");
    }
    search->found = true;
    memcpy(search->out->id, id.data, COMMAND_ID_SIZE);
    search->out->site = site_index(search->membership, row_text(row, 1));
    search->out->expires_ms = row_u64(row, 2);
    search->out->seal_expires_ms = row_u64(row, 3);
    search->out->outcome = (Groupseal__Envelope__Outcome)row_int(row, 4);
    (void)snprintf(search->out->detail, sizeof(search->out->detail), "%s", row_text(row, 5));
    return RESULT_OK;
}

enum result command_table_find(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                               struct command_row *out, bool *found, struct reason *why)
{
    struct search search = {membership, out, false};
    enum result result = store_query(membership->identity->engine->setup.store, why, command_read, &search,
                                     "SELECT id, site, expires_ms, seal_expires_ms, outcome, detail"
                                     " FROM command WHERE identity = ? AND grp = ? AND instance = ?"
                                     " AND id = ?",
                                     "ttbb", membership->identity->identity.name, membership->group,
                                     BYTES_OF(membership->instance), (struct bytes){id, COMMAND_ID_SIZE});
    *found = search.found;
    return result;
}

/* ---- adding ---- */

static enum result expired_forget(const struct membership *membership, struct reason *why)
{
    const struct identity_state *identity = membership->identity;
    uint64_t now = engine_now_us(identity->engine);
    struct store *store = identity->engine->setup.store;
    GUARD(store_run(store, why,
                    "DELETE FROM command WHERE identity = ? AND grp = ? AND instance = ? AND expires_ms < ?",
                    "ttbu", identity->identity.name, membership->group, BYTES_OF(membership->instance),
                    identity->authority_time_ms));
    for (size_t i = 0; i < membership->site_count; i++) {
        const struct site_sync *sync = &membership->sites[i];
        uint64_t relay_ms = sync->synchronised ? sync_relay_ms(sync, now) : 0;
        if (relay_ms > DAY_MS) {
            GUARD(store_run(store, why,
                            "DELETE FROM command WHERE identity = ? AND grp = ? AND instance = ?"
                            " AND site = ? AND seal_expires_ms < ?",
                            "ttbtu", identity->identity.name, membership->group,
                            BYTES_OF(membership->instance), sync->site, relay_ms - DAY_MS));
        }
    }
    return RESULT_OK;
}

static enum result room_check(const struct membership *membership, struct reason *why)
{
    uint64_t count = 0;
    GUARD(store_number(membership->identity->engine->setup.store, why, &count,
                       "SELECT count(*) FROM command WHERE identity = ? AND grp = ? AND instance = ?", "ttb",
                       membership->identity->identity.name, membership->group,
                       BYTES_OF(membership->instance)));
    if (count >= COMMAND_TABLE_LIMIT) {
        return result_fail(why, RESULT_FULL, "%u commands of %s are remembered already", COMMAND_TABLE_LIMIT,
                           membership->group);
    }
    return RESULT_OK;
}

enum result command_table_add(const struct membership *membership, const struct command_row *row,
                              struct reason *why)
{
    GUARD(expired_forget(membership, why));
    GUARD(room_check(membership, why));
    return store_run(membership->identity->engine->setup.store, why,
                     "INSERT INTO command (identity, grp, instance, id, site, expires_ms, seal_expires_ms,"
                     " outcome, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "ttbbtuuit", membership->identity->identity.name, membership->group,
                     BYTES_OF(membership->instance), BYTES_OF(row->id), membership->sites[row->site].site,
                     row->expires_ms, row->seal_expires_ms, (int64_t)row->outcome, row->detail);
}

enum result command_table_finish(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                                 Groupseal__Envelope__Outcome outcome, const char *detail, struct reason *why)
{
    return store_run(membership->identity->engine->setup.store, why,
                     "UPDATE command SET outcome = ?, detail = ? WHERE identity = ? AND grp = ?"
                     " AND instance = ? AND id = ?",
                     "itttbb", (int64_t)outcome, detail, membership->identity->identity.name,
                     membership->group, BYTES_OF(membership->instance), (struct bytes){id, COMMAND_ID_SIZE});
}

/* ---- interrupted ---- */

static enum result interrupted_row(void *context, const struct store_row *row, struct reason *why)
{
    struct membership *membership = context;
    struct command_row command = {.site = 0};
    struct search search = {membership, &command, false};
    GUARD(command_read(&search, row, why));
    receipt_schedule(membership, command.site, command.id, NULL);
    return RESULT_OK;
}

enum result command_table_interrupted(struct membership *membership, struct reason *why)
{
    struct store *store = membership->identity->engine->setup.store;
    const char *name = membership->identity->identity.name;
    GUARD(store_query(store, why, interrupted_row, membership,
                      "SELECT id, site, expires_ms, seal_expires_ms, outcome, detail FROM command"
                      " WHERE identity = ? AND grp = ? AND instance = ? AND outcome = ?",
                      "ttbi", name, membership->group, BYTES_OF(membership->instance),
                      (int64_t)OUTCOME_ACCEPTED));
    return store_run(store, why,
                     "UPDATE command SET outcome = ?, detail = 'interrupted: it may have run'"
                     " WHERE identity = ? AND grp = ? AND instance = ? AND outcome = ?",
                     "ittbi", (int64_t)OUTCOME_UNKNOWN, name, membership->group,
                     BYTES_OF(membership->instance), (int64_t)OUTCOME_ACCEPTED);
}

enum result command_table_forget_others(const struct identity_state *identity, const char *group,
                                        struct bytes instance, struct reason *why)
{
    return store_run(identity->engine->setup.store, why,
                     "DELETE FROM command WHERE identity = ? AND grp = ? AND instance <> ?", "ttb",
                     identity->identity.name, group, instance);
}
