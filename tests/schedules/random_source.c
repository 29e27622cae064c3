/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/schedules/random_source.h"

#include <string.h>

#include "secenv/crypto/secret.h"

static uint64_t drawn;

enum result __wrap_random_bytes(uint8_t *out, size_t length) MUST_USE;

void random_source_start(uint64_t seed)
{
    drawn = seed * 0x9e3779b97f4a7c15u;
}

static uint64_t draw(void)
{
    uint64_t mixed = drawn += 0x9e3779b97f4a7c15u; /* splitmix64 */
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

enum result __wrap_random_bytes(uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        uint64_t word = draw();
        memcpy(out + i, &word, length - i < sizeof(word) ? length - i : sizeof(word));
    }
    return RESULT_OK;
}
