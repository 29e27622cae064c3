/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/log.h"
#include "secenv/member/clearing.h"
#include "secenv/member/dispatch_seal.h"
#include "secenv/member/event.h"
#include "secenv/member/news.h"
#include "secenv/member/packed.h"
#include "secenv/member/record.h"

const char relay_schema[] =
    "CREATE TABLE IF NOT EXISTS relay (" /* what is published, as it came */
    " identity TEXT NOT NULL, grp TEXT NOT NULL, announcement BLOB NOT NULL, policy BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS relay_block ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, tree_row INTEGER NOT NULL, tree_column INTEGER NOT NULL,"
    " incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, block BLOB NOT NULL,"
    " PRIMARY KEY (identity, grp, tree_row, tree_column)) WITHOUT ROWID;";

#define NEWEST_LIMIT                                                                                         \
    ((size_t)40 * 1024) /* bytes of one NEWEST: what it leaves out is sent again, no more                    \
                         */
#define NEWEST_NONCE_SIZE 8u
#define NEWS_GAP_US 5000000u
#define NEWS_HOLD_US 5000000u

typedef Groupseal__Envelope__Announcement Announcement;
typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__Block Block;
typedef Groupseal__Envelope__Change Change;

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

/* ---- what is stored ---- */

struct stored_news {
    bool found;
    struct buffer announcement;
    struct buffer policy;
};

static enum result news_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    struct stored_news *stored = context;
    stored->found = true;
    GUARD(buffer_append(&stored->announcement, row_bytes(row, 0)));
    return buffer_append(&stored->policy, row_bytes(row, 1));
}

static enum result stored_news_read(const struct relay *relay, struct stored_news *out, struct reason *why)
{
    *out = (struct stored_news){.announcement = BUFFER_EMPTY(OBJECT_LIMIT),
                                .policy = BUFFER_EMPTY(OBJECT_LIMIT)};
    return store_query(store_of(relay), why, news_row, out,
                       "SELECT announcement, policy FROM relay WHERE identity = ? AND grp = ?", "tt",
                       owner_of(relay), group_of(relay));
}

static void stored_news_clear(struct stored_news *stored)
{
    buffer_clear(&stored->announcement);
    buffer_clear(&stored->policy);
}

static void newest_of(const Announcement *announcement, struct announced *out)
{
    *out = (struct announced){.present = true,
                              .incarnation = announcement->incarnation,
                              .epoch = announcement->epoch,
                              .beat = announcement->beat,
                              .height = announcement->height};
    memcpy(out->confirmation, announcement->confirmation.data, HASH_SIZE);
    memcpy(out->policy_hash, announcement->policy_hash.data, HASH_SIZE);
}

/* ---- climbing from the store ---- */

static enum result stored_policy_take(struct membership *membership, struct bytes packed, struct reason *why)
{
    Policy *policy = groupseal__envelope__policy__unpack(NULL, packed.length, packed.data);
    if (policy == NULL) {
        return result_fail(why, RESULT_STORE, "the stored policy of %s cannot be read", membership->group);
    }
    enum result result = news_take_policy(membership, policy, why);
    groupseal__envelope__policy__free_unpacked(policy, NULL);
    return result;
}

static enum result stored_announcement_take(struct membership *membership, struct bytes packed,
                                            struct reason *why)
{
    Announcement *announcement = groupseal__envelope__announcement__unpack(NULL, packed.length, packed.data);
    if (announcement == NULL) {
        return result_fail(why, RESULT_STORE, "the stored announcement of %s cannot be read",
                           membership->group);
    }
    newest_of(announcement, &membership->relay->newest);
    evicted_note(&membership->relay->evicted, announcement);
    enum result result = news_take_announcement(membership, announcement, why);
    groupseal__envelope__announcement__free_unpacked(announcement, NULL);
    return result;
}

static enum result stored_block_row(void *context, const struct store_row *row, struct reason *why)
{
    struct membership *membership = context;
    struct bytes packed = row_bytes(row, 2);
    Block *block = groupseal__envelope__block__unpack(NULL, packed.length, packed.data);
    if (block == NULL) {
        return result_fail(why, RESULT_STORE, "a stored block of %s cannot be read", membership->group);
    }
    enum result result = news_take_block(membership, block, why);
    groupseal__envelope__block__free_unpacked(block, NULL);
    return result;
}

static enum result each_block(const struct relay *relay, store_each each, void *context, struct reason *why)
{
    return store_query(store_of(relay), why, each, context,
                       "SELECT tree_row, tree_column, block FROM relay_block WHERE identity = ? AND grp = ?"
                       " ORDER BY tree_row, tree_column",
                       "tt", owner_of(relay), group_of(relay));
}

static enum result one_block(const struct relay *relay, struct tree_place place, store_each each,
                             void *context, struct reason *why)
{
    return store_query(store_of(relay), why, each, context,
                       "SELECT tree_row, tree_column, block FROM relay_block WHERE identity = ? AND grp = ?"
                       " AND tree_row = ? AND tree_column = ?",
                       "ttuu", owner_of(relay), group_of(relay), (uint64_t)place.row, (uint64_t)place.column);
}

/* The blocks on the leaf's path. */
static enum result path_blocks_take(struct membership *membership, struct reason *why)
{
    const struct relay *relay = membership->relay;
    for (uint32_t row = 0; row < BLOCK_ROWS; row++) {
        struct tree_place place = tree_path(membership->leaf_index, TREE_HEIGHT_MAX, row);
        GUARD(one_block(relay, place, stored_block_row, membership, why));
    }
    return RESULT_OK;
}

enum result relay_climb(struct membership *membership, struct reason *why)
{
    if (membership->relay == NULL) {
        return RESULT_OK;
    }
    struct stored_news stored;
    enum result result = stored_news_read(membership->relay, &stored, why);
    if (result == RESULT_OK && stored.found) {
        result = path_blocks_take(membership, why);
    }
    if (result == RESULT_OK && stored.found) {
        result = stored_policy_take(membership, buffer_bytes(&stored.policy), why);
    }
    if (result == RESULT_OK && stored.found) {
        result = stored_announcement_take(membership, buffer_bytes(&stored.announcement), why);
    }
    stored_news_clear(&stored);
    return result;
}

/* ---- open, close ---- */

enum result relay_open(struct membership *membership, struct reason *why)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (relay == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the relay of %s", membership->group);
    }
    relay->membership = membership;
    membership->relay = relay;
    if (object_site_of(membership->identity->identity.name, relay->site, sizeof(relay->site)) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "%s is no CSE-ID", membership->identity->identity.name);
    }
    GUARD(roster_load(relay, why));
    GUARD(holders_open(relay, why));
    GUARD(dispatch_load(relay, why));
    return relay_climb(membership, why);
}

void relay_free(struct relay *relay)
{
    if (relay == NULL) {
        return;
    }
    past_epochs_clear(&relay->past);
    roster_clear(&relay->roster);
    dispatch_clear(&relay->dispatches);
    free(relay);
}

static enum result news_forget(const struct relay *relay, struct reason *why)
{
    GUARD(store_run(store_of(relay), why, "DELETE FROM relay_block WHERE identity = ? AND grp = ?", "tt",
                    owner_of(relay), group_of(relay)));
    return store_run(store_of(relay), why, "DELETE FROM relay WHERE identity = ? AND grp = ?", "tt",
                     owner_of(relay), group_of(relay));
}

enum result relay_drop(struct membership *membership, struct reason *why)
{
    struct relay *relay = membership->relay;
    GUARD(news_forget(relay, why));
    GUARD(dispatch_drop(relay, why));
    GUARD(roster_drop(relay, why));
    relay->newest = (struct announced){.present = false};
    return RESULT_OK;
}

/* ---- publishing ---- */

static enum result retained_publish(const struct relay *relay, Groupseal__Secenv__TopicKind kind,
                                    const struct tree_place *place, struct bytes payload)
{
    struct publication publication = {.site = relay->site,
                                      .kind = kind,
                                      .sender = "",
                                      .row = place == NULL ? 0 : place->row,
                                      .column = place == NULL ? 0 : place->column,
                                      .retained = true,
                                      .payload = payload};
    if (!relay->membership->identity->online) {
        return RESULT_OK; /* all of it comes when it is online */
    }
    return event_publish(relay->membership, &publication);
}

struct block_publishing {
    const struct relay *relay;
    bool remove;
};

static enum result block_publish_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    const struct block_publishing *publishing = context;
    struct tree_place place = {(uint32_t)row_int(row, 0), (uint32_t)row_int(row, 1)};
    struct bytes payload = publishing->remove ? (struct bytes){NULL, 0} : row_bytes(row, 2);
    return retained_publish(publishing->relay, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE, &place, payload);
}

/* In this order: what an announcement refers to is there before it. */
struct news_parts {
    bool policy;
    bool blocks;
};

static enum result news_publish(const struct relay *relay, const struct stored_news *stored,
                                struct news_parts parts, struct reason *why)
{
    struct block_publishing publishing = {relay, false};
    if (parts.policy) {
        GUARD(retained_publish(relay, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY, NULL,
                               buffer_bytes(&stored->policy)));
    }
    if (parts.blocks) {
        GUARD(each_block(relay, block_publish_row, &publishing, why));
    }
    return retained_publish(relay, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH, NULL,
                            buffer_bytes(&stored->announcement));
}

static enum result stored_news_publish(struct relay *relay, struct news_parts parts, struct reason *why)
{
    struct stored_news stored;
    enum result result = stored_news_read(relay, &stored, why);
    if (result == RESULT_OK && stored.found) {
        result = news_publish(relay, &stored, parts, why);
        relay->news_given_us = engine_now_us(relay->membership->identity->engine);
        relay->news_held_us = 0;
    }
    stored_news_clear(&stored);
    return result;
}

enum result relay_publish_all(struct membership *membership, struct reason *why)
{
    struct relay *relay = membership->relay;
    GUARD(stored_news_publish(relay, (struct news_parts){.policy = true, .blocks = true}, why));
    GUARD(roster_publish(relay, false));
    dispatch_seal_all(relay);
    return RESULT_OK;
}

enum result relay_unpublish(struct membership *membership, struct reason *why)
{
    struct relay *relay = membership->relay;
    struct block_publishing publishing = {relay, true};
    struct bytes nothing = {NULL, 0};
    GUARD(clearing_note(relay, why));
    GUARD(retained_publish(relay, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH, NULL, nothing));
    GUARD(each_block(relay, block_publish_row, &publishing, why));
    GUARD(retained_publish(relay, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY, NULL, nothing));
    return roster_publish(relay, true);
}

void relay_news_wanted(struct relay *relay)
{
    relay->news_wanted = true;
    identity_state_touch(relay->membership->identity);
}

/* ---- changes ---- */

static enum result change_policy_check(const struct relay *relay, const Change *change, struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    if (change->policy == NULL) {
        bool stored = relay->newest.present && memcmp(relay->newest.policy_hash,
                                                      change->announcement->policy_hash.data, HASH_SIZE) == 0;
        return stored ? RESULT_OK
                      : result_fail(why, RESULT_REFUSED, "a change of %s names a policy that is not in it",
                                    group_of(relay));
    }
    GUARD(news_check_policy(relay->membership, change->policy, why));
    GUARD(policy_hash(change->policy, hash));
    if (!bytes_equal(arena_view(change->announcement->policy_hash), BYTES_OF(hash))) {
        return result_fail(why, RESULT_REFUSED, "a change of %s names another policy than it has",
                           group_of(relay));
    }
    return RESULT_OK;
}

static enum result change_check(const struct relay *relay, const Change *change, struct reason *why)
{
    if (change->announcement == NULL && change->n_blocks == 0) {
        return result_fail(why, RESULT_INVALID, "a change of %s announces nothing", group_of(relay));
    }
    if (change->announcement != NULL) {
        GUARD(news_check_announcement(relay->membership, change->announcement, why));
        GUARD(change_policy_check(relay, change, why));
    }
    for (size_t i = 0; i < change->n_blocks; i++) {
        GUARD(news_check_block(relay->membership, change->blocks[i], why));
    }
    return RESULT_OK;
}

static bool change_is_newer(const struct relay *relay, const Announcement *announcement)
{
    Announcement newest = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    newest.incarnation = relay->newest.incarnation;
    newest.epoch = relay->newest.epoch;
    newest.beat = relay->newest.beat;
    return !relay->newest.present || announcement_compare(announcement, &newest) > 0;
}

static enum result block_store(const struct relay *relay, const Block *block, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&block->base, &packed);
    if (result == RESULT_OK) {
        result = store_run(store_of(relay), why,
                           "INSERT INTO relay_block (identity, grp, tree_row, tree_column, incarnation,"
                           " epoch, block) VALUES (?, ?, ?, ?, ?, ?, ?)"
                           " ON CONFLICT (identity, grp, tree_row, tree_column) DO UPDATE SET"
                           " incarnation = excluded.incarnation, epoch = excluded.epoch,"
                           " block = excluded.block WHERE excluded.incarnation > incarnation"
                           " OR (excluded.incarnation = incarnation AND excluded.epoch > epoch)",
                           "ttuuuub", owner_of(relay), group_of(relay), (uint64_t)block->row,
                           (uint64_t)block->column, block->incarnation, block->epoch, buffer_bytes(&packed));
    }
    buffer_clear(&packed);
    return result;
}

static enum result news_store(const struct relay *relay, const Change *change, struct reason *why)
{
    struct buffer announcement = BUFFER_EMPTY(OBJECT_LIMIT);
    struct buffer policy = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&change->announcement->base, &announcement);
    if (result == RESULT_OK && change->policy != NULL) {
        result = message_pack(&change->policy->base, &policy);
    }
    if (result == RESULT_OK && change->policy != NULL) {
        result = store_run(store_of(relay), why,
                           "INSERT OR REPLACE INTO relay (identity, grp, announcement, policy)"
                           " VALUES (?, ?, ?, ?)",
                           "ttbb", owner_of(relay), group_of(relay), buffer_bytes(&announcement),
                           buffer_bytes(&policy));
    } else if (result == RESULT_OK) {
        result = store_run(store_of(relay), why,
                           "UPDATE relay SET announcement = ? WHERE identity = ? AND grp = ?", "btt",
                           buffer_bytes(&announcement), owner_of(relay), group_of(relay));
    }
    buffer_clear(&announcement);
    buffer_clear(&policy);
    return result;
}

/* The blocks that it brings, as they are stored: an older one than what is there stays out. */
static enum result blocks_publish(const struct relay *relay, const Change *change, struct reason *why)
{
    struct block_publishing publishing = {relay, false};
    for (size_t i = 0; i < change->n_blocks; i++) {
        struct tree_place place = {change->blocks[i]->row, change->blocks[i]->column};
        GUARD(one_block(relay, place, block_publish_row, &publishing, why));
    }
    return RESULT_OK;
}

static enum result change_deleted(struct membership *membership, struct reason *why)
{
    GUARD(relay_unpublish(membership, why));
    return relay_drop(membership, why);
}

/* ---- news that wait ---- */

/* It has the key that its newest announcement is of. */
static bool has_climbed(const struct relay *relay)
{
    const struct announced *announced = &relay->membership->announced;
    return announced->present && announced->incarnation == relay->newest.incarnation &&
           announced->epoch == relay->newest.epoch;
}

/*
 * An announcement may overtake the blocks of the MN-CSE's own path. Were it published, a device whose path
 * has not changed would speak in an epoch whose key the MN-CSE may never have: it climbs to the next one. So
 * it is published with the blocks or, since others can go on where the MN-CSE cannot, after a while.
 */
static enum result held_news_settle(struct relay *relay, struct reason *why)
{
    uint64_t now_us = engine_now_us(relay->membership->identity->engine);
    if (relay->news_held_us == 0 || (!has_climbed(relay) && now_us < relay->news_held_us + NEWS_HOLD_US)) {
        return RESULT_OK;
    }
    return stored_news_publish(relay, (struct news_parts){.policy = true}, why);
}

static enum result held_news_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    GUARD(held_news_settle(relay, why));
    uint64_t due_us = relay->news_held_us + NEWS_HOLD_US;
    if (relay->news_held_us != 0 && due_us < *next) {
        *next = due_us;
    }
    return RESULT_OK;
}

enum result relay_take_change(struct identity_state *identity, const Change *change, struct reason *why)
{
    struct membership *membership = membership_find(identity, change->group);
    bool here = membership != NULL && membership->relay != NULL &&
                bytes_equal(arena_view(change->instance), BYTES_OF(membership->instance));
    if (!here && change->deleted) {
        return RESULT_OK;
    }
    if (!here) {
        return result_fail(why, RESULT_NOT_READY, "a change of %.64s, whose key package is not here yet",
                           change->group);
    }
    if (change->deleted) {
        return change_deleted(membership, why);
    }
    struct relay *relay = membership->relay;
    GUARD(change_check(relay, change, why));
    for (size_t i = 0; i < change->n_blocks; i++) {
        GUARD(block_store(relay, change->blocks[i], why));
    }
    bool newer = change->announcement != NULL && change_is_newer(relay, change->announcement);
    if (newer) {
        GUARD(news_store(relay, change, why));
    }
    if (newer || change->n_blocks > 0) {
        GUARD(relay_climb(membership, why));
    }
    GUARD(blocks_publish(relay, change, why));
    if (newer && relay->news_held_us == 0 && has_climbed(relay)) {
        return stored_news_publish(relay, (struct news_parts){.policy = change->policy != NULL}, why);
    }
    if (newer && relay->news_held_us == 0) {
        relay->news_held_us = engine_now_us(identity->engine);
    }
    return held_news_settle(relay, why);
}

/* ---- NEWEST ---- */

/* Announcements and roster states of all groups, as far as one record holds them. */
struct newest_list {
    struct arena *arena;
    Groupseal__Envelope__Newest newest;
    Announcement *announcements[MEMBERSHIPS_LIMIT];
    Groupseal__Envelope__RosterState *rosters[MEMBERSHIPS_LIMIT];
    size_t size;
};

static enum result newest_roster(struct newest_list *list, const struct relay *relay)
{
    Groupseal__Envelope__RosterState *state = arena_alloc(list->arena, sizeof(*state));
    if (state == NULL) {
        return RESULT_FULL;
    }
    groupseal__envelope__roster_state__init(state);
    state->instance = arena_field(BYTES_OF(relay->membership->instance));
    state->incarnation = relay->roster.incarnation;
    state->number = relay->roster.number;
    state->hash = arena_field(BYTES_OF(relay->roster.hash));
    list->rosters[list->newest.n_rosters++] = state;
    list->size += groupseal__envelope__roster_state__get_packed_size(state);
    return RESULT_OK;
}

static enum result newest_add(struct newest_list *list, const struct relay *relay, struct reason *why)
{
    struct stored_news stored;
    enum result result = stored_news_read(relay, &stored, why);
    bool fits = list->size + stored.announcement.length <= NEWEST_LIMIT;
    if (result == RESULT_OK && stored.found && fits) {
        Announcement *announcement = groupseal__envelope__announcement__unpack(
            arena_allocator(list->arena), stored.announcement.length, stored.announcement.data);
        result = announcement == NULL ? RESULT_FULL : RESULT_OK;
        if (result == RESULT_OK) {
            list->announcements[list->newest.n_announcements++] = announcement;
            list->size += stored.announcement.length;
        }
    }
    list->newest.partial = list->newest.partial || (stored.found && !fits);
    stored_news_clear(&stored);
    if (result == RESULT_OK && relay->roster.present) {
        result = newest_roster(list, relay);
    }
    return result;
}

/* Empty: it says what is stored when it is sent, for a change may be taken before it is answered. */
static enum result newest_put(struct identity_state *identity, struct bytes nonce, struct reason *why)
{
    Groupseal__Envelope__Newest newest = GROUPSEAL__ENVELOPE__NEWEST__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    newest.nonce = arena_field(nonce);
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST;
    body.newest = &newest;
    enum result result = record_put(identity, "newest", &body, why);
    if (result == RESULT_FULL) { /* the authority has been away for long: no reason to refuse what follows */
        log_line(LOG_LEVEL_WARNING, "%s: %s", identity->identity.name, why->text);
        return RESULT_OK;
    }
    return result;
}

enum result relay_report_newest(struct identity_state *identity, struct reason *why)
{
    return newest_put(identity, (struct bytes){NULL, 0}, why);
}

enum result relay_take_newest_ask(struct identity_state *identity, const Groupseal__Envelope__NewestAsk *ask,
                                  struct reason *why)
{
    return ask->nonce.len == NEWEST_NONCE_SIZE
               ? newest_put(identity, arena_view(ask->nonce), why)
               : result_fail(why, RESULT_INVALID, "a question for the newest news has no nonce");
}

enum result relay_newest_fill(const struct identity_state *identity, struct arena *arena,
                              Groupseal__Envelope__Newest *out, struct reason *why)
{
    struct newest_list *list = arena_alloc(arena, sizeof(*list));
    if (list == NULL) {
        return result_fail(why, RESULT_FULL, "no room for a record");
    }
    *list = (struct newest_list){.arena = arena, .newest = GROUPSEAL__ENVELOPE__NEWEST__INIT};
    list->newest.nonce = out->nonce;
    list->newest.announcements = list->announcements;
    list->newest.rosters = list->rosters;
    for (const struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        GUARD(newest_add(list, membership->relay, why));
    }
    *out = list->newest;
    return RESULT_OK;
}

/* ---- devices ---- */

static bool member_is_relay(const struct relay *relay, const char *name)
{
    const Policy *policy = membership_policy(relay->membership);
    for (size_t i = 0; policy != NULL && i < policy->n_relays; i++) {
        if (strcmp(policy->relays[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool relay_has_device(const struct relay *relay, const struct roster_member *member)
{
    return strcmp(member->site, relay->site) == 0 && !member_is_relay(relay, member->name);
}

/* ---- turn ---- */

static enum result news_again_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    uint64_t due = relay->news_given_us + NEWS_GAP_US;
    if (!relay->news_wanted || !relay->membership->identity->online || relay->news_held_us != 0) {
        return RESULT_OK;
    }
    if (due > engine_now_us(relay->membership->identity->engine)) {
        *next = due < *next ? due : *next;
        return RESULT_OK;
    }
    relay->news_wanted = false;
    /* Blocks are where a member finds them. */
    return stored_news_publish(relay, (struct news_parts){.policy = true}, why);
}

enum result relay_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    struct relay *relay = membership->relay;
    past_epochs_turn(&relay->past, engine_now_us(membership->identity->engine), next);
    GUARD(held_news_turn(relay, next, why));
    GUARD(news_again_turn(relay, next, why));
    GUARD(roster_turn(relay, next, why));
    GUARD(holders_turn(relay, next, why));
    if (!membership->identity->online) {
        return RESULT_OK;
    }
    /* The reply before the commands: its counter is the floor that they must be above. */
    GUARD(sync_reply_turn(membership, next, why));
    return dispatch_turn(relay, next, why);
}
