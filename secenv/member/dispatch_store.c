/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/dispatch_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/member/packed.h"

#define LATER "-1" /* outcome of one who was not asked, in the roster though it is */

const char dispatch_schema[] =
    "CREATE TABLE IF NOT EXISTS dispatch ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, id BLOB NOT NULL, everyone INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, seal_expires_ms INTEGER NOT NULL, sealed_ms INTEGER NOT NULL,"
    " revision INTEGER NOT NULL, complete INTEGER NOT NULL, request BLOB NOT NULL," /* sealed */
    " site TEXT NOT NULL,"                                                          /* the relay's own */
    " everyone_serial INTEGER NOT NULL," /* 0: who is asked has a row; else the roster's highest, then */
    " PRIMARY KEY (identity, grp, id)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS dispatch_target ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, id BLOB NOT NULL, name TEXT NOT NULL,"
    " outcome INTEGER NOT NULL, detail TEXT NOT NULL, late INTEGER NOT NULL,"
    " PRIMARY KEY (identity, grp, id, name)) WITHOUT ROWID;"
    /* Of a command for everybody: who leaves the roster, or changes in it, has a row from then on, and so has
     * who comes into it with an older serial (LATER: was not asked). Everybody else is asked who has no row
     * and is at the site in the roster, with no newer serial. */
    "CREATE TRIGGER IF NOT EXISTS dispatch_member_goes BEFORE DELETE ON roster_member BEGIN"
    " INSERT INTO dispatch_target (identity, grp, id, name, outcome, detail, late)"
    "  SELECT d.identity, d.grp, d.id, OLD.name, 0, '', 0 FROM dispatch d"
    "  WHERE d.identity = OLD.identity AND d.grp = OLD.grp AND d.everyone_serial >= OLD.serial"
    "  AND d.site = OLD.site AND OLD.name <> OLD.identity AND NOT EXISTS (SELECT 1 FROM dispatch_target t"
    "   WHERE t.identity = d.identity AND t.grp = d.grp AND t.id = d.id AND t.name = OLD.name);"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS dispatch_member_changes BEFORE UPDATE ON roster_member BEGIN"
    " INSERT INTO dispatch_target (identity, grp, id, name, outcome, detail, late)"
    "  SELECT d.identity, d.grp, d.id, OLD.name,"
    "   CASE WHEN d.everyone_serial >= OLD.serial AND d.site = OLD.site THEN 0 ELSE " LATER " END, '', 0"
    "  FROM dispatch d WHERE d.identity = OLD.identity AND d.grp = OLD.grp AND OLD.name <> OLD.identity"
    "  AND ((d.everyone_serial >= OLD.serial AND d.site = OLD.site)"
    "   OR (d.everyone_serial >= NEW.serial AND d.site = NEW.site)) AND NOT EXISTS"
    "   (SELECT 1 FROM dispatch_target t WHERE t.identity = d.identity AND t.grp = d.grp AND t.id = d.id"
    "    AND t.name = OLD.name);"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS dispatch_member_comes BEFORE INSERT ON roster_member WHEN NOT EXISTS"
    "  (SELECT 1 FROM roster_member r WHERE r.identity = NEW.identity AND r.grp = NEW.grp"
    "   AND r.name = NEW.name) BEGIN" /* else it changes */
    " INSERT INTO dispatch_target (identity, grp, id, name, outcome, detail, late)"
    "  SELECT d.identity, d.grp, d.id, NEW.name, " LATER ", '', 0 FROM dispatch d"
    "  WHERE d.identity = NEW.identity AND d.grp = NEW.grp AND d.everyone_serial >= NEW.serial"
    "  AND d.site = NEW.site AND NOT EXISTS (SELECT 1 FROM dispatch_target t"
    "   WHERE t.identity = d.identity AND t.grp = d.grp AND t.id = d.id AND t.name = NEW.name);"
    "END;"
    "CREATE TABLE IF NOT EXISTS dispatch_own (" /* those that this MN-CSE has ordered itself */
    " identity TEXT NOT NULL, grp TEXT NOT NULL, id BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp, id)) WITHOUT ROWID;"
    "CREATE TRIGGER IF NOT EXISTS dispatch_own_gone AFTER DELETE ON dispatch BEGIN"
    " DELETE FROM dispatch_own WHERE identity = OLD.identity AND grp = OLD.grp AND id = OLD.id;"
    "END;";

#define PURPOSE_SIZE 300u

static struct store *store_of(const struct relay *relay)
{
    return relay->membership->identity->engine->setup.store;
}

static const char *owner_of(const struct relay *relay)
{
    return relay->membership->identity->identity.name;
}

static const char *group_of(const struct relay *relay)
{
    return relay->membership->group;
}

static struct bytes id_of(const uint8_t id[COMMAND_ID_SIZE])
{
    return (struct bytes){id, COMMAND_ID_SIZE};
}

static void request_purpose(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                            char out[PURPOSE_SIZE])
{
    int length = snprintf(out, PURPOSE_SIZE, "dispatch/request/%s/%s/", owner_of(relay), group_of(relay));
    for (size_t i = 0; i < COMMAND_ID_SIZE; i++) {
        length += snprintf(out + length, PURPOSE_SIZE - (size_t)length, "%02x", id[i]);
    }
}

/* ---- loading ---- */

static enum result dispatch_row(void *context, const struct store_row *row, struct reason *why)
{
    struct relay *relay = context;
    struct bytes id = row_bytes(row, 0);
    struct dispatch *dispatch = id.length == COMMAND_ID_SIZE ? calloc(1, sizeof(*dispatch)) : NULL;
    if (dispatch == NULL) {
        return result_fail(why, RESULT_STORE, "a stored command of %s cannot be read", group_of(relay));
    }
    memcpy(dispatch->id, id.data, COMMAND_ID_SIZE);
    dispatch->everyone = row_int(row, 1) != 0;
    dispatch->expires_ms = row_u64(row, 2);
    dispatch->seal_expires_ms = row_u64(row, 3);
    dispatch->sealed_ms = row_u64(row, 4);
    dispatch->revision = (uint32_t)row_int(row, 5);
    dispatch->complete = row_int(row, 6) != 0;
    dispatch->own = row_int(row, 7) != 0;
    dispatch->next = relay->dispatches.first;
    relay->dispatches.first = dispatch;
    relay->dispatches.count++;
    return RESULT_OK;
}

static enum result target_row(void *context, const struct store_row *row, struct reason *why)
{
    struct dispatch *dispatch = context;
    struct dispatch_target *target = NULL;
    const struct dispatch_target answer = {.detail = (char *)(uintptr_t)row_text(row, 2),
                                           .outcome = (Groupseal__Envelope__Outcome)row_int(row, 1),
                                           .late = row_int(row, 3) != 0};
    if (dispatch_target_add(&dispatch->targets, row_text(row, 0), &target) != RESULT_OK ||
        dispatch_target_answer(&dispatch->targets, target, &answer) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a command's targets");
    }
    return RESULT_OK;
}

enum result dispatch_store_load(struct relay *relay, struct reason *why)
{
    GUARD(store_query(store_of(relay), why, dispatch_row, relay,
                      "SELECT id, everyone, expires_ms, seal_expires_ms, sealed_ms, revision, complete,"
                      " EXISTS (SELECT 1 FROM dispatch_own o WHERE o.identity = d.identity AND o.grp = d.grp"
                      " AND o.id = d.id) FROM dispatch d WHERE identity = ? AND grp = ?",
                      "tt", owner_of(relay), group_of(relay)));
    for (struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL; dispatch = dispatch->next) {
        GUARD(store_query(store_of(relay), why, target_row, dispatch,
                          "SELECT name, outcome, detail, late FROM dispatch_target"
                          " WHERE identity = ? AND grp = ? AND id = ? AND outcome <> " LATER
                          " UNION ALL SELECT r.name, 0, '', 0 FROM dispatch d JOIN roster_member r"
                          "  ON r.identity = d.identity AND r.grp = d.grp AND r.site = d.site"
                          "  AND r.serial <= d.everyone_serial AND r.name <> d.identity"
                          "  WHERE d.identity = ? AND d.grp = ? AND d.id = ? AND NOT EXISTS"
                          "  (SELECT 1 FROM dispatch_target t WHERE t.identity = d.identity AND t.grp = d.grp"
                          "   AND t.id = d.id AND t.name = r.name) ORDER BY 1",
                          "ttbttb", owner_of(relay), group_of(relay), BYTES_OF(dispatch->id), owner_of(relay),
                          group_of(relay), BYTES_OF(dispatch->id)));
    }
    return RESULT_OK;
}

/* ---- writing ---- */

enum result dispatch_store_drop(const struct relay *relay, struct reason *why)
{
    GUARD(store_run(store_of(relay), why, "DELETE FROM dispatch_target WHERE identity = ? AND grp = ?", "tt",
                    owner_of(relay), group_of(relay)));
    return store_run(store_of(relay), why, "DELETE FROM dispatch WHERE identity = ? AND grp = ?", "tt",
                     owner_of(relay), group_of(relay));
}

static enum result request_store(const struct relay *relay, const struct dispatch *dispatch,
                                 struct bytes packed, struct reason *why)
{
    char purpose[PURPOSE_SIZE];
    request_purpose(relay, dispatch->id, purpose);
    return store_run(store_of(relay), why,
                     "INSERT INTO dispatch (identity, grp, id, everyone, expires_ms, seal_expires_ms,"
                     " sealed_ms, revision, complete, request, site, everyone_serial)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?)",
                     "ttbiuuustu", owner_of(relay), group_of(relay), BYTES_OF(dispatch->id),
                     (int64_t)dispatch->everyone, dispatch->expires_ms, dispatch->seal_expires_ms,
                     dispatch->sealed_ms, purpose, packed, relay->site,
                     dispatch->everyone ? relay->roster.highest_serial : 0);
}

enum result dispatch_store_add(const struct relay *relay, const struct dispatch *dispatch,
                               const Groupseal__Envelope__OrderRequest *request, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&request->base, &packed);
    if (result == RESULT_OK) {
        result = request_store(relay, dispatch, buffer_bytes(&packed), why);
    }
    buffer_clear(&packed);
    if (result == RESULT_OK && dispatch->own) {
        result =
            store_run(store_of(relay), why, "INSERT INTO dispatch_own (identity, grp, id) VALUES (?, ?, ?)",
                      "ttb", owner_of(relay), group_of(relay), BYTES_OF(dispatch->id));
    }
    for (size_t i = 0; result == RESULT_OK && !dispatch->everyone && i < dispatch->targets.count; i++) {
        result = dispatch_store_target(relay, dispatch->id, &dispatch->targets.items[i], why);
    }
    return result;
}

enum result dispatch_store_remove(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                  struct reason *why)
{
    GUARD(store_run(store_of(relay), why,
                    "DELETE FROM dispatch_target WHERE identity = ? AND grp = ? AND id = ?", "ttb",
                    owner_of(relay), group_of(relay), id_of(id)));
    return store_run(store_of(relay), why, "DELETE FROM dispatch WHERE identity = ? AND grp = ? AND id = ?",
                     "ttb", owner_of(relay), group_of(relay), id_of(id));
}

enum result dispatch_store_target(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                  const struct dispatch_target *target, struct reason *why)
{
    return store_run(store_of(relay), why,
                     "INSERT INTO dispatch_target (identity, grp, id, name, outcome, detail, late)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)"
                     " ON CONFLICT (identity, grp, id, name) DO UPDATE SET outcome = excluded.outcome,"
                     " detail = excluded.detail, late = excluded.late",
                     "ttbtiti", owner_of(relay), group_of(relay), id_of(id), target->name,
                     (int64_t)target->outcome, target->detail == NULL ? "" : target->detail,
                     (int64_t)target->late);
}

enum result dispatch_store_reported(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                    uint32_t revision, bool complete, struct reason *why)
{
    return store_run(store_of(relay), why,
                     "UPDATE dispatch SET revision = ?, complete = ?"
                     " WHERE identity = ? AND grp = ? AND id = ?",
                     "uittb", (uint64_t)revision, (int64_t)complete, owner_of(relay), group_of(relay),
                     id_of(id));
}

/* ---- the order ---- */

struct request_read {
    struct arena *arena;
    const char *purpose;
    Groupseal__Envelope__OrderRequest *request;
};

static enum result request_row(void *context, const struct store_row *row, struct reason *why)
{
    struct request_read *read = context;
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = row_unseal(row, 0, read->purpose, &packed, why);
    if (result == RESULT_OK) {
        read->request = groupseal__envelope__order_request__unpack(arena_allocator(read->arena),
                                                                   packed.length, packed.data);
    }
    buffer_clear(&packed);
    return result;
}

enum result dispatch_store_request(const struct relay *relay, const uint8_t id[COMMAND_ID_SIZE],
                                   struct arena *arena, Groupseal__Envelope__OrderRequest **out,
                                   struct reason *why)
{
    char purpose[PURPOSE_SIZE];
    request_purpose(relay, id, purpose);
    struct request_read read = {.arena = arena, .purpose = purpose};
    GUARD(store_query(store_of(relay), why, request_row, &read,
                      "SELECT request FROM dispatch WHERE identity = ? AND grp = ? AND id = ?", "ttb",
                      owner_of(relay), group_of(relay), id_of(id)));
    if (read.request == NULL || read.request->order == NULL) {
        return result_fail(why, RESULT_STORE, "a stored command of %s cannot be read", group_of(relay));
    }
    *out = read.request;
    return RESULT_OK;
}
