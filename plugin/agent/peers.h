/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_PEERS_H
#define GROUPSEAL_PLUGIN_PEERS_H

#include "onem2m/primitive.h"
#include "onem2m/topic.h"
#include "plugin/agent/table.h"

/*
 * The entities that have spoken to this MN-CSE since the broker started, each proven by its connection: how
 * they spell themselves in topics. Not kept on disk.
 */
#define PEERS_LIMIT 65536u

struct peer {
    char id[ONEM2M_ID_LIMIT + 1];       /* absolute; key */
    char level[ONEM2M_LEVEL_LIMIT + 1]; /* as it last wrote itself in a request's topic */
    unsigned waiting;                   /* its requests that are not answered yet */
    unsigned heard;                     /* its group messages that secenv has not taken yet */
    uint32_t number;                    /* key: for calls about it */
    struct table_link link;
    struct table_link by_number;
};

struct peers {
    struct table table;
    struct table by_number;
};

struct peer *peer_find(const struct peers *peers, const char *id); /* NULL: not heard of */
struct peer *peer_numbered(const struct peers *peers, uint32_t number);
/* Finds or makes; NULL: the table is full, or out of memory. */
struct peer *peer_meet(struct peers *peers, const char *id, const char *level);
void peers_clear(struct peers *peers);

#endif
