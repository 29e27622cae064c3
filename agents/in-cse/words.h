/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_WORDS_H
#define GROUPSEAL_AGENTS_IN_CSE_WORDS_H

#include <stddef.h>

/* Words with commas between them, malloc'd; NULL: out of memory. */
char *words_join(char *const *words, size_t count);

#endif
