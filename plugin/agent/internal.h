/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_INTERNAL_H
#define GROUPSEAL_PLUGIN_INTERNAL_H

#include "plugin/agent/access.h"
#include "plugin/agent/agent.h"
#include "plugin/agent/autonomy.h"
#include "plugin/agent/control.h"
#include "plugin/agent/exchange.h"
#include "plugin/agent/fanout.h"
#include "plugin/agent/metrics.h"
#include "plugin/agent/peers.h"
#include "plugin/agent/resources.h"

/* What the files of the group agent share: its state, and the calls between relay, registrar, hosting and
 * link. */
#define AGENT_REFUSALS_LIMIT 24u /* different codes */

struct agent {
    struct identity_rule rule;
    struct agent_ports ports;
    char in_cse_bridge[ONEM2M_ID_LIMIT + 1]; /* "": none */
    bool observe;
    enum agent_severity log_level;
    char admins[AGENT_ADMINS_LIMIT][ONEM2M_ID_LIMIT + 1];
    size_t admin_count;
    bool control_send;
    struct autonomy autonomy;
    struct control control;
    struct rosters *rosters;
    struct peers peers;
    struct exchanges exchanges;
    struct resources resources;
    struct fanouts fanouts;
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

    Groupseal__Secenv__StatusReply *status; /* secenv's last; NULL: none since its connection */
    uint64_t asked;                         /* requests that secenv has not answered */
    struct {
        int rsc; /* 0: a free place */
        uint64_t count;
    } refusals[AGENT_REFUSALS_LIMIT];

    uint64_t counters[AGENT_COUNTERS_END];
    uint64_t told[AGENT_COUNTERS_END];    /* the counter's value when a line was last logged for it */
    uint64_t told_ms[AGENT_COUNTERS_END]; /* and when; 0: never */
};

/* ---- agent.c ---- */

const char *agent_counter_name(enum agent_counter counter);
/* A request is answered with this code. */
void agent_refusal_count(struct agent *agent, int rsc);

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
    char originator[ONEM2M_ID_LIMIT +
                    1]; /* absolute: whom `fr` means, the client or an AE behind the IN-CSE */
    struct peer *peer;
    char rqi[ONEM2M_RQI_LIMIT + 1]; /* the asker's: the primitive gets another on its way */
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

/* Where a request on its way goes: an entity and the level of its topic; false: nobody that this MN-CSE
 * reaches for this originator's side. */
struct route {
    char target[ONEM2M_ID_LIMIT + 1]; /* absolute */
    char level[ONEM2M_LEVEL_LIMIT + 1];
};
/* To the IN-CSE and what is behind it. */
bool relay_route_up(const struct agent *agent, const char *to, struct route *out);
/* Publishes a request of this originator with the rqi, on the way. */
bool relay_send(struct agent *agent, struct onem2m_primitive *request, const char *originator,
                const struct route *route, const char *rqi);
/* A new rqi for that hop: the level and a number before the text. `out` of ONEM2M_RQI_LIMIT + 1. */
void relay_rqi(struct agent *agent, const char *level, const char *text, char *out, size_t size);
/* Monotonic: when the request is answered at the latest. `result`: by its result expiration too. `*own`: the
 * time is the originator's, not this MN-CSE's. */
uint64_t relay_deadline(const struct agent *agent, const struct onem2m_primitive *request, bool result,
                        bool *own);

/* ---- registrar.c ---- */

/* A CREATE of an <AE> resource. */
void registrar_create(struct agent *agent, const struct request *request);

/* ---- hosting.c: the resources that this MN-CSE holds ---- */

/* What `to` names here. */
struct address {
    enum { ADDRESS_ELSEWHERE, ADDRESS_BASE, ADDRESS_RESOURCE } what;
    struct resource *resource;
    char rest[ONEM2M_TOPIC_LIMIT + 1]; /* the path below the resource, without the leading slash */
};
void hosting_find(const struct agent *agent, const char *to, struct address *out);

/* The code of an operation that was done, or why it was not; the content lives until the next operation. */
struct outcome {
    enum onem2m_rsc rsc;
    const struct onem2m_resource *content;
};
/* RETRIEVE, UPDATE or DELETE of a resource. */
struct outcome hosting_operate(struct agent *agent, const struct onem2m_primitive *request,
                               const char *originator, struct resource *resource);
/* The attributes that this MN-CSE gives a new resource, and its place in the table. Takes `content`. */
struct outcome hosting_add(struct agent *agent, const char *ri, const char *name, const char *creator,
                           struct onem2m_resource *content);
/* Answers, and keeps the answer for duplicates of the request. */
void hosting_answer(struct agent *agent, const struct request *request, struct outcome outcome);
/* A request, other than NOTIFY and a registration, to this MN-CSE or a resource of it. */
void hosting_request(struct agent *agent, const struct request *request, const struct address *address);

/* ---- gathering.c: requests to a group's fanOutPoint ---- */

void gathering_start(struct agent *agent, const struct request *request, const struct resource *group,
                     const char *suffix);
/* A member has answered; takes the response. */
void gathering_take(struct agent *agent, struct exchange *exchange, struct onem2m_primitive *response);
/* A member will not answer. */
void gathering_lost(struct agent *agent, struct exchange *exchange);
/* Answers the request with what the members have answered so far. */
void gathering_finish(struct agent *agent, struct fanout *fanout);

/* ---- objects.c: end-to-end objects between the IN-CSE and the secure environment ---- */

/* Hands the object in a NOTIFY to this MN-CSE over to secenv; the response follows with its reply. */
void objects_receive(struct agent *agent, const struct request *request);
void objects_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply);
/* Sends one of secenv's to the IN-CSE. */
void objects_send(struct agent *agent, const Groupseal__Secenv__Send *send);
/* Tells secenv what became of it. `failure` is NULL where there is an answer. */
void objects_answer(struct agent *agent, uint64_t token, uint8_t *object, size_t length, const char *failure);

/* ---- link.c: the secure environment ---- */

void link_hear(struct agent *agent, const struct identity *client, const struct group_topic *topic,
               const void *payload, size_t length);
/* The IN-CSE shows that it is there: kicks secenv's outbox. */
void link_in_cse_seen(struct agent *agent, bool subscribes);
void link_tick(struct agent *agent);

/* A tag is the call's kind in its top byte and a number below: the peer's for LINK_CALL_HEARD. */
enum link_call {
    LINK_CALL_HELLO = 1,
    LINK_CALL_ONLINE,
    LINK_CALL_RECEIVED,
    LINK_CALL_HEARD,
    LINK_CALL_ANSWERED,
    LINK_CALL_STATUS,
    LINK_CALL_COMMAND,
    LINK_CALL_CONTROL,
    LINK_CALL_WATCH
};
uint64_t link_tag(struct agent *agent, enum link_call call);
/* False: secenv is down, or has no room; else the tag comes back with the reply. */
bool link_send(struct agent *agent, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
               enum agent_rank rank);
/* Both. */
bool link_ask(struct agent *agent, enum link_call call, const Groupseal__Secenv__ToSecenv *request,
              enum agent_rank rank, uint64_t *tag);
/* For requests: protobuf-c's strings and bytes are not const, and nothing writes to them. */
char *link_text(const char *text);
ProtobufCBinaryData link_data(const void *bytes, size_t length);

#endif
