/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_HEX_H
#define GROUPSEAL_SECENV_AUTHORITY_HEX_H

#include "secenv/bytes.h"

/* Lower-case hexadecimal: `out` has room for two characters a byte and the zero. */
void hex_write(struct bytes bytes, char *out);
/* Reads exactly `size` bytes from the head of the text; false where it has other characters. */
bool hex_read(const char *text, uint8_t *out, size_t size);

#endif
