/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/ferry.h"

#include "agents/carriage.h"
#include "agents/log.h"
#include "agents/notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_LIMIT 4096u /* requests without a response */

struct ferry {
    char *identity;
    struct connection *connection;
    struct session *session;
    struct carriage *carriage;
};

static void tell_online(struct ferry *ferry, bool online)
{
    Groupseal__Secenv__Online message = GROUPSEAL__SECENV__ONLINE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    message.identity = ferry->identity;
    message.online = online;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &message;
    (void)session_request(ferry->session, &request, NULL, NULL); /* not ready: told when it is */
}

static void on_up(void *context)
{
    tell_online(context, true);
}

static void on_down(void *context)
{
    struct ferry *ferry = context;
    carriage_lost(ferry->carriage);
    tell_online(ferry, false);
}

static void on_message(void *context, const struct connection_message *message)
{
    struct ferry *ferry = context;
    if (!carriage_take(ferry->carriage, message)) {
        agent_log(AGENT_LOG_DEBUG, "a message on %s, which is not ours", message->topic);
    }
}

static void on_ready(void *context)
{
    struct ferry *ferry = context;
    if (connection_is_up(ferry->connection)) {
        tell_online(ferry, true);
    }
}

static void on_secenv_lost(void *context)
{
    (void)context; /* the session has said it, and what was open has been answered */
}

typedef bool (*each_topic)(struct ferry *ferry, const char *filter);

static bool subscribe(struct ferry *ferry, const char *filter)
{
    return connection_subscribe(ferry->connection, filter, 1);
}

static bool resubscribe(struct ferry *ferry, const char *filter)
{
    connection_resubscribe(ferry->connection, filter);
    return true;
}

static bool topics_visit(struct ferry *ferry, each_topic each)
{
    char requests[ONEM2M_TOPIC_LIMIT + 1];
    char responses[ONEM2M_TOPIC_LIMIT + 1];
    const char *level = carriage_level(ferry->carriage);
    snprintf(requests, sizeof(requests), "/oneM2M/req/+/%s/#", level);
    snprintf(responses, sizeof(responses), "/oneM2M/resp/%s/+/#", level);
    return each(ferry, requests) && each(ferry, responses);
}

static void on_event(void *context, const Groupseal__Secenv__Event *event)
{
    struct ferry *ferry = context;
    switch (event->content_case) {
    case GROUPSEAL__SECENV__EVENT__CONTENT_SEND:
        carriage_send(ferry->carriage, event->send);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE:
        notice_log(event->notice);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE:
        (void)topics_visit(ferry, resubscribe);
        break;
    default:
        agent_log(AGENT_LOG_DEBUG, "an event that is not for an authority");
        break;
    }
}

/* No request of our own is ever made. */
static void on_answered(void *context, uint64_t token, int rsc)
{
    (void)context;
    (void)token;
    (void)rsc;
}

static bool connection_start(struct ferry *ferry, sd_event *loop, const struct settings *settings, char *why,
                             size_t why_size)
{
    static const struct connection_callbacks callbacks = {on_up, on_down, on_message, NULL};
    char level[ONEM2M_ID_LIMIT + 1];
    char client_id[ONEM2M_ID_LIMIT + 8];
    struct connection_settings broker = settings->broker;
    if (!onem2m_id_to_level(settings->identity, level, sizeof(level))) {
        snprintf(why, why_size, "%s is not an absolute CSE-ID", settings->identity);
        return false;
    }
    snprintf(client_id, sizeof(client_id), "C::%s", level);
    broker.client_id = client_id;
    ferry->connection = connection_open(loop, &broker, &callbacks, ferry, why, why_size);
    return ferry->connection != NULL;
}

static bool session_start(struct ferry *ferry, sd_event *loop, const struct settings *settings, char *why,
                          size_t why_size)
{
    static const struct session_callbacks callbacks = {on_ready, on_secenv_lost, on_event};
    struct session_settings secenv = {settings->secenv, settings->identity, "authority", 0};
    ferry->session = session_open(loop, &secenv, &callbacks, ferry, why, why_size);
    return ferry->session != NULL;
}

static bool carriage_start(struct ferry *ferry, sd_event *loop, const struct settings *settings, char *why,
                           size_t why_size)
{
    struct carriage_settings carriage = {settings->identity, settings->identity, NULL, OPEN_LIMIT};
    ferry->carriage = carriage_new(loop, &carriage, ferry->connection, ferry->session, on_answered, ferry);
    if (ferry->carriage == NULL || !topics_visit(ferry, subscribe)) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    return true;
}

struct ferry *ferry_open(sd_event *loop, const struct settings *settings, char *why, size_t why_size)
{
    struct ferry *ferry = calloc(1, sizeof(*ferry));
    if (ferry == NULL || (ferry->identity = strdup(settings->identity)) == NULL) {
        snprintf(why, why_size, "out of memory");
        ferry_close(ferry);
        return NULL;
    }
    if (!connection_start(ferry, loop, settings, why, why_size) ||
        !session_start(ferry, loop, settings, why, why_size) ||
        !carriage_start(ferry, loop, settings, why, why_size)) {
        ferry_close(ferry);
        return NULL;
    }
    return ferry;
}

void ferry_close(struct ferry *ferry)
{
    if (ferry == NULL) {
        return;
    }
    session_close(ferry->session);
    carriage_free(ferry->carriage);
    connection_close(ferry->connection);
    free(ferry->identity);
    free(ferry);
}
