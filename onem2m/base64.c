/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/base64.h"

#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *bytes, size_t length)
{
    if (length > SIZE_MAX / 2) {
        return NULL;
    }
    char *text = malloc((length + 2) / 3 * 4 + 1);
    if (text == NULL) {
        return NULL;
    }
    char *at = text;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes[i + 2] : 0;
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *at++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *at = '\0';
    return text;
}

static int digit_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* Four digits, of which `count` (2 to 4) carry bits; false where one is foreign or unused bits are set. */
static bool quantum_decode(const char *text, size_t count, uint8_t *out)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < count ? digit_value(text[i]) : 0;
        if (value < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        out[i] = (uint8_t)(group >> (16 - 8 * i));
    }
    return (group & (0xffffffu >> 8 * (count - 1))) == 0;
}

bool base64_decode(const char *text, uint8_t **out, size_t *length)
{
    size_t digits = strlen(text);
    if (digits % 4 != 0) {
        return false;
    }
    size_t padding = 0;
    while (padding < 2 && padding < digits && text[digits - 1 - padding] == '=') {
        padding++;
    }
    uint8_t *bytes = malloc(digits / 4 * 3 + 1);
    if (bytes == NULL) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < digits; i += 4) {
        good = quantum_decode(text + i, i + 4 == digits ? 4 - padding : 4, bytes + i / 4 * 3);
    }
    if (!good) {
        free(bytes);
        return false;
    }
    *out = bytes;
    *length = digits / 4 * 3 - padding;
    return true;
}
