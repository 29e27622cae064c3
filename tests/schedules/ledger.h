/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_LEDGER_H
#define GROUPSEAL_TESTS_SCHEDULES_LEDGER_H

#include "tests/schedules/closure.h"
#include "tests/unit/site.h"

/*
 * Everything secret of 32 bytes that each node of a site ever made, derived, unwrapped or loaded, in order:
 * this program's secret_note() writes it down for the node whose engine is running.
 */
void ledgers_clear(void); /* wipes */
size_t ledger_count(const struct site_node *node);
/* The first `count` of them, to the closure. */
void ledger_learn(const struct site_node *node, size_t count, struct closure *closure);
/* Does the closure know anything that is this node's alone: its leaves, keys of its associations, its signing
 * key, its PSK? */
bool ledger_own_is_known(const struct site_node *node, const struct closure *closure);

#endif
