/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/leaving.h"

#include <stddef.h>

/* FNV-1a. Who finds a second client with the same hash has its message taken for a will, and refused. */
static uint64_t text_hash(uint64_t hash, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash * 0x100000001b3u;
}

static uint64_t who_of(const char *client_id, const char *name)
{
    return text_hash(text_hash(0xcbf29ce484222325u, client_id), name);
}

void leaving_set(struct leaving *leaving, const void *client, const char *client_id, const char *name)
{
    *leaving = (struct leaving){client, who_of(client_id, name)};
}

void leaving_clear(struct leaving *leaving)
{
    *leaving = (struct leaving){NULL, 0};
}

bool leaving_is(const struct leaving *leaving, const void *client, const char *client_id, const char *name)
{
    return leaving->client != NULL && leaving->client == client && leaving->who == who_of(client_id, name);
}
