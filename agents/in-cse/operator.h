/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_OPERATOR_H
#define GROUPSEAL_AGENTS_IN_CSE_OPERATOR_H

#include "onem2m/identifier.h"
#include "secenv/client/secenv_client.h"

#include <argp.h>
#include <stdbool.h>

/*
 * The operator's connection to the authority's secure environment, and what all commands share: options, exit
 * codes, short ids, errors on standard error.
 */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,      /* refused by the secure environment, or a local error */
    EXIT_USAGE = 2,       /* wrong options, arguments or configuration */
    EXIT_MEMBERS = 3,     /* send, report: a member failed, refused or does not know the outcome */
    EXIT_NO_ANSWER = 4,   /* send, report: a member has not answered in time */
    EXIT_UNREACHABLE = 5, /* the secure environment cannot be reached, or went away */
    EXIT_UNCERTAIN = 6,   /* it went away, or did not answer, when it had a request that changes something */
};

/* --operator-socket, --config, --json: a child parser of each command's, its input is operator_options. */
struct operator_options {
    const char *socket;
    const char *config;
    bool json;
};
extern const struct argp operator_argp;

struct operator_session;

/* Connects and greets. The socket is that of --operator-socket, else of GROUPSEAL_OPERATOR_SOCKET, else
 * operator-socket in the configuration (--config, else /etc/groupseal/in-cse.conf). */
enum exit_code operator_open(const struct operator_options *given, struct operator_session **out);
void operator_close(struct operator_session *session); /* NULL is allowed */

/* Sends a request and takes its reply. On EXIT_DONE `*message` holds a reply with code OK, freed with
 * secenv_client_free; else what is wrong has been said. Events go to the order's (operator_events). */
enum exit_code operator_call(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                             Groupseal__Secenv__FromSecenv **message);
/* The same for a request that changes something: EXIT_UNCERTAIN where it was handed over and not answered. */
enum exit_code operator_change(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                               Groupseal__Secenv__FromSecenv **message);
/* operator_change, and then says that what is called `name` is `done`, as a line of JSON or in words. */
enum exit_code operator_change_say(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                                   bool json, const char *name, const char *done);
/* Where the events of this connection go, until changed. */
typedef void operator_event(void *context, const Groupseal__Secenv__Event *event);
void operator_events(struct operator_session *session, operator_event *on_event, void *context);
/* Waits for events until `deadline_ms` (monotonic) or until one makes `*done` true. */
enum exit_code operator_wait(struct operator_session *session, uint64_t deadline_ms, const bool *done);

/* The absolute id that the user means: absolute, or short as seen from the IN-CSE ("Sdoor1", "/mn-1",
 * "mn-1:Cdoor1"). A C-type stem alone is refused: it belongs to an MN-CSE that it does not name. */
bool operator_resolve(const struct operator_session *session, const char *text,
                      char out[ONEM2M_ID_LIMIT + 1]);

/* Writes "in-cse: text" to standard error. */
void operator_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Parses a whole decimal number with a unit: "500ms", "10s", "2m", "1h", "30d"; without one, seconds. False:
 * not such a text, or more than `limit_ms`. */
bool operator_duration(const char *text, uint64_t limit_ms, uint64_t *out_ms);

#endif
