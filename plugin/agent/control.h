/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CONTROL_H
#define GROUPSEAL_PLUGIN_CONTROL_H

#include "plugin/agent/agent.h"

#include <cjson/cJSON.h>

/*
 * The operator's interface, in the convention of Mosquitto's Dynamic Security plugin: a request is
 * {"commands": [{"command": "…", "correlationData": "…", …}]} on CONTROL_TOPIC, its answer, on the topic
 * below it, {"responses": [{"command": "…", "correlationData": "…", "data": {…} or "error": "…"}]}. For the
 * configured admins only. Commands that the secure environment answers hold the answer of their request until
 * then, bounded in number and time.
 */
#define CONTROL_TOPIC "$CONTROL/groupseal/v1"
#define CONTROL_RESPONSE_TOPIC CONTROL_TOPIC "/response"
#define CONTROL_REQUEST_LIMIT 32768u
#define CONTROL_COMMANDS_LIMIT 16u /* of a request */
#define CONTROL_CALLS_LIMIT 32u    /* that wait for the secure environment */
#define CONTROL_ANSWER_MS 5000u
#define CONTROL_WAIT_LIMIT_MS 60000u /* for receipts */

struct control_batch {
    struct agent *agent;
    cJSON *root;
    cJSON *responses;
    unsigned open; /* responses that are not complete, and 1 while commands are taken */
};

/* One command: what it asks, and the response that it fills. */
struct control_command {
    struct agent *agent;
    struct control_batch *batch;
    const cJSON *asked;
    cJSON *response;
};

enum control_kind { CONTROL_GROUPS, CONTROL_ASSOCIATIONS, CONTROL_SEND, CONTROL_RECEIPTS };

/* A response that waits for secenv. */
struct control_call {
    struct control_batch *batch; /* NULL: a free place */
    cJSON *response;
    enum control_kind kind;
    uint64_t tag;
    uint64_t deadline_ms; /* monotonic */
    uint64_t wait_ms;     /* CONTROL_SEND: until when receipts are waited for; 0: not at all */
    bool taken;           /* CONTROL_SEND: secenv has taken it */
    uint8_t id[16];
    char group[65];
};

struct control {
    struct control_call calls[CONTROL_CALLS_LIMIT];
};

/* True where the topic or filter is below $CONTROL/groupseal: ours to judge, in every mode. */
bool control_topic_touches(const char *topic);
enum agent_answer control_allows(struct agent *agent, const struct agent_attempt *attempt);
bool control_is_admin(const struct agent *agent, const char *name);

void control_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply);
void control_report(struct agent *agent, const Groupseal__Secenv__OrderReport *report);
void control_turn(struct agent *agent);
void control_clear(struct agent *agent);

/* ---- control_commands.c ---- */

/* Runs it; NULL: answered, or a call was begun; else the error. */
const char *control_command_run(struct control_command *command);
/* Fills the response of a call from secenv's reply; NULL: done; else the error. */
const char *control_call_fill(const struct agent *agent, struct control_call *call,
                              const Groupseal__Secenv__Reply *reply);
/* Asks secenv for the receipts of the call's command. False: it cannot be asked. */
bool control_receipts_ask(struct agent *agent, struct control_call *call);

/* A call for this command's response, or NULL: too many wait. */
struct control_call *control_call_begin(struct control_command *command, enum control_kind kind);
/* Ends it; `error` NULL: its response is filled. */
void control_call_end(struct control_call *call, const char *error);

#endif
