/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_DICE_H
#define GROUPSEAL_TESTS_FUZZ_DICE_H

#include <stdbool.h>

#include "fuzz.h"

/* An input that decides, byte by byte, what happens next. At its end every throw is 0. */
struct dice {
    const uint8_t *data;
    size_t left;
};

static inline uint8_t dice_byte(struct dice *dice)
{
    if (dice->left == 0) {
        return 0;
    }
    dice->left--;
    return *dice->data++;
}

/* Below `count`, which is 1 to 256. */
static inline size_t dice_pick(struct dice *dice, size_t count)
{
    return dice_byte(dice) % count;
}

/* A length, and as many bytes of the input as are left of it; they are viewed. */
static inline size_t dice_bytes(struct dice *dice, const uint8_t **out)
{
    size_t length = dice_byte(dice);
    length = length > dice->left ? dice->left : length;
    *out = dice->data;
    dice->data += length;
    dice->left -= length;
    return length;
}

#endif
