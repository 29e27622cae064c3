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

static void entries_list(struct fields *list, RosterEntry *const *entries, size_t count)
{
    fields_u32(list, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        fields_text(list, entries[i]->name);
        fields_u64(list, entries[i]->incarnation);
        fields_u64(list, entries[i]->serial);
        list_fix(list, entries[i]->signing_key, VERIFY_KEY_SIZE);
        fields_text(list, entries[i]->site);
    }
}

enum result roster_hash(RosterEntry *const *entries, size_t count, uint8_t out[HASH_SIZE])
{
    struct fields list;
    GUARD(entries_limits(entries, count, NULL));
    fields_init(&list);
    entries_list(&list, entries, count);
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
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
