/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef Groupseal__Secenv__Command Command;

void autonomy_rules(struct agent *agent, struct rules *rules)
{
    rules_free(agent->autonomy.rules);
    agent->autonomy.rules = rules;
}

static void command_clear(struct autonomy_command *command)
{
    free(command->packed);
    memset(command, 0, sizeof(*command));
}

void autonomy_clear(struct agent *agent)
{
    for (size_t i = 0; i < AUTONOMY_COMMANDS_LIMIT; i++) {
        command_clear(&agent->autonomy.commands[i]);
    }
    autonomy_rules(agent, NULL);
}

size_t autonomy_waiting(const struct autonomy *autonomy)
{
    size_t count = 0;
    for (size_t i = 0; i < AUTONOMY_COMMANDS_LIMIT; i++) {
        count += autonomy->commands[i].packed != NULL;
    }
    return count;
}

/* ---- giving ---- */

static struct autonomy_command *command_free_place(struct autonomy *autonomy)
{
    for (size_t i = 0; i < AUTONOMY_COMMANDS_LIMIT; i++) {
        if (autonomy->commands[i].packed == NULL) {
            return &autonomy->commands[i];
        }
    }
    return NULL;
}

static bool command_fill(struct autonomy_command *place, const struct agent *agent,
                         const struct rules_command *command)
{
    Command request;
    groupseal__secenv__command__init(&request);
    if (getrandom(place->id, sizeof(place->id), 0) != (ssize_t)sizeof(place->id)) {
        return false;
    }
    request.identity = (char *)(uintptr_t)agent->rule.cse_id;
    request.group = (char *)(uintptr_t)command->group;
    request.body.data = (uint8_t *)(uintptr_t)command->payload;
    request.body.len = strlen(command->payload);
    request.targets = (char **)(uintptr_t)command->targets;
    request.n_targets = command->target_count;
    request.command_id.data = place->id;
    request.command_id.len = sizeof(place->id);
    place->packed = malloc(groupseal__secenv__command__get_packed_size(&request) + 1);
    if (place->packed != NULL) {
        place->size = groupseal__secenv__command__pack(&request, place->packed);
    }
    return place->packed != NULL;
}

static void command_give(struct agent *agent, const char *rule, const struct rules_command *command)
{
    struct autonomy_command *place = command_free_place(&agent->autonomy);
    if (place == NULL || !command_fill(place, agent, command)) {
        agent_note(agent, AGENT_COUNT_RULE_COMMANDS_LOST, AGENT_ALARM,
                   "rule %s: no room for a command to %s: %u wait for the secure environment", rule,
                   command->group, AUTONOMY_COMMANDS_LIMIT);
        return;
    }
    snprintf(place->rule, sizeof(place->rule), "%s", rule);
    snprintf(place->group, sizeof(place->group), "%s", command->group);
    place->due_ms = agent_now(agent);
    place->deadline_ms = place->due_ms + command->valid_ms;
    agent_count(agent, AGENT_COUNT_RULE_COMMANDS);
    agent_log(agent, AGENT_WARNING, "rule %s: \"%.100s\" to group %s", rule, command->payload,
              command->group);
}

static void command_ask(struct agent *agent, struct autonomy_command *command)
{
    Groupseal__Secenv__ToSecenv to = GROUPSEAL__SECENV__TO_SECENV__INIT;
    uint64_t now = agent_now(agent);
    Command *request = groupseal__secenv__command__unpack(NULL, command->size, command->packed);
    command->due_ms = now + AUTONOMY_RETRY_MS;
    if (request == NULL) {
        return;
    }
    request->valid_ms = (uint32_t)(command->deadline_ms - now);
    to.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND;
    to.command = request;
    if (agent->secenv_ready && link_ask(agent, LINK_CALL_COMMAND, &to, AGENT_RANK_OWN, &command->tag)) {
        command->due_ms = now + AUTONOMY_ANSWER_MS;
    }
    groupseal__secenv__command__free_unpacked(request, NULL);
}

static void command_turn(struct agent *agent, struct autonomy_command *command)
{
    uint64_t now = agent_now(agent);
    if (now >= command->deadline_ms) {
        agent_note(agent, AGENT_COUNT_RULE_COMMANDS_LOST, AGENT_ALARM,
                   "rule %s: its command to %s was not given: its time is over", command->rule,
                   command->group);
        command_clear(command);
    } else if (now >= command->due_ms) {
        command_ask(agent, command);
    }
}

static void rules_turn(struct agent *agent)
{
    const struct rules_command *commands = NULL;
    const char *name = NULL;
    size_t count = 0;
    while ((name = rules_due(agent->autonomy.rules, agent_now(agent), &commands, &count)) != NULL) {
        for (size_t i = 0; i < count; i++) {
            command_give(agent, name, &commands[i]);
        }
    }
}

void autonomy_turn(struct agent *agent)
{
    rules_turn(agent);
    for (size_t i = 0; i < AUTONOMY_COMMANDS_LIMIT; i++) {
        if (agent->autonomy.commands[i].packed != NULL) {
            command_turn(agent, &agent->autonomy.commands[i]);
        }
    }
}

void autonomy_hear(struct agent *agent, const Groupseal__Secenv__MessageEvent *message)
{
    if (agent->autonomy.rules == NULL || !message->proven) {
        return;
    }
    rules_hear(agent->autonomy.rules, message->group, message->sender, message->body.data, message->body.len,
               agent_now(agent));
    autonomy_turn(agent);
}

/* ---- what becomes of them ---- */

/* Later it may be taken: it waits for its key or its connection. */
static bool is_for_later(const Groupseal__Secenv__Reply *reply)
{
    return reply == NULL || reply->code == GROUPSEAL__SECENV__CODE__NOT_READY ||
           reply->code == GROUPSEAL__SECENV__CODE__FULL || reply->code == GROUPSEAL__SECENV__CODE__STORE ||
           reply->code == GROUPSEAL__SECENV__CODE__INTERNAL ||
           reply->code == GROUPSEAL__SECENV__CODE__TOO_OFTEN; /* the owner's limit: rules keep to it too */
}

void autonomy_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply)
{
    struct autonomy_command *command = NULL;
    for (size_t i = 0; i < AUTONOMY_COMMANDS_LIMIT; i++) {
        if (agent->autonomy.commands[i].packed != NULL && agent->autonomy.commands[i].tag == tag) {
            command = &agent->autonomy.commands[i];
        }
    }
    if (command == NULL) {
        return;
    }
    if (is_for_later(reply)) {
        command->due_ms = agent_now(agent) + AUTONOMY_RETRY_MS;
        agent_note(agent, AGENT_COUNT_RULE_COMMANDS_DELAYED, AGENT_ALARM,
                   "rule %s: its command to %s waits: %s", command->rule, command->group,
                   reply == NULL ? "the secure environment is not reachable" : reply->reason);
        return;
    }
    /* EXISTS: it was taken, and the reply before was lost. */
    if (reply->code != GROUPSEAL__SECENV__CODE__OK && reply->code != GROUPSEAL__SECENV__CODE__EXISTS) {
        agent_note(agent, AGENT_COUNT_RULE_COMMANDS_LOST, AGENT_ALARM,
                   "rule %s: its command to %s is refused: %s", command->rule, command->group, reply->reason);
    }
    command_clear(command);
}

void autonomy_report(struct agent *agent, const Groupseal__Secenv__OrderReport *report)
{
    size_t done = 0;
    size_t silent = 0;
    for (size_t i = 0; i < report->n_rows; i++) {
        done += report->rows[i]->outcome == GROUPSEAL__SECENV__OUTCOME__DONE;
        silent += report->rows[i]->outcome == GROUPSEAL__SECENV__OUTCOME__NO_ANSWER;
    }
    agent_log(agent, done == report->n_rows ? AGENT_INFO : AGENT_WARNING,
              "a command of this MN-CSE to %s: of %zu members%s %zu have done it, %zu have not answered%s",
              report->group, report->n_rows, report->pages > 1 ? " on the first page of many" : "", done,
              silent, report->complete ? "" : " yet");
}

static bool commands_group(const struct rules *rules, const char *group)
{
    const char *commanded = NULL;
    for (size_t i = 0; (commanded = rules_commanded(rules, i)) != NULL; i++) {
        if (strcmp(commanded, group) == 0) {
            return true;
        }
    }
    return false;
}

void autonomy_status(struct agent *agent, const Groupseal__Secenv__StatusReply *status)
{
    for (size_t i = 0; i < status->n_identities; i++) {
        const Groupseal__Secenv__IdentityStatus *identity = status->identities[i];
        if (strcmp(identity->identity, agent->rule.cse_id) != 0) {
            continue;
        }
        for (size_t j = 0; j < identity->n_groups; j++) {
            const Groupseal__Secenv__GroupStatus *group = identity->groups[j];
            if (!group->commander && commands_group(agent->autonomy.rules, group->group)) {
                agent_log(agent, AGENT_ALARM,
                          "a rule commands group %s, whose policy lets the IN-CSE alone command: write "
                          "`in-cse group set %s --mn-cse-commands`, or take the rule out",
                          group->group, group->group);
            }
        }
    }
}
