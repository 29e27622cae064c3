/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_KEEPER_H
#define GROUPSEAL_PLUGIN_KEEPER_H

#include "plugin/agent/agent.h"

/*
 * Keeps the agent's registrations and groups across restarts, in a state file. The broker's thread waits for
 * no disk: what it has written a thread of the keeper's brings there, within about a second. Main thread
 * only.
 */
struct keeper;

#define KEEPER_SYNC_MS 1000u   /* from a change until its way to the disk begins */
#define KEEPER_AGAIN_MS 60000u /* from a disk that failed, or was full, until the file is written anew */

/* Gives the agent what is there, and says what it found: whatever that is, it is no reason not to start.
 * NULL: `why` says what is wrong with the place. */
struct keeper *keeper_new(const char *path, struct agent *agent, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* Once the agent's lines come to keeper_keep: writes the file anew. A disk that is full or fails is no reason
 * not to start either; false, with `why`, for a folder that is not the broker's. */
bool keeper_start(struct keeper *keeper, uint64_t now_ms, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* Waits for the disk. NULL is allowed here and below: nothing is kept. */
void keeper_close(struct keeper *keeper);

/* agent_ports.keep */
bool keeper_keep(struct keeper *keeper, const char *line, size_t length) __attribute__((warn_unused_result));
/* With each tick; CLOCK_MONOTONIC. */
void keeper_turn(struct keeper *keeper, uint64_t now_ms);

#endif
