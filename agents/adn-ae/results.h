/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_RESULTS_H
#define GROUPSEAL_AGENTS_ADN_AE_RESULTS_H

#include "agents/adn-ae/device.h"
#include "agents/session.h"

/* Results of commands, kept until the secure environment has taken them (Finished). */
#define RESULTS_LIMIT 4096u

struct results;

struct results *results_new(const char *identity, struct session *session); /* NULL: out of memory */
void results_free(struct results *results); /* after the session, whose open replies come here */

bool results_add(struct results *results, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                 bool done, const char *detail);
void results_send(struct results *results); /* the session is ready: send what it does not have */

#endif
