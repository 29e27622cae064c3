/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_FERRY_H
#define GROUPSEAL_AGENTS_IN_CSE_FERRY_H

#include "agents/in-cse/settings.h"

#include <systemd/sd-event.h>

/*
 * `in-cse run`: the network face of the authority's secure environment. It ferries end-to-end objects between
 * that and the broker, and can ask for nothing else: roster, groups and orders are the operator's, on another
 * socket.
 */
struct ferry;

/* Attaches to the loop. NULL: `why` says what is wrong. */
struct ferry *ferry_open(sd_event *loop, const struct settings *settings, char *why, size_t why_size);
void ferry_close(struct ferry *ferry); /* NULL is allowed */

#endif
