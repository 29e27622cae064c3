/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/record.h"

#include "secenv/authority/arrears.h"
#include "secenv/authority/authority.h"
#include "secenv/authority/change.h"
#include "secenv/authority/feed.h"
#include "secenv/authority/holding.h"
#include "secenv/authority/report.h"
#include "secenv/authority/roster_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKAGE_ASK_MS 30000u
#define WAKE_US 1000000u
#define REASON_SIZE (DETAIL_LIMIT + 1u)

/* ---- ACCEPT of an item of ours ---- */

/* What waited for the keys is due now. */
static enum result package_accepted(struct engine *engine, const struct member *member,
                                    const struct group *group, struct reason *why)
{
    audit_count(AUDIT_PACKAGES_ACCEPTED);
    outbox_kick(engine->outbox, engine->identity.name, member->name);
    return store_run(engine->store, why,
                     "UPDATE leaf SET package_taken = 1 WHERE group_id = ? AND member_id = ?", "ii",
                     group->id, member->id);
}

static enum result item_taken(struct engine *engine, const struct member *member, const struct slot *slot,
                              struct reason *why)
{
    const struct group *group = groups_find(&engine->groups, slot->group);
    if (strcmp(slot->kind, "revocation") == 0) {
        return revocation_taken(engine, member, why);
    }
    if (group != NULL && strcmp(slot->kind, "package") == 0) {
        return package_accepted(engine, member, group, why);
    }
    if (group != NULL && strcmp(slot->kind, "blocks") == 0) {
        return feed_part_accepted(engine, group, member->id, strtoull(slot->last, NULL, 10), why);
    }
    if (group != NULL && strcmp(slot->kind, "change") == 0) {
        return feed_change_ended(engine, group, member->id, true, why);
    }
    if (group != NULL && strcmp(slot->kind, "roster") == 0) {
        return roster_feed_page_accepted(engine, group, member->id, member->name, why);
    }
    if (group != NULL && strcmp(slot->kind, "delta") == 0) {
        return roster_feed_delta_accepted(engine, group, member->id, strtoull(slot->last, NULL, 10), why);
    }
    return RESULT_OK;
}

/* A roster that was not taken is not there: the MN-CSE asks, and gets it whole. A change may have lacked a
 * policy that the MN-CSE has lost: the next one has it, and the blocks that were not taken. */
static enum result item_ended(struct engine *engine, const struct member *member, const struct slot *slot,
                              const Groupseal__Envelope__Accept *accept, struct reason *why)
{
    const struct group *group = groups_find(&engine->groups, slot->group);
    GUARD(notice_of_peer(engine, member->name, GROUPSEAL__SECENV__SEVERITY__WARNING,
                         "%s did not take \"%s %s\" (%u): %.200s", member->name, slot->kind, slot->group,
                         accept->result, accept->reason));
    if (strcmp(slot->kind, "order") == 0) {
        return order_refused(engine, member, slot->last, accept->reason, why);
    }
    if (group != NULL && strcmp(slot->kind, "blocks") == 0) {
        return feed_part_refused(engine, group, member->id, why);
    }
    if (group != NULL && strcmp(slot->kind, "change") == 0) {
        return feed_change_ended(engine, group, member->id, false, why);
    }
    if (group != NULL && (strcmp(slot->kind, "roster") == 0 || strcmp(slot->kind, "delta") == 0)) {
        return roster_feed_forget(engine, group, member->id, why);
    }
    return RESULT_OK;
}

static enum result accept_take(struct engine *engine, const struct member *member,
                               const Groupseal__Envelope__Accept *accept, struct reason *why)
{
    char name[160] = "";
    struct slot slot;
    enum result result = outbox_accepted(engine->outbox, engine->identity.name, member->name, accept->item,
                                         accept->result, name, sizeof(name), why);
    if (result == RESULT_UNKNOWN) {
        return RESULT_OK; /* a repeat, or a newer item is in its slot */
    }
    GUARD(result);
    arrears_hurry(engine);
    slot_parse(name, &slot);
    if (accept->result == ACCEPT_TAKEN) {
        return item_taken(engine, member, &slot, why);
    }
    if (accept->result == ACCEPT_STORE) {
        return RESULT_OK; /* sent again */
    }
    return item_ended(engine, member, &slot, accept, why);
}

/* ---- older than the world ---- */

static int newest_order(const struct group *group, const Groupseal__Envelope__Announcement *announcement)
{
    Groupseal__Envelope__Announcement own = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    own.incarnation = group->incarnation;
    own.epoch = group->epoch;
    own.beat = group->beat;
    return announcement_compare(announcement, &own);
}

struct announced_now {
    const Groupseal__Envelope__Announcement *other;
    bool differs;
};

static enum result announced_read(void *context, const struct store_row *row, struct reason *why)
{
    struct announced_now *now = context;
    struct bytes packed = row_bytes(row, 0);
    Groupseal__Envelope__Announcement *own =
        groupseal__envelope__announcement__unpack(NULL, packed.length, packed.data);
    if (own == NULL) {
        return result_fail(why, RESULT_INTERNAL, "a stored announcement cannot be read");
    }
    now->differs = !bytes_equal(arena_view(own->confirmation), arena_view(now->other->confirmation));
    groupseal__envelope__announcement__free_unpacked(own, NULL);
    return RESULT_OK;
}

/* The same epoch with another key: this store has made it a second time. */
static enum result newest_forks(struct engine *engine, const struct group *group,
                                const Groupseal__Envelope__Announcement *announcement, bool *forks,
                                struct reason *why)
{
    struct announced_now now = {announcement, false};
    if (announcement->incarnation == group->incarnation && announcement->epoch == group->epoch) {
        GUARD(store_query(engine->store, why, announced_read, &now,
                          "SELECT announcement FROM key_group WHERE id = ? AND announcement IS NOT NULL", "i",
                          group->id));
    }
    *forks = now.differs;
    return RESULT_OK;
}

/* Signed here, and this store does not know it. Of a group that it does not have, only the incarnation tells:
 * the group may have been deleted. */
static enum result newest_is_newer(struct engine *engine,
                                   const Groupseal__Envelope__Announcement *announcement, bool *newer,
                                   struct reason *why)
{
    const struct group *group = groups_find_instance(&engine->groups, arena_view(announcement->instance));
    uint64_t last = 0;
    if (group != NULL && newest_order(group, announcement) <= 0) {
        return newest_forks(engine, group, announcement, newer, why);
    }
    GUARD(number_last(engine->store, "incarnation", &last, why));
    *newer = group != NULL || announcement->incarnation > last;
    return RESULT_OK;
}

/* `*newer`: it shows that this store is older than the world. */
static enum result newest_look(struct engine *engine, const struct member *member,
                               const Groupseal__Envelope__Announcement *announcement, bool *newer,
                               struct reason *why)
{
    bool this_one = false;
    GUARD(newest_is_newer(engine, announcement, &this_one, why));
    if (!this_one) {
        return RESULT_OK;
    }
    GUARD(announcement_check(announcement, BYTES_OF(engine->keys.authority.public_key), why));
    *newer = true;
    return incarnation_seen(engine, member, announcement, why);
}

/* ---- asks ---- */

static struct group *asked_group(struct engine *engine, const char *name, ProtobufCBinaryData instance)
{
    struct group *group = groups_find_instance(&engine->groups, arena_view(instance));
    return group != NULL && strcmp(group->name, name) == 0 ? group : NULL;
}

static enum result asked_unknown(const struct member *member, const char *name, struct reason *why)
{
    return result_fail(why, RESULT_UNKNOWN, "%s asks about group %.64s, in which it is not", member->name,
                       name);
}

/* The member's own leaf. */
static enum result asked_leaf(struct engine *engine, const struct member *member, const struct group *group,
                              struct leaf *out, struct reason *why)
{
    bool found = false;
    GUARD(leaf_load(engine->store, group, member->id, out, &found, why));
    return found ? RESULT_OK : asked_unknown(member, group->name, why);
}

/* The same leaf again: it belongs to this association, or is due to be replaced anyway. */
static enum result package_ask_take(struct engine *engine, const struct member *member,
                                    const Groupseal__Envelope__PackageAsk *ask, struct reason *why)
{
    const struct group *group = asked_group(engine, ask->group, ask->instance);
    struct leaf leaf = {.index = 0};
    uint64_t asked_ms = 0;
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    bool newer = false;
    if (ask->newest != NULL) {
        GUARD(newest_look(engine, member, ask->newest, &newer, why));
    }
    if (newer) {
        return RESULT_OK; /* the next turn ends what it asks for */
    }
    if (ask->group[0] == '\0') {
        return RESULT_OK; /* it is in no group, and wants to know whether its association stands: it does */
    }
    if (group == NULL) {
        return asked_unknown(member, ask->group, why);
    }
    GUARD(asked_leaf(engine, member, group, &leaf, why));
    GUARD(store_number(engine->store, why, &asked_ms,
                       "SELECT asked_ms FROM leaf WHERE group_id = ? AND leaf_index = ?", "ii", group->id,
                       (int64_t)leaf.index));
    if (asked_ms <= wall_ms && wall_ms - asked_ms < PACKAGE_ASK_MS) {
        return RESULT_OK; /* the last one is on its way */
    }
    GUARD(store_run(engine->store, why, "UPDATE leaf SET asked_ms = ? WHERE group_id = ? AND leaf_index = ?",
                    "uii", wall_ms, group->id, (int64_t)leaf.index));
    return package_put(engine, group, &leaf, why);
}

static enum result roster_ask_take(struct engine *engine, const struct member *member,
                                   const Groupseal__Envelope__RosterAsk *ask, struct reason *why)
{
    const struct group *group = asked_group(engine, ask->group, ask->instance);
    struct leaf leaf = {.index = 0};
    if (member->kind != IDENTITY_MN_CSE) {
        return result_fail(why, RESULT_REFUSED, "%s asks for a roster, but is no MN-CSE", member->name);
    }
    if (group == NULL) {
        return asked_unknown(member, ask->group, why);
    }
    GUARD(asked_leaf(engine, member, group, &leaf, why));
    enum result result = roster_feed_pages(engine, group, member->id, member->name, why);
    return arrears_take(engine, group, &leaf, result, why);
}

/* ---- NEWEST ---- */

/* The group of one of them, which is not newer than this store's. */
static enum result newest_compare(struct engine *engine, const struct member *member, struct group *group,
                                  const Groupseal__Envelope__Announcement *announcement, struct arena *arena,
                                  struct reason *why)
{
    GUARD(announcement_check(announcement, BYTES_OF(engine->keys.authority.public_key), why));
    if (newest_order(group, announcement) == 0) {
        return RESULT_OK;
    }
    /* Of another incarnation it has nothing that is of use. */
    GUARD(feed_has(engine, group, member->id,
                   announcement->incarnation == group->incarnation ? announcement->epoch : 0, why));
    return feed_change(engine, group, member->id, member->name, arena, why);
}

static const Groupseal__Envelope__Announcement *newest_announcement(const Groupseal__Envelope__Newest *newest,
                                                                    const struct group *group)
{
    for (size_t i = 0; i < newest->n_announcements; i++) {
        if (bytes_equal(arena_view(newest->announcements[i]->instance), BYTES_OF(group->instance))) {
            return newest->announcements[i];
        }
    }
    return NULL;
}

static uint64_t newest_roster_number(const Groupseal__Envelope__Newest *newest, const struct group *group)
{
    for (size_t i = 0; i < newest->n_rosters; i++) {
        if (bytes_equal(arena_view(newest->rosters[i]->instance), BYTES_OF(group->instance)) &&
            newest->rosters[i]->incarnation == group->incarnation) {
            return newest->rosters[i]->number;
        }
    }
    return 0;
}

/* It has nothing of the group: not what it was fed with, nor perhaps the package that it took, in a store
 * that was put back to a copy from before. */
static enum result newest_has_nothing(struct engine *engine, const struct group *group,
                                      const struct leaf *leaf, struct reason *why)
{
    GUARD(feed_forget(engine, group, leaf->member_id, why));
    if (!leaf->package_taken) {
        return RESULT_OK; /* it is on its way */
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE leaf SET package_taken = 0 WHERE group_id = ? AND member_id = ?", "ii", group->id,
                    leaf->member_id));
    return package_put(engine, group, leaf, why);
}

/* Of one group that the MN-CSE relays: what it has not, or older, it is sent. */
static enum result newest_group(struct engine *engine, const struct member *member, struct group *group,
                                const Groupseal__Envelope__Newest *newest, struct arena *arena,
                                struct reason *why)
{
    struct leaf leaf;
    bool found = false;
    GUARD(leaf_load(engine->store, group, member->id, &leaf, &found, why));
    if (!found) {
        return RESULT_OK;
    }
    const Groupseal__Envelope__Announcement *announcement = newest_announcement(newest, group);
    bool answers = bytes_equal(arena_view(newest->nonce), BYTES_OF(engine->start));
    enum result result = RESULT_OK;
    if (announcement == NULL && newest_roster_number(newest, group) == 0) {
        result = newest_has_nothing(engine, group, &leaf, why);
    }
    if (result == RESULT_OK) {
        result = announcement != NULL ? newest_compare(engine, member, group, announcement, arena, why)
                                      : feed_change(engine, group, member->id, member->name, arena, why);
    }
    if (result == RESULT_OK) {
        result = roster_feed_has(engine, group, member->id, member->name, newest_roster_number(newest, group),
                                 why);
    }
    GUARD(arrears_take(engine, group, &leaf, result, why));
    if (!group->held) {
        return RESULT_OK;
    }
    /* Anyone on the way may repeat what it said before this start. */
    return answers && (announcement != NULL || !newest->partial) ? incarnation_release(engine, group, why)
                                                                 : incarnation_ask(engine, member->name, why);
}

static enum result newest_take(struct engine *engine, const struct member *member,
                               const Groupseal__Envelope__Newest *newest, struct arena *arena,
                               struct reason *why)
{
    if (member->kind != IDENTITY_MN_CSE) {
        return result_fail(why, RESULT_REFUSED, "%s sends announcements, but is no MN-CSE", member->name);
    }
    bool newer = false;
    for (size_t i = 0; i < newest->n_announcements; i++) {
        GUARD(newest_look(engine, member, newest->announcements[i], &newer, why));
    }
    for (size_t i = 0; !newer && i < engine->groups.count; i++) {
        GUARD(newest_group(engine, member, engine->groups.items[i], newest, arena, why));
    }
    return RESULT_OK;
}

/* ---- a record ---- */

/*
 * A peer that is back has what waits for it, an order above all, now and not at the end of a back-off. It
 * decides itself how often it says something, so this is once a second at most.
 */
static void peer_heard(struct engine *engine, struct peer *peer,
                       Groupseal__Envelope__RecordBody__ContentCase said)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    if (peer->woken_us != 0 && now_us - peer->woken_us < WAKE_US) {
        return;
    }
    if (said == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST ||
        said == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK) {
        outbox_kick(engine->outbox, engine->identity.name, peer->name);
        peer->woken_us = now_us;
    } else if (outbox_heard(engine->outbox, engine->identity.name, peer->name)) {
        peer->woken_us = now_us;
    }
}

static enum result body_take(struct engine *engine, const struct member *member,
                             const Groupseal__Envelope__RecordBody *body, struct arena *arena,
                             struct reason *why)
{
    switch (body->content_case) {
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT:
        return accept_take(engine, member, body->accept, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REPORT:
        return report_take(engine, member, body->report, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_HOLDINGS:
        return holding_take(engine, member, body->holdings, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK:
        return roster_ask_take(engine, member, body->roster_ask, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK:
        return package_ask_take(engine, member, body->package_ask, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST:
        return newest_take(engine, member, body->newest, arena, why);
    default:
        return result_fail(why, RESULT_INVALID, "%s sends a record that is not for an authority",
                           member->name);
    }
}

static uint32_t accept_of(enum result result)
{
    switch (result) {
    case RESULT_OK:
        return ACCEPT_TAKEN;
    case RESULT_INVALID:
        return ACCEPT_INVALID;
    case RESULT_UNKNOWN:
        return ACCEPT_UNKNOWN;
    case RESULT_FULL:
        return ACCEPT_FULL;
    case RESULT_NOT_READY:
        return ACCEPT_NO_KEY;
    default:
        return ACCEPT_REFUSED;
    }
}

static enum result accept_seal(struct engine *engine, struct association *association, uint64_t item,
                               enum result taken, const struct reason *because, struct arena *arena,
                               Groupseal__Envelope__Record **out, struct reason *why)
{
    char reason[REASON_SIZE];
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    (void)snprintf(reason, sizeof(reason), "%.*s", (int)DETAIL_LIMIT,
                   taken == RESULT_OK ? "" : because->text);
    accept.item = item;
    accept.result = accept_of(taken);
    accept.reason = reason;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    return association_seal(association, engine->store, engine->clock, &body, arena, out, why);
}

/*
 * Opens the record with a copy of its association, acts, answers, and promotes a pending one; only then is
 * the copy kept. So a failure on the way leaves the association in memory as it is in the store that is
 * rolled back.
 */
static enum result record_handle(struct engine *engine, const struct member *member, struct peer *peer,
                                 struct association *association, struct association *copy,
                                 const Groupseal__Envelope__Record *record, struct arena *arena,
                                 Groupseal__Envelope__Record **answer, struct reason *why)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    struct reason because = {""};
    GUARD(association_open(copy, engine->store, record, arena, &body, why));
    enum result taken = body_take(engine, member, body, arena, &because);
    if (authority_own_fault(taken)) {
        *why = because;
        return taken;
    }
    if (taken != RESULT_OK) {
        audit_count(AUDIT_CONTENTS_REFUSED);
        GUARD(notice_of_peer(engine, member->name, GROUPSEAL__SECENV__SEVERITY__WARNING, "%s", because.text));
    }
    peer_heard(engine, peer, body->content_case);
    if (body->item != 0) {
        GUARD(accept_seal(engine, copy, body->item, taken, &because, arena, answer, why));
    }
    if (association == peer->pending) {
        return admission_promote(engine, member, peer, copy, why);
    }
    *association = *copy;
    return RESULT_OK;
}

enum result record_take(struct engine *engine, const struct member *member,
                        const Groupseal__Envelope__Record *record, struct arena *arena,
                        Groupseal__Envelope__Record **answer, struct reason *why)
{
    struct peer *peer = peers_find(&engine->peers, member->name);
    struct association *association =
        peer != NULL ? peer_association(peer, arena_view(record->association)) : NULL;
    *answer = NULL;
    if (association == NULL) {
        audit_count(AUDIT_RECORDS_REFUSED);
        return result_fail(why, RESULT_UNKNOWN, "record of %s is of an association that is not known here",
                           member->name);
    }
    struct association copy = *association;
    enum result result = record_handle(engine, member, peer, association, &copy, record, arena, answer, why);
    association_wipe(&copy);
    return result;
}
