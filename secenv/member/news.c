/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/news.h"

#include <stdio.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/event.h"
#include "secenv/member/holding.h"
#include "secenv/member/overdue.h"
#include "secenv/member/package_ask.h"
#include "secenv/member/packed.h"
#include "secenv/member/relay.h"

#define OVERLAP_DEFAULT_MS 30000u
#define CLIMB_WAIT_US 2000000u       /* for blocks, before a new key package is asked for */
#define CLIMB_SPREAD_US 10000000u    /* so that those who lack the same block do not ask at once */
#define PACKAGE_ASK_GAP_US 30000000u /* between two asks */
#define RESUBSCRIBE_JITTER_US 1000000u
#define RESUBSCRIBE_GAP_US 10000000u
#define WAITING_LIFE_US 30000000u /* of a sealed message whose epoch never comes */
#define CLAIM_DISTANCE 4096u      /* epochs ahead of what we have */
#define CLAIM_DOUBLINGS 5u        /* of RESUBSCRIBE_GAP_US */

typedef Groupseal__Envelope__Announcement Announcement;
typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__Block Block;

/* ---- place and signature ---- */

static struct bytes authority_key(const struct membership *membership)
{
    return BYTES_OF(membership->authority_key);
}

static bool place_fits(const struct membership *membership, const char *group, ProtobufCBinaryData instance)
{
    return strcmp(group, membership->group) == 0 &&
           bytes_equal(arena_view(instance), BYTES_OF(membership->instance));
}

enum result news_check_announcement(const struct membership *membership, const Announcement *announcement,
                                    struct reason *why)
{
    if (!place_fits(membership, announcement->group, announcement->instance)) {
        return result_fail(why, RESULT_REFUSED, "an announcement on %s is of another group or instance",
                           membership->group);
    }
    return announcement_check(announcement, authority_key(membership), why);
}

enum result news_check_policy(const struct membership *membership, const Policy *policy, struct reason *why)
{
    if (!place_fits(membership, policy->group, policy->instance)) {
        return result_fail(why, RESULT_REFUSED, "a policy on %s is of another group or instance",
                           membership->group);
    }
    return policy_check(policy, authority_key(membership), why);
}

enum result news_check_block(const struct membership *membership, const Block *block, struct reason *why)
{
    if (!place_fits(membership, membership->group, block->instance)) {
        return result_fail(why, RESULT_REFUSED, "a block on %s is of another instance", membership->group);
    }
    return block_check(block, authority_key(membership), why);
}

/* ---- versions ---- */

static int version_compare(uint64_t incarnation_a, uint64_t number_a, uint64_t incarnation_b,
                           uint64_t number_b)
{
    if (incarnation_a != incarnation_b) {
        return incarnation_a < incarnation_b ? -1 : 1;
    }
    return (number_a > number_b) - (number_a < number_b);
}

static int announced_compare(const struct announced *announced, const Announcement *announcement)
{
    int order = version_compare(announcement->incarnation, announcement->epoch, announced->incarnation,
                                announced->epoch);
    return order != 0 ? order
                      : (announcement->beat > announced->beat) - (announcement->beat < announced->beat);
}

static void announced_of(const Announcement *announcement, struct announced *out)
{
    *out = (struct announced){.present = true,
                              .incarnation = announcement->incarnation,
                              .epoch = announcement->epoch,
                              .beat = announcement->beat,
                              .height = announcement->height};
    memcpy(out->confirmation, announcement->confirmation.data, HASH_SIZE);
    memcpy(out->policy_hash, announcement->policy_hash.data, HASH_SIZE);
}

/* ---- policy ---- */

static void known_policy_clear(struct known_policy *known)
{
    groupseal__envelope__policy__free_unpacked(known->policy, NULL);
    *known = (struct known_policy){.policy = NULL};
}

static bool known_policy_is(const struct known_policy *known, const uint8_t hash[HASH_SIZE])
{
    return known->policy != NULL && memcmp(known->hash, hash, HASH_SIZE) == 0;
}

static bool policy_is_newer(const Policy *policy, const struct known_policy *known)
{
    return known->policy == NULL || version_compare(policy->incarnation, policy->number,
                                                    known->policy->incarnation, known->policy->number) > 0;
}

static enum result policy_store(struct membership *membership, const Policy *policy, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&policy->base, &packed);
    if (result == RESULT_OK) {
        result = store_run(membership->identity->engine->setup.store, why,
                           "UPDATE membership SET policy = ? WHERE identity = ? AND grp = ?", "btt",
                           buffer_bytes(&packed), membership->identity->identity.name, membership->group);
    }
    buffer_clear(&packed);
    return result;
}

/* A copy in memory of its own: a policy holds no secret. */
static enum result policy_copy(const Policy *policy, struct known_policy *out)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&policy->base, &packed);
    if (result == RESULT_OK) {
        out->policy = groupseal__envelope__policy__unpack(NULL, packed.length, packed.data);
        result = out->policy == NULL ? RESULT_INTERNAL : policy_hash(policy, out->hash);
    }
    if (result != RESULT_OK) {
        known_policy_clear(out);
    }
    buffer_clear(&packed);
    return result;
}

/* The announcement names the policy that waited for it. */
static void candidate_promote(struct membership *membership)
{
    known_policy_clear(&membership->policy);
    membership->policy = membership->candidate;
    membership->candidate = (struct known_policy){.policy = NULL};
}

static enum result candidate_check(struct membership *membership, const uint8_t named[HASH_SIZE],
                                   bool *promote, struct reason *why)
{
    *promote = !known_policy_is(&membership->policy, named) && known_policy_is(&membership->candidate, named);
    return *promote ? policy_store(membership, membership->candidate.policy, why) : RESULT_OK;
}

enum result news_take_policy(struct membership *membership, const Policy *policy, struct reason *why)
{
    struct known_policy known = {.policy = NULL};
    uint8_t hash[HASH_SIZE];
    GUARD(policy_hash(policy, hash));
    if (known_policy_is(&membership->policy, hash) || known_policy_is(&membership->candidate, hash)) {
        return RESULT_OK;
    }
    const struct announced *announced = &membership->announced;
    bool named = announced->present && memcmp(announced->policy_hash, hash, HASH_SIZE) == 0;
    bool newest =
        policy_is_newer(policy, &membership->policy) && policy_is_newer(policy, &membership->candidate);
    if (!named && !newest) {
        return RESULT_OK;
    }
    if (named) {
        GUARD(policy_store(membership, policy, why));
    }
    GUARD(policy_copy(policy, &known));
    struct known_policy *place = named ? &membership->policy : &membership->candidate;
    known_policy_clear(place);
    *place = known;
    membership->waiting_due = true;
    identity_state_touch(membership->identity);
    return RESULT_OK;
}

/* ---- climbing ---- */

static void block_views(const struct membership *membership, const Announcement *announcement,
                        struct bytes views[BLOCK_ROWS], size_t *count)
{
    uint32_t top = tree_top_row(announcement->height);
    for (uint32_t row = 0; row < top; row++) {
        const struct path_block *block = &membership->blocks[row];
        struct tree_place place = tree_path(membership->leaf_index, announcement->height, row);
        bool fits = block->present && block->incarnation == announcement->incarnation &&
                    block->epoch <= announcement->epoch && block->column == place.column;
        views[row] = fits ? buffer_bytes(&block->nodes) : (struct bytes){NULL, 0};
    }
    views[top] = arena_view(announcement->top);
    *count = top + 1u;
}

/* From the leaf to the epoch secret, which the announcement's tag must confirm. */
static enum result climb(const struct membership *membership, const Announcement *announcement,
                         struct secret *out)
{
    struct bytes views[BLOCK_ROWS];
    size_t count = 0;
    struct secret root = {{0}};
    struct secret confirmation = {{0}};
    block_views(membership, announcement, views, &count);
    enum result result =
        tree_climb(&membership->leaf, membership->leaf_index, announcement->height, views, count, &root);
    if (result == RESULT_OK) {
        result =
            epoch_secret(&root, membership->instance, announcement->incarnation, announcement->epoch, out);
    }
    if (result == RESULT_OK) {
        result = epoch_confirmation(out, &confirmation);
    }
    if (result == RESULT_OK &&
        !secret_equal(confirmation.data, announcement->confirmation.data, SECRET_SIZE)) {
        secret_wipe(out);
        result = RESULT_NOT_READY; /* the path's blocks, or the leaf, are not of this epoch */
    }
    secret_wipe(&root);
    secret_wipe(&confirmation);
    return result;
}

/* ---- the store ---- */

static enum result epoch_key_store(struct membership *membership, int64_t age, uint64_t epoch,
                                   const struct secret *secret, struct reason *why)
{
    char purpose[256];
    (void)snprintf(purpose, sizeof(purpose), "epoch_key/%s/%s/%d", membership->identity->identity.name,
                   membership->group, (int)age);
    return store_run(membership->identity->engine->setup.store, why,
                     "INSERT INTO epoch_key (identity, grp, age, epoch, secret) VALUES (?, ?, ?, ?, ?)"
                     " ON CONFLICT (identity, grp, age) DO UPDATE SET epoch = excluded.epoch,"
                     " secret = excluded.secret",
                     "ttius", membership->identity->identity.name, membership->group, age, epoch, purpose,
                     secret_bytes(secret));
}

static enum result announcement_store(struct membership *membership, const Announcement *announcement,
                                      struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(&announcement->base, &packed);
    if (result == RESULT_OK) {
        result = store_run(membership->identity->engine->setup.store, why,
                           "UPDATE membership SET announcement = ? WHERE identity = ? AND grp = ?", "btt",
                           buffer_bytes(&packed), membership->identity->identity.name, membership->group);
    }
    buffer_clear(&packed);
    if (result == RESULT_OK) {
        result = identity_state_time(membership->identity, announcement->time_ms, why);
    }
    return result;
}

/* Only the MN-CSE keeps the previous key over a restart: a fire report is never too late for it. */
static enum result epoch_store(struct membership *membership, const Announcement *announcement,
                               const struct secret *secret, struct reason *why)
{
    if (identity_is_relay(membership->identity) && membership->current.present) {
        GUARD(epoch_key_store(membership, 1, membership->current.epoch, &membership->current.secret, why));
    }
    GUARD(epoch_key_store(membership, 0, announcement->epoch, secret, why));
    return announcement_store(membership, announcement, why);
}

/* ---- announcements ---- */

static uint64_t overlap_us(const struct membership *membership)
{
    const Policy *policy = membership->policy.policy;
    return 1000u * (uint64_t)(policy == NULL ? OVERLAP_DEFAULT_MS : policy->overlap_ms);
}

static void waiting_clear(struct membership *membership)
{
    buffer_clear(&membership->waiting_news);
    membership->waiting = (struct announced){.present = false};
    membership->waiting_until_us = 0;
}

/* An announcement lists who was evicted within its overlap: who climbs past others has not seen their lists.
 */
static bool somebody_may_be_evicted(const struct membership *membership, const Announcement *announcement)
{
    return announcement->n_evicted > 0 || announcement->epoch != membership->current.epoch + 1;
}

static void epoch_enter(struct membership *membership, const Announcement *announcement,
                        const struct secret *secret)
{
    uint64_t now = engine_now_us(membership->identity->engine);
    bool commands_only = somebody_may_be_evicted(membership, announcement);
    if (membership->relay != NULL) {
        past_epochs_add(&membership->relay->past, &membership->previous, now);
    }
    secret_wipe(&membership->previous.secret);
    membership->previous = membership->current;
    membership->overlap_until_us = announcement->overlap_ended ? now : now + overlap_us(membership);
    membership->previous_for_commands_only = commands_only;
    membership->current = (struct epoch_key){.present = true, .epoch = announcement->epoch};
    membership->current.secret = *secret;
    secret_note("epoch secret", secret->data, SECRET_SIZE);
    announced_of(announcement, &membership->announced);
    if (membership->waiting.present && announced_compare(&membership->waiting, announcement) >= 0) {
        waiting_clear(membership);
    }
    membership->waiting_due = true;
    membership->claims_followed = 0;
    holding_wanted(membership);
    audit_count(AUDIT_EPOCHS_CLIMBED);
    identity_state_touch(membership->identity);
}

static enum result epoch_take(struct membership *membership, const Announcement *announcement,
                              const struct secret *secret, struct reason *why)
{
    bool promote = false;
    GUARD(candidate_check(membership, announcement->policy_hash.data, &promote, why));
    GUARD(epoch_store(membership, announcement, secret, why));
    if (promote) {
        candidate_promote(membership);
    }
    epoch_enter(membership, announcement, secret);
    silence_broken(membership);
    return overdue_end(membership);
}

/* The same epoch, announced again: newer time, same key and policy. */
static enum result beat_take(struct membership *membership, const Announcement *announcement,
                             struct reason *why)
{
    if (memcmp(announcement->confirmation.data, membership->announced.confirmation, HASH_SIZE) != 0 ||
        memcmp(announcement->policy_hash.data, membership->announced.policy_hash, HASH_SIZE) != 0) {
        return result_fail(why, RESULT_REFUSED, "epoch %llu of %s is announced with two keys or policies",
                           (unsigned long long)announcement->epoch, membership->group);
    }
    GUARD(announcement_store(membership, announcement, why));
    announced_of(announcement, &membership->announced);
    silence_broken(membership);
    return overdue_end(membership);
}

/* Verified, but blocks or the leaf for it are not here: the newest one waits. */
static enum result announcement_wait(struct membership *membership, const Announcement *announcement)
{
    if (membership->waiting.present && announced_compare(&membership->waiting, announcement) <= 0) {
        return RESULT_OK;
    }
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(message_pack(&announcement->base, &packed));
    buffer_clear(&membership->waiting_news);
    membership->waiting_news = packed;
    announced_of(announcement, &membership->waiting);
    if (membership->waiting_until_us == 0) {
        membership->waiting_until_us =
            engine_now_us(membership->identity->engine) + CLIMB_WAIT_US + engine_draw(CLIMB_SPREAD_US);
    }
    news_are_missed(membership);
    return RESULT_OK;
}

/* Made before our leaf was: nothing in it is for us. */
static bool announcement_is_past(const struct membership *membership, const Announcement *announcement)
{
    return version_compare(announcement->incarnation, announcement->epoch, membership->incarnation,
                           membership->joined_epoch) < 0 ||
           (membership->announced.present && announced_compare(&membership->announced, announcement) <= 0);
}

enum result news_take_announcement(struct membership *membership, const Announcement *announcement,
                                   struct reason *why)
{
    const struct announced *announced = &membership->announced;
    if (announced->present && announced->incarnation == announcement->incarnation &&
        announced->epoch == announcement->epoch && announced->beat < announcement->beat) {
        return beat_take(membership, announcement, why);
    }
    if (announcement_is_past(membership, announcement)) {
        return RESULT_OK;
    }
    struct secret secret = {{0}};
    enum result result = announcement->incarnation == membership->incarnation
                             ? climb(membership, announcement, &secret)
                             : RESULT_NOT_READY;
    if (result == RESULT_OK) {
        result = epoch_take(membership, announcement, &secret, why);
    } else if (result != RESULT_INTERNAL) {
        result = announcement_wait(membership, announcement);
    }
    secret_wipe(&secret);
    return result;
}

enum result news_climb_again(struct membership *membership, struct reason *why)
{
    if (!membership->waiting.present) {
        return RESULT_OK;
    }
    Announcement *waiting = groupseal__envelope__announcement__unpack(NULL, membership->waiting_news.length,
                                                                      membership->waiting_news.data);
    if (waiting == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an announcement");
    }
    enum result result = news_take_announcement(membership, waiting, why);
    groupseal__envelope__announcement__free_unpacked(waiting, NULL);
    return result;
}

/* ---- blocks ---- */

enum result news_take_block(struct membership *membership, const Block *block, struct reason *why)
{
    if (block->row >= BLOCK_ROWS ||
        tree_path(membership->leaf_index, block->height, block->row).column != block->column) {
        return RESULT_OK; /* not on this leaf's path */
    }
    struct path_block *known = &membership->blocks[block->row];
    if (known->present && known->column == block->column &&
        version_compare(block->incarnation, block->epoch, known->incarnation, known->epoch) <= 0) {
        return RESULT_OK;
    }
    struct buffer nodes = BUFFER_EMPTY(TREE_PACKED_MAX);
    GUARD(buffer_append(&nodes, arena_view(block->nodes)));
    buffer_clear(&known->nodes);
    *known = (struct path_block){.present = true,
                                 .incarnation = block->incarnation,
                                 .epoch = block->epoch,
                                 .column = block->column,
                                 .nodes = nodes};
    return news_climb_again(membership, why);
}

/* ---- heard ---- */

static enum result announcement_hear(struct membership *membership, struct bytes payload, struct arena *arena,
                                     struct reason *why)
{
    Announcement *announcement =
        object_unpack(&groupseal__envelope__announcement__descriptor, payload, arena);
    if (announcement == NULL) {
        return result_fail(why, RESULT_INVALID, "no announcement on epoch of %s", membership->group);
    }
    GUARD(news_check_announcement(membership, announcement, why));
    return news_take_announcement(membership, announcement, why);
}

enum result news_hear_announcement(struct membership *membership, struct bytes payload, struct arena *arena,
                                   struct reason *why)
{
    if (payload.length == 0) {
        silence_cleared(membership);
        return RESULT_OK;
    }
    enum result result = announcement_hear(membership, payload, arena, why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_ANNOUNCEMENTS_REFUSED);
    }
    return result;
}

static enum result policy_hear(struct membership *membership, struct bytes payload, struct arena *arena,
                               struct reason *why)
{
    Policy *policy = object_unpack(&groupseal__envelope__policy__descriptor, payload, arena);
    if (policy == NULL) {
        return result_fail(why, RESULT_INVALID, "no policy on policy of %s", membership->group);
    }
    GUARD(news_check_policy(membership, policy, why));
    return news_take_policy(membership, policy, why);
}

enum result news_hear_policy(struct membership *membership, struct bytes payload, struct arena *arena,
                             struct reason *why)
{
    enum result result = policy_hear(membership, payload, arena, why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_POLICIES_REFUSED);
    }
    return result;
}

static enum result block_hear(struct membership *membership, struct bytes payload, struct arena *arena,
                              struct reason *why)
{
    Block *block = object_unpack(&groupseal__envelope__block__descriptor, payload, arena);
    if (block == NULL) {
        return result_fail(why, RESULT_INVALID, "no block on tree of %s", membership->group);
    }
    GUARD(news_check_block(membership, block, why));
    return news_take_block(membership, block, why);
}

enum result news_hear_block(struct membership *membership, struct bytes payload, struct arena *arena,
                            struct reason *why)
{
    enum result result = block_hear(membership, payload, arena, why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_BLOCKS_REFUSED);
    }
    return result;
}

/* ---- what is missing ---- */

static void resubscribe_schedule(struct membership *membership, uint64_t gap_us, uint64_t jitter_us)
{
    uint64_t due = engine_now_us(membership->identity->engine);
    if (membership->resubscribed_us != 0 && membership->resubscribed_us + gap_us > due) {
        due = membership->resubscribed_us + gap_us;
    }
    bool soon = membership->resubscribe_us != NEVER && membership->resubscribe_us <= due + jitter_us;
    if (soon || identity_is_relay(membership->identity)) {
        return; /* the MN-CSE has its news from its own store */
    }
    membership->resubscribe_us = due + engine_draw(jitter_us);
    identity_state_touch(membership->identity);
}

void news_are_missed(struct membership *membership)
{
    resubscribe_schedule(membership, RESUBSCRIBE_GAP_US, RESUBSCRIBE_JITTER_US);
}

bool news_are_plausible(const struct membership *membership, uint64_t epoch)
{
    uint64_t known = membership->joined_epoch;
    known =
        membership->current.present && membership->current.epoch > known ? membership->current.epoch : known;
    known =
        membership->waiting.present && membership->waiting.epoch > known ? membership->waiting.epoch : known;
    return epoch <= known || epoch - known <= CLAIM_DISTANCE;
}

void news_are_claimed(struct membership *membership)
{
    unsigned doublings =
        membership->claims_followed < CLAIM_DOUBLINGS ? membership->claims_followed : CLAIM_DOUBLINGS;
    resubscribe_schedule(membership, (uint64_t)RESUBSCRIBE_GAP_US << doublings, RESUBSCRIBE_JITTER_US);
}

void news_are_overdue(struct membership *membership, uint64_t jitter_us)
{
    membership->resubscribe_overdue = true;
    resubscribe_schedule(membership, RESUBSCRIBE_GAP_US, jitter_us);
}

static bool news_lack(const struct membership *membership)
{
    return membership->waiting.present || membership->waiting_commands.count != 0 ||
           (membership->current.present && membership_policy(membership) == NULL);
}

static enum result resubscribe_turn(struct membership *membership, uint64_t now)
{
    if (membership->current.present && membership_policy(membership) == NULL) {
        news_are_missed(membership);
    }
    if (membership->resubscribe_us > now || !membership->identity->online) {
        return RESULT_OK;
    }
    membership->resubscribe_us = NEVER;
    bool lack = news_lack(membership);
    bool overdue = membership->resubscribe_overdue && overdue_is(membership);
    membership->resubscribe_overdue = false;
    if (!lack && !overdue && membership->waiting_messages.count == 0) {
        return RESULT_OK; /* it came by itself */
    }
    membership->resubscribed_us = now;
    GUARD(event_resubscribe(membership));
    if (lack) {
        news_are_missed(membership);
    } else if (!overdue) {
        membership->claims_followed++;
    }
    return RESULT_OK;
}

static enum result climb_turn(struct membership *membership, uint64_t now, uint64_t *next, struct reason *why)
{
    if (!membership->waiting.present) {
        return RESULT_OK;
    }
    uint64_t due = membership->waiting_until_us;
    if (membership->package_asked_us != 0 && membership->package_asked_us + PACKAGE_ASK_GAP_US > due) {
        due = membership->package_asked_us + PACKAGE_ASK_GAP_US;
    }
    if (due <= now) {
        GUARD(package_ask(membership, why));
        due = now + PACKAGE_ASK_GAP_US;
    }
    *next = due < *next ? due : *next;
    return RESULT_OK;
}

/* Who waits for too long makes room for others. True: somebody did. */
static bool waiting_turn(struct waiting_room *room, enum audit_counter dropped, uint64_t now, uint64_t *next)
{
    size_t expired = waiting_room_expire(room, now < WAITING_LIFE_US ? 0 : now - WAITING_LIFE_US);
    for (size_t i = 0; i < expired; i++) {
        audit_count(dropped);
    }
    if (room->count != 0) {
        uint64_t due = room->places[0]->entered_us + WAITING_LIFE_US + 1;
        *next = due < *next ? due : *next;
    }
    return expired != 0;
}

enum result news_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    uint64_t now = engine_now_us(membership->identity->engine);
    GUARD(climb_turn(membership, now, next, why));
    if (waiting_turn(&membership->waiting_commands, AUDIT_COMMANDS_DROPPED, now, next)) {
        membership->commands_missed = true;
    }
    (void)waiting_turn(&membership->waiting_messages, AUDIT_MESSAGES_REFUSED, now, next);
    GUARD(resubscribe_turn(membership, now));
    if (membership->identity->online && membership->resubscribe_us < *next) {
        *next = membership->resubscribe_us;
    }
    return RESULT_OK;
}

/* ---- load, clear ---- */

enum result news_load(struct membership *membership, struct bytes announcement, struct bytes policy,
                      struct reason *why)
{
    if (announcement.length != 0) {
        Announcement *stored =
            groupseal__envelope__announcement__unpack(NULL, announcement.length, announcement.data);
        if (stored == NULL) {
            return result_fail(why, RESULT_STORE, "the stored announcement of %s cannot be read",
                               membership->group);
        }
        announced_of(stored, &membership->announced);
        groupseal__envelope__announcement__free_unpacked(stored, NULL);
    }
    if (policy.length == 0) {
        return RESULT_OK;
    }
    membership->policy.policy = groupseal__envelope__policy__unpack(NULL, policy.length, policy.data);
    if (membership->policy.policy == NULL) {
        return result_fail(why, RESULT_STORE, "the stored policy of %s cannot be read", membership->group);
    }
    return policy_hash(membership->policy.policy, membership->policy.hash);
}

void news_clear(struct membership *membership)
{
    secret_wipe(&membership->current.secret);
    secret_wipe(&membership->previous.secret);
    if (membership->relay != NULL) {
        past_epochs_clear(&membership->relay->past);
    }
    membership->current = (struct epoch_key){.present = false};
    membership->previous = (struct epoch_key){.present = false};
    membership->announced = (struct announced){.present = false};
    known_policy_clear(&membership->policy);
    known_policy_clear(&membership->candidate);
    waiting_clear(membership);
    for (size_t row = 0; row < BLOCK_ROWS; row++) {
        buffer_clear(&membership->blocks[row].nodes);
        membership->blocks[row] = (struct path_block){.nodes = BUFFER_EMPTY(TREE_PACKED_MAX)};
    }
    waiting_room_clear(&membership->waiting_commands);
    waiting_room_clear(&membership->waiting_messages);
}
