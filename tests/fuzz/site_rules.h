/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_SITE_RULES_H
#define GROUPSEAL_TESTS_FUZZ_SITE_RULES_H

#include "tests/unit/site.h"

/*
 * What is so in a site whatever happens: watched while an input runs, aborting where it is not.
 *  - A command that an application is given was ordered, and no application is given it twice.
 *  - No (key, nonce) seals two texts, group messages and records alike.
 *  - What a secure environment says about itself is what its store says.
 */
struct rules;

struct rules *rules_new(struct site *site);
void rules_forget(struct rules *rules); /* a new input */

void rules_ordered(struct rules *rules, ProtobufCBinaryData command_id);
/* Somebody with the authority's own keys acts: a membership may be undone, and its memory of commands. */
void rules_authority_lies(struct rules *rules);
/* Something that was sent: a group message on `topic`, or an EndToEnd (NULL). */
void rules_sent(struct rules *rules, const Groupseal__Secenv__Publish *topic, struct bytes payload);
/* The events of a node since the last time, which are cleared. */
void rules_events(struct rules *rules, struct site_node *node);
/* Whether an application was given this command. */
bool rules_given(const struct rules *rules, const struct site_node *node, ProtobufCBinaryData command_id);

/* A node's Status without its counters, packed: the caller's. */
struct buffer rules_status(struct site_node *node);
/* Restarts the node and compares. */
void rules_restart(const struct rules *rules, struct site_node *node);

#endif
