/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include "onem2m/primitive_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MEMBERS_DEFAULT 100
#define MEMBERS_LIMIT 1000
#define PENDING_LIMIT 100u
#define PAYLOAD_LIMIT 16384u
#define TARGETS_LIMIT 64
#define DAY_MS 86400000

static const char no_memory[] = "Out of memory";
static const char not_reachable[] = "The secure environment is not reachable";

/* Sums up, where cJSON adds NULL for want of memory: what is incomplete is not sent as if it were not. */
static bool put_text(cJSON *object, const char *name, const char *value)
{
    return cJSON_AddStringToObject(object, name, value) != NULL;
}

static bool put_number(cJSON *object, const char *name, uint64_t value)
{
    return cJSON_AddNumberToObject(object, name, (double)value) != NULL;
}

static bool put_flag(cJSON *object, const char *name, bool value)
{
    return cJSON_AddBoolToObject(object, name, value) != NULL;
}

static cJSON *list_object(cJSON *list)
{
    cJSON *object = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

/* ---- what the agent knows itself ---- */

static const char *const levels[] = {
    [AGENT_INFO] = "info", [AGENT_WARNING] = "warning", [AGENT_ALARM] = "error"};

static const char *status_get(struct control_command *command)
{
    const struct agent *agent = command->agent;
    cJSON *data = cJSON_AddObjectToObject(command->response, "data");
    size_t groups = 0;
    while (rosters_group(agent->rosters, groups) != NULL) {
        groups++;
    }
    return put_text(data, "cseId", agent->rule.cse_id) && put_text(data, "inCse", agent->rule.in_cse) &&
                   put_text(data, "mode", agent->observe ? "observe" : "enforce") &&
                   put_flag(data, "secureEnvironment", agent->secenv_ready) &&
                   put_flag(data, "inCseConnected", !agent->in_cse_away) &&
                   put_number(data, "groups", groups) &&
                   put_number(data, "entities", table_count(&agent->peers.table)) &&
                   put_number(data, "pending", exchanges_waiting_count(&agent->exchanges)) &&
                   put_number(data, "rules", rules_count(agent->autonomy.rules)) &&
                   put_flag(data, "sendAllowed", agent->control_send) &&
                   put_text(data, "logLevel", levels[agent->log_level])
               ? NULL
               : no_memory;
}

static const char *members_list(struct control_command *command)
{
    const struct agent *agent = command->agent;
    const char *group = json_text(command->asked, "group");
    int first = json_number(command->asked, "start", 0);
    int count = json_number(command->asked, "count", MEMBERS_DEFAULT);
    const char *names[MEMBERS_LIMIT];
    if (rosters_members(agent->rosters, group) == 0) {
        return "Group not found";
    }
    if (first < 0 || count < 1 || count > MEMBERS_LIMIT) {
        return "Invalid start or count (1 to 1000)";
    }
    cJSON *data = cJSON_AddObjectToObject(command->response, "data");
    size_t taken = rosters_list(agent->rosters, group, (size_t)first, (size_t)count, names);
    cJSON *list = cJSON_CreateStringArray(names, (int)taken);
    if (!put_text(data, "group", group) ||
        !put_number(data, "totalCount", rosters_members(agent->rosters, group)) ||
        !cJSON_AddItemToObject(data, "members", list)) {
        cJSON_Delete(list);
        return no_memory;
    }
    return NULL;
}

static bool pending_put(cJSON *list, const struct exchange *exchange, uint64_t now)
{
    static const char *const kinds[] = {[EXCHANGE_LOCAL] = "local",
                                        [EXCHANGE_FORWARDED] = "forwarded",
                                        [EXCHANGE_RECEIVED] = "toSecureEnvironment",
                                        [EXCHANGE_SENT] = "fromSecureEnvironment"};
    cJSON *row = list_object(list);
    uint64_t left = exchange->deadline_ms > now ? exchange->deadline_ms - now : 0;
    const char *kind =
        (size_t)exchange->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[exchange->kind] : "other";
    return row != NULL && put_text(row, "kind", kind) && put_text(row, "originator", exchange->asker.id) &&
           put_text(row, "requestId", exchange->asker.rqi) && put_text(row, "receiver", exchange->target) &&
           put_number(row, "remainingMs", left);
}

static const char *pending_list(struct control_command *command)
{
    const struct agent *agent = command->agent;
    const struct exchange *exchange;
    cJSON *data = cJSON_AddObjectToObject(command->response, "data");
    cJSON *list = cJSON_AddArrayToObject(data, "requests");
    unsigned count = 0;
    TAILQ_FOREACH(exchange, &agent->exchanges.waiting, order)
    {
        if (count++ == PENDING_LIMIT) {
            break;
        }
        if (!pending_put(list, exchange, agent_now(agent))) {
            return no_memory;
        }
    }
    return put_number(data, "totalCount", exchanges_waiting_count(&agent->exchanges)) &&
                   put_number(data, "ruleCommands", autonomy_waiting(&agent->autonomy)) &&
                   put_number(data, "secureEnvironmentRequests", agent->asked)
               ? NULL
               : no_memory;
}

static void counter_put(void *context, const struct metric *metric)
{
    char name[160];
    snprintf(name, sizeof(name), "%s%s%s", metric->name, metric->label == NULL ? "" : "/",
             metric->label == NULL ? "" : metric->of);
    put_number(context, name, metric->value);
}

static const char *counters_get(struct control_command *command)
{
    cJSON *data = cJSON_AddObjectToObject(command->response, "data");
    metrics_visit(command->agent, counter_put, data);
    return data == NULL ? no_memory : NULL;
}

static const char *log_level_get(struct control_command *command)
{
    cJSON *data = cJSON_AddObjectToObject(command->response, "data");
    return put_text(data, "logLevel", levels[command->agent->log_level]) ? NULL : no_memory;
}

static const char *log_level_set(struct control_command *command)
{
    const char *text = json_text(command->asked, "logLevel");
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(levels[i], text) == 0) {
            command->agent->log_level = (enum agent_severity)i;
            return NULL;
        }
    }
    return "Invalid logLevel: error, warning or info";
}

/* ---- what secenv knows ---- */

static const char *status_ask(struct control_command *command, enum control_kind kind)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    uint64_t tag = 0;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    if (!command->agent->secenv_ready) {
        return not_reachable;
    }
    struct control_call *call = control_call_begin(command, kind);
    if (call == NULL) {
        return "Too many requests wait";
    }
    if (!link_ask(command->agent, LINK_CALL_CONTROL, &request, AGENT_RANK_IN_CSE, &tag)) {
        control_call_end(call, not_reachable);
        return NULL;
    }
    call->tag = tag;
    return NULL;
}

static const char *groups_list(struct control_command *command)
{
    return status_ask(command, CONTROL_GROUPS);
}

static const char *associations_list(struct control_command *command)
{
    return status_ask(command, CONTROL_ASSOCIATIONS);
}

static bool targets_read(const cJSON *list, char **out, size_t *count)
{
    *count = 0;
    if (list == NULL) {
        return true;
    }
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > TARGETS_LIMIT) {
        return false;
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        if (!cJSON_IsString(item)) {
            return false;
        }
        out[(*count)++] = item->valuestring;
    }
    return true;
}

static const char *command_send(struct control_command *command, const char *group, const char *payload,
                                char **targets, size_t count)
{
    Groupseal__Secenv__Command order = GROUPSEAL__SECENV__COMMAND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct agent *agent = command->agent;
    int wait_ms = json_number(command->asked, "waitMs", 0);
    struct control_call *call = control_call_begin(command, CONTROL_SEND);
    if (call == NULL) {
        return "Too many requests wait";
    }
    snprintf(call->group, sizeof(call->group), "%s", group);
    call->wait_ms = wait_ms == 0 ? 0 : agent_now(agent) + (uint64_t)wait_ms;
    order.identity = agent->rule.cse_id;
    order.group = call->group;
    order.body.data = (uint8_t *)(uintptr_t)payload;
    order.body.len = strlen(payload);
    order.targets = targets;
    order.n_targets = count;
    order.valid_ms = (uint32_t)json_number(command->asked, "validMs", 0);
    order.command_id.data = call->id;
    order.command_id.len = sizeof(call->id);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND;
    request.command = &order;
    if (getrandom(call->id, sizeof(call->id), 0) != (ssize_t)sizeof(call->id) ||
        !link_ask(agent, LINK_CALL_CONTROL, &request, AGENT_RANK_IN_CSE, &call->tag)) {
        control_call_end(call, not_reachable);
    }
    return NULL;
}

static const char *send_check(struct control_command *command)
{
    char *targets[TARGETS_LIMIT];
    size_t count = 0;
    const char *group = json_text(command->asked, "group");
    const char *payload = json_text(command->asked, "payload");
    int valid_ms = json_number(command->asked, "validMs", 0);
    int wait_ms = json_number(command->asked, "waitMs", 0);
    if (!command->agent->control_send) {
        return "Commands from here are off: plugin_opt_control_send allow turns them on";
    }
    if (!command->agent->secenv_ready) {
        return not_reachable;
    }
    if (group[0] == '\0' || strlen(group) > 64 || payload[0] == '\0' || strlen(payload) > PAYLOAD_LIMIT) {
        return "Invalid group or payload";
    }
    if (valid_ms < 0 || valid_ms > DAY_MS || wait_ms < 0 || wait_ms > (int)CONTROL_WAIT_LIMIT_MS) {
        return "Invalid validMs (at most a day) or waitMs (at most 60000)";
    }
    if (!targets_read(json_member(command->asked, "targets"), targets, &count)) {
        return "Invalid targets";
    }
    return command_send(command, group, payload, targets, count);
}

static bool id_read(const char *text, uint8_t id[16])
{
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        const char pair[] = {text[2 * i], text[2 * i + 1], '\0'};
        id[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static const char *receipts_get(struct control_command *command)
{
    const char *group = json_text(command->asked, "group");
    uint8_t id[16];
    if (group[0] == '\0' || strlen(group) > 64 || !id_read(json_text(command->asked, "commandId"), id)) {
        return "Invalid group or commandId";
    }
    if (!command->agent->secenv_ready) {
        return not_reachable;
    }
    struct control_call *call = control_call_begin(command, CONTROL_RECEIPTS);
    if (call == NULL) {
        return "Too many requests wait";
    }
    memcpy(call->id, id, sizeof(call->id));
    snprintf(call->group, sizeof(call->group), "%s", group);
    call->wait_ms =
        (uint64_t)json_number(command->asked, "page", 0); /* a page that is not there is refused */
    if (!control_receipts_ask(command->agent, call)) {
        control_call_end(call, not_reachable);
    }
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(struct control_command *command);
} commands[] = {
    {"getStatus", status_get},      {"listGroups", groups_list},    {"listMembers", members_list},
    {"listPending", pending_list},  {"getCounters", counters_get},  {"listAssociations", associations_list},
    {"getLogLevel", log_level_get}, {"setLogLevel", log_level_set}, {"sendCommand", send_check},
    {"getReceipts", receipts_get},
};

const char *control_command_run(struct control_command *command)
{
    const char *name = json_text(command->asked, "command");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run(command);
        }
    }
    return "Unknown command";
}

/* ---- secenv's replies ---- */

static bool group_put(cJSON *list, const Groupseal__Secenv__GroupStatus *group)
{
    cJSON *row = list_object(list);
    return row != NULL && put_text(row, "group", group->group) &&
           put_text(row, "instance", group->instance) && put_number(row, "incarnation", group->incarnation) &&
           put_number(row, "epoch", group->epoch) && put_number(row, "members", group->members) &&
           put_flag(row, "newsOverdue", group->overdue) && put_flag(row, "mayCommand", group->commander);
}

static const char *groups_fill(const struct agent *agent, cJSON *response,
                               const Groupseal__Secenv__StatusReply *status)
{
    cJSON *data = cJSON_AddObjectToObject(response, "data");
    cJSON *list = cJSON_AddArrayToObject(data, "groups");
    for (size_t i = 0; i < status->n_identities; i++) {
        const Groupseal__Secenv__IdentityStatus *identity = status->identities[i];
        bool own = strcmp(identity->identity, agent->rule.cse_id) == 0;
        for (size_t j = 0; own && j < identity->n_groups; j++) {
            if (!group_put(list, identity->groups[j])) {
                return no_memory;
            }
        }
    }
    return list == NULL ? no_memory : NULL;
}

static const char *associations_fill(cJSON *response, const Groupseal__Secenv__StatusReply *status)
{
    cJSON *data = cJSON_AddObjectToObject(response, "data");
    cJSON *list = cJSON_AddArrayToObject(data, "associations");
    for (size_t i = 0; i < status->n_identities; i++) {
        const Groupseal__Secenv__IdentityStatus *identity = status->identities[i];
        cJSON *row = list_object(list);
        if (row == NULL || !put_text(row, "identity", identity->identity) ||
            !put_text(row, "mode", identity->mode) || !put_flag(row, "associated", identity->associated) ||
            !put_text(row, "mechanism", identity->mechanism)) {
            return no_memory;
        }
    }
    return list == NULL ? no_memory : NULL;
}

static bool receipt_put(cJSON *list, const Groupseal__Secenv__OrderRow *receipt)
{
    static const char *const outcomes[] = {"noAnswer", "accepted", "done", "failed", "refused", "unknown"};
    cJSON *row = list_object(list);
    const char *outcome = (unsigned)receipt->outcome < 6 ? outcomes[receipt->outcome] : "unknown";
    return row != NULL && put_text(row, "member", receipt->name) && put_text(row, "outcome", outcome) &&
           put_text(row, "detail", receipt->detail) && put_flag(row, "late", receipt->late);
}

static void id_put(cJSON *data, const uint8_t id[16])
{
    char text[33];
    for (size_t i = 0; i < 16; i++) {
        snprintf(&text[2 * i], 3, "%02x", id[i]);
    }
    if (json_member(data, "commandId") == NULL) {
        put_text(data, "commandId", text);
    }
}

/* After a send that has waited the data are there already. */
static cJSON *data_of(cJSON *response)
{
    cJSON *data = cJSON_GetObjectItemCaseSensitive(response, "data");
    return data != NULL ? data : cJSON_AddObjectToObject(response, "data");
}

static const char *receipts_fill(const struct control_call *call,
                                 const Groupseal__Secenv__OrderReport *report)
{
    cJSON *data = data_of(call->response);
    id_put(data, call->id);
    cJSON *list = cJSON_AddArrayToObject(data, "receipts");
    if (!put_flag(data, "complete", report->complete) || !put_number(data, "page", report->page) ||
        !put_number(data, "pages", report->pages)) {
        return no_memory;
    }
    for (size_t i = 0; i < report->n_rows; i++) {
        if (!receipt_put(list, report->rows[i])) {
            return no_memory;
        }
    }
    return NULL;
}

bool control_receipts_ask(struct agent *agent, struct control_call *call)
{
    Groupseal__Secenv__CommandShow show = GROUPSEAL__SECENV__COMMAND_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    show.identity = agent->rule.cse_id;
    show.group = call->group;
    show.command_id.data = call->id;
    show.command_id.len = sizeof(call->id);
    show.page = call->taken ? 0 : (uint32_t)call->wait_ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND_SHOW;
    request.command_show = &show;
    return agent->secenv_ready && link_ask(agent, LINK_CALL_CONTROL, &request, AGENT_RANK_IN_CSE, &call->tag);
}

const char *control_call_fill(const struct agent *agent, struct control_call *call,
                              const Groupseal__Secenv__Reply *reply)
{
    static const Groupseal__Secenv__Reply__ContentCase contents[] = {
        [CONTROL_GROUPS] = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS,
        [CONTROL_ASSOCIATIONS] = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS,
        [CONTROL_SEND] = GROUPSEAL__SECENV__REPLY__CONTENT_ORDER,
        [CONTROL_RECEIPTS] = GROUPSEAL__SECENV__REPLY__CONTENT_REPORT};
    if (reply->content_case != contents[call->kind]) {
        return "The secure environment answers something else";
    }
    switch (call->kind) {
    case CONTROL_GROUPS:
        return groups_fill(agent, call->response, reply->status);
    case CONTROL_ASSOCIATIONS:
        return associations_fill(call->response, reply->status);
    case CONTROL_SEND:
        id_put(data_of(call->response), call->id);
        return NULL;
    case CONTROL_RECEIPTS:
        return receipts_fill(call, reply->report);
    }
    return NULL;
}
