/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/words.h"

#include <stdio.h>

static int clock_print(bool json, const Groupseal__Secenv__ClockReply *clock)
{
    char time[WORDS_TIME_SIZE];
    char system[WORDS_TIME_SIZE];
    char until[WORDS_TIME_SIZE];
    if (json) {
        cJSON *object = cJSON_CreateObject();
        json_line_time(object, "time", clock->time_ms);
        json_line_time(object, "system", clock->system_ms);
        json_line_text(object, "state", clock->doubted ? "doubted" : "followed");
        json_line_time(object, "until", clock->until_ms);
        return json_line_put(object);
    }
    words_time(clock->time_ms, time);
    words_time(clock->system_ms, system);
    words_time(clock->until_ms, until);
    printf("the authority's time   %s\n", time);
    printf("system clock           %s, %s\n", system,
           clock->doubted ? "in doubt: set it, or accept it (in-cse clock accept)" : "followed");
    printf("nothing is signed for a time after %s, when the IN-CSE's certificate ends\n", until);
    return 0;
}

static enum exit_code clock_call(const struct one_argument *arguments, bool accept)
{
    struct operator_session *session = NULL;
    Groupseal__Secenv__FromSecenv *message = NULL;
    Groupseal__Secenv__Clock clock = GROUPSEAL__SECENV__CLOCK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    clock.accept = accept;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_CLOCK;
    request.clock = &clock;
    enum exit_code code = operator_open(&arguments->common, &session);
    if (code == EXIT_DONE) {
        code = accept ? operator_change(session, &request, &message)
                      : operator_call(session, &request, &message);
    }
    if (code == EXIT_DONE && message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_CLOCK &&
        clock_print(arguments->common.json, message->reply->clock) != 0) {
        code = EXIT_FAILED;
    }
    secenv_client_free(message);
    operator_close(session);
    return code;
}

enum exit_code command_clock_show(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        NULL,
        "Shows the time that the authority goes by, and whether it follows the system clock of its machine.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    return clock_call(&arguments, false);
}

enum exit_code command_clock_accept(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        NULL,
        "Says that the system clock of the authority's machine is right, after an alarm: it is followed "
        "again. "
        "Where it is earlier than what was signed, all groups get new keys, and open commands end.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    return clock_call(&arguments, true);
}
