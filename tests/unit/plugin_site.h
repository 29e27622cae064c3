/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_PLUGIN_SITE_H
#define GROUPSEAL_TESTS_PLUGIN_SITE_H

#include "onem2m/primitive.h"
#include "plugin/agent/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * The group agent with a fake broker, a fake secenv and a clock that tests turn: //sp.example/mn-1 under
 * //sp.example/in-cse, names mapped by //sp.example/%u. Publications and requests are kept until they are
 * taken.
 */
#define SITE_MN "//sp.example/mn-1"
#define SITE_IN "//sp.example/in-cse"
#define SITE_KEPT 4096u
#define SITE_LINES 64u

struct site_publication {
    char topic[600];
    uint8_t *payload;
    size_t length;
    int qos;
    bool retain;
};

struct site_request {
    uint64_t tag;
    enum agent_rank rank;
    Groupseal__Secenv__ToSecenv *request; /* a copy */
};

struct site {
    struct agent *agent;
    uint64_t now_ms;
    uint64_t wall_ms;
    bool broker_full;
    bool queue_full;
    struct site_publication published[SITE_KEPT];
    size_t published_first;
    size_t published_end;
    struct site_request requests[SITE_KEPT];
    size_t requests_first;
    size_t requests_end;
    bool disk_full;
    char *kept[SITE_LINES]; /* lines of the agent's for the next start */
    size_t kept_count;
    char log[800]; /* the last line */
    enum agent_severity log_severity;
    unsigned log_lines;
};

struct site *site_new(void);       /* secenv not connected */
struct site *site_connected(void); /* greeted and online; no request left to take */
void site_free(struct site *site);
void site_forward(struct site *site, uint64_t ms); /* time passes, and a tick */

/* The broker's MESSAGE event; `format` makes the payload. */
enum agent_answer site_say(struct site *site, const char *name, const char *topic, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The next publication, asserted to be on this topic; what it holds lives until site_free. */
const struct site_publication *site_published(struct site *site, const char *topic);
/* The same, asserted to be at QoS 1 and not retained, and parsed; to be freed. */
struct onem2m_primitive *site_primitive(struct site *site, const char *topic);
/* A response on that topic: asserts its code and rqi. */
void site_expect_response(struct site *site, const char *topic, enum onem2m_rsc rsc, const char *rqi);
void site_expect_silence(struct site *site); /* nothing is published */

/* The next request to secenv, asserted to be of this case. */
const struct site_request *site_requested(struct site *site,
                                          Groupseal__Secenv__ToSecenv__RequestCase request);
void site_expect_idle(struct site *site); /* nothing is asked of secenv */
void site_reply(struct site *site, uint64_t tag, Groupseal__Secenv__Code code);
/* Takes Online and answers it, and what then asks whether all groups are told. */
void site_go_online(struct site *site);
void site_welcome(struct site *site, uint64_t tag, const char *profile, const char *identity,
                  const char *authority);
/* An event of SITE_MN, with its content and case set by the caller. */
void site_event(struct site *site, Groupseal__Secenv__Event *event);
/* A roster in one page. */
void site_roster(struct site *site, const char *group, size_t count, const char *const *members);

enum agent_answer site_may(struct site *site, const char *name, enum agent_access access, const char *topic);

#endif
