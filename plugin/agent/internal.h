/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_INTERNAL_H
#define GROUPSEAL_PLUGIN_INTERNAL_H

#include "plugin/agent/access.h"
#include "plugin/agent/agent.h"
#include "plugin/agent/exchange.h"
#include "plugin/agent/peers.h"

/* What the files of the group agent share: its state, and the calls between relay, registrar and link. */
struct agent {
    struct identity_rule rule;
    struct agent_ports ports;
    bool observe;
    enum agent_severity log_level;
    struct rosters *rosters;
    struct peers peers;
    struct exchanges exchanges;
    uint64_t sequence; /* numbers forwarded requests and calls; starts at the clock, so a broker that was
                        * restarted takes no late response for one of its own */

    bool secenv_ready; /* it has said that it holds this MN-CSE's identity */
    bool settled;      /* it has told its groups, or will not */
    uint64_t sweep_ms; /* monotonic: groups that secenv has not told again by then are dropped; 0: none */
    bool rosters_due;  /* one was told in part only: secenv has to tell them all again */
    uint64_t rosters_asked_ms; /* monotonic: when it was last asked to; 0: never */
    uint64_t kicked_ms;        /* monotonic: Online was said last; 0: never */
    bool kick_due;             /* say it again when the second is over */
    uint64_t in_cse_seen_ms;   /* monotonic; 0: never */
    bool in_cse_away;          /* it has not subscribed since the start, or since its connection ended */
    uint64_t ticked_ms;        /* monotonic */

    uint64_t counters[AGENT_COUNTERS_END];
    uint64_t told[AGENT_COUNTERS_END];    /* the counter's value when a line was last logged for it */
    uint64_t told_ms[AGENT_COUNTERS_END]; /* and when; 0: never */
};

/* ---- agent.c ---- */

uint64_t agent_now(const struct agent *agent); /* monotonic milliseconds */
void agent_log(const struct agent *agent, enum agent_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void agent_count(struct agent *agent, enum agent_counter counter);
/* Counts, and logs the line, but at most one in ten seconds for each counter. */
void agent_note(struct agent *agent, enum agent_counter counter, enum agent_severity severity,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
bool agent_publish(struct agent *agent, const char *topic, const void *payload, size_t length, int qos,
                   bool retain);

/* ---- relay.c: requests and responses ---- */

struct request {
    const struct identity *client;
    struct peer *peer;
    struct exchange_asker asker;
    struct onem2m_primitive *primitive;
};

void relay_request(struct agent *agent, const struct identity *client, const struct onem2m_topic *topic,
                   const void *payload, size_t length);
void relay_response(struct agent *agent, const struct identity *client, const void *payload, size_t length);
/* Publishes a response without content to the asker. */
void relay_answer(struct agent *agent, const struct exchange_asker *asker, enum onem2m_rsc rsc);
/* The same for a request, counted, with the reason in the log. */
void relay_refuse(struct agent *agent, const struct request *request, enum onem2m_rsc rsc,
                  const char *reason);
/* Publishes the response, and ends the exchange with it. */
void relay_finish(struct agent *agent, struct exchange *exchange, const struct onem2m_primitive *response);
void relay_finish_code(struct agent *agent, struct exchange *exchange, enum onem2m_rsc rsc);
void relay_expire(struct agent *agent);

/* ---- registrar.c ---- */

/* A CREATE of an <AE> resource. */
void registrar_create(struct agent *agent, const struct request *request);
/* A DELETE of the originator's own <AE>. */
void registrar_delete(struct agent *agent, const struct request *request);

/* ---- link.c: the secure environment ---- */

/* Hands the object in a NOTIFY to this MN-CSE over to secenv; the response follows with its reply. */
void link_receive(struct agent *agent, const struct request *request);
/* Tells secenv what became of a Send. `failure` is NULL where there is an answer. */
void link_answer(struct agent *agent, uint64_t token, uint8_t *object, size_t length, const char *failure);
void link_hear(struct agent *agent, const struct identity *client, const struct group_topic *topic,
               const void *payload, size_t length);
/* The IN-CSE shows that it is there: kicks secenv's outbox. */
void link_in_cse_seen(struct agent *agent, bool subscribes);
void link_tick(struct agent *agent);

#endif
