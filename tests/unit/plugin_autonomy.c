/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A rule's command on its way to the secure environment, and what becomes of it. */

#define REQUEST(name_) GROUPSEAL__SECENV__TO_SECENV__REQUEST_##name_

static const char rules_text[] =
    "{\"rules\": [{\"name\": \"fire\", \"group\": \"sensors\", \"field\": \"smoke\", \"is\": \">=\", "
    "\"value\": 50,"
    " \"commands\": [{\"group\": \"doors\", \"payload\": \"close\", \"valid\": \"10s\"}]}]}";

static struct site *site_with_rules(void)
{
    char path[] = "/tmp/groupseal-rules-XXXXXX";
    char why[300] = "";
    const struct agent_settings settings = {
        .cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u", .rules = path};
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, rules_text, strlen(rules_text)), strlen(rules_text));
    close(file);
    struct site *site = site_connected();
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    unlink(path);
    /* Without its file it keeps the rules that it has. */
    assert_false(agent_configure(site->agent, &settings, why, sizeof(why)));
    assert_non_null(strstr(why, path));
    return site;
}

static void sensor_says(struct site *site, const char *body, bool proven)
{
    Groupseal__Secenv__MessageEvent message = GROUPSEAL__SECENV__MESSAGE_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    message.group = (char *)(uintptr_t) "sensors";
    message.sender = (char *)(uintptr_t) "//sp.example/Ssensor1";
    message.body.data = (uint8_t *)(uintptr_t)body;
    message.body.len = strlen(body);
    message.proven = proven;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE;
    event.message = &message;
    site_event(site, &event);
}

static void test_command_is_given_once(void **state)
{
    struct site *site = site_with_rules();
    (void)state;
    sensor_says(site, "{\"smoke\": 60}", false); /* "some member says" */
    site_expect_idle(site);
    sensor_says(site, "{\"smoke\": 60}", true);
    const struct site_request *asked = site_requested(site, REQUEST(COMMAND));
    const Groupseal__Secenv__Command *command = asked->request->command;
    assert_int_equal(asked->rank, AGENT_RANK_OWN);
    assert_string_equal(command->identity, SITE_MN);
    assert_string_equal(command->group, "doors");
    assert_memory_equal(command->body.data, "close", 5);
    assert_int_equal(command->valid_ms, 10000);
    assert_int_equal(command->command_id.len, 16);
    site_reply(site, asked->tag, GROUPSEAL__SECENV__CODE__OK);
    for (unsigned i = 0; i < 30; i++) {
        site_forward(site, 1000);
    }
    site_expect_idle(site);
    site_free(site);
}

/* Lost with the connection, or refused for now: again, under the same id, for what is left of its time. */
static void test_command_is_tried_again(void **state)
{
    struct site *site = site_with_rules();
    uint8_t id[16];
    (void)state;
    site->queue_full = true;
    sensor_says(site, "{\"smoke\": 60}", true);
    site_expect_idle(site);
    site->queue_full = false;
    site_forward(site, 1000);
    const struct site_request *asked = site_requested(site, REQUEST(COMMAND));
    assert_int_equal(asked->request->command->valid_ms, 9000);
    memcpy(id, asked->request->command->command_id.data, sizeof(id));
    agent_secenv_reply(site->agent, asked->tag, NULL);
    site_forward(site, 1000);
    asked = site_requested(site, REQUEST(COMMAND));
    assert_memory_equal(asked->request->command->command_id.data, id, sizeof(id));
    site_reply(site, asked->tag, GROUPSEAL__SECENV__CODE__NOT_READY);
    assert_non_null(strstr(site->log, "rule fire: its command to doors waits"));
    site_forward(site, 1000);
    asked = site_requested(site, REQUEST(COMMAND));
    assert_int_equal(asked->request->command->valid_ms, 7000);
    site_reply(site, asked->tag, GROUPSEAL__SECENV__CODE__EXISTS);
    site_forward(site, 5000);
    site_expect_idle(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_RULE_COMMANDS_LOST), 0);
    site_free(site);
}

static void test_refused_command_is_not_tried_again(void **state)
{
    struct site *site = site_with_rules();
    (void)state;
    sensor_says(site, "{\"smoke\": 60}", true);
    site_reply(site, site_requested(site, REQUEST(COMMAND))->tag, GROUPSEAL__SECENV__CODE__REFUSED);
    assert_non_null(strstr(site->log, "rule fire: its command to doors is refused"));
    assert_int_equal(site->log_severity, AGENT_ALARM);
    site_forward(site, 2000);
    site_expect_idle(site);
    site_free(site);
}

static void test_command_whose_time_is_over(void **state)
{
    struct site *site = site_with_rules();
    (void)state;
    site->queue_full = true;
    sensor_says(site, "{\"smoke\": 60}", true);
    site_forward(site, 10000);
    site->queue_full = false;
    site_forward(site, 1000);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_RULE_COMMANDS_LOST), 1);
    site_free(site);
}

static void test_report_is_told(void **state)
{
    struct site *site = site_with_rules();
    Groupseal__Secenv__OrderRow rows[2];
    Groupseal__Secenv__OrderRow *pointers[] = {&rows[0], &rows[1]};
    Groupseal__Secenv__OrderReport report = GROUPSEAL__SECENV__ORDER_REPORT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        groupseal__secenv__order_row__init(&rows[i]);
    }
    rows[0].outcome = GROUPSEAL__SECENV__OUTCOME__DONE;
    report.group = (char *)(uintptr_t) "doors";
    report.rows = pointers;
    report.n_rows = 2;
    report.pages = 1;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_REPORT;
    event.report = &report;
    site_event(site, &event);
    assert_non_null(strstr(site->log, "to doors: of 2 members 1 have done it, 1 have not answered yet"));
    site_free(site);
}

/* A rule that the group's policy makes useless is told when secenv tells its groups. */
static void test_policy_that_lets_no_rule_command(void **state)
{
    struct site *site = site_with_rules();
    Groupseal__Secenv__GroupStatus group = GROUPSEAL__SECENV__GROUP_STATUS__INIT;
    Groupseal__Secenv__GroupStatus *groups[] = {&group};
    Groupseal__Secenv__IdentityStatus identity = GROUPSEAL__SECENV__IDENTITY_STATUS__INIT;
    Groupseal__Secenv__IdentityStatus *identities[] = {&identity};
    Groupseal__Secenv__StatusReply status = GROUPSEAL__SECENV__STATUS_REPLY__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    (void)state;
    group.group = (char *)(uintptr_t) "doors";
    identity.identity = (char *)(uintptr_t)SITE_MN;
    identity.groups = groups;
    identity.n_groups = 1;
    status.identities = identities;
    status.n_identities = 1;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS;
    reply.status = &status;
    for (int may = 1; may >= 0; may--) {
        agent_secenv_down(site->agent, "for a test");
        agent_secenv_up(site->agent);
        site_welcome(site, site_requested(site, REQUEST(HELLO))->tag, "member", SITE_MN, SITE_IN);
        site_reply(site, site_requested(site, REQUEST(ONLINE))->tag, GROUPSEAL__SECENV__CODE__OK);
        group.commander = may;
        agent_secenv_reply(site->agent, site_requested(site, REQUEST(STATUS))->tag, &reply);
        assert_int_equal(strstr(site->log, "--mn-cse-commands") != NULL, may == 0);
    }
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_is_given_once),
        cmocka_unit_test(test_command_is_tried_again),
        cmocka_unit_test(test_refused_command_is_not_tried_again),
        cmocka_unit_test(test_command_whose_time_is_over),
        cmocka_unit_test(test_report_is_told),
        cmocka_unit_test(test_policy_that_lets_no_rule_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
