/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/report.h"

#include <stdio.h>

#include "secenv/member/dispatch_store.h"
#include "secenv/member/record.h"

#define OWN_SLOT "own"

static void report_slot(const struct dispatch *dispatch, uint32_t page, char *out, size_t size)
{
    int length = snprintf(out, size, "%s ", dispatch->own ? OWN_SLOT : "report");
    for (size_t i = 0; i < COMMAND_ID_SIZE; i++) {
        length += snprintf(out + length, size - (size_t)length, "%02x", dispatch->id[i]);
    }
    (void)snprintf(out + length, size - (size_t)length, " %u", page);
}

/* The rows of one page. */
struct page {
    struct dispatch_target *targets;
    size_t count;
};

static struct page page_of(const struct dispatch *dispatch, uint32_t number)
{
    size_t first = (size_t)number * PAGE_ENTRIES_LIMIT;
    size_t left = first < dispatch->targets.count ? dispatch->targets.count - first : 0;
    return (struct page){.targets = left > 0 ? &dispatch->targets.items[first] : NULL,
                         .count = left < PAGE_ENTRIES_LIMIT ? left : PAGE_ENTRIES_LIMIT};
}

/* One without rows is the only page of a command that nobody here should answer. */
static bool page_is_told(const struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        if (!page->targets[i].told) {
            return false;
        }
    }
    return page->count > 0;
}

static void entry_of(const struct dispatch_target *target, Groupseal__Envelope__ReportEntry *out)
{
    groupseal__envelope__report_entry__init(out);
    out->name = target->name;
    out->outcome = target->outcome;
    out->detail = target->detail == NULL ? (char *)"" : target->detail;
    out->late = target->late;
}

static enum result page_put(const struct relay *relay, const struct dispatch *dispatch,
                            const struct page *page, Groupseal__Envelope__Report *report, struct reason *why)
{
    Groupseal__Envelope__ReportEntry rows[PAGE_ENTRIES_LIMIT];
    Groupseal__Envelope__ReportEntry *entries[PAGE_ENTRIES_LIMIT];
    for (size_t i = 0; i < page->count; i++) {
        entry_of(&page->targets[i], &rows[i]);
        entries[i] = &rows[i];
    }
    report->entries = entries;
    report->n_entries = page->count;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REPORT;
    body.report = report;
    char slot[64];
    report_slot(dispatch, report->page, slot, sizeof(slot));
    GUARD(record_put(relay->membership->identity, slot, &body, why));
    for (size_t i = 0; i < page->count; i++) {
        page->targets[i].told = true;
    }
    return RESULT_OK;
}

/* What the authority has to know of a command that it did not give. */
static enum result own_fill(const struct relay *relay, const struct dispatch *dispatch,
                            Groupseal__Envelope__OwnCommand *out, struct reason *why)
{
    struct arena *arena = relay->membership->identity->engine->scratch;
    Groupseal__Envelope__OrderRequest *request = NULL;
    GUARD(dispatch_store_request(relay, dispatch->id, arena, &request, why));
    out->issued_ms = request->order->issued_ms;
    out->expires_ms = request->order->expires_ms;
    arena_reset(arena);
    return RESULT_OK;
}

static enum result own_trim(const struct relay *relay, struct reason *why)
{
    const struct identity_state *identity = relay->membership->identity;
    return outbox_trim(identity->engine->outbox, identity->identity.name, identity->identity.authority,
                       OWN_SLOT " ", OWN_REPORTS_LIMIT, why);
}

enum result report_put(const struct relay *relay, struct dispatch *dispatch, struct reason *why)
{
    Groupseal__Envelope__Report report = GROUPSEAL__ENVELOPE__REPORT__INIT;
    Groupseal__Envelope__OwnCommand own = GROUPSEAL__ENVELOPE__OWN_COMMAND__INIT;
    report.group = relay->membership->group;
    report.instance = arena_field(BYTES_OF(relay->membership->instance));
    report.command_id = arena_field(BYTES_OF(dispatch->id));
    report.pages = (uint32_t)((dispatch->targets.count + PAGE_ENTRIES_LIMIT - 1) / PAGE_ENTRIES_LIMIT);
    report.pages = report.pages == 0 ? 1 : report.pages;
    report.revision = dispatch->revision;
    report.complete = dispatch->complete;
    if (dispatch->own) {
        GUARD(own_fill(relay, dispatch, &own, why));
        report.own = &own;
    }
    for (report.page = 0; report.page < report.pages; report.page++) {
        struct page page = page_of(dispatch, report.page);
        if (!page_is_told(&page)) {
            GUARD(page_put(relay, dispatch, &page, &report, why));
        }
    }
    return dispatch->own ? own_trim(relay, why) : RESULT_OK;
}
