/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/peers.h"

#include <stdio.h>
#include <stdlib.h>

struct peer *peer_find(const struct peers *peers, const char *id)
{
    return table_find_text(&peers->table, id);
}

struct peer *peer_numbered(const struct peers *peers, uint32_t number)
{
    return table_find(&peers->by_number, &number, sizeof(number));
}

struct peer *peer_meet(struct peers *peers, const char *id, const char *level)
{
    struct peer *peer = peer_find(peers, id);
    if (peer != NULL) {
        return peer;
    }
    if (table_count(&peers->table) >= PEERS_LIMIT) {
        return NULL;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    snprintf(peer->id, sizeof(peer->id), "%s", id);
    snprintf(peer->level, sizeof(peer->level), "%s", level);
    peer->number = (uint32_t)table_count(&peers->table) + 1; /* none is ever taken out */
    if (!table_add_text(&peers->table, &peer->link, peer->id, peer) ||
        !table_add(&peers->by_number, &peer->by_number, &peer->number, sizeof(peer->number), peer)) {
        table_remove(&peers->table, &peer->link);
        free(peer);
        return NULL;
    }
    return peer;
}

void peers_clear(struct peers *peers)
{
    struct peer *peer;
    while ((peer = table_first(&peers->table)) != NULL) {
        table_remove(&peers->table, &peer->link);
        table_remove(&peers->by_number, &peer->by_number);
        free(peer);
    }
}
