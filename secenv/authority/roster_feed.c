/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/roster_feed.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

const char roster_feed_schema[] =
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
    "  number INTEGER NOT NULL,"   /* all up to this one is in its outbox or was */
    "  paged INTEGER NOT NULL,"    /* number of the whole that was put last; 0: none was */
    "  pages INTEGER NOT NULL,"    /* in how many slots */
    "  accepted INTEGER NOT NULL," /* how many of these it took */
    "  PRIMARY KEY (group_id, member_id)"
    ") WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS roster_waiting (" /* deltas in its outbox, not accepted yet */
    "  group_id INTEGER NOT NULL,"
    "  member_id INTEGER NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  PRIMARY KEY (group_id, member_id, number)"
    ") WITHOUT ROWID;";

#define PAGE_ARENA ((size_t)128 * 1024)
#define WAITING_LIMIT 64u /* deltas, and as many as the whole has pages; beyond that the whole is shorter */

typedef Groupseal__Envelope__RosterEntry RosterEntry;
typedef Groupseal__Envelope__RosterDelta RosterDelta;

/* ---- the roster in the store ---- */

/* A stored entry; its texts are in the arena. */
struct stored_entry {
    struct arena *arena;
    const struct group *group;
    RosterEntry entry;
    bool found;
};

static enum result entry_fill(const struct group *group, const struct store_row *row, struct arena *arena,
                              RosterEntry *out)
{
    groupseal__envelope__roster_entry__init(out);
    out->name = arena_text(arena, row_text(row, 0));
    out->incarnation = group->incarnation;
    out->serial = row_u64(row, 1);
    out->signing_key.len = row_bytes(row, 2).length;
    out->signing_key.data = arena_copy(arena, row_bytes(row, 2));
    out->site = arena_text(arena, row_text(row, 3));
    return out->name != NULL && out->signing_key.data != NULL && out->site != NULL ? RESULT_OK
                                                                                   : RESULT_INTERNAL;
}

static enum result entry_read(void *context, const struct store_row *row, struct reason *why)
{
    struct stored_entry *stored = context;
    (void)why;
    stored->found = true;
    return entry_fill(stored->group, row, stored->arena, &stored->entry);
}

static enum result entry_find(struct engine *engine, const struct group *group, const char *name,
                              struct arena *arena, struct stored_entry *out, struct reason *why)
{
    *out = (struct stored_entry){.arena = arena, .group = group};
    return store_query(engine->store, why, entry_read, out,
                       "SELECT name, serial, signing_key, site FROM roster_entry WHERE group_id = ?"
                       " AND name = ?",
                       "it", group->id, name);
}

static bool entry_same(const RosterEntry *a, const RosterEntry *b)
{
    return a->serial == b->serial && strcmp(a->site, b->site) == 0 &&
           bytes_equal(arena_view(a->signing_key), arena_view(b->signing_key));
}

static enum result hash_read(void *context, const struct store_row *row, struct reason *why)
{
    struct bytes hash = row_bytes(row, 0);
    if (hash.length != HASH_SIZE) {
        return result_fail(why, RESULT_STORE, "the hash of a roster is damaged");
    }
    memcpy(context, hash.data, HASH_SIZE);
    return RESULT_OK;
}

static enum result hash_load(struct engine *engine, const struct group *group, uint8_t out[HASH_SIZE],
                             struct reason *why)
{
    memset(out, 0, HASH_SIZE);
    return store_query(engine->store, why, hash_read, out,
                       "SELECT roster_hash FROM key_group WHERE id = ? AND roster_hash IS NOT NULL", "i",
                       group->id);
}

/* ---- one delta ---- */

/* A change on its way into deltas: what the store has already is left out. */
struct differing {
    struct engine *engine;
    struct group *group;
    struct arena *arena;
    uint8_t hash[HASH_SIZE];
    RosterEntry *set[PAGE_ENTRIES_LIMIT];
    size_t set_count;
    char *removed[PAGE_ENTRIES_LIMIT];
    size_t removed_count;
};

static enum result entry_set(struct differing *differing, RosterEntry *entry, struct reason *why)
{
    struct stored_entry stored;
    GUARD(entry_find(differing->engine, differing->group, entry->name, differing->arena, &stored, why));
    if (stored.found && entry_same(&stored.entry, entry)) {
        return RESULT_OK;
    }
    if (stored.found) {
        GUARD(roster_hash_take(differing->hash, &stored.entry));
    }
    GUARD(roster_hash_add(differing->hash, entry));
    differing->set[differing->set_count++] = entry;
    return store_run(differing->engine->store, why,
                     "INSERT OR REPLACE INTO roster_entry (group_id, name, serial, signing_key, site)"
                     " VALUES (?, ?, ?, ?, ?)",
                     "itubt", differing->group->id, entry->name, entry->serial,
                     arena_view(entry->signing_key), entry->site);
}

static enum result entry_remove(struct differing *differing, char *name, struct reason *why)
{
    struct stored_entry stored;
    GUARD(entry_find(differing->engine, differing->group, name, differing->arena, &stored, why));
    if (!stored.found) {
        return RESULT_OK;
    }
    GUARD(roster_hash_take(differing->hash, &stored.entry));
    differing->removed[differing->removed_count++] = name;
    return store_run(differing->engine->store, why,
                     "DELETE FROM roster_entry WHERE group_id = ? AND name = ?", "it", differing->group->id,
                     name);
}

/* ---- what each MN-CSE has ---- */

struct feed_state {
    uint64_t taken;
    uint64_t number;
    uint64_t paged;
    uint64_t pages;
    uint64_t accepted;
};

static enum result feed_read(void *context, const struct store_row *row, struct reason *why)
{
    struct feed_state *state = context;
    (void)why;
    *state = (struct feed_state){row_u64(row, 0), row_u64(row, 1), row_u64(row, 2), row_u64(row, 3),
                                 row_u64(row, 4)};
    return RESULT_OK;
}

static enum result feed_load(struct engine *engine, const struct group *group, int64_t mn_id,
                             struct feed_state *out, struct reason *why)
{
    *out = (struct feed_state){0};
    return store_query(engine->store, why, feed_read, out,
                       "SELECT taken, number, paged, pages, accepted FROM roster_feed WHERE group_id = ?"
                       " AND member_id = ?",
                       "ii", group->id, mn_id);
}

static enum result feed_store(struct engine *engine, const struct group *group, int64_t mn_id,
                              const struct feed_state *state, struct reason *why)
{
    return store_run(
        engine->store, why,
        "INSERT OR REPLACE INTO roster_feed (group_id, member_id, taken, number, paged, pages, accepted)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        "iiuuuuu", group->id, mn_id, state->taken, state->number, state->paged, state->pages,
        state->accepted);
}

/* How many slots it was given stays known: the next pages may be fewer. */
enum result roster_feed_forget(struct engine *engine, const struct group *group, int64_t mn_id,
                               struct reason *why)
{
    return store_run(
        engine->store, why,
        "UPDATE roster_feed SET taken = 0, number = 0, paged = 0, accepted = pages WHERE group_id = ?"
        " AND member_id = ?",
        "ii", group->id, mn_id);
}

/* ---- sending it ---- */

#define SLOT_SIZE (48u + GROUP_NAME_LIMIT)

static void page_slot(const struct group *group, uint64_t page, char out[SLOT_SIZE])
{
    (void)snprintf(out, SLOT_SIZE, "roster %s %llu", group->name, (unsigned long long)page);
}

static void delta_slot(const struct group *group, uint64_t number, char out[SLOT_SIZE])
{
    (void)snprintf(out, SLOT_SIZE, "delta %s %llu", group->name, (unsigned long long)number);
}

static enum result slot_put(struct engine *engine, const struct group *group, const char *mn_cse,
                            uint64_t page, Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    char slot[SLOT_SIZE];
    page_slot(group, page, slot);
    return outbox_put(engine->outbox, engine->identity.name, mn_cse, slot, body, why);
}

/* Slots of pages that the roster no longer has. */
static enum result pages_drop(struct engine *engine, const struct group *group, const char *mn_cse,
                              uint64_t from, uint64_t to, struct reason *why)
{
    for (uint64_t page = from; page < to; page++) {
        char slot[SLOT_SIZE];
        page_slot(group, page, slot);
        GUARD(outbox_drop_slot(engine->outbox, engine->identity.name, mn_cse, slot, why));
    }
    return RESULT_OK;
}

struct waiting_drop {
    struct engine *engine;
    const struct group *group;
    const char *mn_cse;
};

static enum result waiting_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct waiting_drop *drop = context;
    char slot[SLOT_SIZE];
    delta_slot(drop->group, row_u64(row, 0), slot);
    return outbox_drop_slot(drop->engine->outbox, drop->engine->identity.name, drop->mn_cse, slot, why);
}

/* The whole has all that they would say. */
static enum result deltas_drop(struct engine *engine, const struct group *group, int64_t mn_id,
                               const char *mn_cse, struct reason *why)
{
    struct waiting_drop drop = {engine, group, mn_cse};
    GUARD(store_query(engine->store, why, waiting_row, &drop,
                      "SELECT number FROM roster_waiting WHERE group_id = ? AND member_id = ?", "ii",
                      group->id, mn_id));
    return store_run(engine->store, why, "DELETE FROM roster_waiting WHERE group_id = ? AND member_id = ?",
                     "ii", group->id, mn_id);
}

/* Behind what waits already: an MN-CSE takes them in order, and pages before those that build on them. */
static enum result delta_put(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                             struct feed_state *state, RosterDelta *delta, struct reason *why)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    char slot[SLOT_SIZE];
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA;
    body.roster_delta = delta;
    delta_slot(group, delta->number, slot);
    GUARD(outbox_put(engine->outbox, engine->identity.name, mn_cse->name, slot, &body, why));
    GUARD(store_run(engine->store, why,
                    "INSERT INTO roster_waiting (group_id, member_id, number) VALUES (?, ?, ?)", "iiu",
                    group->id, mn_cse->member_id, delta->number));
    state->number = delta->number;
    return feed_store(engine, group, mn_cse->member_id, state, why);
}

/* One page of the roster, its entries read as it is made. */
struct paging {
    struct engine *engine;
    const struct group *group;
    const char *mn_cse;
    struct arena *arena;
    uint8_t hash[HASH_SIZE];
    uint32_t pages;
    RosterEntry *entries[PAGE_ENTRIES_LIMIT];
    size_t count;
    char last[NAME_LIMIT + 1];
};

static enum result paging_read(void *context, const struct store_row *row, struct reason *why)
{
    struct paging *paging = context;
    RosterEntry *entry = arena_alloc(paging->arena, sizeof(*entry));
    if (entry == NULL || entry_fill(paging->group, row, paging->arena, entry) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the roster of %s", paging->group->name);
    }
    paging->entries[paging->count++] = entry;
    (void)snprintf(paging->last, sizeof(paging->last), "%s", entry->name);
    return RESULT_OK;
}

static enum result page_put(struct paging *paging, uint32_t number, struct reason *why)
{
    Groupseal__Envelope__RosterPage page = GROUPSEAL__ENVELOPE__ROSTER_PAGE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    paging->count = 0;
    GUARD(store_query(paging->engine->store, why, paging_read, paging,
                      "SELECT name, serial, signing_key, site FROM roster_entry WHERE group_id = ?"
                      " AND name > ? ORDER BY name LIMIT ?",
                      "iti", paging->group->id, paging->last, (int64_t)PAGE_ENTRIES_LIMIT));
    page.group = (char *)(uintptr_t)paging->group->name;
    page.instance = arena_field(BYTES_OF(paging->group->instance));
    page.incarnation = paging->group->incarnation;
    page.number = paging->group->roster_number;
    page.page = number;
    page.pages = paging->pages;
    page.entries = paging->entries;
    page.n_entries = paging->count;
    page.hash = arena_field(BYTES_OF(paging->hash));
    GUARD(roster_page_sign(&page, &paging->engine->keys.authority, signature));
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE;
    body.roster_page = &page;
    GUARD(slot_put(paging->engine, paging->group, paging->mn_cse, number, &body, why));
    arena_reset(paging->arena);
    return RESULT_OK;
}

static enum result pages_put(struct paging *paging, struct feed_state *state, struct reason *why)
{
    uint64_t count = 0;
    GUARD(hash_load(paging->engine, paging->group, paging->hash, why));
    GUARD(store_number(paging->engine->store, why, &count,
                       "SELECT count(*) FROM roster_entry WHERE group_id = ?", "i", paging->group->id));
    paging->pages = (uint32_t)((count + PAGE_ENTRIES_LIMIT - 1) / PAGE_ENTRIES_LIMIT);
    paging->pages = paging->pages == 0 ? 1 : paging->pages;
    GUARD(pages_drop(paging->engine, paging->group, paging->mn_cse, paging->pages, state->pages, why));
    for (uint32_t page = 0; page < paging->pages; page++) {
        GUARD(page_put(paging, page, why));
    }
    state->number = state->paged = paging->group->roster_number;
    state->pages = paging->pages;
    state->accepted = 0;
    return RESULT_OK;
}

enum result roster_feed_pages(struct engine *engine, const struct group *group, int64_t mn_id,
                              const char *mn_cse, struct reason *why)
{
    struct feed_state state;
    if (group->roster_number == 0) {
        return RESULT_OK;
    }
    GUARD(feed_load(engine, group, mn_id, &state, why));
    struct paging paging = {
        .engine = engine, .group = group, .mn_cse = mn_cse, .arena = arena_new(PAGE_ARENA)};
    if (paging.arena == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the roster of %s", group->name);
    }
    enum result result = deltas_drop(engine, group, mn_id, mn_cse, why);
    if (result == RESULT_OK) {
        result = pages_put(&paging, &state, why);
    }
    arena_free(paging.arena);
    GUARD(result);
    return feed_store(engine, group, mn_id, &state, why);
}

static bool pages_wait(const struct feed_state *state)
{
    return state->accepted < state->pages;
}

/* What waits tells what is taken: it is in order. */
static enum result taken_update(struct engine *engine, const struct group *group, int64_t mn_id,
                                struct feed_state *state, struct reason *why)
{
    uint64_t first = 0;
    if (pages_wait(state)) {
        return RESULT_OK;
    }
    GUARD(store_number(engine->store, why, &first,
                       "SELECT coalesce(min(number), 0) FROM roster_waiting WHERE group_id = ?"
                       " AND member_id = ?",
                       "ii", group->id, mn_id));
    state->taken = first == 0 ? state->number : first - 1;
    return RESULT_OK;
}

enum result roster_feed_page_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                                      const char *mn_cse, struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    if (!pages_wait(&state)) {
        return RESULT_OK;
    }
    state.accepted++;
    GUARD(taken_update(engine, group, mn_id, &state, why));
    GUARD(feed_store(engine, group, mn_id, &state, why));
    if (!pages_wait(&state)) { /* what builds on them may have come too early */
        outbox_kick(engine->outbox, engine->identity.name, mn_cse);
    }
    return RESULT_OK;
}

enum result roster_feed_delta_accepted(struct engine *engine, const struct group *group, int64_t mn_id,
                                       uint64_t number, struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    GUARD(store_run(engine->store, why,
                    "DELETE FROM roster_waiting WHERE group_id = ? AND member_id = ? AND number = ?", "iiu",
                    group->id, mn_id, number));
    GUARD(taken_update(engine, group, mn_id, &state, why));
    return feed_store(engine, group, mn_id, &state, why);
}

enum result roster_feed_has(struct engine *engine, const struct group *group, int64_t mn_id,
                            const char *mn_cse, uint64_t number, struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_id, &state, why));
    bool on_its_way =
        state.number == group->roster_number && state.taken < state.number && !pages_wait(&state);
    if (number >= group->roster_number || (on_its_way && number >= state.taken && number != 0)) {
        return RESULT_OK;
    }
    return roster_feed_pages(engine, group, mn_id, mn_cse, why);
}

/* A delta where all before it was put, unless too many wait; else pages; nothing where it has this one. */
static enum result roster_send(struct engine *engine, const struct group *group, const struct leaf *mn_cse,
                               RosterDelta *delta, struct reason *why)
{
    struct feed_state state;
    GUARD(feed_load(engine, group, mn_cse->member_id, &state, why));
    if (state.number == group->roster_number) {
        return RESULT_OK;
    }
    uint64_t since = state.taken > state.paged ? state.taken : state.paged;
    bool follows = delta != NULL && state.number + 1 == delta->number &&
                   state.number - since < WAITING_LIMIT + state.pages;
    return follows ? delta_put(engine, group, mn_cse, &state, delta, why)
                   : roster_feed_pages(engine, group, mn_cse->member_id, mn_cse->name, why);
}

static enum result everyone_send(struct engine *engine, const struct group *group,
                                 const struct leaves *mn_cses, RosterDelta *delta, struct reason *why)
{
    for (size_t i = 0; i < mn_cses->count; i++) {
        bool put_off = false;
        GUARD(arrears_known(engine, group, mn_cses->items[i].member_id, &put_off, why));
        if (put_off) {
            continue;
        }
        enum result result = roster_send(engine, group, &mn_cses->items[i], delta, why);
        GUARD(arrears_take(engine, group, &mn_cses->items[i], result, why));
    }
    return RESULT_OK;
}

/* What was set and removed since the last delta makes one; nothing makes none. */
static enum result delta_send(struct differing *differing, const struct leaves *mn_cses, struct reason *why)
{
    RosterDelta delta = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    struct group *group = differing->group;
    struct engine *engine = differing->engine;
    if (differing->set_count + differing->removed_count == 0) {
        return RESULT_OK;
    }
    delta.group = group->name;
    delta.instance = arena_field(BYTES_OF(group->instance));
    delta.incarnation = group->incarnation;
    delta.number = ++group->roster_number;
    delta.set = differing->set;
    delta.n_set = differing->set_count;
    delta.removed = differing->removed;
    delta.n_removed = differing->removed_count;
    delta.hash = arena_field(BYTES_OF(differing->hash));
    GUARD(roster_delta_sign(&delta, &engine->keys.authority, signature));
    GUARD(store_run(engine->store, why,
                    "UPDATE key_group SET roster_number = ?, roster_hash = ? WHERE id = ?", "ubi",
                    group->roster_number, BYTES_OF(differing->hash), group->id));
    GUARD(everyone_send(engine, group, mn_cses, &delta, why));
    differing->set_count = differing->removed_count = 0;
    return RESULT_OK;
}

enum result roster_feed_change(struct engine *engine, struct group *group, const struct roster_change *change,
                               const struct leaves *mn_cses, struct arena *arena, struct reason *why)
{
    struct differing *differing = arena_alloc(arena, sizeof(*differing));
    if (differing == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the roster of %s", group->name);
    }
    differing->engine = engine;
    differing->group = group;
    differing->arena = arena;
    GUARD(hash_load(engine, group, differing->hash, why));
    for (size_t i = 0; i < change->removed_count; i++) {
        GUARD(entry_remove(differing, change->removed[i], why));
        if (differing->removed_count == PAGE_ENTRIES_LIMIT) {
            GUARD(delta_send(differing, mn_cses, why));
        }
    }
    for (size_t i = 0; i < change->set_count; i++) {
        GUARD(entry_set(differing, change->set[i], why));
        if (differing->set_count == PAGE_ENTRIES_LIMIT) {
            GUARD(delta_send(differing, mn_cses, why));
        }
    }
    GUARD(delta_send(differing, mn_cses, why));
    return everyone_send(engine, group, mn_cses, NULL, why);
}
