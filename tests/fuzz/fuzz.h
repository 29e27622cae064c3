/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_H
#define GROUPSEAL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a target says is always so; else the fuzzer keeps the input. */
#define ALWAYS(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as text, malloc'd at its exact size, so that AddressSanitizer sees the first byte too far. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    ALWAYS(text != NULL);
    if (size != 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}

#endif
