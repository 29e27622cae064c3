/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"

const struct argp_child common_children[] = {{&operator_argp, 0, NULL, 0}, {0}};

error_t one_argument_parse(int key, char *argument, struct argp_state *state)
{
    struct one_argument *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case KEY_TO_SITE:
        arguments->site = argument;
        return 0;
    case KEY_BEHIND:
        arguments->behind = true;
        return 0;
    case ARGP_KEY_ARG:
        if ((!arguments->takes_one && !arguments->may_take_one) || state->arg_num > 0) {
            argp_error(state, "\"%s\" is one argument too many", argument);
        }
        arguments->argument = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->takes_one && arguments->argument == NULL) {
            argp_usage(state);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}
