/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_GROUPS_H
#define GROUPSEAL_AGENTS_ADN_AE_GROUPS_H

#include "agents/connection/connection.h"
#include "secenv.pb-c.h"

/*
 * The groups this device is in, and the subscriptions that follow from them: for each site `cmd` and `msg/+`
 * at QoS 1; the retained `epoch`, `policy` and the blocks of the tree on the leaf's own path at QoS 0,
 * because retention covers their loss and they must not fill the queue in which a command waits. Of a group
 * of a million a device hears its four blocks, not all seventy thousand.
 */
#define GROUPS_SITES_LIMIT 8u
#define GROUPS_BLOCKS_LIMIT 8u

struct groups;

struct groups *groups_new(struct connection *connection); /* NULL: out of memory */
void groups_free(struct groups *groups);

/* Enters a group, or follows it to other sites and blocks: what is no longer named is unsubscribed. Said
 * again, what is retained is subscribed again, but for the first time after a connect. Sites are topic levels
 * or absolute CSE-IDs. False: not a valid group, too many sites or blocks, or no memory. */
bool groups_join(struct groups *groups, const Groupseal__Secenv__Joined *joined);
void groups_depart(struct groups *groups, const char *name);
/* Whether the next groups_join of each group subscribes again what is retained. */
void groups_renew_next(struct groups *groups, bool renew);
/* Subscribes the retained topics again. */
void groups_renew(struct groups *groups, const char *name);
bool groups_empty(const struct groups *groups);
bool groups_has(struct groups *groups, const char *name);
/* Whether the broker has granted `cmd` and `epoch` of the group on this connection: then its MN-CSE knows the
 * group's members, and a member message is not refused there without a word (MQTT 3.1.1 has none). */
bool groups_granted(struct groups *groups, const char *name);

#endif
