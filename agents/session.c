/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/session.h"

#include "agents/backoff.h"
#include "agents/log.h"
#include "agents/timer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REOPEN_FIRST_MS 100u
#define REOPEN_LIMIT_MS 30000u
#define HELLO_SERVICE_MS 10000u
#define HELLO_EMBEDDED_MS 60000u /* it has yet to start, and to open its store */
#define SILENCE_MS 30000u
#define REQUESTS_LIMIT 8192u

/* A request whose reply has not come. While `packed` is set it has not been sent either. */
struct request {
    struct request *next;
    uint64_t id;
    session_reply *on_reply;
    void *context;
    uint8_t *packed;
    size_t length;
};

enum state { CLOSED, GREETING, READY };

struct session {
    sd_event *loop;
    struct secenv_client *client;
    sd_event_source *source;
    struct timer timer; /* CLOSED: open again; GREETING: no Welcome has come; READY: no reply comes */
    uint64_t silence_ms;
    uint64_t answered_ms; /* when it answered last, or had nothing to answer */
    struct backoff backoff;
    struct session_callbacks callbacks;
    void *context;
    enum state state;
    char *socket_path;
    char *program;
    char *store;
    char *root_key;
    char *audit_socket;
    char *identity;
    char *profile;
    char said[512];
    struct request *first; /* in the order of sending */
    struct request **last;
    struct request *unsent; /* the first that was not sent, or NULL */
    size_t count;
};

/* ---- requests ---- */

static void request_free(struct request *request)
{
    if (request->packed != NULL) {
        explicit_bzero(request->packed, request->length);
        free(request->packed);
    }
    free(request);
}

static void request_append(struct session *session, struct request *request)
{
    if (session->count == 0) {
        session->answered_ms = monotonic_ms();
        if (session->state == READY) {
            timer_start(&session->timer, session->silence_ms);
        }
    }
    *session->last = request;
    session->last = &request->next;
    session->count++;
}

/* Takes the first request off the queue. */
static struct request *request_shift(struct session *session)
{
    struct request *request = session->first;
    session->first = request->next;
    if (session->first == NULL) {
        session->last = &session->first;
    }
    if (session->unsent == request) {
        session->unsent = request->next;
    }
    session->count--;
    return request;
}

/* Ends a request that is in no queue any more. */
static void request_fail(struct session *session, struct request *request)
{
    if (request->on_reply != NULL) {
        request->on_reply(session->context, request->context, NULL);
    }
    request_free(request);
}

static void requests_fail(struct session *session)
{
    while (session->first != NULL) {
        request_fail(session, request_shift(session));
    }
}

/* Takes the first request that was not sent off the queue. */
static struct request *request_withdraw(struct session *session)
{
    struct request *request = session->unsent;
    struct request **place = &session->first;
    while (*place != request) {
        place = &(*place)->next;
    }
    *place = request->next;
    if (request->next == NULL) {
        session->last = place;
    }
    session->unsent = request->next;
    session->count--;
    return request;
}

/* Whether the socket takes it, with whatever id it will get: one that it would not must not wait for that. */
static bool request_fits(Groupseal__Secenv__ToSecenv *message)
{
    message->id = UINT64_MAX;
    return groupseal__secenv__to_secenv__get_packed_size(message) <= SECENV_PACKET_LIMIT;
}

/* Keeps the bytes for when the socket takes more. */
static bool request_keep(struct request *request, const Groupseal__Secenv__ToSecenv *message)
{
    request->length = groupseal__secenv__to_secenv__get_packed_size(message);
    request->packed = malloc(request->length + 1);
    if (request->packed == NULL) {
        return false;
    }
    groupseal__secenv__to_secenv__pack(message, request->packed);
    return true;
}

static void watch_writable(struct session *session, bool writable)
{
    sd_event_source_set_io_events(session->source, writable ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool request_send(struct session *session, Groupseal__Secenv__ToSecenv *message,
                         session_reply *on_reply, void *request_context)
{
    bool room = session->count < REQUESTS_LIMIT && request_fits(message);
    struct request *request = room ? calloc(1, sizeof(*request)) : NULL;
    if (request == NULL) {
        return false;
    }
    request->on_reply = on_reply;
    request->context = request_context;
    if (session->unsent == NULL) {
        request->id = secenv_client_send(session->client, message);
        /* Where the connection is lost the socket says so on its own, and then all replies are NULL. */
    }
    if (request->id == 0) {
        if (!request_keep(request, message)) {
            request_free(request);
            return false;
        }
        if (session->unsent == NULL) {
            session->unsent = request;
            watch_writable(session, true);
        }
    }
    request_append(session, request);
    return true;
}

bool session_request(struct session *session, Groupseal__Secenv__ToSecenv *request, session_reply *on_reply,
                     void *request_context)
{
    return session->state == READY && request_send(session, request, on_reply, request_context);
}

/* ---- opening, losing, opening again ---- */

__attribute__((format(printf, 2, 3))) static void say_trouble(struct session *session, const char *format,
                                                              ...)
{
    char text[sizeof(session->said)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strcmp(text, session->said) != 0) {
        agent_log(AGENT_LOG_WARNING, "%s; trying again until it works", text);
        memcpy(session->said, text, sizeof(text));
    }
}

/* Closes what is open, tells everybody who waits, and comes back by back-off. */
static void session_drop(struct session *session)
{
    bool was_ready = session->state == READY;
    session->state = CLOSED;
    session->source = sd_event_source_disable_unref(session->source);
    secenv_client_close(session->client);
    session->client = NULL;
    requests_fail(session);
    timer_start(&session->timer, backoff_next(&session->backoff));
    if (was_ready) {
        session->callbacks.lost(session->context);
    }
}

/* Sends the first that waits. 0: not sent, errno says why. */
static uint64_t unsent_send(struct session *session)
{
    struct request *request = session->unsent;
    Groupseal__Secenv__ToSecenv *message =
        groupseal__secenv__to_secenv__unpack(NULL, request->length, request->packed);
    if (message == NULL) {
        errno = ENOMEM;
        return 0;
    }
    request->id = secenv_client_send(session->client, message);
    int error = errno;
    groupseal__secenv__to_secenv__free_unpacked(message, NULL);
    errno = error;
    return request->id;
}

/* Sends what waits; stops where the socket is full again. */
static void requests_flush(struct session *session)
{
    while (session->unsent != NULL) {
        struct request *request = session->unsent;
        if (unsent_send(session) != 0) {
            explicit_bzero(request->packed, request->length);
            free(request->packed);
            request->packed = NULL;
            session->unsent = request->next;
        } else if (errno == EMSGSIZE || errno == ENOMEM) {
            /* It can not be sent, now or later: the others go on. */
            request_fail(session, request_withdraw(session));
        } else if (errno == EAGAIN) {
            return;
        } else {
            say_trouble(session, "the secure environment is gone");
            session_drop(session);
            return;
        }
    }
    watch_writable(session, false);
}

static bool welcome_holds(const Groupseal__Secenv__Welcome *welcome, const char *identity)
{
    for (size_t i = 0; i < welcome->n_identities; i++) {
        if (strcmp(welcome->identities[i], identity) == 0) {
            return true;
        }
    }
    return false;
}

static void on_welcome(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct session *session = request_context;
    (void)context;
    if (reply == NULL) {
        return; /* already dropped */
    }
    const Groupseal__Secenv__Welcome *welcome =
        reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME ? reply->welcome : NULL;
    if (reply->code != GROUPSEAL__SECENV__CODE__OK || welcome == NULL) {
        say_trouble(session, "the secure environment refuses the session: %s", reply->reason);
    } else if (strcmp(welcome->profile, session->profile) != 0) {
        say_trouble(session,
                    "the secure environment is of profile \"%s\", this program needs \"%s\": check the "
                    "socket or store in the configuration",
                    welcome->profile, session->profile);
    } else if (!welcome_holds(welcome, session->identity)) {
        say_trouble(session,
                    "the secure environment does not hold %s: check the identity in the configuration "
                    "against what `secenv provision` was given",
                    session->identity);
    } else {
        timer_stop(&session->timer);
        session->state = READY;
        session->said[0] = '\0';
        backoff_reset(&session->backoff);
        agent_log(AGENT_LOG_INFO, "the secure environment is ready");
        session->callbacks.ready(session->context);
    }
}

/* A reply has come: the others have all the time again. */
static void silence_end(struct session *session)
{
    session->answered_ms = monotonic_ms();
    if (session->state == READY && session->first == NULL) {
        timer_stop(&session->timer);
    }
}

static void message_handle(struct session *session, const Groupseal__Secenv__FromSecenv *message)
{
    if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT) {
        if (session->state == READY) {
            session->callbacks.event(session->context, message->event);
        }
        return;
    }
    const Groupseal__Secenv__Reply *reply = message->reply;
    if (session->first == NULL || session->first == session->unsent || session->first->id != reply->id) {
        agent_log(AGENT_LOG_WARNING, "the secure environment answers out of order");
        session_drop(session);
        return;
    }
    struct request *request = request_shift(session);
    silence_end(session);
    if (request->on_reply != NULL) {
        request->on_reply(session->context, request->context, reply);
    }
    request_free(request);
}

/* Takes all that waits. A callback may have dropped the session, so its state is looked at each time. */
static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct session *session = userdata;
    (void)source;
    (void)fd;

    if ((events & EPOLLOUT) != 0) {
        requests_flush(session);
    }
    while (session->state != CLOSED) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        enum secenv_client_state state = secenv_client_receive(session->client, &message);
        if (state == SECENV_CLIENT_NOTHING) {
            break;
        }
        if (state == SECENV_CLIENT_LOST) {
            say_trouble(session, "the secure environment is gone");
            session_drop(session);
            break;
        }
        message_handle(session, message);
        secenv_client_free(message);
    }
    if (session->state == GREETING && session->first == NULL) {
        session_drop(session); /* the Welcome was not what we need */
    }
    return 0;
}

static bool greet(struct session *session)
{
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    hello.version = SECENV_SOCKET_VERSION;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;
    session->state = GREETING;
    timer_start(&session->timer, session->socket_path != NULL ? HELLO_SERVICE_MS : HELLO_EMBEDDED_MS);
    return request_send(session, &request, on_welcome, session);
}

static void session_open_now(struct session *session)
{
    char why[512];
    struct secenv_client_settings settings = {session->socket_path, session->program, session->store,
                                              session->root_key, session->audit_socket};
    session->client = secenv_client_open(&settings, why, sizeof(why));
    if (session->client == NULL) {
        say_trouble(session, "%s", why);
        timer_start(&session->timer, backoff_next(&session->backoff));
        return;
    }
    int error = sd_event_add_io(session->loop, &session->source, secenv_client_fd(session->client), EPOLLIN,
                                on_socket, session);
    if (error < 0 || !greet(session)) {
        say_trouble(session, "no session with the secure environment: out of memory");
        session_drop(session);
    }
}

/* It lives and does nothing: stopped, or its disk does not answer. An embedded one would not end by itself.
 */
static void session_drop_hung(struct session *session)
{
    say_trouble(session, "the secure environment does not answer");
    secenv_client_kill(session->client);
    session_drop(session);
}

static void timer_is_due(void *context)
{
    struct session *session = context;
    if (session->state == CLOSED) {
        session_open_now(session);
        return;
    }
    uint64_t silent = monotonic_ms() - session->answered_ms;
    if (session->state == READY && silent < session->silence_ms) {
        timer_start(&session->timer, session->silence_ms - silent);
    } else {
        session_drop_hung(session);
    }
}

static char *nullable_copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

struct session *session_open(sd_event *loop, const struct session_settings *settings,
                             const struct session_callbacks *callbacks, void *context, char *why,
                             size_t why_size)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    session->loop = loop;
    session->callbacks = *callbacks;
    session->context = context;
    session->last = &session->first;
    session->silence_ms = settings->silence_ms != 0 ? settings->silence_ms : SILENCE_MS;
    session->socket_path = nullable_copy(settings->client.socket_path);
    session->program = nullable_copy(settings->client.program);
    session->store = nullable_copy(settings->client.store);
    session->root_key = nullable_copy(settings->client.root_key);
    session->audit_socket = nullable_copy(settings->client.audit_socket);
    session->identity = nullable_copy(settings->identity);
    session->profile = nullable_copy(settings->profile);
    backoff_init(&session->backoff, REOPEN_FIRST_MS, REOPEN_LIMIT_MS);
    if (session->identity == NULL || session->profile == NULL ||
        timer_open(&session->timer, loop, timer_is_due, session) < 0) {
        snprintf(why, why_size, "no session with the secure environment: out of memory");
        session_close(session);
        return NULL;
    }
    timer_start(&session->timer, 0);
    return session;
}

void session_close(struct session *session)
{
    if (session == NULL) {
        return;
    }
    timer_close(&session->timer);
    session->source = sd_event_source_disable_unref(session->source);
    secenv_client_close(session->client);
    session->state = CLOSED;
    requests_fail(session);
    free(session->socket_path);
    free(session->program);
    free(session->store);
    free(session->root_key);
    free(session->audit_socket);
    free(session->identity);
    free(session->profile);
    free(session);
}

bool session_is_ready(const struct session *session)
{
    return session->state == READY;
}
