/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/group_change.h"

#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"

#include <stdio.h>
#include <string.h>

#define ROTATE_LEAST_MS 60000u
#define ROTATE_LIMIT_MS UINT64_C(31536000000)

uint32_t group_rotation_take(const struct argp_state *state, const char *text)
{
    uint64_t ms = 0;
    if (strcmp(text, "off") == 0) {
        return UINT32_MAX;
    }
    if (!operator_duration(text, ROTATE_LIMIT_MS, &ms) || ms < ROTATE_LEAST_MS) {
        argp_error(state, "--rotate-every is off or a time of 1m to 365d, not \"%s\"", text);
    }
    return (uint32_t)(ms / 1000);
}

/* ---- group set ---- */

struct set_arguments {
    struct one_argument one; /* first: its parser is a child's */
    Groupseal__Secenv__GroupSet set;
};

enum { KEY_AUTHORITY_ONLY = 0x300, KEY_COMMANDS, KEY_SIGN, KEY_NO_SIGN, KEY_ROTATE_EVERY };

static const struct argp_option set_options[] = {
    {"mn-cse-commands", KEY_COMMANDS, NULL, 0, "The group's MN-CSEs are commanders, each at its site", 0},
    {"authority-only", KEY_AUTHORITY_ONLY, NULL, 0, "They are not: the IN-CSE alone commands", 0},
    {"sign-messages", KEY_SIGN, NULL, 0, "Member messages are signed: rules may act on them", 0},
    {"no-sign-messages", KEY_NO_SIGN, NULL, 0, "They are not signed", 0},
    {"rotate-every", KEY_ROTATE_EVERY, "TIME", 0, "The key is changed when it is as old, or \"off\"", 0},
    {0},
};

static error_t set_parse(int key, char *argument, struct argp_state *state)
{
    struct set_arguments *arguments = state->input;
    switch (key) {
    case KEY_COMMANDS:
    case KEY_AUTHORITY_ONLY:
        arguments->set.mn_cse_commands =
            key == KEY_COMMANDS ? GROUPSEAL__SECENV__SWITCH__ON : GROUPSEAL__SECENV__SWITCH__OFF;
        return 0;
    case KEY_SIGN:
    case KEY_NO_SIGN:
        arguments->set.sign_member_messages =
            key == KEY_SIGN ? GROUPSEAL__SECENV__SWITCH__ON : GROUPSEAL__SECENV__SWITCH__OFF;
        return 0;
    case KEY_ROTATE_EVERY:
        arguments->set.rotate_every_s = group_rotation_take(state, argument);
        return 0;
    case ARGP_KEY_END:
        if (arguments->set.rotate_every_s == 0 &&
            arguments->set.mn_cse_commands == GROUPSEAL__SECENV__SWITCH__KEEP &&
            arguments->set.sign_member_messages == GROUPSEAL__SECENV__SWITCH__KEEP) {
            argp_error(state, "nothing to change: see --help");
        }
        break;
    default:
        break;
    }
    return one_argument_parse(key, argument, state);
}

enum exit_code command_group_set(int argc, char **argv)
{
    static const struct argp parser = {set_options,
                                       set_parse,
                                       "NAME",
                                       "Changes a group's policy, with a new key: members obey the new one "
                                       "as soon as they have heard of it.",
                                       common_children,
                                       NULL,
                                       NULL};
    struct set_arguments arguments = {.one = {.takes_one = true}, .set = GROUPSEAL__SECENV__GROUP_SET__INIT};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.one.common, &session);
    if (code == EXIT_DONE) {
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        arguments.set.name = (char *)(uintptr_t)arguments.one.argument;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SET;
        request.group_set = &arguments.set;
        code = operator_change_say(session, &request, arguments.one.common.json, arguments.one.argument,
                                   "changed");
    }
    operator_close(session);
    return code;
}

/* ---- group rotate, release, delete ---- */

/* A request that holds a group's name and nothing else. */
union named_request {
    Groupseal__Secenv__GroupRotate rotate;
    Groupseal__Secenv__GroupRelease release;
    Groupseal__Secenv__GroupDelete delete;
};
typedef void named_fill(union named_request *content, char *name, Groupseal__Secenv__ToSecenv *request);

static enum exit_code named_run(int argc, char **argv, const char *doc, named_fill *fill, const char *done)
{
    const struct argp parser = {NULL, one_argument_parse, "NAME", doc, common_children, NULL, NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        union named_request content;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        fill(&content, (char *)(uintptr_t)arguments.argument, &request);
        code = operator_change_say(session, &request, arguments.common.json, arguments.argument, done);
    }
    operator_close(session);
    return code;
}

static void rotate_fill(union named_request *content, char *name, Groupseal__Secenv__ToSecenv *request)
{
    groupseal__secenv__group_rotate__init(&content->rotate);
    content->rotate.name = name;
    request->request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_ROTATE;
    request->group_rotate = &content->rotate;
}

enum exit_code command_group_rotate(int argc, char **argv)
{
    return named_run(argc, argv,
                     "Gives a group a new key, now. Its members stay, and find the key themselves; whoever "
                     "has stolen the group's key alone, and no member's leaf, loses it.",
                     rotate_fill, "rotated");
}

static void release_fill(union named_request *content, char *name, Groupseal__Secenv__ToSecenv *request)
{
    groupseal__secenv__group_release__init(&content->release);
    content->release.name = name;
    request->request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_RELEASE;
    request->group_release = &content->release;
}

enum exit_code command_group_release(int argc, char **argv)
{
    return named_run(argc, argv,
                     "Lets a held group be changed, though none of its MN-CSEs has said since the start "
                     "what it holds. Only where you know that this store is no backup, and no MN-CSE will "
                     "answer.",
                     release_fill, "released");
}

static void delete_fill(union named_request *content, char *name, Groupseal__Secenv__ToSecenv *request)
{
    groupseal__secenv__group_delete__init(&content->delete);
    content->delete.name = name;
    request->request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_DELETE;
    request->group_delete = &content->delete;
}

enum exit_code command_group_delete(int argc, char **argv)
{
    return named_run(argc, argv,
                     "Ends a group: its members wipe its keys when they hear of it, and its MN-CSEs clear "
                     "what their brokers retain. Its members stay in the roster. A group made again under "
                     "the name is another one.",
                     delete_fill, "deleted");
}
