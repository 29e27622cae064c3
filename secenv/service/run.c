/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/program.h"
#include "secenv/service/service.h"

#include <argp.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "secenv/log.h"
#include "secenv/service/confinement.h"

struct settings {
    const char *store;
    const char *root_key;
    const char *owner_socket;
    const char *operator_socket;
    const char *audit_socket;
    int owner_fd; /* -1: none */
    uid_t owner_uid;
    bool has_operator_gid;
    gid_t operator_gid;
    bool same_user;
};

enum option_key {
    OPTION_STORE = 0x100,
    OPTION_ROOT_KEY,
    OPTION_OWNER_FD,
    OPTION_OWNER_SOCKET,
    OPTION_OWNER_UID,
    OPTION_OPERATOR_SOCKET,
    OPTION_OPERATOR_GID,
    OPTION_SAME_USER,
    OPTION_AUDIT_SOCKET,
};

static const struct argp_option options[] = {
    {"store", OPTION_STORE, "DIR", 0, "The store's directory, made by `secenv provision' (required)", 0},
    {"root-key", OPTION_ROOT_KEY, "FILE", 0, "Its root key (default: root.key in the store)", 0},
    {"owner-socket", OPTION_OWNER_SOCKET, "PATH", 0, "Serve owners, one at a time, on this socket", 0},
    {"owner-fd", OPTION_OWNER_FD, "N", 0,
     "Serve the one owner on this inherited socket, and end when it closes (embedded)", 0},
    {"owner-uid", OPTION_OWNER_UID, "USER", 0,
     "The user, name or number, that may be owner (default: the user of secenv)", 0},
    {"operator-socket", OPTION_OPERATOR_SOCKET, "PATH", 0,
     "Authority: serve operators on this socket: root, the user of secenv, the operator group", 0},
    {"operator-gid", OPTION_OPERATOR_GID, "GROUP", 0, "The operator group, name or number (default: none)",
     0},
    {"same-user", OPTION_SAME_USER, NULL, 0,
     "Authority, for tests and demonstrations: the owner may be a user that can do all that operators can",
     0},
    {"audit-socket", OPTION_AUDIT_SOCKET, "PATH", 0, "Serve observers on this socket", 0},
    {"verbose", 'v', NULL, 0, "Log connections too", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static unsigned long number_option(struct argp_state *state, const char *name, const char *text,
                                   unsigned long highest)
{
    unsigned long number = 0;
    if (!program_number(text, highest, &number)) {
        argp_error(state, "--%s: %s is not a number from 0 to %lu", name, text, highest);
    }
    return number;
}

static uid_t user_option(struct argp_state *state, const char *text)
{
    unsigned long number = 0;
    if (program_number(text, UINT32_MAX - 1u, &number)) {
        return (uid_t)number;
    }
    const struct passwd *user = getpwnam(text);
    if (user == NULL) {
        argp_error(state, "--owner-uid: %s is no user of this system, and no number", text);
    }
    return user == NULL ? (uid_t)-1 : user->pw_uid;
}

static gid_t group_option(struct argp_state *state, const char *text)
{
    unsigned long number = 0;
    if (program_number(text, UINT32_MAX - 1u, &number)) {
        return (gid_t)number;
    }
    const struct group *group = getgrnam(text);
    if (group == NULL) {
        argp_error(state, "--operator-gid: %s is no group of this system, and no number", text);
    }
    return group == NULL ? (gid_t)-1 : group->gr_gid;
}

static void settings_check(const struct settings *settings, struct argp_state *state)
{
    if (settings->store == NULL) {
        argp_error(state, "--store is missing");
    }
    if ((settings->owner_fd >= 0) == (settings->owner_socket != NULL)) {
        argp_error(state, "one of --owner-socket and --owner-fd is needed, not both");
    }
    if (settings->has_operator_gid && settings->operator_socket == NULL) {
        argp_error(state, "--operator-gid needs --operator-socket");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case OPTION_STORE:
        settings->store = argument;
        break;
    case OPTION_ROOT_KEY:
        settings->root_key = argument;
        break;
    case OPTION_OWNER_FD:
        settings->owner_fd = (int)number_option(state, "owner-fd", argument, 65535);
        break;
    case OPTION_OWNER_SOCKET:
        settings->owner_socket = argument;
        break;
    case OPTION_OWNER_UID:
        settings->owner_uid = user_option(state, argument);
        break;
    case OPTION_OPERATOR_SOCKET:
        settings->operator_socket = argument;
        break;
    case OPTION_OPERATOR_GID:
        settings->operator_gid = group_option(state, argument);
        settings->has_operator_gid = true;
        break;
    case OPTION_SAME_USER:
        settings->same_user = true;
        break;
    case OPTION_AUDIT_SOCKET:
        settings->audit_socket = argument;
        break;
    case 'v':
        log_threshold(LOG_LEVEL_DEBUG);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: `run' takes options only", argument);
        break;
    case ARGP_KEY_END:
        settings_check(settings, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static enum result listen_on(struct service *service, const struct settings *settings, enum socket_kind kind,
                             const char *path, struct reason *why)
{
    struct listener listener = LISTENER_NONE;
    if (path == NULL) {
        return RESULT_OK;
    }
    int length = snprintf(listener.path, sizeof(listener.path), "%s", path);
    if (length < 0 || (size_t)length >= sizeof(listener.path)) {
        return result_fail(why, RESULT_INVALID, "socket path %.60s... is longer than %zu bytes", path,
                           sizeof(listener.path) - 1);
    }
    listener.socket = kind;
    listener.owner_uid = settings->owner_uid;
    listener.has_group = kind == SOCKET_OPERATOR && settings->has_operator_gid;
    listener.group = settings->operator_gid;
    return service_listen(service, &listener, why);
}

/* Operators are let in by their user: an owner of that user, once taken over, could enrol devices and order.
 */
static enum result operators_apart(const struct settings *settings, struct reason *why)
{
    bool embedded = settings->owner_fd >= 0;
    bool same = embedded || settings->owner_uid == geteuid() || settings->owner_uid == 0;
    if (settings->operator_socket == NULL || !same || settings->same_user) {
        return RESULT_OK;
    }
    return result_fail(
        why, RESULT_INVALID,
        "the owner (in-cse run) would be let in as operator too: run secenv as a user of its own, "
        "with --owner-socket and --owner-uid; for tests, --same-user allows it");
}

static enum result sockets_open(struct service *service, const struct settings *settings,
                                enum store_profile profile, struct reason *why)
{
    if (profile == STORE_MEMBER && settings->operator_socket != NULL) {
        return result_fail(why, RESULT_INVALID,
                           "--operator-socket is the authority's, and this store a member's");
    }
    GUARD(operators_apart(settings, why));
    if (settings->owner_fd >= 0) {
        GUARD(service_adopt_owner(service, settings->owner_fd, why));
    }
    GUARD(listen_on(service, settings, SOCKET_OWNER, settings->owner_socket, why));
    GUARD(listen_on(service, settings, SOCKET_OPERATOR, settings->operator_socket, why));
    return listen_on(service, settings, SOCKET_AUDIT, settings->audit_socket, why);
}

static enum result engine_start(struct service *service, struct store *store, enum store_profile profile,
                                struct reason *why)
{
    struct engine_setup setup = {store, &clock_system, service_events(service)};
    struct engine *engine = NULL;
    if (profile == STORE_AUTHORITY) {
        GUARD(authority_engine_open(&setup, &engine, why));
        service_attach(service, &authority_operations, engine);
    } else {
        GUARD(member_engine_open(&setup, &engine, why));
        service_attach(service, &member_operations, engine);
    }
    return RESULT_OK;
}

/* All files and sockets are open: the process gives up what it does not need any more. */
static enum result opening_end(struct store *store, struct reason *why)
{
    GUARD(store_settle(store, why));
    return confinement_enter(why);
}

static enum result serve(struct service *service, struct reason *why)
{
    static const char ready[] = "secenv: ready\n";
    if (write(STDERR_FILENO, ready, sizeof(ready) - 1) < 0) {
        log_line(LOG_LEVEL_DEBUG, "standard error is closed");
    }
    while (!service_stopping(service)) {
        enum result result = service_step(service, -1, why);
        if (result != RESULT_OK) {
            log_line(LOG_LEVEL_ALARM, "secenv ends and answers nothing more: %s", why->text);
            return result;
        }
    }
    return RESULT_OK;
}

/* Termination arrives as something to read, between two batches. */
static int signals_open(void)
{
    sigset_t signals;
    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return sigprocmask(SIG_BLOCK, &signals, NULL) != 0 ? -1
                                                       : signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static enum result run(const struct settings *settings, struct store *store, enum store_profile profile,
                       struct reason *why)
{
    int signals = signals_open();
    struct service *service = service_new(store, profile, &clock_system);
    if (service == NULL || signals < 0) {
        service_free(service);
        return result_fail(why, RESULT_INTERNAL, "memory or descriptors are short");
    }
    service_stop_on(service, signals);
    enum result result = engine_start(service, store, profile, why);
    if (result == RESULT_OK) {
        result = sockets_open(service, settings, profile, why);
    }
    if (result == RESULT_OK) {
        result = opening_end(store, why);
    }
    if (result == RESULT_OK) {
        result = serve(service, why);
    }
    service_free(service);
    (void)close(signals);
    return result;
}

int command_run(int argc, char **argv)
{
    static const char documentation[] = "Serves its owner from the store, in the foreground; prints the line "
                                        "`secenv: ready' to standard error "
                                        "when it does. SIGTERM and SIGINT end it.";
    const struct argp argp = {options, parse_option, "", documentation, NULL, NULL, NULL};
    struct settings settings = {.owner_fd = -1, .owner_uid = geteuid()};
    struct reason why = {""};
    struct store *store = NULL;
    if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0) {
        return EXIT_USAGE;
    }
    secret_protect_process();
    enum result result = program_store_open(settings.store, STORE_ANY, settings.root_key, &store, &why);
    if (result == RESULT_OK) {
        result = run(&settings, store, store_profile(store), &why);
    }
    store_close(store);
    return result == RESULT_OK ? EXIT_DONE : program_fail("%s", why.text);
}
