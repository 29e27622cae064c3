/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/words.h"

#include <stdlib.h>
#include <string.h>

char *words_join(char *const *words, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++) {
        size += strlen(words[i]) + 1;
    }
    char *joined = malloc(size);
    if (joined == NULL) {
        return NULL;
    }
    joined[0] = '\0';
    char *end = joined;
    for (size_t i = 0; i < count; i++) {
        end = stpcpy(end, i == 0 ? "" : ",");
        end = stpcpy(end, words[i]);
    }
    return joined;
}
