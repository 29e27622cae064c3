/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/member/event.h"
#include "secenv/member/packed.h"
#include "secenv/member/record.h"
#include "secenv/member/relay.h"

const char roster_schema[] =
    "CREATE TABLE IF NOT EXISTS roster ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, incarnation INTEGER NOT NULL, number INTEGER NOT NULL,"
    " hash BLOB NOT NULL, PRIMARY KEY (identity, grp)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS roster_member ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, name TEXT NOT NULL, incarnation INTEGER NOT NULL,"
    " serial INTEGER NOT NULL, key BLOB NOT NULL, site TEXT NOT NULL,"
    " PRIMARY KEY (identity, grp, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS roster_page (" /* of a roster that is not whole yet */
    " identity TEXT NOT NULL, grp TEXT NOT NULL, page INTEGER NOT NULL, incarnation INTEGER NOT NULL,"
    " number INTEGER NOT NULL, entries BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp, page)) WITHOUT ROWID;";

typedef Groupseal__Envelope__RosterEntry Entry;
typedef Groupseal__Envelope__RosterDelta Delta;
typedef Groupseal__Envelope__RosterPage Page;

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

/* ---- memory ---- */

void roster_clear(struct roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        free(roster->members[i].name);
    }
    free(roster->members);
    *roster = (struct roster){.present = false};
}

static int name_compare(const void *key, const void *member)
{
    return strcmp(key, ((const struct roster_member *)member)->name);
}

static struct roster_member *member_of(const struct roster *roster, const char *name)
{
    if (roster->count == 0) {
        return NULL;
    }
    return bsearch(name, roster->members, roster->count, sizeof(roster->members[0]), name_compare);
}

const struct roster_member *roster_find(const struct relay *relay, const char *name)
{
    return member_of(&relay->roster, name);
}

bool roster_sync_take(struct relay *relay, const char *name)
{
    const struct bucket_rate rate = {ROSTER_SYNCS_INTERVAL_US, ROSTER_SYNCS_BURST};
    struct roster_member *member = member_of(&relay->roster, name);
    return member != NULL &&
           bucket_take(&member->syncs, rate, engine_now_us(relay->membership->identity->engine));
}

static enum result member_append(struct roster *roster, size_t *capacity, const struct roster_member *member)
{
    if (roster->count == *capacity) {
        size_t larger = *capacity == 0 ? 16 : 2 * *capacity;
        struct roster_member *members = realloc(roster->members, larger * sizeof(*members));
        if (members == NULL) {
            return RESULT_INTERNAL;
        }
        roster->members = members;
        *capacity = larger;
    }
    struct roster_member *place = &roster->members[roster->count];
    *place = *member;
    place->name = strdup(member->name);
    if (place->name == NULL) {
        return RESULT_INTERNAL;
    }
    roster->count++;
    return RESULT_OK;
}

/* ---- loading ---- */

struct loading {
    struct roster *roster;
    size_t capacity;
};

static enum result head_row(void *context, const struct store_row *row, struct reason *why)
{
    struct roster *roster = context;
    struct bytes hash = row_bytes(row, 2);
    if (hash.length != HASH_SIZE) {
        return result_fail(why, RESULT_STORE, "a stored roster's hash has a wrong size");
    }
    roster->present = true;
    roster->incarnation = row_u64(row, 0);
    roster->number = row_u64(row, 1);
    memcpy(roster->hash, hash.data, HASH_SIZE);
    return RESULT_OK;
}

static enum result member_row(void *context, const struct store_row *row, struct reason *why)
{
    struct loading *loading = context;
    struct roster_member member = {
        .name = (char *)row_text(row, 0), .incarnation = row_u64(row, 1), .serial = row_u64(row, 2)};
    struct bytes key = row_bytes(row, 3);
    if (key.length != VERIFY_KEY_SIZE) {
        return result_fail(why, RESULT_STORE, "a stored roster's key has a wrong size");
    }
    memcpy(member.key, key.data, VERIFY_KEY_SIZE);
    (void)snprintf(member.site, sizeof(member.site), "%s", row_text(row, 4));
    return member_append(loading->roster, &loading->capacity, &member);
}

static enum result roster_read(const struct relay *relay, struct roster *out, struct reason *why)
{
    struct loading loading = {.roster = out};
    GUARD(store_query(store_of(relay), why, head_row, out,
                      "SELECT incarnation, number, hash FROM roster WHERE identity = ? AND grp = ?", "tt",
                      owner_of(relay), group_of(relay)));
    return store_query(store_of(relay), why, member_row, &loading,
                       "SELECT name, incarnation, serial, key, site FROM roster_member"
                       " WHERE identity = ? AND grp = ? ORDER BY name",
                       "tt", owner_of(relay), group_of(relay));
}

static void buckets_keep(const struct roster *former, struct roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        const struct roster_member *member = member_of(former, roster->members[i].name);
        if (member != NULL) {
            roster->members[i].syncs = member->syncs;
        }
    }
}

enum result roster_load(struct relay *relay, struct reason *why)
{
    struct roster roster = {.present = false};
    enum result result = roster_read(relay, &roster, why);
    if (result == RESULT_OK) {
        buckets_keep(&relay->roster, &roster);
        roster_clear(&relay->roster);
        relay->roster = roster;
    } else {
        roster_clear(&roster);
    }
    return result;
}

/* ---- storing ---- */

static enum result pages_forget(const struct relay *relay, struct reason *why)
{
    return store_run(store_of(relay), why, "DELETE FROM roster_page WHERE identity = ? AND grp = ?", "tt",
                     owner_of(relay), group_of(relay));
}

static enum result rows_drop(const struct relay *relay, struct reason *why)
{
    GUARD(pages_forget(relay, why));
    GUARD(store_run(store_of(relay), why, "DELETE FROM roster_member WHERE identity = ? AND grp = ?", "tt",
                    owner_of(relay), group_of(relay)));
    return store_run(store_of(relay), why, "DELETE FROM roster WHERE identity = ? AND grp = ?", "tt",
                     owner_of(relay), group_of(relay));
}

enum result roster_drop(struct relay *relay, struct reason *why)
{
    GUARD(rows_drop(relay, why));
    roster_clear(&relay->roster);
    return RESULT_OK;
}

static enum result entry_store(const struct relay *relay, const Entry *entry, struct reason *why)
{
    return store_run(store_of(relay), why,
                     "INSERT INTO roster_member (identity, grp, name, incarnation, serial, key, site)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)"
                     " ON CONFLICT (identity, grp, name) DO UPDATE SET incarnation = excluded.incarnation,"
                     " serial = excluded.serial, key = excluded.key, site = excluded.site",
                     "tttuubt", owner_of(relay), group_of(relay), entry->name, entry->incarnation,
                     entry->serial, arena_view(entry->signing_key), entry->site);
}

static enum result head_store(const struct relay *relay, uint64_t incarnation, uint64_t number,
                              struct bytes hash, struct reason *why)
{
    GUARD(pages_forget(relay, why));
    return store_run(store_of(relay), why,
                     "INSERT INTO roster (identity, grp, incarnation, number, hash) VALUES (?, ?, ?, ?, ?)"
                     " ON CONFLICT (identity, grp) DO UPDATE SET incarnation = excluded.incarnation,"
                     " number = excluded.number, hash = excluded.hash",
                     "ttuub", owner_of(relay), group_of(relay), incarnation, number, hash);
}

/* ---- what may come ---- */

/* The relay of the group that the object is for, or NULL. */
static struct relay *relay_find(const struct identity_state *identity, const char *group,
                                ProtobufCBinaryData instance)
{
    const struct membership *membership = membership_find(identity, group);
    bool here = membership != NULL && bytes_equal(arena_view(instance), BYTES_OF(membership->instance));
    return here ? membership->relay : NULL;
}

static enum result too_early(const char *group, struct reason *why)
{
    return result_fail(why, RESULT_NOT_READY, "a roster of %.64s, whose key package is not here yet", group);
}

static int roster_compare(const struct roster *roster, uint64_t incarnation, uint64_t number)
{
    if (!roster->present) {
        return 1;
    }
    if (incarnation != roster->incarnation) {
        return incarnation < roster->incarnation ? -1 : 1;
    }
    return (number > roster->number) - (number < roster->number);
}

static enum result roster_ask(const struct relay *relay, struct reason *why)
{
    Groupseal__Envelope__RosterAsk ask = GROUPSEAL__ENVELOPE__ROSTER_ASK__INIT;
    ask.group = relay->membership->group;
    ask.instance = arena_field(BYTES_OF(relay->membership->instance));
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK;
    body.roster_ask = &ask;
    char slot[GROUP_NAME_LIMIT + 16];
    (void)snprintf(slot, sizeof(slot), "roster %s", relay->membership->group);
    return record_put(relay->membership->identity, slot, &body, why);
}

/* ---- deltas ---- */

/* The list that a delta makes, as entries in the order of their names; they point into roster and delta. */
struct entry_list {
    Entry *rows; /* for the members that stay */
    Entry **entries;
    size_t count;
};

static void entry_list_clear(struct entry_list *list)
{
    free(list->rows);
    free(list->entries);
    *list = (struct entry_list){.rows = NULL};
}

static bool delta_replaces(const Delta *delta, const char *name)
{
    for (size_t i = 0; i < delta->n_set; i++) {
        if (strcmp(delta->set[i]->name, name) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < delta->n_removed; i++) {
        if (strcmp(delta->removed[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int entry_compare(const void *a, const void *b)
{
    const Entry *const *left = a;
    const Entry *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void entry_of(struct roster_member *member, Entry *out)
{
    groupseal__envelope__roster_entry__init(out);
    out->name = member->name;
    out->incarnation = member->incarnation;
    out->serial = member->serial;
    out->signing_key = arena_field(BYTES_OF(member->key));
    out->site = member->site;
}

static enum result delta_apply(struct roster *roster, const Delta *delta, struct entry_list *out)
{
    size_t most = roster->count + delta->n_set;
    out->rows = calloc(roster->count + 1, sizeof(Entry));
    out->entries = calloc(most + 1, sizeof(Entry *));
    if (out->rows == NULL || out->entries == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < roster->count; i++) {
        if (!delta_replaces(delta, roster->members[i].name)) {
            entry_of(&roster->members[i], &out->rows[i]);
            out->entries[out->count++] = &out->rows[i];
        }
    }
    for (size_t i = 0; i < delta->n_set; i++) {
        out->entries[out->count++] = delta->set[i];
    }
    qsort(out->entries, out->count, sizeof(Entry *), entry_compare);
    return RESULT_OK;
}

static enum result delta_store(struct relay *relay, const Delta *delta, struct reason *why)
{
    for (size_t i = 0; i < delta->n_removed; i++) {
        GUARD(store_run(store_of(relay), why,
                        "DELETE FROM roster_member WHERE identity = ? AND grp = ? AND name = ?", "ttt",
                        owner_of(relay), group_of(relay), delta->removed[i]));
    }
    for (size_t i = 0; i < delta->n_set; i++) {
        GUARD(entry_store(relay, delta->set[i], why));
    }
    return head_store(relay, delta->incarnation, delta->number, arena_view(delta->hash), why);
}

static bool delta_follows(const struct roster *roster, const Delta *delta)
{
    if (!roster->present) {
        return delta->number == 1;
    }
    return delta->incarnation == roster->incarnation && delta->number == roster->number + 1;
}

static enum result delta_follow(struct relay *relay, const Delta *delta, struct reason *why)
{
    struct entry_list list = {.rows = NULL};
    uint8_t hash[HASH_SIZE];
    enum result result = delta_apply(&relay->roster, delta, &list);
    if (result == RESULT_OK) {
        result = roster_hash(list.entries, list.count, hash);
    }
    entry_list_clear(&list);
    if (result == RESULT_INVALID ||
        (result == RESULT_OK && !bytes_equal(arena_view(delta->hash), BYTES_OF(hash)))) {
        return roster_ask(relay, why); /* ours is not the one that it was made from */
    }
    GUARD(result);
    GUARD(delta_store(relay, delta, why));
    GUARD(roster_load(relay, why));
    return roster_publish(relay, false);
}

enum result roster_take_delta(struct identity_state *identity, const Delta *delta, struct reason *why)
{
    struct relay *relay = relay_find(identity, delta->group, delta->instance);
    if (relay == NULL) {
        return too_early(delta->group, why);
    }
    GUARD(roster_delta_check(delta, BYTES_OF(relay->membership->authority_key), why));
    if (roster_compare(&relay->roster, delta->incarnation, delta->number) <= 0) {
        return RESULT_OK;
    }
    return delta_follows(&relay->roster, delta) ? delta_follow(relay, delta, why) : roster_ask(relay, why);
}

/* ---- pages ---- */

static enum result page_store(const struct relay *relay, const Page *page, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(store_run(store_of(relay), why,
                    "DELETE FROM roster_page WHERE identity = ? AND grp = ?"
                    " AND (incarnation <> ? OR number <> ?)",
                    "ttuu", owner_of(relay), group_of(relay), page->incarnation, page->number));
    enum result result = message_pack(&page->base, &packed);
    if (result == RESULT_OK) {
        result = store_run(store_of(relay), why,
                           "INSERT OR REPLACE INTO roster_page (identity, grp, page, incarnation, number,"
                           " entries) VALUES (?, ?, ?, ?, ?, ?)",
                           "ttuuub", owner_of(relay), group_of(relay), (uint64_t)page->page,
                           page->incarnation, page->number, buffer_bytes(&packed));
    }
    buffer_clear(&packed);
    return result;
}

/* The pages of a whole roster, unpacked. */
struct page_list {
    Page **pages;
    size_t count;
    size_t wanted;
    size_t entries;
};

static enum result page_row(void *context, const struct store_row *row, struct reason *why)
{
    struct page_list *list = context;
    struct bytes packed = row_bytes(row, 0);
    if (list->count == list->wanted) {
        return result_fail(why, RESULT_STORE, "more pages of a roster are stored than it has");
    }
    Page *page = groupseal__envelope__roster_page__unpack(NULL, packed.length, packed.data);
    if (page == NULL) {
        return result_fail(why, RESULT_STORE, "a stored page of a roster cannot be read");
    }
    list->pages[list->count++] = page;
    list->entries += page->n_entries;
    return RESULT_OK;
}

static void page_list_clear(struct page_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        groupseal__envelope__roster_page__free_unpacked(list->pages[i], NULL);
    }
    free(list->pages);
}

static enum result pages_entries(const struct page_list *list, struct entry_list *out)
{
    out->entries = calloc(list->entries + 1, sizeof(Entry *));
    if (out->entries == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < list->pages[i]->n_entries; k++) {
            out->entries[out->count++] = list->pages[i]->entries[k];
        }
    }
    qsort(out->entries, out->count, sizeof(Entry *), entry_compare);
    return RESULT_OK;
}

static enum result pages_store(struct relay *relay, const struct entry_list *list, const Page *page,
                               struct reason *why)
{
    GUARD(rows_drop(relay, why));
    for (size_t i = 0; i < list->count; i++) {
        GUARD(entry_store(relay, list->entries[i], why));
    }
    GUARD(head_store(relay, page->incarnation, page->number, arena_view(page->hash), why));
    GUARD(roster_load(relay, why));
    return roster_publish(relay, false);
}

/* All pages are here: they are the roster if they hash to what the authority has signed. */
static enum result pages_join(struct relay *relay, const struct page_list *pages, const Page *page,
                              struct reason *why)
{
    struct entry_list list = {.rows = NULL};
    uint8_t hash[HASH_SIZE];
    enum result result = pages_entries(pages, &list);
    if (result == RESULT_OK) {
        result = roster_hash(list.entries, list.count, hash);
    }
    if (result == RESULT_OK && !bytes_equal(arena_view(page->hash), BYTES_OF(hash))) {
        result = RESULT_INVALID;
    }
    if (result == RESULT_OK) {
        result = pages_store(relay, &list, page, why);
    } else if (result == RESULT_INVALID) {
        result = pages_forget(relay, why);
        result = result == RESULT_OK ? roster_ask(relay, why) : result;
    }
    entry_list_clear(&list);
    return result;
}

static enum result pages_check(struct relay *relay, const Page *page, struct reason *why)
{
    struct page_list list = {.wanted = page->pages};
    list.pages = calloc((size_t)page->pages + 1, sizeof(Page *));
    if (list.pages == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a roster");
    }
    enum result result = store_query(store_of(relay), why, page_row, &list,
                                     "SELECT entries FROM roster_page WHERE identity = ? AND grp = ?"
                                     " AND page < ?",
                                     "ttu", owner_of(relay), group_of(relay), (uint64_t)page->pages);
    if (result == RESULT_OK && list.count == list.wanted) {
        result = pages_join(relay, &list, page, why);
    }
    page_list_clear(&list);
    return result;
}

enum result roster_take_page(struct identity_state *identity, const Page *page, struct reason *why)
{
    struct relay *relay = relay_find(identity, page->group, page->instance);
    if (relay == NULL) {
        return too_early(page->group, why);
    }
    GUARD(roster_page_check(page, BYTES_OF(relay->membership->authority_key), why));
    if (page->pages == 0 || page->pages > ROSTER_PAGES_LIMIT || page->page >= page->pages) {
        return result_fail(why, RESULT_INVALID, "page %u of %u of the roster of %s", page->page, page->pages,
                           group_of(relay));
    }
    if (roster_compare(&relay->roster, page->incarnation, page->number) <= 0) {
        return RESULT_OK;
    }
    GUARD(page_store(relay, page, why));
    return pages_check(relay, page, why);
}

/* ---- to the plugin ---- */

enum result roster_publish(const struct relay *relay, bool deleted)
{
    const struct roster *roster = &relay->roster;
    const struct identity_state *identity = relay->membership->identity;
    char *names[ROSTER_EVENT_NAMES];
    size_t count = deleted ? 0 : roster->count;
    uint32_t pages = (uint32_t)((count + ROSTER_EVENT_NAMES - 1) / ROSTER_EVENT_NAMES);
    pages = pages == 0 ? 1 : pages;
    if (!identity->online || (!deleted && !roster->present)) {
        return RESULT_OK; /* all of it comes when it is online */
    }
    for (uint32_t page = 0; page < pages; page++) {
        size_t first = (size_t)page * ROSTER_EVENT_NAMES;
        size_t length = count - first < ROSTER_EVENT_NAMES ? count - first : ROSTER_EVENT_NAMES;
        for (size_t i = 0; i < length; i++) {
            names[i] = roster->members[first + i].name;
        }
        struct roster_page_event event = {.group = group_of(relay),
                                          .site = relay->site,
                                          .members = names,
                                          .count = length,
                                          .deleted = deleted,
                                          .page = page,
                                          .pages = pages};
        GUARD(event_roster(identity, &event));
    }
    return RESULT_OK;
}
