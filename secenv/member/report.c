/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/report.h"

#include <stdio.h>

#include "secenv/member/record.h"

static void report_slot(const struct dispatch *dispatch, uint32_t page, char *out, size_t size)
{
    int length = snprintf(out, size, "report ");
    for (size_t i = 0; i < COMMAND_ID_SIZE; i++) {
        length += snprintf(out + length, size - (size_t)length, "%02x", dispatch->id[i]);
    }
    (void)snprintf(out + length, size - (size_t)length, " %u", page);
}

static void entry_of(const struct dispatch_target *target, Groupseal__Envelope__ReportEntry *out)
{
    groupseal__envelope__report_entry__init(out);
    out->name = (char *)target->name;
    out->outcome = target->outcome;
    out->detail = (char *)target->detail;
    out->late = target->late;
}

static enum result page_put(const struct relay *relay, const struct dispatch *dispatch,
                            Groupseal__Envelope__Report *report, struct reason *why)
{
    Groupseal__Envelope__ReportEntry rows[PAGE_ENTRIES_LIMIT];
    Groupseal__Envelope__ReportEntry *entries[PAGE_ENTRIES_LIMIT];
    size_t first = (size_t)report->page * PAGE_ENTRIES_LIMIT;
    report->entries = entries;
    report->n_entries = 0;
    for (size_t i = first; i < dispatch->target_count && i < first + PAGE_ENTRIES_LIMIT; i++) {
        entry_of(&dispatch->targets[i], &rows[report->n_entries]);
        entries[report->n_entries] = &rows[report->n_entries];
        report->n_entries++;
    }
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REPORT;
    body.report = report;
    char slot[64];
    report_slot(dispatch, report->page, slot, sizeof(slot));
    return record_put(relay->membership->identity, slot, &body, why);
}

enum result report_put(const struct relay *relay, const struct dispatch *dispatch, struct reason *why)
{
    Groupseal__Envelope__Report report = GROUPSEAL__ENVELOPE__REPORT__INIT;
    report.group = relay->membership->group;
    report.instance = arena_field(BYTES_OF(relay->membership->instance));
    report.command_id = arena_field(BYTES_OF(dispatch->id));
    report.pages = (uint32_t)((dispatch->target_count + PAGE_ENTRIES_LIMIT - 1) / PAGE_ENTRIES_LIMIT);
    report.pages = report.pages == 0 ? 1 : report.pages;
    report.revision = dispatch->revision;
    report.complete = dispatch->complete;
    for (report.page = 0; report.page < report.pages; report.page++) {
        GUARD(page_put(relay, dispatch, &report, why));
    }
    return RESULT_OK;
}
