/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_GROUP_CHANGE_H
#define GROUPSEAL_AGENTS_IN_CSE_GROUP_CHANGE_H

#include <argp.h>
#include <stdint.h>

/* What --rotate-every says, in seconds: 1m to 365d, or UINT32_MAX for "off"; else ends with argp's usage
 * error. */
uint32_t group_rotation_take(const struct argp_state *state, const char *text);

#endif
