/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_AGENT_H
#define GROUPSEAL_PLUGIN_AGENT_H

#include "secenv.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The MN-CSE as group agent: registrar of the ADN-AEs of one broker, transit between them and the IN-CSE
 * (TS-0010, TS-0004), keeper of the topic table of DESIGN section 3, and the network side of the MN-CSE's
 * secure environment. A plain library: what it needs of broker, clock and secenv is given as ports, and
 * it never waits. One thread.
 */
struct agent;

#define AGENT_OBJECT_LIMIT 49152u /* 48 KiB: an end-to-end object, a message on a group topic */

enum agent_severity { AGENT_INFO, AGENT_WARNING, AGENT_ALARM };

#define AGENT_ADMINS_LIMIT 16u

struct agent_settings {
    const char *cse_id;   /* absolute id of this MN-CSE, such as //sp.example/mn-1 */
    const char *in_cse;   /* absolute id of its IN-CSE, of the same service provider */
    const char *identity; /* how a connection's proven name becomes an absolute id: //sp.example/%u */
    const char *const *more_identities; /* further rules, tried after it */
    size_t more_identity_count;
    const char *in_cse_bridge; /* the bridge of this broker behind which the IN-CSE is; NULL: none */
    const char *rules;         /* file of rules that give commands; NULL: none */
    const char *const *admins; /* proven names that may use the operator's interface; copied */
    size_t admin_count;        /* at most AGENT_ADMINS_LIMIT */
    bool control_send;         /* they may send commands */
    bool observe; /* what would be denied is counted and told, and answered AGENT_FOREIGN; not acted on */
    enum agent_severity log_level; /* lines below it are not logged */
};

struct agent_publication {
    const char *topic;
    const void *payload; /* copied by the port */
    size_t length;
    int qos;
    bool retain;
};

/* Whose requests wait for secenv: each has room that those before it cannot take. */
enum agent_rank {
    AGENT_RANK_MEMBER, /* what a device said on a group topic */
    AGENT_RANK_IN_CSE, /* what the IN-CSE sends */
    AGENT_RANK_OWN,    /* what secenv waits for */
};

struct agent_ports {
    void *context;
    uint64_t (*monotonic_ms)(void *context);
    uint64_t (*wall_ms)(void *context);
    bool (*publish)(void *context, const struct agent_publication *publication);
    /* Hands a request to secenv without waiting; its id is set on the way. False: secenv is down, or the
     * queue has no room for this rank. Every request that was taken gets exactly one agent_secenv_reply with
     * its tag. */
    bool (*request)(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                    enum agent_rank rank);
    void (*log)(void *context, enum agent_severity severity, const char *text);
    /* Keeps a line (no line feed in it, not zero terminated) for agent_restore after the next start, without
     * waiting for a disk. False: it may be lost. NULL: nothing is kept. */
    bool (*keep)(void *context, const char *line, size_t length);
};

/* NULL: `why` says which setting is wrong and what to write. Both arguments are copied. */
struct agent *agent_new(const struct agent_settings *settings, const struct agent_ports *ports, char *why,
                        size_t why_size) __attribute__((warn_unused_result));
void agent_free(struct agent *agent); /* NULL is allowed */

/* Takes other settings while it runs; the ids must be the same. False: those before stay, `why` as above. */
bool agent_configure(struct agent *agent, const struct agent_settings *settings, char *why, size_t why_size)
    __attribute__((warn_unused_result));

/* ---- registrations and groups across restarts ---- */

/* A line that was kept, in the order in which they were; before anything else. False: not such a line, or it
 * does not fit to those before it. */
bool agent_restore(struct agent *agent, const char *line, size_t length);
/* Keeps all that is there anew: what a fresh file has to hold. False: not all of it was. */
bool agent_keep_all(struct agent *agent);

/* ---- the broker's questions ---- */

/* The numbers of Mosquitto's MOSQ_ACL_*. */
enum agent_access { AGENT_READ = 1, AGENT_WRITE = 2, AGENT_SUBSCRIBE = 4, AGENT_UNSUBSCRIBE = 8 };

enum agent_answer {
    AGENT_ALLOWED,
    AGENT_DENIED,
    AGENT_FOREIGN, /* none of our topics, or a filter that reaches outside ours: not for us to say. Where such
                    * a filter also reaches ours, each message is still asked for as AGENT_READ. */
};

struct agent_attempt {
    const char *name; /* what the connection proved (certificate name, PSK identity, user); NULL: nothing */
    enum agent_access access;
    const char *topic; /* or filter */
    bool retain;       /* AGENT_WRITE */
    bool will;         /* AGENT_WRITE: published by the broker for a client that has gone */
    bool empty;        /* AGENT_READ: there is no payload: what was retained is cleared */
};
enum agent_answer agent_allows(struct agent *agent, const struct agent_attempt *attempt);

/*
 * A client published. Checks again whether it may, and acts on it: registers, forwards, passes on. DENIED: to
 * be dropped. ALLOWED: goes on to its readers (requests and responses have none), never retained.
 */
enum agent_answer agent_message(struct agent *agent, const char *name, const char *topic, const void *payload,
                                size_t length);

/*
 * The same of what came in over a bridge that this broker has made, which passes no ACL and proves no
 * originator: taken as the IN-CSE's where the bridge is the one of the settings and the topic one on which
 * the IN-CSE speaks to this MN-CSE; nothing else of ours crosses a bridge inwards. `bridge` may be NULL.
 */
enum agent_answer agent_message_bridged(struct agent *agent, const char *bridge, const char *topic,
                                        const void *payload, size_t length);

/* True where the connection may have this MQTT client id; false, counted and logged: the broker has given it
 * the session of somebody else. `name` as in struct agent_attempt. */
bool agent_client_id_fits(struct agent *agent, const char *name, const char *client_id);

/* A request on the operator's topic (plugin/agent/control.h). */
void agent_control(struct agent *agent, const char *name, const void *payload, size_t length);

/* A client claims a name that its certificate does not have; it is dealt with as one without a name. */
void agent_name_refused(struct agent *agent, const char *user);

/* A client's connection has ended. */
void agent_gone(struct agent *agent, const char *name);

/* ---- from the secure environment ---- */

void agent_secenv_up(struct agent *agent); /* the connection stands, nothing was said on it yet */
void agent_secenv_down(struct agent *agent, const char *why);
void agent_secenv_reply(struct agent *agent, uint64_t tag,
                        const Groupseal__Secenv__Reply *reply); /* NULL: lost with the connection */
void agent_secenv_event(struct agent *agent, const Groupseal__Secenv__Event *event);

/* True once secenv has told all its groups after its last connection, or has made clear that it will not. */
bool agent_settled(const struct agent *agent);

/* Time passes: expiry of requests. At least once a second. */
void agent_tick(struct agent *agent);

/* ---- counters, for the log and for tests; docs/operations.md explains them ---- */

#define AGENT_COUNTERS(X)                                                                                    \
    X(REGISTRATIONS, "registrations")                                                                        \
    X(RESOURCES_SERVED, "resources_served")                                                                  \
    X(FANOUTS, "fanouts")                                                                                    \
    X(NOT_KEPT, "not_kept")                                                                                  \
    X(REQUESTS_FORWARDED, "requests_forwarded")                                                              \
    X(RESPONSES_RETURNED, "responses_returned")                                                              \
    X(REQUESTS_REFUSED, "requests_refused")                                                                  \
    X(REQUESTS_DUPLICATE, "requests_duplicate")                                                              \
    X(REQUESTS_EXPIRED, "requests_expired")                                                                  \
    X(RESPONSES_UNSOLICITED, "responses_unsolicited")                                                        \
    X(MALFORMED, "malformed")                                                                                \
    X(DENIED, "denied")                                                                                      \
    X(NAMES_REFUSED, "names_refused")                                                                        \
    X(OBSERVED, "observed")                                                                                  \
    X(OBSERVED_READS, "observed_reads")                                                                      \
    X(CLIENT_IDS_TAKEN, "client_ids_taken")                                                                  \
    X(OBJECTS_RECEIVED, "objects_received")                                                                  \
    X(OBJECTS_SENT, "objects_sent")                                                                          \
    X(MESSAGES_HEARD, "messages_heard")                                                                      \
    X(MESSAGES_REFUSED, "messages_refused")                                                                  \
    X(MESSAGES_LOST, "messages_lost")                                                                        \
    X(MESSAGES_CROWDING, "messages_crowding")                                                                \
    X(MESSAGE_EVENTS, "message_events")                                                                      \
    X(CONTROL_REQUESTS, "control_requests")                                                                  \
    X(RULE_COMMANDS, "rule_commands")                                                                        \
    X(RULE_COMMANDS_DELAYED, "rule_commands_delayed")                                                        \
    X(RULE_COMMANDS_LOST, "rule_commands_lost")                                                              \
    X(PUBLICATIONS, "publications")                                                                          \
    X(PUBLICATIONS_FAILED, "publications_failed")                                                            \
    X(ROSTERS_TAKEN, "rosters_taken")                                                                        \
    X(SECENV_LOST, "secenv_lost")                                                                            \
    X(SECENV_UNREACHABLE, "secenv_unreachable")                                                              \
    X(EVENTS_REFUSED, "events_refused")

enum agent_counter {
#define AGENT_COUNTER_ENUM(name, text) AGENT_COUNT_##name,
    AGENT_COUNTERS(AGENT_COUNTER_ENUM)
#undef AGENT_COUNTER_ENUM
        AGENT_COUNTERS_END
};

uint64_t agent_counter(const struct agent *agent, enum agent_counter counter);
void agent_counters_log(const struct agent *agent); /* one line */

#endif
