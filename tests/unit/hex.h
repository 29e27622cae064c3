/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_HEX_H
#define GROUPSEAL_TESTS_UNIT_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hexadecimal text of test vectors to bytes; returns how many. */
static inline size_t unhex(const char *text, uint8_t *out, size_t size)
{
    size_t count = 0;
    for (; text[0] != '\0'; text += 2) {
        unsigned value = 0;
        if (count == size || sscanf(text, "%2x", &value) != 1) {
            abort();
        }
        out[count++] = (uint8_t)value;
    }
    return count;
}

#endif
