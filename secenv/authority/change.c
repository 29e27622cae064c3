/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/change.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"
#include "secenv/authority/collection.h"
#include "secenv/authority/difference.h"
#include "secenv/authority/feed.h"
#include "secenv/authority/group_tree.h"
#include "secenv/authority/holding.h"
#include "secenv/authority/roster_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char change_schema[] = "CREATE TABLE IF NOT EXISTS evicted_sender ("
                             "  group_id INTEGER NOT NULL,"
                             "  serial INTEGER NOT NULL,"
                             "  at_ms INTEGER NOT NULL,"
                             "  PRIMARY KEY (group_id, serial)"
                             ") WITHOUT ROWID;";

typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__Announcement Announcement;

/* ---- into the store ---- */

static enum result departures_store(struct engine *engine, const struct group *group,
                                    const struct difference *difference, struct reason *why)
{
    for (size_t i = 0; i < difference->departure_count; i++) {
        const struct departure *departure = &difference->departures[i];
        GUARD(store_run(engine->store, why, "DELETE FROM leaf WHERE group_id = ? AND leaf_index = ?", "ii",
                        group->id, (int64_t)departure->index));
        GUARD(store_run(engine->store, why,
                        "INSERT OR REPLACE INTO evicted_sender (group_id, serial, at_ms) VALUES (?, ?, ?)",
                        "iuu", group->id, departure->serial, clock_wall_ms(engine->clock)));
    }
    return RESULT_OK;
}

/* And what was told of those that have not come again. */
static enum result arrivals_store(struct engine *engine, const struct group *group,
                                  struct difference *difference, struct reason *why)
{
    for (size_t i = 0; i < difference->arrival_count; i++) {
        struct arrival *arrival = &difference->arrivals[i];
        arrival->leaf.epoch = group->epoch;
        GUARD(store_run(engine->store, why,
                        "INSERT OR REPLACE INTO leaf (group_id, leaf_index, member_id, serial, epoch,"
                        " association, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        "iiiuubu", group->id, (int64_t)arrival->leaf.index, arrival->leaf.member_id,
                        arrival->leaf.serial, group->epoch, BYTES_OF(arrival->association),
                        clock_wall_ms(engine->clock)));
        if (arrival->leaf.kind == IDENTITY_MN_CSE) { /* it may have lost what it had */
            GUARD(feed_forget(engine, group, arrival->leaf.member_id, why));
            GUARD(roster_feed_forget(engine, group, arrival->leaf.member_id, why));
        }
    }
    for (size_t i = 0; i < difference->departure_count; i++) {
        GUARD(holding_departed(engine, group, difference->departures[i].name, why));
    }
    return RESULT_OK;
}

/* ---- policy ---- */

static enum result policy_relays(const struct group *group, const struct leaves *leaves, struct arena *arena,
                                 Policy *policy)
{
    policy->relays = arena_alloc(arena, (leaves->count + 1) * sizeof(*policy->relays));
    Groupseal__Envelope__Relay *relays = arena_alloc(arena, (leaves->count + 1) * sizeof(*relays));
    if (policy->relays == NULL || relays == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < leaves->count; i++) {
        const struct leaf *leaf = &leaves->items[i];
        char level[SITE_LIMIT + 1];
        GUARD(object_site_of(leaf->name, level, sizeof(level)));
        Groupseal__Envelope__Relay *relay = &relays[policy->n_relays];
        groupseal__envelope__relay__init(relay);
        relay->name = arena_text(arena, leaf->name);
        relay->site = arena_text(arena, level);
        relay->incarnation = group->incarnation;
        relay->serial = leaf->serial;
        relay->key.len = VERIFY_KEY_SIZE;
        relay->key.data = arena_copy(arena, BYTES_OF(leaf->signing_key));
        if (relay->name == NULL || relay->site == NULL || relay->key.data == NULL) {
            return RESULT_INTERNAL;
        }
        policy->relays[policy->n_relays++] = relay;
    }
    return RESULT_OK;
}

/* The IN-CSE, everywhere; and where the group lets them, each MN-CSE at its own site. */
static enum result policy_commanders(struct engine *engine, const struct group *group, struct arena *arena,
                                     Policy *policy)
{
    size_t room = policy->n_relays + 1;
    policy->commanders = arena_alloc(arena, room * sizeof(*policy->commanders));
    Groupseal__Envelope__Commander *commanders = arena_alloc(arena, room * sizeof(*commanders));
    if (policy->commanders == NULL || commanders == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__commander__init(&commanders[0]);
    commanders[0].name = engine->identity.name;
    commanders[0].key = arena_field(BYTES_OF(engine->keys.commander.public_key));
    policy->commanders[policy->n_commanders++] = &commanders[0];
    for (size_t i = 0; !group->authority_only && i < policy->n_relays; i++) {
        Groupseal__Envelope__Commander *commander = &commanders[i + 1];
        groupseal__envelope__commander__init(commander);
        commander->name = policy->relays[i]->name;
        commander->key = policy->relays[i]->key;
        commander->sites = &policy->relays[i]->site;
        commander->n_sites = 1;
        policy->commanders[policy->n_commanders++] = commander;
    }
    return RESULT_OK;
}

static enum result policy_make(struct engine *engine, const struct group *group, const struct leaves *leaves,
                               struct arena *arena, Policy *policy)
{
    groupseal__envelope__policy__init(policy);
    policy->group = arena_text(arena, group->name);
    policy->instance.data = arena_copy(arena, BYTES_OF(group->instance));
    policy->instance.len = INSTANCE_SIZE;
    policy->incarnation = group->incarnation;
    policy->number = group->policy_number;
    policy->aead = (Groupseal__Envelope__Aead)group->aead;
    policy->overlap_ms = group->overlap_ms;
    policy->response_window_ms = group->response_window_ms;
    policy->beat_interval_s = group->beat_interval_s;
    policy->refuse_when_overdue = group->refuse_when_overdue;
    policy->sign_member_messages = group->sign_member_messages;
    policy->authority_only = group->authority_only;
    if (policy->group == NULL || policy->instance.data == NULL) {
        return RESULT_INTERNAL;
    }
    GUARD(policy_relays(group, leaves, arena, policy));
    return policy_commanders(engine, group, arena, policy);
}

struct hash_row {
    uint8_t hash[HASH_SIZE];
    bool found;
};

static enum result policy_hash_read(void *context, const struct store_row *row, struct reason *why)
{
    struct hash_row *stored = context;
    struct bytes bytes = row_bytes(row, 0);
    Policy *policy = groupseal__envelope__policy__unpack(NULL, bytes.length, bytes.data);
    if (policy == NULL) {
        return result_fail(why, RESULT_STORE, "a stored policy is damaged");
    }
    enum result result = policy_hash(policy, stored->hash);
    stored->found = result == RESULT_OK;
    groupseal__envelope__policy__free_unpacked(policy, NULL);
    return result;
}

/* Signs a policy of the next number where it says something else than the stored one. `hash`: of the one that
 * is in force. */
static enum result policy_update(struct engine *engine, struct group *group, const struct leaves *leaves,
                                 struct arena *arena, uint8_t hash[HASH_SIZE], struct reason *why)
{
    Policy policy;
    struct hash_row stored = {.found = false};
    uint8_t signature[SIGNATURE_SIZE];
    GUARD(store_query(engine->store, why, policy_hash_read, &stored,
                      "SELECT policy FROM key_group WHERE id = ? AND policy IS NOT NULL", "i", group->id));
    GUARD(policy_make(engine, group, leaves, arena, &policy));
    GUARD(policy_hash(&policy, hash));
    if (stored.found && memcmp(hash, stored.hash, HASH_SIZE) == 0) {
        return RESULT_OK;
    }
    policy.number = ++group->policy_number;
    GUARD(policy_hash(&policy, hash));
    GUARD(policy_sign(&policy, &engine->keys.authority, signature));
    size_t size = groupseal__envelope__policy__get_packed_size(&policy);
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL) {
        return RESULT_INTERNAL;
    }
    struct bytes view = {packed, groupseal__envelope__policy__pack(&policy, packed)};
    return store_run(engine->store, why, "UPDATE key_group SET policy = ?, policy_number = ? WHERE id = ?",
                     "bui", view, group->policy_number, group->id);
}

/* ---- announcement ---- */

static enum result evicted_read(void *context, const struct store_row *row, struct reason *why)
{
    Announcement *announcement = context;
    (void)why;
    if (announcement->n_evicted == EVICTED_LIMIT) {
        announcement->overlap_ended = 1;
        return RESULT_OK;
    }
    announcement->evicted[announcement->n_evicted++] = row_u64(row, 0);
    return RESULT_OK;
}

static int serial_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* From `newest`, the last that left first: as many as the announcement has room for, in rising order, as the
 * distances between them. */
static void evicted_name(Announcement *announcement, const uint64_t newest[EVICTED_LIMIT], size_t count)
{
    memcpy(announcement->evicted, newest, count * sizeof(*newest));
    qsort(announcement->evicted, count, sizeof(*newest), serial_compare);
    for (size_t i = count; i > 1; i--) {
        announcement->evicted[i - 1] -= announcement->evicted[i - 2];
    }
    announcement->n_evicted = count;
}

static void evicted_fit(Announcement *announcement)
{
    uint64_t newest[EVICTED_LIMIT];
    size_t count = announcement->n_evicted;
    memcpy(newest, announcement->evicted, count * sizeof(*newest));
    evicted_name(announcement, newest, count);
    while (count > 0 &&
           groupseal__envelope__announcement__get_packed_size(announcement) > ANNOUNCEMENT_SIZE) {
        announcement->overlap_ended = 1;
        evicted_name(announcement, newest, --count);
    }
}

/* Who left within the overlap; older rows are of no use to anyone. A beat after it does not say any more who
 * left with this key: whoever climbs to it no sooner than now has nothing to hear of the former one. */
static enum result announcement_evicted(struct engine *engine, const struct group *group, struct arena *arena,
                                        Announcement *announcement, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    uint64_t since_ms = wall_ms > group->overlap_ms ? wall_ms - group->overlap_ms : 0;
    uint64_t changed_ms = 0;
    announcement->evicted = arena_alloc(arena, EVICTED_LIMIT * sizeof(*announcement->evicted));
    if (announcement->evicted == NULL) {
        return RESULT_INTERNAL;
    }
    GUARD(store_number(engine->store, why, &changed_ms, "SELECT changed_ms FROM key_group WHERE id = ?", "i",
                       group->id));
    announcement->overlap_ended =
        wall_ms - changed_ms >= group->overlap_ms; /* a clock set back ends it, too */
    GUARD(store_run(engine->store, why, "DELETE FROM evicted_sender WHERE group_id = ? AND at_ms < ?", "iu",
                    group->id, since_ms));
    return store_query(
        engine->store, why, evicted_read, announcement,
        "SELECT serial FROM evicted_sender WHERE group_id = ? ORDER BY at_ms DESC, serial DESC", "i",
        group->id);
}

static enum result confirmation_make(const struct group *group, const struct tree *tree, struct arena *arena,
                                     ProtobufCBinaryData *out)
{
    struct secret root = {{0}};
    struct secret epoch = {{0}};
    struct secret confirmation = {{0}};
    enum result result = tree_root(tree, &root) ? RESULT_OK : RESULT_INTERNAL;
    if (result == RESULT_OK) {
        result = epoch_secret(&root, group->instance, group->incarnation, group->epoch, &epoch);
    }
    if (result == RESULT_OK) {
        result = epoch_confirmation(&epoch, &confirmation);
    }
    if (result == RESULT_OK) {
        out->len = SECRET_SIZE;
        out->data = arena_copy(arena, secret_bytes(&confirmation));
        result = out->data != NULL ? RESULT_OK : RESULT_INTERNAL;
    }
    secret_wipe(&root);
    secret_wipe(&epoch);
    secret_wipe(&confirmation);
    return result;
}

static enum result top_pack(struct tree *tree, struct arena *arena, ProtobufCBinaryData *out,
                            struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct tree_place top = {.row = tree_top_row(tree_height(tree)), .column = 0};
    enum result result = tree_pack(tree, top, &packed, why);
    if (result == RESULT_OK) {
        out->len = packed.length;
        out->data = arena_copy(arena, buffer_bytes(&packed));
        result = out->data != NULL ? RESULT_OK : RESULT_INTERNAL;
    }
    buffer_clear(&packed);
    return result;
}

/* Signs the group's announcement as group and tree say now, and stores all of it. */
static enum result announcement_update(struct engine *engine, struct group *group, struct tree *tree,
                                       const uint8_t hash[HASH_SIZE], struct arena *arena, struct reason *why)
{
    Announcement announcement = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    announcement.group = group->name;
    announcement.instance = arena_field(BYTES_OF(group->instance));
    announcement.incarnation = group->incarnation;
    announcement.epoch = group->epoch;
    announcement.beat = ++group->beat;
    announcement.height = tree_height(tree);
    announcement.policy_hash = arena_field((struct bytes){hash, HASH_SIZE});
    GUARD(carried_clock_sign(engine, &announcement.time_ms, why));
    group->announced_us = clock_monotonic_us(engine->clock);
    GUARD(confirmation_make(group, tree, arena, &announcement.confirmation));
    GUARD(announcement_evicted(engine, group, arena, &announcement, why));
    GUARD(top_pack(tree, arena, &announcement.top, why));
    announcement.signature = arena_field(BYTES_OF(signature)); /* for its size */
    evicted_fit(&announcement);
    GUARD(announcement_sign(&announcement, &engine->keys.authority, signature));
    size_t size = groupseal__envelope__announcement__get_packed_size(&announcement);
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL) {
        return RESULT_INTERNAL;
    }
    struct bytes view = {packed, groupseal__envelope__announcement__pack(&announcement, packed)};
    return store_run(
        engine->store, why,
        "UPDATE key_group SET epoch = ?, beat = ?, height = ?, announced_ms = ?, announcement = ?"
        " WHERE id = ?",
        "uuiubi", group->epoch, group->beat, (int64_t)announcement.height, clock_wall_ms(engine->clock), view,
        group->id);
}

/* ---- packages ---- */

enum result package_put(struct engine *engine, const struct group *group, const struct leaf *leaf,
                        struct reason *why)
{
    Groupseal__Envelope__KeyPackage package = GROUPSEAL__ENVELOPE__KEY_PACKAGE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    struct secret secret = {{0}};
    char slot[32 + GROUP_NAME_LIMIT];
    char level[SITE_LIMIT + 1];
    char *sites[] = {level};
    GUARD(object_site_of(leaf->site, level, sizeof(level)));
    enum result result = tree_leaf(group->tree, leaf->index, &secret, why);
    if (result != RESULT_OK) {
        return result == RESULT_UNKNOWN
                   ? result_fail(why, RESULT_INTERNAL, "the leaf of %s in group %s is empty", leaf->name,
                                 group->name)
                   : result;
    }
    package.group = (char *)(uintptr_t)group->name;
    package.instance = arena_field(BYTES_OF(group->instance));
    package.incarnation = group->incarnation;
    package.epoch = leaf->epoch;
    package.leaf_index = leaf->index;
    package.leaf_secret = arena_field(secret_bytes(&secret));
    package.serial = leaf->serial;
    package.authority_key = arena_field(BYTES_OF(engine->keys.authority.public_key));
    package.sites = sites;
    package.n_sites = 1;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE;
    body.package = &package;
    (void)snprintf(slot, sizeof(slot), "package %s", group->name);
    result = outbox_put(engine->outbox, engine->identity.name, leaf->name, slot, &body, why);
    secret_wipe(&secret);
    return result;
}

static enum result packages_put(struct engine *engine, const struct group *group,
                                const struct difference *difference, struct reason *why)
{
    for (size_t i = 0; i < difference->arrival_count; i++) {
        const struct leaf *leaf = &difference->arrivals[i].leaf;
        enum result result = package_put(engine, group, leaf, why);
        GUARD(arrears_take(engine, group, leaf, result, why));
    }
    return RESULT_OK;
}

/* ---- the roster's change ---- */

typedef Groupseal__Envelope__RosterEntry RosterEntry;

static int entry_compare(const void *a, const void *b)
{
    const RosterEntry *const *left = a;
    const RosterEntry *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int text_compare(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static enum result entry_make(const struct group *group, struct leaf *leaf, struct arena *arena,
                              RosterEntry **out)
{
    char level[SITE_LIMIT + 1];
    RosterEntry *entry = arena_alloc(arena, sizeof(*entry));
    GUARD(object_site_of(leaf->site, level, sizeof(level)));
    if (entry == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__roster_entry__init(entry);
    entry->name = leaf->name;
    entry->incarnation = group->incarnation;
    entry->serial = leaf->serial;
    entry->signing_key = arena_field(BYTES_OF(leaf->signing_key));
    entry->site = arena_text(arena, level);
    *out = entry;
    return entry->site != NULL ? RESULT_OK : RESULT_INTERNAL;
}

static bool arrives(const struct roster_change *change, const char *name)
{
    RosterEntry key = {.name = (char *)(uintptr_t)name};
    const RosterEntry *sought = &key;
    return change->set_count > 0 && bsearch((const void *)&sought, (const void *)change->set,
                                            change->set_count, sizeof(change->set[0]), entry_compare) != NULL;
}

/* Both lists in byte order; who leaves and comes again in one change is only set. */
static enum result roster_difference(const struct group *group, struct difference *difference,
                                     struct arena *arena, struct roster_change *out)
{
    *out = (struct roster_change){.set_count = 0};
    out->set = arena_alloc(arena, (difference->arrival_count + 1) * sizeof(*out->set));
    out->removed = arena_alloc(arena, (difference->departure_count + 1) * sizeof(*out->removed));
    if (out->set == NULL || out->removed == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < difference->arrival_count; i++) {
        GUARD(entry_make(group, &difference->arrivals[i].leaf, arena, &out->set[out->set_count++]));
    }
    qsort((void *)out->set, out->set_count, sizeof(out->set[0]), entry_compare);
    for (size_t i = 0; i < difference->departure_count; i++) {
        if (!arrives(out, difference->departures[i].name)) {
            out->removed[out->removed_count++] = difference->departures[i].name;
        }
    }
    qsort((void *)out->removed, out->removed_count, sizeof(out->removed[0]), text_compare);
    return RESULT_OK;
}

/* ---- the change ---- */

/* Nobody is left: there is no key, so there is nothing to announce. */
static enum result change_store_empty(struct engine *engine, const struct group *group, uint32_t height,
                                      struct reason *why)
{
    return store_run(engine->store, why,
                     "UPDATE key_group SET epoch = ?, height = ?, announcement = NULL WHERE id = ?", "uii",
                     group->epoch, (int64_t)height, group->id);
}

static enum result tree_store(struct engine *engine, const struct group *group, struct reason *why)
{
    GUARD(group_tree_store(group, why));
    return store_run(engine->store, why, "UPDATE key_group SET changed_ms = ? WHERE id = ?", "ui",
                     clock_wall_ms(engine->clock), group->id);
}

static bool group_has_key(const struct group *group)
{
    struct secret root;
    bool has_key = tree_root(group->tree, &root);
    secret_wipe(&root);
    return has_key;
}

static enum result news_update(struct engine *engine, struct group *group, const struct leaves *mn_cses,
                               struct arena *arena, struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    if (!group_has_key(group)) {
        return change_store_empty(engine, group, tree_height(group->tree), why);
    }
    GUARD(policy_update(engine, group, mn_cses, arena, hash, why));
    return announcement_update(engine, group, group->tree, hash, arena, why);
}

/* The tree is changed already: a change that cannot be written ends the turn, and with it the process. */
static enum result change_store(struct engine *engine, struct group *group, struct difference *difference,
                                const struct tree_place *touched, size_t touched_count, struct arena *arena,
                                struct reason *why)
{
    struct leaves mn_cses;
    struct roster_change roster;
    GUARD(departures_store(engine, group, difference, why));
    GUARD(arrivals_store(engine, group, difference, why));
    GUARD(tree_store(engine, group, why));
    GUARD(feed_blocks_note(engine, group, touched, touched_count, why));
    GUARD(leaves_load_mn_cses(engine->store, group, arena, &mn_cses, why));
    GUARD(news_update(engine, group, &mn_cses, arena, why));
    /* The roster first: with the key an MN-CSE hears those who came, and no more those who left. The packages
     * last: who has one subscribes, which the MN-CSE denies to those that it does not know yet. */
    GUARD(roster_difference(group, difference, arena, &roster));
    GUARD(roster_feed_change(engine, group, &roster, &mn_cses, arena, why));
    GUARD(feed_change_all(engine, group, &mn_cses, arena, why));
    return packages_put(engine, group, difference, why);
}

static enum result change_make(struct engine *engine, struct group *group, struct difference *difference,
                               struct arena *arena, struct reason *why)
{
    struct tree_place *touched = NULL;
    size_t touched_count = 0;
    bool rotate = group->rotate;
    group->epoch++;
    group->rotate = false;
    group->changed_us = clock_monotonic_us(engine->clock);
    struct reason detail = {""};
    enum result result =
        difference_apply(difference, rotate, group->tree, arena, &touched, &touched_count, &detail);
    if (result != RESULT_OK) {
        return result_fail(why, result, "group %s cannot be changed: %.160s", group->name, detail.text);
    }
    GUARD(change_store(engine, group, difference, touched, touched_count, arena, why));
    tree_clean(group->tree);
    audit_count(AUDIT_GROUP_KEYS_MADE);
    log_of_peer(engine, group->name, "group %s: epoch %llu, %zu came, %zu left", group->name,
                (unsigned long long)group->epoch, difference->arrival_count, difference->departure_count);
    return RESULT_OK;
}

enum result group_change(struct engine *engine, struct group *group, struct arena *arena, struct reason *why)
{
    struct difference difference = {.arrivals = NULL};
    GUARD(difference_load(engine, group, arena, &difference, why));
    GUARD(difference_place(&difference, group->tree));
    if (difference.full) {
        GUARD(authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                               "group %s has no place for more than %u members: others wait until one leaves",
                               group->name, MEMBERS_LIMIT));
    }
    bool changed =
        difference.arrival_count + difference.departure_count > 0 || (group->rotate && group_has_key(group));
    if (changed) {
        GUARD(change_make(engine, group, &difference, arena, why));
    }
    difference_done(&difference, group);
    collection_end(group);
    return RESULT_OK;
}

enum result group_beat(struct engine *engine, struct group *group, struct arena *arena, struct reason *why)
{
    struct leaves mn_cses;
    struct hash_row stored = {.found = false};
    GUARD(leaves_load_mn_cses(engine->store, group, arena, &mn_cses, why));
    GUARD(store_query(engine->store, why, policy_hash_read, &stored,
                      "SELECT policy FROM key_group WHERE id = ? AND policy IS NOT NULL", "i", group->id));
    GUARD(announcement_update(engine, group, group->tree, stored.hash, arena, why));
    return feed_change_all(engine, group, &mn_cses, arena, why);
}

/* When the group's next beat is due; never for one without a key or that must not be published. */
static uint64_t beat_due_us(const struct group *group)
{
    return group_has_key(group) && !group->held ? group->announced_us + group->beat_interval_s * 1000000ull
                                                : UINT64_MAX;
}

/* The same for its next rotation by age. */
static uint64_t rotation_due_us(const struct group *group)
{
    return group->rotate_every_s != 0 && group_has_key(group) && !group->held
               ? group->changed_us + group->rotate_every_s * 1000000ull
               : UINT64_MAX;
}

/* Nobody who leaves stays for another turn, however many they are: the next order may be before it. */
enum result group_change_due(struct engine *engine, struct group *group, bool *made, struct reason *why)
{
    *made = false;
    if (group->due) {
        GUARD(incarnation_hold_review(engine, group, why));
    }
    while (group->due && !group->held && (!*made || group->leaving)) {
        *made = true;
        GUARD(group_change(engine, group, engine->scratch, why));
        arena_reset(engine->scratch);
    }
    return RESULT_OK;
}

enum result changes_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    for (size_t i = 0; i < engine->groups.count; i++) {
        struct group *group = engine->groups.items[i];
        if (rotation_due_us(group) <= now_us) {
            group->rotate = true;
            group->due = true;
        }
        uint64_t collected_us = group->later_us != 0 ? group->later_us : UINT64_MAX;
        if (collected_us <= now_us) {
            GUARD(collection_held(engine, group, &collected_us, why));
        }
        if (collected_us == 0) {
            group->due = true;
            collection_end(group);
        }
        bool made = false;
        GUARD(group_change_due(engine, group, &made, why));
        *next = made && group->due ? 0 : *next; /* more came than one change could have */
        uint64_t rotation_us = rotation_due_us(group);
        *next = rotation_us < *next ? rotation_us : *next;
        *next = group->later_us != 0 && collected_us < *next ? collected_us : *next;
        uint64_t due_us = beat_due_us(group);
        if (due_us <= now_us) {
            GUARD(group_beat(engine, group, engine->scratch, why));
            arena_reset(engine->scratch);
            due_us = beat_due_us(group);
        }
        *next = due_us < *next ? due_us : *next;
    }
    return RESULT_OK;
}
