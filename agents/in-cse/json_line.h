/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_JSON_LINE_H
#define GROUPSEAL_AGENTS_IN_CSE_JSON_LINE_H

#include <cJSON.h>
#include <stddef.h>
#include <stdint.h>

/* JSON output of the operator's commands: one object or array, one line, on standard output. */

/* A string, with malformed UTF-8 (details come from devices) as U+FFFD. */
void json_line_text(cJSON *object, const char *name, const char *text);
void json_line_texts(cJSON *object, const char *name, char *const *texts, size_t count);
void json_line_hex(cJSON *object, const char *name, const uint8_t *bytes, size_t length);
/* ISO 8601 in UTC, from milliseconds since 1970; "" for 0. */
void json_line_time(cJSON *object, const char *name, uint64_t ms);
/* Prints and frees. Returns -1 where memory was out. */
int json_line_put(cJSON *value);

#endif
