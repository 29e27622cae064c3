/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/membership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/command.h"
#include "secenv/member/command_table.h"
#include "secenv/member/event.h"
#include "secenv/member/holding.h"
#include "secenv/member/news.h"
#include "secenv/member/overdue.h"
#include "secenv/member/package_ask.h"
#include "secenv/member/relay.h"
#include "secenv/member/replay.h"
#include "secenv/member/speaking.h"

const char membership_schema[] =
    "CREATE TABLE IF NOT EXISTS membership ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, instance BLOB NOT NULL, incarnation INTEGER NOT NULL,"
    " joined_epoch INTEGER NOT NULL, leaf_index INTEGER NOT NULL, leaf BLOB NOT NULL,"
    " serial INTEGER NOT NULL, authority_key BLOB NOT NULL, sites TEXT NOT NULL,"
    " announcement BLOB NOT NULL DEFAULT x'', policy BLOB NOT NULL DEFAULT x'',"
    " PRIMARY KEY (identity, grp)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS epoch_key ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, age INTEGER NOT NULL," /* 0 current, 1 previous */
    " epoch INTEGER NOT NULL, secret BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp, age)) WITHOUT ROWID;";

#define PURPOSE_SIZE 256u
#define WINDOW_DEFAULT_MS 500u
#define WINDOW_PLACE_US 500u
#define SITES_TEXT_SIZE ((size_t)MEMBERSHIP_SITES_LIMIT * (SITE_LIMIT + 1u))

static void leaf_purpose(const char *identity, const char *group, char out[PURPOSE_SIZE])
{
    (void)snprintf(out, PURPOSE_SIZE, "membership/leaf/%s/%s", identity, group);
}

/* ---- looking ---- */

struct membership *membership_find(const struct identity_state *identity, const char *group)
{
    struct membership *membership = identity->memberships;
    while (membership != NULL && strcmp(membership->group, group) != 0) {
        membership = membership->next;
    }
    return membership;
}

struct site_sync *membership_site(struct membership *membership, const char *site)
{
    for (size_t i = 0; i < membership->site_count; i++) {
        if (strcmp(membership->sites[i].site, site) == 0) {
            return &membership->sites[i];
        }
    }
    return NULL;
}

const Groupseal__Envelope__Policy *membership_policy(const struct membership *membership)
{
    const struct known_policy *known = &membership->policy;
    bool named = membership->announced.present && known->policy != NULL &&
                 memcmp(known->hash, membership->announced.policy_hash, HASH_SIZE) == 0;
    return named ? known->policy : NULL;
}

bool membership_ready(const struct membership *membership)
{
    return membership->current.present && membership_policy(membership) != NULL;
}

uint64_t membership_response_window_us(const struct membership *membership)
{
    const Groupseal__Envelope__Policy *policy = membership_policy(membership);
    uint64_t window_us = 1000u * (uint64_t)(policy == NULL ? WINDOW_DEFAULT_MS : policy->response_window_ms);
    uint64_t least_us = (uint64_t)WINDOW_PLACE_US << membership->announced.height;
    return window_us > least_us ? window_us : least_us;
}

enum epoch_age membership_epoch_age(const struct membership *membership, uint64_t epoch)
{
    if (!membership->current.present || epoch > membership->current.epoch) {
        return EPOCH_NEWER;
    }
    if (epoch == membership->current.epoch) {
        return EPOCH_CURRENT;
    }
    bool kept = membership->previous.present && epoch == membership->previous.epoch;
    return kept ? EPOCH_PREVIOUS : EPOCH_GONE;
}

/* ---- making and freeing ---- */

static struct membership *membership_new(struct identity_state *identity, const char *group)
{
    struct membership *membership = calloc(1, sizeof(*membership));
    if (membership == NULL) {
        return NULL;
    }
    membership->identity = identity;
    (void)snprintf(membership->group, sizeof(membership->group), "%s", group);
    membership->waiting_news = BUFFER_EMPTY(OBJECT_LIMIT);
    membership->resubscribe_us = NEVER;
    membership->holding_due_us = NEVER;
    news_clear(membership);
    overdue_start(membership);
    silence_init(&membership->silence);
    return membership;
}

void membership_free(struct membership *membership)
{
    if (membership == NULL) {
        return;
    }
    relay_free(membership->relay);
    membership->relay = NULL;
    news_clear(membership);
    receipt_queue_clear(&membership->receipts);
    secret_wipe_bytes(membership, sizeof(*membership));
    free(membership);
}

/* Serials are the authority's and never reused: so is the counter's name. */
static void seal_counter_name(struct membership *membership)
{
    char name[160];
    char instance[2 * INSTANCE_SIZE + 1];
    for (size_t i = 0; i < INSTANCE_SIZE; i++) {
        (void)snprintf(&instance[2 * i], 3, "%02x", membership->instance[i]);
    }
    (void)snprintf(name, sizeof(name), "seal/%s/%llu/%llu", instance,
                   (unsigned long long)membership->incarnation, (unsigned long long)membership->serial);
    counter_init(&membership->seal_counter, name);
}

static void sites_reset(struct membership *membership, char *const *sites, size_t count)
{
    memset(membership->sites, 0, sizeof(membership->sites));
    membership->site_count = count;
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(membership->sites[i].site, sizeof(membership->sites[i].site), "%s", sites[i]);
        sync_start(&membership->sites[i]);
    }
}

/* ---- loading ---- */

static enum result sites_load(struct membership *membership, const char *text, struct reason *why)
{
    char copy[SITES_TEXT_SIZE];
    char *sites[MEMBERSHIP_SITES_LIMIT];
    size_t count = 0;
    (void)snprintf(copy, sizeof(copy), "%s", text);
    char *rest = NULL;
    for (char *site = strtok_r(copy, "\n", &rest); site != NULL; site = strtok_r(NULL, "\n", &rest)) {
        if (count == MEMBERSHIP_SITES_LIMIT) {
            return result_fail(why, RESULT_STORE, "the stored sites of %s are too many", membership->group);
        }
        sites[count++] = site;
    }
    sites_reset(membership, sites, count);
    return RESULT_OK;
}

static enum result row_fixed(const struct store_row *row, int column, uint8_t *out, size_t size,
                             struct reason *why)
{
    struct bytes value = row_bytes(row, column);
    if (value.length != size) {
        return result_fail(why, RESULT_STORE, "a stored field of a membership has a wrong size");
    }
    memcpy(out, value.data, size);
    return RESULT_OK;
}

static enum result membership_read(struct membership *membership, const struct store_row *row,
                                   struct reason *why)
{
    char purpose[PURPOSE_SIZE];
    leaf_purpose(membership->identity->identity.name, membership->group, purpose);
    GUARD(row_fixed(row, 1, membership->instance, INSTANCE_SIZE, why));
    membership->incarnation = row_u64(row, 2);
    membership->joined_epoch = row_u64(row, 3);
    membership->leaf_index = (uint32_t)row_int(row, 4);
    GUARD(row_secret(row, 5, purpose, &membership->leaf, why));
    secret_note("leaf secret", membership->leaf.data, SECRET_SIZE);
    membership->serial = row_u64(row, 6);
    GUARD(row_fixed(row, 7, membership->authority_key, VERIFY_KEY_SIZE, why));
    GUARD(sites_load(membership, row_text(row, 8), why));
    seal_counter_name(membership);
    return news_load(membership, row_bytes(row, 9), row_bytes(row, 10), why);
}

static enum result membership_row(void *context, const struct store_row *row, struct reason *why)
{
    struct identity_state *identity = context;
    struct membership *membership = membership_new(identity, row_text(row, 0));
    if (membership == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a membership");
    }
    membership->next = identity->memberships;
    identity->memberships = membership;
    identity->membership_count++;
    return membership_read(membership, row, why);
}

static enum result epoch_key_row(void *context, const struct store_row *row, struct reason *why)
{
    struct membership *membership = context;
    int age = (int)row_int(row, 0);
    char purpose[PURPOSE_SIZE];
    (void)snprintf(purpose, sizeof(purpose), "epoch_key/%s/%s/%d", membership->identity->identity.name,
                   membership->group, age);
    struct epoch_key *key = age == 0 ? &membership->current : &membership->previous;
    key->present = true;
    key->epoch = row_u64(row, 1);
    GUARD(row_secret(row, 2, purpose, &key->secret, why));
    secret_note("epoch secret", key->secret.data, SECRET_SIZE);
    return RESULT_OK;
}

static enum result membership_load_rest(struct membership *membership, struct reason *why)
{
    struct identity_state *identity = membership->identity;
    GUARD(store_query(identity->engine->setup.store, why, epoch_key_row, membership,
                      "SELECT age, epoch, secret FROM epoch_key WHERE identity = ? AND grp = ?", "tt",
                      identity->identity.name, membership->group));
    if (identity_is_relay(identity)) {
        GUARD(relay_open(membership, why));
    }
    return command_table_interrupted(membership, why);
}

enum result membership_load_all(struct identity_state *identity, struct reason *why)
{
    GUARD(store_query(identity->engine->setup.store, why, membership_row, identity,
                      "SELECT grp, instance, incarnation, joined_epoch, leaf_index, leaf, serial,"
                      " authority_key, sites, announcement, policy FROM membership WHERE identity = ?",
                      "t", identity->identity.name));
    for (struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        GUARD(membership_load_rest(membership, why));
    }
    return RESULT_OK;
}

/* ---- key package ---- */

static enum result package_sites_check(const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    if (package->n_sites == 0 || package->n_sites > MEMBERSHIP_SITES_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a key package of %s names %zu sites, not 1 to %u",
                           package->group, package->n_sites, MEMBERSHIP_SITES_LIMIT);
    }
    for (size_t i = 0; i < package->n_sites; i++) {
        if (!object_site_valid(package->sites[i])) {
            return result_fail(why, RESULT_INVALID, "a key package of %s names a malformed site",
                               package->group);
        }
    }
    return RESULT_OK;
}

static enum result package_check(const struct identity_state *identity,
                                 const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    if (!object_group_valid(package->group)) {
        return result_fail(why, RESULT_INVALID, "a key package has no valid group name");
    }
    if (package->instance.len != INSTANCE_SIZE || package->leaf_secret.len != SECRET_SIZE ||
        package->authority_key.len != VERIFY_KEY_SIZE || package->leaf_index >> TREE_HEIGHT_MAX != 0) {
        return result_fail(why, RESULT_INVALID, "a field of the key package of %s is malformed",
                           package->group);
    }
    if (membership_find(identity, package->group) == NULL &&
        identity->membership_count == MEMBERSHIPS_LIMIT) {
        return result_fail(why, RESULT_FULL, "%s is in %u groups already", identity->identity.name,
                           MEMBERSHIPS_LIMIT);
    }
    return package_sites_check(package, why);
}

static bool package_is_older(const struct membership *membership,
                             const Groupseal__Envelope__KeyPackage *package)
{
    if (package->incarnation != membership->incarnation) {
        return package->incarnation < membership->incarnation;
    }
    return package->epoch < membership->joined_epoch;
}

static void package_sites_text(const Groupseal__Envelope__KeyPackage *package, char out[SITES_TEXT_SIZE])
{
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < package->n_sites; i++) {
        length += (size_t)snprintf(out + length, SITES_TEXT_SIZE - length, "%s%s", i == 0 ? "" : "\n",
                                   package->sites[i]);
    }
}

static enum result package_store(struct identity_state *identity,
                                 const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    char purpose[PURPOSE_SIZE];
    char sites[SITES_TEXT_SIZE];
    leaf_purpose(identity->identity.name, package->group, purpose);
    package_sites_text(package, sites);
    return store_run(
        identity->engine->setup.store, why,
        "INSERT INTO membership (identity, grp, instance, incarnation, joined_epoch, leaf_index, leaf,"
        " serial, authority_key, sites) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (identity, grp) DO UPDATE SET incarnation = excluded.incarnation,"
        " joined_epoch = excluded.joined_epoch, leaf_index = excluded.leaf_index, leaf = excluded.leaf,"
        " serial = excluded.serial, authority_key = excluded.authority_key, sites = excluded.sites",
        "ttbuuusubt", identity->identity.name, package->group, arena_view(package->instance),
        package->incarnation, package->epoch, (uint64_t)package->leaf_index, purpose,
        arena_view(package->leaf_secret), package->serial, arena_view(package->authority_key), sites);
}

static bool package_sites_are(const struct membership *membership,
                              const Groupseal__Envelope__KeyPackage *package)
{
    bool same = membership->site_count == package->n_sites;
    for (size_t i = 0; same && i < package->n_sites; i++) {
        same = strcmp(membership->sites[i].site, package->sites[i]) == 0;
    }
    return same;
}

static void package_enter(struct membership *membership, const Groupseal__Envelope__KeyPackage *package)
{
    memcpy(membership->instance, package->instance.data, INSTANCE_SIZE);
    membership->incarnation = package->incarnation;
    membership->joined_epoch = package->epoch;
    membership->leaf_index = package->leaf_index;
    memcpy(membership->leaf.data, package->leaf_secret.data, SECRET_SIZE);
    secret_note("leaf secret", membership->leaf.data, SECRET_SIZE);
    membership->serial = package->serial;
    memcpy(membership->authority_key, package->authority_key.data, VERIFY_KEY_SIZE);
    if (!package_sites_are(membership, package)) {
        sites_reset(membership, package->sites, package->n_sites);
    }
    seal_counter_name(membership);
}

/* Everything that belongs to the group as it was, secrets first. What was executed in this instance stays
 * known, in case that it is joined again. */
static enum result membership_drop(struct membership *membership, struct reason *why)
{
    struct identity_state *identity = membership->identity;
    struct store *store = identity->engine->setup.store;
    GUARD(store_run(store, why, "DELETE FROM epoch_key WHERE identity = ? AND grp = ?", "tt",
                    identity->identity.name, membership->group));
    GUARD(store_run(store, why, "DELETE FROM membership WHERE identity = ? AND grp = ?", "tt",
                    identity->identity.name, membership->group));
    GUARD(package_ask_drop(membership, why));
    if (membership->relay != NULL) {
        GUARD(relay_unpublish(membership, why));
        GUARD(relay_drop(membership, why));
    }
    struct membership **link = &identity->memberships;
    while (*link != membership) {
        link = &(*link)->next;
    }
    *link = membership->next;
    identity->membership_count--;
    membership_free(membership);
    return RESULT_OK;
}

static enum result membership_add(struct identity_state *identity,
                                  const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    GUARD(command_table_forget_others(identity, package->group, arena_view(package->instance), why));
    GUARD(replay_forget_others(identity, package->group, arena_view(package->instance), why));
    GUARD(package_store(identity, package, why));
    struct membership *membership = membership_new(identity, package->group);
    if (membership == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a membership");
    }
    package_enter(membership, package);
    membership->next = identity->memberships;
    identity->memberships = membership;
    identity->membership_count++;
    return identity_is_relay(identity) ? relay_open(membership, why) : RESULT_OK;
}

/* A new incarnation: keys and policy of the old one are worth nothing any more. */
static enum result incarnation_enter(struct membership *membership, uint64_t incarnation, struct reason *why)
{
    if (incarnation == membership->incarnation) {
        return RESULT_OK;
    }
    struct identity_state *identity = membership->identity;
    GUARD(store_run(identity->engine->setup.store, why,
                    "DELETE FROM epoch_key WHERE identity = ? AND grp = ?", "tt", identity->identity.name,
                    membership->group));
    GUARD(store_run(identity->engine->setup.store, why,
                    "UPDATE membership SET announcement = x'', policy = x'' WHERE identity = ? AND grp = ?",
                    "tt", identity->identity.name, membership->group));
    news_clear(membership);
    return RESULT_OK;
}

static enum result membership_renew(struct membership *membership,
                                    const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    GUARD(package_store(membership->identity, package, why));
    GUARD(package_ask_drop(membership, why)); /* else a late answer to it would be taken for one of now */
    GUARD(incarnation_enter(membership, package->incarnation, why));
    package_enter(membership, package);
    return RESULT_OK;
}

enum result membership_take_package(struct identity_state *identity,
                                    const Groupseal__Envelope__KeyPackage *package, struct reason *why)
{
    GUARD(package_check(identity, package, why));
    struct membership *membership = membership_find(identity, package->group);
    bool same_instance =
        membership != NULL && bytes_equal(arena_view(package->instance), BYTES_OF(membership->instance));
    if (same_instance && package_is_older(membership, package)) {
        return RESULT_OK; /* a newer one has come first */
    }
    if (same_instance) {
        GUARD(membership_renew(membership, package, why));
    } else {
        if (membership != NULL) {
            GUARD(membership_drop(membership, why));
        }
        GUARD(membership_add(identity, package, why));
        membership = membership_find(identity, package->group);
    }
    audit_count(AUDIT_PACKAGES_OPENED);
    GUARD(relay_climb(membership, why));
    GUARD(news_climb_again(membership, why));
    identity_state_touch(identity);
    return event_joined(membership);
}

/* ---- incarnation ---- */

static struct membership *membership_before(const struct identity_state *identity, uint64_t incarnation)
{
    struct membership *membership = identity->memberships;
    while (membership != NULL && membership->incarnation >= incarnation) {
        membership = membership->next;
    }
    return membership;
}

enum result memberships_end_before(struct identity_state *identity, uint64_t incarnation, struct reason *why)
{
    struct membership *membership;
    while ((membership = membership_before(identity, incarnation)) != NULL) {
        char group[GROUP_NAME_LIMIT + 1];
        memcpy(group, membership->group, sizeof(group));
        GUARD(membership_drop(membership, why));
        GUARD(event_departed(identity, group, "the authority has begun anew (a new incarnation)"));
    }
    return RESULT_OK;
}

/* ---- left ---- */

/* What was executed, heard and said in a group that is no more: no instance of the name is the empty one. */
static enum result instance_forget(const struct identity_state *identity, const char *group,
                                   const char *seal_counter, struct reason *why)
{
    struct bytes none = bytes_of_text("");
    GUARD(store_run(identity->engine->setup.store, why, "DELETE FROM counter WHERE name = ?", "t",
                    seal_counter));
    GUARD(command_table_forget_others(identity, group, none, why));
    return replay_forget_others(identity, group, none, why);
}

/* Evicted, maybe: then the association is gone at the authority, which can never say so if it is let in
 * again. */
static void left_alone(struct identity_state *identity)
{
    if (identity->membership_count == 0) {
        authentication_ask_later(identity);
    }
}

enum result membership_take_left(struct identity_state *identity, const Groupseal__Envelope__Left *left,
                                 struct reason *why)
{
    struct membership *membership = membership_find(identity, left->group);
    if (membership == NULL || !bytes_equal(arena_view(left->instance), BYTES_OF(membership->instance))) {
        left_alone(identity);
        return RESULT_OK; /* gone already, or never come: its key package may have been on its way */
    }
    bool older = left->incarnation != membership->incarnation ? left->incarnation < membership->incarnation
                                                              : left->epoch < membership->joined_epoch;
    if (older) {
        return RESULT_OK; /* joined again since */
    }
    struct counter seal_counter = membership->seal_counter;
    GUARD(membership_drop(membership, why));
    if (left->deleted) {
        GUARD(instance_forget(identity, left->group, seal_counter.name, why));
    }
    left_alone(identity);
    GUARD(event_departed(identity, left->group,
                         left->deleted ? "the group was deleted"
                                       : "the authority has taken this member out of the group"));
    return event_notice(identity, GROUPSEAL__SECENV__SEVERITY__INFO, "left group %.64s: its keys are wiped",
                        left->group);
}

enum result membership_end_unknown(struct membership *membership, struct reason *why)
{
    struct identity_state *identity = membership->identity;
    char group[GROUP_NAME_LIMIT + 1];
    memcpy(group, membership->group, sizeof(group));
    GUARD(membership_drop(membership, why));
    left_alone(identity);
    return event_departed(identity, group, "the authority does not know this member in the group");
}

/* ---- life ---- */

enum result membership_online(struct membership *membership, struct reason *why)
{
    for (size_t i = 0; i < membership->site_count; i++) {
        sync_start(&membership->sites[i]);
    }
    GUARD(event_joined(membership));
    return membership->relay == NULL ? RESULT_OK : relay_publish_all(membership, why);
}

/* A sync brings every open command again. Once a key: what could not be opened proves nothing. */
static void commands_ask(struct membership *membership)
{
    for (size_t i = 0; membership->commands_missed && i < membership->site_count; i++) {
        sync_start(&membership->sites[i]);
    }
    membership->commands_missed = false;
}

/* A key or a policy came. */
static enum result waiting_turn(struct membership *membership, struct reason *why)
{
    membership->waiting_due = false;
    GUARD(command_waiting_turn(membership, why));
    GUARD(speaking_waiting_turn(membership, why));
    commands_ask(membership);
    return RESULT_OK;
}

enum result membership_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    if (membership->waiting_due && membership_ready(membership)) {
        GUARD(waiting_turn(membership, why));
    }
    GUARD(overdue_turn(membership, next));
    GUARD(news_turn(membership, next, why));
    GUARD(silence_turn(membership, next, why));
    if (membership->relay != NULL) {
        return relay_turn(membership, next, why);
    }
    GUARD(sync_turn(membership, next, why));
    GUARD(receipt_turn(membership, next, why));
    return holding_turn(membership, next, why);
}
