/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/order.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"
#include "secenv/authority/report.h"
#include "secenv/authority/report_page.h"

#include <stdio.h>
#include <string.h>

#define VALID_DEFAULT_MS 60000u
#define VALID_LIMIT_MS 86400000u
#define CLOSE_AFTER_MS 10000u /* past expiry: the MN-CSE's last report has had time to come */

const char order_schema[] =
    "CREATE TABLE IF NOT EXISTS command ("
    "  id BLOB PRIMARY KEY,"
    "  group_id INTEGER NOT NULL,"
    "  group_name TEXT NOT NULL,"
    "  issued_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  complete INTEGER NOT NULL DEFAULT 0,"
    "  everyone_epoch INTEGER NOT NULL DEFAULT 0" /* 0: who is asked has a row */
    ") WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS command_open ON command (complete, expires_ms);"
    "CREATE INDEX IF NOT EXISTS command_issued ON command (issued_ms);"
    "CREATE INDEX IF NOT EXISTS command_everyone ON command (group_id, everyone_epoch);"
    "CREATE TABLE IF NOT EXISTS command_site ("
    "  command_id BLOB NOT NULL,"
    "  site TEXT NOT NULL," /* absolute CSE-ID */
    "  complete INTEGER NOT NULL DEFAULT 0,"
    "  revision INTEGER NOT NULL DEFAULT 0,"
    "  refused TEXT NOT NULL DEFAULT '',"
    "  PRIMARY KEY (command_id, site)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS command_page (" /* of a site's report */
    "  command_id BLOB NOT NULL,"
    "  site TEXT NOT NULL,"
    "  page INTEGER NOT NULL,"
    "  revision INTEGER NOT NULL,"
    "  complete INTEGER NOT NULL,"
    "  PRIMARY KEY (command_id, site, page)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS command_row ("
    "  command_id BLOB NOT NULL,"
    "  name TEXT NOT NULL,"
    "  site TEXT NOT NULL,"
    "  outcome INTEGER NOT NULL DEFAULT 0,"
    "  detail TEXT NOT NULL DEFAULT '',"
    "  late INTEGER NOT NULL DEFAULT 0,"
    "  PRIMARY KEY (command_id, name)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS command_own (" /* an MN-CSE's, given by itself */
    "  command_id BLOB PRIMARY KEY,"
    "  commander TEXT NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS command_former (" /* where a member asked was before */
    "  command_id BLOB NOT NULL,"
    "  name TEXT NOT NULL,"
    "  site TEXT NOT NULL,"
    "  PRIMARY KEY (command_id, name, site)"
    ") WITHOUT ROWID;"
    /* A leaf that has ended, or has been made anew, while orders for everybody are kept that were given in
     * its time: in the epochs from `since` to below `until`. */
    "CREATE TABLE IF NOT EXISTS former_leaf ("
    "  group_id INTEGER NOT NULL,"
    "  until INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  since INTEGER NOT NULL,"
    "  site TEXT NOT NULL,"
    "  PRIMARY KEY (group_id, until, name)"
    ") WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS former_leaf_name ON former_leaf (name);"
    "CREATE VIEW IF NOT EXISTS command_expected AS"
    "  SELECT c.id AS command_id, m.name AS name, m.site AS site FROM command c"
    "    JOIN leaf l ON l.group_id = c.group_id AND l.epoch <= c.everyone_epoch"
    "    JOIN member m ON m.id = l.member_id AND m.kind = 1 WHERE c.everyone_epoch > 0"
    "  UNION ALL SELECT c.id, f.name, f.site FROM command c"
    "    JOIN former_leaf f ON f.group_id = c.group_id AND f.until > c.everyone_epoch"
    "      AND f.since <= c.everyone_epoch WHERE c.everyone_epoch > 0;"
    "CREATE TRIGGER IF NOT EXISTS leaf_ends BEFORE DELETE ON leaf WHEN EXISTS"
    "  (SELECT 1 FROM command WHERE group_id = OLD.group_id AND everyone_epoch >= OLD.epoch) BEGIN"
    "  INSERT INTO former_leaf (group_id, until, name, since, site) SELECT OLD.group_id,"
    "    (SELECT max(everyone_epoch) + 1 FROM command WHERE group_id = OLD.group_id), name, OLD.epoch, site"
    "    FROM member WHERE id = OLD.member_id AND kind = 1;"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS leaf_is_made_anew BEFORE INSERT ON leaf WHEN EXISTS"
    "  (SELECT 1 FROM command WHERE group_id = NEW.group_id AND everyone_epoch > 0) BEGIN"
    "  INSERT INTO former_leaf (group_id, until, name, since, site) SELECT l.group_id,"
    "    (SELECT max(everyone_epoch) + 1 FROM command WHERE group_id = l.group_id), m.name, l.epoch, m.site"
    "    FROM leaf l JOIN member m ON m.id = l.member_id AND m.kind = 1"
    "    WHERE l.group_id = NEW.group_id AND l.member_id = NEW.member_id AND l.epoch <="
    "    (SELECT max(everyone_epoch) FROM command WHERE group_id = l.group_id);"
    "END;"
    /* While it is open: for a site that one of those asked moves to. */
    "CREATE TABLE IF NOT EXISTS command_request ("
    "  command_id BLOB PRIMARY KEY,"
    "  request BLOB NOT NULL" /* OrderRequest, sealed */
    ") WITHOUT ROWID;"
    "CREATE TRIGGER IF NOT EXISTS command_forgotten AFTER DELETE ON command BEGIN"
    "  DELETE FROM command_site WHERE command_id = OLD.id;"
    "  DELETE FROM command_row WHERE command_id = OLD.id;"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS command_pages_forgotten AFTER DELETE ON command BEGIN"
    "  DELETE FROM command_page WHERE command_id = OLD.id;"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS command_moves_forgotten AFTER DELETE ON command BEGIN"
    "  DELETE FROM command_own WHERE command_id = OLD.id;"
    "  DELETE FROM command_former WHERE command_id = OLD.id;"
    "  DELETE FROM command_request WHERE command_id = OLD.id;"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS former_leaves_forgotten AFTER DELETE ON command BEGIN"
    "  DELETE FROM former_leaf WHERE group_id = OLD.group_id AND until <= ifnull((SELECT min(everyone_epoch)"
    "    FROM command WHERE group_id = OLD.group_id AND everyone_epoch > 0), until);"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS command_listed AFTER UPDATE OF everyone_epoch ON command BEGIN"
    "  DELETE FROM former_leaf WHERE group_id = OLD.group_id AND until <= ifnull((SELECT min(everyone_epoch)"
    "    FROM command WHERE group_id = OLD.group_id AND everyone_epoch > 0), until);"
    "END;"
    "CREATE TRIGGER IF NOT EXISTS command_closed AFTER UPDATE OF complete ON command"
    "  WHEN NEW.complete <> 0 BEGIN"
    "  DELETE FROM command_request WHERE command_id = NEW.id;"
    "END;";

/* ---- room ---- */

static enum result orders_count(struct engine *engine, uint64_t *out, struct reason *why)
{
    *out = 0;
    return store_number(engine->store, why, out,
                        "SELECT count(*) FROM command WHERE id NOT IN (SELECT command_id FROM command_own)",
                        "");
}

/* Commands of more than a day ago go; then, if need be, the oldest that is complete. Those that an MN-CSE has
 * given are own_command.c's. */
static enum result room_make(struct engine *engine, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    uint64_t since_ms = wall_ms > ORDER_KEPT_MS ? wall_ms - ORDER_KEPT_MS : 0;
    uint64_t left = 0;
    GUARD(store_run(engine->store, why,
                    "DELETE FROM command WHERE issued_ms < ? AND complete <> 0"
                    " AND id NOT IN (SELECT command_id FROM command_own)",
                    "u", since_ms));
    GUARD(orders_count(engine, &left, why));
    if (left >= ORDERS_LIMIT) {
        GUARD(store_run(engine->store, why,
                        "DELETE FROM command WHERE id ="
                        " (SELECT id FROM command WHERE complete <> 0 AND id NOT IN"
                        "   (SELECT command_id FROM command_own) ORDER BY issued_ms LIMIT 1)",
                        ""));
        GUARD(orders_count(engine, &left, why));
    }
    return left < ORDERS_LIMIT ? RESULT_OK
                               : result_fail(why, RESULT_FULL, "%u orders are under way", ORDERS_LIMIT);
}

/* ---- send ---- */

/* Whom the order is for: all ADN-AEs of the group, or those named, which must be in it. */
static enum result target_store(struct engine *engine, const uint8_t id[COMMAND_ID_SIZE],
                                const struct leaf *leaf, struct reason *why)
{
    struct bytes command = {id, COMMAND_ID_SIZE};
    GUARD(store_run(engine->store, why,
                    "INSERT OR IGNORE INTO command_row (command_id, name, site) VALUES (?, ?, ?)", "btt",
                    command, leaf->name, leaf->site));
    return store_run(engine->store, why,
                     "INSERT OR IGNORE INTO command_site (command_id, site) VALUES (?, ?)", "bt", command,
                     leaf->site);
}

/* The sites at which there is one. Nothing for each of them: the sealed command waits for this transaction.
 */
static enum result everyone_store(struct engine *engine, const struct group *group,
                                  const uint8_t id[COMMAND_ID_SIZE], struct reason *why)
{
    return store_run(
        engine->store, why,
        "INSERT INTO command_site (command_id, site) SELECT ?, g.site FROM group_site g"
        " WHERE g.group_id = ? AND EXISTS (SELECT 1 FROM leaf l JOIN member m ON m.id = l.member_id"
        "   WHERE l.group_id = g.group_id AND m.site = g.site AND m.kind = ?)",
        "bii", (struct bytes){id, COMMAND_ID_SIZE}, group->id, (int64_t)IDENTITY_ADN_AE);
}

static enum result targets_store(struct engine *engine, const struct group *group,
                                 const Groupseal__Secenv__OrderSend *request,
                                 const uint8_t id[COMMAND_ID_SIZE], struct reason *why)
{
    struct bytes command = {id, COMMAND_ID_SIZE};
    bool any = false;
    for (size_t i = 0; i < request->n_targets; i++) {
        struct leaf leaf;
        bool found = false;
        GUARD(leaf_load_named(engine->store, group, request->targets[i], &leaf, &found, why));
        if (!found || leaf.kind != IDENTITY_ADN_AE) {
            return result_fail(why, RESULT_UNKNOWN, "%.128s is not a device in group %s", request->targets[i],
                               group->name);
        }
        GUARD(target_store(engine, id, &leaf, why));
    }
    if (request->n_targets == 0) {
        GUARD(everyone_store(engine, group, id, why));
    }
    GUARD(store_find(engine->store, why, &any, "SELECT 1 FROM command_site WHERE command_id = ? LIMIT 1", "b",
                     command));
    return any ? RESULT_OK
               : result_fail(why, RESULT_NOT_READY, "group %s has no device with a key yet", group->name);
}

/* The commander's name is left out where the policy has one only, to keep commands small. */
static enum result order_make(struct engine *engine, const struct group *group,
                              const Groupseal__Secenv__OrderSend *request, uint8_t id[COMMAND_ID_SIZE],
                              uint8_t signature[SIGNATURE_SIZE], Groupseal__Envelope__Order *order)
{
    uint64_t valid_ms = request->valid_ms != 0 ? request->valid_ms : VALID_DEFAULT_MS;
    GUARD(random_bytes(id, COMMAND_ID_SIZE));
    groupseal__envelope__order__init(order);
    order->command_id = (ProtobufCBinaryData){.len = COMMAND_ID_SIZE, .data = id};
    order->issued_ms = clock_wall_ms(engine->clock);
    order->expires_ms = order->issued_ms + valid_ms;
    order->targets = request->targets;
    order->n_targets = request->n_targets;
    if (!group->authority_only) {
        order->commander = engine->identity.name;
    }
    return order_sign(order, group->instance, group->incarnation, arena_view(request->body),
                      &engine->keys.commander, signature);
}

struct site_names {
    struct arena *arena;
    char *names[GROUP_SITES_LIMIT];
    size_t count;
};

static enum result site_name_read(void *context, const struct store_row *row, struct reason *why)
{
    struct site_names *sites = context;
    char *name = arena_text(sites->arena, row_text(row, 0));
    if (name == NULL || sites->count == GROUP_SITES_LIMIT) {
        return result_fail(why, RESULT_INTERNAL, "an order goes to too many sites");
    }
    sites->names[sites->count++] = name;
    return RESULT_OK;
}

static enum result order_slot(struct arena *arena, const char *group_name, struct bytes id, char **out)
{
    char *hex = authority_hex(arena, id);
    *out = hex != NULL ? arena_print(arena, "order %s %s", group_name, hex) : NULL;
    return *out != NULL ? RESULT_OK : RESULT_INTERNAL;
}

/* A site that takes nothing must not keep the order from the others: the report says so of it. */
static enum result site_passed_over(struct engine *engine, struct bytes id, const char *site,
                                    const struct reason *full, struct reason *why)
{
    return store_run(engine->store, why,
                     "UPDATE command_site SET complete = 1, refused = ? WHERE command_id = ? AND site = ?",
                     "tbt", full->text, id, site);
}

/* RESULT_FULL where no site has room. */
static enum result order_put_each(struct engine *engine, const struct site_names *sites, const char *slot,
                                  struct bytes id, Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    struct reason full = {""};
    size_t put = 0;
    for (size_t i = 0; i < sites->count; i++) {
        enum result result =
            outbox_put(engine->outbox, engine->identity.name, sites->names[i], slot, body, &full);
        if (result == RESULT_FULL) {
            GUARD(site_passed_over(engine, id, sites->names[i], &full, why));
        } else if (result != RESULT_OK) {
            return result_fail(why, result, "%s", full.text);
        } else {
            put++;
        }
    }
    return put > 0 ? RESULT_OK : result_fail(why, RESULT_FULL, "%s", full.text);
}

struct request_purpose {
    char text[24 + 2 * COMMAND_ID_SIZE];
};

static struct request_purpose request_purpose(struct bytes id)
{
    struct request_purpose purpose = {"command/request/"};
    hex_write(id, purpose.text + strlen(purpose.text));
    return purpose;
}

static enum result request_store(struct engine *engine, const Groupseal__Envelope__OrderRequest *request,
                                 struct arena *arena, struct reason *why)
{
    struct bytes id = arena_view(request->order->command_id);
    struct request_purpose purpose = request_purpose(id);
    size_t size = groupseal__envelope__order_request__get_packed_size(request);
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an order");
    }
    struct bytes view = {packed, groupseal__envelope__order_request__pack(request, packed)};
    return store_run(engine->store, why, "INSERT INTO command_request (command_id, request) VALUES (?, ?)",
                     "bs", id, purpose.text, view);
}

static enum result order_put(struct engine *engine, const struct group *group,
                             const Groupseal__Secenv__OrderSend *request, Groupseal__Envelope__Order *order,
                             struct arena *arena, struct reason *why)
{
    struct site_names sites = {.arena = arena};
    Groupseal__Envelope__OrderRequest content = GROUPSEAL__ENVELOPE__ORDER_REQUEST__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    char *slot = NULL;
    content.group = (char *)(uintptr_t)group->name;
    content.instance = arena_field(BYTES_OF(group->instance));
    content.incarnation = group->incarnation;
    content.order = order;
    content.body = request->body;
    content.epoch = group->epoch;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER;
    body.order = &content;
    GUARD(request_store(engine, &content, arena, why));
    GUARD(order_slot(arena, group->name, arena_view(order->command_id), &slot));
    GUARD(store_query(engine->store, why, site_name_read, &sites,
                      "SELECT site FROM command_site WHERE command_id = ?", "b",
                      arena_view(order->command_id)));
    return order_put_each(engine, &sites, slot, arena_view(order->command_id), &body, why);
}

static enum result order_check_request(const Groupseal__Secenv__OrderSend *request, struct reason *why)
{
    if (request->body.len > BODY_LIMIT) {
        return result_fail(why, RESULT_INVALID, "an order's body has at most %u bytes", BODY_LIMIT);
    }
    if (request->n_targets > TARGETS_LIMIT) {
        return result_fail(why, RESULT_INVALID, "an order has at most %u targets", TARGETS_LIMIT);
    }
    return request->valid_ms <= VALID_LIMIT_MS
               ? RESULT_OK
               : result_fail(why, RESULT_INVALID, "an order is valid for at most 24 hours");
}

static enum result order_store(struct engine *engine, const struct group *group,
                               const Groupseal__Secenv__OrderSend *request,
                               const Groupseal__Envelope__Order *order, struct reason *why)
{
    GUARD(room_make(engine, why));
    GUARD(targets_store(engine, group, request, order->command_id.data, why));
    return store_run(engine->store, why,
                     "INSERT INTO command (id, group_id, group_name, issued_ms, expires_ms, everyone_epoch)"
                     " VALUES (?, ?, ?, ?, ?, ?)",
                     "bituuu", arena_view(order->command_id), group->id, group->name, order->issued_ms,
                     order->expires_ms, request->n_targets == 0 ? group->epoch : 0);
}

enum result order_send(struct engine *engine, const Groupseal__Secenv__OrderSend *request,
                       uint64_t connection, struct arena *arena, Groupseal__Secenv__OrderSent **out,
                       struct reason *why)
{
    const struct group *group = groups_find(&engine->groups, request->group);
    Groupseal__Envelope__Order order;
    uint8_t id[COMMAND_ID_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->group);
    }
    GUARD(order_check_request(request, why));
    enum result result = order_make(engine, group, request, id, signature, &order);
    if (result != RESULT_OK) {
        return result_fail(why, result, "an order's targets must be absolute ids");
    }
    GUARD(order_store(engine, group, request, &order, why));
    GUARD(order_put(engine, group, request, &order, arena, why));
    *out = arena_alloc(arena, sizeof(**out));
    uint8_t *copy = arena_copy(arena, BYTES_OF(id));
    if (*out == NULL || copy == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__order_sent__init(*out);
    (*out)->command_id = (ProtobufCBinaryData){.len = COMMAND_ID_SIZE, .data = copy};
    watches_add(&engine->watches, connection, BYTES_OF(id));
    audit_count(AUDIT_COMMANDS_ORDERED);
    return RESULT_OK;
}

/* ---- who is asked ---- */

enum result order_list_members(struct engine *engine, struct bytes id, struct reason *why)
{
    GUARD(store_run(engine->store, why,
                    "INSERT OR IGNORE INTO command_row (command_id, name, site)"
                    " SELECT command_id, name, site FROM command_expected WHERE command_id = ?",
                    "b", id));
    return store_run(engine->store, why,
                     "UPDATE command SET everyone_epoch = 0 WHERE id = ? AND everyone_epoch > 0", "b", id);
}

/* Of each order for everybody that asks this member: by the site that it is leaving. */
static enum result mover_list(struct engine *engine, const struct member *member, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR IGNORE INTO command_row (command_id, name, site)"
                     " SELECT command_id, name, ? FROM command_expected WHERE name = ?",
                     "tt", member->site, member->name);
}

/* ---- follow ---- */

struct following {
    struct engine *engine;
    const char *site;
    struct arena *arena;
};

/* Under its id, so that who has run it does not run it again. */
static enum result request_forward(const struct following *following, struct bytes id, struct bytes packed,
                                   struct reason *why)
{
    struct engine *engine = following->engine;
    struct site_names site = {.names = {(char *)(uintptr_t)following->site}, .count = 1};
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    char *slot = NULL;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER;
    body.order = groupseal__envelope__order_request__unpack(arena_allocator(following->arena), packed.length,
                                                            packed.data);
    if (body.order == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an order");
    }
    GUARD(order_slot(following->arena, body.order->group, id, &slot));
    GUARD(store_run(engine->store, why, "INSERT INTO command_site (command_id, site) VALUES (?, ?)", "bt", id,
                    following->site));
    enum result result = order_put_each(engine, &site, slot, id, &body, why);
    return result == RESULT_FULL ? RESULT_OK : result; /* the order's report says so */
}

static enum result request_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct following *following = context;
    struct bytes id = row_bytes(row, 0);
    struct request_purpose purpose;
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    if (id.length != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_STORE, "an order's row is damaged");
    }
    purpose = request_purpose(id);
    enum result result = row_unseal(row, 1, purpose.text, &packed, why);
    if (result == RESULT_OK) {
        result = request_forward(following, id, buffer_bytes(&packed), why);
    }
    buffer_clear(&packed);
    return result;
}

enum result orders_follow(struct engine *engine, const struct member *member, const char *site,
                          struct arena *arena, struct reason *why)
{
    struct following following = {engine, site, arena};
    GUARD(mover_list(engine, member, why));
    GUARD(store_run(engine->store, why,
                    "INSERT OR IGNORE INTO command_former (command_id, name, site)"
                    " SELECT r.command_id, r.name, ? FROM command c"
                    " CROSS JOIN command_row r ON r.command_id = c.id AND r.name = ?", /* by its key */
                    "tt", member->site, member->name));
    return store_query(engine->store, why, request_row, &following,
                       "SELECT c.id, q.request FROM command c JOIN command_request q ON q.command_id = c.id"
                       " JOIN command_row r ON r.command_id = c.id AND r.name = ?"
                       " JOIN group_site g ON g.group_id = c.group_id AND g.site = ?"
                       " WHERE c.complete = 0 AND c.expires_ms > ? AND r.outcome < 2 AND NOT EXISTS"
                       " (SELECT 1 FROM command_site s WHERE s.command_id = c.id AND s.site = g.site)",
                       "ttu", member->name, site, clock_wall_ms(engine->clock));
}

/* ---- close ---- */

struct open_order {
    uint8_t id[COMMAND_ID_SIZE];
    char group[GROUP_NAME_LIMIT + 1];
    uint64_t expires_ms;
    bool found;
};

static enum result oldest_read(void *context, const struct store_row *row, struct reason *why)
{
    struct open_order *oldest = context;
    struct bytes id = row_bytes(row, 0);
    if (id.length != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_STORE, "an order's row is damaged");
    }
    memcpy(oldest->id, id.data, COMMAND_ID_SIZE);
    oldest->expires_ms = row_u64(row, 1);
    (void)snprintf(oldest->group, sizeof(oldest->group), "%s", row_text(row, 2));
    oldest->found = true;
    return RESULT_OK;
}

/* Not every MN-CSE has said its last word: it will not be sent any more. `silent`: what the report says of
 * those that have said nothing. */
static enum result order_close(struct engine *engine, const struct open_order *order, const char *silent,
                               struct arena *arena, struct reason *why)
{
    struct site_names sites = {.arena = arena};
    struct bytes id = BYTES_OF(order->id);
    char *slot = NULL;
    GUARD(order_slot(arena, order->group, id, &slot));
    GUARD(store_query(engine->store, why, site_name_read, &sites,
                      "SELECT site FROM command_site WHERE command_id = ? AND complete = 0", "b", id));
    for (size_t i = 0; i < sites.count; i++) {
        GUARD(outbox_drop_slot(engine->outbox, engine->identity.name, sites.names[i], slot, why));
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE command_site SET complete = 1, refused = CASE WHEN revision = 0 THEN ?"
                    " ELSE refused END WHERE command_id = ? AND complete = 0",
                    "tb", silent, id));
    return report_changed(engine, id, why);
}

enum result orders_end(struct engine *engine, int64_t group_id, const char *because, struct reason *why)
{
    for (;;) {
        struct open_order open = {.found = false};
        GUARD(store_query(engine->store, why, oldest_read, &open,
                          "SELECT id, expires_ms, group_name FROM command WHERE complete = 0 AND group_id = ?"
                          " ORDER BY expires_ms LIMIT 1",
                          "i", group_id));
        if (!open.found) {
            return RESULT_OK;
        }
        GUARD(order_close(engine, &open, because, engine->scratch, why));
        arena_reset(engine->scratch);
    }
}

enum result orders_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    for (;;) {
        struct open_order oldest = {.found = false};
        GUARD(store_query(
            engine->store, why, oldest_read, &oldest,
            "SELECT id, expires_ms, group_name FROM command WHERE complete = 0 ORDER BY expires_ms LIMIT 1",
            ""));
        if (!oldest.found) {
            return RESULT_OK;
        }
        uint64_t close_ms = oldest.expires_ms + CLOSE_AFTER_MS;
        if (close_ms > wall_ms) {
            uint64_t due_us = clock_monotonic_us(engine->clock) + (close_ms - wall_ms) * 1000u;
            *next = due_us < *next ? due_us : *next;
            return RESULT_OK;
        }
        GUARD(order_close(engine, &oldest, "no report before the order expired", engine->scratch, why));
        arena_reset(engine->scratch);
    }
}
