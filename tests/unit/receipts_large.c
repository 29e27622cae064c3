/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/member/packed.h"
#include "secenv/member/relay.h"
#include "tests/bench/large_group.h"
#include "tests/unit/operator.h"

/*
 *     receipts_large MEMBERS
 *
 * One command for a group of so many devices at one site, and who of them holds its epoch: engines of the
 * authority and the MN-CSE; the devices are keys, what they say is signed and sealed by hand. One is real.
 */
#define OK GROUPSEAL__SECENV__CODE__OK
#define STEP_MS 250u
#define SILENT(number_) ((number_) % 50u == 7) /* says nothing, ever */
#define LATE(number_) ((number_) % 20u == 3)   /* answers after the window */
#define FAILS(number_) ((number_) % 10u == 5)
#define MINUTE_MS 60000u

static size_t members;

struct crowd {
    struct large_group large;
    struct site_node *door;
    uint8_t *seen; /* of each: how often it was in the report */
    size_t reports;
    uint64_t said;
};

static enum site_fate count_reports(void *context, const struct site_message *message)
{
    struct crowd *crowd = context;
    crowd->reports += message->what == SITE_OBJECT && strcmp(message->from, SITE_MN_CSE) == 0;
    return SITE_DELIVER;
}

static struct membership *membership_of(struct site_node *node)
{
    struct identity_state *identity = engine_identity(site_engine(node), site_name(node));
    struct membership *membership = membership_find(identity, LARGE_GROUP);
    assert_non_null(membership);
    return membership;
}

/* ---- what a device says ---- */

static void say(struct crowd *crowd, size_t number, Groupseal__Envelope__Ack *ack)
{
    const struct membership *mn = membership_of(crowd->large.mn);
    char name[NAME_LIMIT + 1];
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct signing_key key;
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    large_group_name(number, name);
    large_group_key(number, &key);
    const struct roster_member *member = roster_find(mn->relay, name);
    assert_non_null(member);
    struct seal_context context = {.incarnation = mn->incarnation,
                                   .site = LARGE_SITE,
                                   .kind = GROUPSEAL__ENVELOPE__KIND__KIND_ACK,
                                   .ae = name,
                                   .epoch = mn->current.epoch,
                                   .serial = member->serial,
                                   .counter = site_now_ms(crowd->large.site) * 1000u + ++crowd->said};
    memcpy(context.instance, mn->instance, INSTANCE_SIZE);
    assert_int_equal(ack_hash(ack, hash), RESULT_OK);
    assert_int_equal(said_sign(&context, hash, &key, signature), RESULT_OK);
    ack->signature = arena_field(BYTES_OF(signature));
    assert_int_equal(message_pack(&ack->base, &plaintext), RESULT_OK);
    assert_int_equal(seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &mn->current.secret,
                                  buffer_bytes(&plaintext), &payload),
                     RESULT_OK);
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = (char *)(uintptr_t)LARGE_SITE;
    publish.group = (char *)(uintptr_t)LARGE_GROUP;
    publish.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK;
    publish.sender = name;
    publish.payload = arena_field(buffer_bytes(&payload));
    assert_int_equal(site_hear(crowd->large.mn, &publish, false), OK);
    buffer_clear(&plaintext);
    buffer_clear(&payload);
}

static void hold(struct crowd *crowd, size_t number)
{
    Groupseal__Envelope__Holding holding = GROUPSEAL__ENVELOPE__HOLDING__INIT;
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_HOLDING;
    ack.holding = &holding;
    say(crowd, number, &ack);
}

static void answer(struct crowd *crowd, size_t number, uint8_t id[COMMAND_ID_SIZE])
{
    Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    receipt.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    receipt.outcome = FAILS(number) ? GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED
                                    : GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE;
    receipt.detail = FAILS(number) ? (char *)(uintptr_t) "jammed" : (char *)(uintptr_t) "";
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
    ack.receipt = &receipt;
    say(crowd, number, &ack);
}

/* Each of those that are meant, once, evenly over the time; says how many in a step at most. */
static void over_time(struct crowd *crowd, uint64_t ms, bool late, uint8_t *id)
{
    uint64_t steps = ms / STEP_MS;
    for (uint64_t step = 0; step < steps; step++) {
        for (size_t number = 0; number < members; number++) {
            if (number * 7919u % steps != step || SILENT(number) || (id != NULL && LATE(number) != late)) {
                continue;
            }
            if (id == NULL) {
                hold(crowd, number);
            } else {
                answer(crowd, number, id);
            }
        }
        site_advance(crowd->large.site, STEP_MS);
    }
}

/* ---- the whole ---- */

static int setup(void **state)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    assert_non_null(crowd);
    crowd->seen = calloc(members, 1);
    assert_non_null(crowd->seen);
    large_group_open(&crowd->large);
    crowd->large.can_sign = true;
    large_group_fill(&crowd->large, members);
    crowd->door = large_group_device(&crowd->large, 1);
    site_advance(crowd->large.site, MINUTE_MS);
    site_carry(crowd->large.site, count_reports, crowd);
    assert_int_equal(membership_of(crowd->large.mn)->relay->roster.count, members + 2);
    *state = crowd;
    return 0;
}

static int teardown(void **state)
{
    struct crowd *crowd = *state;
    large_group_close(&crowd->large);
    free(crowd->seen);
    free(crowd);
    return 0;
}

static size_t behind_count(struct crowd *crowd)
{
    Groupseal__Secenv__GroupShow show = GROUPSEAL__SECENV__GROUP_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char after[NAME_LIMIT + 1] = "";
    size_t count = 0;
    bool more = true;
    show.name = (char *)(uintptr_t)LARGE_GROUP;
    show.after = after;
    show.behind = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SHOW;
    request.group_show = &show;
    while (more) {
        Groupseal__Secenv__Reply *reply = site_request(site_authority(crowd->large.site), SOCKET_OPERATOR,
                                                       SITE_OPERATOR_CONNECTION, &request);
        assert_int_equal(reply->code, OK);
        const Groupseal__Secenv__GroupDetail *group = reply->group;
        for (size_t i = 0; i < group->n_members; i++) {
            assert_true(strcmp(after, group->members[i]->name) < 0);
            (void)snprintf(after, sizeof(after), "%s", group->members[i]->name);
            count++;
        }
        more = group->more;
        assert_int_equal(group->holdings[0]->devices, members + 1);
        site_reply_free(reply);
    }
    return count;
}

/* Nobody has said anything; then all have but some. The authority is told in pages, only what has changed. */
static void who_is_behind(void **state)
{
    struct crowd *crowd = *state;
    size_t silent = 0;
    for (size_t i = 0; i < members; i++) {
        silent += SILENT(i) ? 1 : 0;
    }
    site_advance(crowd->large.site, 10u * MINUTE_MS);
    assert_int_equal(behind_count(crowd), members);
    crowd->reports = 0;
    over_time(crowd, 20000, false, NULL);
    site_advance(crowd->large.site, 10u * MINUTE_MS);
    assert_int_equal(behind_count(crowd), silent);
    print_message("%zu devices said that they have it: %zu records to the authority\n", members - silent,
                  crowd->reports);
    assert_true(crowd->reports <= 3 * (members / PAGE_ENTRIES_LIMIT + 10));
}

static void row_check(struct crowd *crowd, const Groupseal__Secenv__OrderRow *row)
{
    char name[NAME_LIMIT + 1];
    size_t number = strtoul(row->name + strlen("//sp.example/Smember"), NULL, 10);
    if (strcmp(row->name, site_name(crowd->door)) == 0) {
        assert_int_equal(row->outcome, GROUPSEAL__SECENV__OUTCOME__DONE);
        assert_false(row->late);
        return;
    }
    large_group_name(number, name);
    assert_string_equal(row->name, name);
    crowd->seen[number]++;
    assert_int_equal(row->outcome, SILENT(number)  ? GROUPSEAL__SECENV__OUTCOME__NO_ANSWER
                                   : FAILS(number) ? GROUPSEAL__SECENV__OUTCOME__FAILED
                                                   : GROUPSEAL__SECENV__OUTCOME__DONE);
    assert_string_equal(row->detail, FAILS(number) && !SILENT(number) ? "jammed" : "");
    assert_int_equal(row->late, LATE(number) && !SILENT(number));
}

static void report_check(struct crowd *crowd, uint8_t id[COMMAND_ID_SIZE])
{
    uint32_t pages = 1;
    for (uint32_t page = 0; page < pages; page++) {
        Groupseal__Secenv__Reply *reply =
            operator_order_page(crowd->large.site, (struct bytes){id, COMMAND_ID_SIZE}, page);
        assert_int_equal(reply->code, OK);
        assert_true(reply->report->complete);
        pages = reply->report->pages;
        for (size_t i = 0; i < reply->report->n_rows; i++) {
            row_check(crowd, reply->report->rows[i]);
        }
        site_reply_free(reply);
    }
    for (size_t i = 0; i < members; i++) {
        assert_int_equal(crowd->seen[i], 1);
    }
}

static void everybody_answers(void **state)
{
    struct crowd *crowd = *state;
    uint8_t id[COMMAND_ID_SIZE];
    uint64_t window_ms = membership_response_window_us(membership_of(crowd->large.mn)) / 1000u;
    uint64_t late = audit_value(AUDIT_RECEIPTS_LATE);
    size_t late_count = 0;
    for (size_t i = 0; i < members; i++) {
        late_count += LATE(i) && !SILENT(i) ? 1 : 0;
    }
    assert_true(window_ms * 2 >= members);
    assert_true(membership_response_window_us(membership_of(crowd->door)) / 1000u == window_ms);
    Groupseal__Secenv__Reply *reply =
        operator_order(crowd->large.site, LARGE_GROUP, "close", NULL, 0, 10u * MINUTE_MS);
    assert_int_equal(reply->code, OK);
    memcpy(id, reply->order->command_id.data, COMMAND_ID_SIZE);
    site_reply_free(reply);
    site_settle(crowd->large.site);
    assert_non_null(site_last_event(crowd->door, GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND));
    Groupseal__Secenv__Finished finished = GROUPSEAL__SECENV__FINISHED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    finished.identity = (char *)(uintptr_t)site_name(crowd->door);
    finished.group = (char *)(uintptr_t)LARGE_GROUP;
    finished.command_id = arena_field(BYTES_OF(id));
    finished.done = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_FINISHED;
    request.finished = &finished;
    site_reply_free(site_request(crowd->door, SOCKET_OWNER, 1, &request));
    crowd->reports = 0;
    over_time(crowd, window_ms < STEP_MS ? STEP_MS : window_ms, false, id);
    site_advance(crowd->large.site, 5000);
    over_time(crowd, MINUTE_MS, true, id);
    site_advance(crowd->large.site, 12u * MINUTE_MS);
    assert_int_equal(audit_value(AUDIT_RECEIPTS_LATE), late + late_count);
    print_message("%zu receipts, %zu of them late: %zu records to the authority\n", members, late_count,
                  crowd->reports);
    assert_true(crowd->reports <= late_count + 4 * (members / PAGE_ENTRIES_LIMIT + 10));
    report_check(crowd, id);
}

static void ask(struct crowd *crowd, size_t number)
{
    uint8_t nonce[NONCE_SIZE] = {0};
    Groupseal__Envelope__SyncRequest request = GROUPSEAL__ENVELOPE__SYNC_REQUEST__INIT;
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    memcpy(nonce, &number, sizeof(nonce) < sizeof(number) ? sizeof(nonce) : sizeof(number));
    request.nonce = arena_field(BYTES_OF(nonce));
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST;
    ack.sync_request = &request;
    say(crowd, number, &ack);
}

/* All come back within some seconds. Each answer goes to all of them: they are few, and none is late. */
static void everybody_asks_for_a_sync(void **state)
{
    struct crowd *crowd = *state;
    const uint64_t time_ms = 4000;
    uint64_t gap_ms = members * SYNC_GAP_EACH_US / 1000u;
    gap_ms = gap_ms < SYNC_GAP_LIMIT_US / 1000u ? gap_ms : SYNC_GAP_LIMIT_US / 1000u;
    uint64_t answered = audit_value(AUDIT_SYNCS_ANSWERED);
    uint64_t refused = audit_value(AUDIT_SYNCS_REFUSED);
    size_t asked = 0;
    for (uint64_t ms = 0; ms < time_ms; ms += 10) {
        for (; asked < members * (ms + 10) / time_ms; asked++) {
            ask(crowd, asked);
        }
        site_advance(crowd->large.site, 10);
    }
    site_advance(crowd->large.site, gap_ms + 20);
    answered = audit_value(AUDIT_SYNCS_ANSWERED) - answered;
    print_message("%zu members ask in %llu ms: %llu answers\n", members, (unsigned long long)time_ms,
                  (unsigned long long)answered);
    assert_in_range(answered, 1, time_ms / gap_ms + 2 + members / SYNC_NONCES_LIMIT);
    assert_int_equal(audit_value(AUDIT_SYNCS_REFUSED), refused);
    assert_int_equal(membership_of(crowd->large.mn)->relay->syncs.count, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_behind),
        cmocka_unit_test(everybody_answers),
        cmocka_unit_test(everybody_asks_for_a_sync),
    };
    members = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (members == 0) {
        (void)fputs("usage: receipts_large MEMBERS\n", stderr);
        return 2;
    }
    log_threshold(LOG_LEVEL_ALARM);
    return cmocka_run_group_tests(tests, setup, teardown);
}
