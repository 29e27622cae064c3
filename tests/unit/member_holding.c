/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/authority/holding.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

/* Who holds which epoch: said by devices, collected by their MN-CSE, shown to the operator. */

#define OK GROUPSEAL__SECENV__CODE__OK
#define MINUTE_MS 60000u

static Groupseal__Secenv__Reply *shown(struct play *play, bool behind)
{
    Groupseal__Secenv__GroupShow show = GROUPSEAL__SECENV__GROUP_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    show.name = (char *)(uintptr_t)PLAY_GROUP;
    show.behind = behind;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SHOW;
    request.group_show = &show;
    Groupseal__Secenv__Reply *reply =
        site_request(site_authority(play->site), SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION, &request);
    assert_int_equal(reply->code, OK);
    return reply;
}

/* What the operator sees: the epoch that the site was looked at for is the newest, and so many are behind. */
static void assert_behind(struct play *play, uint32_t behind)
{
    Groupseal__Secenv__Reply *reply = shown(play, false);
    const Groupseal__Secenv__GroupDetail *group = reply->group;
    assert_int_equal(group->n_holdings, 1);
    assert_string_equal(group->holdings[0]->site, SITE_MN_CSE);
    assert_int_equal(group->holdings[0]->epoch, group->group->epoch);
    assert_int_equal(group->holdings[0]->devices, 2);
    assert_int_equal(group->holdings[0]->behind, behind);
    assert_int_equal(group->n_members, 3);
    site_reply_free(reply);
    reply = shown(play, true);
    assert_int_equal(reply->group->n_members, behind);
    site_reply_free(reply);
}

/* The only one that is behind. */
static void the_one_behind(struct play *play, const char *name, uint64_t *epoch, uint64_t *since_ms)
{
    Groupseal__Secenv__Reply *reply = shown(play, true);
    assert_int_equal(reply->group->n_members, 1);
    assert_string_equal(reply->group->members[0]->name, name);
    assert_true(reply->group->members[0]->behind);
    *epoch = reply->group->members[0]->held_epoch;
    *since_ms = reply->group->members[0]->behind_ms;
    site_reply_free(reply);
}

static uint64_t epoch_of(struct play *play)
{
    return play_membership(play->mn, PLAY_GROUP)->current.epoch;
}

static void rotate(struct play *play)
{
    assert_int_equal(operator_rotate(play->site, PLAY_GROUP), OK);
    site_settle(play->site);
}

static struct play *play_at_rest(void)
{
    struct play *play = play_new(2);
    site_advance(play->site, MINUTE_MS);
    return play;
}

static void everybody_holds_the_newest(void **state)
{
    (void)state;
    struct play *play = play_at_rest();
    assert_behind(play, 0);
    rotate(play);
    site_advance(play->site, MINUTE_MS);
    assert_behind(play, 0);
    play_free(play);
}

/* One word of each, for all the epochs that came meanwhile; and none of who has signed something else. */
static void one_word_however_often(void **state)
{
    (void)state;
    struct play *play = play_at_rest();
    uint8_t id[COMMAND_ID_SIZE];
    uint64_t said = audit_value(AUDIT_HOLDINGS_SEALED);
    uint64_t taken = audit_value(AUDIT_HOLDINGS_TAKEN);
    for (int i = 0; i < 5; i++) {
        rotate(play);
    }
    assert_int_equal(audit_value(AUDIT_HOLDINGS_SEALED), said);
    site_advance(play->site, MINUTE_MS);
    assert_int_equal(audit_value(AUDIT_HOLDINGS_SEALED), said + 2);
    assert_int_equal(audit_value(AUDIT_HOLDINGS_TAKEN), taken + 2);
    assert_behind(play, 0);
    rotate(play);
    play_membership(play->door, PLAY_GROUP)->holding_due_us += 1000000u; /* the receipt is before it */
    play_order(play, "close", PLAY_DOOR, 60000, id);
    assert_int_equal(play_finish(play->door, id, true, ""), OK);
    site_advance(play->site, MINUTE_MS);
    assert_int_equal(audit_value(AUDIT_HOLDINGS_SEALED), said + 3);
    assert_behind(play, 0);
    play_free(play);
}

/* Behind from the epoch on that it missed, whatever comes after and whoever restarts; until it is back. */
static void sleeper_is_behind_until_it_is_back(void **state)
{
    (void)state;
    struct play *play = play_at_rest();
    uint64_t held = epoch_of(play);
    uint64_t epoch = 0;
    uint64_t since_ms = 0;
    uint64_t first_ms = 0;
    site_online(play->door, false);
    uint64_t missed_ms = site_now_ms(play->site);
    rotate(play);
    site_advance(play->site, MINUTE_MS);
    assert_behind(play, 1);
    the_one_behind(play, PLAY_DOOR, &epoch, &first_ms);
    assert_int_equal(epoch, held);
    assert_in_range(first_ms, missed_ms - 2000, missed_ms + 2000);
    rotate(play);
    site_advance(play->site, MINUTE_MS);
    site_restart(play->mn);
    site_restart(site_authority(play->site));
    site_advance(play->site, MINUTE_MS);
    assert_behind(play, 1);
    the_one_behind(play, PLAY_DOOR, &epoch, &since_ms);
    assert_int_equal(epoch, held);
    assert_true(since_ms == first_ms);
    site_online(play->door, true);
    site_advance(play->site, MINUTE_MS);
    assert_behind(play, 0);
    play_free(play);
}

/* Who leaves is not behind any more. */
static void evicted_sleeper_is_forgotten(void **state)
{
    (void)state;
    struct play *play = play_at_rest();
    site_online(play->door, false);
    rotate(play);
    site_advance(play->site, MINUTE_MS);
    assert_behind(play, 1);
    assert_int_equal(operator_evict(play->site, PLAY_DOOR), OK);
    site_advance(play->site, MINUTE_MS);
    Groupseal__Secenv__Reply *reply = shown(play, true);
    assert_int_equal(reply->group->n_members, 0);
    assert_int_equal(reply->group->holdings[0]->devices, 1);
    assert_int_equal(reply->group->holdings[0]->behind, 0);
    site_reply_free(reply);
    play_free(play);
}

/* ---- what an MN-CSE may tell ---- */

static enum result tell(struct play *play, const char *who, Groupseal__Envelope__Holdings *holdings)
{
    struct engine *engine = site_engine(site_authority(play->site));
    struct member member;
    struct reason why = {""};
    assert_int_equal(store_begin(site_store(site_authority(play->site)), &why), RESULT_OK);
    assert_int_equal(member_find(site_store(site_authority(play->site)), who, &member, &why), RESULT_OK);
    enum result result = holding_take(engine, &member, holdings, &why);
    assert_int_equal(store_commit(site_store(site_authority(play->site)), &why), RESULT_OK);
    return result;
}

static void told_of_others_is_refused(void **state)
{
    (void)state;
    struct play *play = play_at_rest();
    uint8_t start[8] = {1};
    Groupseal__Envelope__HoldingEntry entry = GROUPSEAL__ENVELOPE__HOLDING_ENTRY__INIT;
    Groupseal__Envelope__HoldingEntry *entries[] = {&entry};
    Groupseal__Envelope__Holdings holdings = GROUPSEAL__ENVELOPE__HOLDINGS__INIT;
    const struct membership *mn = play_membership(play->mn, PLAY_GROUP);
    holdings.group = (char *)(uintptr_t)PLAY_GROUP;
    holdings.instance = arena_field(BYTES_OF(mn->instance));
    holdings.incarnation = mn->incarnation;
    holdings.epoch = epoch_of(play);
    holdings.devices = 2;
    holdings.start = arena_field(BYTES_OF(start));
    holdings.entries = entries;
    holdings.n_entries = 1;
    entry.name = (char *)(uintptr_t)SITE_MN_CSE; /* no device */
    entry.behind = 1;
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_OK);
    entry.name = (char *)(uintptr_t) "//sp.example/Snobody";
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_OK);
    assert_behind(play, 0);
    entry.name = (char *)(uintptr_t)PLAY_DOOR;
    assert_int_equal(tell(play, PLAY_DOOR_2, &holdings), RESULT_INVALID); /* no MN-CSE */
    holdings.epoch++;
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_OK); /* of an epoch that is not */
    holdings.epoch--;
    holdings.start.len = 7;
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_INVALID);
    holdings.start.len = 8;
    holdings.group = (char *)(uintptr_t) "windows";
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_UNKNOWN);
    assert_behind(play, 0);
    holdings.group = (char *)(uintptr_t)PLAY_GROUP;
    holdings.behind = 1;
    assert_int_equal(tell(play, SITE_MN_CSE, &holdings), RESULT_OK); /* the twin of them all */
    assert_behind(play, 1);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_holds_the_newest),         cmocka_unit_test(one_word_however_often),
        cmocka_unit_test(sleeper_is_behind_until_it_is_back), cmocka_unit_test(evicted_sleeper_is_forgotten),
        cmocka_unit_test(told_of_others_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
