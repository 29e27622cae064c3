/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_LEAVING_H
#define GROUPSEAL_PLUGIN_LEAVING_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The client whose end was the last that the broker told: what it still publishes is its will. An address
 * alone does not say who it is, since the broker may have given it to the next client. Starts zeroed.
 */
struct leaving {
    const void *client; /* NULL: nobody */
    uint64_t who;       /* hash of its client id and user name */
};

/* The texts may be NULL. */
void leaving_set(struct leaving *leaving, const void *client, const char *client_id, const char *name);
void leaving_clear(struct leaving *leaving);
bool leaving_is(const struct leaving *leaving, const void *client, const char *client_id, const char *name);

#endif
