/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_ROSTER_FILE_H
#define GROUPSEAL_AGENTS_IN_CSE_ROSTER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Members in a CSV file (RFC 4180, by libcsv) for `in-cse member import`. The first row must be exactly
 *
 *   name,kind,mode,psk_file,site,functions
 *
 * name       absolute id, or a short one as "Sdoor1", "mn-1"
 * kind       adn-ae or mn-cse
 * mode       cert or psk
 * psk_file   psk only: file of the key, relative to the folder of the CSV file
 * site       adn-ae only: CSE-ID of its MN-CSE
 * functions  "door;exit": separated by ';'
 *
 * At most ROSTER_FILE_LIMIT rows. Texts are checked where they are used; here only the shape is.
 */
#define ROSTER_FILE_LIMIT 1000000u
#define ROSTER_FUNCTIONS_LIMIT 32u
#define ROSTER_FIELD_LIMIT 4096u

struct roster_row {
    size_t line; /* row number in the file, the first is 1 */
    char *name;
    bool mn_cse;
    bool psk;
    char *psk_file; /* "" where there is none */
    char *site;
    char *functions[ROSTER_FUNCTIONS_LIMIT];
    size_t function_count;
};

struct roster_file {
    struct roster_row *rows;
    size_t count;
    size_t room;
};

/* Reads all rows. False: `why` says the row and what is wrong with it; nothing is returned. */
bool roster_file_read(FILE *file, struct roster_file *out, char *why, size_t why_size);
void roster_file_clear(struct roster_file *file); /* a zeroed one is allowed */

#endif
