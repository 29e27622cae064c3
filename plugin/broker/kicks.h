/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_KICKS_H
#define GROUPSEAL_PLUGIN_KICKS_H

/*
 * Client ids whose connection is to be ended. Not at once: the broker must not lose a client in the midst of
 * asking about it. Main thread only; starts zeroed.
 */
#include <stddef.h>

#define KICKS_LIMIT 64u

struct kicks {
    char *ids[KICKS_LIMIT];
    size_t count;
};

/* A list that is full, or memory that is, leaves it out: its next question puts it in again. */
void kicks_add(struct kicks *kicks, const char *client_id);
/* The id has another connection now, or none. */
void kicks_drop(struct kicks *kicks, const char *client_id);
/* Ends them all, without their wills. */
void kicks_do(struct kicks *kicks);
void kicks_clear(struct kicks *kicks);

#endif
