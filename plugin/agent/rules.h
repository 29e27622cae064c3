/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_RULES_H
#define GROUPSEAL_PLUGIN_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Local autonomy: when signed member messages of a group meet a condition on their JSON, at enough devices
 * and for long enough, commands to other groups are due. docs/mn_cse.5 describes the file. Pure: clock and
 * messages come from the caller, who also gives the commands. Bounded in everything.
 */
struct rules;

#define RULES_FILE_LIMIT 65536u
#define RULES_LIMIT 64u
#define RULES_COMMANDS_LIMIT 16u /* of one rule */
#define RULES_TARGETS_LIMIT 64u  /* of one command */
#define RULES_DEVICES_LIMIT                                                                                  \
    1024u                   /* of one rule, that meet its condition at one time; more are not counted        \
                             */
#define RULES_GAP_MS 10000u /* a rule is due at most this often */

struct rules_command {
    const char *group;
    const char *payload;
    const char *const *targets; /* absolute AE-IDs */
    size_t target_count;        /* 0: all */
    uint32_t valid_ms;
};

/* NULL: `why` says which rule and member is wrong. */
struct rules *rules_new(const char *text, size_t length, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* The same from a file; `why` names it. */
struct rules *rules_read(const char *path, char *why, size_t why_size) __attribute__((warn_unused_result));
void rules_free(struct rules *rules); /* NULL is allowed, here and below: no rules */
size_t rules_count(const struct rules *rules);

/* A signed message of a group's member: the caller has seen that it is. */
void rules_hear(struct rules *rules, const char *group, const char *sender, const void *body, size_t length,
                uint64_t now_ms);
/* The name of a rule that is due, once each time, or NULL; `*commands` live as long as the rules. To be asked
 * until NULL, after each message and as time passes. */
const char *rules_due(struct rules *rules, uint64_t now_ms, const struct rules_command **commands,
                      size_t *count);

/* Each group that a rule commands; for who has to see that it may be. NULL ends. */
const char *rules_commanded(const struct rules *rules, size_t at);

#endif
