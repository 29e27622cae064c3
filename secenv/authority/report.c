/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/report.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"

#include <stdio.h>
#include <string.h>

#define PAGES_LIMIT 63u /* bits of pages_seen */
#define ROWS_LIMIT 256u /* of a page to an operator */
#define PAGE_BYTES 49152u
#define REFUSED_LIMIT 2048u

typedef Groupseal__Secenv__OrderReport OrderReport;
typedef Groupseal__Secenv__OrderRow OrderRow;

/* ---- completion ---- */

static enum result found_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(bool *)context = row_int(row, 0) != 0;
    return RESULT_OK;
}

/* Every site has said its last word, or every target has answered for good (done, failed, refused, unknown).
 */
static enum result command_complete(struct engine *engine, struct bytes id, struct reason *why)
{
    return store_run(
        engine->store, why,
        "UPDATE command SET complete = 1 WHERE id = ? AND ("
        " NOT EXISTS (SELECT 1 FROM command_site s WHERE s.command_id = command.id AND s.complete = 0)"
        " OR NOT EXISTS (SELECT 1 FROM command_row r WHERE r.command_id = command.id"
        "   AND r.outcome < 2))",
        "b", id);
}

/* ---- out ---- */

struct listing {
    struct arena *arena;
    OrderRow **rows;
    size_t count;
    size_t capacity;
};

static enum result report_full(struct reason *why)
{
    return result_fail(why, RESULT_INTERNAL, "no memory for an order's report");
}

static enum result row_read(void *context, const struct store_row *row, struct reason *why)
{
    struct listing *listing = context;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? ROWS_LIMIT : 2 * listing->capacity;
        OrderRow **rows = arena_alloc(listing->arena, capacity * sizeof(*rows));
        if (rows == NULL) {
            return report_full(why);
        }
        if (listing->count != 0) {
            memcpy(rows, listing->rows, listing->count * sizeof(*rows));
        }
        listing->rows = rows;
        listing->capacity = capacity;
    }
    OrderRow *out = arena_alloc(listing->arena, sizeof(*out));
    if (out == NULL) {
        return report_full(why);
    }
    groupseal__secenv__order_row__init(out);
    out->name = arena_text(listing->arena, row_text(row, 0));
    out->outcome = (Groupseal__Secenv__Outcome)row_int(row, 1);
    out->detail = arena_text(listing->arena, row_text(row, 2));
    out->late = row_int(row, 3) != 0;
    out->site = arena_text(listing->arena, row_text(row, 4));
    if (out->name == NULL || out->detail == NULL || out->site == NULL) {
        return report_full(why);
    }
    listing->rows[listing->count++] = out;
    return RESULT_OK;
}

/* "//sp/mn-1: why; //sp/mn-2: why" */
static enum result refused_read(void *context, const struct store_row *row, struct reason *why)
{
    char *text = context;
    size_t length = strlen(text);
    (void)why;
    (void)snprintf(text + length, REFUSED_LIMIT - length, "%s%s: %s", length == 0 ? "" : "; ",
                   row_text(row, 0), row_text(row, 1));
    return RESULT_OK;
}

struct command_head {
    struct arena *arena;
    char *group;
    bool complete;
};

static enum result head_read(void *context, const struct store_row *row, struct reason *why)
{
    struct command_head *head = context;
    head->group = arena_text(head->arena, row_text(row, 0));
    head->complete = row_int(row, 1) != 0;
    return head->group != NULL ? RESULT_OK : report_full(why);
}

/* All rows in one report, not cut into pages yet. */
static enum result report_load(struct engine *engine, struct bytes id, struct arena *arena, OrderReport *out,
                               struct reason *why)
{
    struct command_head head = {.arena = arena};
    struct listing listing = {.arena = arena};
    groupseal__secenv__order_report__init(out);
    GUARD(store_query(engine->store, why, head_read, &head,
                      "SELECT group_name, complete FROM command WHERE id = ?", "b", id));
    if (head.group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "this order is not known (they are kept for 24 hours)");
    }
    char *refused = arena_alloc(arena, REFUSED_LIMIT);
    uint8_t *copy = arena_copy(arena, id);
    if (refused == NULL || copy == NULL) {
        return report_full(why);
    }
    GUARD(store_query(
        engine->store, why, row_read, &listing,
        "SELECT name, outcome, detail, late, site FROM command_row WHERE command_id = ? ORDER BY name", "b",
        id));
    GUARD(store_query(engine->store, why, refused_read, refused,
                      "SELECT site, refused FROM command_site WHERE command_id = ? AND refused <> ''"
                      " ORDER BY site",
                      "b", id));
    out->command_id = (ProtobufCBinaryData){.len = COMMAND_ID_SIZE, .data = copy};
    out->group = head.group;
    out->complete = head.complete;
    out->refused = refused;
    out->rows = listing.rows;
    out->n_rows = listing.count;
    return RESULT_OK;
}

/* How many rows from `first` fit one page. */
static size_t page_length(const OrderReport *report, size_t first)
{
    size_t bytes = 0;
    size_t count = 0;
    while (first + count < report->n_rows && count < ROWS_LIMIT) {
        bytes += protobuf_c_message_get_packed_size(&report->rows[first + count]->base) + 4;
        if (count > 0 && bytes > PAGE_BYTES) {
            break;
        }
        count++;
    }
    return count;
}

static uint32_t page_count(const OrderReport *report)
{
    uint32_t pages = 0;
    size_t first = 0;
    do {
        first += page_length(report, first);
        pages++;
    } while (first < report->n_rows);
    return pages;
}

static enum result pages_emit(struct engine *engine, uint64_t connection, const OrderReport *report)
{
    uint32_t pages = page_count(report);
    size_t first = 0;
    for (uint32_t page = 0; page < pages; page++) {
        OrderReport part = *report;
        Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
        part.rows = report->rows + first;
        part.n_rows = page_length(report, first);
        part.page = page;
        part.pages = pages;
        event.identity = engine->identity.name;
        event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_REPORT;
        event.report = &part;
        GUARD(engine->events.emit(engine->events.context, connection, &event));
        first += part.n_rows;
    }
    return RESULT_OK;
}

enum result report_changed(struct engine *engine, struct bytes command_id, struct arena *arena,
                           struct reason *why)
{
    OrderReport report;
    GUARD(command_complete(engine, command_id, why));
    GUARD(report_load(engine, command_id, arena, &report, why));
    for (size_t i = 0; i < WATCHES_LIMIT; i++) {
        struct watch *watch = &engine->watches.items[i];
        if (watch->connection != 0 && bytes_equal(BYTES_OF(watch->command_id), command_id)) {
            GUARD(pages_emit(engine, watch->connection, &report));
            watch->connection = report.complete ? 0 : watch->connection;
        }
    }
    return RESULT_OK;
}

enum result order_show(struct engine *engine, const Groupseal__Secenv__OrderShow *request,
                       struct arena *arena, OrderReport **out, struct reason *why)
{
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL) {
        return report_full(why);
    }
    if (request->command_id.len != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_INVALID, "an order's id has %u bytes", COMMAND_ID_SIZE);
    }
    GUARD(report_load(engine, arena_view(request->command_id), arena, *out, why));
    (*out)->pages = page_count(*out);
    (*out)->page = request->page;
    if ((*out)->page >= (*out)->pages) {
        return result_fail(why, RESULT_INVALID, "this order's report has %u pages", (*out)->pages);
    }
    size_t first = 0;
    for (uint32_t page = 0; page < (*out)->page; page++) {
        first += page_length(*out, first);
    }
    (*out)->n_rows = page_length(*out, first);
    (*out)->rows += first;
    return RESULT_OK;
}

/* ---- in ---- */

struct site_state {
    bool found;
    bool complete;
    uint64_t revision;
    uint64_t pages_seen;
};

static enum result site_state_read(void *context, const struct store_row *row, struct reason *why)
{
    struct site_state *state = context;
    (void)why;
    state->found = true;
    state->complete = row_int(row, 0) != 0;
    state->revision = row_u64(row, 1);
    state->pages_seen = row_u64(row, 2);
    return RESULT_OK;
}

static enum result site_state_load(struct engine *engine, struct bytes command_id,
                                   const struct member *mn_cse, struct bytes instance, struct site_state *out,
                                   struct reason *why)
{
    *out = (struct site_state){.found = false};
    GUARD(store_query(engine->store, why, site_state_read, out,
                      "SELECT s.complete, s.revision, s.pages_seen FROM command_site s"
                      " JOIN command c ON c.id = s.command_id JOIN key_group g ON g.id = c.group_id"
                      " WHERE s.command_id = ? AND s.site = ? AND g.instance = ?",
                      "btb", command_id, mn_cse->name, instance));
    return out->found ? RESULT_OK
                      : result_fail(why, RESULT_UNKNOWN, "%s reports of an order that it was not sent",
                                    mn_cse->name);
}

static enum result entry_check(struct engine *engine, const struct member *mn_cse,
                               const Groupseal__Envelope__ReportEntry *entry, struct reason *why)
{
    bool own = false;
    if (!object_name_valid(entry->name) || strlen(entry->detail) > DETAIL_LIMIT ||
        (unsigned)entry->outcome > GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN) {
        return result_fail(why, RESULT_INVALID, "a row of a report of %s is malformed", mn_cse->name);
    }
    GUARD(store_query(engine->store, why, found_read, &own,
                      "SELECT EXISTS (SELECT 1 FROM member WHERE name = ? AND site = ? AND kind = 1)", "tt",
                      entry->name, mn_cse->name));
    return own ? RESULT_OK
               : result_fail(why, RESULT_REFUSED, "%s reports of %s, which is not a device of its site",
                             mn_cse->name, entry->name);
}

static enum result report_check(struct engine *engine, const struct member *mn_cse,
                                const Groupseal__Envelope__Report *report, struct reason *why)
{
    if (mn_cse->kind != IDENTITY_MN_CSE) {
        return result_fail(why, RESULT_REFUSED, "%s sends a report, but is no MN-CSE", mn_cse->name);
    }
    if (report->command_id.len != COMMAND_ID_SIZE || report->n_entries > PAGE_ENTRIES_LIMIT ||
        report->pages > PAGES_LIMIT || report->page >= report->pages ||
        strlen(report->refused) > DETAIL_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a report of %s is malformed", mn_cse->name);
    }
    for (size_t i = 0; i < report->n_entries; i++) {
        GUARD(entry_check(engine, mn_cse, report->entries[i], why));
    }
    return RESULT_OK;
}

static enum result entries_store(struct engine *engine, const struct member *mn_cse,
                                 const Groupseal__Envelope__Report *report, struct reason *why)
{
    for (size_t i = 0; i < report->n_entries; i++) {
        const Groupseal__Envelope__ReportEntry *entry = report->entries[i];
        GUARD(store_run(engine->store, why,
                        "INSERT OR REPLACE INTO command_row (command_id, name, site, outcome, detail, late)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        "bttiti", arena_view(report->command_id), entry->name, mn_cse->name,
                        (int64_t)entry->outcome, entry->detail, (int64_t)entry->late));
    }
    return RESULT_OK;
}

/* A site is complete with the last page of a revision that says so, or when it did not send the command. */
static enum result site_state_store(struct engine *engine, const struct member *mn_cse,
                                    const Groupseal__Envelope__Report *report, struct site_state *state,
                                    struct reason *why)
{
    if (report->revision > state->revision) {
        state->revision = report->revision;
        state->pages_seen = 0;
    }
    state->pages_seen |= 1ull << report->page;
    bool whole = state->pages_seen == (1ull << report->pages) - 1;
    bool complete = (report->complete && whole) || report->refused[0] != '\0';
    return store_run(
        engine->store, why,
        "UPDATE command_site SET complete = max(complete, ?), revision = ?, pages_seen = ?, refused = ?"
        " WHERE command_id = ? AND site = ?",
        "iuutbt", (int64_t)complete, state->revision, state->pages_seen, report->refused,
        arena_view(report->command_id), mn_cse->name);
}

enum result report_take(struct engine *engine, const struct member *mn_cse,
                        const Groupseal__Envelope__Report *report, struct arena *arena, struct reason *why)
{
    struct site_state state;
    GUARD(report_check(engine, mn_cse, report, why));
    GUARD(site_state_load(engine, arena_view(report->command_id), mn_cse, arena_view(report->instance),
                          &state, why));
    if (report->revision < state.revision) {
        return RESULT_OK; /* overtaken */
    }
    GUARD(entries_store(engine, mn_cse, report, why));
    GUARD(site_state_store(engine, mn_cse, report, &state, why));
    return report_changed(engine, arena_view(report->command_id), arena, why);
}

enum result order_refused(struct engine *engine, const struct member *mn_cse, const char *command_hex,
                          const char *reason, struct arena *arena, struct reason *why)
{
    uint8_t id[COMMAND_ID_SIZE];
    char text[DETAIL_LIMIT + 1];
    bool known = false;
    if (!hex_read(command_hex, id, sizeof(id))) {
        return RESULT_OK;
    }
    (void)snprintf(text, sizeof(text), "%s", reason[0] != '\0' ? reason : "refused");
    GUARD(store_query(engine->store, why, found_read, &known,
                      "SELECT EXISTS (SELECT 1 FROM command WHERE id = ?)", "b", BYTES_OF(id)));
    if (!known) {
        return RESULT_OK;
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE command_site SET complete = 1, refused = ? WHERE command_id = ? AND site = ?",
                    "tbt", text, BYTES_OF(id), mn_cse->name));
    return report_changed(engine, BYTES_OF(id), arena, why);
}
