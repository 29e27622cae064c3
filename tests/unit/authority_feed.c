/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "secenv/authority/authority.h"
#include "tests/bench/large_group.h"
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/* A change costs what it changes, and its announcement is never long: the policy goes to an MN-CSE that has
 * another one, and blocks that wait for an MN-CSE are not packed again with each change. */
#define OK GROUPSEAL__SECENV__CODE__OK
#define CHANGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE
#define REFUSED 2u
#define NOT_YET 7u

/* ---- the policy ---- */

static struct hand *mn_open(struct site *site)
{
    struct hand *mn = hand_new(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK);
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    assert_true(hand_authenticate(mn));
    site_settle(site);
    return mn;
}

/* One change more, whose announcement comes with a policy or without. */
static bool comes_with_policy(struct site *site, const struct hand *mn)
{
    size_t before = hand_count(mn, CHANGE);
    assert_int_equal(operator_rotate(site, "doors"), OK);
    site_settle(site);
    assert_int_equal(hand_count(mn, CHANGE), before + 1);
    return hand_last(mn, CHANGE)->change->policy != NULL;
}

static void newest_say(struct hand *mn, Groupseal__Envelope__Announcement *announcement)
{
    Groupseal__Envelope__Newest content = GROUPSEAL__ENVELOPE__NEWEST__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Announcement *announcements[] = {announcement};
    content.announcements = announcements;
    content.n_announcements = 1;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST;
    body.newest = &content;
    assert_int_equal(hand_say(mn, &body), 0);
    site_settle(mn->site);
}

static void policy_goes_once(void **state)
{
    struct site *site = site_new();
    struct hand *mn = mn_open(site);
    (void)state;
    assert_non_null(hand_last(mn, CHANGE)->change->policy);
    Groupseal__Envelope__Announcement *first = hand_last(mn, CHANGE)->change->announcement;
    assert_false(comes_with_policy(site, mn));
    site_restart(site_authority(site));
    site_settle(site);
    newest_say(mn, hand_last(mn, CHANGE)->change->announcement);
    assert_int_equal(operator_release(site, "doors"), OK);
    assert_false(comes_with_policy(site, mn));
    /* Another policy goes, and so does one that has not been taken. */
    mn->accept = NOT_YET;
    assert_int_equal(
        operator_set(site, "doors", GROUPSEAL__SECENV__SWITCH__ON, GROUPSEAL__SECENV__SWITCH__KEEP), OK);
    site_settle(site);
    assert_non_null(hand_last(mn, CHANGE)->change->policy);
    assert_true(comes_with_policy(site, mn));
    mn->accept = 0;
    site_advance(site, 10000);
    assert_false(comes_with_policy(site, mn));
    /* An MN-CSE that was set back may have an older one. */
    newest_say(mn, first);
    assert_non_null(hand_last(mn, CHANGE)->change->policy);
    assert_false(comes_with_policy(site, mn));
    hand_free(mn);
    site_free(site);
}

/* It may have lost it in a way that it does not tell. */
static void policy_goes_again_after_a_refusal(void **state)
{
    struct site *site = site_new();
    struct hand *mn = mn_open(site);
    (void)state;
    mn->accept = REFUSED;
    assert_false(comes_with_policy(site, mn));
    mn->accept = 0;
    assert_true(comes_with_policy(site, mn));
    assert_false(comes_with_policy(site, mn));
    hand_free(mn);
    site_free(site);
}

/* ---- blocks ---- */

#define MEMBERS 4000u
#define CHANGES 70u
#define ANNOUNCEMENT_BYTES "SELECT length(announcement) FROM key_group"

static void run(struct large_group *large, const char *sql)
{
    struct reason why = {""};
    if (store_run(site_store(site_authority(large->site)), &why, sql, "") != RESULT_OK) {
        fail_msg("%s: %s", sql, why.text);
    }
}

static uint64_t number(struct large_group *large, const char *sql)
{
    struct reason why = {""};
    uint64_t number = 0;
    assert_int_equal(store_number(site_store(site_authority(large->site)), &why, &number, sql, ""),
                     RESULT_OK);
    return number;
}

static uint64_t bytes_put(struct large_group *large, size_t changes)
{
    uint64_t largest = 0;
    run(large, "DELETE FROM put");
    for (size_t i = 0; i < changes; i++) {
        char name[1][NAME_LIMIT + 1];
        large_group_member_at(large, (uint32_t)(300 + 50 * i), name[0]);
        assert_int_equal(operator_evict(large->site, name[0]), OK);
        largest = number(large, ANNOUNCEMENT_BYTES);
        assert_true(largest <= ANNOUNCEMENT_SIZE);
    }
    assert_true(largest > 900); /* all that may be named are, with a full top block */
    return number(large, "SELECT sum(bytes) FROM put") / changes;
}

static enum result announcement_look(void *context, const struct store_row *row, struct reason *why)
{
    struct bytes packed = row_bytes(row, 0);
    uint64_t last = row_u64(row, 1);
    Groupseal__Envelope__Announcement *announcement =
        groupseal__envelope__announcement__unpack(NULL, packed.length, packed.data);
    uint64_t serial = 0;
    (void)why;
    assert_non_null(announcement);
    for (size_t i = 0; i < announcement->n_evicted; i++) {
        serial += announcement->evicted[i];
    }
    assert_int_equal(serial, last);
    assert_true(announcement->overlap_ended);
    *(size_t *)context = announcement->n_evicted;
    groupseal__envelope__announcement__free_unpacked(announcement, NULL);
    return RESULT_OK;
}

/* Those who left last are named, and nobody hears the former epoch of the others. */
static size_t overlap_ended(struct large_group *large)
{
    struct reason why = {""};
    size_t named = 0;
    assert_int_equal(
        store_query(site_store(site_authority(large->site)), &why, announcement_look, &named,
                    "SELECT announcement, (SELECT max(serial) FROM evicted_sender) FROM key_group", ""),
        RESULT_OK);
    return named;
}

/* Of a thousand devices that come at once, and of a few that leave one by one, while the MN-CSE is away and
 * when it has taken everything. */
static void waiting_blocks_are_not_packed_with_each_change(void **state)
{
    struct large_group large;
    (void)state;
    large_group_open(&large);
    struct site_node *device = large_group_device(&large, 0);
    site_online(large.mn, false);
    large_group_fill(&large, MEMBERS);
    run(&large, "CREATE TEMP TABLE put (bytes INTEGER)");
    run(&large, "CREATE TEMP TRIGGER counted AFTER INSERT ON outbox BEGIN"
                " INSERT INTO put VALUES (length(new.body)); END");
    uint64_t waiting = number(&large, "SELECT sum(length(body)) FROM outbox WHERE slot LIKE 'blocks %'");
    uint64_t away = bytes_put(&large, CHANGES);
    print_message("%llu bytes wait, %llu are put for a change\n", (unsigned long long)waiting,
                  (unsigned long long)away);
    assert_true(waiting > (uint64_t)150 * 1024);
    assert_true(away < 24 * 1024);
    assert_int_equal(overlap_ended(&large), EVICTED_LIMIT); /* of CHANGES */
    /* Serials that lie far apart take more room than there is: then not all are named. */
    run(&large, "DELETE FROM evicted_sender WHERE serial NOT IN"
                " (SELECT serial FROM evicted_sender ORDER BY at_ms DESC, serial DESC LIMIT 60)");
    run(&large, "UPDATE evicted_sender SET serial = serial * 1000003");
    assert_int_equal(operator_rotate(large.site, LARGE_GROUP), OK);
    uint64_t full = number(&large, ANNOUNCEMENT_BYTES);
    assert_true(full <= ANNOUNCEMENT_SIZE && full > ANNOUNCEMENT_SIZE - 8);
    assert_true(overlap_ended(&large) < 60);
    /* Nor do blocks wait without bound. */
    assert_true(number(&large, "SELECT count(*) FROM outbox WHERE slot LIKE 'blocks %'") < 40);
    site_online(large.mn, true);
    site_advance(large.site, 60000);
    assert_true(large_group_has_key(&large, device));
    assert_int_equal(number(&large, "SELECT count(*) FROM outbox WHERE slot LIKE 'blocks %'"), 0);
    assert_int_equal(number(&large, "SELECT count(*) FROM change_part"), 0);
    large_group_close(&large);
}

/* The MN-CSE was given the first block of the lowest row, since hand_forget. */
static bool first_block_came(const struct hand *mn)
{
    for (size_t i = 0; i < mn->body_count; i++) {
        const Groupseal__Envelope__Change *change =
            mn->bodies[i]->content_case == CHANGE ? mn->bodies[i]->change : NULL;
        for (size_t k = 0; change != NULL && k < change->n_blocks; k++) {
            if (change->blocks[k]->row == 0 && change->blocks[k]->column == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Nobody below it could climb until it changes again by chance. */
static void refused_blocks_come_with_the_next_change(void **state)
{
    struct site *site = site_new();
    struct hand *mn = mn_open(site);
    struct large_group large = {.site = site, .mn = site_authority(site)};
    char name[NAME_LIMIT + 1];
    (void)state;
    large_group_fill(&large, 40);
    hand_forget(mn);
    mn->accept = REFUSED;
    large_group_member_at(&large, 5, name);
    assert_int_equal(operator_evict(site, name), OK);
    site_settle(site);
    assert_true(first_block_came(mn));
    mn->accept = 0;
    for (size_t i = 0; i < 2; i++) { /* with the next change, and no other */
        hand_forget(mn);
        large_group_member_at(&large, (uint32_t)(20 + i), name);
        assert_int_equal(operator_evict(site, name), OK);
        site_settle(site);
        assert_int_equal(first_block_came(mn), i == 0);
    }
    hand_free(mn);
    site_free(site);
}

/* More than one change can have, evicted by two requests of one batch: who is last is out with it, too. */
static void all_who_leave_are_out_with_the_batch(void **state)
{
    struct large_group large;
    (void)state;
    large_group_open(&large);
    large_group_fill(&large, 1200);
    Groupseal__Secenv__MemberEvict evictions[2];
    Groupseal__Secenv__ToSecenv requests[2];
    Groupseal__Secenv__ToSecenv *together[] = {&requests[0], &requests[1]};
    Groupseal__Secenv__Reply *replies[2];
    char(*names)[NAME_LIMIT + 1] = calloc(1100, sizeof(*names));
    char **each = calloc(1100, sizeof(*each));
    assert_true(names != NULL && each != NULL);
    for (size_t i = 0; i < 1100; i++) {
        large_group_name(i, names[i]);
        each[i] = names[i];
    }
    for (size_t i = 0; i < 2; i++) {
        groupseal__secenv__member_evict__init(&evictions[i]);
        groupseal__secenv__to_secenv__init(&requests[i]);
        evictions[i].names = each + 550 * i;
        evictions[i].n_names = 550;
        requests[i].request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
        requests[i].member_evict = &evictions[i];
    }
    site_requests(site_authority(large.site), together, 2, replies);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(replies[i]->code, OK);
        site_reply_free(replies[i]);
    }
    assert_int_equal(large_group_count(&large), 101); /* at once: nothing was settled */
    free((void *)each);
    free(names);
    large_group_close(&large);
}

/* ---- rosters ---- */

/* Pages of a former roster do not go to an MN-CSE that authenticates anew, between those of the present one,
 * which they would displace. */
static void former_pages_are_dropped(void **state)
{
    struct site *site = site_new();
    struct hand *mn = mn_open(site);
    struct large_group large = {.site = site, .mn = site_authority(site)};
    char name[NAME_LIMIT + 1];
    Groupseal__Envelope__Announcement *first = hand_last(mn, CHANGE)->change->announcement;
    (void)state;
    mn->accept = HAND_SILENT;
    large_group_fill(&large, 2 * PAGE_ENTRIES_LIMIT);
    newest_say(mn, first);
    assert_int_equal(number(&large, "SELECT count(*) FROM outbox WHERE slot LIKE 'roster %'"), 3);
    for (uint32_t i = 0; i < PAGE_ENTRIES_LIMIT + 1; i++) {
        large_group_member_at(&large, 1 + i, name);
        assert_int_equal(operator_evict(site, name), OK);
    }
    assert_true(hand_authenticate(mn));
    site_advance(site, 10000);
    assert_int_equal(number(&large, "SELECT count(*) FROM outbox WHERE slot LIKE 'roster %'"), 1);
    hand_free(mn);
    site_free(site);
}

#define OUTBOX_SLOTS 4096u

/* With words of groups that it is not in, so that there is room for so many items more. */
static void outbox_fill(struct large_group *large, uint64_t room)
{
    const struct engine *engine = site_engine(site_authority(large->site));
    struct reason why = {""};
    uint64_t items = number(large, "SELECT count(*) FROM outbox WHERE peer = '" SITE_MN_CSE "'");
    assert_int_equal(store_begin(engine->store, &why), RESULT_OK);
    for (; items < OUTBOX_SLOTS - room; items++) {
        static uint8_t instance[INSTANCE_SIZE];
        char slot[40];
        Groupseal__Envelope__Left left = GROUPSEAL__ENVELOPE__LEFT__INIT;
        Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
        left.group = (char *)(uintptr_t) "lamps";
        left.instance = arena_field(BYTES_OF(instance));
        body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT;
        body.left = &left;
        (void)snprintf(slot, sizeof(slot), "left lamps %llu", (unsigned long long)items);
        assert_int_equal(outbox_put(engine->outbox, engine->identity.name, SITE_MN_CSE, slot, &body, &why),
                         RESULT_OK);
    }
    assert_int_equal(store_commit(engine->store, &why), RESULT_OK);
}

/* An MN-CSE that is away until there is no room for more costs the others no more than one that is not. */
static void full_outbox_costs_no_more(void **state)
{
    struct large_group large;
    (void)state;
    large_group_open(&large);
    struct site_node *device = large_group_device(&large, 0);
    site_online(large.mn, false);
    large_group_fill(&large, MEMBERS);
    outbox_fill(&large, 0);
    run(&large, "CREATE TEMP TABLE put (bytes INTEGER)");
    run(&large, "CREATE TEMP TRIGGER counted AFTER INSERT ON outbox BEGIN"
                " INSERT INTO put VALUES (length(new.body)); END");
    uint64_t away = bytes_put(&large, CHANGES);
    print_message("%llu bytes are put for a change\n", (unsigned long long)away);
    assert_true(away < 24 * 1024);
    run(&large, "DELETE FROM put");
    site_online(large.mn, true);
    site_advance(large.site, 120000);
    print_message("%llu bytes are put when it is back\n",
                  (unsigned long long)number(&large, "SELECT sum(bytes) FROM put"));
    assert_true(large_group_has_key(&large, device));
    assert_int_equal(number(&large, "SELECT count(*) FROM arrears"), 0);
    large_group_close(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_goes_once),
        cmocka_unit_test(policy_goes_again_after_a_refusal),
        cmocka_unit_test(refused_blocks_come_with_the_next_change),
        cmocka_unit_test(waiting_blocks_are_not_packed_with_each_change),
        cmocka_unit_test(former_pages_are_dropped),
        cmocka_unit_test(full_outbox_costs_no_more),
        cmocka_unit_test(all_who_leave_are_out_with_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
