/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/feed.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

const char feed_schema[] =
    "CREATE TABLE IF NOT EXISTS roster_entry (" /* the roster of the group's last number */
    "  group_id INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  serial INTEGER NOT NULL,"
    "  signing_key BLOB NOT NULL,"
    "  site TEXT NOT NULL,"
    "  PRIMARY KEY (group_id, name)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS roster_feed ("
    "  group_id INTEGER NOT NULL,"
    "  member_id INTEGER NOT NULL,"
    "  taken INTEGER NOT NULL,"    /* number that the MN-CSE has, 0: unknown */
    "  number INTEGER NOT NULL,"   /* number that is in its outbox or was */
    "  pages INTEGER NOT NULL,"    /* in how many slots */
    "  accepted INTEGER NOT NULL," /* how many of these it took */
    "  PRIMARY KEY (group_id, member_id)"
    ") WITHOUT ROWID;";

typedef Groupseal__Envelope__RosterEntry RosterEntry;

/* ---- changes ---- */

struct stored_change {
    struct arena *arena;
    Groupseal__Envelope__Policy *policy;
    Groupseal__Envelope__Announcement *announcement;
};

static enum result change_read(void *context, const struct store_row *row, struct reason *why)
{
    struct stored_change *stored = context;
    struct bytes policy = row_bytes(row, 0);
    struct bytes announcement = row_bytes(row, 1);
    ProtobufCAllocator *allocator = arena_allocator(stored->arena);
    stored->policy = groupseal__envelope__policy__unpack(allocator, policy.length, policy.data);
    stored->announcement =
        groupseal__envelope__announcement__unpack(allocator, announcement.length, announcement.data);
    return stored->policy != NULL && stored->announcement != NULL
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "a stored announcement cannot be read");
}

static enum result slot_put(struct engine *engine, const char *mn_cse, const char *what,
                            const struct group *group, const char *suffix,
                            Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    char slot[32 + GROUP_NAME_LIMIT];
    (void)snprintf(slot, sizeof(slot), "%s %s%s", what, group->name, suffix);
    return outbox_put(engine->outbox, engine->identity.name, mn_cse, slot, body, why);
}

enum result feed_change(struct engine *engine, const struct group *group, const char *mn_cse,
                        struct arena *arena, struct reason *why)
{
    struct stored_change stored = {.arena = arena};
    GUARD(store_query(engine->store, why, change_read, &stored,
                      "SELECT policy, announcement FROM key_group WHERE id = ? AND announcement IS NOT NULL",
                      "i", group->id));
    if (stored.announcement == NULL) {
        return RESULT_OK;
    }
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    change.group = stored.announcement->group;
    change.instance = stored.announcement->instance;
    change.policy = stored.policy;
    change.announcement = stored.announcement;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE;
    body.change = &change;
    return slot_put(engine, mn_cse, "change", group, "", &body, why);
}

enum result feed_change_all(struct engine *engine, const struct group *group, const struct leaves *leaves,
                            struct arena *arena, struct reason *why)
{
    for (size_t i = 0; i < leaves->count; i++) {
        if (leaves->items[i].kind == IDENTITY_MN_CSE) {
            enum result result = feed_change(engine, group, leaves->items[i].name, arena, why);
            GUARD(arrears_take(engine, group, &leaves->items[i], result, why));
        }
    }
    return RESULT_OK;
}

/* ---- the roster ---- */

/* Entries in byte order of their names. */
struct roster {
    RosterEntry *entries[MEMBERS_LIMIT];
    size_t count;
    struct arena *arena;
    uint64_t incarnation;
};

static enum result roster_append(struct roster *roster, const char *name, uint64_t serial, struct bytes key,
                                 const char *site)
{
    RosterEntry *entry = arena_alloc(roster->arena, sizeof(*entry));
    if (entry == NULL || roster->count == MEMBERS_LIMIT) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__roster_entry__init(entry);
    entry->name = arena_text(roster->arena, name);
    entry->incarnation = roster->incarnation;
    entry->serial = serial;
    entry->signing_key.len = key.length;
    entry->signing_key.data = arena_copy(roster->arena, key);
    entry->site = arena_text(roster->arena, site);
    if (entry->name == NULL || entry->signing_key.data == NULL || entry->site == NULL) {
        return RESULT_INTERNAL;
    }
    roster->entries[roster->count++] = entry;
    return RESULT_OK;
}

static enum result roster_from_leaves(const struct leaves *leaves, struct roster *out)
{
    for (size_t i = 0; i < leaves->count; i++) {
        const struct leaf *leaf = &leaves->items[i];
        char level[SITE_LIMIT + 1];
        GUARD(object_site_of(leaf->site, level, sizeof(level)));
        GUARD(roster_append(out, leaf->name, leaf->serial, BYTES_OF(leaf->signing_key), level));
    }
    return RESULT_OK;
}

static enum result entry_read(void *context, const struct store_row *row, struct reason *why)
{
    enum result result =
        roster_append(context, row_text(row, 0), row_u64(row, 1), row_bytes(row, 2), row_text(row, 3));
    return result == RESULT_OK ? RESULT_OK : result_fail(why, result, "a stored roster cannot be read");
}

static enum result roster_stored(struct engine *engine, const struct group *group, struct roster *out,
                                 struct reason *why)
{
    return store_query(
        engine->store, why, entry_read, out,
        "SELECT name, serial, signing_key, site FROM roster_entry WHERE group_id = ? ORDER BY name", "i",
        group->id);
}

static enum result roster_store(struct engine *engine, const struct group *group, const struct roster *roster,
                                struct reason *why)
{
    GUARD(store_run(engine->store, why, "DELETE FROM roster_entry WHERE group_id = ?", "i", group->id));
    for (size_t i = 0; i < roster->count; i++) {
        const RosterEntry *entry = roster->entries[i];
        GUARD(store_run(engine->store, why,
                        "INSERT INTO roster_entry (group_id, name, serial, signing_key, site)"
                        " VALUES (?, ?, ?, ?, ?)",
                        "itubt", group->id, entry->name, entry->serial, arena_view(entry->signing_key),
                        entry->site));
    }
    return store_run(engine->store, why, "UPDATE key_group SET roster_number = ? WHERE id = ?", "ui",
                     group->roster_number, group->id);
}

static bool entry_same(const RosterEntry *a, const RosterEntry *b)
{
    return a->serial == b->serial && strcmp(a->site, b->site) == 0 &&
           bytes_equal(arena_view(a->signing_key), arena_view(b->signing_key));
}

static const RosterEntry *roster_find(const struct roster *roster, const char *name)
{
    for (size_t i = 0; i < roster->count; i++) {
        if (strcmp(roster->entries[i]->name, name) == 0) {
            return roster->entries[i];
        }
    }
    return NULL;
}

/* What turns `before` into `after`; both lists have room for MEMBERS_LIMIT. */
static void delta_fill(const struct roster *before, const struct roster *after, RosterEntry **set,
                       char **removed, Groupseal__Envelope__RosterDelta *delta)
{
    delta->set = set;
    delta->removed = removed;
    for (size_t i = 0; i < after->count; i++) {
        const RosterEntry *old = roster_find(before, after->entries[i]->name);
        if (old == NULL || !entry_same(old, after->entries[i])) {
            set[delta->n_set++] = after->entries[i];
        }
    }
    for (size_t i = 0; i < before->count; i++) {
        if (roster_find(after, before->entries[i]->name) == NULL) {
            removed[delta->n_removed++] = before->entries[i]->name;
        }
    }
}

/* ---- what each MN-CSE has ---- */

struct feed_state {
    uint64_t taken;
    uint64_t number;
    uint64_t pages;
    uint64_t accepted;
};

static enum result feed_read(void *context, const struct store_row *row, struct reason *why)
{
    struct feed_state *state = context;
    (void)why;
    state->taken = row_u64(row, 0);
    state->number = row_u64(row, 1);
    state->pages = row_u64(row, 2);
    state->accepted = row_u64(row, 3);
    return RESULT_OK;
}

static enum result feed_load(struct engine *engine, const struct group *group, int64_t mn_id,
                             struct feed_state *out, struct reason *why)
{
    *out = (struct feed_state){0};
    return store_query(engine->store, why, feed_read, out,
                       "SELECT taken, number, pages, accepted FROM roster_feed WHERE group_id = ?"
                       " AND member_id = ?",
                       "ii", group->id, mn_id);
}

static enum result feed_store(struct engine *engine, const struct group *group, int64_t mn_id,
                              const struct feed_state *state, struct reason *why)
{
    return store_run(
        engine->store, why,
        "INSERT OR REPLACE INTO roster_feed (group_id, member_id, taken, number, pages, accepted)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        "iiuuuu", group->id, mn_id, state->taken, state->number, state->pages, state->accepted);
}

enum result feed_forget(struct engine *engine, const struct group *group, int64_t mn_id, struct reason *why)
{
    return store_run(engine->store, why, "DELETE FROM roster_feed WHERE group_id = ? AND member_id = ?", "ii",
                     group->id, mn_id);
}

enum result feed_accepted(struct engine *engine, const struct group *group, int64_t mn_id, struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    if (state.accepted < state.pages) {
        state.accepted++;
    }
    if (state.accepted == state.pages) {
        state.taken = state.number;
    }
    return feed_store(engine, group, mn_id, &state, why);
}

/* ---- sending it ---- */

static enum result delta_put(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                             Groupseal__Envelope__RosterDelta *delta, struct reason *why)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_cse->member_id, &state, why));
    state.number = group->roster_number;
    state.pages = 1;
    state.accepted = 0;
    GUARD(feed_store(engine, group, mn_cse->member_id, &state, why));
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA;
    body.roster_delta = delta;
    return slot_put(engine, mn_cse->name, "roster", group, " 0", &body, why);
}

/* Slots of pages that the roster no longer has. */
static enum result pages_drop(struct engine *engine, const struct group *group, const char *mn_cse,
                              uint64_t from, uint64_t to, struct reason *why)
{
    for (uint64_t page = from; page < to; page++) {
        char slot[48 + GROUP_NAME_LIMIT];
        (void)snprintf(slot, sizeof(slot), "roster %s %llu", group->name, (unsigned long long)page);
        GUARD(outbox_drop_slot(engine->outbox, engine->identity.name, mn_cse, slot, why));
    }
    return RESULT_OK;
}

static enum result page_put(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                            struct roster *roster, uint32_t number, uint32_t pages,
                            const uint8_t hash[HASH_SIZE], struct reason *why)
{
    Groupseal__Envelope__RosterPage page = GROUPSEAL__ENVELOPE__ROSTER_PAGE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    char suffix[16];
    size_t first = (size_t)number * PAGE_ENTRIES_LIMIT;
    size_t left = roster->count - first;
    page.group = (char *)(uintptr_t)group->name;
    page.instance = arena_field(BYTES_OF(group->instance));
    page.incarnation = group->incarnation;
    page.number = group->roster_number;
    page.page = number;
    page.pages = pages;
    page.entries = roster->entries + first;
    page.n_entries = left < PAGE_ENTRIES_LIMIT ? left : PAGE_ENTRIES_LIMIT;
    page.hash = arena_field((struct bytes){hash, HASH_SIZE});
    GUARD(roster_page_sign(&page, &engine->keys.authority, signature));
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE;
    body.roster_page = &page;
    (void)snprintf(suffix, sizeof(suffix), " %u", number);
    return slot_put(engine, mn_cse->name, "roster", group, suffix, &body, why);
}

enum result feed_roster_pages(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                              struct arena *arena, struct reason *why)
{
    struct roster roster = {.arena = arena, .incarnation = group->incarnation};
    struct feed_state state;
    uint8_t hash[HASH_SIZE];
    if (group->roster_number == 0) {
        return RESULT_OK;
    }
    GUARD(roster_stored(engine, group, &roster, why));
    GUARD(roster_hash(roster.entries, roster.count, hash));
    GUARD(feed_load(engine, group, mn_cse->member_id, &state, why));
    uint32_t pages = (uint32_t)((roster.count + PAGE_ENTRIES_LIMIT - 1) / PAGE_ENTRIES_LIMIT);
    pages = pages == 0 ? 1 : pages;
    GUARD(pages_drop(engine, group, mn_cse->name, pages, state.pages, why));
    for (uint32_t page = 0; page < pages; page++) {
        GUARD(page_put(engine, group, mn_cse, &roster, page, pages, hash, why));
    }
    state.number = group->roster_number;
    state.pages = pages;
    state.accepted = 0;
    return feed_store(engine, group, mn_cse->member_id, &state, why);
}

/* A delta to who has the number before, pages to who has another, nothing to who has this one or has it in
 * its outbox. */
static enum result roster_send(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                               Groupseal__Envelope__RosterDelta *delta, struct arena *arena,
                               struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_cse->member_id, &state, why));
    if (state.number == group->roster_number) {
        return RESULT_OK;
    }
    bool follows = delta->number == group->roster_number &&
                   (state.taken != 0 ? state.taken + 1 == delta->number : delta->number == 1);
    return follows ? delta_put(engine, group, mn_cse, delta, why)
                   : feed_roster_pages(engine, group, mn_cse, arena, why);
}

/* A new number where the roster is another; the delta's number stays 0 where it is the same. */
static enum result roster_renew(struct engine *engine, struct group *group, const struct roster *after,
                                Groupseal__Envelope__RosterDelta *delta, struct reason *why)
{
    if (delta->n_set + delta->n_removed == 0) {
        return RESULT_OK;
    }
    delta->number = ++group->roster_number;
    return roster_store(engine, group, after, why);
}

enum result feed_roster(struct engine *engine, struct group *group, const struct leaves *leaves,
                        struct arena *arena, struct reason *why)
{
    struct roster before = {.arena = arena, .incarnation = group->incarnation};
    struct roster after = {.arena = arena, .incarnation = group->incarnation};
    Groupseal__Envelope__RosterDelta delta = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    RosterEntry *set[MEMBERS_LIMIT];
    char *removed[MEMBERS_LIMIT];
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    GUARD(roster_stored(engine, group, &before, why));
    GUARD(roster_from_leaves(leaves, &after));
    delta_fill(&before, &after, set, removed, &delta);
    GUARD(roster_renew(engine, group, &after, &delta, why));
    GUARD(roster_hash(after.entries, after.count, hash));
    delta.group = group->name;
    delta.instance = arena_field(BYTES_OF(group->instance));
    delta.incarnation = group->incarnation;
    delta.hash = arena_field(BYTES_OF(hash));
    GUARD(roster_delta_sign(&delta, &engine->keys.authority, signature));
    for (size_t i = 0; i < leaves->count; i++) {
        if (leaves->items[i].kind == IDENTITY_MN_CSE) {
            enum result result = roster_send(engine, group, &leaves->items[i], &delta, arena, why);
            GUARD(arrears_take(engine, group, &leaves->items[i], result, why));
        }
    }
    return RESULT_OK;
}
