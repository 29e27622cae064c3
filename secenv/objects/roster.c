/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

#include <string.h>

typedef Groupseal__Envelope__RosterEntry RosterEntry;
typedef Groupseal__Envelope__RosterDelta RosterDelta;
typedef Groupseal__Envelope__RosterPage RosterPage;

static bool entry_valid(const RosterEntry *entry)
{
    return object_name_valid(entry->name) && field_sized(entry->signing_key, VERIFY_KEY_SIZE) &&
           (text_empty(entry->site) || object_site_valid(entry->site));
}

/* Valid, and in strictly rising byte order of the names: so none is there twice. */
static enum result entries_limits(RosterEntry *const *entries, size_t count, struct reason *why)
{
    for (size_t i = 0; i < count; i++) {
        if (!entry_valid(entries[i])) {
            return result_fail(why, RESULT_INVALID, "entry %zu of a roster is malformed", i);
        }
        if (i > 0 && strcmp(entries[i - 1]->name, entries[i]->name) >= 0) {
            return result_fail(why, RESULT_INVALID, "entry %zu of a roster, %s, is out of order", i,
                               entries[i]->name);
        }
    }
    return RESULT_OK;
}

static void entry_list(struct fields *list, const RosterEntry *entry)
{
    fields_text(list, entry->name);
    fields_u64(list, entry->incarnation);
    fields_u64(list, entry->serial);
    list_fix(list, entry->signing_key, VERIFY_KEY_SIZE);
    fields_text(list, entry->site);
}

static void entries_list(struct fields *list, RosterEntry *const *entries, size_t count)
{
    fields_u32(list, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        entry_list(list, entries[i]);
    }
}

static enum result entry_hash(const RosterEntry *entry, uint8_t out[HASH_SIZE])
{
    struct fields list;
    fields_init(&list);
    fields_label(&list, "roster entry");
    entry_list(&list, entry);
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

/* Sums of big-endian numbers of 256 bits, modulo 2^256. */
enum result roster_hash_add(uint8_t hash[HASH_SIZE], const RosterEntry *entry)
{
    uint8_t summand[HASH_SIZE];
    unsigned carry = 0;
    GUARD(entry_hash(entry, summand));
    for (size_t i = HASH_SIZE; i-- > 0;) {
        unsigned sum = (unsigned)hash[i] + summand[i] + carry;
        hash[i] = (uint8_t)sum;
        carry = sum >> 8;
    }
    return RESULT_OK;
}

enum result roster_hash_take(uint8_t hash[HASH_SIZE], const RosterEntry *entry)
{
    uint8_t taken[HASH_SIZE];
    unsigned borrow = 0;
    GUARD(entry_hash(entry, taken));
    for (size_t i = HASH_SIZE; i-- > 0;) {
        unsigned difference = 256u + hash[i] - taken[i] - borrow;
        hash[i] = (uint8_t)difference;
        borrow = difference < 256u ? 1 : 0;
    }
    return RESULT_OK;
}

enum result roster_hash(RosterEntry *const *entries, size_t count, uint8_t out[HASH_SIZE])
{
    GUARD(entries_limits(entries, count, NULL));
    memset(out, 0, HASH_SIZE);
    for (size_t i = 0; i < count; i++) {
        GUARD(roster_hash_add(out, entries[i]));
    }
    return RESULT_OK;
}

static enum result roster_head_limits(const char *group, ProtobufCBinaryData instance,
                                      ProtobufCBinaryData hash, struct reason *why)
{
    if (!object_group_valid(group)) {
        return result_fail(why, RESULT_INVALID, "a roster has no valid group name");
    }
    if (!field_sized(instance, INSTANCE_SIZE) || !field_sized(hash, HASH_SIZE)) {
        return result_fail(why, RESULT_INVALID, "a field of the roster of %s has a wrong size", group);
    }
    return RESULT_OK;
}

/* ---- delta ---- */

static bool set_has(const RosterDelta *delta, const char *name)
{
    for (size_t i = 0; i < delta->n_set; i++) {
        if (strcmp(delta->set[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum result removed_limits(const RosterDelta *delta, struct reason *why)
{
    if (!names_valid(delta->removed, delta->n_removed, PAGE_ENTRIES_LIMIT)) {
        return result_fail(why, RESULT_INVALID, "a name that the roster of %s removes is malformed",
                           delta->group);
    }
    for (size_t i = 0; i < delta->n_removed; i++) {
        if (i > 0 && strcmp(delta->removed[i - 1], delta->removed[i]) >= 0) {
            return result_fail(why, RESULT_INVALID, "%s, which the roster of %s removes, is out of order",
                               delta->removed[i], delta->group);
        }
        if (set_has(delta, delta->removed[i])) {
            return result_fail(why, RESULT_INVALID, "the roster of %s both sets and removes %s", delta->group,
                               delta->removed[i]);
        }
    }
    return RESULT_OK;
}

static enum result delta_limits(const RosterDelta *delta, struct reason *why)
{
    GUARD(roster_head_limits(delta->group, delta->instance, delta->hash, why));
    if (delta->n_set > PAGE_ENTRIES_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a delta of the roster of %s has more than %u entries",
                           delta->group, PAGE_ENTRIES_LIMIT);
    }
    GUARD(entries_limits(delta->set, delta->n_set, why));
    return removed_limits(delta, why);
}

static void delta_list(const RosterDelta *delta, struct fields *list)
{
    fields_init(list);
    fields_label(list, "roster delta");
    fields_text(list, delta->group);
    list_fix(list, delta->instance, INSTANCE_SIZE);
    fields_u64(list, delta->incarnation);
    fields_u64(list, delta->number);
    entries_list(list, delta->set, delta->n_set);
    list_texts(list, delta->removed, delta->n_removed);
    list_fix(list, delta->hash, HASH_SIZE);
}

enum result roster_delta_sign(RosterDelta *delta, const struct signing_key *authority,
                              uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(delta_limits(delta, NULL));
    delta_list(delta, &list);
    return list_sign(&list, authority, signature, &delta->signature);
}

enum result roster_delta_check(const RosterDelta *delta, struct bytes authority_key, struct reason *why)
{
    struct fields list;
    GUARD(delta_limits(delta, why));
    delta_list(delta, &list);
    return list_check(&list, authority_key, delta->signature, "roster delta", delta->group, why);
}

/* ---- page ---- */

static enum result page_limits(const RosterPage *page, struct reason *why)
{
    GUARD(roster_head_limits(page->group, page->instance, page->hash, why));
    if (page->page >= page->pages) {
        return result_fail(why, RESULT_INVALID, "the roster of %s has page %u of %u", page->group, page->page,
                           page->pages);
    }
    if (page->n_entries > PAGE_ENTRIES_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a page of the roster of %s has more than %u entries",
                           page->group, PAGE_ENTRIES_LIMIT);
    }
    return entries_limits(page->entries, page->n_entries, why);
}

static void page_list(const RosterPage *page, struct fields *list)
{
    fields_init(list);
    fields_label(list, "roster page");
    fields_text(list, page->group);
    list_fix(list, page->instance, INSTANCE_SIZE);
    fields_u64(list, page->incarnation);
    fields_u64(list, page->number);
    fields_u32(list, page->page);
    fields_u32(list, page->pages);
    entries_list(list, page->entries, page->n_entries);
    list_fix(list, page->hash, HASH_SIZE);
}

enum result roster_page_sign(RosterPage *page, const struct signing_key *authority,
                             uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(page_limits(page, NULL));
    page_list(page, &list);
    return list_sign(&list, authority, signature, &page->signature);
}

enum result roster_page_check(const RosterPage *page, struct bytes authority_key, struct reason *why)
{
    struct fields list;
    GUARD(page_limits(page, why));
    page_list(page, &list);
    return list_check(&list, authority_key, page->signature, "roster page", page->group, why);
}
