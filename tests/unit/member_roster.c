/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/member_play.h"

/*
 * The roster at the MN-CSE. The test is the authority here: its key takes the place of the real one in the
 * membership, so that it can sign what it likes.
 */

#define EVENT(name_) GROUPSEAL__SECENV__EVENT__CONTENT_##name_
#define NAMES 300u

struct rostering {
    struct play *play;
    struct identity_state *identity;
    struct membership *membership;
    struct signing_key authority;
    uint64_t number;
    char names[NAMES][32];
    uint8_t key[VERIFY_KEY_SIZE];
    Groupseal__Envelope__RosterEntry rows[NAMES];
    Groupseal__Envelope__RosterEntry *entries[NAMES];
};

static struct rostering rostering;

/* Ends the real authority's part; the roster that it sent stays. */
static struct rostering *rostering_new(void)
{
    struct rostering *r = &rostering;
    memset(r, 0, sizeof(*r));
    r->play = play_new(1);
    r->membership = play_membership(r->play->mn, PLAY_GROUP);
    r->identity = r->membership->identity;
    r->number = r->membership->relay->roster.number;
    assert_int_equal(signing_key_make(&r->authority), RESULT_OK);
    memcpy(r->membership->authority_key, r->authority.public_key, VERIFY_KEY_SIZE);
    for (size_t i = 0; i < NAMES; i++) {
        (void)snprintf(r->names[i], sizeof(r->names[i]), "//sp.example/Sae%05zu", i);
        groupseal__envelope__roster_entry__init(&r->rows[i]);
        r->rows[i].name = r->names[i];
        r->rows[i].incarnation = r->membership->incarnation;
        r->rows[i].serial = 1000u + i;
        r->rows[i].signing_key = arena_field(BYTES_OF(r->key));
        r->rows[i].site = (char *)PLAY_SITE;
        r->entries[i] = &r->rows[i];
    }
    return r;
}

static enum result page_give(struct rostering *r, uint64_t number, uint32_t page, size_t count,
                             const uint8_t hash[HASH_SIZE], bool forged)
{
    Groupseal__Envelope__RosterPage body = GROUPSEAL__ENVELOPE__ROSTER_PAGE__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    struct store *store = site_store(r->play->mn);
    struct reason why;
    size_t first = (size_t)page * PAGE_ENTRIES_LIMIT;
    body.group = (char *)PLAY_GROUP;
    body.instance = arena_field(BYTES_OF(r->membership->instance));
    body.incarnation = r->membership->incarnation;
    body.number = number;
    body.page = page;
    body.pages = (uint32_t)((count + PAGE_ENTRIES_LIMIT - 1) / PAGE_ENTRIES_LIMIT);
    body.entries = &r->entries[first];
    body.n_entries = count - first < PAGE_ENTRIES_LIMIT ? count - first : PAGE_ENTRIES_LIMIT;
    body.hash = arena_field((struct bytes){hash, HASH_SIZE});
    assert_int_equal(roster_page_sign(&body, &r->authority, signature), RESULT_OK);
    if (forged) {
        body.number++;
    }
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    enum result result = roster_take_page(r->identity, &body, &why);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    return result;
}

static enum result delta_give(struct rostering *r, uint64_t number, size_t from, size_t count,
                              const uint8_t hash[HASH_SIZE])
{
    Groupseal__Envelope__RosterDelta body = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    uint8_t signature[SIGNATURE_SIZE];
    struct store *store = site_store(r->play->mn);
    struct reason why;
    body.group = (char *)PLAY_GROUP;
    body.instance = arena_field(BYTES_OF(r->membership->instance));
    body.incarnation = r->membership->incarnation;
    body.number = number;
    body.set = &r->entries[from];
    body.n_set = count;
    body.hash = arena_field((struct bytes){hash, HASH_SIZE});
    assert_int_equal(roster_delta_sign(&body, &r->authority, signature), RESULT_OK);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    enum result result = roster_take_delta(r->identity, &body, &why);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    return result;
}

static enum result count_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(int64_t *)context = row_int(row, 0);
    return RESULT_OK;
}

static bool is_asked_for(struct rostering *r)
{
    int64_t count = 0;
    struct reason why;
    assert_int_equal(store_query(site_store(r->play->mn), &why, count_row, &count,
                                 "SELECT count(*) FROM outbox WHERE slot = ?", "t", "roster " PLAY_GROUP),
                     RESULT_OK);
    return count != 0;
}

static void whole_roster_comes_in_pages(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    struct relay *relay = r->membership->relay;
    uint8_t hash[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, NAMES, hash), RESULT_OK);
    site_events_clear(r->play->mn);
    assert_int_equal(page_give(r, r->number + 5, 2, NAMES, hash, false), RESULT_OK);
    assert_int_equal(page_give(r, r->number + 5, 0, NAMES, hash, false), RESULT_OK);
    assert_int_equal(relay->roster.number, r->number);
    assert_int_equal(page_give(r, r->number + 5, 1, NAMES, hash, true), RESULT_REFUSED);
    assert_int_equal(page_give(r, r->number + 5, 1, NAMES, hash, false), RESULT_OK);
    assert_int_equal(relay->roster.number, r->number + 5);
    assert_int_equal(relay->roster.count, NAMES);
    assert_non_null(roster_find(relay, r->names[NAMES - 1]));
    assert_null(roster_find(relay, PLAY_DOOR));
    /* The next batch, whatever it is, brings the events. */
    assert_int_equal(
        play_hear(r->play->mn, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE, "", (struct bytes){NULL, 0}, false),
        GROUPSEAL__SECENV__CODE__INVALID);
    /* To the plugin in pages of 256. */
    const Groupseal__Secenv__Event *last = site_last_event(r->play->mn, EVENT(ROSTER));
    assert_non_null(last);
    assert_int_equal(last->roster->pages, 2);
    assert_int_equal(last->roster->page, 1);
    assert_int_equal(last->roster->n_members, NAMES - ROSTER_EVENT_NAMES);
    /* After a restart, all of it again. */
    site_events_clear(r->play->mn);
    site_restart(r->play->mn);
    last = site_last_event(r->play->mn, EVENT(ROSTER));
    assert_non_null(last);
    assert_int_equal(last->roster->n_members, NAMES - ROSTER_EVENT_NAMES);
    play_free(r->play);
}

static void pages_that_do_not_hash_are_no_roster(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    uint8_t hash[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, 10, hash), RESULT_OK);
    hash[0] ^= 1u;
    assert_int_equal(page_give(r, r->number + 1, 0, 10, hash, false), RESULT_OK);
    assert_int_equal(r->membership->relay->roster.number, r->number);
    assert_true(is_asked_for(r));
    hash[0] ^= 1u;
    assert_int_equal(page_give(r, r->number + 1, 0, 10, hash, false), RESULT_OK);
    assert_int_equal(r->membership->relay->roster.number, r->number + 1);
    play_free(r->play);
}

static void gap_asks_for_the_whole(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    struct relay *relay = r->membership->relay;
    uint8_t first[HASH_SIZE];
    uint8_t hash[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, 10, first), RESULT_OK);
    assert_int_equal(page_give(r, r->number + 1, 0, 10, first, false), RESULT_OK);
    assert_int_equal(roster_hash(r->entries, 12, hash), RESULT_OK);
    /* The delta in between is lost. */
    assert_int_equal(delta_give(r, r->number + 3, 10, 2, hash), RESULT_OK);
    assert_int_equal(relay->roster.count, 10);
    assert_true(is_asked_for(r));
    /* The one that follows is taken. */
    assert_int_equal(delta_give(r, r->number + 2, 10, 2, hash), RESULT_OK);
    assert_int_equal(relay->roster.count, 12);
    /* An older one changes nothing. */
    assert_int_equal(delta_give(r, r->number + 1, 0, 1, first), RESULT_OK);
    assert_int_equal(relay->roster.count, 12);
    play_free(r->play);
}

/* An authority that is wrong about its own roster is asked once in ten seconds, not without end. */
static void wrong_roster_is_asked_for_in_moderation(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    struct relay *relay = r->membership->relay;
    uint8_t hash[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, 10, hash), RESULT_OK);
    hash[0] ^= 1u;
    assert_int_equal(page_give(r, r->number + 1, 0, 10, hash, false), RESULT_OK);
    uint64_t asked_us = relay->roster_asked_us;
    assert_true(asked_us != 0 && !relay->roster_ask_due);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(page_give(r, r->number + 1, 0, 10, hash, false), RESULT_OK);
        assert_int_equal(relay->roster_asked_us, asked_us);
        assert_true(relay->roster_ask_due);
    }
    /* The next batch, whatever it is, looks at what is due. */
    assert_int_equal(
        play_hear(r->play->mn, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE, "", (struct bytes){NULL, 0}, false),
        GROUPSEAL__SECENV__CODE__INVALID);
    site_advance(r->play->site, 11000);
    assert_true(relay->roster_asked_us >= asked_us + ROSTER_ASK_INTERVAL_US);
    play_free(r->play);
}

static void delta_with_another_result_is_not_taken(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    uint8_t hash[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, 10, hash), RESULT_OK);
    assert_int_equal(page_give(r, r->number + 1, 0, 10, hash, false), RESULT_OK);
    assert_int_equal(delta_give(r, r->number + 2, 10, 2, hash), RESULT_OK);
    assert_int_equal(r->membership->relay->roster.number, r->number + 1);
    assert_true(is_asked_for(r));
    play_free(r->play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_roster_is_asked_for_in_moderation),
        cmocka_unit_test(whole_roster_comes_in_pages),
        cmocka_unit_test(pages_that_do_not_hash_are_no_roster),
        cmocka_unit_test(gap_asks_for_the_whole),
        cmocka_unit_test(delta_with_another_result_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
