/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/words.h"

#include <stdio.h>
#include <string.h>

#define LEAF_AGE_LEAST_MS 60000u
#define LEAF_AGE_LIMIT_MS UINT64_C(31536000000)
#define LEAF_AGE_NEVER UINT32_MAX
#define COLLECT_LIMIT_MS 60000u
#define COLLECT_NEVER UINT32_MAX

struct settings_arguments {
    struct operator_options common;
    Groupseal__Secenv__Settings wish;
};

enum { KEY_LEAF_AGE = 0x100, KEY_COLLECT };

static uint32_t age_take(const struct argp_state *state, const char *text)
{
    uint64_t ms = 0;
    if (strcmp(text, "off") == 0) {
        return LEAF_AGE_NEVER;
    }
    if (!operator_duration(text, LEAF_AGE_LIMIT_MS, &ms) || ms < LEAF_AGE_LEAST_MS) {
        argp_error(state, "--leaf-age is off or a time of 1m to 365d, not \"%s\"", text);
    }
    return (uint32_t)(ms / 1000);
}

static uint32_t collect_take(const struct argp_state *state, const char *text)
{
    uint64_t ms = 0;
    if (strcmp(text, "off") == 0) {
        return COLLECT_NEVER;
    }
    if (!operator_duration(text, COLLECT_LIMIT_MS, &ms) || ms == 0) {
        argp_error(state, "--collect is off or a time of 1ms to 1m, not \"%s\"", text);
    }
    return (uint32_t)ms;
}

static error_t settings_parse(int key, char *argument, struct argp_state *state)
{
    struct settings_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_LEAF_AGE:
        arguments->wish.leaf_age_s = age_take(state, argument);
        return 0;
    case KEY_COLLECT:
        arguments->wish.collect_ms = collect_take(state, argument);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void settings_print(bool json, const Groupseal__Secenv__SettingsReply *settings)
{
    char age[WORDS_AGE_SIZE] = "off";
    char collect[32] = "off";
    if (json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "leaf_age_s", settings->leaf_age_s);
        cJSON_AddNumberToObject(object, "collect_ms", settings->collect_ms);
        json_line_put(object);
        return;
    }
    if (settings->leaf_age_s != 0) {
        words_length(settings->leaf_age_s * UINT64_C(1000), age);
    }
    if (settings->collect_ms != 0) {
        (void)snprintf(collect, sizeof(collect), "%u ms", settings->collect_ms);
    }
    printf("leaf age         %s\n", age);
    printf("collect          %s\n", collect);
}

enum exit_code command_settings(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"leaf-age", KEY_LEAF_AGE, "TIME", 0,
         "Members authenticate anew, and their leaves are replaced, when these are as old, or \"off\" "
         "(default "
         "30d)",
         0},
        {"collect", KEY_COLLECT, "TIME", 0,
         "Members that come are collected for so long, into one change of their groups, or \"off\" (default "
         "100ms)",
         0},
        {0},
    };
    static const struct argp parser = {
        options,         settings_parse, NULL, "Shows what holds for the whole authority; options change it.",
        common_children, NULL,           NULL};
    struct settings_arguments arguments = {.wish = GROUPSEAL__SECENV__SETTINGS__INIT};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    Groupseal__Secenv__FromSecenv *message = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SETTINGS;
        request.settings = &arguments.wish;
        code = operator_change(session, &request, &message);
    }
    if (code == EXIT_DONE && message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_SETTINGS) {
        settings_print(arguments.common.json, message->reply->settings);
    }
    secenv_client_free(message);
    operator_close(session);
    return code;
}
