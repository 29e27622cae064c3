/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_EVICTIONS_H
#define GROUPSEAL_SECENV_AUTHORITY_EVICTIONS_H

#include "secenv/arena.h"
#include "secenv/store.h"

/*
 * The file `evictions` beside the store: one line an eviction, appended and synced before the store is
 * committed, never rewritten. A store that comes back from a backup knows from it who was evicted since:
 * the row's random token names the row, not its name, so that a member added again stays.
 */
#define EVICTION_TOKEN_SIZE 16u

/* The store's file, made where there is none; `file` is closed by the caller, and -1 after an error. */
enum result evictions_open(struct store *store, int *file, struct reason *why) MUST_USE;

struct member;

/* Of all of them, synced once. Opens nothing: the process has given that up when it serves. After a failure
 * some lines may be there: those members are evicted with the next start. */
enum result evictions_append(int file, const struct member *members, size_t count, uint64_t wall_ms,
                             struct reason *why) MUST_USE;

/* Calls `each` for every line that is whole. */
enum result evictions_read(int file,
                           enum result (*each)(void *context, const uint8_t token[EVICTION_TOKEN_SIZE],
                                               struct reason *why),
                           void *context, struct reason *why) MUST_USE;

#endif
