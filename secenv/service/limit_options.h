/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_LIMIT_OPTIONS_H
#define GROUPSEAL_SECENV_SERVICE_LIMIT_OPTIONS_H

#include <argp.h>

#include "secenv/limits.h"

/* --allow, --rate and --burst, of `secenv provision` and `secenv limit`: a child parser of argp, whose input
 * is a struct limit_options. */
struct limit_options {
    bool has_rights;
    unsigned rights;
    uint32_t rate;  /* 0: not given */
    uint32_t burst; /* 0: not given */
};

extern const struct argp limit_options_argp;

bool limit_options_given(const struct limit_options *options);

/* What was given, over the rule that this pattern has, or "*" where it has none. Inside a transaction. */
enum result limit_options_store(const struct limit_options *options, struct store *store,
                                const char *identity, enum identity_kind kind, const char *pattern,
                                struct reason *why) MUST_USE;

#endif
