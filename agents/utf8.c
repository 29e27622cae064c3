/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/utf8.h"

size_t utf8_character(const uint8_t *bytes, size_t length)
{
    static const struct {
        uint8_t first_low;
        uint8_t first_high;
        uint8_t second_low;
        uint8_t second_high;
        uint8_t size;
    } forms[] = {
        /* RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF */
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (length == 0) {
        return 0;
    }
    if (bytes[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (bytes[0] < forms[i].first_low || bytes[0] > forms[i].first_high) {
            continue;
        }
        if (length < forms[i].size || bytes[1] < forms[i].second_low || bytes[1] > forms[i].second_high) {
            return 0;
        }
        for (size_t j = 2; j < forms[i].size; j++) {
            if ((bytes[j] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].size;
    }
    return 0;
}

bool utf8_valid(const uint8_t *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        size_t size = bytes[done] != 0 ? utf8_character(bytes + done, length - done) : 0;
        if (size == 0) {
            return false;
        }
        done += size;
    }
    return true;
}
