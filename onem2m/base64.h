/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_ONEM2M_BASE64_H
#define GROUPSEAL_ONEM2M_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Base64 of RFC 4648 section 4, as `eckm` carries it: standard alphabet, padded, no white space. Strict, so
 * that one object has one text. */

/* malloc'd and zero terminated; NULL: out of memory. */
char *base64_encode(const uint8_t *bytes, size_t length);
/* `*out` is malloc'd (never NULL on success). False: malformed or out of memory. */
bool base64_decode(const char *text, uint8_t **out, size_t *length);

#endif
