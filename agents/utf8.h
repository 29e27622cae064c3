/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_UTF8_H
#define GROUPSEAL_AGENTS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed UTF-8 character (RFC 3629) at the start of `bytes`; 0: there is none. */
size_t utf8_character(const uint8_t *bytes, size_t length);

/* True where all of it is well-formed UTF-8 without NUL. */
bool utf8_valid(const uint8_t *bytes, size_t length);

#endif
