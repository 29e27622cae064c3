/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/peer.h"

#include "secenv/progress.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int peer_compare(const void *a, const void *b)
{
    return strcmp(((const struct peer *)a)->name, ((const struct peer *)b)->name);
}

static void association_drop(struct association **association)
{
    if (*association != NULL) {
        association_wipe(*association);
        free(*association);
        *association = NULL;
    }
}

static void pending_drop(struct peers *peers, struct peer *peer)
{
    if (peer->pending != NULL) {
        TAILQ_REMOVE(&peers->pending, peer, queue);
        association_drop(&peer->pending);
    }
}

struct peer *peers_find(const struct peers *peers, const char *name)
{
    struct peer key;
    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    void *const *found = tfind(&key, &peers->tree, peer_compare);
    return found == NULL ? NULL : *found;
}

struct walk {
    void (*each)(void *context, struct peer *peer);
    void *context;
};

static void walk_visit(const void *node, VISIT visit, void *context)
{
    const struct walk *walk = context;
    if (visit == postorder || visit == leaf) {
        walk->each(walk->context, *(struct peer *const *)node);
    }
}

void peers_each(const struct peers *peers, void (*each)(void *context, struct peer *peer), void *context)
{
    struct walk walk = {each, context};
    twalk_r(peers->tree, walk_visit, &walk);
}

static struct peer *peers_find_or_add(struct peers *peers, const char *name)
{
    struct peer *peer = peers_find(peers, name);
    if (peer != NULL) {
        return peer;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    (void)snprintf(peer->name, sizeof(peer->name), "%s", name);
    if (tsearch(peer, &peers->tree, peer_compare) == NULL) {
        free(peer);
        return NULL;
    }
    return peer;
}

enum result peers_set(struct peers *peers, const struct association *association, uint64_t now_us,
                      struct reason *why)
{
    struct peer *peer = peers_find_or_add(peers, association->member);
    struct association *copy = malloc(sizeof(*copy));
    if (peer == NULL || copy == NULL) {
        free(copy);
        return result_fail(why, RESULT_INTERNAL, "no memory for the association of %s", association->member);
    }
    *copy = *association;
    if (association->slot == ASSOCIATION_CURRENT) {
        association_drop(&peer->current);
        peer->current = copy;
    } else {
        pending_drop(peers, peer);
        peer->pending = copy;
        peer->pending_until_us = now_us + PENDING_US;
        TAILQ_INSERT_TAIL(&peers->pending, peer, queue);
    }
    return RESULT_OK;
}

void peers_promote(struct peers *peers, struct peer *peer, const struct association *association)
{
    TAILQ_REMOVE(&peers->pending, peer, queue);
    association_drop(&peer->current);
    peer->current = peer->pending;
    peer->pending = NULL;
    *peer->current = *association;
}

void peers_remove(struct peers *peers, const char *name)
{
    struct peer *peer = peers_find(peers, name);
    if (peer != NULL) {
        pending_drop(peers, peer);
        association_drop(&peer->current);
        tdelete(peer, &peers->tree, peer_compare);
        free(peer);
    }
}

struct association *peer_association(const struct peer *peer, struct bytes id)
{
    struct association *const each[] = {peer->current, peer->pending};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        if (each[i] != NULL && bytes_equal(id, BYTES_OF(each[i]->agreement.id))) {
            return each[i];
        }
    }
    return NULL;
}

struct loading {
    struct peers *peers;
    uint64_t now_us;
    uint64_t done;
    struct progress progress;
    struct reason *why;
};

static enum result peer_load(void *context, const struct association *association)
{
    struct loading *loading = context;
    progress_step(&loading->progress, ++loading->done);
    return peers_set(loading->peers, association, loading->now_us, loading->why);
}

enum result peers_load(struct peers *peers, struct store *store, uint64_t now_us, struct reason *why)
{
    TAILQ_INIT(&peers->pending);
    struct loading loading = {.peers = peers, .now_us = now_us, .why = why};
    uint64_t total = 0;
    GUARD(store_number(store, why, &total, "SELECT count(*) FROM association", ""));
    progress_begin(&loading.progress, "secenv: associations read", total);
    return association_load(store, ASSOCIATION_AUTHORITY, peer_load, &loading, why);
}

static void peer_free(void *node)
{
    struct peer *peer = node;
    association_drop(&peer->current);
    association_drop(&peer->pending);
    free(peer);
}

void peers_clear(struct peers *peers)
{
    tdestroy(peers->tree, peer_free);
    peers->tree = NULL;
    TAILQ_INIT(&peers->pending);
}
