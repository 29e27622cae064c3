/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_PSK_FILE_H
#define GROUPSEAL_AGENTS_PSK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A pre-shared key in a file: hexadecimal digits, white space around them allowed. The file must be a
 * regular file; what is read is wiped, whatever the outcome.
 */
#define PSK_LIMIT 64u /* bytes of a key */

/* Reads a key of at most `size` bytes into `out`; `*length` is its length, at least 16. False: `why` says
 * what and where; no byte of the file is in it. */
bool psk_file_read(const char *path, uint8_t *out, size_t size, size_t *length, char *why, size_t why_size);

#endif
