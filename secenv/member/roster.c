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
    /* Of a roster that is not whole yet: rows of 13 KB, which are counted without a look at them. */
    "CREATE TABLE IF NOT EXISTS roster_page ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, incarnation INTEGER NOT NULL, number INTEGER NOT NULL,"
    " page INTEGER NOT NULL, entries BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp, incarnation, number, page));";

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
        free(roster->members[i]);
    }
    free(roster->members);
    *roster = (struct roster){.present = false};
}

static int name_compare(const void *key, const void *member)
{
    return strcmp(key, (*(struct roster_member *const *)member)->name);
}

/* The place of the name's member in the list, or NULL. */
static struct roster_member **place_of(const struct roster *roster, const char *name)
{
    if (roster->count == 0) {
        return NULL;
    }
    return bsearch(name, roster->members, roster->count, sizeof(roster->members[0]), name_compare);
}

static struct roster_member *member_of(const struct roster *roster, const char *name)
{
    struct roster_member **place = place_of(roster, name);
    return place == NULL ? NULL : *place;
}

struct roster_member *roster_member(struct relay *relay, const char *name)
{
    return member_of(&relay->roster, name);
}

static bool is_here(const struct relay *relay, const char *site)
{
    return strcmp(site, relay->site) == 0;
}

const struct roster_member *roster_find(const struct relay *relay, const char *name)
{
    const struct roster_member *member = member_of(&relay->roster, name);
    return member != NULL && is_here(relay, member->site) ? member : NULL;
}

const struct roster_member *roster_find_sender(const struct relay *relay, const char *name, uint64_t serial)
{
    const struct roster_member *member = roster_find(relay, name);
    bool known = member != NULL && member->serial == serial &&
                 member->incarnation == relay->membership->incarnation &&
                 !evicted_has(&relay->evicted, member->incarnation, serial);
    return known ? member : NULL;
}

bool roster_sync_take(struct relay *relay, const char *name)
{
    const struct bucket_rate rate = {ROSTER_SYNCS_INTERVAL_US, ROSTER_SYNCS_BURST};
    struct roster_member *member = member_of(&relay->roster, name);
    return member != NULL &&
           bucket_take(&member->syncs, rate, engine_now_us(relay->membership->identity->engine));
}

static struct roster_member *member_new(const Entry *entry)
{
    size_t length = strlen(entry->name);
    struct roster_member *member = calloc(1, sizeof(*member) + length + 1);
    if (member != NULL) {
        member->incarnation = entry->incarnation;
        member->serial = entry->serial;
        memcpy(member->key, entry->signing_key.data, VERIFY_KEY_SIZE);
        (void)snprintf(member->site, sizeof(member->site), "%s", entry->site);
        memcpy(member->name, entry->name, length + 1);
    }
    return member;
}

static enum result room_make(struct roster *roster, size_t more)
{
    size_t larger = roster->capacity == 0 ? 16 : roster->capacity;
    if (roster->capacity - roster->count >= more) {
        return RESULT_OK;
    }
    while (larger - roster->count < more) {
        larger *= 2;
    }
    struct roster_member **members =
        realloc((void *)roster->members, larger * sizeof(struct roster_member *));
    if (members == NULL) {
        return RESULT_INTERNAL;
    }
    roster->members = members;
    roster->capacity = larger;
    return RESULT_OK;
}

static void serial_note(struct roster *roster, const struct roster_member *member)
{
    if (member->serial > roster->highest_serial) {
        roster->highest_serial = member->serial;
    }
}

/* Behind all that are there: the caller goes by the names. */
static enum result member_append(struct roster *roster, const Entry *entry)
{
    GUARD(room_make(roster, 1));
    roster->members[roster->count] = member_new(entry);
    if (roster->members[roster->count] == NULL) {
        return RESULT_INTERNAL;
    }
    serial_note(roster, roster->members[roster->count]);
    roster->count++;
    return RESULT_OK;
}

/* In the place of the one of that name, whose rate it takes over. */
static void member_replace(struct roster_member **place, struct roster_member *member)
{
    member->syncs = (*place)->syncs;
    holder_follow(&member->holder, &(*place)->holder, member->serial == (*place)->serial);
    free(*place);
    *place = member;
}

/* Those who are new, in rising order, into the list: it is gone through once, however many they are. */
static void members_merge(struct roster *roster, struct roster_member *const *fresh, size_t count)
{
    size_t from = roster->count;
    size_t to = roster->count + count;
    while (count > 0) {
        bool later = from > 0 && strcmp(roster->members[from - 1]->name, fresh[count - 1]->name) > 0;
        roster->members[--to] = later ? roster->members[--from] : fresh[--count];
    }
}

/* All of them or, without memory, none. They are in rising order. */
static enum result members_set(struct roster *roster, Entry *const *entries, size_t count)
{
    struct roster_member *members[PAGE_ENTRIES_LIMIT];
    size_t fresh = 0;
    enum result result = room_make(roster, count);
    size_t made = 0;
    while (result == RESULT_OK && made < count) {
        members[made] = member_new(entries[made]);
        result = members[made] != NULL ? RESULT_OK : RESULT_INTERNAL;
        made += result == RESULT_OK ? 1 : 0;
    }
    if (result != RESULT_OK) {
        while (made > 0) {
            free(members[--made]);
        }
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        struct roster_member **former = place_of(roster, members[i]->name);
        serial_note(roster, members[i]);
        if (former != NULL) {
            member_replace(former, members[i]);
        } else {
            members[fresh++] = members[i];
        }
    }
    members_merge(roster, members, fresh);
    roster->count += fresh;
    return RESULT_OK;
}

/* The list is gone through once. */
static void members_remove(struct roster *roster, char *const *names, size_t count)
{
    struct roster_member **first = NULL;
    for (size_t i = 0; i < count; i++) {
        struct roster_member **place = place_of(roster, names[i]);
        if (place != NULL && (first == NULL || place < first)) {
            first = place;
        }
    }
    if (first == NULL) {
        return;
    }
    size_t kept = (size_t)(first - roster->members);
    size_t next = 0;
    for (size_t i = kept; i < roster->count; i++) {
        struct roster_member *member = roster->members[i];
        while (next < count && strcmp(names[next], member->name) < 0) {
            next++;
        }
        if (next < count && strcmp(names[next], member->name) == 0) {
            free(member);
        } else {
            roster->members[kept++] = member;
        }
    }
    roster->count = kept;
}

/* ---- loading ---- */

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
    Entry entry = GROUPSEAL__ENVELOPE__ROSTER_ENTRY__INIT;
    struct bytes key = row_bytes(row, 3);
    if (key.length != VERIFY_KEY_SIZE) {
        return result_fail(why, RESULT_STORE, "a stored roster's key has a wrong size");
    }
    entry.name = (char *)(uintptr_t)row_text(row, 0);
    entry.incarnation = row_u64(row, 1);
    entry.serial = row_u64(row, 2);
    entry.signing_key = arena_field(key);
    entry.site = (char *)(uintptr_t)row_text(row, 4);
    return member_append(context, &entry);
}

static enum result roster_read(const struct relay *relay, struct roster *out, struct reason *why)
{
    GUARD(store_query(store_of(relay), why, head_row, out,
                      "SELECT incarnation, number, hash FROM roster WHERE identity = ? AND grp = ?", "tt",
                      owner_of(relay), group_of(relay)));
    return store_query(store_of(relay), why, member_row, out,
                       "SELECT name, incarnation, serial, key, site FROM roster_member"
                       " WHERE identity = ? AND grp = ? ORDER BY name",
                       "tt", owner_of(relay), group_of(relay));
}

static void buckets_keep(const struct roster *former, struct roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        const struct roster_member *member = member_of(former, roster->members[i]->name);
        if (member != NULL) {
            roster->members[i]->syncs = member->syncs;
            holder_follow(&roster->members[i]->holder, &member->holder,
                          roster->members[i]->serial == member->serial);
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
        relay->membership->waiting_due = true;
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

static enum result roster_ask_put(struct relay *relay, struct reason *why)
{
    Groupseal__Envelope__RosterAsk ask = GROUPSEAL__ENVELOPE__ROSTER_ASK__INIT;
    ask.group = relay->membership->group;
    ask.instance = arena_field(BYTES_OF(relay->membership->instance));
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK;
    body.roster_ask = &ask;
    char slot[GROUP_NAME_LIMIT + 16];
    (void)snprintf(slot, sizeof(slot), "roster %s", relay->membership->group);
    relay->roster_asked_us = engine_now_us(relay->membership->identity->engine);
    relay->roster_ask_due = false;
    return record_put(relay->membership->identity, slot, &body, why);
}

/* At once, but not again and again: the whole roster is long, and may be no better than the last one. */
static enum result roster_ask(struct relay *relay, struct reason *why)
{
    uint64_t now_us = engine_now_us(relay->membership->identity->engine);
    if (relay->roster_asked_us == 0 || now_us - relay->roster_asked_us >= ROSTER_ASK_INTERVAL_US) {
        return roster_ask_put(relay, why);
    }
    relay->roster_ask_due = true;
    identity_state_touch(relay->membership->identity);
    return RESULT_OK;
}

/* What is missing is on its way, as a rule: in pages, or in a delta that was overtaken. */
static enum result roster_wait(struct relay *relay, const Delta *delta, struct reason *why)
{
    if (relay->roster_gap_us == 0) {
        relay->roster_gap_us = engine_now_us(relay->membership->identity->engine);
        identity_state_touch(relay->membership->identity);
    }
    return result_fail(
        why, RESULT_NOT_READY, "change %llu of the roster of %s, whose %llu is the last that is here",
        (unsigned long long)delta->number, group_of(relay), (unsigned long long)relay->roster.number);
}

enum result roster_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    uint64_t now_us = engine_now_us(relay->membership->identity->engine);
    if (relay->roster_gap_us != 0) {
        uint64_t gap_due_us = relay->roster_gap_us + ROSTER_ASK_INTERVAL_US;
        if (now_us >= gap_due_us) {
            relay->roster_gap_us = 0;
            GUARD(roster_ask(relay, why));
        } else {
            *next = gap_due_us < *next ? gap_due_us : *next;
        }
    }
    uint64_t due_us = relay->roster_asked_us + ROSTER_ASK_INTERVAL_US;
    if (!relay->roster_ask_due) {
        return RESULT_OK;
    }
    if (now_us >= due_us) {
        return roster_ask_put(relay, why);
    }
    *next = due_us < *next ? due_us : *next;
    return RESULT_OK;
}

/* ---- deltas ---- */

static void entry_of(struct roster_member *member, Entry *out)
{
    groupseal__envelope__roster_entry__init(out);
    out->name = member->name;
    out->incarnation = member->incarnation;
    out->serial = member->serial;
    out->signing_key = arena_field(BYTES_OF(member->key));
    out->site = member->site;
}

static enum result hash_take_member(uint8_t hash[HASH_SIZE], struct roster_member *member)
{
    Entry entry;
    entry_of(member, &entry);
    return roster_hash_take(hash, &entry);
}

/* The hash of the list that the delta makes. INVALID: it removes somebody who is not there. */
static enum result delta_hash(const struct roster *roster, const Delta *delta, uint8_t hash[HASH_SIZE])
{
    memcpy(hash, roster->hash, HASH_SIZE); /* of no roster: zero */
    for (size_t i = 0; i < delta->n_removed; i++) {
        struct roster_member *member = member_of(roster, delta->removed[i]);
        if (member == NULL) {
            return RESULT_INVALID;
        }
        GUARD(hash_take_member(hash, member));
    }
    for (size_t i = 0; i < delta->n_set; i++) {
        struct roster_member *former = member_of(roster, delta->set[i]->name);
        if (former != NULL) {
            GUARD(hash_take_member(hash, former));
        }
        GUARD(roster_hash_add(hash, delta->set[i]));
    }
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

/* In memory, and to the plugin: who came to this site and who left it; of another key it has no use. */
static enum result delta_apply(struct relay *relay, const Delta *delta)
{
    struct roster *roster = &relay->roster;
    char *came[PAGE_ENTRIES_LIMIT];
    char *left[2 * PAGE_ENTRIES_LIMIT];
    struct roster_event event = {
        .group = group_of(relay), .site = relay->site, .members = came, .left = left};
    for (size_t i = 0; i < delta->n_removed; i++) {
        if (roster_find(relay, delta->removed[i]) != NULL) {
            left[event.left_count++] = delta->removed[i];
        }
    }
    for (size_t i = 0; i < delta->n_set; i++) {
        bool was_here = roster_find(relay, delta->set[i]->name) != NULL;
        bool here = is_here(relay, delta->set[i]->site);
        if (here && !was_here) {
            came[event.count++] = delta->set[i]->name;
        } else if (was_here && !here) {
            left[event.left_count++] = delta->set[i]->name;
        }
    }
    members_remove(roster, delta->removed, delta->n_removed);
    GUARD(members_set(roster, delta->set, delta->n_set));
    bool first = !roster->present;
    roster->present = true;
    roster->incarnation = delta->incarnation;
    roster->number = delta->number;
    memcpy(roster->hash, delta->hash.data, HASH_SIZE);
    relay->membership->waiting_due = true;
    if (first) {
        return roster_publish(relay, false); /* there is no list yet that could change */
    }
    bool told = relay->membership->identity->online && event.count + event.left_count > 0;
    return told ? event_roster(relay->membership->identity, &event) : RESULT_OK;
}

static enum result delta_follow(struct relay *relay, const Delta *delta, struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    enum result result = delta_hash(&relay->roster, delta, hash);
    if (result == RESULT_INVALID ||
        (result == RESULT_OK && !bytes_equal(arena_view(delta->hash), BYTES_OF(hash)))) {
        return roster_ask(relay, why); /* ours is not the one that it was made from */
    }
    GUARD(result);
    GUARD(delta_store(relay, delta, why));
    relay->roster_gap_us = 0;
    return delta_apply(relay, delta);
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
    return delta_follows(&relay->roster, delta) ? delta_follow(relay, delta, why)
                                                : roster_wait(relay, delta, why);
}

/* ---- pages ---- */

/* Pages of another version than this. Four ranges of the key: (incarnation, number) compared as a row goes
 * through all pages of this version, with each page. */
static enum result other_pages_drop(const struct relay *relay, const Page *page, struct reason *why)
{
    static const char *const others[] = {
        "DELETE FROM roster_page WHERE identity = ? AND grp = ? AND incarnation = ? AND number < ?",
        "DELETE FROM roster_page WHERE identity = ? AND grp = ? AND incarnation = ? AND number > ?",
        "DELETE FROM roster_page WHERE identity = ? AND grp = ? AND incarnation < ?",
        "DELETE FROM roster_page WHERE identity = ? AND grp = ? AND incarnation > ?",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        GUARD(store_run(store_of(relay), why, others[i], i < 2 ? "ttuu" : "ttu", owner_of(relay),
                        group_of(relay), page->incarnation, page->number));
    }
    return RESULT_OK;
}

static enum result page_store(const struct relay *relay, const Page *page, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(other_pages_drop(relay, page, why));
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

/* The list that pages make, as entries in the order of their names; they point into the pages. */
struct entry_list {
    Entry **entries;
    size_t count;
};

static void entry_list_clear(struct entry_list *list)
{
    free((void *)list->entries);
    *list = (struct entry_list){.entries = NULL};
}

static int entry_compare(const void *a, const void *b)
{
    const Entry *const *left = a;
    const Entry *const *right = b;
    return strcmp((*left)->name, (*right)->name);
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

/* Of one that is not there. A statement that can do no more than fail costs the same however large the
 * transaction is; what may also replace has a journal of its own, which SQLite ends by going through the
 * whole transaction's. */
static enum result entry_insert(const struct relay *relay, const Entry *entry, struct reason *why)
{
    return store_run(store_of(relay), why,
                     "INSERT INTO roster_member (identity, grp, name, incarnation, serial, key, site)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)",
                     "tttuubt", owner_of(relay), group_of(relay), entry->name, entry->incarnation,
                     entry->serial, arena_view(entry->signing_key), entry->site);
}

static enum result pages_store(struct relay *relay, const struct entry_list *list, const Page *page,
                               struct reason *why)
{
    GUARD(rows_drop(relay, why));
    for (size_t i = 0; i < list->count; i++) {
        GUARD(entry_insert(relay, list->entries[i], why));
    }
    GUARD(head_store(relay, page->incarnation, page->number, arena_view(page->hash), why));
    GUARD(roster_load(relay, why));
    return roster_publish(relay, false);
}

/* All pages are here: they are the roster if they hash to what the authority has signed. */
static enum result pages_join(struct relay *relay, const struct page_list *pages, const Page *page,
                              struct reason *why)
{
    struct entry_list list = {.entries = NULL};
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
    uint64_t there = 0;
    GUARD(store_number(store_of(relay), why, &there,
                       "SELECT count(*) FROM roster_page WHERE identity = ? AND grp = ?", "tt",
                       owner_of(relay), group_of(relay)));
    if (there < page->pages) {
        return RESULT_OK;
    }
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
    relay->roster_gap_us = 0;
    return pages_check(relay, page, why);
}

/* ---- to the plugin ---- */

static size_t count_here(const struct relay *relay)
{
    size_t count = 0;
    for (size_t i = 0; i < relay->roster.count; i++) {
        count += is_here(relay, relay->roster.members[i]->site) ? 1 : 0;
    }
    return count;
}

/* The names of a page, from the `*at`-th member of the roster on. */
static size_t page_names(const struct relay *relay, size_t *at, char *names[ROSTER_EVENT_NAMES])
{
    const struct roster *roster = &relay->roster;
    size_t length = 0;
    while (*at < roster->count && length < ROSTER_EVENT_NAMES) {
        struct roster_member *member = roster->members[(*at)++];
        if (is_here(relay, member->site)) {
            names[length++] = member->name;
        }
    }
    return length;
}

enum result roster_publish(const struct relay *relay, bool deleted)
{
    const struct identity_state *identity = relay->membership->identity;
    char *names[ROSTER_EVENT_NAMES];
    size_t count = deleted ? 0 : count_here(relay);
    uint32_t pages = (uint32_t)((count + ROSTER_EVENT_NAMES - 1) / ROSTER_EVENT_NAMES);
    size_t at = 0;
    pages = pages == 0 ? 1 : pages;
    if (!identity->online || (!deleted && !relay->roster.present)) {
        return RESULT_OK; /* all of it comes when it is online */
    }
    for (uint32_t page = 0; page < pages; page++) {
        size_t length = count == 0 ? 0 : page_names(relay, &at, names);
        struct roster_event event = {.group = group_of(relay),
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
