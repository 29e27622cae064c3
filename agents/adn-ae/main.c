/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/message_source.h"
#include "agents/adn-ae/output.h"
#include "agents/adn-ae/runner.h"
#include "agents/adn-ae/settings.h"
#include "agents/program.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define EXIT_ERROR 1
#define EXIT_USAGE 2
#define DEFAULT_CONFIG "/etc/groupseal/adn-ae.conf"

/* libc looks for it by name. */
__attribute__((visibility("default"))) const char *argp_program_version = "adn-ae (Groupseal) 0.1.0";

struct arguments {
    const char *verb;
    const char *config;
    bool standard_input;
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Configuration file (default " DEFAULT_CONFIG ")", 0},
    {"stdin", 'i', NULL, 0, "Send each line \"GROUP payload\" of standard input as a member message", 0},
    {0},
};

static const char documentation[] =
    "A device (oneM2M ADN-AE) of a Groupseal fleet: keeps its place in its groups, runs a program for each "
    "command, sends and prints member messages."
    "\vWhat happens is printed on standard output, one JSON object a line; the log goes to standard error. "
    "See "
    "adn-ae(1) and groupseal.conf(5).";

static error_t argument_parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->config = argument;
        return 0;
    case 'i':
        arguments->standard_input = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0 || strcmp(argument, "run") != 0) {
            argp_error(state, "unknown command \"%s\"", argument);
        }
        arguments->verb = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->verb == NULL) {
            argp_error(state, "say what to do: run");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {options, argument_parse, "run", documentation, NULL, NULL, NULL};

/* The running program. */
struct program {
    struct device *device;
    struct runner *runner; /* NULL: no command program */
    struct message_source *source;
    struct output *output;
};

static void command_finished(void *context, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                             bool done, const char *detail)
{
    struct program *program = context;
    output_command(program->output, group, id, done, detail);
    if (!device_finish(program->device, group, id, done, detail)) {
        agent_log(AGENT_LOG_WARNING, "the result of a command in %s is lost: out of memory", group);
    }
}

static void on_command(void *context, const struct device_command *command)
{
    struct program *program = context;
    agent_log(AGENT_LOG_INFO, "command in %s from %s", command->group, command->commander);
    if (program->runner == NULL) {
        command_finished(program, command->group, command->id, false, "this device has no command program");
    } else if (!runner_add(program->runner, command)) {
        command_finished(program, command->group, command->id, false, "too many commands wait");
    }
}

static void on_message(void *context, const struct device_message *message)
{
    const struct program *program = context;
    output_message(program->output, message);
}

static void on_joined(void *context, const char *group)
{
    const struct program *program = context;
    output_joined(program->output, group);
}

static void on_departed(void *context, const char *group, const char *reason)
{
    const struct program *program = context;
    output_departed(program->output, group, reason);
}

static bool program_open(struct program *program, sd_event *loop, const struct settings *settings,
                         bool standard_input, char *why, size_t why_size)
{
    static const struct device_callbacks callbacks = {on_command, on_message, on_joined, on_departed};
    program->output = output_open(loop, STDOUT_FILENO);
    if (program->output == NULL) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    if (settings->command_program != NULL) {
        /* Before the device: the program gets the environment as it is now. */
        program->runner =
            runner_new(loop, settings->command_program, settings->device.identity, command_finished, program);
        if (program->runner == NULL) {
            snprintf(why, why_size, "out of memory");
            return false;
        }
    }
    program->device = device_new(loop, &settings->device, &callbacks, program, why, why_size);
    if (program->device == NULL) {
        return false;
    }
    program->source =
        message_source_open(loop, program->device, settings->message_socket, standard_input, why, why_size);
    return program->source != NULL;
}

static void program_close(struct program *program)
{
    runner_free(program->runner);
    device_free(program->device);
    message_source_close(program->source);
    output_close(program->output);
}

static int run(const struct settings *settings, bool standard_input)
{
    char why[512];
    struct program program = {0};
    int status = EXIT_ERROR;
    sd_event *loop = program_loop();
    if (loop == NULL) {
        agent_log(AGENT_LOG_ALARM, "no event loop: %s", strerror(errno));
        return EXIT_ERROR;
    }
    if (!program_open(&program, loop, settings, standard_input, why, sizeof(why))) {
        agent_log(AGENT_LOG_ALARM, "%s", why);
    } else {
        sd_notify(0, "READY=1");
        status = sd_event_loop(loop) < 0 ? EXIT_ERROR : EXIT_SUCCESS;
        sd_notify(0, "STOPPING=1");
    }
    program_close(&program);
    sd_event_unref(loop);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.config = DEFAULT_CONFIG};
    struct settings settings;
    char why[512];

    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    agent_log_open("adn-ae", AGENT_LOG_INFO);
    int status = EXIT_USAGE;
    if (settings_open(&settings, arguments.config, why, sizeof(why))) {
        agent_log_open("adn-ae", settings.log_level);
        status = run(&settings, arguments.standard_input);
    } else {
        agent_log(AGENT_LOG_ALARM, "%s", why);
    }
    settings_close(&settings);
    return status;
}
