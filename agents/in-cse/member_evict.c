/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "secenv/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_REASON 0x200
#define AT_ONCE 1024u                   /* members of one request, and so of one change of each group */
#define NAMES_BYTES ((size_t)48 * 1024) /* the same in bytes: a request is a packet */

struct evict_arguments {
    struct operator_options common;
    const char *reason;
    char **names;
    size_t count;
};

static error_t evict_parse(int key, char *argument, struct argp_state *state)
{
    struct evict_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_REASON:
        arguments->reason = argument;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->names = state->argv + state->next;
        arguments->count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Absolute ids, malloc'd; NULL where one of them is none, which has been said. */
static char **ids_make(const struct operator_session *session, const struct evict_arguments *arguments)
{
    char **ids = calloc(arguments->count + 1, sizeof(*ids));
    for (size_t i = 0; ids != NULL && i < arguments->count; i++) {
        char id[ONEM2M_ID_LIMIT + 1];
        bool made = operator_resolve(session, arguments->names[i], id);
        ids[i] = made ? strdup(id) : NULL;
        if (ids[i] == NULL) {
            for (size_t k = 0; k < i; k++) {
                free(ids[k]);
            }
            free(ids);
            ids = NULL;
        }
    }
    return ids;
}

static void ids_free(char **ids)
{
    for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
        free(ids[i]);
    }
    free(ids);
}

static void evicted_print(const char *id, bool json)
{
    if (json) {
        cJSON *object = cJSON_CreateObject();
        json_line_text(object, "name", id);
        json_line_text(object, "state", "evicted");
        json_line_put(object);
    } else {
        printf("%s: evicted\n", id);
    }
}

static size_t some_count(char *const *ids, size_t count)
{
    size_t bytes = 0;
    size_t some = 0;
    while (some < count && some < AT_ONCE && bytes < NAMES_BYTES) {
        bytes += strlen(ids[some++]) + 3;
    }
    return some;
}

static enum exit_code some_evict(struct operator_session *session, const struct evict_arguments *arguments,
                                 char **ids, size_t count)
{
    Groupseal__Secenv__MemberEvict evict = GROUPSEAL__SECENV__MEMBER_EVICT__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    evict.names = ids;
    evict.n_names = count;
    evict.reason = arguments->reason != NULL ? (char *)(uintptr_t)arguments->reason : evict.reason;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
    request.member_evict = &evict;
    enum exit_code code = operator_change(session, &request, &message);
    secenv_client_free(message);
    for (size_t i = 0; code == EXIT_DONE && i < count; i++) {
        evicted_print(ids[i], arguments->common.json);
    }
    return code;
}

static enum exit_code members_evict(struct operator_session *session, const struct evict_arguments *arguments)
{
    char **ids = ids_make(session, arguments);
    enum exit_code code = ids != NULL ? EXIT_DONE : EXIT_USAGE;
    size_t done = 0;
    struct progress progress;
    progress_begin(&progress, "in-cse: members evicted", arguments->count);
    while (code == EXIT_DONE && done < arguments->count) {
        size_t some = some_count(ids + done, arguments->count - done);
        code = some_evict(session, arguments, ids + done, some);
        if (code == EXIT_FAILED && arguments->count > 1) {
            operator_say("%s and the %zu after it were not evicted", ids[done], arguments->count - done - 1);
        }
        done += some;
        progress_step(&progress, done);
    }
    ids_free(ids);
    return code;
}

enum exit_code command_member_evict(int argc, char **argv)
{
    static const struct argp_option options[] = {{"reason", KEY_REASON, "TEXT", 0, "Why, for the records", 0},
                                                 {0}};
    static const struct argp parser = {options,
                                       evict_parse,
                                       "NAME...",
                                       "Ends memberships: all their groups change their keys at once, and "
                                       "they may not authenticate again. Of "
                                       "up to 1,024 members all or none are evicted, with one change of each "
                                       "group; of more, so many at a time.",
                                       common_children,
                                       NULL,
                                       NULL};
    struct evict_arguments arguments = {.count = 0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = members_evict(session, &arguments);
    }
    operator_close(session);
    return code;
}
