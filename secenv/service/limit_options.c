/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/limit_options.h"

#include <stdio.h>
#include <string.h>

#include "secenv/service/program.h"

enum option_key {
    OPTION_ALLOW = 0x200,
    OPTION_RATE,
    OPTION_BURST,
};

static const struct argp_option options_list[] = {
    {NULL, 0, NULL, 0, "What its owner may use it for:", 5},
    {"allow", OPTION_ALLOW, "RIGHTS", 0, "relay,read,send,command, or some of these; all (default) or none",
     5},
    {"rate", OPTION_RATE, "N", 0,
     "Messages sealed a second, in-cse: objects handed in (default: adn-ae 50, mn-cse 200, in-cse 1000)", 5},
    {"burst", OPTION_BURST, "N", 0, "That many at once (default: adn-ae 500, mn-cse 2000, in-cse 10000)", 5},
    {NULL, 0, NULL, 0, NULL, 0},
};

static uint32_t number_parse(const char *argument, unsigned long highest, struct argp_state *state)
{
    unsigned long number = 0;
    if (!program_number(argument, highest, &number) || number == 0) {
        argp_error(state, "%s is no number from 1 to %lu", argument, highest);
    }
    return (uint32_t)number;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct limit_options *options = state->input;
    switch (key) {
    case OPTION_ALLOW:
        options->has_rights = true;
        if (!rights_parse(argument, &options->rights)) {
            argp_error(state, "--allow is all, none, or of relay, read, send and command, not %s", argument);
        }
        return 0;
    case OPTION_RATE:
        options->rate = number_parse(argument, LIMIT_RATE_HIGHEST, state);
        return 0;
    case OPTION_BURST:
        options->burst = number_parse(argument, LIMIT_BURST_HIGHEST, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp limit_options_argp = {options_list, parse_option, NULL, NULL, NULL, NULL, NULL};

bool limit_options_given(const struct limit_options *options)
{
    return options->has_rights || options->rate != 0 || options->burst != 0;
}

static struct limit rule_of(const struct limit_options *options, const struct limits *limits,
                            const char *pattern)
{
    const struct limit *known = limits_rule(limits, pattern);
    struct limit rule = known != NULL ? *known : *limits_rule(limits, "*");
    (void)snprintf(rule.pattern, sizeof(rule.pattern), "%s", pattern);
    rule.rights = options->has_rights ? options->rights : rule.rights;
    rule.rate = options->rate != 0 ? options->rate : rule.rate;
    rule.burst = options->burst != 0 ? options->burst : rule.burst;
    return rule;
}

enum result limit_options_store(const struct limit_options *options, struct store *store,
                                const char *identity, enum identity_kind kind, const char *pattern,
                                struct reason *why)
{
    struct limits limits;
    if (strlen(pattern) > LIMIT_PATTERN_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a group's name has at most %u characters", GROUP_NAME_LIMIT);
    }
    if (kind == IDENTITY_IN_CSE && (options->has_rights || strcmp(pattern, "*") != 0)) {
        return result_fail(why, RESULT_INVALID,
                           "the owner of %s only ferries: it has a rate and a burst, and no rights to give",
                           identity);
    }
    GUARD(limits_load(store, identity, kind, &limits, why));
    struct limit rule = rule_of(options, &limits, pattern);
    limits_clear(&limits);
    return limits_set(store, identity, &rule, why);
}
