/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/peers.h"

#include <stdio.h>
#include <stdlib.h>

struct peer *peer_find(const struct peers *peers, const char *id)
{
    struct peer *peer = NULL;
    HASH_FIND_STR(peers->table, id, peer);
    return peer;
}

struct peer *peer_meet(struct peers *peers, const char *id, const char *level)
{
    struct peer *peer = peer_find(peers, id);
    if (peer != NULL) {
        return peer;
    }
    if (HASH_COUNT(peers->table) >= PEERS_LIMIT) {
        return NULL;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    snprintf(peer->id, sizeof(peer->id), "%s", id);
    snprintf(peer->level, sizeof(peer->level), "%s", level);
    HASH_ADD_STR(peers->table, id, peer);
    if (peer->hh.tbl == NULL) {
        free(peer);
        return NULL;
    }
    return peer;
}

void peers_clear(struct peers *peers)
{
    struct peer *peer;
    struct peer *next;
    HASH_ITER(hh, peers->table, peer, next)
    {
        HASH_DEL(peers->table, peer);
        free(peer);
    }
}
