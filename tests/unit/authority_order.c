/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/authority/order.h"
#include "tests/unit/hand.h"
#include "tests/unit/operator.h"

/* Orders and reports, the MN-CSE played by hand. */

#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define MN_2 "//sp.example/mn-2"
#define DOOR_3 "//sp.example/Sdoor3"
#define DOOR_4 "//sp.example/Sdoor4"
#define OK GROUPSEAL__SECENV__CODE__OK
#define INVALID GROUPSEAL__SECENV__CODE__INVALID
#define UNKNOWN GROUPSEAL__SECENV__CODE__UNKNOWN
#define ORDER GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER
#define CHANGE GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE
#define REPORT GROUPSEAL__SECENV__EVENT__CONTENT_REPORT
#define DONE GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE
#define ACCEPTED GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED
#define FAILED GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED

struct world {
    struct site *site;
    struct hand *mn[2];
    struct hand *doors[3];
};

static struct hand *join(struct site *site, const char *name, enum identity_kind kind, const char *at)
{
    struct hand *hand = hand_new(site, name, kind, CREDENTIALS_PSK);
    site_enrol(site, name, kind, CREDENTIALS_PSK, at, at != NULL ? "door" : NULL);
    return hand;
}

/* Doors 1 and 2 at the first site, door 3 at the second, one group over both. */
static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->site = site_new();
    world->mn[0] = join(world->site, SITE_MN_CSE, IDENTITY_MN_CSE, NULL);
    world->mn[1] = join(world->site, MN_2, IDENTITY_MN_CSE, NULL);
    world->doors[0] = join(world->site, DOOR_1, IDENTITY_ADN_AE, SITE_MN_CSE);
    world->doors[1] = join(world->site, DOOR_2, IDENTITY_ADN_AE, SITE_MN_CSE);
    world->doors[2] = join(world->site, DOOR_3, IDENTITY_ADN_AE, MN_2);
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)MN_2};
    group.name = (char *)(uintptr_t) "doors";
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2;
    group.authority_only = 1;
    assert_int_equal(operator_create(world->site, &group), OK);
    for (size_t i = 0; i < 2; i++) {
        assert_true(hand_authenticate(world->mn[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(hand_authenticate(world->doors[i]));
    }
    site_settle(world->site);
    site_events_clear(site_authority(world->site));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < 2; i++) {
        hand_free(world->mn[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        hand_free(world->doors[i]);
    }
    site_free(world->site);
    free(world);
    return 0;
}

static void order(struct world *world, const char *const *targets, size_t count, uint32_t valid_ms,
                  uint8_t id[COMMAND_ID_SIZE])
{
    Groupseal__Secenv__Reply *reply = operator_order(world->site, "doors", "close", targets, count, valid_ms);
    if (reply->code != OK) {
        fail_msg("%s", reply->reason);
    }
    assert_int_equal(reply->order->command_id.len, COMMAND_ID_SIZE);
    memcpy(id, reply->order->command_id.data, COMMAND_ID_SIZE);
    site_reply_free(reply);
    site_settle(world->site);
}

struct said {
    Groupseal__Envelope__Report report;
    Groupseal__Envelope__ReportEntry rows[3];
    Groupseal__Envelope__ReportEntry *entries[3];
};

/* A report of one page with these rows; NULL ends the names. */
static void said_init(struct said *said, const struct hand *mn, uint8_t id[COMMAND_ID_SIZE],
                      uint32_t revision, const char *const *names, Groupseal__Envelope__Outcome outcome)
{
    groupseal__envelope__report__init(&said->report);
    const Groupseal__Envelope__Change *change = hand_last(mn, CHANGE)->change;
    said->report.group = change->group;
    said->report.instance = change->instance;
    said->report.command_id = (ProtobufCBinaryData){.len = COMMAND_ID_SIZE, .data = id};
    said->report.pages = 1;
    said->report.revision = revision;
    said->report.entries = said->entries;
    for (size_t i = 0; names[i] != NULL; i++) {
        groupseal__envelope__report_entry__init(&said->rows[i]);
        said->rows[i].name = (char *)(uintptr_t)names[i];
        said->rows[i].outcome = outcome;
        said->entries[i] = &said->rows[i];
        said->report.n_entries++;
    }
}

static uint32_t say(struct hand *mn, struct said *said)
{
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REPORT;
    body.report = &said->report;
    return hand_say(mn, &body);
}

static Groupseal__Secenv__Reply *show(struct world *world, uint8_t id[COMMAND_ID_SIZE])
{
    Groupseal__Secenv__Reply *reply = operator_order_show(world->site, (struct bytes){id, COMMAND_ID_SIZE});
    assert_int_equal(reply->code, OK);
    return reply;
}

static Groupseal__Secenv__Outcome outcome_of(const Groupseal__Secenv__OrderReport *report, const char *name)
{
    for (size_t i = 0; i < report->n_rows; i++) {
        if (strcmp(report->rows[i]->name, name) == 0) {
            return report->rows[i]->outcome;
        }
    }
    fail_msg("%s is not in the report", name);
    return GROUPSEAL__SECENV__OUTCOME__NO_ANSWER;
}

static void assert_outcome(struct world *world, uint8_t id[COMMAND_ID_SIZE], const char *name,
                           Groupseal__Secenv__Outcome outcome, bool complete)
{
    Groupseal__Secenv__Reply *reply = show(world, id);
    assert_int_equal(outcome_of(reply->report, name), outcome);
    assert_int_equal(reply->report->complete, complete);
    site_reply_free(reply);
}

static size_t reports_heard(struct world *world)
{
    struct site_node *authority = site_authority(world->site);
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(authority); i++) {
        count += site_event(authority, i)->content_case == REPORT;
    }
    return count;
}

static const char *const doors_1_2[] = {DOOR_1, DOOR_2, NULL};
static const char *const door_1[] = {DOOR_1, NULL};
static const char *const door_3[] = {DOOR_3, NULL};

/* Each MN-CSE gets the order, signed by the commander that its policy names. */
static void order_is_signed(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    order(world, NULL, 0, 0, id);
    for (size_t i = 0; i < 2; i++) {
        const Groupseal__Envelope__Policy *policy = hand_policy(world->mn[i]);
        const Groupseal__Envelope__OrderRequest *request = hand_last(world->mn[i], ORDER)->order;
        const char *site = i == 0 ? "mn-1" : "mn-2";
        struct reason why = {""};
        const Groupseal__Envelope__Commander *commander =
            policy_commander(policy, request->order->commander, site);
        assert_non_null(commander);
        assert_int_equal(order_check(request->order, request->instance.data, request->incarnation, site,
                                     arena_view(request->body), arena_view(commander->key), &why),
                         RESULT_OK);
        assert_memory_equal(request->order->command_id.data, id, COMMAND_ID_SIZE);
        assert_int_equal(request->order->expires_ms - request->order->issued_ms, 60000);
        assert_int_equal(request->body.len, 5);
        assert_int_equal(request->order->n_targets, 0);
    }
    Groupseal__Secenv__Reply *reply = show(world, id);
    assert_int_equal(reply->report->n_rows, 3);
    assert_false(reply->report->complete);
    site_reply_free(reply);
}

/* With targets it goes to their sites only. */
static void order_with_targets(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    order(world, door_3, 1, 5000, id);
    assert_int_equal(hand_count(world->mn[0], ORDER), 0);
    assert_int_equal(hand_count(world->mn[1], ORDER), 1);
    const Groupseal__Envelope__Order *sent = hand_last(world->mn[1], ORDER)->order->order;
    assert_int_equal(sent->n_targets, 1);
    assert_string_equal(sent->targets[0], DOOR_3);
    assert_int_equal(sent->expires_ms - sent->issued_ms, 5000);
}

static void order_refuses(void **state)
{
    struct world *world = *state;
    static const char *const mn[] = {SITE_MN_CSE};
    static const char *const stranger[] = {"//sp.example/Sdoor9"};
    static const char *const malformed[] = {"Sdoor1"};
    static char long_body[16 * 1024 + 2];
    memset(long_body, 'x', sizeof(long_body) - 1);
    struct {
        const char *body;
        const char *const *targets;
        uint32_t valid_ms;
        Groupseal__Secenv__Code code;
    } cases[] = {{"close", mn, 0, UNKNOWN},        {"close", stranger, 0, UNKNOWN},
                 {"close", malformed, 0, INVALID}, {"close", NULL, 86400001, INVALID},
                 {long_body, NULL, 0, INVALID},    {"close", door_1, 86400000, OK},
                 {long_body + 1, NULL, 0, OK}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t before[32];
        uint8_t after[32];
        site_digest(site_authority(world->site), before);
        Groupseal__Secenv__Reply *reply =
            operator_order(world->site, "doors", cases[i].body, cases[i].targets,
                           cases[i].targets != NULL ? 1 : 0, cases[i].valid_ms);
        assert_int_equal(reply->code, cases[i].code);
        site_reply_free(reply);
        site_digest(site_authority(world->site), after);
        if (cases[i].code != OK) {
            assert_memory_equal(before, after, 32);
        }
    }
}

/* Rows of both sites in one report; complete when the last site is; the operator hears each revision. */
static void reports_are_merged(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    order(world, NULL, 0, 0, id);
    said_init(&said, world->mn[0], id, 1, doors_1_2, ACCEPTED);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__ACCEPTED, false);
    assert_int_equal(reports_heard(world), 1);
    said_init(&said, world->mn[0], id, 2, doors_1_2, DONE);
    said.rows[1].outcome = FAILED;
    said.rows[1].detail = (char *)(uintptr_t) "blocked";
    said.rows[1].late = 1;
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_2, GROUPSEAL__SECENV__OUTCOME__FAILED, false);
    /* An overtaken revision changes nothing. */
    said_init(&said, world->mn[0], id, 1, doors_1_2, ACCEPTED);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_2, GROUPSEAL__SECENV__OUTCOME__FAILED, false);
    said_init(&said, world->mn[0], id, 3, doors_1_2, DONE);
    said.report.complete = 1;
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_3, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, false);
    site_restart(site_authority(world->site)); /* it is in the store; who watched is not */
    said_init(&said, world->mn[1], id, 1, door_3, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE);
    said.report.complete = 1;
    size_t heard = reports_heard(world);
    assert_int_equal(say(world->mn[1], &said), 0);
    assert_int_equal(reports_heard(world), heard);
    assert_outcome(world, id, DOOR_3, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, true);
}

/* Complete too when everyone has answered for good, whatever the MN-CSEs still wait for. */
static void complete_by_answers(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    order(world, NULL, 0, 0, id);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__DONE, false);
    said_init(&said, world->mn[1], id, 1, door_3, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN);
    assert_int_equal(say(world->mn[1], &said), 0);
    assert_outcome(world, id, DOOR_3, GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN, true);
    const Groupseal__Secenv__Event *event = site_last_event(site_authority(world->site), REPORT);
    assert_true(event->report->complete);
    assert_int_equal(event->report->n_rows, 3);
}

/* A site is complete with all the pages of one revision, in any order, each any number of times. */
static void pages_of_a_report(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    order(world, doors_1_2, 2, 0, id);
    static const uint32_t pages[] = {1, 1, 0};
    for (size_t i = 0; i < 3; i++) {
        said_init(&said, world->mn[0], id, 1, pages[i] == 0 ? door_1 : doors_1_2 + 1,
                  GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE);
        said.report.page = pages[i];
        said.report.pages = 2;
        said.report.complete = 1;
        assert_int_equal(say(world->mn[0], &said), 0);
        assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, i == 2);
    }
}

/* Pages come as they change: an older revision of one is not overtaken by a newer one of another. */
static void page_is_overtaken_by_itself_alone(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    order(world, doors_1_2, 2, 0, id);
    static const struct {
        uint32_t page;
        uint32_t revision;
        Groupseal__Envelope__Outcome outcome;
    } pages[] = {{1, 3, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED},
                 {0, 2, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED},
                 {1, 2, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED}};
    for (size_t i = 0; i < 3; i++) {
        said_init(&said, world->mn[0], id, pages[i].revision, pages[i].page == 0 ? door_1 : doors_1_2 + 1,
                  pages[i].outcome);
        said.report.page = pages[i].page;
        said.report.pages = 2;
        assert_int_equal(say(world->mn[0], &said), 0);
    }
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__ACCEPTED, false);
    assert_outcome(world, id, doors_1_2[1], GROUPSEAL__SECENV__OUTCOME__ACCEPTED, false);
}

/* A site of 2^20 devices has 8,192 pages; it is complete with the last of them. */
static void pages_of_a_large_site(void **state)
{
    enum { PAGES = 80 };
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    order(world, doors_1_2, 2, 0, id);
    for (uint32_t page = 0; page < PAGES; page++) {
        assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, false);
        said_init(&said, world->mn[0], id, 1 + page % 3, door_1, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE);
        said.report.page = page;
        said.report.pages = PAGES;
        said.report.complete = 1;
        assert_int_equal(say(world->mn[0], &said), 0);
    }
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, true);
    said.report.page = 8191;
    said.report.pages = 8192;
    assert_int_equal(say(world->mn[0], &said), 0);
    said.report.pages = 8193;
    assert_int_equal(say(world->mn[0], &said), 1);
}

/* All of a large report can be read, page by page. */
static void pages_for_the_operator(void **state)
{
    enum { ROWS = 600, PAGES = 5 };
    struct world *world = *state;
    struct store *store = site_store(site_authority(world->site));
    uint8_t id[COMMAND_ID_SIZE];
    struct reason why = {""};
    uint32_t rows = 0;
    char last[64] = "";
    order(world, doors_1_2, 2, 0, id);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    for (unsigned i = 0; i < ROWS - 2; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "//sp.example/Sx%04u", i);
        assert_int_equal(store_run(store, &why,
                                   "INSERT INTO command_row (command_id, name, site) VALUES (?, ?, ?)", "btt",
                                   (struct bytes){id, COMMAND_ID_SIZE}, name, SITE_MN_CSE),
                         RESULT_OK);
    }
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    for (uint32_t page = 0; page < PAGES; page++) {
        Groupseal__Secenv__Reply *reply =
            operator_order_page(world->site, (struct bytes){id, COMMAND_ID_SIZE}, page);
        assert_int_equal(reply->code, OK);
        assert_int_equal(reply->report->page, page);
        assert_int_equal(reply->report->pages, PAGES);
        for (size_t i = 0; i < reply->report->n_rows; i++) {
            assert_true(strcmp(last, reply->report->rows[i]->name) < 0); /* each once, in order */
            (void)snprintf(last, sizeof(last), "%s", reply->report->rows[i]->name);
            rows++;
        }
        site_reply_free(reply);
    }
    assert_int_equal(rows, ROWS);
    Groupseal__Secenv__Reply *reply =
        operator_order_page(world->site, (struct bytes){id, COMMAND_ID_SIZE}, PAGES);
    assert_int_equal(reply->code, INVALID);
    site_reply_free(reply);
}

/* ---- orders for everybody ---- */

static uint64_t rows_of(struct world *world, const char *sql)
{
    uint64_t count = 0;
    struct reason why = {""};
    struct store *store = site_store(site_authority(world->site));
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(store_number(store, &why, &count, sql, ""), RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    return count;
}

static uint64_t rows_listed(struct world *world)
{
    return rows_of(world, "SELECT count(*) FROM command_row");
}

/* By an operator who does not stay to watch it: else members are listed with the first report. */
static void order_unwatched(struct world *world, uint8_t id[COMMAND_ID_SIZE])
{
    order(world, NULL, 0, 0, id);
    site_disconnect(site_authority(world->site), SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION);
    site_settle(world->site);
}

/* Exactly these, none with an answer; NULL ends them. */
static void assert_asked(struct world *world, uint8_t id[COMMAND_ID_SIZE], const char *const *names)
{
    Groupseal__Secenv__Reply *reply = show(world, id);
    size_t count = 0;
    for (; names[count] != NULL; count++) {
        assert_int_equal(outcome_of(reply->report, names[count]), GROUPSEAL__SECENV__OUTCOME__NO_ANSWER);
    }
    assert_int_equal(reply->report->n_rows, count);
    site_reply_free(reply);
}

static void assert_asked_at(struct world *world, uint8_t id[COMMAND_ID_SIZE], const char *name,
                            const char *site)
{
    Groupseal__Secenv__Reply *reply = show(world, id);
    for (size_t i = 0; i < reply->report->n_rows; i++) {
        if (strcmp(reply->report->rows[i]->name, name) == 0) {
            assert_string_equal(reply->report->rows[i]->site, site);
        }
    }
    site_reply_free(reply);
}

static struct hand *join_late(struct world *world, const char *name, const char *at)
{
    struct hand *hand = join(world->site, name, IDENTITY_ADN_AE, at);
    assert_true(hand_authenticate(hand));
    site_settle(world->site);
    return hand;
}

/* Who comes later was not asked, who has left since was, and who has another leaf by now was asked once. */
static void everyone_is_who_was_there(void **state)
{
    struct world *world = *state;
    uint8_t first[COMMAND_ID_SIZE];
    uint8_t second[COMMAND_ID_SIZE];
    uint8_t third[COMMAND_ID_SIZE];
    order_unwatched(world, first);
    assert_int_equal(rows_listed(world), 0); /* none for a member, before its answer */
    struct hand *late = join_late(world, DOOR_4, SITE_MN_CSE);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_settle(world->site);
    assert_true(hand_authenticate(world->doors[0])); /* a new leaf, after its former one */
    site_advance(world->site, 10000);
    order_unwatched(world, second);
    struct hand *again = join_late(world, DOOR_2, SITE_MN_CSE);
    assert_int_equal(operator_move(world->site, DOOR_1, MN_2), OK);
    site_advance(world->site, 10000);
    assert_int_equal(operator_evict(world->site, DOOR_3), OK);
    site_settle(world->site);
    order_unwatched(world, third);
    assert_asked(world, third, (const char *const[]){DOOR_1, DOOR_2, DOOR_4, NULL});
    assert_asked(world, second, (const char *const[]){DOOR_1, DOOR_3, DOOR_4, NULL});
    assert_asked_at(world, second, DOOR_1, SITE_MN_CSE); /* where it was when it was asked */
    assert_asked_at(world, third, DOOR_1, MN_2);
    assert_asked(world, first, (const char *const[]){DOOR_1, DOOR_2, DOOR_3, NULL});
    assert_int_equal(rows_of(world, "SELECT count(*) FROM former_leaf"), 0);
    hand_free(late);
    hand_free(again);
}

/* The same, of a group that is gone, over a start. */
static void everyone_of_a_group_that_is_gone(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    order_unwatched(world, id);
    assert_int_equal(operator_delete(world->site, "doors"), OK);
    site_settle(world->site);
    site_restart(site_authority(world->site));
    assert_asked(world, id, (const char *const[]){DOOR_1, DOOR_2, DOOR_3, NULL});
}

/* What is kept of those who left goes with the last order of their time. */
static void former_leaves_are_forgotten(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    order_unwatched(world, id);
    assert_int_equal(operator_evict(world->site, DOOR_2), OK);
    site_settle(world->site);
    assert_int_equal(rows_of(world, "SELECT count(*) FROM former_leaf"), 1);
    site_advance(world->site, 60000 + 10000 + 1);
    site_advance(world->site, ORDER_KEPT_MS);
    order_unwatched(world, id);
    assert_int_equal(rows_of(world, "SELECT count(*) FROM former_leaf"), 0);
    assert_asked(world, id, (const char *const[]){DOOR_1, DOOR_3, NULL});
}

/* Complete when each of those asked has answered, whether they are listed or not; not before. */
static void everyone_has_answered(void **state)
{
    struct world *world = *state;
    struct said said;
    uint8_t id[COMMAND_ID_SIZE];
    order_unwatched(world, id);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_int_equal(rows_of(world, "SELECT complete FROM command"), 0);
    said_init(&said, world->mn[1], id, 1, door_3, FAILED);
    assert_int_equal(say(world->mn[1], &said), 0);
    assert_int_equal(rows_of(world, "SELECT complete FROM command"), 1);
    assert_int_equal(rows_listed(world), 3);
    assert_outcome(world, id, DOOR_3, GROUPSEAL__SECENV__OUTCOME__FAILED, true);
}

/* In short, too: who is asked is counted. */
static void everyone_is_counted(void **state)
{
    struct world *world = *state;
    struct said said;
    uint8_t id[COMMAND_ID_SIZE];
    order_unwatched(world, id);
    said_init(&said, world->mn[0], id, 1, door_1, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_int_equal(rows_listed(world), 1);
    Groupseal__Secenv__Reply *reply = operator_order_list(world->site);
    assert_int_equal(reply->code, OK);
    assert_int_equal(reply->orders->n_orders, 1);
    assert_int_equal(reply->orders->orders[0]->members, 3);
    assert_int_equal(reply->orders->orders[0]->done, 1);
    site_reply_free(reply);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__DONE, false);
}

/* What an MN-CSE may not say, or that is malformed: nothing of it is taken, the rest of the page included. */
static void report_refuses(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    uint8_t other[COMMAND_ID_SIZE] = {9};
    static const char *const foreign[] = {DOOR_1, DOOR_3, NULL};
    static const char *const unnamed[] = {DOOR_1, "Sdoor1", NULL};
    static char long_detail[202];
    memset(long_detail, 'x', sizeof(long_detail) - 1);
    struct said said;
    order(world, NULL, 0, 0, id);
    said_init(&said, world->mn[0], id, 1, foreign, DONE);
    assert_int_equal(say(world->mn[0], &said), 2);
    said_init(&said, world->mn[0], id, 1, unnamed, DONE);
    assert_int_equal(say(world->mn[0], &said), 1);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    said.rows[1].detail = long_detail;
    assert_int_equal(say(world->mn[0], &said), 1);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    said.rows[1].outcome = (Groupseal__Envelope__Outcome)7;
    assert_int_equal(say(world->mn[0], &said), 1);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    said.report.page = 1;
    assert_int_equal(say(world->mn[0], &said), 1);
    said_init(&said, world->mn[0], other, 1, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 3);
    said_init(&said, world->mn[0], id, 1, door_1, DONE);
    assert_int_equal(say(world->doors[0], &said), 2); /* a device reports nothing */
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, false);
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__DONE, false);
}

/* An MN-CSE that will not take the order, or says that it did not seal it, is named with its reason. */
static void refused_by_the_site(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    world->mn[0]->accept = 4;
    order(world, NULL, 0, 0, id);
    assert_outcome(world, id, DOOR_3, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, false);
    said_init(&said, world->mn[1], id, 1, door_3, GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE);
    said.report.refused = (char *)(uintptr_t) "no key";
    assert_int_equal(say(world->mn[1], &said), 0);
    Groupseal__Secenv__Reply *reply = show(world, id);
    assert_true(reply->report->complete);
    assert_string_equal(reply->report->refused, SITE_MN_CSE ": by hand; " MN_2 ": no key");
    site_reply_free(reply);
    assert_int_equal(hand_count(world->mn[0], ORDER), 1); /* not sent again */
}

/* A site out of reach: the order is not sent after its time, and says so. */
static void expires_unheard(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    world->mn[0]->accept = HAND_SILENT;
    order(world, door_1, 1, 5000, id);
    site_advance(world->site, 14000);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__NO_ANSWER, false);
    site_advance(world->site, 2000);
    Groupseal__Secenv__Reply *reply = show(world, id);
    assert_true(reply->report->complete);
    assert_non_null(strstr(reply->report->refused, "no report"));
    site_reply_free(reply);
    const Groupseal__Secenv__Event *event = site_last_event(site_authority(world->site), REPORT);
    assert_non_null(event);
    assert_true(event->report->complete);
    world->mn[0]->accept = 0;
    site_advance(world->site, 120000);
    assert_int_equal(hand_count(world->mn[0], ORDER), 0);
    /* A late report is taken all the same. */
    struct said said;
    said_init(&said, world->mn[0], id, 1, door_1, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__DONE, true);
}

/* A site that was away for long says what it holds when it is back, and has the order at once. */
static void order_waits_for_no_back_off(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Newest newest = GROUPSEAL__ENVELOPE__NEWEST__INIT;
    world->mn[0]->accept = HAND_SILENT;
    order(world, door_1, 1, 3600000, id);
    site_advance(world->site, 300000);
    world->mn[0]->accept = 0;
    site_advance(world->site, 20);
    assert_int_equal(hand_count(world->mn[0], ORDER), 0);
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST;
    body.newest = &newest;
    assert_int_equal(hand_say(world->mn[0], &body), 0);
    site_settle(world->site);
    assert_int_equal(hand_count(world->mn[0], ORDER), 1);
}

static size_t orders_after(struct world *world, Groupseal__Envelope__RecordBody *body)
{
    (void)hand_say(world->mn[0], body);
    site_settle(world->site);
    return hand_count(world->mn[0], ORDER);
}

/* So does one that says anything else, and one that asks for a roster, which may be what it lacked. */
static void order_follows_any_word(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__PackageAsk package = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    Groupseal__Envelope__RosterAsk roster = GROUPSEAL__ENVELOPE__ROSTER_ASK__INIT;
    const Groupseal__Envelope__Change *change = hand_last(world->mn[0], CHANGE)->change;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &package;
    world->mn[0]->accept = HAND_SILENT;
    order(world, door_1, 1, 3600000, id);
    site_advance(world->site, 300000);
    world->mn[0]->accept = 7; /* not now */
    assert_int_equal(orders_after(world, &body), 1);
    site_advance(world->site, 300000);
    size_t before = hand_count(world->mn[0], ORDER);
    assert_int_equal(orders_after(world, &body), before); /* it was answered: no reason to hurry */
    roster.group = change->group;
    roster.instance = change->instance;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK;
    body.roster_ask = &roster;
    assert_int_equal(orders_after(world, &body), before + 1);
    assert_int_equal(orders_after(world, &body), before + 1); /* once a second */
}

static void operator_gone(void **state)
{
    struct world *world = *state;
    struct site_node *authority = site_authority(world->site);
    uint8_t id[COMMAND_ID_SIZE];
    struct said said;
    struct engine_caller other = {SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION + 1};
    struct engine_caller caller = {SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION};
    order(world, NULL, 0, 0, id);
    authority_operations.disconnected(site_engine(authority), &other);
    said_init(&said, world->mn[0], id, 1, doors_1_2, ACCEPTED);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_int_equal(reports_heard(world), 1);
    authority_operations.disconnected(site_engine(authority), &caller);
    said_init(&said, world->mn[0], id, 2, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 0);
    assert_int_equal(reports_heard(world), 1);
}

/* A day later they are forgotten; before, when there are too many, the oldest complete one is. */
static void orders_are_bounded(void **state)
{
    struct world *world = *state;
    uint8_t first[COMMAND_ID_SIZE];
    uint8_t id[COMMAND_ID_SIZE];
    world->mn[0]->accept = HAND_SILENT;
    order(world, door_1, 1, 1, first);
    site_advance(world->site, 20000); /* complete by expiry */
    for (size_t i = 1; i < ORDERS_LIMIT; i++) {
        Groupseal__Secenv__Reply *reply = operator_order(world->site, "doors", "close", door_1, 1, 3600000);
        assert_int_equal(reply->code, OK);
        site_reply_free(reply);
    }
    Groupseal__Secenv__Reply *reply = operator_order_show(world->site, BYTES_OF(first));
    assert_int_equal(reply->code, OK);
    site_reply_free(reply);
    reply = operator_order(world->site, "doors", "close", door_1, 1, 3600000);
    assert_int_equal(reply->code, OK); /* in the place of the first */
    memcpy(id, reply->order->command_id.data, COMMAND_ID_SIZE);
    site_reply_free(reply);
    reply = operator_order_show(world->site, BYTES_OF(first));
    assert_int_equal(reply->code, UNKNOWN);
    site_reply_free(reply);
    reply = operator_order(world->site, "doors", "close", door_1, 1, 0);
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__FULL);
    site_reply_free(reply);
    site_advance(world->site, 86500000);
    order(world, door_1, 1, 0, first);
    reply = operator_order_show(world->site, BYTES_OF(id));
    assert_int_equal(reply->code, UNKNOWN);
    site_reply_free(reply);
}

/* ---- commands that an MN-CSE gives by itself ---- */

static uint32_t say_own(struct hand *mn, struct said *said, uint64_t issued_ms, uint64_t valid_ms)
{
    Groupseal__Envelope__OwnCommand own = GROUPSEAL__ENVELOPE__OWN_COMMAND__INIT;
    own.issued_ms = issued_ms;
    own.expires_ms = issued_ms + valid_ms;
    said->report.own = &own;
    return say(mn, said);
}

/* Whose it is is settled by the first word of it; and one that nobody gave is none. */
static void own_commands_are_shown(void **state)
{
    struct world *world = *state;
    uint8_t id[COMMAND_ID_SIZE] = {7};
    uint8_t nobodys[COMMAND_ID_SIZE] = {8};
    uint8_t ordered[COMMAND_ID_SIZE];
    struct said said;
    said_init(&said, world->mn[0], id, 1, doors_1_2, DONE);
    assert_int_equal(say(world->mn[0], &said), 3); /* not said to be its own */
    assert_int_equal(say_own(world->mn[0], &said, 1000, 0), 1);
    assert_int_equal(say_own(world->mn[0], &said, 1000, 86400001), 1);
    assert_int_equal(say_own(world->mn[0], &said, UINT64_C(1) << 53, 1000), 1);
    said.report.complete = 1;
    assert_int_equal(say_own(world->mn[0], &said, 1000, 60000), 0);
    Groupseal__Secenv__Reply *reply = show(world, id);
    assert_string_equal(reply->report->commander, SITE_MN_CSE);
    assert_int_equal(reply->report->issued_ms, 1000);
    site_reply_free(reply);
    assert_outcome(world, id, DOOR_1, GROUPSEAL__SECENV__OUTCOME__DONE, true);
    said_init(&said, world->mn[1], id, 2, door_3, FAILED);
    assert_int_equal(say_own(world->mn[1], &said, 2000, 60000), 3); /* of another MN-CSE's */
    said_init(&said, world->mn[0], nobodys, 1, door_3, DONE);
    assert_int_equal(say_own(world->mn[0], &said, 1000, 60000), 2); /* a device of another site */
    static uint8_t other_instance[INSTANCE_SIZE];
    said_init(&said, world->mn[0], nobodys, 1, door_1, DONE);
    said.report.instance = (ProtobufCBinaryData){.len = INSTANCE_SIZE, .data = other_instance};
    assert_int_equal(say_own(world->mn[0], &said, 1000, 60000), 3);
    /* An operator's order does not become its own. */
    order(world, NULL, 0, 0, ordered);
    said_init(&said, world->mn[0], ordered, 1, doors_1_2, DONE);
    assert_int_equal(say_own(world->mn[0], &said, 1000, 60000), 0);
    reply = show(world, ordered);
    assert_string_equal(reply->report->commander, "");
    site_reply_free(reply);
}

/* However many it claims, orders of the operator are not pushed out, nor those of another MN-CSE. */
static void own_commands_are_bounded(void **state)
{
    struct world *world = *state;
    uint8_t ordered[COMMAND_ID_SIZE];
    uint8_t id[COMMAND_ID_SIZE] = {9};
    struct said said;
    order(world, NULL, 0, 86400000, ordered);
    said_init(&said, world->mn[1], id, 1, door_3, DONE);
    assert_int_equal(say_own(world->mn[1], &said, 1, 60000), 0);
    for (size_t i = 0; i < 300; i++) {
        uint8_t own[COMMAND_ID_SIZE] = {10, (uint8_t)(i >> 8), (uint8_t)i};
        said_init(&said, world->mn[0], own, 1, doors_1_2, DONE);
        assert_int_equal(say_own(world->mn[0], &said, 1000 + i, 60000), 0);
    }
    uint8_t first[COMMAND_ID_SIZE] = {10};
    uint8_t last[COMMAND_ID_SIZE] = {10, 1, 43};
    Groupseal__Secenv__Reply *reply = operator_order_show(world->site, BYTES_OF(first));
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__UNKNOWN);
    site_reply_free(reply);
    site_reply_free(show(world, last));
    site_reply_free(show(world, id));
    site_reply_free(show(world, ordered));
    /* The list: the newest first, by the commanders' clocks, and no more than there is room for. */
    reply = operator_order_list(world->site);
    assert_int_equal(reply->code, OK);
    assert_int_equal(reply->orders->n_orders, 64);
    assert_memory_equal(reply->orders->orders[0]->command_id.data, ordered, COMMAND_ID_SIZE);
    assert_string_equal(reply->orders->orders[0]->commander, "");
    assert_int_equal(reply->orders->orders[0]->members, 3);
    assert_int_equal(reply->orders->orders[0]->done, 0);
    assert_memory_equal(reply->orders->orders[1]->command_id.data, last, COMMAND_ID_SIZE);
    assert_string_equal(reply->orders->orders[1]->commander, SITE_MN_CSE);
    assert_int_equal(reply->orders->orders[1]->members, 2);
    assert_int_equal(reply->orders->orders[1]->done, 2);
    site_reply_free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(order_is_signed, setup, teardown),
        cmocka_unit_test_setup_teardown(order_with_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(order_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(reports_are_merged, setup, teardown),
        cmocka_unit_test_setup_teardown(complete_by_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_of_a_report, setup, teardown),
        cmocka_unit_test_setup_teardown(page_is_overtaken_by_itself_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_of_a_large_site, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_for_the_operator, setup, teardown),
        cmocka_unit_test_setup_teardown(everyone_is_who_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(everyone_of_a_group_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(former_leaves_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(everyone_has_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(everyone_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(report_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_by_the_site, setup, teardown),
        cmocka_unit_test_setup_teardown(expires_unheard, setup, teardown),
        cmocka_unit_test_setup_teardown(order_waits_for_no_back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(order_follows_any_word, setup, teardown),
        cmocka_unit_test_setup_teardown(operator_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(own_commands_are_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(own_commands_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_order", tests, NULL, NULL);
}
