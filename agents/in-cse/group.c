/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/group_change.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"
#include "agents/in-cse/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITES_LIMIT 15u /* the authority takes no more */

/* ---- group create ---- */

struct create_arguments {
    struct operator_options common;
    Groupseal__Secenv__GroupCreate create;
    const char *sites[SITES_LIMIT];
    size_t site_count;
};

enum {
    KEY_FUNCTION = 0x100,
    KEY_SITE,
    KEY_OVERLAP,
    KEY_WINDOW,
    KEY_BEAT,
    KEY_ROTATE,
    KEY_AEAD,
    KEY_REFUSE_OVERDUE,
    KEY_SIGN_MESSAGES,
    KEY_MN_COMMANDS
};

static const struct argp_option create_options[] = {
    {"function", KEY_FUNCTION, "WORD", 0, "Members with this function belong to the group", 0},
    {"site", KEY_SITE, "CSE", 0, "An MN-CSE that relays it; may be given several times", 0},
    {"overlap", KEY_OVERLAP, "TIME", 0, "How long the epoch before is still taken (default 30s)", 0},
    {"response-window", KEY_WINDOW, "TIME", 0, "Members spread their receipts over it (default 500ms)", 0},
    {"beat", KEY_BEAT, "TIME", 0, "Interval of the authority's sign of life (default 15m)", 0},
    {"rotate-every", KEY_ROTATE, "TIME", 0, "The key is changed when it is as old, or \"off\" (default 24h)",
     0},
    {"aead", KEY_AEAD, "NAME", 0, "chacha20-poly1305 (default) or aes-256-gcm", 0},
    {"refuse-when-overdue", KEY_REFUSE_OVERDUE, NULL, 0,
     "Members refuse commands when three beats are missing (default: alarm). Ends the site's autonomy while "
     "the "
     "IN-CSE is off",
     0},
    {"sign-messages", KEY_SIGN_MESSAGES, NULL, 0, "Member messages are signed: rules may act on them", 0},
    {"mn-cse-commands", KEY_MN_COMMANDS, NULL, 0, "MN-CSEs of the group are commanders too", 0},
    {0},
};

static uint32_t duration_take(const struct argp_state *state, const char *text, uint64_t limit_ms)
{
    uint64_t ms = 0;
    if (!operator_duration(text, limit_ms, &ms) || ms == 0) {
        argp_error(state, "\"%s\" is not a time: write 500ms, 30s, 15m or 1h", text);
    }
    return (uint32_t)ms;
}

static error_t create_parse(int key, char *argument, struct argp_state *state)
{
    struct create_arguments *arguments = state->input;
    Groupseal__Secenv__GroupCreate *create = &arguments->create;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_FUNCTION:
        create->function = argument;
        return 0;
    case KEY_SITE:
        if (arguments->site_count == SITES_LIMIT) {
            argp_error(state, "at most %u sites", SITES_LIMIT);
        }
        arguments->sites[arguments->site_count++] = argument;
        return 0;
    case KEY_OVERLAP:
        create->overlap_ms = duration_take(state, argument, 3600000);
        return 0;
    case KEY_WINDOW:
        create->response_window_ms = duration_take(state, argument, 3600000);
        return 0;
    case KEY_BEAT:
        create->beat_interval_s = (duration_take(state, argument, (uint64_t)7 * 86400000) + 999) / 1000;
        return 0;
    case KEY_ROTATE:
        create->rotate_every_s = group_rotation_take(state, argument);
        return 0;
    case KEY_AEAD:
        create->aead = argument;
        return 0;
    case KEY_REFUSE_OVERDUE:
        create->refuse_when_overdue = true;
        return 0;
    case KEY_SIGN_MESSAGES:
        create->sign_member_messages = true;
        return 0;
    case KEY_MN_COMMANDS:
        create->authority_only = false;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one group at a time");
        }
        create->name = argument;
        return 0;
    case ARGP_KEY_END:
        if (create->name[0] == '\0' || create->function[0] == '\0' || arguments->site_count == 0) {
            argp_error(state, "a group needs a NAME, --function and --site");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum exit_code group_create(struct operator_session *session, struct create_arguments *arguments)
{
    char ids[SITES_LIMIT][ONEM2M_ID_LIMIT + 1];
    char *sites[SITES_LIMIT];
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    for (size_t i = 0; i < arguments->site_count; i++) {
        if (!operator_resolve(session, arguments->sites[i], ids[i])) {
            return EXIT_USAGE;
        }
        sites[i] = ids[i];
    }
    arguments->create.sites = sites;
    arguments->create.n_sites = arguments->site_count;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_CREATE;
    request.group_create = &arguments->create;
    enum exit_code code = operator_change(session, &request, &message);
    secenv_client_free(message);
    return code;
}

enum exit_code command_group_create(int argc, char **argv)
{
    static const struct argp parser = {
        create_options,
        create_parse,
        "NAME",
        "Makes a group of the members that have a function, now and later. Its key is made in the secure "
        "environment, and goes to each member when it has authenticated.",
        common_children,
        NULL,
        NULL};
    struct create_arguments arguments = {.create = GROUPSEAL__SECENV__GROUP_CREATE__INIT};
    arguments.create.authority_only = true;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    if (arguments.create.refuse_when_overdue) {
        operator_say("members of %s will refuse commands while the IN-CSE is away for more than three beats",
                     arguments.create.name);
    }
    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = group_create(session, &arguments);
    }
    if (code == EXIT_DONE && arguments.common.json) {
        cJSON *object = cJSON_CreateObject();
        json_line_text(object, "name", arguments.create.name);
        json_line_put(object);
    } else if (code == EXIT_DONE) {
        printf("%s: created\n", arguments.create.name);
    }
    operator_close(session);
    return code;
}

/* ---- group list ---- */

static cJSON *group_json(const Groupseal__Secenv__GroupRow *row)
{
    cJSON *object = cJSON_CreateObject();
    json_line_text(object, "name", row->name);
    json_line_text(object, "function", row->function);
    cJSON_AddNumberToObject(object, "incarnation", (double)row->incarnation);
    cJSON_AddNumberToObject(object, "epoch", (double)row->epoch);
    cJSON_AddNumberToObject(object, "members", row->members);
    json_line_texts(object, "sites", row->sites, row->n_sites);
    return object;
}

static int groups_print(const Groupseal__Secenv__Groups *groups)
{
    static const char *const titles[] = {"NAME", "FUNCTION", "MEMBERS", "EPOCH", "SITES"};
    struct table *table = table_new(titles, 5);
    if (table == NULL) {
        return -1;
    }
    for (size_t i = 0; i < groups->n_groups; i++) {
        const Groupseal__Secenv__GroupRow *row = groups->groups[i];
        char members[16];
        char epoch[24];
        char *sites = words_join(row->sites, row->n_sites);
        snprintf(members, sizeof(members), "%" PRIu32, row->members);
        snprintf(epoch, sizeof(epoch), "%" PRIu64, row->epoch);
        const char *cells[] = {row->name, row->function, members, epoch, sites};
        table_row(table, cells);
        free(sites);
    }
    int state = table_print(table, "no groups", stdout);
    table_free(table);
    return state;
}

static int groups_print_json(const Groupseal__Secenv__Groups *groups)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < groups->n_groups; i++) {
        cJSON_AddItemToArray(array, group_json(groups->groups[i]));
    }
    return json_line_put(array);
}

enum exit_code command_group_list(int argc, char **argv)
{
    static const struct argp parser = {
        NULL, one_argument_parse, NULL, "Lists the groups.", common_children, NULL, NULL};
    struct one_argument arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    Groupseal__Secenv__FromSecenv *message = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        Groupseal__Secenv__GroupList list = GROUPSEAL__SECENV__GROUP_LIST__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST;
        request.group_list = &list;
        code = operator_call(session, &request, &message);
    }
    if (code == EXIT_DONE) {
        static const Groupseal__Secenv__Groups none = GROUPSEAL__SECENV__GROUPS__INIT;
        const Groupseal__Secenv__Groups *groups =
            message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_GROUPS ? message->reply->groups
                                                                                     : &none;
        int state = arguments.common.json ? groups_print_json(groups) : groups_print(groups);
        code = state == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    secenv_client_free(message);
    operator_close(session);
    return code;
}

/* ---- group show ---- */

static void holdings_json(cJSON *object, const Groupseal__Secenv__GroupDetail *group)
{
    cJSON *sites = cJSON_AddArrayToObject(object, "holdings");
    for (size_t i = 0; i < group->n_holdings; i++) {
        cJSON *row = cJSON_CreateObject();
        json_line_text(row, "site", group->holdings[i]->site);
        cJSON_AddNumberToObject(row, "epoch", (double)group->holdings[i]->epoch);
        cJSON_AddNumberToObject(row, "devices", group->holdings[i]->devices);
        cJSON_AddNumberToObject(row, "behind", group->holdings[i]->behind);
        json_line_time(row, "told", group->holdings[i]->told_ms);
        cJSON_AddItemToArray(sites, row);
    }
}

static int detail_json(const Groupseal__Secenv__GroupDetail *group)
{
    cJSON *object = group_json(group->group);
    json_line_text(object, "instance", group->instance);
    cJSON_AddNumberToObject(object, "policy_number", (double)group->policy_number);
    json_line_text(object, "aead", group->aead);
    cJSON_AddNumberToObject(object, "overlap_ms", group->overlap_ms);
    cJSON_AddNumberToObject(object, "response_window_ms", group->response_window_ms);
    cJSON_AddNumberToObject(object, "beat_interval_s", group->beat_interval_s);
    cJSON_AddBoolToObject(object, "refuse_when_overdue", group->refuse_when_overdue);
    cJSON_AddBoolToObject(object, "sign_member_messages", group->sign_member_messages);
    cJSON_AddBoolToObject(object, "authority_only", group->authority_only);
    cJSON_AddBoolToObject(object, "held", group->held);
    cJSON_AddNumberToObject(object, "rotate_every_s", group->rotate_every_s);
    json_line_time(object, "changed", group->changed_ms);
    holdings_json(object, group);
    cJSON *members = cJSON_AddArrayToObject(object, "roster");
    for (size_t i = 0; i < group->n_members; i++) {
        cJSON *row = cJSON_CreateObject();
        json_line_text(row, "name", group->members[i]->name);
        cJSON_AddNumberToObject(row, "serial", (double)group->members[i]->serial);
        cJSON_AddNumberToObject(row, "leaf_index", group->members[i]->leaf_index);
        cJSON_AddBoolToObject(row, "package_taken", group->members[i]->package_taken);
        json_line_time(row, "leaf_made", group->members[i]->leaf_ms);
        json_line_text(row, "site", group->members[i]->site);
        cJSON_AddBoolToObject(row, "behind", group->members[i]->behind);
        if (group->members[i]->behind) {
            cJSON_AddNumberToObject(row, "held_epoch", (double)group->members[i]->held_epoch);
            json_line_time(row, "behind_since", group->members[i]->behind_ms);
        }
        cJSON_AddItemToArray(members, row);
    }
    return json_line_put(object);
}

static void holdings_print(const Groupseal__Secenv__GroupDetail *group)
{
    for (size_t i = 0; i < group->n_holdings; i++) {
        const Groupseal__Secenv__SiteHolding *site = group->holdings[i];
        char age[WORDS_AGE_SIZE];
        words_age(group->time_ms, site->told_ms, age);
        printf("%s %s: %" PRIu32 " of %" PRIu32 " devices have epoch %" PRIu64
               " or a later one (told %s ago)\n",
               i == 0 ? "held by         " : "                ", site->site, site->devices - site->behind,
               site->devices, site->epoch, age);
    }
}

static void facts_print(const Groupseal__Secenv__GroupDetail *group)
{
    const Groupseal__Secenv__GroupRow *row = group->group;
    char *sites = words_join(row->sites, row->n_sites);
    printf("group            %s\nfunction         %s\nsites            %s\ninstance         %s\n", row->name,
           row->function, sites != NULL ? sites : "", group->instance);
    printf("epoch            %" PRIu64 " (incarnation %" PRIu64 ")\npolicy           number %" PRIu64
           ", %s\n",
           row->epoch, row->incarnation, group->policy_number, group->aead);
    printf("overlap          %.3g s\nresponse window  %" PRIu32 " ms\nbeat             every %" PRIu32
           " s; three missing: %s\n",
           group->overlap_ms / 1000.0, group->response_window_ms, group->beat_interval_s,
           group->refuse_when_overdue ? "commands are refused" : "alarm");
    if (group->held) {
        printf("held             not changed, nor announced, until one of its MN-CSEs has said what it "
               "holds: this "
               "store may be a backup; `in-cse group release %s` does not wait\n",
               row->name);
    }
    char age[WORDS_AGE_SIZE];
    char every[WORDS_AGE_SIZE] = "off";
    words_age(group->time_ms, group->changed_ms, age);
    if (group->rotate_every_s != 0) {
        words_length(group->rotate_every_s * UINT64_C(1000), every);
    }
    printf("key              %s%s; rotation by age: %s\n",
           group->changed_ms == 0 && row->epoch != 0 ? "to be rotated" : age,
           group->changed_ms != 0 ? " old" : "", every);
    holdings_print(group);
    printf("commanders       %s\nmember messages  %s\n\n",
           group->authority_only ? "the IN-CSE only" : "the IN-CSE and its MN-CSEs",
           group->sign_member_messages ? "signed" : "unsigned");
    free(sites);
}

/* "epoch 12, for 3m"; "-" where it is not behind. */
static void behind_words(const Groupseal__Secenv__GroupDetail *group,
                         const Groupseal__Secenv__GroupMemberRow *row, char *out, size_t size)
{
    char age[WORDS_AGE_SIZE];
    words_age(group->time_ms, row->behind_ms, age);
    if (!row->behind) {
        snprintf(out, size, "-");
    } else if (row->held_epoch == 0) {
        snprintf(out, size, "no epoch, for %s", age);
    } else {
        snprintf(out, size, "epoch %" PRIu64 ", for %s", row->held_epoch, age);
    }
}

static int detail_print(const Groupseal__Secenv__GroupDetail *group, bool only_behind)
{
    static const char *const titles[] = {"MEMBER", "SERIAL", "LEAF", "AGE", "KEY PACKAGE", "BEHIND", "SITE"};
    struct table *table = table_new(titles, 7);
    if (table == NULL) {
        return -1;
    }
    facts_print(group);
    for (size_t i = 0; i < group->n_members; i++) {
        const Groupseal__Secenv__GroupMemberRow *row = group->members[i];
        char serial[24];
        char leaf[16];
        snprintf(serial, sizeof(serial), "%" PRIu64, row->serial);
        char age[WORDS_AGE_SIZE];
        snprintf(leaf, sizeof(leaf), "%" PRIu32, row->leaf_index);
        words_age(group->time_ms, row->leaf_ms, age);
        char behind[WORDS_AGE_SIZE + 48];
        behind_words(group, row, behind, sizeof(behind));
        const char *cells[] = {row->name, serial,   leaf, age, row->package_taken ? "taken" : "waiting",
                               behind,    row->site};
        table_row(table, cells);
    }
    int state = table_print(table, only_behind ? "nobody is behind" : "no members yet", stdout);
    table_free(table);
    return state;
}

/* A group whose members came in several replies. */
struct shown {
    Groupseal__Secenv__FromSecenv **replies;
    size_t count;
    Groupseal__Secenv__GroupMemberRow **members; /* of all of them; the replies' */
    size_t member_count;
};

static void shown_clear(struct shown *shown)
{
    for (size_t i = 0; i < shown->count; i++) {
        secenv_client_free(shown->replies[i]);
    }
    free((void *)shown->members);
    free((void *)shown->replies);
}

/* Takes the reply. */
static bool shown_take(struct shown *shown, Groupseal__Secenv__FromSecenv *reply)
{
    const Groupseal__Secenv__GroupDetail *group = reply->reply->group;
    size_t count = shown->member_count + group->n_members;
    Groupseal__Secenv__FromSecenv **replies =
        realloc((void *)shown->replies, (shown->count + 1) * sizeof(*replies));
    if (replies != NULL) {
        shown->replies = replies;
    }
    Groupseal__Secenv__GroupMemberRow **members =
        realloc((void *)shown->members, (count + 1) * sizeof(*members));
    if (members != NULL) {
        shown->members = members;
    }
    if (replies == NULL || members == NULL) {
        secenv_client_free(reply);
        return false;
    }
    shown->replies[shown->count++] = reply;
    for (size_t i = 0; i < group->n_members; i++) {
        shown->members[shown->member_count++] = group->members[i];
    }
    return true;
}

static enum exit_code shown_load(struct operator_session *session, const struct one_argument *arguments,
                                 struct shown *shown)
{
    Groupseal__Secenv__GroupShow show = GROUPSEAL__SECENV__GROUP_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    bool more = true;
    show.name = (char *)(uintptr_t)arguments->argument;
    show.behind = arguments->behind;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SHOW;
    request.group_show = &show;
    while (more) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        enum exit_code code = operator_call(session, &request, &message);
        if (code != EXIT_DONE) {
            return code;
        }
        if (message->reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_GROUP ||
            message->reply->group->group == NULL) {
            operator_say("the secure environment sent no group");
            secenv_client_free(message);
            return EXIT_FAILED;
        }
        more = message->reply->group->more && message->reply->group->n_members > 0;
        if (!shown_take(shown, message)) {
            operator_say("out of memory");
            return EXIT_FAILED;
        }
        show.after = more ? shown->members[shown->member_count - 1]->name : show.after;
    }
    return EXIT_DONE;
}

static enum exit_code group_show(struct operator_session *session, const struct one_argument *arguments)
{
    struct shown shown = {.count = 0};
    enum exit_code code = shown_load(session, arguments, &shown);
    if (code == EXIT_DONE) {
        Groupseal__Secenv__GroupDetail whole = *shown.replies[0]->reply->group;
        whole.members = shown.members;
        whole.n_members = shown.member_count;
        if ((arguments->common.json ? detail_json(&whole) : detail_print(&whole, arguments->behind)) != 0) {
            operator_say("out of memory");
            code = EXIT_FAILED;
        }
    }
    shown_clear(&shown);
    return code;
}

enum exit_code command_group_show(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"behind", KEY_BEHIND, NULL, 0, "Only members that have not the epoch that they should have", 0},
        {0}};
    static const struct argp parser = {
        options,
        one_argument_parse,
        "NAME",
        "Shows a group, who of its members holds which epoch, and its members.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = group_show(session, &arguments);
    }
    operator_close(session);
    return code;
}
