/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_AUTONOMY_H
#define GROUPSEAL_PLUGIN_AUTONOMY_H

#include "plugin/agent/rules.h"

#include "secenv.pb-c.h"

/*
 * Commands that rules give: each is handed to the secure environment, which signs it where the group's policy
 * lets this MN-CSE command; again, under the same id, until it has been taken or its time is over. What
 * becomes of it is told in the log.
 */
#define AUTONOMY_COMMANDS_LIMIT 64u /* that secenv has not taken yet */
#define AUTONOMY_RETRY_MS 1000u
#define AUTONOMY_ANSWER_MS 10000u /* without secenv's reply by then it is asked again */

struct agent;

struct autonomy_command {
    uint8_t id[16];
    char rule[65];
    char group[65];
    uint8_t *packed; /* the request, without its time; NULL: a free place */
    size_t size;
    uint64_t deadline_ms; /* monotonic: to be acted on until then */
    uint64_t due_ms;      /* to be handed over (again) */
    uint64_t tag;
};

struct autonomy {
    struct rules *rules; /* NULL: none */
    struct autonomy_command commands[AUTONOMY_COMMANDS_LIMIT];
};

/* Takes over the rules, those before are freed; commands on their way go on. */
void autonomy_rules(struct agent *agent, struct rules *rules);
void autonomy_clear(struct agent *agent);

/* A message event of secenv. */
void autonomy_hear(struct agent *agent, const Groupseal__Secenv__MessageEvent *message);
void autonomy_turn(struct agent *agent);
size_t autonomy_waiting(const struct autonomy *autonomy); /* commands that secenv has not taken yet */
/* NULL: lost with the connection. */
void autonomy_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply);
/* Of a command of this MN-CSE's own. */
void autonomy_report(struct agent *agent, const Groupseal__Secenv__OrderReport *report);
/* Says where a rule commands a group that does not let it. */
void autonomy_status(struct agent *agent, const Groupseal__Secenv__StatusReply *status);

#endif
