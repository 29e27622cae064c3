/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_OUTGOING_H
#define GROUPSEAL_AGENTS_ADN_AE_OUTGOING_H

#include "agents/adn-ae/device.h"
#include "agents/adn-ae/groups.h"
#include "agents/session.h"

/*
 * Member messages on their way out: sealed by the secure environment (Speak), then published on msg/<AE>.
 * They wait, bounded in number and time, while that is not possible yet, or while the broker has not granted
 * the group's subscriptions (it would take the message and drop it). Messages of one group keep their order.
 */
#define OUTGOING_PATIENCE_MS 60000u

struct outgoing;

struct outgoing_settings {
    const char *identity; /* absolute AE-ID */
    const char *level;    /* its topic level */
};

/* Settings are copied. Close the session first (its open replies come here). NULL: out of memory. */
struct outgoing *outgoing_new(sd_event *loop, const struct outgoing_settings *settings,
                              struct connection *connection, struct session *session, struct groups *groups);
void outgoing_free(struct outgoing *outgoing); /* answers what waits as not sent */

bool outgoing_add(struct outgoing *outgoing, const char *group, const uint8_t *body, size_t length,
                  device_said *said, void *context);
/* Something has changed for the better (online, joined): try what waits now. */
void outgoing_try(struct outgoing *outgoing);

#endif
