/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/dispatch_store.h"
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

/* Signs and gives it: who is set and who is removed is there already. */
static enum result delta_take(struct rostering *r, Groupseal__Envelope__RosterDelta *body, uint64_t number,
                              const uint8_t hash[HASH_SIZE])
{
    uint8_t signature[SIGNATURE_SIZE];
    struct store *store = site_store(r->play->mn);
    struct reason why;
    body->group = (char *)PLAY_GROUP;
    body->instance = arena_field(BYTES_OF(r->membership->instance));
    body->incarnation = r->membership->incarnation;
    body->number = number;
    body->hash = arena_field((struct bytes){hash, HASH_SIZE});
    assert_int_equal(roster_delta_sign(body, &r->authority, signature), RESULT_OK);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    enum result result = roster_take_delta(r->identity, body, &why);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    return result;
}

static enum result delta_give(struct rostering *r, uint64_t number, size_t from, size_t count,
                              const uint8_t hash[HASH_SIZE])
{
    Groupseal__Envelope__RosterDelta body = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    body.set = &r->entries[from];
    body.n_set = count;
    return delta_take(r, &body, number, hash);
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

/* The next batch, whatever it is, looks at what is due. */
static void batch_make(struct rostering *r)
{
    assert_int_equal(
        play_hear(r->play->mn, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE, "", (struct bytes){NULL, 0}, false),
        GROUPSEAL__SECENV__CODE__INVALID);
}

static void gap_waits_and_then_asks_for_the_whole(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    struct relay *relay = r->membership->relay;
    uint8_t first[HASH_SIZE];
    uint8_t hash[HASH_SIZE];
    uint8_t last[HASH_SIZE];
    assert_int_equal(roster_hash(r->entries, 10, first), RESULT_OK);
    assert_int_equal(page_give(r, r->number + 1, 0, 10, first, false), RESULT_OK);
    assert_int_equal(roster_hash(r->entries, 12, hash), RESULT_OK);
    assert_int_equal(roster_hash(r->entries, 14, last), RESULT_OK);
    /* The delta in between was overtaken: the other is to come again. */
    assert_int_equal(delta_give(r, r->number + 3, 12, 2, last), RESULT_NOT_READY);
    assert_int_equal(relay->roster.count, 10);
    assert_int_equal(delta_give(r, r->number + 2, 10, 2, hash), RESULT_OK);
    assert_int_equal(delta_give(r, r->number + 3, 12, 2, last), RESULT_OK);
    assert_int_equal(relay->roster.count, 14);
    batch_make(r);
    site_advance(r->play->site, 11000);
    assert_false(is_asked_for(r));
    /* An older one changes nothing. */
    assert_int_equal(delta_give(r, r->number + 1, 0, 1, first), RESULT_OK);
    assert_int_equal(relay->roster.count, 14);
    /* One that does not come in ten seconds is lost. */
    assert_int_equal(delta_give(r, r->number + 5, 14, 2, hash), RESULT_NOT_READY);
    batch_make(r);
    site_advance(r->play->site, 9000);
    assert_int_equal(relay->roster_asked_us, 0);
    site_advance(r->play->site, 2000);
    assert_true(relay->roster_asked_us != 0);
    play_free(r->play);
}

/* Members that come before, between and behind those that are there, and others that go. */
static void delta_is_merged_in_order(void **state)
{
    (void)state;
    struct rostering *r = rostering_new();
    struct relay *relay = r->membership->relay;
    Groupseal__Envelope__RosterDelta body = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    Groupseal__Envelope__RosterEntry *odd[NAMES / 2];
    Groupseal__Envelope__RosterEntry *after[NAMES];
    Groupseal__Envelope__RosterEntry *even[100];
    char *gone[3];
    uint8_t hash[HASH_SIZE];
    for (size_t i = 0; i < 100; i++) {
        odd[i] = r->entries[2 * i + 1];
        even[i] = r->entries[2 * i];
    }
    memcpy((void *)r->entries, (void *)odd, 100 * sizeof(odd[0])); /* whom page_give gives */
    assert_int_equal(roster_hash(odd, 100, hash), RESULT_OK);
    assert_int_equal(page_give(r, r->number + 1, 0, 100, hash, false), RESULT_OK);
    gone[0] = odd[0]->name;
    gone[1] = odd[50]->name;
    gone[2] = odd[99]->name;
    even[10]->serial = 7; /* and one that is there with another serial */
    size_t count = 0;
    for (size_t i = 0; i < 100; i++) {
        after[count++] = even[i];
        if (i != 0 && i != 50 && i != 99) {
            after[count++] = odd[i];
        }
    }
    assert_int_equal(roster_hash(after, count, hash), RESULT_OK);
    body.set = even;
    body.n_set = 100;
    body.removed = gone;
    body.n_removed = 3;
    assert_int_equal(delta_take(r, &body, r->number + 2, hash), RESULT_OK);
    assert_int_equal(relay->roster.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(relay->roster.members[i]->name, after[i]->name);
        assert_int_equal(relay->roster.members[i]->serial, after[i]->serial);
    }
    /* The same names with other serials: nobody comes twice. */
    for (size_t i = 0; i < 100; i++) {
        even[i]->serial += 5000;
    }
    body.n_removed = 0;
    assert_int_equal(roster_hash(after, count, hash), RESULT_OK);
    assert_int_equal(delta_take(r, &body, r->number + 3, hash), RESULT_OK);
    assert_int_equal(relay->roster.count, count);
    assert_int_equal(relay->roster.members[0]->serial, even[0]->serial);
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

/* ---- whom a command for everybody asks ---- */

#define CROWD 24u /* names, the MN-CSE's own behind them */
#define STEPS 250u

/* The roster as it should be, of r->rows. */
struct crowd {
    struct rostering *r;
    bool in[CROWD + 1];
    uint64_t serial;
    unsigned random;
    unsigned commands;
};

static unsigned draw(struct crowd *crowd, unsigned below)
{
    crowd->random = crowd->random * 1664525u + 1013904223u;
    return (crowd->random >> 8) % below;
}

static size_t crowd_list(const struct crowd *crowd, Groupseal__Envelope__RosterEntry **out,
                         uint8_t hash[HASH_SIZE])
{
    size_t count = 0;
    for (size_t i = 0; i <= CROWD; i++) {
        if (crowd->in[i]) {
            out[count++] = &crowd->r->rows[i];
        }
    }
    assert_int_equal(roster_hash(out, count, hash), RESULT_OK);
    return count;
}

/* Comes, or changes: with a new serial, an older one or the same, at this site or at another. */
static void one_changes(struct crowd *crowd, size_t i)
{
    Groupseal__Envelope__RosterEntry *row = &crowd->r->rows[i];
    unsigned kind = draw(crowd, 4);
    row->serial = kind < 2 ? ++crowd->serial : kind == 2 ? row->serial : 1u + draw(crowd, 900);
    if (i != CROWD) {
        row->site = (char *)(uintptr_t)(draw(crowd, 4) == 0 ? "mn-2" : PLAY_SITE);
    }
    crowd->in[i] = true;
}

static void crowd_delta(struct crowd *crowd)
{
    Groupseal__Envelope__RosterDelta body = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    Groupseal__Envelope__RosterEntry *set[CROWD + 1];
    Groupseal__Envelope__RosterEntry *all[CROWD + 1];
    char *removed[CROWD + 1];
    uint8_t hash[HASH_SIZE];
    body.set = set;
    body.removed = removed;
    for (size_t i = 0; i <= CROWD; i++) {
        if (draw(crowd, 6) != 0) {
            continue;
        }
        if (i != CROWD && crowd->in[i] && draw(crowd, 2) == 0) {
            crowd->in[i] = false;
            removed[body.n_removed++] = crowd->r->names[i];
        } else {
            one_changes(crowd, i);
            set[body.n_set++] = &crowd->r->rows[i];
        }
    }
    (void)crowd_list(crowd, all, hash);
    assert_int_equal(delta_take(crowd->r, &body, crowd->r->membership->relay->roster.number + 1, hash),
                     RESULT_OK);
}

/* A gap: the whole comes, whoever is in it. */
static void crowd_page(struct crowd *crowd)
{
    Groupseal__Envelope__RosterEntry *all[CROWD + 1];
    Groupseal__Envelope__RosterEntry *before[CROWD + 1];
    uint8_t hash[HASH_SIZE];
    for (size_t i = 0; i < CROWD; i++) {
        crowd->in[i] = crowd->in[i] != (draw(crowd, 5) == 0);
        if (crowd->in[i] && draw(crowd, 5) == 0) {
            one_changes(crowd, i);
        }
    }
    size_t count = crowd_list(crowd, all, hash);
    memcpy(before, crowd->r->entries, sizeof(before));
    memcpy(crowd->r->entries, all, sizeof(before));
    assert_int_equal(
        page_give(crowd->r, crowd->r->membership->relay->roster.number + 7, 0, count, hash, false),
        RESULT_OK);
    memcpy(crowd->r->entries, before, sizeof(before));
}

static void crowd_answer(struct crowd *crowd)
{
    struct relay *relay = crowd->r->membership->relay;
    const struct roster_member *member = roster_find(relay, crowd->r->names[draw(crowd, CROWD)]);
    const struct dispatch *dispatch = relay->dispatches.first;
    for (unsigned skip = draw(crowd, 4); dispatch != NULL && dispatch->next != NULL && skip > 0; skip--) {
        dispatch = dispatch->next;
    }
    if (member == NULL || dispatch == NULL) {
        return;
    }
    struct reason why;
    struct store *store = site_store(crowd->r->play->mn);
    Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    receipt.command_id = arena_field(BYTES_OF(dispatch->id));
    receipt.outcome = (Groupseal__Envelope__Outcome)(1u + draw(crowd, 4));
    receipt.detail = (char *)(uintptr_t)(draw(crowd, 2) == 0 ? "" : "so it is");
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(dispatch_receipt(relay, member, &receipt, &why), RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
}

static void targets_equal(const struct dispatch *here, const struct dispatch *loaded)
{
    assert_memory_equal(here->id, loaded->id, COMMAND_ID_SIZE);
    assert_int_equal(here->targets.count, loaded->targets.count);
    assert_int_equal(here->targets.open, loaded->targets.open);
    for (size_t i = 0; i < here->targets.count; i++) {
        const struct dispatch_target *a = &here->targets.items[i];
        const struct dispatch_target *b = &loaded->targets.items[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->outcome, b->outcome);
        assert_int_equal(a->late, b->late);
        assert_string_equal(a->detail == NULL ? "" : a->detail, b->detail == NULL ? "" : b->detail);
    }
}

/* What a start would load is what is there. */
static void assert_loads_the_same(const struct crowd *crowd)
{
    const struct relay *relay = crowd->r->membership->relay;
    struct relay loaded = {.membership = relay->membership};
    struct reason why;
    assert_int_equal(dispatch_store_load(&loaded, &why), RESULT_OK);
    assert_int_equal(loaded.dispatches.count, relay->dispatches.count);
    for (const struct dispatch *here = relay->dispatches.first; here != NULL; here = here->next) {
        const struct dispatch *other = loaded.dispatches.first;
        while (other != NULL && memcmp(other->id, here->id, COMMAND_ID_SIZE) != 0) {
            other = other->next;
        }
        assert_non_null(other);
        targets_equal(here, other);
    }
    dispatch_clear(&loaded.dispatches);
}

static void crowd_command(struct crowd *crowd)
{
    uint8_t id[COMMAND_ID_SIZE];
    play_order(crowd->r->play, "close", NULL, 3600000, id);
    crowd->commands++;
    assert_non_null(dispatch_show(crowd->r->membership->relay, BYTES_OF(id)));
}

/* Members come, leave, change and move, and answer, in any order: no row for those who have done nothing, and
 * who was asked is known all the same. */
static void who_is_asked_is_known_after_a_start(void **state)
{
    (void)state;
    struct crowd crowd = {.r = rostering_new(), .serial = 1000, .random = 7};
    (void)snprintf(crowd.r->names[CROWD], sizeof(crowd.r->names[CROWD]), "%s", SITE_MN_CSE);
    for (size_t i = 0; i <= CROWD; i++) {
        one_changes(&crowd, i);
        crowd.in[i] = i == CROWD || i % 2 == 0;
    }
    crowd_page(&crowd);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = draw(&crowd, 10);
        if (what == 0 && crowd.commands < 12) {
            crowd_command(&crowd);
        } else if (what == 1) {
            crowd_page(&crowd);
        } else if (what < 5) {
            crowd_delta(&crowd);
        } else {
            crowd_answer(&crowd);
        }
        assert_loads_the_same(&crowd);
    }
    assert_int_equal(crowd.commands, 12);
    play_free(crowd.r->play);
}

static enum result rows_of_targets(struct rostering *r, int64_t *out)
{
    struct reason why;
    return store_query(site_store(r->play->mn), &why, count_row, out, "SELECT count(*) FROM dispatch_target",
                       "");
}

/* The sealed command waits for that transaction. */
static void a_command_for_everybody_writes_no_row_a_member(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct rostering r = {.play = play};
    uint8_t id[COMMAND_ID_SIZE];
    int64_t rows = -1;
    play->dropped_to = site_name(play->door2);
    play_order(play, "close", NULL, 60000, id);
    assert_int_equal(rows_of_targets(&r, &rows), RESULT_OK);
    assert_int_equal(rows, 0);
    play_order(play, "close", PLAY_DOOR, 60000, id);
    assert_int_equal(rows_of_targets(&r, &rows), RESULT_OK);
    assert_int_equal(rows, 1);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_roster_is_asked_for_in_moderation),
        cmocka_unit_test(whole_roster_comes_in_pages),
        cmocka_unit_test(pages_that_do_not_hash_are_no_roster),
        cmocka_unit_test(gap_waits_and_then_asks_for_the_whole),
        cmocka_unit_test(delta_is_merged_in_order),
        cmocka_unit_test(delta_with_another_result_is_not_taken),
        cmocka_unit_test(who_is_asked_is_known_after_a_start),
        cmocka_unit_test(a_command_for_everybody_writes_no_row_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
