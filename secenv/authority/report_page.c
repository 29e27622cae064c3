/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/report_page.h"

#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

#define ROWS_LIMIT 128u /* of a page: with the longest names and details it fits a packet */
#define REFUSED_LIMIT 2048u
#define PAGE_ARENA ((size_t)256 * 1024)

typedef Groupseal__Secenv__OrderReport OrderReport;
typedef Groupseal__Secenv__OrderRow OrderRow;

static enum result report_full(struct reason *why)
{
    return result_fail(why, RESULT_INTERNAL, "no memory for an order's report");
}

/* ---- watches ---- */

void watches_add(struct watches *watches, uint64_t connection, struct bytes id)
{
    struct watch *watch = &watches->items[watches->next++ % WATCHES_LIMIT];
    *watch = (struct watch){.connection = connection};
    memcpy(watch->command_id, id.data, COMMAND_ID_SIZE);
}

void watches_forget(struct watches *watches, uint64_t connection)
{
    for (size_t i = 0; i < WATCHES_LIMIT; i++) {
        if (watches->items[i].connection == connection) {
            watches->items[i].connection = 0;
        }
    }
}

void report_page_due(struct engine *engine, struct bytes command_id)
{
    for (size_t i = 0; i < WATCHES_LIMIT; i++) {
        struct watch *watch = &engine->watches.items[i];
        if (watch->connection != 0 && bytes_equal(BYTES_OF(watch->command_id), command_id)) {
            watch->changed = true;
        }
    }
}

/* ---- one page ---- */

struct page {
    struct arena *arena;
    OrderRow *rows[ROWS_LIMIT];
    size_t count;
};

static enum result row_read(void *context, const struct store_row *row, struct reason *why)
{
    struct page *page = context;
    OrderRow *out = arena_alloc(page->arena, sizeof(*out));
    if (out == NULL || page->count == ROWS_LIMIT) {
        return report_full(why);
    }
    groupseal__secenv__order_row__init(out);
    out->name = arena_text(page->arena, row_text(row, 0));
    out->outcome = (Groupseal__Secenv__Outcome)row_int(row, 1);
    out->detail = arena_text(page->arena, row_text(row, 2));
    out->late = row_int(row, 3) != 0;
    out->site = arena_text(page->arena, row_text(row, 4));
    if (out->name == NULL || out->detail == NULL || out->site == NULL) {
        return report_full(why);
    }
    page->rows[page->count++] = out;
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

struct head {
    OrderReport *report;
    struct arena *arena;
};

static enum result head_read(void *context, const struct store_row *row, struct reason *why)
{
    struct head *head = context;
    uint64_t rows = row_u64(row, 2);
    head->report->group = arena_text(head->arena, row_text(row, 0));
    head->report->complete = row_int(row, 1) != 0;
    head->report->issued_ms = row_u64(row, 3);
    head->report->commander = arena_text(head->arena, row_text(row, 4));
    head->report->pages = rows == 0 ? 1 : (uint32_t)((rows + ROWS_LIMIT - 1) / ROWS_LIMIT);
    return head->report->group != NULL && head->report->commander != NULL ? RESULT_OK : report_full(why);
}

/* All but the rows. */
static enum result head_load(struct engine *engine, struct bytes id, struct arena *arena, OrderReport *out,
                             struct reason *why)
{
    struct head head = {out, arena};
    groupseal__secenv__order_report__init(out);
    GUARD(order_list_members(engine, id, why));
    GUARD(store_query(
        engine->store, why, head_read, &head,
        "SELECT group_name, complete, (SELECT count(*) FROM command_row r WHERE r.command_id = c.id), "
        "issued_ms,"
        " (SELECT commander FROM command_own o WHERE o.command_id = c.id) FROM command c WHERE id = ?",
        "b", id));
    if (out->pages == 0) {
        return result_fail(why, RESULT_UNKNOWN, "this order is not known (they are kept for 24 hours)");
    }
    char *refused = arena_alloc(arena, REFUSED_LIMIT);
    uint8_t *copy = arena_copy(arena, id);
    if (refused == NULL || copy == NULL) {
        return report_full(why);
    }
    GUARD(store_query(engine->store, why, refused_read, refused,
                      "SELECT site, refused FROM command_site WHERE command_id = ? AND refused <> ''"
                      " ORDER BY site",
                      "b", id));
    out->command_id = (ProtobufCBinaryData){.len = COMMAND_ID_SIZE, .data = copy};
    out->refused = refused;
    return RESULT_OK;
}

static enum result order_id_check(struct bytes id, struct reason *why)
{
    return id.length == COMMAND_ID_SIZE
               ? RESULT_OK
               : result_fail(why, RESULT_INVALID, "an order's id has %u bytes", COMMAND_ID_SIZE);
}

enum result order_show(struct engine *engine, const Groupseal__Secenv__OrderShow *request,
                       struct arena *arena, OrderReport **out, struct reason *why)
{
    struct page *page = arena_alloc(arena, sizeof(*page));
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL || page == NULL) {
        return report_full(why);
    }
    *page = (struct page){.arena = arena};
    GUARD(order_id_check(arena_view(request->command_id), why));
    GUARD(head_load(engine, arena_view(request->command_id), arena, *out, why));
    if (request->page >= (*out)->pages) {
        return result_fail(why, RESULT_INVALID, "this order's report has %u pages", (*out)->pages);
    }
    GUARD(store_query(engine->store, why, row_read, page,
                      "SELECT name, outcome, detail, late, site FROM command_row WHERE command_id = ?"
                      " ORDER BY name LIMIT ? OFFSET ?",
                      "buu", arena_view(request->command_id), (uint64_t)ROWS_LIMIT,
                      (uint64_t)request->page * ROWS_LIMIT));
    (*out)->page = request->page;
    (*out)->rows = page->rows;
    (*out)->n_rows = page->count;
    return RESULT_OK;
}

/* ---- all, in short ---- */

struct summaries {
    struct arena *arena;
    Groupseal__Secenv__Orders *orders;
};

static enum result summary_read(void *context, const struct store_row *row, struct reason *why)
{
    const struct summaries *summaries = context;
    Groupseal__Secenv__OrderSummary *out = arena_alloc(summaries->arena, sizeof(*out));
    struct bytes id = row_bytes(row, 0);
    if (out == NULL) {
        return report_full(why);
    }
    groupseal__secenv__order_summary__init(out);
    out->command_id.len = id.length;
    out->command_id.data = arena_copy(summaries->arena, id);
    out->group = arena_text(summaries->arena, row_text(row, 1));
    out->issued_ms = row_u64(row, 2);
    out->commander = arena_text(summaries->arena, row_text(row, 3));
    out->complete = row_int(row, 4) != 0;
    out->members = (uint32_t)row_u64(row, 5);
    out->done = (uint32_t)row_u64(row, 6);
    if (out->command_id.data == NULL || out->group == NULL || out->commander == NULL) {
        return report_full(why);
    }
    summaries->orders->orders[summaries->orders->n_orders++] = out;
    return RESULT_OK;
}

/* The ids of orders for everybody that are told of, whose members have no rows yet. */
struct unlisted {
    uint8_t ids[ORDER_LIST_LIMIT][COMMAND_ID_SIZE];
    size_t count;
};

static enum result unlisted_read(void *context, const struct store_row *row, struct reason *why)
{
    struct unlisted *unlisted = context;
    struct bytes id = row_bytes(row, 0);
    if (id.length != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_STORE, "an order's row is damaged");
    }
    memcpy(unlisted->ids[unlisted->count++], id.data, COMMAND_ID_SIZE);
    return RESULT_OK;
}

static enum result unlisted_list(struct engine *engine, struct reason *why)
{
    struct unlisted unlisted = {.count = 0};
    GUARD(store_query(engine->store, why, unlisted_read, &unlisted,
                      "SELECT id FROM (SELECT id, everyone_epoch FROM command"
                      "   ORDER BY issued_ms DESC, id LIMIT ?) WHERE everyone_epoch > 0",
                      "i", (int64_t)ORDER_LIST_LIMIT));
    for (size_t i = 0; i < unlisted.count; i++) {
        GUARD(order_list_members(engine, BYTES_OF(unlisted.ids[i]), why));
    }
    return RESULT_OK;
}

enum result order_list(struct engine *engine, struct arena *arena, Groupseal__Secenv__Orders **out,
                       struct reason *why)
{
    struct summaries summaries = {arena, arena_alloc(arena, sizeof(*summaries.orders))};
    if (summaries.orders == NULL) {
        return report_full(why);
    }
    groupseal__secenv__orders__init(summaries.orders);
    summaries.orders->orders = arena_alloc(arena, ORDER_LIST_LIMIT * sizeof(*summaries.orders->orders));
    if (summaries.orders->orders == NULL) {
        return report_full(why);
    }
    *out = summaries.orders;
    GUARD(unlisted_list(engine, why));
    return store_query(engine->store, why, summary_read, &summaries,
                       "SELECT c.id, c.group_name, c.issued_ms, (SELECT commander FROM command_own o WHERE "
                       "o.command_id = c.id),"
                       " c.complete, (SELECT count(*) FROM command_row r WHERE r.command_id = c.id),"
                       " (SELECT count(*) FROM command_row r WHERE r.command_id = c.id AND r.outcome = 2)"
                       " FROM command c ORDER BY c.issued_ms DESC, c.id LIMIT ?",
                       "i", (int64_t)ORDER_LIST_LIMIT);
}

/* ---- who watches ---- */

static enum result page_emit(struct engine *engine, uint64_t connection, OrderReport *report,
                             const struct page *page)
{
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    report->rows = (OrderRow **)(uintptr_t)page->rows;
    report->n_rows = page->count;
    event.identity = engine->identity.name;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_REPORT;
    event.report = report;
    return engine->events.emit(engine->events.context, connection, &event);
}

static enum result pages_emit(struct engine *engine, const struct watch *watch, OrderReport *report,
                              struct reason *why)
{
    struct bytes id = BYTES_OF(watch->command_id);
    char after[NAME_LIMIT + 1] = "";
    struct arena *arena = arena_new(PAGE_ARENA);
    enum result result = arena != NULL ? RESULT_OK : report_full(why);
    for (report->page = 0; result == RESULT_OK && report->page < report->pages; report->page++) {
        struct page page = {.arena = arena};
        result = store_query(engine->store, why, row_read, &page,
                             "SELECT name, outcome, detail, late, site FROM command_row"
                             " WHERE command_id = ? AND name > ? ORDER BY name LIMIT ?",
                             "btu", id, after, (uint64_t)ROWS_LIMIT);
        if (result == RESULT_OK) {
            result = page_emit(engine, watch->connection, report, &page);
        }
        if (result == RESULT_OK && page.count > 0) {
            (void)snprintf(after, sizeof(after), "%s", page.rows[page.count - 1]->name);
        }
        arena_reset(arena);
    }
    arena_free(arena);
    return result;
}

/* Or says when. */
static enum result watch_tell(struct engine *engine, struct watch *watch, uint64_t *next, struct reason *why)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    uint64_t due_us = watch->told_us == 0 ? 0 : watch->told_us + REPORT_TOLD_US;
    OrderReport report;
    GUARD(head_load(engine, BYTES_OF(watch->command_id), engine->scratch, &report, why));
    if (report.pages > 1 && !report.complete && due_us > now_us) {
        *next = due_us < *next ? due_us : *next;
        return RESULT_OK;
    }
    GUARD(pages_emit(engine, watch, &report, why));
    watch->changed = false;
    watch->told_us = now_us;
    watch->connection = report.complete ? 0 : watch->connection;
    return RESULT_OK;
}

enum result report_page_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    for (size_t i = 0; i < WATCHES_LIMIT; i++) {
        struct watch *watch = &engine->watches.items[i];
        if (watch->connection == 0 || !watch->changed) {
            continue;
        }
        enum result result = watch_tell(engine, watch, next, why);
        arena_reset(engine->scratch);
        if (result == RESULT_UNKNOWN) { /* forgotten meanwhile */
            watch->connection = 0;
        } else if (result != RESULT_OK) {
            return result;
        }
    }
    return RESULT_OK;
}
