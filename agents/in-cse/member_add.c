/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/new_member.h"
#include "agents/in-cse/roster_file.h"

#include "secenv/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* {"added":N} or a line. */
static void added_print(bool json, size_t count)
{
    if (json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "added", (double)count);
        json_line_put(object);
    } else {
        printf("%zu %s added\n", count, count == 1 ? "member" : "members");
    }
}

/* ---- member add ---- */

struct add_arguments {
    struct operator_options common;
    struct new_member_wish wish;
    const char *kind;
    const char *mode;
    char *functions[ROSTER_FUNCTIONS_LIMIT];
};

enum { KEY_KIND = 0x100, KEY_MODE, KEY_PSK_FILE, KEY_PSK_IDENTITY, KEY_SITE, KEY_FUNCTION };

static const struct argp_option add_options[] = {
    {"kind", KEY_KIND, "KIND", 0, "adn-ae or mn-cse", 0},
    {"mode", KEY_MODE, "MODE", 0, "End-to-end authentication: cert or psk", 0},
    {"psk-file", KEY_PSK_FILE, "FILE", 0, "The key, 32 bytes in hexadecimal digits (mode psk)", 0},
    {"psk-identity", KEY_PSK_IDENTITY, "TEXT", 0, "The key's identity (mode psk; default: the absolute id)",
     0},
    {"site", KEY_SITE, "CSE", 0, "Its MN-CSE (adn-ae)", 0},
    {"function", KEY_FUNCTION, "WORD", 0, "What it does, as \"door\"; may be given several times", 0},
    {0},
};

/* What is wrong with the arguments, or NULL. */
static const char *add_complaint(struct add_arguments *arguments)
{
    struct new_member_wish *wish = &arguments->wish;
    const char *kind = arguments->kind != NULL ? arguments->kind : "";
    const char *mode = arguments->mode != NULL ? arguments->mode : "";
    wish->mn_cse = strcmp(kind, "mn-cse") == 0;
    wish->psk = strcmp(mode, "psk") == 0;
    if (wish->name == NULL) {
        return "name the member";
    }
    if (!wish->mn_cse && strcmp(kind, "adn-ae") != 0) {
        return "--kind must be adn-ae or mn-cse";
    }
    if (!wish->psk && strcmp(mode, "cert") != 0) {
        return "--mode must be cert or psk";
    }
    if (wish->psk && wish->psk_file == NULL) {
        return "--mode psk needs --psk-file";
    }
    if (!wish->psk && (wish->psk_file != NULL || wish->psk_identity != NULL)) {
        return "--psk-file and --psk-identity are for --mode psk";
    }
    if (wish->mn_cse == (wish->site != NULL)) {
        return wish->mn_cse ? "an mn-cse has no --site, it is one" : "an adn-ae needs --site";
    }
    return NULL;
}

static error_t add_parse(int key, char *argument, struct argp_state *state)
{
    struct add_arguments *arguments = state->input;
    const char *complaint = NULL;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_KIND:
        arguments->kind = argument;
        return 0;
    case KEY_MODE:
        arguments->mode = argument;
        return 0;
    case KEY_PSK_FILE:
        arguments->wish.psk_file = argument;
        return 0;
    case KEY_PSK_IDENTITY:
        arguments->wish.psk_identity = argument;
        return 0;
    case KEY_SITE:
        arguments->wish.site = argument;
        return 0;
    case KEY_FUNCTION:
        if (arguments->wish.function_count == ROSTER_FUNCTIONS_LIMIT) {
            argp_error(state, "at most %u functions", ROSTER_FUNCTIONS_LIMIT);
        }
        arguments->functions[arguments->wish.function_count++] = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one member at a time; for many there is `in-cse member import`");
        }
        arguments->wish.name = argument;
        return 0;
    case ARGP_KEY_END:
        complaint = add_complaint(arguments);
        if (complaint != NULL) {
            argp_error(state, "%s", complaint);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

enum exit_code command_member_add(int argc, char **argv)
{
    static const struct argp parser = {
        add_options,     add_parse, "NAME", "Enrols a member: from now on it may authenticate.",
        common_children, NULL,      NULL};
    struct add_arguments arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    arguments.wish.functions = arguments.functions;

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        struct new_member member = {0};
        code = new_member_make(session, &arguments.wish, &member) ? new_members_add(session, &member, 1)
                                                                  : EXIT_USAGE;
        new_member_clear(&member);
    }
    if (code == EXIT_DONE) {
        added_print(arguments.common.json, 1);
    }
    operator_close(session);
    return code;
}

/* ---- member import ---- */

/* A path of the CSV file, taken from its folder; malloc'd. */
static char *beside(const char *csv, const char *path)
{
    char *joined = NULL;
    const char *slash = strrchr(csv, '/');
    if (path[0] == '/' || slash == NULL) {
        return strdup(path);
    }
    return asprintf(&joined, "%.*s%s", (int)(slash + 1 - csv), csv, path) >= 0 ? joined : NULL;
}

static bool row_make(const struct operator_session *session, const char *csv, const struct roster_row *row,
                     struct new_member *out)
{
    char *psk_file = beside(csv, row->psk_file);
    struct new_member_wish wish = {.name = row->name,
                                   .mn_cse = row->mn_cse,
                                   .psk = row->psk,
                                   .psk_file = psk_file,
                                   .site = row->site,
                                   .functions = (char **)(uintptr_t)row->functions,
                                   .function_count = row->function_count};
    bool made = psk_file != NULL && new_member_make(session, &wish, out);
    free(psk_file);
    if (!made) {
        operator_say("%s, row %zu: not added", csv, row->line);
    }
    return made;
}

/* Adds up to NEW_MEMBERS_LIMIT rows; all or none of them. */
static enum exit_code batch_add(struct operator_session *session, const char *csv,
                                const struct roster_row *rows, size_t count)
{
    struct new_member *members = calloc(count, sizeof(*members));
    enum exit_code code = members != NULL ? EXIT_DONE : EXIT_FAILED;
    for (size_t i = 0; code == EXIT_DONE && i < count; i++) {
        code = row_make(session, csv, &rows[i], &members[i]) ? EXIT_DONE : EXIT_FAILED;
    }
    if (code == EXIT_DONE) {
        code = new_members_add(session, members, count);
    }
    for (size_t i = 0; members != NULL && i < count; i++) {
        new_member_clear(&members[i]);
    }
    free(members);
    return code;
}

static enum exit_code rows_add(struct operator_session *session, const char *csv,
                               const struct roster_file *file, bool json)
{
    size_t added = 0;
    enum exit_code code = EXIT_DONE;
    struct progress progress;
    progress_begin(&progress, "in-cse: members added", file->count);
    while (code == EXIT_DONE && added < file->count) {
        size_t count = file->count - added < NEW_MEMBERS_LIMIT ? file->count - added : NEW_MEMBERS_LIMIT;
        code = batch_add(session, csv, file->rows + added, count);
        if (code == EXIT_DONE) {
            added += count;
            progress_step(&progress, added);
        } else {
            operator_say("rows %zu to %zu of %s, and what follows, were not added", file->rows[added].line,
                         file->rows[added + count - 1].line, csv);
        }
    }
    added_print(json, added);
    return code;
}

enum exit_code command_member_import(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        "FILE.csv",
        "Enrols the members in a CSV file, whose first row is name,kind,mode,psk_file,site,functions. "
        "They are added in batches of 64 rows, all or none of a batch; the first batch that fails ends it.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    char why[512];
    struct roster_file rows;
    FILE *file = fopen(arguments.argument, "re");
    if (file == NULL) {
        operator_say("cannot read %s: %s", arguments.argument, strerror(errno));
        return EXIT_FAILED;
    }
    bool read = roster_file_read(file, &rows, why, sizeof(why));
    fclose(file);
    if (!read) {
        operator_say("%s: %s", arguments.argument, why);
        return EXIT_FAILED;
    }
    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = rows_add(session, arguments.argument, &rows, arguments.common.json);
    }
    operator_close(session);
    roster_file_clear(&rows);
    return code;
}
