/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_POPULATION_AUTHORITY_H
#define GROUPSEAL_TESTS_SCHEDULES_POPULATION_AUTHORITY_H

#include "secenv/tree.h"
#include "tests/unit/site.h"

/* What the authority's engine holds of a group. The epoch is 0 where it is down. */
uint64_t authority_epoch_of(struct site *site, const char *group);
uint32_t authority_height_of(struct site *site, const char *group); /* of its tree; 0 too */
bool authority_epoch_secret_of(struct site *site, const char *group, struct secret *out);

#endif
