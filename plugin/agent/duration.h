/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_DURATION_H
#define GROUPSEAL_PLUGIN_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* A whole number with ms, s, m or h, in milliseconds. False: none, or more than `limit_ms`; `text` may be
 * NULL. */
bool duration_read(const char *text, uint32_t limit_ms, uint32_t *out);

#endif
