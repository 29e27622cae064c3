/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "secenv/audit.h"
#include "secenv/authority/authority.h"
#include "secenv/authority/membership_end.h"
#include "secenv/objects/object.h"
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/* What the authority gives out for a group: packages, announcements, policy, roster, each checked as its
 * receiver would; and the group under eviction, asks, backups and time. */

#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define MN_2 "//sp.example/mn-2"
#define OK GROUPSEAL__SECENV__CODE__OK
#define LEFT GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT
#define PACKAGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE
#define ASK GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST_ASK
#define CHANGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE
#define DELTA GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA
#define PAGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE

struct world {
    struct site *site;
    struct hand *mn;
    struct hand *door_1;
    struct hand *door_2;
};

static struct hand *join(struct site *site, const char *name, enum identity_kind kind, const char *at)
{
    struct hand *hand = hand_new(site, name, kind, CREDENTIALS_PSK);
    site_enrol(site, name, kind, CREDENTIALS_PSK, at, at != NULL ? "door" : NULL);
    return hand;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->site = site_new();
    world->mn = join(world->site, SITE_MN_CSE, IDENTITY_MN_CSE, NULL);
    world->door_1 = join(world->site, DOOR_1, IDENTITY_ADN_AE, SITE_MN_CSE);
    world->door_2 = join(world->site, DOOR_2, IDENTITY_ADN_AE, SITE_MN_CSE);
    site_group(world->site, "doors", "door", SITE_MN_CSE);
    assert_true(hand_authenticate(world->mn));
    site_settle(world->site);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    hand_free(world->mn);
    hand_free(world->door_1);
    hand_free(world->door_2);
    site_free(world->site);
    free(world);
    return 0;
}

static const Groupseal__Envelope__KeyPackage *package_of(const struct hand *hand)
{
    const Groupseal__Envelope__RecordBody *body = hand_last(hand, PACKAGE);
    return body != NULL ? body->package : NULL;
}

static const Groupseal__Envelope__Change *change_of(const struct hand *mn)
{
    const Groupseal__Envelope__RecordBody *body = hand_last(mn, CHANGE);
    assert_non_null(body);
    return body->change;
}

/* Climbs from the package's leaf through the announcement, as a member does. */
static bool opens(const Groupseal__Envelope__KeyPackage *package,
                  const Groupseal__Envelope__Announcement *announcement)
{
    struct secret leaf;
    struct secret root;
    struct secret epoch;
    struct secret confirmation;
    struct bytes block = arena_view(announcement->top);
    assert_int_equal(package->leaf_secret.len, SECRET_SIZE);
    memcpy(leaf.data, package->leaf_secret.data, SECRET_SIZE);
    if (tree_climb(&leaf, package->leaf_index, announcement->height, &block, 1, &root) != RESULT_OK) {
        return false;
    }
    assert_int_equal(epoch_secret(&root, announcement->instance.data, announcement->incarnation,
                                  announcement->epoch, &epoch),
                     RESULT_OK);
    assert_int_equal(epoch_confirmation(&epoch, &confirmation), RESULT_OK);
    return memcmp(confirmation.data, announcement->confirmation.data, SECRET_SIZE) == 0;
}

/* The announcement, and the policy that it names, which may have come with an earlier one. */
static void assert_news_are_whole(const struct hand *mn, struct bytes key)
{
    struct reason why = {""};
    uint8_t hash[HASH_SIZE];
    const Groupseal__Envelope__Announcement *announcement = change_of(mn)->announcement;
    const Groupseal__Envelope__Policy *policy = hand_policy(mn);
    assert_non_null(policy);
    assert_int_equal(announcement_check(announcement, key, &why), RESULT_OK);
    assert_int_equal(policy_check(policy, key, &why), RESULT_OK);
    assert_int_equal(policy_hash(policy, hash), RESULT_OK);
    assert_memory_equal(hash, announcement->policy_hash.data, HASH_SIZE);
    assert_string_equal(policy->group, "doors");
}

static void package_opens_the_announcement(void **state)
{
    struct world *world = *state;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    const Groupseal__Envelope__KeyPackage *package = package_of(world->door_2);
    const Groupseal__Envelope__Change *change = change_of(world->mn);
    assert_news_are_whole(world->mn, arena_view(package->authority_key));
    assert_int_equal(change->announcement->epoch, 3);
    assert_true(opens(package, change->announcement));
    assert_true(opens(package_of(world->door_1), change->announcement));
    assert_true(opens(package_of(world->mn), change->announcement));
    assert_int_equal(package->epoch, 3);
    assert_string_equal(package->group, "doors");
    assert_int_equal(package->n_sites, 1);
    assert_string_equal(package->sites[0], "mn-1");
    /* Relay and commander: the MN-CSE with the key of its own, the IN-CSE with another than the authority's.
     */
    const Groupseal__Envelope__Policy *policy = hand_policy(world->mn);
    assert_int_equal(policy->n_relays, 1);
    assert_string_equal(policy->relays[0]->site, "mn-1");
    assert_memory_equal(policy->relays[0]->key.data, world->mn->signing.public_key, VERIFY_KEY_SIZE);
    assert_int_equal(policy->relays[0]->serial, package_of(world->mn)->serial);
    assert_int_equal(policy->n_commanders, 1);
    assert_string_equal(policy->commanders[0]->name, SITE_AUTHORITY);
    assert_memory_not_equal(policy->commanders[0]->key.data, package->authority_key.data, VERIFY_KEY_SIZE);
    assert_true(policy->authority_only);
}

/* Joined together, changed once; and everyone has a leaf and serial of their own. */
static void one_change_a_turn(void **state)
{
    struct world *world = *state;
    uint64_t keys = audit_value(AUDIT_GROUP_KEYS_MADE);
    assert_true(hand_authenticate(world->door_1));
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    assert_int_equal(audit_value(AUDIT_GROUP_KEYS_MADE) - keys, 2); /* each request is a batch here */
    assert_int_not_equal(package_of(world->door_1)->serial, package_of(world->door_2)->serial);
    assert_int_not_equal(package_of(world->door_1)->leaf_index, package_of(world->door_2)->leaf_index);
    assert_memory_not_equal(package_of(world->door_1)->leaf_secret.data,
                            package_of(world->door_2)->leaf_secret.data, SECRET_SIZE);
}

static void eviction_is_announced_for_the_overlap(void **state)
{
    struct world *world = *state;
    assert_true(hand_authenticate(world->door_1));
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    uint64_t serial = package_of(world->door_2)->serial;
    site_events_clear(site_authority(world->site));
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    size_t given = world->door_2->body_count;
    site_settle(world->site);
    assert_null(site_last_event(site_authority(world->site), GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE));
    const Groupseal__Envelope__Change *change = change_of(world->mn);
    assert_news_are_whole(world->mn, arena_view(package_of(world->door_1)->authority_key));
    assert_false(opens(package_of(world->door_2), change->announcement));
    assert_true(opens(package_of(world->door_1), change->announcement));
    assert_int_equal(change->announcement->n_evicted, 1);
    assert_int_equal(change->announcement->evicted[0], serial);
    assert_false(change->announcement->overlap_ended);
    assert_int_equal(world->door_2->body_count, given + 1); /* that it has left, and nothing more */
    assert_string_equal(hand_last(world->door_2, LEFT)->left->group, "doors");
    /* The next announcement after the overlap is without it. */
    site_advance(world->site, 31000);
    assert_true(hand_authenticate(world->door_1));
    site_advance(world->site, 6000);
    assert_int_equal(change_of(world->mn)->announcement->n_evicted, 0);
    assert_false(change_of(world->mn)->announcement->overlap_ended);
    /* A beat that could not name those who left with this key says that the overlap is over. */
    site_advance(world->site, 900000);
    assert_true(change_of(world->mn)->announcement->overlap_ended);
}

/* The last member leaves: no key, nothing to announce; a new one starts again above. */
/* Which of two associations the member has is not known: it is told in both that it has left. */
static void evicted_between_two_associations(void **state)
{
    struct world *world = *state;
    assert_true(hand_authenticate(world->door_1));
    site_advance(world->site, 6000);
    assert_true(hand_authenticate(world->door_1));
    assert_int_equal(operator_evict(world->site, DOOR_1), OK);
    site_settle(world->site);
    assert_int_equal(hand_count(world->door_1, LEFT), 1);
}

static void group_without_members(void **state)
{
    struct world *world = *state;
    assert_int_equal(operator_evict(world->site, SITE_MN_CSE), OK);
    site_settle(world->site);
    site_advance(world->site, 2000000); /* no beat of nothing */
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_int_equal(package_of(world->door_1)->epoch, 3);
    site_restart(site_authority(world->site));
    site_settle(world->site);
    Groupseal__Secenv__Reply *reply = operator_show(world->site, "doors");
    assert_int_equal(reply->group->group->epoch, 3);
    assert_int_equal(reply->group->n_members, 1);
    site_reply_free(reply);
}

/* ---- roster ---- */

static void assert_roster_hash(Groupseal__Envelope__RosterEntry **entries, size_t count,
                               ProtobufCBinaryData hash)
{
    uint8_t expected[HASH_SIZE];
    assert_int_equal(roster_hash(entries, count, expected), RESULT_OK);
    assert_int_equal(hash.len, HASH_SIZE);
    assert_memory_equal(expected, hash.data, HASH_SIZE);
}

static void roster_in_deltas(void **state)
{
    struct world *world = *state;
    struct reason why = {""};
    const Groupseal__Envelope__RosterDelta *first = hand_last(world->mn, DELTA)->roster_delta;
    struct bytes key = arena_view(package_of(world->mn)->authority_key);
    assert_int_equal(first->number, 1);
    assert_int_equal(roster_delta_check(first, key, &why), RESULT_OK);
    assert_int_equal(first->n_set, 1);
    assert_roster_hash(first->set, 1, first->hash);
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    const Groupseal__Envelope__RosterDelta *second = hand_last(world->mn, DELTA)->roster_delta;
    assert_int_equal(second->number, 2);
    assert_int_equal(roster_delta_check(second, key, &why), RESULT_OK);
    assert_int_equal(second->n_set, 1);
    assert_string_equal(second->set[0]->name, DOOR_1);
    assert_string_equal(second->set[0]->site, "mn-1");
    assert_memory_equal(second->set[0]->signing_key.data, world->door_1->signing.public_key, VERIFY_KEY_SIZE);
    Groupseal__Envelope__RosterEntry *both[] = {second->set[0], first->set[0]};
    assert_roster_hash(both, 2, second->hash);
    assert_int_equal(operator_evict(world->site, DOOR_1), OK);
    site_settle(world->site);
    const Groupseal__Envelope__RosterDelta *third = hand_last(world->mn, DELTA)->roster_delta;
    assert_int_equal(third->number, 3);
    assert_int_equal(third->n_set, 0);
    assert_int_equal(third->n_removed, 1);
    assert_string_equal(third->removed[0], DOOR_1);
    assert_roster_hash(first->set, 1, third->hash);
    assert_int_equal(hand_count(world->mn, PAGE), 0);
}

/* Deltas wait for an MN-CSE that does not answer, each, and the whole does not go with each of them. */
static void deltas_wait(void **state)
{
    struct world *world = *state;
    size_t before = hand_count(world->mn, DELTA);
    world->mn->accept = HAND_SILENT;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    world->mn->accept = 0;
    site_advance(world->site, 120000);
    assert_int_equal(hand_count(world->mn, PAGE), 0);
    assert_int_equal(hand_count(world->mn, DELTA), before + 2);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_settle(world->site);
    assert_int_equal(hand_last(world->mn, DELTA)->roster_delta->number, 4);
    assert_int_equal(hand_count(world->mn, PAGE), 0);
}

/* An MN-CSE that did not take a delta for good gets the whole, once; then deltas again. */
static void roster_in_pages_after_a_refusal(void **state)
{
    struct world *world = *state;
    struct reason why = {""};
    world->mn->accept = 1;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    world->mn->accept = 0;
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn, PAGE), 1);
    const Groupseal__Envelope__RosterPage *page = hand_last(world->mn, PAGE)->roster_page;
    assert_int_equal(page->number, 3);
    assert_int_equal(page->pages, 1);
    assert_int_equal(page->n_entries, 3);
    assert_int_equal(roster_page_check(page, arena_view(package_of(world->mn)->authority_key), &why),
                     RESULT_OK);
    assert_roster_hash(page->entries, 3, page->hash);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_settle(world->site);
    assert_int_equal(hand_last(world->mn, DELTA)->roster_delta->number, 4);
    assert_int_equal(hand_count(world->mn, PAGE), 1);
}

static uint32_t roster_ask(struct hand *hand, const Groupseal__Envelope__KeyPackage *package)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__RosterAsk ask = GROUPSEAL__ENVELOPE__ROSTER_ASK__INIT;
    ask.group = package->group;
    ask.instance = package->instance;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK;
    body.roster_ask = &ask;
    return hand_say(hand, &body);
}

static void roster_when_asked(void **state)
{
    struct world *world = *state;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_int_equal(roster_ask(world->door_1, package_of(world->door_1)), 2); /* no MN-CSE */
    assert_int_equal(hand_count(world->mn, PAGE), 0);
    assert_int_equal(roster_ask(world->mn, package_of(world->mn)), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn, PAGE), 1);
}

/* ---- asks ---- */

static uint32_t package_ask(struct hand *hand, const Groupseal__Envelope__KeyPackage *package)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    ask.group = package->group;
    ask.instance = package->instance;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    return hand_say(hand, &body);
}

static void package_when_asked(void **state)
{
    struct world *world = *state;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    const Groupseal__Envelope__KeyPackage *package = package_of(world->door_1);
    for (int i = 0; i < 3; i++) { /* once in 30 s */
        assert_int_equal(package_ask(world->door_1, package), 0);
        site_settle(world->site);
    }
    assert_int_equal(hand_count(world->door_1, PACKAGE), 2);
    assert_memory_equal(package_of(world->door_1)->leaf_secret.data, package->leaf_secret.data, SECRET_SIZE);
    site_advance(world->site, 30000);
    assert_int_equal(package_ask(world->door_1, package), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->door_1, PACKAGE), 3);
    /* Who is not in the group gets none. */
    site_enrol(world->site, "//sp.example/Slamp1", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "lamp");
    struct hand *lamp = hand_new(world->site, "//sp.example/Slamp1", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    assert_true(hand_authenticate(lamp));
    assert_int_equal(package_ask(lamp, package), 3);
    site_settle(world->site);
    assert_int_equal(lamp->body_count, 0);
    hand_free(lamp);
}

/* A package is never sealed into another association than the one its leaf was made for. */
static void package_stays_in_its_association(void **state)
{
    struct world *world = *state;
    world->door_1->accept = HAND_SILENT;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_true(hand_authenticate(world->door_1)); /* the first package was not accepted */
    world->door_1->accept = 0;
    site_advance(world->site, 60000);
    assert_int_equal(hand_count(world->door_1, PACKAGE), 1);
    assert_int_equal(package_of(world->door_1)->epoch, 3); /* the leaf of epoch 2 was never seen */
}

/* The same where the leaf cannot be replaced, because the group is stopped: then it gets none. */
static void package_of_a_stopped_group(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    world->door_1->accept = HAND_SILENT;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    site_restart(authority); /* its MN-CSE does not say what it holds */
    struct association old = world->door_1->association;
    assert_true(hand_authenticate(world->door_1));
    struct association fresh = world->door_1->association;
    world->door_1->association = old;
    world->door_1->accept = 7; /* not kept: sent again */
    site_advance(world->site, 4000);
    assert_true(hand_count(world->door_1, PACKAGE) > 0); /* in the old one, while it lives */
    world->door_1->association = fresh;
    hand_forget(world->door_1);
    site_advance(world->site, 120000);
    assert_int_equal(hand_count(world->door_1, PACKAGE), 0);
}

/* An MN-CSE is sent nothing that it cannot read: first the package, and the rest when it has taken it. */
static void keys_come_first(void **state)
{
    struct world *world = *state;
    uint64_t epoch = change_of(world->mn)->announcement->epoch;
    assert_true(hand_authenticate(world->mn));
    hand_forget(world->mn);
    world->mn->accept = 7;
    site_advance(world->site, 60000);
    assert_true(hand_count(world->mn, PACKAGE) > 1);
    assert_int_equal(hand_count(world->mn, PACKAGE), world->mn->body_count);
    world->mn->accept = 0;
    site_advance(world->site, 150000); /* the longest back-off, with its jitter */
    assert_int_equal(change_of(world->mn)->announcement->epoch, epoch + 1);
    assert_int_equal(hand_count(world->mn, PAGE), 1);
}

/* ---- NEWEST ---- */

static uint32_t newest_say(struct hand *hand, Groupseal__Envelope__Announcement *announcement,
                           ProtobufCBinaryData nonce)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Newest content = GROUPSEAL__ENVELOPE__NEWEST__INIT;
    content.announcements = &announcement;
    content.n_announcements = announcement != NULL ? 1 : 0;
    content.nonce = nonce;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST;
    body.newest = &content;
    return hand_say(hand, &body);
}

static uint32_t newest(struct hand *hand, Groupseal__Envelope__Announcement *announcement)
{
    return newest_say(hand, announcement, arena_field((struct bytes){NULL, 0}));
}

/* The answer to what the authority asked last. */
static uint32_t newest_answer(struct hand *hand, Groupseal__Envelope__Announcement *announcement)
{
    const Groupseal__Envelope__RecordBody *asked = hand_last(hand, ASK);
    assert_non_null(asked);
    return newest_say(hand, announcement, asked->newest_ask->nonce);
}

static bool held(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, "doors");
    assert_int_equal(reply->code, OK);
    bool held = reply->group->held;
    site_reply_free(reply);
    return held;
}

static uint64_t epoch_of(struct site *site)
{
    Groupseal__Secenv__Reply *reply = operator_show(site, "doors");
    assert_int_equal(reply->code, OK);
    uint64_t epoch = reply->group->group->epoch;
    site_reply_free(reply);
    return epoch;
}

static void older_news_are_mended(void **state)
{
    struct world *world = *state;
    Groupseal__Envelope__Announcement *old = change_of(world->mn)->announcement;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    size_t changes = hand_count(world->mn, CHANGE);
    assert_int_equal(newest(world->mn, change_of(world->mn)->announcement), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn, CHANGE), changes);
    assert_int_equal(newest(world->mn, old), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn, CHANGE), changes + 1);
    assert_int_equal(newest(world->mn, NULL), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn, CHANGE), changes + 2);
    assert_int_equal(hand_count(world->mn, PAGE), 3); /* no roster was named in any of them */
}

/* After a start nothing is published before the MN-CSE has answered this start's question. */
static void held_until_an_mn_cse_answers(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    Groupseal__Envelope__Announcement *announcement = change_of(world->mn)->announcement;
    site_restart(authority);
    site_settle(world->site);
    ProtobufCBinaryData before = hand_last(world->mn, ASK)->newest_ask->nonce;
    site_restart(authority);
    site_settle(world->site);
    assert_true(held(world->site));
    assert_true(hand_authenticate(world->door_1));
    site_advance(world->site, 1000000); /* a beat would be due, too */
    assert_ptr_equal(change_of(world->mn)->announcement, announcement);
    assert_null(package_of(world->door_1));
    /* What it said unasked, or to an earlier start, may be a repeat of old. */
    assert_int_equal(newest(world->mn, announcement), 0);
    assert_int_equal(newest_say(world->mn, announcement, before), 0);
    site_settle(world->site);
    assert_true(held(world->site));
    assert_int_equal(newest_answer(world->mn, announcement), 0);
    site_settle(world->site);
    assert_false(held(world->site));
    assert_int_equal(epoch_of(world->site), 2);
    assert_non_null(package_of(world->door_1));
}

static void operator_releases(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    assert_int_equal(operator_release(world->site, "doors"), GROUPSEAL__SECENV__CODE__EXISTS);
    world->mn->accept = HAND_SILENT;
    site_restart(authority);
    assert_true(held(world->site));
    assert_int_equal(operator_release(world->site, "gates"), GROUPSEAL__SECENV__CODE__UNKNOWN);
    assert_int_equal(operator_release(world->site, "doors"), OK);
    assert_false(held(world->site));
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_int_equal(epoch_of(world->site), 2);
    /* Each start asks anew; a group without MN-CSE has nobody to ask. */
    site_restart(authority);
    assert_true(held(world->site));
    assert_int_equal(operator_evict(world->site, SITE_MN_CSE), OK);
    site_settle(world->site);
    assert_false(held(world->site));
    assert_int_equal(epoch_of(world->site), 3);
}

static void backup_restore(struct world *world, uint64_t epoch)
{
    struct site_node *authority = site_authority(world->site);
    assert_int_equal(store_begin(site_store(authority), NULL), RESULT_OK);
    assert_int_equal(store_run(site_store(authority), NULL, "UPDATE key_group SET epoch = ?, beat = ?", "uu",
                               epoch, epoch),
                     RESULT_OK);
    assert_int_equal(store_commit(site_store(authority), NULL), RESULT_OK);
    site_restart(authority);
    site_settle(world->site);
}

static const char *state_of(struct site *site, const char *name, char out[32])
{
    Groupseal__Secenv__Reply *reply = operator_list(site, "");
    assert_int_equal(reply->code, OK);
    out[0] = '\0';
    for (size_t i = 0; i < reply->members->n_members; i++) {
        if (strcmp(reply->members->members[i]->name, name) == 0) {
            (void)snprintf(out, 32, "%s", reply->members->members[i]->state);
        }
    }
    site_reply_free(reply);
    return out;
}

/* The store comes back from a backup: an MN-CSE's newer announcement begins a new incarnation, a forged one
 * does not. */
static void newer_news_begin_anew(void **state)
{
    struct world *world = *state;
    char word[32];
    Groupseal__Envelope__Announcement *announcement = change_of(world->mn)->announcement;
    announcement->epoch += 5; /* and its signature no longer fits */
    assert_int_equal(newest(world->mn, announcement), 2);
    announcement->epoch -= 5;
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    announcement = change_of(world->mn)->announcement;
    assert_int_equal(announcement->epoch, 2);
    uint64_t serial = package_of(world->door_1)->serial;

    /* The same authority with a store of before. */
    backup_restore(world, 1);
    site_events_clear(site_authority(world->site));
    assert_int_equal(newest(world->mn, announcement), 0);
    const Groupseal__Secenv__Event *event =
        site_last_event(site_authority(world->site), GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
    assert_non_null(event);
    assert_int_equal(event->notice->severity, GROUPSEAL__SECENV__SEVERITY__ALARM);
    assert_non_null(strstr(event->notice->text, "in-cse member confirm"));
    assert_int_equal(newest(world->mn, announcement), HAND_REFUSED); /* its association has ended */
    hand_forget(world->door_1);
    for (int round = 0; round < 2; round++) { /* after a restart too */
        assert_false(hand_authenticate(world->mn));
        assert_false(hand_authenticate(world->door_1));
        assert_string_equal(state_of(world->site, DOOR_1, word), "unconfirmed");
        site_restart(site_authority(world->site));
    }

    /* Only who is confirmed comes in again; who is evicted never. */
    assert_int_equal(operator_confirm(world->site, NULL), GROUPSEAL__SECENV__CODE__INVALID);
    assert_int_equal(operator_confirm(world->site, SITE_MN_CSE), OK);
    assert_int_equal(operator_confirm(world->site, SITE_MN_CSE), GROUPSEAL__SECENV__CODE__EXISTS);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    assert_int_equal(operator_confirm(world->site, DOOR_2), GROUPSEAL__SECENV__CODE__REFUSED);
    assert_true(hand_authenticate(world->mn));
    assert_false(hand_authenticate(world->door_1));
    site_settle(world->site);
    const Groupseal__Envelope__Announcement *fresh = change_of(world->mn)->announcement;
    assert_true(fresh->incarnation > announcement->incarnation);
    assert_true(fresh->incarnation >= site_now_ms(world->site) / 1000 - 1);
    assert_int_equal(hand_policy(world->mn)->incarnation, fresh->incarnation);
    assert_int_equal(operator_confirm(world->site, "--all"), OK);
    assert_true(hand_authenticate(world->door_1));
    assert_false(hand_authenticate(world->door_2));
    site_settle(world->site);
    assert_true(opens(package_of(world->door_1), change_of(world->mn)->announcement));
    assert_int_equal(package_of(world->door_1)->incarnation, fresh->incarnation);
    assert_true(package_of(world->door_1)->serial > serial);
    /* News of the old one begin nothing again. */
    assert_int_equal(newest(world->mn, announcement), 0);
    site_settle(world->site);
    assert_string_equal(state_of(world->site, DOOR_1, word), "associated");
}

static uint32_t asks_with(struct hand *door, Groupseal__Envelope__Announcement *announcement)
{
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    ask.group = (char *)"doors";
    ask.instance = announcement->instance;
    ask.epoch = announcement->epoch;
    ask.newest = announcement;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    return hand_say(door, &body);
}

/* Newer by its word; by its own signature; of the very epoch, but with another key: as a taken device would.
 */
static void lies_are_refused(struct hand *door, const Groupseal__Envelope__Announcement *genuine)
{
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t confirmation[HASH_SIZE];
    Groupseal__Envelope__Announcement lie = *genuine;
    lie.epoch += 5;
    assert_int_equal(asks_with(door, &lie), 2);
    assert_int_equal(announcement_sign(&lie, &door->signing, signature), RESULT_OK);
    assert_int_equal(asks_with(door, &lie), 2);
    lie = *genuine;
    memcpy(confirmation, genuine->confirmation.data, sizeof(confirmation));
    confirmation[0] ^= 1u;
    lie.confirmation.data = confirmation;
    assert_int_equal(asks_with(door, &lie), 2);
}

/* MN-CSE and authority come back from backups: what one device has heard begins a new incarnation, what it
 * makes up does not. */
static void device_shows_newer_news(void **state)
{
    struct world *world = *state;
    char word[32];
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    Groupseal__Envelope__Announcement *announcement = change_of(world->mn)->announcement;
    assert_int_equal(announcement->epoch, 2);
    lies_are_refused(world->door_1, announcement);
    assert_int_equal(asks_with(world->door_1, announcement), 0); /* true, and not newer */
    site_settle(world->site);
    assert_string_equal(state_of(world->site, DOOR_1, word), "associated");
    assert_null(hand_last(world->mn, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE));

    backup_restore(world, 1);
    Groupseal__Envelope__Announcement lie = *announcement;
    lie.beat++;
    assert_int_equal(asks_with(world->door_1, &lie), 2);
    assert_string_equal(state_of(world->site, DOOR_1, word), "associated");
    assert_int_equal(asks_with(world->door_1, announcement), 0);
    site_settle(world->site);
    assert_string_equal(state_of(world->site, DOOR_1, word), "unconfirmed");
    /* The MN-CSE is told by the last record of its association; devices hear it from its broker. */
    const Groupseal__Envelope__RecordBody *told =
        hand_last(world->mn, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE);
    assert_non_null(told);
    assert_int_equal(told->reauthenticate->why, 4);
    assert_null(hand_last(world->door_1, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE));
    assert_false(hand_authenticate(world->mn));
    assert_int_equal(operator_confirm(world->site, "--all"), OK);
    assert_true(hand_authenticate(world->mn));
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    assert_true(opens(package_of(world->door_1), change_of(world->mn)->announcement));
    assert_int_equal(asks_with(world->door_1, announcement), 0); /* of the old incarnation: nothing again */
    site_settle(world->site);
    assert_string_equal(state_of(world->site, DOOR_1, word), "associated");
}

/* ---- the evictions file ---- */

static void backup_knows_who_was_evicted(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    char backup[300];
    char command[1400];
    assert_true(hand_authenticate(world->door_1));
    assert_true(hand_authenticate(world->door_2));
    site_settle(world->site);
    (void)snprintf(backup, sizeof(backup), "%s/backup", site_scratch(world->site));
    site_close(authority);
    (void)snprintf(command, sizeof(command), "cp -a '%s' '%s'", site_directory(authority), backup);
    assert_int_equal(system(command), 0);
    site_reopen(authority);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_settle(world->site);
    uint64_t epoch = epoch_of(world->site);
    /* Everything of the backup but the evictions file, which stands beside the store. */
    site_close(authority);
    (void)snprintf(command, sizeof(command), "cp '%s/evictions' '%s/' && rm -rf '%s' && cp -a '%s' '%s'",
                   site_directory(authority), backup, site_directory(authority), backup,
                   site_directory(authority));
    assert_int_equal(system(command), 0);
    site_reopen(authority);
    const Groupseal__Secenv__Event *event =
        site_last_event(authority, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
    assert_non_null(event);
    assert_int_equal(event->notice->severity, GROUPSEAL__SECENV__SEVERITY__ALARM);
    site_settle(world->site);
    assert_int_equal(epoch_of(world->site), epoch); /* evicted again, by a change */
    assert_false(hand_authenticate(world->door_2));
    assert_true(hand_authenticate(world->door_1));
    /* Added again, it is another row: it stays through the next start. */
    site_enrol(world->site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_restart(authority);
    assert_true(hand_authenticate(world->door_2));
}

/* ---- time ---- */

static void beats(void **state)
{
    struct world *world = *state;
    const Groupseal__Envelope__Announcement *first = change_of(world->mn)->announcement;
    site_advance(world->site, 899000);
    assert_ptr_equal(change_of(world->mn)->announcement, first);
    site_restart(site_authority(world->site)); /* the interval goes on */
    site_settle(world->site);
    assert_int_equal(newest_answer(world->mn, change_of(world->mn)->announcement), 0);
    site_advance(world->site, 2000);
    const Groupseal__Envelope__Announcement *second = change_of(world->mn)->announcement;
    assert_news_are_whole(world->mn, arena_view(package_of(world->mn)->authority_key));
    assert_int_equal(second->epoch, first->epoch);
    assert_int_equal(second->beat, first->beat + 1);
    assert_true(second->time_ms > first->time_ms);
    assert_true(announcement_compare(second, first) > 0);
    assert_true(opens(package_of(world->mn), second));
    site_advance(world->site, 900000);
    assert_int_equal(change_of(world->mn)->announcement->beat, first->beat + 2);
}

/* Offline nothing is sent; what has changed meanwhile goes out at once when the connection is back. */
static void offline_and_back(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    assert_true(hand_authenticate(world->door_1));
    site_settle(world->site);
    size_t bodies = world->mn->body_count;
    site_online(authority, false);
    assert_int_equal(operator_evict(world->site, DOOR_1), OK);
    site_advance(world->site, 5000);
    assert_int_equal(world->mn->body_count, bodies);
    site_online(authority, true);
    site_settle(world->site);
    assert_int_equal(change_of(world->mn)->announcement->epoch, 3);
    assert_int_equal(hand_last(world->mn, DELTA)->roster_delta->n_removed, 1);
}

/* ---- two sites ---- */

static void each_site_has_its_own(void **state)
{
    struct world *world = *state;
    struct hand *mn_2 = join(world->site, MN_2, IDENTITY_MN_CSE, NULL);
    struct hand *gate = join(world->site, "//sp.example/mn-2/Cgate", IDENTITY_ADN_AE, MN_2);
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)MN_2, (char *)(uintptr_t)SITE_MN_CSE};
    group.name = (char *)(uintptr_t) "all";
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2;
    assert_int_equal(operator_create(world->site, &group), OK);
    assert_true(hand_authenticate(world->door_1));
    assert_true(hand_authenticate(mn_2));
    assert_true(hand_authenticate(gate));
    site_settle(world->site);
    assert_int_equal(hand_count(gate, PACKAGE), 1); /* not of "doors", which is at the other site */
    assert_string_equal(package_of(gate)->group, "all");
    assert_string_equal(package_of(gate)->sites[0], "mn-2");
    const Groupseal__Envelope__Policy *policy = hand_policy(mn_2);
    assert_int_equal(policy->n_relays, 2);
    assert_int_equal(policy->n_commanders, 3); /* not authority only: each MN-CSE at its own site */
    assert_non_null(policy_commander(policy, MN_2, "mn-2"));
    assert_null(policy_commander(policy, MN_2, "mn-1"));
    assert_non_null(policy_commander(policy, SITE_AUTHORITY, "mn-1"));
    assert_true(opens(package_of(gate), change_of(mn_2)->announcement));
    hand_free(mn_2);
    hand_free(gate);
}

/* ---- a peer that takes nothing ---- */

static void outbox_fill(struct world *world, const char *peer)
{
    struct engine *engine = site_engine(site_authority(world->site));
    struct reason why = {""};
    enum result result = store_begin(engine->store, &why);
    for (unsigned i = 0; result == RESULT_OK; i++) {
        char slot[32];
        Groupseal__Envelope__Left left = GROUPSEAL__ENVELOPE__LEFT__INIT;
        Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
        (void)snprintf(slot, sizeof(slot), "filler %u", i);
        left.group = slot;
        body.content_case = LEFT;
        body.left = &left;
        result = outbox_put(engine->outbox, SITE_AUTHORITY, peer, slot, &body, &why);
    }
    assert_int_equal(result, RESULT_FULL);
    assert_int_equal(store_commit(engine->store, &why), RESULT_OK);
}

static void outbox_make_room(struct world *world, const char *peer)
{
    struct engine *engine = site_engine(site_authority(world->site));
    struct reason why = {""};
    assert_int_equal(store_begin(engine->store, &why), RESULT_OK);
    for (unsigned i = 0; i < 10; i++) {
        char slot[32];
        (void)snprintf(slot, sizeof(slot), "filler %u", i);
        assert_int_equal(outbox_drop_slot(engine->outbox, SITE_AUTHORITY, peer, slot, &why), RESULT_OK);
    }
    assert_int_equal(store_commit(engine->store, &why), RESULT_OK);
}

static size_t notices(struct world *world, const char *words)
{
    struct site_node *authority = site_authority(world->site);
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(authority); i++) {
        const Groupseal__Secenv__Event *event = site_event(authority, i);
        count += event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE &&
                         strstr(event->notice->text, words) != NULL
                     ? 1
                     : 0;
    }
    return count;
}

/* Two sites, a door at each; the group "all". The second MN-CSE and its door are the test's. */
static void two_sites(struct world *world, struct hand **mn_2, struct hand **gate)
{
    *mn_2 = join(world->site, MN_2, IDENTITY_MN_CSE, NULL);
    *gate = join(world->site, "//sp.example/mn-2/Cgate", IDENTITY_ADN_AE, MN_2);
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)MN_2, (char *)(uintptr_t)SITE_MN_CSE};
    group.name = (char *)(uintptr_t) "all";
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2;
    group.authority_only = 1;
    assert_int_equal(operator_create(world->site, &group), OK);
    assert_true(hand_authenticate(world->door_1));
    assert_true(hand_authenticate(world->door_2));
    assert_true(hand_authenticate(*mn_2));
    assert_true(hand_authenticate(*gate));
    site_settle(world->site);
}

/* An eviction is made all the same; the others have it, and the full one when it takes something again. */
static void full_outbox_puts_off_its_peer_alone(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    struct hand *mn_2 = NULL;
    struct hand *gate = NULL;
    two_sites(world, &mn_2, &gate);
    uint64_t epoch = change_of(mn_2)->announcement->epoch;
    world->mn->accept = HAND_SILENT;
    site_online(authority, false);
    outbox_fill(world, SITE_MN_CSE);
    site_events_clear(authority);
    hand_forget(world->mn);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_online(authority, true);
    site_settle(world->site);
    assert_true(change_of(mn_2)->announcement->epoch > epoch);
    epoch = change_of(mn_2)->announcement->epoch;
    assert_int_equal(hand_last(mn_2, DELTA)->roster_delta->n_removed, 1);
    assert_true(notices(world, "for //sp.example/mn-1 are put off") > 0);
    size_t told = notices(world, "are put off");
    assert_int_equal(hand_count(world->mn, DELTA) + hand_count(world->mn, PAGE), 0);

    /* An order goes where there is room, and says where not. */
    Groupseal__Secenv__Reply *sent = operator_order(world->site, "all", "close", NULL, 0, 5000);
    assert_int_equal(sent->code, OK);
    site_settle(world->site);
    assert_non_null(hand_last(mn_2, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER));
    site_advance(world->site, 8000);
    Groupseal__Secenv__Reply *report = operator_order_show(world->site, arena_view(sent->order->command_id));
    assert_int_equal(report->code, OK);
    assert_non_null(strstr(report->report->refused, "wait for //sp.example/mn-1 already"));
    site_reply_free(sent);
    site_reply_free(report);
    sent = operator_order(world->site, "doors", "close", NULL, 0, 5000); /* at the full one alone */
    assert_int_equal(sent->code, GROUPSEAL__SECENV__CODE__FULL);
    site_reply_free(sent);

    /* Told once, whatever comes of it; also not again after a start. */
    site_advance(world->site, 60000);
    site_restart(authority);
    site_advance(world->site, 60000);
    assert_int_equal(notices(world, "are put off"), told);
    assert_int_equal(notices(world, "go on"), 0);

    world->mn->accept = 0;
    outbox_make_room(world, SITE_MN_CSE);
    site_advance(world->site, 600000); /* for so little room it is not tried at once */
    assert_int_equal(notices(world, "go on"), told);
    assert_true(hand_count(world->mn, DELTA) + hand_count(world->mn, PAGE) > 0);
    assert_int_equal(change_of(world->mn)->announcement->epoch,
                     strcmp(change_of(world->mn)->group, "all") == 0 ? epoch : 4);
    hand_free(mn_2);
    hand_free(gate);
}

static uint64_t waiting_for(struct world *world, const char *peer)
{
    struct reason why = {""};
    uint64_t count = 0;
    assert_int_equal(
        store_number(site_engine(site_authority(world->site))->store, &why, &count,
                     "SELECT count(*) FROM outbox WHERE peer = ? AND slot NOT LIKE 'revocation%'", "t", peer),
        RESULT_OK);
    return count;
}

/* What waited for an MN-CSE that is not in the group any more, its certificate being revoked, goes with the
 * group: one that is made again under the name would be sent it for good. */
static void deletion_leaves_nothing_for_the_revoked(void **state)
{
    struct world *world = *state;
    struct engine *engine = site_engine(site_authority(world->site));
    struct reason why = {""};
    struct hand *mn_2 = NULL;
    struct hand *gate = NULL;
    two_sites(world, &mn_2, &gate);
    mn_2->accept = HAND_SILENT;
    assert_int_equal(operator_rotate(world->site, "all"), OK);
    site_settle(world->site);
    assert_int_equal(store_begin(engine->store, &why), RESULT_OK);
    assert_int_equal(member_revoke(engine, MN_2, &why), RESULT_OK);
    assert_int_equal(store_commit(engine->store, &why), RESULT_OK);
    uint64_t epoch = change_of(world->mn)->announcement->epoch;
    assert_int_equal(operator_rotate(world->site, "doors"), OK);
    site_settle(world->site);
    assert_true(change_of(world->mn)->announcement->epoch > epoch);
    assert_true(waiting_for(world, MN_2) > 0);
    assert_int_equal(operator_delete(world->site, "all"), OK);
    assert_int_equal(waiting_for(world, MN_2), 0);
    hand_free(mn_2);
    hand_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(package_opens_the_announcement, setup, teardown),
        cmocka_unit_test_setup_teardown(one_change_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(eviction_is_announced_for_the_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(evicted_between_two_associations, setup, teardown),
        cmocka_unit_test_setup_teardown(group_without_members, setup, teardown),
        cmocka_unit_test_setup_teardown(roster_in_deltas, setup, teardown),
        cmocka_unit_test_setup_teardown(deltas_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(roster_in_pages_after_a_refusal, setup, teardown),
        cmocka_unit_test_setup_teardown(roster_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(package_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(package_stays_in_its_association, setup, teardown),
        cmocka_unit_test_setup_teardown(package_of_a_stopped_group, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(older_news_are_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(held_until_an_mn_cse_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(operator_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_news_begin_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(device_shows_newer_news, setup, teardown),
        cmocka_unit_test_setup_teardown(backup_knows_who_was_evicted, setup, teardown),
        cmocka_unit_test_setup_teardown(beats, setup, teardown),
        cmocka_unit_test_setup_teardown(offline_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(each_site_has_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(deletion_leaves_nothing_for_the_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(full_outbox_puts_off_its_peer_alone, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_group", tests, NULL, NULL);
}
