/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_ROSTER_H
#define GROUPSEAL_BENCH_ROSTER_H

#include "tests/bench/environment.h"

/* What the operator of a benchmark asks of the authority: members, groups. `client` is the operator socket.
 */

void roster_add_mn_cse(struct secenv_client *client);

/* The devices `first` to `first + count - 1`, at the MN-CSE. `psks`: one a device, from number 0 on; NULL:
 * certificates. `functions` may be NULL. */
void roster_add_devices(struct secenv_client *client, unsigned first, unsigned count,
                        const struct secret *psks, const char *const *functions, size_t function_count);

/* Of the members with `function`, at the MN-CSE. `window_ms`: for receipts; 0: the default. */
void roster_create_group(struct secenv_client *client, const char *name, const char *function,
                         uint32_t window_ms);

/* Members of the group that have a leaf, the MN-CSE among them. */
unsigned roster_group_size(struct secenv_client *client, const char *name);

#endif
