/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/change.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"
#include "secenv/authority/feed.h"

#include <stdio.h>
#include <string.h>

const char change_schema[] = "CREATE TABLE IF NOT EXISTS evicted_sender ("
                             "  group_id INTEGER NOT NULL,"
                             "  serial INTEGER NOT NULL,"
                             "  at_ms INTEGER NOT NULL,"
                             "  PRIMARY KEY (group_id, serial)"
                             ") WITHOUT ROWID;";

typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__Announcement Announcement;

/* A leaf that comes, or comes anew. */
struct arrival {
    int64_t member_id;
    uint64_t serial;
    uint8_t association[ASSOCIATION_ID_SIZE];
    uint32_t index;
    bool placed; /* it had a leaf, and keeps its index */
    bool is_mn;
    struct secret secret;
};

struct departure {
    uint64_t serial;
    uint32_t index;
    bool reused;
};

struct difference {
    struct arrival arrivals[MEMBERS_LIMIT];
    size_t arrival_count;
    struct departure departures[MEMBERS_LIMIT];
    size_t departure_count;
    bool taken[MEMBERS_LIMIT]; /* indexes of leaves that stay */
    bool full;
};

/* ---- the difference between roster and tree ---- */

static enum result departure_read(void *context, const struct store_row *row, struct reason *why)
{
    struct difference *difference = context;
    int64_t index = row_int(row, 0);
    if (index < 0 || index >= (int64_t)MEMBERS_LIMIT) {
        return result_fail(why, RESULT_STORE, "a leaf's row is damaged");
    }
    if (row_int(row, 2) != 0) {
        difference->taken[index] = true;
    } else {
        difference->departures[difference->departure_count++] =
            (struct departure){.serial = row_u64(row, 1), .index = (uint32_t)index};
    }
    return RESULT_OK;
}

static enum result arrival_read(void *context, const struct store_row *row, struct reason *why)
{
    struct difference *difference = context;
    struct bytes association = row_bytes(row, 2);
    if (association.length != ASSOCIATION_ID_SIZE) {
        return result_fail(why, RESULT_STORE, "a member's row is damaged");
    }
    if (difference->arrival_count == MEMBERS_LIMIT) {
        difference->full = true;
        return RESULT_OK;
    }
    struct arrival *arrival = &difference->arrivals[difference->arrival_count++];
    arrival->member_id = row_int(row, 0);
    arrival->serial = row_u64(row, 1);
    memcpy(arrival->association, association.data, ASSOCIATION_ID_SIZE);
    arrival->placed = row_int(row, 3) >= 0;
    arrival->index = arrival->placed ? (uint32_t)row_int(row, 3) : 0;
    arrival->is_mn = row_int(row, 4) == IDENTITY_MN_CSE;
    return RESULT_OK;
}

static enum result difference_load(struct engine *engine, const struct group *group, struct difference *out,
                                   struct reason *why)
{
    GUARD(store_query(engine->store, why, departure_read, out,
                      "SELECT l.leaf_index, l.serial, EXISTS (SELECT 1 FROM group_candidate c WHERE"
                      " c.group_id = l.group_id AND c.member_id = l.member_id AND c.state = 2)"
                      " FROM leaf l WHERE l.group_id = ? ORDER BY l.leaf_index",
                      "i", group->id));
    return store_query(engine->store, why, arrival_read, out,
                       "SELECT m.id, m.serial, m.association, coalesce(l.leaf_index, -1), m.kind"
                       " FROM group_candidate c JOIN member m ON m.id = c.member_id"
                       " LEFT JOIN leaf l ON l.group_id = c.group_id AND l.member_id = m.id"
                       " WHERE c.group_id = ? AND c.state = 2"
                       " AND (l.member_id IS NULL OR l.association <> m.association) ORDER BY m.id",
                       "i", group->id);
}

/* The index of a leaf that leaves in this very change can be given away: its secret is replaced. */
static void departure_reuse(struct difference *difference, uint32_t index)
{
    for (size_t i = 0; i < difference->departure_count; i++) {
        if (difference->departures[i].index == index) {
            difference->departures[i].reused = true;
        }
    }
}

static enum result arrivals_place(struct difference *difference)
{
    for (size_t i = 0; i < difference->arrival_count; i++) {
        struct arrival *arrival = &difference->arrivals[i];
        GUARD(random_bytes(arrival->secret.data, SECRET_SIZE));
        while (!arrival->placed && arrival->index < MEMBERS_LIMIT && difference->taken[arrival->index]) {
            arrival->index++;
        }
        if (arrival->index == MEMBERS_LIMIT) {
            difference->full = true;
            return RESULT_OK;
        }
        difference->taken[arrival->index] = true;
        departure_reuse(difference, arrival->index);
    }
    return RESULT_OK;
}

static enum result difference_apply(const struct difference *difference, bool rotate, struct tree *tree)
{
    struct tree_leaf_change changes[2 * MEMBERS_LIMIT];
    size_t count = 0;
    size_t touched = 0;
    memset(changes, 0, sizeof(changes));
    for (size_t i = 0; i < difference->departure_count; i++) {
        if (!difference->departures[i].reused) {
            changes[count++].index = difference->departures[i].index;
        }
    }
    for (size_t i = 0; i < difference->arrival_count; i++) {
        const struct arrival *arrival = &difference->arrivals[i];
        changes[count++] =
            (struct tree_leaf_change){.index = arrival->index, .occupied = true, .secret = arrival->secret};
    }
    enum result result = tree_change(tree, changes, count, rotate, NULL, 0, &touched);
    secret_wipe_bytes(changes, sizeof(changes));
    return result;
}

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

static enum result arrivals_store(struct engine *engine, const struct group *group,
                                  const struct difference *difference, struct reason *why)
{
    for (size_t i = 0; i < difference->arrival_count; i++) {
        const struct arrival *arrival = &difference->arrivals[i];
        GUARD(store_run(engine->store, why,
                        "INSERT OR REPLACE INTO leaf (group_id, leaf_index, member_id, serial, epoch,"
                        " association, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        "iiiuubu", group->id, (int64_t)arrival->index, arrival->member_id, arrival->serial,
                        group->epoch, BYTES_OF(arrival->association), clock_wall_ms(engine->clock)));
        if (arrival->is_mn) {
            GUARD(feed_forget(engine, group, arrival->member_id, why));
        }
    }
    return RESULT_OK;
}

/* ---- policy ---- */

static enum result policy_relays(const struct group *group, const struct leaves *leaves, struct arena *arena,
                                 Policy *policy)
{
    policy->relays = arena_alloc(arena, MEMBERS_LIMIT * sizeof(*policy->relays));
    Groupseal__Envelope__Relay *relays = arena_alloc(arena, MEMBERS_LIMIT * sizeof(*relays));
    if (policy->relays == NULL || relays == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < leaves->count; i++) {
        const struct leaf *leaf = &leaves->items[i];
        char level[SITE_LIMIT + 1];
        if (leaf->kind != IDENTITY_MN_CSE) {
            continue;
        }
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

struct evicted_list {
    Announcement *announcement;
    uint64_t incarnation;
    struct arena *arena;
};

static enum result evicted_read(void *context, const struct store_row *row, struct reason *why)
{
    struct evicted_list *list = context;
    Announcement *announcement = list->announcement;
    if (announcement->n_evicted == EVICTED_LIMIT) {
        announcement->overlap_ended = 1;
        return RESULT_OK;
    }
    Groupseal__Envelope__Sender *sender = arena_alloc(list->arena, sizeof(*sender));
    if (sender == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the evicted senders");
    }
    groupseal__envelope__sender__init(sender);
    sender->incarnation = list->incarnation;
    sender->serial = row_u64(row, 0);
    announcement->evicted[announcement->n_evicted++] = sender;
    return RESULT_OK;
}

/* Who left within the overlap; older rows are of no use to anyone. */
static enum result announcement_evicted(struct engine *engine, const struct group *group, struct arena *arena,
                                        Announcement *announcement, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    uint64_t since_ms = wall_ms > group->overlap_ms ? wall_ms - group->overlap_ms : 0;
    struct evicted_list list = {announcement, group->incarnation, arena};
    announcement->evicted = arena_alloc(arena, EVICTED_LIMIT * sizeof(*announcement->evicted));
    if (announcement->evicted == NULL) {
        return RESULT_INTERNAL;
    }
    GUARD(store_run(engine->store, why, "DELETE FROM evicted_sender WHERE group_id = ? AND at_ms < ?", "iu",
                    group->id, since_ms));
    return store_query(
        engine->store, why, evicted_read, &list,
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

static enum result top_pack(const struct tree *tree, struct arena *arena, ProtobufCBinaryData *out)
{
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    struct tree_place top = {.row = tree_top_row(tree_height(tree)), .column = 0};
    enum result result = tree_pack(tree, top, &packed);
    if (result == RESULT_OK) {
        out->len = packed.length;
        out->data = arena_copy(arena, buffer_bytes(&packed));
        result = out->data != NULL ? RESULT_OK : RESULT_INTERNAL;
    }
    buffer_clear(&packed);
    return result;
}

/* Signs the group's announcement as group and tree say now, and stores all of it. */
static enum result announcement_update(struct engine *engine, struct group *group, const struct tree *tree,
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
    announcement.time_ms = clock_wall_ms(engine->clock);
    group->announced_us = clock_monotonic_us(engine->clock);
    GUARD(confirmation_make(group, tree, arena, &announcement.confirmation));
    GUARD(announcement_evicted(engine, group, arena, &announcement, why));
    GUARD(top_pack(tree, arena, &announcement.top));
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
        "uuiubi", group->epoch, group->beat, (int64_t)announcement.height, announcement.time_ms, view,
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
    GUARD(leaf_secret(group, leaf->index, &secret));
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
    enum result result = outbox_put(engine->outbox, engine->identity.name, leaf->name, slot, &body, why);
    secret_wipe(&secret);
    return result;
}

/* To everyone whose leaf entered the tree in this epoch. */
static enum result packages_put(struct engine *engine, const struct group *group, const struct leaves *leaves,
                                struct reason *why)
{
    for (size_t i = 0; i < leaves->count; i++) {
        if (leaves->items[i].epoch == group->epoch) {
            enum result result = package_put(engine, group, &leaves->items[i], why);
            GUARD(arrears_take(engine, group, &leaves->items[i], result, why));
        }
    }
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
    GUARD(group_store_tree(engine->store, group, why));
    return store_run(engine->store, why, "UPDATE key_group SET changed_ms = ? WHERE id = ?", "ui",
                     clock_wall_ms(engine->clock), group->id);
}

/* Writes all of the change. `next` is the group as it will be, `next->tree` its new tree. */
static enum result change_store(struct engine *engine, struct group *next,
                                const struct difference *difference, struct arena *arena, struct reason *why)
{
    struct leaves leaves;
    uint8_t hash[HASH_SIZE];
    GUARD(departures_store(engine, next, difference, why));
    GUARD(arrivals_store(engine, next, difference, why));
    GUARD(tree_store(engine, next, why));
    GUARD(leaves_load(engine->store, next, &leaves, why));
    if (leaves.count == 0) {
        GUARD(change_store_empty(engine, next, tree_height(next->tree), why));
    } else {
        GUARD(policy_update(engine, next, &leaves, arena, hash, why));
        GUARD(announcement_update(engine, next, next->tree, hash, arena, why));
    }
    GUARD(packages_put(engine, next, &leaves, why));
    GUARD(feed_change_all(engine, next, &leaves, arena, why));
    return feed_roster(engine, next, &leaves, arena, why);
}

static enum result change_make(struct engine *engine, struct group *group, struct difference *difference,
                               struct arena *arena, struct reason *why)
{
    struct group *next = arena_alloc(arena, sizeof(*next));
    struct tree *tree = tree_clone(group->tree);
    if (next == NULL || tree == NULL) {
        tree_free(tree);
        return result_fail(why, RESULT_INTERNAL, "no memory for a change of group %s", group->name);
    }
    *next = *group;
    next->tree = tree;
    next->epoch++;
    next->due = false;
    next->rotate = false;
    next->changed_us = clock_monotonic_us(engine->clock);
    enum result result = difference_apply(difference, group->rotate, tree);
    if (result == RESULT_OK) {
        result = change_store(engine, next, difference, arena, why);
    } else {
        result = result_fail(why, result, "the tree of group %s cannot be changed", group->name);
    }
    if (result != RESULT_OK) {
        tree_free(tree);
        return result;
    }
    tree_clean(tree);
    tree_free(group->tree);
    *group = *next;
    audit_count(AUDIT_GROUP_KEYS_MADE);
    log_of_peer(engine, group->name, "group %s: epoch %llu, %zu came, %zu left", group->name,
                (unsigned long long)group->epoch, difference->arrival_count, difference->departure_count);
    return RESULT_OK;
}

static bool group_has_key(const struct group *group)
{
    struct secret root;
    bool has_key = tree_root(group->tree, &root);
    secret_wipe(&root);
    return has_key;
}

enum result group_change(struct engine *engine, struct group *group, struct arena *arena, struct reason *why)
{
    struct difference difference;
    memset(&difference, 0, sizeof(difference));
    enum result result = difference_load(engine, group, &difference, why);
    if (result == RESULT_OK) {
        result = arrivals_place(&difference);
    }
    bool changed =
        difference.arrival_count + difference.departure_count > 0 || (group->rotate && group_has_key(group));
    if (result == RESULT_OK && changed && difference.full) {
        result = authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                                  "group %s has more than %u members: it is not changed", group->name,
                                  MEMBERS_LIMIT);
    } else if (result == RESULT_OK && changed) {
        result = change_make(engine, group, &difference, arena, why);
    }
    if (result == RESULT_OK) {
        group->due = false;
        group->later_us = 0;
    }
    secret_wipe_bytes(&difference, sizeof(difference));
    return result;
}

enum result group_beat(struct engine *engine, struct group *group, struct arena *arena, struct reason *why)
{
    struct leaves leaves;
    struct hash_row stored = {.found = false};
    struct group *next = arena_alloc(arena, sizeof(*next));
    if (next == NULL) {
        return RESULT_INTERNAL;
    }
    *next = *group;
    GUARD(leaves_load(engine->store, group, &leaves, why));
    GUARD(store_query(engine->store, why, policy_hash_read, &stored,
                      "SELECT policy FROM key_group WHERE id = ? AND policy IS NOT NULL", "i", group->id));
    GUARD(announcement_update(engine, next, group->tree, stored.hash, arena, why));
    GUARD(feed_change_all(engine, next, &leaves, arena, why));
    *group = *next;
    return RESULT_OK;
}

/* When the group's next beat is due; never for one without a key or that must not be published. */
static uint64_t beat_due_us(const struct group *group)
{
    return group_has_key(group) && !group->frozen ? group->announced_us + group->beat_interval_s * 1000000ull
                                                  : UINT64_MAX;
}

/* The same for its next rotation by age. */
static uint64_t rotation_due_us(const struct group *group)
{
    return group->rotate_every_s != 0 && group_has_key(group) && !group->frozen
               ? group->changed_us + group->rotate_every_s * 1000000ull
               : UINT64_MAX;
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
        if (group->later_us != 0 && group->later_us <= now_us) {
            group->due = true;
            group->later_us = 0;
        }
        if (group->due && !group->frozen) {
            GUARD(group_change(engine, group, engine->scratch, why));
            arena_reset(engine->scratch);
        }
        uint64_t rotation_us = rotation_due_us(group);
        *next = rotation_us < *next ? rotation_us : *next;
        *next = group->later_us != 0 && group->later_us < *next ? group->later_us : *next;
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
