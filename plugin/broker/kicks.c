/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/kicks.h"

#include "plugin/broker/compat.h"

#include <stdlib.h>
#include <string.h>

static size_t kicks_find(const struct kicks *kicks, const char *client_id)
{
    size_t at = 0;
    while (at < kicks->count && strcmp(kicks->ids[at], client_id) != 0) {
        at++;
    }
    return at;
}

void kicks_add(struct kicks *kicks, const char *client_id)
{
    if (kicks->count == KICKS_LIMIT || kicks_find(kicks, client_id) < kicks->count) {
        return;
    }
    char *copy = strdup(client_id);
    if (copy != NULL) {
        kicks->ids[kicks->count++] = copy;
    }
}

void kicks_drop(struct kicks *kicks, const char *client_id)
{
    size_t at = kicks_find(kicks, client_id);
    if (at < kicks->count) {
        free(kicks->ids[at]);
        kicks->ids[at] = kicks->ids[--kicks->count];
    }
}

void kicks_do(struct kicks *kicks)
{
    while (kicks->count > 0) {
        /* Taken out first: the broker tells of the end, and that asks here again. */
        char *client_id = kicks->ids[--kicks->count];
        mosquitto_kick_client_by_clientid(client_id, false);
        free(client_id);
    }
}

void kicks_clear(struct kicks *kicks)
{
    while (kicks->count > 0) {
        free(kicks->ids[--kicks->count]);
    }
}
