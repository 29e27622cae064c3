/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/operator.h"

#include "agents/in-cse/json_line.h"
#include "agents/in-cse/settings.h"
#include "agents/in-cse/table.h"
#include "agents/timer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/groupseal/in-cse.conf"
#define CALL_TIMEOUT_MS 30000

struct operator_session {
    struct secenv_client *client;
    char in_cse[ONEM2M_ID_LIMIT + 1];
    operator_event *on_event;
    void *context;
};

/* ---- options ---- */

static const struct argp_option options[] = {
    {"operator-socket", 's', "PATH", 0, "The operator socket of the authority's secure environment", 10},
    {"config", 'c', "FILE", 0, "Configuration with operator-socket (default " DEFAULT_CONFIG ")", 10},
    {"json", 'j', NULL, 0, "Print JSON for programs in place of tables", 10},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct operator_options *out = state->input;
    switch (key) {
    case 's':
        out->socket = argument;
        return 0;
    case 'c':
        out->config = argument;
        return 0;
    case 'j':
        out->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp operator_argp = {options, option_parse, NULL, NULL, NULL, NULL, NULL};

void operator_say(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    char *clean = table_clean(text);
    fprintf(stderr, "in-cse: %s\n", clean != NULL ? clean : "out of memory");
    free(clean);
}

bool operator_duration(const char *text, uint64_t limit_ms, uint64_t *out_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            *out_ms = value * units[i].ms;
            return value <= limit_ms / units[i].ms;
        }
    }
    return false;
}

/* ---- the connection ---- */

/* The socket's path, malloc'd; NULL: what is wrong has been said. */
static char *socket_find(const struct operator_options *given)
{
    const char *path = given->socket != NULL ? given->socket : getenv("GROUPSEAL_OPERATOR_SOCKET");
    if (path != NULL && path[0] != '\0') {
        return strdup(path);
    }
    const char *config = given->config;
    if (config == NULL && access(DEFAULT_CONFIG, F_OK) == 0) {
        config = DEFAULT_CONFIG;
    }
    if (config == NULL) {
        operator_say("which operator socket? Give --operator-socket, set GROUPSEAL_OPERATOR_SOCKET, or write "
                     "operator-socket into " DEFAULT_CONFIG);
        return NULL;
    }
    struct settings settings;
    char why[512];
    char *found = NULL;
    if (!settings_open_operator(&settings, config, why, sizeof(why))) {
        operator_say("%s", why);
    } else if (settings.operator_socket == NULL) {
        operator_say("%s has no operator-socket", config);
    } else {
        found = strdup(settings.operator_socket);
    }
    settings_close(&settings);
    return found;
}

static enum exit_code greet(struct operator_session *session)
{
    char why[512];
    Groupseal__Secenv__FromSecenv *message =
        secenv_client_greet(session->client, CALL_TIMEOUT_MS, why, sizeof(why));
    if (message == NULL) {
        operator_say("%s", why);
        return EXIT_UNREACHABLE;
    }
    const Groupseal__Secenv__Welcome *welcome = message->reply->welcome;
    enum exit_code code = EXIT_DONE;
    if (strcmp(welcome->profile, "authority") != 0 || welcome->n_identities != 1 ||
        strlen(welcome->identities[0]) > ONEM2M_ID_LIMIT) {
        operator_say("this is not the secure environment of an IN-CSE: check the operator socket");
        code = EXIT_USAGE;
    } else {
        snprintf(session->in_cse, sizeof(session->in_cse), "%s", welcome->identities[0]);
    }
    secenv_client_free(message);
    return code;
}

enum exit_code operator_open(const struct operator_options *given, struct operator_session **out)
{
    char why[512];
    *out = NULL;
    char *path = socket_find(given);
    if (path == NULL) {
        return EXIT_USAGE;
    }
    struct operator_session *session = calloc(1, sizeof(*session));
    enum exit_code code = EXIT_FAILED;
    if (session != NULL) {
        struct secenv_client_settings settings = {.socket_path = path};
        session->client = secenv_client_open(&settings, why, sizeof(why));
        if (session->client == NULL) {
            operator_say("%s", why);
            code = EXIT_UNREACHABLE;
        } else {
            code = greet(session);
        }
    }
    free(path);
    if (code != EXIT_DONE) {
        operator_close(session);
        return code;
    }
    *out = session;
    return EXIT_DONE;
}

void operator_close(struct operator_session *session)
{
    if (session != NULL) {
        secenv_client_close(session->client);
        free(session);
    }
}

void operator_events(struct operator_session *session, operator_event *on_event, void *context)
{
    session->on_event = on_event;
    session->context = context;
}

/* Keeps the message of a reply that is OK; else says what is wrong. */
static enum exit_code reply_take(Groupseal__Secenv__FromSecenv **message)
{
    const Groupseal__Secenv__Reply *reply = (*message)->reply;
    if (reply->code == GROUPSEAL__SECENV__CODE__OK) {
        return EXIT_DONE;
    }
    operator_say("%s", reply->reason[0] != '\0' ? reply->reason : "refused by the secure environment");
    secenv_client_free(*message);
    *message = NULL;
    return EXIT_FAILED;
}

enum exit_code operator_call(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                             Groupseal__Secenv__FromSecenv **message)
{
    char why[512];
    *message = secenv_client_call(session->client, request, CALL_TIMEOUT_MS, session->on_event,
                                  session->context, why, sizeof(why));
    if (*message == NULL) {
        operator_say("%s", why);
        return EXIT_UNREACHABLE;
    }
    return reply_take(message);
}

enum exit_code operator_change(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                               Groupseal__Secenv__FromSecenv **message)
{
    enum exit_code code = operator_call(session, request, message);
    if (code == EXIT_UNREACHABLE && secenv_client_handed_over(session->client)) {
        operator_say("it may have been done: the secure environment had the request");
        return EXIT_UNCERTAIN;
    }
    return code;
}

enum exit_code operator_wait(struct operator_session *session, uint64_t deadline_ms, const bool *done)
{
    while (!*done) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        enum secenv_client_state state = secenv_client_receive(session->client, &message);
        if (state == SECENV_CLIENT_LOST) {
            operator_say("the connection to the secure environment is lost");
            return EXIT_UNREACHABLE;
        }
        if (state == SECENV_CLIENT_MESSAGE) {
            if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT &&
                session->on_event != NULL) {
                session->on_event(session->context, message->event);
            }
            secenv_client_free(message);
            continue;
        }
        uint64_t now = monotonic_ms();
        if (now >= deadline_ms) {
            return EXIT_DONE;
        }
        struct pollfd waiting = {.fd = secenv_client_fd(session->client), .events = POLLIN};
        uint64_t left = deadline_ms - now;
        (void)poll(&waiting, 1, left > 60000 ? 60000 : (int)left);
    }
    return EXIT_DONE;
}

enum exit_code operator_change_say(struct operator_session *session, Groupseal__Secenv__ToSecenv *request,
                                   bool json, const char *name, const char *done)
{
    Groupseal__Secenv__FromSecenv *message = NULL;
    enum exit_code code = operator_change(session, request, &message);
    secenv_client_free(message);
    if (code != EXIT_DONE) {
        return code;
    }
    if (json) {
        cJSON *object = cJSON_CreateObject();
        json_line_text(object, "name", name);
        json_line_text(object, "state", done);
        json_line_put(object);
    } else {
        printf("%s: %s\n", name, done);
    }
    return EXIT_DONE;
}

bool operator_resolve(const struct operator_session *session, const char *text, char out[ONEM2M_ID_LIMIT + 1])
{
    bool stem_of_nobody = text[0] == 'C' && strchr(text, ':') == NULL;
    if (!stem_of_nobody && onem2m_id_resolve(text, session->in_cse, out, ONEM2M_ID_LIMIT + 1)) {
        return true;
    }
    operator_say(stem_of_nobody ? "%s does not say at which MN-CSE: write //SP/MN-CSE/%s"
                                : "%s is not an id: write it as //sp.example/Sdoor1 or //sp.example/mn-1",
                 text, text);
    return false;
}
