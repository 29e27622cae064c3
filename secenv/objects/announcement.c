/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

typedef Groupseal__Envelope__Announcement Announcement;

static enum result announcement_limits(const Announcement *announcement, struct reason *why)
{
    const struct bytes top = {announcement->top.data, announcement->top.len};

    if (!object_group_valid(announcement->group)) {
        return result_fail(why, RESULT_INVALID, "an announcement has no valid group name");
    }
    const char *group = announcement->group;
    if (!field_sized(announcement->instance, INSTANCE_SIZE) ||
        !field_sized(announcement->confirmation, SECRET_SIZE) ||
        !field_sized(announcement->policy_hash, HASH_SIZE)) {
        return result_fail(why, RESULT_INVALID, "a field of the announcement of %s has a wrong size", group);
    }
    if (announcement->n_evicted > EVICTED_LIMIT) {
        return result_fail(why, RESULT_INVALID, "the announcement of %s names more than %u evicted senders",
                           group, EVICTED_LIMIT);
    }
    uint64_t serial = 0;
    for (size_t i = 0; i < announcement->n_evicted; i++) {
        if (announcement->evicted[i] == 0 || announcement->evicted[i] > UINT64_MAX - serial) {
            return result_fail(why, RESULT_INVALID, "the serials in the announcement of %s do not rise",
                               group);
        }
        serial += announcement->evicted[i];
    }
    if (announcement->height == 0 || announcement->height > TREE_HEIGHT_MAX ||
        tree_packed_check(top, tree_top_row(announcement->height), announcement->height) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "the top block of the announcement of %s is malformed",
                           group);
    }
    return RESULT_OK;
}

static void announcement_list(const Announcement *announcement, struct fields *list)
{
    fields_init(list);
    fields_label(list, "announcement");
    fields_text(list, announcement->group);
    list_fix(list, announcement->instance, INSTANCE_SIZE);
    fields_u64(list, announcement->incarnation);
    fields_u64(list, announcement->epoch);
    fields_u64(list, announcement->beat);
    fields_u32(list, announcement->height);
    list_fix(list, announcement->confirmation, SECRET_SIZE);
    list_fix(list, announcement->policy_hash, HASH_SIZE);
    fields_u64(list, announcement->time_ms);
    fields_u32(list, (uint32_t)announcement->n_evicted);
    for (size_t i = 0; i < announcement->n_evicted; i++) {
        fields_u64(list, announcement->evicted[i]);
    }
    fields_u8(list, announcement->overlap_ended ? 1 : 0);
    fields_var(list, (struct bytes){announcement->top.data, announcement->top.len});
}

enum result announcement_sign(Announcement *announcement, const struct signing_key *authority,
                              uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(announcement_limits(announcement, NULL));
    announcement_list(announcement, &list);
    return list_sign(&list, authority, signature, &announcement->signature);
}

enum result announcement_check(const Announcement *announcement, struct bytes authority_key,
                               struct reason *why)
{
    struct fields list;
    GUARD(announcement_limits(announcement, why));
    announcement_list(announcement, &list);
    return list_check(&list, authority_key, announcement->signature, "announcement", announcement->group,
                      why);
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int announcement_compare(const Announcement *a, const Announcement *b)
{
    int order = compare(a->incarnation, b->incarnation);
    if (order == 0) {
        order = compare(a->epoch, b->epoch);
    }
    return order != 0 ? order : compare(a->beat, b->beat);
}
