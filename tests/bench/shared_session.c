/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/shared_session.h"

#include "tests/bench/environment.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define SESSIONS_MAX 512u
#define FULL_MS 60000

/* A request without its reply: they come in the order of the requests. */
struct waiting {
    STAILQ_ENTRY(waiting) entry;
    const struct session *session; /* NULL: nobody's */
    session_reply *on_reply;
    void *context;
    uint64_t id;
};

struct message {
    STAILQ_ENTRY(message) entry;
    Groupseal__Secenv__FromSecenv *content;
};

struct session {
    const struct session_callbacks *callbacks;
    void *context;
    char *identity;
    sd_event_source *start; /* says that it is ready, from the loop */
};

static struct secenv_client *client;
static sd_event_source *socket_source;
static sd_event_source *messages_source; /* on while messages wait */
static STAILQ_HEAD(, waiting) requests = STAILQ_HEAD_INITIALIZER(requests);
static STAILQ_HEAD(, message) messages = STAILQ_HEAD_INITIALIZER(messages);
static struct session *sessions[SESSIONS_MAX];
static size_t session_count;

/* ---- what comes ---- */

static void messages_receive(void)
{
    Groupseal__Secenv__FromSecenv *content = NULL;
    enum secenv_client_state state;
    while ((state = secenv_client_receive(client, &content)) == SECENV_CLIENT_MESSAGE) {
        struct message *message = calloc(1, sizeof(*message));
        if (message == NULL) {
            bench_fail("out of memory");
        }
        message->content = content;
        STAILQ_INSERT_TAIL(&messages, message, entry);
    }
    if (state == SECENV_CLIENT_LOST) {
        bench_fail("a secenv is gone: see its log");
    }
    (void)sd_event_source_set_enabled(messages_source, STAILQ_EMPTY(&messages) ? SD_EVENT_OFF : SD_EVENT_ON);
}

static void reply_take(const Groupseal__Secenv__Reply *reply)
{
    struct waiting *waiting = STAILQ_FIRST(&requests);
    if (waiting == NULL || waiting->id != reply->id) {
        bench_fail("a secenv answers out of order");
    }
    STAILQ_REMOVE_HEAD(&requests, entry);
    if (waiting->on_reply != NULL) {
        waiting->on_reply(waiting->session != NULL ? waiting->session->context : NULL, waiting->context,
                          reply);
    }
    free(waiting);
}

static void event_take(const Groupseal__Secenv__Event *event)
{
    for (size_t i = 0; i < session_count; i++) {
        if (strcmp(sessions[i]->identity, event->identity) == 0) {
            sessions[i]->callbacks->event(sessions[i]->context, event);
            return;
        }
    }
}

static int on_messages(sd_event_source *source, void *userdata)
{
    struct message *message;
    (void)userdata;
    while ((message = STAILQ_FIRST(&messages)) != NULL) {
        STAILQ_REMOVE_HEAD(&messages, entry);
        if (message->content->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY) {
            reply_take(message->content->reply);
        } else {
            event_take(message->content->event);
        }
        secenv_client_free(message->content);
        free(message);
    }
    return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    (void)userdata;
    messages_receive();
    return 0;
}

/* ---- what goes ---- */

/* A full socket is waited for, and read meanwhile: a secenv that nobody reads takes no more either. */
static uint64_t send_surely(Groupseal__Secenv__ToSecenv *request)
{
    uint64_t id;
    while ((id = secenv_client_send(client, request)) == 0) {
        struct pollfd full = {.fd = secenv_client_fd(client), .events = POLLIN | POLLOUT};
        if (errno != EAGAIN || poll(&full, 1, FULL_MS) != 1) {
            bench_fail("a secenv takes no request: %s", strerror(errno));
        }
        messages_receive();
    }
    return id;
}

static void request_send(const struct session *session, Groupseal__Secenv__ToSecenv *request,
                         session_reply *on_reply, void *context)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    if (waiting == NULL) {
        bench_fail("out of memory");
    }
    *waiting = (struct waiting){.session = session, .on_reply = on_reply, .context = context};
    waiting->id = send_surely(request);
    STAILQ_INSERT_TAIL(&requests, waiting, entry);
}

bool session_request(struct session *session, Groupseal__Secenv__ToSecenv *request, session_reply *on_reply,
                     void *request_context)
{
    request_send(session, request, on_reply, request_context);
    return true;
}

void shared_session_request(Groupseal__Secenv__ToSecenv *request, session_reply *on_reply, void *context)
{
    request_send(NULL, request, on_reply, context);
}

/* ---- opening and closing ---- */

void shared_session_start(sd_event *loop, const char *socket)
{
    client = environment_connect(socket);
    if (sd_event_add_io(loop, &socket_source, secenv_client_fd(client), EPOLLIN, on_socket, NULL) < 0 ||
        sd_event_add_defer(loop, &messages_source, on_messages, NULL) < 0) {
        bench_fail("no event sources");
    }
}

static int on_start(sd_event_source *source, void *userdata)
{
    struct session *session = userdata;
    session->start = sd_event_source_disable_unref(source);
    session->callbacks->ready(session->context);
    return 0;
}

struct session *session_open(sd_event *loop, const struct session_settings *settings,
                             const struct session_callbacks *callbacks, void *context, char *why,
                             size_t why_size)
{
    struct session *session = calloc(1, sizeof(*session));
    (void)why;
    (void)why_size;
    if (session == NULL || session_count == SESSIONS_MAX ||
        (session->identity = strdup(settings->identity)) == NULL ||
        sd_event_add_defer(loop, &session->start, on_start, session) < 0) {
        bench_fail("no session, or more than %u", SESSIONS_MAX);
    }
    session->callbacks = callbacks;
    session->context = context;
    sessions[session_count++] = session;
    return session;
}

void session_close(struct session *session)
{
    (void)session; /* they end with the process */
}

bool session_is_ready(const struct session *session)
{
    return session->start == NULL;
}
