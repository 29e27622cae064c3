/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/report.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"
#include "secenv/authority/own_command.h"
#include "secenv/authority/report_page.h"

#include <stdio.h>
#include <string.h>

#define PAGES_LIMIT 8192u /* of a site: 2^20 members */

/* ---- completion ---- */

/* Every site has said its last word, or every target has answered for good (done, failed, refused, unknown).
 */
static enum result command_complete(struct engine *engine, struct bytes id, struct reason *why)
{
    return store_run(
        engine->store, why,
        "UPDATE command SET complete = 1 WHERE id = ? AND ("
        " NOT EXISTS (SELECT 1 FROM command_site s WHERE s.command_id = command.id AND s.complete = 0)"
        " OR NOT EXISTS (SELECT 1 FROM command_row r WHERE r.command_id = command.id AND r.outcome < 2)"
        "   AND NOT EXISTS (SELECT 1 FROM command_expected e WHERE e.command_id = command.id AND NOT EXISTS"
        "     (SELECT 1 FROM command_row r WHERE r.command_id = e.command_id AND r.name = e.name)))",
        "b", id);
}

enum result report_changed(struct engine *engine, struct bytes command_id, struct reason *why)
{
    GUARD(command_complete(engine, command_id, why));
    report_page_due(engine, command_id);
    return RESULT_OK;
}

/* ---- in ---- */

/* What the newest page of this number said. */
struct page_state {
    bool ordered; /* the site was sent the command */
    uint64_t revision;
};

static enum result page_state_read(void *context, const struct store_row *row, struct reason *why)
{
    struct page_state *state = context;
    (void)why;
    *state = (struct page_state){.ordered = true, .revision = row_u64(row, 0)};
    return RESULT_OK;
}

static enum result page_state_load(struct engine *engine, const struct member *mn_cse,
                                   const Groupseal__Envelope__Report *report, struct page_state *out,
                                   struct reason *why)
{
    *out = (struct page_state){.ordered = false};
    GUARD(store_query(
        engine->store, why, page_state_read, out,
        "SELECT ifnull(p.revision, 0) FROM command_site s"
        " JOIN command c ON c.id = s.command_id JOIN key_group g ON g.id = c.group_id"
        " LEFT JOIN command_page p ON p.command_id = s.command_id AND p.site = s.site AND p.page = ?"
        " WHERE s.command_id = ? AND s.site = ? AND g.instance = ?",
        "ubtb", (uint64_t)report->page, arena_view(report->command_id), mn_cse->name,
        arena_view(report->instance)));
    return out->ordered ? RESULT_OK
                        : result_fail(why, RESULT_UNKNOWN, "%s reports of an order that it was not sent",
                                      mn_cse->name);
}

/* Where the device is now, and whether it was at this site when the order was sent: it may have moved since.
 */
struct entry_place {
    bool here;
    bool was_here;
};

static enum result entry_place_read(void *context, const struct store_row *row, struct reason *why)
{
    struct entry_place *place = context;
    (void)why;
    *place = (struct entry_place){row_int(row, 0) != 0, row_int(row, 1) != 0};
    return RESULT_OK;
}

static enum result entry_place_load(struct engine *engine, const struct member *mn_cse,
                                    struct bytes command_id, const char *name, struct entry_place *out,
                                    struct reason *why)
{
    *out = (struct entry_place){.here = false};
    return store_query(
        engine->store, why, entry_place_read, out,
        "SELECT EXISTS (SELECT 1 FROM member WHERE name = ? AND site = ? AND kind = 1),"
        " EXISTS (SELECT 1 FROM command_former WHERE command_id = ? AND name = ? AND site = ?)",
        "ttbtt", name, mn_cse->name, command_id, name, mn_cse->name);
}

static enum result entry_check(struct engine *engine, const struct member *mn_cse, struct bytes command_id,
                               const Groupseal__Envelope__ReportEntry *entry, struct reason *why)
{
    struct entry_place place;
    if (!object_name_valid(entry->name) || strlen(entry->detail) > DETAIL_LIMIT ||
        (unsigned)entry->outcome > GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN) {
        return result_fail(why, RESULT_INVALID, "a row of a report of %s is malformed", mn_cse->name);
    }
    GUARD(entry_place_load(engine, mn_cse, command_id, entry->name, &place, why));
    return place.here || place.was_here
               ? RESULT_OK
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
        GUARD(entry_check(engine, mn_cse, arena_view(report->command_id), report->entries[i], why));
    }
    return RESULT_OK;
}

/* Of a device that has moved away its former site has no more to say than that it has run. */
static bool entry_counts(const struct entry_place *place, const Groupseal__Envelope__ReportEntry *entry)
{
    bool ran = entry->outcome == GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE ||
               entry->outcome == GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED;
    return place->here || (place->was_here && ran);
}

/* What has run at the former site stays so until the new one has heard it from the device itself. */
static enum result entry_store(struct engine *engine, const struct member *mn_cse, struct bytes command_id,
                               const Groupseal__Envelope__ReportEntry *entry, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT INTO command_row (command_id, name, site, outcome, detail, late)"
                     " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (command_id, name) DO UPDATE SET"
                     " site = excluded.site, outcome = excluded.outcome, detail = excluded.detail,"
                     " late = excluded.late WHERE site = excluded.site OR outcome NOT IN (2, 3)"
                     " OR excluded.outcome IN (2, 3)",
                     "bttiti", command_id, entry->name, mn_cse->name, (int64_t)entry->outcome, entry->detail,
                     (int64_t)entry->late);
}

static enum result entries_store(struct engine *engine, const struct member *mn_cse,
                                 const Groupseal__Envelope__Report *report, struct reason *why)
{
    struct bytes command_id = arena_view(report->command_id);
    for (size_t i = 0; i < report->n_entries; i++) {
        const Groupseal__Envelope__ReportEntry *entry = report->entries[i];
        struct entry_place place;
        GUARD(entry_place_load(engine, mn_cse, command_id, entry->name, &place, why));
        if (entry_counts(&place, entry)) {
            GUARD(entry_store(engine, mn_cse, command_id, entry, why));
        }
    }
    return RESULT_OK;
}

/* Pages come one by one, and only those that have changed. */
static enum result page_state_store(struct engine *engine, const struct member *mn_cse,
                                    const Groupseal__Envelope__Report *report, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO command_page (command_id, site, page, revision, complete)"
                     " VALUES (?, ?, ?, ?, ?)",
                     "btuui", arena_view(report->command_id), mn_cse->name, (uint64_t)report->page,
                     (uint64_t)report->revision, (int64_t)report->complete);
}

/* A site is complete when each of its pages is, or when it did not send the command. */
static enum result site_state_store(struct engine *engine, const struct member *mn_cse,
                                    const Groupseal__Envelope__Report *report, struct reason *why)
{
    return store_run(engine->store, why,
                     "UPDATE command_site SET revision = max(revision, ?), refused = ?,"
                     " complete = max(complete, ?, (SELECT count(*) FROM command_page p"
                     "   WHERE p.command_id = command_site.command_id AND p.site = command_site.site"
                     "   AND p.complete <> 0 AND p.page < ?) = ?)"
                     " WHERE command_id = ? AND site = ?",
                     "utiuubt", (uint64_t)report->revision, report->refused,
                     (int64_t)(report->refused[0] != '\0'), (uint64_t)report->pages, (uint64_t)report->pages,
                     arena_view(report->command_id), mn_cse->name);
}

enum result report_take(struct engine *engine, const struct member *mn_cse,
                        const Groupseal__Envelope__Report *report, struct reason *why)
{
    struct page_state state;
    GUARD(report_check(engine, mn_cse, report, why));
    if (report->own != NULL) {
        GUARD(own_command_note(engine, mn_cse, report, why));
    }
    GUARD(page_state_load(engine, mn_cse, report, &state, why));
    if (report->revision < state.revision) {
        return RESULT_OK; /* overtaken */
    }
    GUARD(entries_store(engine, mn_cse, report, why));
    GUARD(page_state_store(engine, mn_cse, report, why));
    GUARD(site_state_store(engine, mn_cse, report, why));
    return report_changed(engine, arena_view(report->command_id), why);
}

enum result order_refused(struct engine *engine, const struct member *mn_cse, const char *command_hex,
                          const char *reason, struct reason *why)
{
    uint8_t id[COMMAND_ID_SIZE];
    char text[DETAIL_LIMIT + 1];
    bool known = false;
    if (!hex_read(command_hex, id, sizeof(id))) {
        return RESULT_OK;
    }
    (void)snprintf(text, sizeof(text), "%s", reason[0] != '\0' ? reason : "refused");
    GUARD(store_find(engine->store, why, &known, "SELECT 1 FROM command WHERE id = ?", "b", BYTES_OF(id)));
    if (!known) {
        return RESULT_OK;
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE command_site SET complete = 1, refused = ? WHERE command_id = ? AND site = ?",
                    "tbt", text, BYTES_OF(id), mn_cse->name));
    return report_changed(engine, BYTES_OF(id), why);
}
