/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"
#include "agents/in-cse/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- member list ---- */

static const char *kind_word(Groupseal__Secenv__MemberKind kind)
{
    return kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE ? "mn-cse" : "adn-ae";
}

static const char *mode_word(Groupseal__Secenv__Mode mode)
{
    return mode == GROUPSEAL__SECENV__MODE__MODE_PSK ? "psk" : "cert";
}

static void member_table_row(struct table *table, const Groupseal__Secenv__MemberRow *row, uint64_t now_ms)
{
    char age[WORDS_AGE_SIZE];
    char *functions = words_join(row->functions, row->n_functions);
    char *groups = words_join(row->groups, row->n_groups);
    char when[WORDS_TIME_SIZE];
    words_time(row->associated_ms, when);
    words_age(now_ms, row->leaf_ms, age);
    const char *cells[] = {
        row->name, kind_word(row->kind), mode_word(row->mode), row->site, functions, row->state, groups, when,
        age};
    table_row(table, cells);
    free(functions);
    free(groups);
}

static void member_json(cJSON *array, const Groupseal__Secenv__MemberRow *row)
{
    cJSON *object = cJSON_CreateObject();
    json_line_text(object, "name", row->name);
    json_line_text(object, "kind", kind_word(row->kind));
    json_line_text(object, "mode", mode_word(row->mode));
    json_line_text(object, "site", row->site);
    json_line_texts(object, "functions", row->functions, row->n_functions);
    json_line_text(object, "state", row->state);
    json_line_texts(object, "groups", row->groups, row->n_groups);
    json_line_time(object, "associated", row->associated_ms);
    json_line_time(object, "oldest_leaf", row->leaf_ms);
    cJSON_AddItemToArray(array, object);
}

/* All pages, into the table or the array. */
static enum exit_code members_read(struct operator_session *session, struct table *table, cJSON *array)
{
    char after[ONEM2M_ID_LIMIT + 1] = "";
    bool more = true;
    enum exit_code code = EXIT_DONE;
    while (more && code == EXIT_DONE) {
        Groupseal__Secenv__MemberList list = GROUPSEAL__SECENV__MEMBER_LIST__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        Groupseal__Secenv__FromSecenv *message = NULL;
        list.after = after;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_LIST;
        request.member_list = &list;
        code = operator_call(session, &request, &message);
        if (code != EXIT_DONE) {
            break;
        }
        const Groupseal__Secenv__Members *members =
            message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_MEMBERS
                ? message->reply->members
                : NULL;
        more = members != NULL && members->more && members->n_members > 0;
        for (size_t i = 0; members != NULL && i < members->n_members; i++) {
            if (array != NULL) {
                member_json(array, members->members[i]);
            } else {
                member_table_row(table, members->members[i], members->time_ms);
            }
            snprintf(after, sizeof(after), "%s", members->members[i]->name);
        }
        secenv_client_free(message);
    }
    return code;
}

enum exit_code command_member_list(int argc, char **argv)
{
    static const struct argp parser = {
        NULL, one_argument_parse, NULL, "Lists the members.", common_children, NULL, NULL};
    static const char *const titles[] = {"NAME",  "KIND",   "MODE",          "SITE",    "FUNCTIONS",
                                         "STATE", "GROUPS", "AUTHENTICATED", "LEAF AGE"};
    struct one_argument arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    struct table *table = table_new(titles, sizeof(titles) / sizeof(titles[0]));
    cJSON *array = arguments.common.json ? cJSON_CreateArray() : NULL;
    enum exit_code code = table != NULL ? operator_open(&arguments.common, &session) : EXIT_FAILED;
    if (code == EXIT_DONE) {
        code = members_read(session, table, array);
    }
    if (code != EXIT_DONE) {
        cJSON_Delete(array);
    } else if ((arguments.common.json ? json_line_put(array) : table_print(table, "no members", stdout)) !=
               0) {
        operator_say("out of memory");
        code = EXIT_FAILED;
    }
    table_free(table);
    operator_close(session);
    return code;
}

/* ---- member reauthenticate ---- */

enum exit_code command_member_reauthenticate(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        "NAME",
        "Asks a member for a new end-to-end authentication; with it its leaves are replaced.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        char name[ONEM2M_ID_LIMIT + 1];
        Groupseal__Secenv__MemberReauthenticate ask = GROUPSEAL__SECENV__MEMBER_REAUTHENTICATE__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        ask.name = name;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_REAUTHENTICATE;
        request.member_reauthenticate = &ask;
        code = operator_resolve(session, arguments.argument, name)
                   ? operator_change_say(session, &request, arguments.common.json, name,
                                         "asked to authenticate again")
                   : EXIT_USAGE;
    }
    operator_close(session);
    return code;
}

/* ---- member move ---- */

static enum exit_code member_move(struct operator_session *session, const struct one_argument *arguments)
{
    char name[ONEM2M_ID_LIMIT + 1];
    char site[ONEM2M_ID_LIMIT + 1];
    char done[ONEM2M_ID_LIMIT + 16];
    Groupseal__Secenv__MemberMove move = GROUPSEAL__SECENV__MEMBER_MOVE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    if (!operator_resolve(session, arguments->argument, name) ||
        !operator_resolve(session, arguments->site, site)) {
        return EXIT_USAGE;
    }
    snprintf(done, sizeof(done), "is at %s now", site);
    move.name = name;
    move.site = site;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_MOVE;
    request.member_move = &move;
    return operator_change_say(session, &request, arguments->common.json, name, done);
}

enum exit_code command_member_move(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"site", KEY_TO_SITE, "CSE", 0, "The MN-CSE where it registers from now on", 0}, {0}};
    static const struct argp parser = {options,
                                       one_argument_parse,
                                       "NAME",
                                       "Moves a device to another MN-CSE: groups that are not relayed there "
                                       "change their keys without it, those "
                                       "that are give it a leaf, and orders that it has not answered follow "
                                       "it. Its configuration must name the new "
                                       "registrar and broker; its store and credentials stay as they are.",
                                       common_children,
                                       NULL,
                                       NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    if (arguments.site == NULL) {
        operator_say("--site says where it goes");
        return EXIT_USAGE;
    }

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = member_move(session, &arguments);
    }
    operator_close(session);
    return code;
}

/* ---- member confirm ---- */

#define CONFIRM_LIMIT 64u
#define KEY_ALL 0x200

struct confirm_arguments {
    struct operator_options common;
    bool all;
    const char *names[CONFIRM_LIMIT];
    size_t count;
};

static error_t confirm_parse(int key, char *argument, struct argp_state *state)
{
    struct confirm_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_ALL:
        arguments->all = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->count == CONFIRM_LIMIT) {
            argp_error(state, "at most %u members at a time", CONFIRM_LIMIT);
        }
        arguments->names[arguments->count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->all == (arguments->count != 0)) {
            argp_error(state, "name members, or say --all");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum exit_code member_confirm(struct operator_session *session,
                                     const struct confirm_arguments *arguments)
{
    char ids[CONFIRM_LIMIT][ONEM2M_ID_LIMIT + 1];
    char *names[CONFIRM_LIMIT];
    Groupseal__Secenv__MemberConfirm confirm = GROUPSEAL__SECENV__MEMBER_CONFIRM__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    for (size_t i = 0; i < arguments->count; i++) {
        if (!operator_resolve(session, arguments->names[i], ids[i])) {
            return EXIT_USAGE;
        }
        names[i] = ids[i];
    }
    confirm.names = names;
    confirm.n_names = arguments->count;
    confirm.all = arguments->all;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_CONFIRM;
    request.member_confirm = &confirm;
    enum exit_code code = operator_change(session, &request, &message);
    secenv_client_free(message);
    for (size_t i = 0; code == EXIT_DONE && !arguments->common.json && i < arguments->count; i++) {
        printf("%s: confirmed\n", ids[i]);
    }
    if (code == EXIT_DONE && arguments->common.json) {
        cJSON *object = cJSON_CreateObject();
        json_line_texts(object, "names", names, arguments->count);
        cJSON_AddBoolToObject(object, "all", arguments->all);
        json_line_text(object, "state", "confirmed");
        json_line_put(object);
    } else if (code == EXIT_DONE && arguments->all) {
        printf("all that waited: confirmed\n");
    }
    return code;
}

enum exit_code command_member_confirm(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"all", KEY_ALL, NULL, 0, "All that wait (`in-cse member list` shows them as unconfirmed)", 0}, {0}};
    static const struct argp parser = {
        options,
        confirm_parse,
        "NAME...",
        "After a new incarnation (a store that was restored from a backup) lets members authenticate again. "
        "Who was evicted stays out.",
        common_children,
        NULL,
        NULL};
    struct confirm_arguments arguments = {.all = false};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = member_confirm(session, &arguments);
    }
    operator_close(session);
    return code;
}
