/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_TABLE_H
#define GROUPSEAL_AGENTS_IN_CSE_TABLE_H

#include <stddef.h>
#include <stdio.h>

/*
 * Tables for people: columns as wide as their widest cell, two blanks between, no frame. Cells come from
 * devices too: what could steer a terminal (control characters, C1 ones, malformed UTF-8) is printed as '?'.
 */
struct table;

/* `titles` has `columns` entries, kept, not copied. NULL: out of memory. */
struct table *table_new(const char *const *titles, size_t columns);
void table_free(struct table *table);

/* Appends a row; `cells` has as many entries as columns, copied; NULL or "" is printed as "-". Rows that find
 * no memory are remembered, and table_print says so. */
void table_row(struct table *table, const char *const *cells);
/* Prints to `out`; a table without rows prints `none` in place of everything. Returns -1 where rows are
 * missing for want of memory. */
int table_print(const struct table *table, const char *none, FILE *out);

/* A text made safe for terminals, malloc'd; NULL: out of memory. */
char *table_clean(const char *text);

#endif
