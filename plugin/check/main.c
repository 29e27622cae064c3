/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/check/checks.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

/* mn-cse-check: the checks of checks.h, for a person or a script, without a broker. */
#define EXIT_COMPLAINTS 1
#define EXIT_USAGE 2

/* libc looks for it by name. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "mn-cse-check (Groupseal) " GROUPSEAL_VERSION;

static const char documentation[] =
    "Checks a configuration of Mosquitto for use with mn_cse.so, without a broker: the plugin's options, "
    "listeners, "
    "the order of plugins, what bridges carry. Each complaint has file and line, and the line to write.\v"
    "Exit status: 0 nothing is wrong (there may be warnings), 1 there are errors, 2 wrong usage, or a file "
    "cannot be read.";

struct arguments {
    const char *path;
};

static error_t argument_take(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (arguments->path != NULL) {
            argp_error(state, "one FILE only");
        }
        arguments->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL) {
            argp_error(state, "FILE is missing");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void complaint_print(void *context, const struct complaint *complaint)
{
    unsigned *warnings = context;
    *warnings += complaint->rank == CHECK_WARNING;
    printf("%s:%u: %s: %s\n", complaint->file, complaint->line,
           complaint->rank == CHECK_ERROR ? "error" : "warning", complaint->text);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {NULL};
    const struct argp parser = {.parser = argument_take, .args_doc = "FILE", .doc = documentation};
    struct conf conf;
    char why[600] = "";
    unsigned warnings = 0;
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0) {
        return EXIT_USAGE;
    }
    if (!conf_read(&conf, arguments.path, why, sizeof(why))) {
        fprintf(stderr, "mn-cse-check: %s\n", why);
        conf_clear(&conf);
        return EXIT_USAGE;
    }
    unsigned errors = checks_run(&conf, complaint_print, &warnings);
    conf_clear(&conf);
    printf("%u errors, %u warnings\n", errors, warnings);
    return errors == 0 ? EXIT_SUCCESS : EXIT_COMPLAINTS;
}
