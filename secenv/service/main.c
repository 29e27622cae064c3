/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/program.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libc looks for it by name. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "secenv (Groupseal) " GROUPSEAL_VERSION;

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", command_run},
    {"provision", command_provision},
    {"limit", command_limit},
    {"audit", command_audit},
};

static const char documentation[] =
    "The secure environment of Groupseal: keeps and uses the keys of an IN-CSE, an MN-CSE or a device.\v"
    "Commands:\n"
    "  run        serve an owner (in-cse, mn_cse.so, adn-ae) from a store\n"
    "  provision  make a store, and put identities with their credentials into a stopped one\n"
    "  limit      set how far the owner of a stopped store's identity may use it\n"
    "  audit      print the counters and states of a running secenv as JSON\n\n"
    "`secenv COMMAND --help' tells the options of each. Exit status: 0 done, 1 failed, 2 wrong usage.";

int program_fail(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "secenv: error: %s\n", text);
    return EXIT_FAILED;
}

enum result program_store_open(const char *directory, enum store_profile profile, const char *root_key_path,
                               struct store **out, struct reason *why)
{
    char path[4096];
    int length = root_key_path != NULL ? snprintf(path, sizeof(path), "%s", root_key_path)
                                       : snprintf(path, sizeof(path), "%s/root.key", directory);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return result_fail(why, RESULT_INVALID, "the path of the root key is too long");
    }
    struct store *store = NULL;
    GUARD(store_open(directory, profile, root_key_file(path), NULL, 0, &store, why));
    bool authority = store_profile(store) == STORE_AUTHORITY;
    enum result result = store_extend(store, authority ? authority_schemas : member_schemas,
                                      authority ? authority_schema_count : member_schema_count, why);
    if (result != RESULT_OK) {
        store_close(store);
        return result;
    }
    *out = store;
    return RESULT_OK;
}

bool program_number(const char *text, unsigned long highest, unsigned long *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (isdigit((unsigned char)text[0]) == 0 || *end != '\0' || errno != 0 || number > highest) {
        return false;
    }
    *out = number;
    return true;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "there is no command %s", argument);
    } else if (key == ARGP_KEY_NO_ARGS) {
        argp_error(state, "a command is missing");
    }
    return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
    argp_err_exit_status = EXIT_USAGE;
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            char name[32];
            (void)snprintf(name, sizeof(name), "secenv %s", commands[i].name);
            argv[1] = name;
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    const struct argp argp = {NULL, parse_option, "COMMAND [OPTION...]", documentation, NULL, NULL, NULL};
    error_t error = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    return error == 0 ? EXIT_DONE : EXIT_USAGE;
}
