/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/program.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "secenv/client/secenv_client.h"
#include "secenv/service/dispatch.h"

#define TIMEOUT_MS 10000

/* Adds a value of any kind to an object; false where memory is short. */
static bool put(cJSON *object, const char *name, cJSON *value)
{
    return value != NULL && cJSON_AddItemToObject(object, name, value) != 0;
}

static cJSON *text_list(char *const *texts, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < count; i++) {
        cJSON *text = cJSON_CreateString(texts[i]);
        if (text == NULL || cJSON_AddItemToArray(list, text) == 0) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *group_object(const Groupseal__Secenv__GroupStatus *group)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && put(object, "group", cJSON_CreateString(group->group)) &&
        put(object, "instance", cJSON_CreateString(group->instance)) &&
        put(object, "incarnation", cJSON_CreateNumber((double)group->incarnation)) &&
        put(object, "epoch", cJSON_CreateNumber((double)group->epoch)) &&
        put(object, "members", cJSON_CreateNumber((double)group->members)) &&
        put(object, "synchronised", cJSON_CreateBool(group->synchronised)) &&
        put(object, "overdue", cJSON_CreateBool(group->overdue)) &&
        put(object, "commander", cJSON_CreateBool(group->commander)) &&
        put(object, "sites", text_list(group->sites, group->n_sites))) {
        return object;
    }
    cJSON_Delete(object);
    return NULL;
}

static cJSON *groups_list(const Groupseal__Secenv__IdentityStatus *identity)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < identity->n_groups; i++) {
        cJSON *group = group_object(identity->groups[i]);
        if (group == NULL || cJSON_AddItemToArray(list, group) == 0) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *limit_object(const Groupseal__Secenv__OwnerLimit *limit)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && put(object, "groups", cJSON_CreateString(limit->groups)) &&
        put(object, "allow", cJSON_CreateString(limit->allow)) &&
        put(object, "rate", cJSON_CreateNumber((double)limit->rate)) &&
        put(object, "burst", cJSON_CreateNumber((double)limit->burst))) {
        return object;
    }
    cJSON_Delete(object);
    return NULL;
}

static cJSON *limits_list(const Groupseal__Secenv__IdentityStatus *identity)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < identity->n_limits; i++) {
        cJSON *limit = limit_object(identity->limits[i]);
        if (limit == NULL || cJSON_AddItemToArray(list, limit) == 0) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *identity_object(const Groupseal__Secenv__IdentityStatus *identity)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && put(object, "identity", cJSON_CreateString(identity->identity)) &&
        put(object, "mode", cJSON_CreateString(identity->mode)) &&
        put(object, "associated", cJSON_CreateBool(identity->associated)) &&
        put(object, "mechanism", cJSON_CreateString(identity->mechanism)) &&
        put(object, "limits", limits_list(identity)) && put(object, "groups", groups_list(identity))) {
        return object;
    }
    cJSON_Delete(object);
    return NULL;
}

static bool counters_put(cJSON *object, const Groupseal__Secenv__StatusReply *status)
{
    cJSON *counters = cJSON_AddObjectToObject(object, "counters");
    bool good = counters != NULL;
    for (size_t i = 0; good && i < status->n_counters; i++) {
        good =
            put(counters, status->counters[i]->name, cJSON_CreateNumber((double)status->counters[i]->value));
    }
    return good;
}

static bool identities_put(cJSON *object, const Groupseal__Secenv__StatusReply *status)
{
    cJSON *identities = cJSON_AddArrayToObject(object, "identities");
    bool good = identities != NULL;
    for (size_t i = 0; good && i < status->n_identities; i++) {
        cJSON *identity = identity_object(status->identities[i]);
        good = identity != NULL && cJSON_AddItemToArray(identities, identity) != 0;
    }
    return good;
}

static int status_print(const char *profile, const Groupseal__Secenv__StatusReply *status)
{
    char *text = NULL;
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && put(object, "profile", cJSON_CreateString(profile)) &&
        counters_put(object, status) && identities_put(object, status)) {
        text = cJSON_Print(object);
    }
    cJSON_Delete(object);
    if (text == NULL) {
        return program_fail("memory is short");
    }
    int written = puts(text);
    cJSON_free(text);
    return written == EOF || fflush(stdout) != 0 ? program_fail("the output cannot be written") : EXIT_DONE;
}

/* The reply with this content, or NULL and the reason printed. */
static Groupseal__Secenv__FromSecenv *ask(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request,
                                          Groupseal__Secenv__Reply__ContentCase content)
{
    char why[256] = "";
    Groupseal__Secenv__FromSecenv *answer =
        secenv_client_call(client, request, TIMEOUT_MS, NULL, NULL, why, sizeof(why));
    if (answer == NULL) {
        (void)program_fail("%s", why);
        return NULL;
    }
    if (answer->reply->code != GROUPSEAL__SECENV__CODE__OK || answer->reply->content_case != content) {
        (void)program_fail("secenv answers: %s", answer->reply->reason);
        secenv_client_free(answer);
        return NULL;
    }
    return answer;
}

static int audit(struct secenv_client *client)
{
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    hello.version = HELLO_VERSION;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;
    Groupseal__Secenv__FromSecenv *welcome = ask(client, &request, GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME);
    if (welcome == NULL) {
        return EXIT_FAILED;
    }
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    Groupseal__Secenv__FromSecenv *answer = ask(client, &request, GROUPSEAL__SECENV__REPLY__CONTENT_STATUS);
    int exit_status = EXIT_FAILED;
    if (answer != NULL) {
        exit_status = status_print(welcome->reply->welcome->profile, answer->reply->status);
    }
    secenv_client_free(answer);
    secenv_client_free(welcome);
    return exit_status;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    const char **path = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*path != NULL) {
            argp_error(state, "one SOCKET only");
        }
        *path = argument;
        break;
    case ARGP_KEY_END:
        if (*path == NULL) {
            argp_error(state, "SOCKET is missing");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_audit(int argc, char **argv)
{
    static const char documentation[] =
        "Prints what a running secenv says of itself over its audit socket, as one JSON object: profile, "
        "counters, identities with their associations and groups.";
    const struct argp argp = {NULL, parse_option, "SOCKET", documentation, NULL, NULL, NULL};
    const char *path = NULL;
    if (argp_parse(&argp, argc, argv, 0, NULL, &path) != 0) {
        return EXIT_USAGE;
    }
    const struct secenv_client_settings settings = {.socket_path = path};
    char why[256] = "";
    struct secenv_client *client = secenv_client_open(&settings, why, sizeof(why));
    if (client == NULL) {
        return program_fail("%s", why);
    }
    int exit_status = audit(client);
    secenv_client_close(client);
    return exit_status;
}
