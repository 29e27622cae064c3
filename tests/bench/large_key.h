/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_LARGE_KEY_H
#define GROUPSEAL_BENCH_LARGE_KEY_H

#include "tests/unit/site.h"

/* Both nodes have a key of the group, and it is the same. */
bool large_key_same(struct site_node *a, struct site_node *b, const char *group);

#endif
