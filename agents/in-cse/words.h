/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_WORDS_H
#define GROUPSEAL_AGENTS_IN_CSE_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Words with commas between them, malloc'd; NULL: out of memory. */
char *words_join(char *const *words, size_t count);

/* ISO 8601 in UTC, from milliseconds since 1970; "" for 0 (never). */
#define WORDS_TIME_SIZE 32u
void words_time(uint64_t ms, char out[WORDS_TIME_SIZE]);

/* A time in the largest unit that fits: "12s", "5m", "3h", "30d". */
#define WORDS_AGE_SIZE 24u
void words_length(uint64_t ms, char out[WORDS_AGE_SIZE]);
/* How long ago `then_ms` was; "" for 0 (never). */
void words_age(uint64_t now_ms, uint64_t then_ms, char out[WORDS_AGE_SIZE]);

#endif
