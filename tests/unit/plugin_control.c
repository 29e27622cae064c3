/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include "plugin/agent/control.h"
#include "plugin/agent/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The operator's interface: who may, what is answered, and what waits for the secure environment. */

#define REQUEST(name_) GROUPSEAL__SECENV__TO_SECENV__REQUEST_##name_
#define ONE(command) "{\"commands\":[{\"command\":\"" command "\"}]}"
#define ONE_WITH(command, more) "{\"commands\":[{\"command\":\"" command "\"," more "}]}"

static struct site *site_with_admin(bool send)
{
    static const char *const admins[] = {"admin"};
    char why[300] = "";
    const struct agent_settings settings = {.cse_id = SITE_MN,
                                            .in_cse = SITE_IN,
                                            .identity = "//sp.example/%u",
                                            .admins = admins,
                                            .admin_count = 1,
                                            .control_send = send};
    struct site *site = site_connected();
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    return site;
}

static void ask(struct site *site, const char *text)
{
    agent_control(site->agent, "admin", text, strlen(text));
}

static const char *answer(struct site *site)
{
    const struct site_publication *published = site_published(site, CONTROL_RESPONSE_TOPIC);
    assert_false(published->retain);
    return (const char *)published->payload;
}

static void expect(struct site *site, const char *text)
{
    const char *got = answer(site);
    if (strstr(got, text) == NULL) {
        fail_msg("%s is not in %s", text, got);
    }
}

static void test_admins_only(void **state)
{
    struct site *site = site_with_admin(true);
    static const char *const others[] = {"in-cse", "Sdoor1", "administrator", "", NULL};
    (void)state;
    assert_int_equal(site_may(site, "admin", AGENT_WRITE, CONTROL_TOPIC), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "admin", AGENT_SUBSCRIBE, CONTROL_RESPONSE_TOPIC), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "admin", AGENT_READ, CONTROL_RESPONSE_TOPIC), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "admin", AGENT_WRITE, CONTROL_RESPONSE_TOPIC), AGENT_DENIED);
    assert_int_equal(site_may(site, "admin", AGENT_READ, CONTROL_TOPIC), AGENT_DENIED);
    assert_int_equal(site_may(site, "admin", AGENT_WRITE, "$CONTROL/groupseal/v2"), AGENT_DENIED);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(site_may(site, others[i], AGENT_WRITE, CONTROL_TOPIC), AGENT_DENIED);
        assert_int_equal(site_may(site, others[i], AGENT_SUBSCRIBE, CONTROL_RESPONSE_TOPIC), AGENT_DENIED);
        assert_int_equal(site_may(site, others[i], AGENT_READ, CONTROL_RESPONSE_TOPIC), AGENT_DENIED);
        /* Where another plugin has let it. */
        agent_control(site->agent, others[i], ONE("getStatus"), strlen(ONE("getStatus")));
    }
    site_expect_silence(site);
    const struct agent_attempt will = {
        .name = "admin", .access = AGENT_WRITE, .topic = CONTROL_TOPIC, .will = true};
    assert_int_equal(agent_allows(site->agent, &will), AGENT_DENIED);
    site_free(site);
}

/* With `mode observe` this interface is as closed as ever. */
static void test_closed_when_observing(void **state)
{
    struct site *site = site_connected();
    char why[300] = "";
    const struct agent_settings settings = {
        .cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u", .observe = true};
    (void)state;
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    assert_int_equal(site_may(site, "admin", AGENT_WRITE, CONTROL_TOPIC), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sspy1", AGENT_READ, CONTROL_RESPONSE_TOPIC), AGENT_DENIED);
    site_free(site);
}

static void test_answers_at_once(void **state)
{
    struct site *site = site_with_admin(false);
    const char *const members[] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2", "//sp.example/Sdoor3"};
    (void)state;
    site_roster(site, "doors", 3, members);
    ask(site, "{\"commands\":[{\"command\":\"getStatus\",\"correlationData\":\"a\"},{\"command\":"
              "\"getLogLevel\"}]}");
    const char *got = answer(site);
    assert_non_null(
        strstr(got, "\"command\":\"getStatus\",\"correlationData\":\"a\",\"data\":{\"cseId\":\"" SITE_MN));
    assert_non_null(strstr(got, "\"groups\":1"));
    assert_non_null(strstr(got, "\"command\":\"getLogLevel\",\"data\":{\"logLevel\":\"info\"}"));
    ask(site, ONE_WITH("listMembers", "\"group\":\"doors\",\"start\":1,\"count\":5"));
    got = answer(site);
    assert_non_null(strstr(got, "\"totalCount\":3"));
    assert_non_null(strstr(got, "Sdoor2\",\"//sp.example/Sdoor3\"]"));
    ask(site, ONE_WITH("listMembers", "\"group\":\"nobody\""));
    expect(site, "\"error\":\"Group not found\"");
    ask(site, ONE_WITH("listMembers", "\"group\":\"doors\",\"count\":1001"));
    expect(site, "Invalid start or count");
    ask(site, ONE("getCounters"));
    expect(site, "\"registrations\":0");
    ask(site, ONE_WITH("setLogLevel", "\"logLevel\":\"error\""));
    expect(site, "{\"responses\":[{\"command\":\"setLogLevel\"}]}");
    unsigned lines = site->log_lines;
    site_may(site, "Sspy1", AGENT_WRITE, "/oneM2M/req/Sdoor1/mn-1/json");
    assert_int_equal(site->log_lines, lines);
    ask(site, ONE_WITH("setLogLevel", "\"logLevel\":\"all\""));
    expect(site, "Invalid logLevel");
    site_free(site);
}

static void test_pending(void **state)
{
    struct site *site = site_with_admin(false);
    (void)state;
    site_say(site, "Sdoor1", "/oneM2M/req/Sdoor1/mn-1/json",
             "{\"op\":5,\"to\":\"" SITE_IN "\",\"fr\":\"Sdoor1\",\"rqi\":\"q1\"}");
    onem2m_free(site_primitive(site, "/oneM2M/req/mn-1/in-cse/json"));
    ask(site, ONE("listPending"));
    expect(site, "{\"kind\":\"forwarded\",\"originator\":\"//sp.example/"
                 "Sdoor1\",\"requestId\":\"q1\",\"receiver\":\"" SITE_IN "\",\"remainingMs\":30000}");
    site_free(site);
}

static void test_wrong_requests(void **state)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "[]",
                                        "{}",
                                        "{\"commands\":1}",
                                        "{\"commands\":{}}",
                                        "{\"commands\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"};
    struct site *site = site_with_admin(false);
    static char large[CONTROL_REQUEST_LIMIT + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ask(site, wrong[i]);
        expect(site, "Payload missing commands");
    }
    memset(large, ' ', sizeof(large));
    memcpy(large, "{\"commands\":[]}", 15);
    agent_control(site->agent, "admin", large, sizeof(large));
    expect(site, "Payload missing commands");
    agent_control(site->agent, "admin", large, sizeof(large) - 1);
    expect(site, "{\"responses\":[]}");
    ask(site, "{\"commands\":[1,{},{\"command\":7}]}");
    expect(site, "Missing command");
    ask(site, ONE("shutDown"));
    expect(site, "{\"command\":\"shutDown\",\"error\":\"Unknown command\"}");
    site_expect_idle(site);
    site_free(site);
}

/* One answer for all commands of a request, when the last is there. */
static void test_waits_for_secenv(void **state)
{
    struct site *site = site_with_admin(false);
    Groupseal__Secenv__GroupStatus group = GROUPSEAL__SECENV__GROUP_STATUS__INIT;
    Groupseal__Secenv__GroupStatus *groups[] = {&group};
    Groupseal__Secenv__IdentityStatus identity = GROUPSEAL__SECENV__IDENTITY_STATUS__INIT;
    Groupseal__Secenv__IdentityStatus *identities[] = {&identity};
    Groupseal__Secenv__StatusReply status = GROUPSEAL__SECENV__STATUS_REPLY__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    (void)state;
    group.group = (char *)(uintptr_t) "doors";
    group.epoch = 7;
    identity.identity = (char *)(uintptr_t)SITE_MN;
    identity.mode = (char *)(uintptr_t) "cert";
    identity.groups = groups;
    identity.n_groups = 1;
    status.identities = identities;
    status.n_identities = 1;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS;
    reply.status = &status;
    ask(site, "{\"commands\":[{\"command\":\"listGroups\"},{\"command\":\"listAssociations\"},{\"command\":"
              "\"x\"}]}");
    uint64_t first = site_requested(site, REQUEST(STATUS))->tag;
    uint64_t second = site_requested(site, REQUEST(STATUS))->tag;
    agent_secenv_reply(site->agent, second, &reply);
    site_expect_silence(site);
    agent_secenv_reply(site->agent, first, &reply);
    const char *got = answer(site);
    assert_non_null(strstr(got, "\"group\":\"doors\""));
    assert_non_null(strstr(got, "\"epoch\":7"));
    assert_non_null(strstr(got, "\"mode\":\"cert\""));
    assert_non_null(strstr(got, "Unknown command"));
    /* Lost, silent, or answered with something else. */
    ask(site, ONE("listGroups"));
    agent_secenv_reply(site->agent, site_requested(site, REQUEST(STATUS))->tag, NULL);
    expect(site, "not reachable");
    ask(site, ONE("listGroups"));
    uint64_t late = site_requested(site, REQUEST(STATUS))->tag;
    site_forward(site, CONTROL_ANSWER_MS);
    expect(site, "does not answer");
    agent_secenv_reply(site->agent, late, &reply);
    site_expect_silence(site);
    ask(site, ONE("listGroups"));
    site_reply(site, site_requested(site, REQUEST(STATUS))->tag, GROUPSEAL__SECENV__CODE__OK);
    expect(site, "answers something else");
    site->queue_full = true;
    ask(site, ONE("listGroups"));
    expect(site, "not reachable");
    site_free(site);
}

static void test_too_many_wait(void **state)
{
    struct site *site = site_with_admin(false);
    (void)state;
    for (unsigned i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        ask(site, ONE("listGroups"));
        site_requested(site, REQUEST(STATUS));
    }
    site_expect_silence(site);
    ask(site, ONE("listGroups"));
    expect(site, "Too many requests wait");
    site_expect_idle(site);
    site_free(site); /* with all of them waiting */
}

#define CLOSE ONE_WITH("sendCommand", "\"group\":\"doors\",\"payload\":\"close\"")

static void test_send_is_off(void **state)
{
    struct site *site = site_with_admin(false);
    (void)state;
    ask(site, CLOSE);
    expect(site, "plugin_opt_control_send allow");
    site_expect_idle(site);
    site_free(site);
    site = site_with_admin(true);
    ask(site, CLOSE);
    assert_string_equal(site_requested(site, REQUEST(COMMAND))->request->command->group, "doors");
    site_free(site);
}

static void receipts_give(struct site *site, uint64_t tag, bool event)
{
    Groupseal__Secenv__OrderRow row = GROUPSEAL__SECENV__ORDER_ROW__INIT;
    Groupseal__Secenv__OrderRow *rows[] = {&row};
    Groupseal__Secenv__OrderReport report = GROUPSEAL__SECENV__ORDER_REPORT__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    Groupseal__Secenv__Event told = GROUPSEAL__SECENV__EVENT__INIT;
    row.name = (char *)(uintptr_t) "//sp.example/Sdoor1";
    row.outcome = GROUPSEAL__SECENV__OUTCOME__DONE;
    report.rows = rows;
    report.n_rows = 1;
    report.pages = 1;
    report.complete = true;
    report.group = (char *)(uintptr_t) "doors";
    if (event) {
        const Groupseal__Secenv__Command *command = site->requests[site->requests_first - 1].request->command;
        report.command_id = command->command_id;
        told.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_REPORT;
        told.report = &report;
        site_event(site, &told);
        return;
    }
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_REPORT;
    reply.report = &report;
    agent_secenv_reply(site->agent, tag, &reply);
}

static void order_sent(struct site *site, uint64_t tag)
{
    Groupseal__Secenv__OrderSent sent = GROUPSEAL__SECENV__ORDER_SENT__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ORDER;
    reply.order = &sent;
    agent_secenv_reply(site->agent, tag, &reply);
}

/* The answer waits for the receipts, and comes with the last of them; or with what is known in time. */
static void test_send_with_receipts(void **state)
{
    (void)state;
    for (int complete = 1; complete >= 0; complete--) {
        struct site *site = site_with_admin(true);
        ask(site, ONE_WITH("sendCommand",
                           "\"group\":\"doors\",\"payload\":\"close\",\"validMs\":5000,\"waitMs\":8000,"
                           "\"targets\":[\"//sp.example/Sdoor1\"]"));
        const struct site_request *asked = site_requested(site, REQUEST(COMMAND));
        assert_int_equal(asked->request->command->valid_ms, 5000);
        assert_string_equal(asked->request->command->targets[0], "//sp.example/Sdoor1");
        order_sent(site, asked->tag);
        site_forward(site, 7900);
        site_expect_silence(site);
        if (complete) {
            receipts_give(site, 0, true);
        } else {
            site_forward(site, 100);
        }
        asked = site_requested(site, REQUEST(COMMAND_SHOW));
        receipts_give(site, asked->tag, false);
        const char *got = answer(site);
        assert_non_null(strstr(got, "\"commandId\":\""));
        assert_non_null(strstr(got, "\"member\":\"//sp.example/Sdoor1\",\"outcome\":\"done\""));
        site_free(site);
    }
}

static void test_send_and_ask_later(void **state)
{
    struct site *site = site_with_admin(true);
    (void)state;
    ask(site, CLOSE);
    order_sent(site, site_requested(site, REQUEST(COMMAND))->tag);
    expect(site, "\"commandId\":\"");
    ask(site,
        ONE_WITH("getReceipts", "\"group\":\"doors\",\"commandId\":\"000102030405060708090a0b0c0d0e0f\""));
    const struct site_request *asked = site_requested(site, REQUEST(COMMAND_SHOW));
    assert_int_equal(asked->request->command_show->command_id.data[15], 15);
    receipts_give(site, asked->tag, false);
    expect(site, "\"commandId\":\"000102030405060708090a0b0c0d0e0f\"");
    ask(site, CLOSE);
    site_reply(site, site_requested(site, REQUEST(COMMAND))->tag, GROUPSEAL__SECENV__CODE__REFUSED);
    expect(site, "\"error\":\"for a test\"");
    site_free(site);
}

static void test_wrong_sends(void **state)
{
    static const char *const wrong[] = {
        ONE("sendCommand"),
        ONE_WITH("sendCommand", "\"group\":\"doors\""),
        ONE_WITH("sendCommand", "\"group\":\"doors\",\"payload\":\"x\",\"validMs\":86400001"),
        ONE_WITH("sendCommand", "\"group\":\"doors\",\"payload\":\"x\",\"waitMs\":60001"),
        ONE_WITH("sendCommand", "\"group\":\"doors\",\"payload\":\"x\",\"waitMs\":-1"),
        ONE_WITH("sendCommand", "\"group\":\"doors\",\"payload\":\"x\",\"targets\":[1]"),
        ONE_WITH("getReceipts", "\"group\":\"doors\",\"commandId\":\"00\""),
        ONE_WITH("getReceipts", "\"commandId\":\"000102030405060708090a0b0c0d0e0f\""),
    };
    struct site *site = site_with_admin(true);
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ask(site, wrong[i]);
        expect(site, "\"error\":\"Invalid");
        site_expect_idle(site);
    }
    site_free(site);
}

/* ---- what is watched ---- */

static void test_metrics(void **state)
{
    struct site *site = site_with_admin(false);
    size_t length = 0;
    unsigned topics = 0;
    (void)state;
    site_say(site, "Sdoor1", "/oneM2M/req/Sdoor1/mn-1/json",
             "{\"op\":5,\"to\":\"" SITE_IN "\",\"fr\":\"Sdoor2\",\"rqi\":\"q1\"}");
    site_expect_response(site, "/oneM2M/resp/Sdoor1/mn-1/json", ONEM2M_ORIGINATOR_NOT_AUTHENTICATED, "q1");
    agent_watch(site->agent);
    site_requested(site, REQUEST(STATUS));
    for (; site->published_first < site->published_end; topics++) {
        const struct site_publication *published = &site->published[site->published_first++];
        assert_true(published->retain && published->qos == 0);
        assert_int_equal(strncmp(published->topic, METRICS_TOPIC, strlen(METRICS_TOPIC)), 0);
    }
    assert_true(topics > 30);
    char *text = metrics_text(site->agent, &length);
    assert_non_null(text);
    text[length - 1] = '\0'; /* the last line feed */
    assert_non_null(strstr(
        text, "# TYPE groupseal_requests_refused_total counter\ngroupseal_requests_refused_total 1\n"));
    assert_non_null(strstr(text, "groupseal_requests_refused_by_code_total{rsc=\"4106\"} 1"));
    assert_non_null(strstr(text, "# TYPE groupseal_secenv_connected gauge\ngroupseal_secenv_connected 1\n"));
    free(text);
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admins_only),        cmocka_unit_test(test_closed_when_observing),
        cmocka_unit_test(test_answers_at_once),    cmocka_unit_test(test_pending),
        cmocka_unit_test(test_wrong_requests),     cmocka_unit_test(test_waits_for_secenv),
        cmocka_unit_test(test_too_many_wait),      cmocka_unit_test(test_send_is_off),
        cmocka_unit_test(test_send_with_receipts), cmocka_unit_test(test_send_and_ask_later),
        cmocka_unit_test(test_wrong_sends),        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
