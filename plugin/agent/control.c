/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include "onem2m/primitive_json.h"

#include <stdlib.h>
#include <string.h>

static const char below[] = "$CONTROL/groupseal/";

/* ---- who may ---- */

bool control_topic_touches(const char *topic)
{
    return strncmp(topic, below, sizeof(below) - 1) == 0;
}

bool control_is_admin(const struct agent *agent, const char *name)
{
    for (size_t i = 0; name != NULL && i < agent->admin_count; i++) {
        if (strcmp(agent->admins[i], name) == 0) {
            return true;
        }
    }
    return false;
}

enum agent_answer control_allows(struct agent *agent, const struct agent_attempt *attempt)
{
    bool request = strcmp(attempt->topic, CONTROL_TOPIC) == 0;
    bool response = strcmp(attempt->topic, CONTROL_RESPONSE_TOPIC) == 0;
    bool fits = attempt->access == AGENT_WRITE ? request && !attempt->retain && !attempt->will : response;
    if (attempt->access == AGENT_UNSUBSCRIBE || (fits && control_is_admin(agent, attempt->name))) {
        return AGENT_ALLOWED;
    }
    if (attempt->access != AGENT_READ) {
        agent_note(agent, AGENT_COUNT_DENIED, AGENT_WARNING,
                   "%s may not use %s: `plugin_opt_admin NAME` says who may",
                   attempt->name == NULL ? "a client without a proven name" : attempt->name, attempt->topic);
    }
    return AGENT_DENIED;
}

/* ---- a request and its answer ---- */

/* Complete: published, and gone. */
static void batch_leave(struct control_batch *batch)
{
    if (--batch->open > 0) {
        return;
    }
    char *text = cJSON_PrintUnformatted(batch->root);
    if (text != NULL) {
        agent_publish(batch->agent, CONTROL_RESPONSE_TOPIC, text, strlen(text), 0, false);
    }
    free(text);
    cJSON_Delete(batch->root);
    free(batch);
}

static struct control_batch *batch_new(struct agent *agent)
{
    struct control_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    batch->agent = agent;
    batch->open = 1;
    batch->root = cJSON_CreateObject();
    batch->responses = cJSON_AddArrayToObject(batch->root, "responses");
    if (batch->responses == NULL) {
        cJSON_Delete(batch->root);
        free(batch);
        return NULL;
    }
    return batch;
}

static cJSON *response_add(const struct control_batch *batch, const char *command, const char *correlation)
{
    cJSON *response = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(batch->responses, response)) {
        cJSON_Delete(response);
        return NULL;
    }
    cJSON_AddStringToObject(response, "command", command);
    if (correlation != NULL) {
        cJSON_AddStringToObject(response, "correlationData", correlation);
    }
    return response;
}

static void batch_error(const struct control_batch *batch, const char *error)
{
    cJSON *response = response_add(batch, "Unknown command", NULL);
    if (response != NULL) {
        cJSON_AddStringToObject(response, "error", error);
    }
}

static void command_take(struct control_batch *batch, const cJSON *asked)
{
    const char *name = json_text(asked, "command");
    const char *correlation = cJSON_GetStringValue(json_member(asked, "correlationData"));
    if (!cJSON_IsObject(asked) || name[0] == '\0') {
        batch_error(batch, "Missing command");
        return;
    }
    struct control_command command = {.agent = batch->agent,
                                      .batch = batch,
                                      .asked = asked,
                                      .response = response_add(batch, name, correlation)};
    if (command.response == NULL) {
        return;
    }
    const char *error = control_command_run(&command);
    if (error != NULL) {
        cJSON_AddStringToObject(command.response, "error", error);
    }
}

void agent_control(struct agent *agent, const char *name, const void *payload, size_t length)
{
    struct control_batch *batch = NULL;
    cJSON *request = NULL;
    if (!control_is_admin(agent, name) || (batch = batch_new(agent)) == NULL) {
        return; /* the access check has denied it; here for brokers where others answer before */
    }
    agent_count(agent, AGENT_COUNT_CONTROL_REQUESTS);
    request = length <= CONTROL_REQUEST_LIMIT ? json_object(payload, length) : NULL;
    const cJSON *commands = json_member(request, "commands");
    if (!cJSON_IsArray(commands) || cJSON_GetArraySize(commands) > (int)CONTROL_COMMANDS_LIMIT) {
        batch_error(batch,
                    "Payload missing commands, or with over 16 of them, or no JSON object of at most 32 KiB");
    } else {
        for (const cJSON *asked = commands->child; asked != NULL; asked = asked->next) {
            command_take(batch, asked);
        }
    }
    batch_leave(batch);
    cJSON_Delete(request);
}

/* ---- calls ---- */

struct control_call *control_call_begin(struct control_command *command, enum control_kind kind)
{
    struct control *control = &command->agent->control;
    for (size_t i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        struct control_call *call = &control->calls[i];
        if (call->batch == NULL) {
            memset(call, 0, sizeof(*call));
            call->batch = command->batch;
            call->batch->open++;
            call->response = command->response;
            call->kind = kind;
            call->deadline_ms = agent_now(command->agent) + CONTROL_ANSWER_MS;
            return call;
        }
    }
    return NULL;
}

void control_call_end(struct control_call *call, const char *error)
{
    struct control_batch *batch = call->batch;
    if (error != NULL) {
        cJSON_AddStringToObject(call->response, "error", error);
    }
    call->batch = NULL;
    batch_leave(batch);
}

static struct control_call *call_find(struct agent *agent, uint64_t tag)
{
    for (size_t i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        struct control_call *call = &agent->control.calls[i];
        if (call->batch != NULL && call->tag == tag) {
            return call;
        }
    }
    return NULL;
}

/* Taken: it stays until its receipts are there, or their time is over. */
static bool receipts_await(const struct control_call *call, const Groupseal__Secenv__Reply *reply)
{
    return call->kind == CONTROL_SEND && !call->taken && call->wait_ms > 0 &&
           reply->code == GROUPSEAL__SECENV__CODE__OK;
}

void control_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply)
{
    struct control_call *call = call_find(agent, tag);
    if (call == NULL) {
        return;
    }
    if (reply == NULL) {
        control_call_end(call, "The secure environment is not reachable");
        return;
    }
    if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        control_call_end(call, reply->reason);
        return;
    }
    const char *error = control_call_fill(agent, call, reply);
    if (error == NULL && receipts_await(call, reply)) {
        call->taken = true;
        call->deadline_ms = call->wait_ms;
        return;
    }
    control_call_end(call, error);
}

void control_report(struct agent *agent, const Groupseal__Secenv__OrderReport *report)
{
    for (size_t i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        struct control_call *call = &agent->control.calls[i];
        if (call->batch != NULL && call->taken && report->complete &&
            report->command_id.len == sizeof(call->id) &&
            memcmp(report->command_id.data, call->id, sizeof(call->id)) == 0) {
            call->deadline_ms = 0; /* the receipts are asked for at once */
        }
    }
    control_turn(agent);
}

void control_turn(struct agent *agent)
{
    uint64_t now = agent_now(agent);
    for (size_t i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        struct control_call *call = &agent->control.calls[i];
        if (call->batch == NULL || now < call->deadline_ms) {
            continue;
        }
        if (call->kind == CONTROL_SEND && call->taken) {
            call->kind = CONTROL_RECEIPTS;
            call->deadline_ms = now + CONTROL_ANSWER_MS;
            if (!control_receipts_ask(agent, call)) {
                control_call_end(call, "The secure environment is not reachable");
            }
        } else {
            control_call_end(call, "The secure environment does not answer");
        }
    }
}

void control_clear(struct agent *agent)
{
    for (size_t i = 0; i < CONTROL_CALLS_LIMIT; i++) {
        struct control_call *call = &agent->control.calls[i];
        struct control_batch *batch = call->batch;
        call->batch = NULL;
        if (batch != NULL && --batch->open == 0) {
            cJSON_Delete(batch->root);
            free(batch);
        }
    }
}
