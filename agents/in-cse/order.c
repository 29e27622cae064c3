/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/order_list.h"
#include "agents/in-cse/report.h"
#include "agents/timer.h"
#include "secenv/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_LIMIT ((size_t)16 * 1024)
#define TARGETS_LIMIT 256u
#define VALID_DEFAULT_MS 60000u
#define VALID_LIMIT_MS ((uint64_t)24 * 3600 * 1000)
#define WAIT_DEFAULT_MS 10000u

struct send_arguments {
    struct operator_options common;
    const char *group;
    const char *payload;
    const char *targets[TARGETS_LIMIT];
    size_t target_count;
    uint64_t valid_ms;
    uint64_t wait_ms;
};

enum { KEY_TO = 0x100, KEY_VALID, KEY_WAIT };

static const struct argp_option send_options[] = {
    {"to", KEY_TO, "AE", 0, "Only this member acts on it; may be given several times (default: all)", 0},
    {"valid", KEY_VALID, "TIME", 0, "How long it may be acted on, as 30s, 5m, 24h (default 60s)", 0},
    {"wait", KEY_WAIT, "TIME", 0, "How long to wait for the members' answers (default 10s; 0: not at all)",
     0},
    {0},
};

static error_t send_parse(int key, char *argument, struct argp_state *state)
{
    struct send_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_TO:
        if (arguments->target_count == TARGETS_LIMIT) {
            argp_error(state, "at most %u members with --to", TARGETS_LIMIT);
        }
        arguments->targets[arguments->target_count++] = argument;
        return 0;
    case KEY_VALID:
        if (!operator_duration(argument, VALID_LIMIT_MS, &arguments->valid_ms) || arguments->valid_ms == 0) {
            argp_error(state, "--valid wants a time of at most 24h, as 30s or 5m");
        }
        return 0;
    case KEY_WAIT:
        if (!operator_duration(argument, VALID_LIMIT_MS + WAIT_DEFAULT_MS, &arguments->wait_ms)) {
            argp_error(state, "--wait wants a time, as 10s or 5m");
        }
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) {
            arguments->group = argument;
        } else if (state->arg_num == 1) {
            arguments->payload = argument;
        } else {
            argp_error(state, "\"%s\" is one argument too many: quote the payload", argument);
        }
        return 0;
    case ARGP_KEY_END:
        if (arguments->payload == NULL) {
            argp_error(state, "a command needs a GROUP and a PAYLOAD (\"-\": from standard input)");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The payload from the argument or standard input, malloc'd; NULL: what is wrong has been said. */
static uint8_t *payload_read(const char *argument, size_t *length)
{
    uint8_t *payload = calloc(1, BODY_LIMIT + 1);
    if (payload == NULL) {
        operator_say("out of memory");
        return NULL;
    }
    if (strcmp(argument, "-") == 0) {
        *length = fread(payload, 1, BODY_LIMIT + 1, stdin);
        if (ferror(stdin)) {
            operator_say("cannot read the payload from standard input: %s", strerror(errno));
            free(payload);
            return NULL;
        }
    } else {
        *length = strnlen(argument, BODY_LIMIT + 1);
        memcpy(payload, argument, *length);
    }
    if (*length > BODY_LIMIT) {
        operator_say("the payload is longer than %zu bytes", BODY_LIMIT);
        free(payload);
        return NULL;
    }
    return payload;
}

/* Reports may come before we know the command's id: those of this connection are of this command. */
#define WAIT_SLICE_MS 500u

struct follower {
    struct report report;
    bool known; /* the id */
    bool broken;
    bool over;
};

static void on_event(void *context, const Groupseal__Secenv__Event *event)
{
    struct follower *follower = context;
    if (event->content_case != GROUPSEAL__SECENV__EVENT__CONTENT_REPORT) {
        return;
    }
    const Groupseal__Secenv__OrderReport *news = event->report;
    if (!follower->known && news->command_id.len == COMMAND_ID_SIZE) {
        memcpy(follower->report.command_id, news->command_id.data, COMMAND_ID_SIZE);
        follower->known = true;
    }
    follower->broken = !report_merge(&follower->report, news) || follower->broken;
    follower->over = follower->broken || follower->report.complete;
}

static void id_text(const struct report *report, char out[2 * COMMAND_ID_SIZE + 1])
{
    for (size_t i = 0; i < COMMAND_ID_SIZE; i++) {
        snprintf(out + 2 * i, 3, "%02x", report->command_id[i]);
    }
}

/* The secure environment was given the command, and is silent now. */
static void say_uncertain(const struct follower *follower)
{
    char id[2 * COMMAND_ID_SIZE + 1];
    if (follower->known) {
        id_text(&follower->report, id);
        operator_say("the command may have been sent: see `in-cse report %s`", id);
    } else {
        operator_say("the command may have been sent; sent again, it would be another one");
    }
}

static enum exit_code order_send(struct operator_session *session, struct send_arguments *arguments,
                                 const uint8_t *payload, size_t length, struct follower *follower)
{
    static char ids[TARGETS_LIMIT][ONEM2M_ID_LIMIT + 1];
    char *targets[TARGETS_LIMIT];
    Groupseal__Secenv__OrderSend order = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    for (size_t i = 0; i < arguments->target_count; i++) {
        if (!operator_resolve(session, arguments->targets[i], ids[i])) {
            return EXIT_USAGE;
        }
        targets[i] = ids[i];
    }
    order.group = (char *)(uintptr_t)arguments->group;
    order.body = (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)payload};
    order.targets = targets;
    order.n_targets = arguments->target_count;
    order.valid_ms = (uint32_t)arguments->valid_ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    request.order_send = &order;
    operator_events(session, on_event, follower);
    enum exit_code code = operator_change(session, &request, &message);
    if (code == EXIT_UNCERTAIN) {
        say_uncertain(follower);
    }
    if (code != EXIT_DONE) {
        return code;
    }
    if (message->reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_ORDER ||
        message->reply->order->command_id.len != COMMAND_ID_SIZE) {
        operator_say("the secure environment gave the command no id");
        code = EXIT_FAILED;
    } else {
        memcpy(follower->report.command_id, message->reply->order->command_id.data, COMMAND_ID_SIZE);
        follower->known = true;
    }
    secenv_client_free(message);
    return code;
}

/* Without waiting, the id is all there is to say. */
static void id_print(const struct report *report, bool json)
{
    if (json) {
        cJSON *object = cJSON_CreateObject();
        json_line_hex(object, "command_id", report->command_id, COMMAND_ID_SIZE);
        json_line_put(object);
        return;
    }
    char id[2 * COMMAND_ID_SIZE + 1];
    id_text(report, id);
    printf("command %s\n", id);
}

static enum exit_code report_page(struct operator_session *session, struct follower *follower, uint32_t page,
                                  uint32_t *pages)
{
    Groupseal__Secenv__OrderShow show = GROUPSEAL__SECENV__ORDER_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    show.command_id = (ProtobufCBinaryData){COMMAND_ID_SIZE, follower->report.command_id};
    show.page = page;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SHOW;
    request.order_show = &show;
    enum exit_code code = operator_call(session, &request, &message);
    if (code != EXIT_DONE) {
        return code;
    }
    const Groupseal__Secenv__Reply *reply = message->reply;
    bool whole = reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_REPORT &&
                 reply->report->page == page && report_merge(&follower->report, reply->report);
    *pages = whole ? reply->report->pages : 0;
    follower->broken = follower->broken || !whole;
    secenv_client_free(message);
    return EXIT_DONE;
}

/* Asks for all that is known of the command: also who was to act on it, and has not been heard of. */
static enum exit_code report_ask(struct operator_session *session, struct follower *follower)
{
    enum exit_code code = EXIT_DONE;
    uint32_t pages = 1;
    for (uint32_t page = 0; code == EXIT_DONE && page < pages; page++) {
        code = report_page(session, follower, page, &pages);
    }
    return code;
}

/* Prints the report, whole or not; the exit code that it means, where `code` says that all is well. */
static enum exit_code report_end(const struct follower *follower, bool json, enum exit_code code)
{
    if (report_print(&follower->report, json) != 0 || follower->broken) {
        operator_say("the report is not whole: out of memory, or it is of another command");
        return EXIT_FAILED;
    }
    return code == EXIT_DONE ? report_exit_code(&follower->report) : code;
}

static size_t answers_of(const struct report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        count += report->rows[i]->outcome != GROUPSEAL__SECENV__OUTCOME__NO_ANSWER ? 1 : 0;
    }
    return count;
}

/* Until it is over or the time is. */
static enum exit_code answers_await(struct operator_session *session, uint64_t wait_ms,
                                    struct follower *follower)
{
    struct progress progress;
    uint64_t end_ms = monotonic_ms() + wait_ms;
    enum exit_code code = EXIT_DONE;
    progress_begin(&progress, "in-cse: members that have answered", 0);
    for (uint64_t now_ms = monotonic_ms(); code == EXIT_DONE && !follower->over && now_ms < end_ms;
         now_ms = monotonic_ms()) {
        uint64_t slice_ms = end_ms - now_ms < WAIT_SLICE_MS ? end_ms - now_ms : WAIT_SLICE_MS;
        code = operator_wait(session, now_ms + slice_ms, &follower->over);
        progress.total = follower->report.count; /* as many as are known to be asked */
        progress_step(&progress, answers_of(&follower->report));
    }
    return code;
}

static enum exit_code order_follow(struct operator_session *session, const struct send_arguments *arguments,
                                   struct follower *follower)
{
    if (arguments->wait_ms == 0) {
        id_print(&follower->report, arguments->common.json);
        return EXIT_DONE;
    }
    enum exit_code code = answers_await(session, arguments->wait_ms, follower);
    if (code == EXIT_DONE && !follower->over) {
        code = report_ask(session, follower);
    }
    if (code == EXIT_UNREACHABLE) {
        say_uncertain(follower);
        code = EXIT_UNCERTAIN;
    }
    return report_end(follower, arguments->common.json, code);
}

enum exit_code command_send(int argc, char **argv)
{
    static const struct argp parser = {
        send_options,
        send_parse,
        "GROUP PAYLOAD",
        "Sends a command to a group and prints what its members did with it. The order is signed in the "
        "secure "
        "environment; the MN-CSE seals it to the group. PAYLOAD \"-\" is read from standard input.",
        common_children,
        NULL,
        NULL};
    struct send_arguments arguments = {.valid_ms = VALID_DEFAULT_MS, .wait_ms = WAIT_DEFAULT_MS};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    size_t length = 0;
    uint8_t *payload = payload_read(arguments.payload, &length);
    if (payload == NULL) {
        return EXIT_FAILED;
    }
    struct operator_session *session = NULL;
    struct follower follower = {0};
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE) {
        code = order_send(session, &arguments, payload, length, &follower);
    }
    explicit_bzero(payload, length);
    free(payload);
    if (code == EXIT_DONE) {
        code = order_follow(session, &arguments, &follower);
    }
    operator_close(session);
    report_clear(&follower.report);
    return code;
}

/* ---- report ---- */

static bool id_parse(const char *text, uint8_t id[COMMAND_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != COMMAND_ID_SIZE * 2) {
        return false;
    }
    for (size_t i = 0; i < 2 * COMMAND_ID_SIZE; i++) {
        const char *digit = memchr(digits, text[i], sizeof(digits) - 1);
        if (digit == NULL) {
            return false;
        }
        id[i / 2] = (uint8_t)((size_t)id[i / 2] * 16 + (size_t)(digit - digits));
    }
    return true;
}

static enum exit_code report_one(struct operator_session *session, struct follower *follower, bool json)
{
    enum exit_code code = report_ask(session, follower);
    return code == EXIT_DONE ? report_end(follower, json, code) : code;
}

enum exit_code command_report(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        "[COMMAND-ID]",
        "Shows what the members have done with a command until now; without an id, the newest commands: the "
        "operator's, and those that MN-CSEs have given by themselves and reported.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {.may_take_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    struct follower follower = {.known = true};
    if (arguments.argument != NULL && !id_parse(arguments.argument, follower.report.command_id)) {
        operator_say("\"%s\" is not a command id: 32 hexadecimal digits, as `in-cse send` prints it",
                     arguments.argument);
        return EXIT_USAGE;
    }
    struct operator_session *session = NULL;
    enum exit_code code = operator_open(&arguments.common, &session);
    if (code == EXIT_DONE && arguments.argument == NULL) {
        code = order_list_print(session, arguments.common.json);
    } else if (code == EXIT_DONE) {
        code = report_one(session, &follower, arguments.common.json);
    }
    operator_close(session);
    report_clear(&follower.report);
    return code;
}
