/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_ARGUMENTS_H
#define GROUPSEAL_AGENTS_IN_CSE_ARGUMENTS_H

#include "agents/in-cse/operator.h"

/* What most commands take: the common options and one argument, or none. */
struct one_argument {
    struct operator_options common;
    const char *argument; /* NULL: the command takes none */
    const char *site;     /* --site, for the commands that list it */
    bool behind;          /* --behind, likewise */
    bool takes_one;       /* it must be there … */
    bool may_take_one;    /* … or may */
};

enum { KEY_TO_SITE = 0x200, KEY_BEHIND };

/* argp's parser function; the input is a struct one_argument, the parser's children are common_children. */
error_t one_argument_parse(int key, char *argument, struct argp_state *state);
extern const struct argp_child common_children[];

#endif
