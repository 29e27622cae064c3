/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/duration.h"

#include <stddef.h>
#include <string.h>

bool duration_read(const char *text, uint32_t limit_ms, uint32_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    uint64_t number = 0;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
        if (number > limit_ms) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].unit) == 0 && number * units[i].ms <= limit_ms) {
            *out = (uint32_t)(number * units[i].ms);
            return true;
        }
    }
    return false;
}
