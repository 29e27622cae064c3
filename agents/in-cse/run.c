/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/commands.h"
#include "agents/in-cse/ferry.h"
#include "agents/program.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define DEFAULT_CONFIG "/etc/groupseal/in-cse.conf"

struct run_arguments {
    const char *config;
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Configuration file (default " DEFAULT_CONFIG ")", 0},
    {0},
};

static error_t argument_parse(int key, char *argument, struct argp_state *state)
{
    struct run_arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->config = argument;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum exit_code run(const struct settings *settings)
{
    char why[512];
    enum exit_code code = EXIT_FAILED;
    sd_event *loop = program_loop();
    if (loop == NULL) {
        agent_log(AGENT_LOG_ALARM, "no event loop: %s", strerror(errno));
        return EXIT_FAILED;
    }
    struct ferry *ferry = ferry_open(loop, settings, why, sizeof(why));
    if (ferry == NULL) {
        agent_log(AGENT_LOG_ALARM, "%s", why);
    } else {
        sd_notify(0, "READY=1");
        code = sd_event_loop(loop) < 0 ? EXIT_FAILED : EXIT_DONE;
        sd_notify(0, "STOPPING=1");
    }
    ferry_close(ferry);
    sd_event_unref(loop);
    return code;
}

enum exit_code command_run(int argc, char **argv)
{
    static const struct argp parser = {
        options,
        argument_parse,
        NULL,
        "Runs the IN-CSE's network side: ferries end-to-end objects between the broker and the authority's "
        "secure environment.",
        NULL,
        NULL,
        NULL};
    struct run_arguments arguments = {DEFAULT_CONFIG};
    struct settings settings;
    char why[512];
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    agent_log_open("in-cse", AGENT_LOG_INFO);
    enum exit_code code = EXIT_USAGE;
    if (settings_open(&settings, arguments.config, why, sizeof(why))) {
        agent_log_open("in-cse", settings.log_level);
        code = run(&settings);
    } else {
        agent_log(AGENT_LOG_ALARM, "%s", why);
    }
    settings_close(&settings);
    return code;
}
