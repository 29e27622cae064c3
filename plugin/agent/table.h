/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_TABLE_H
#define GROUPSEAL_PLUGIN_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

/*
 * A hash table (uthash inside) of things that carry a link for it. The table owns neither things nor keys: a
 * key lives, unchanged, as long as its link is in. Keys are bytes. Starts zeroed.
 */
struct table_link {
    UT_hash_handle hh;
    void *thing;
};

struct table {
    struct table_link *first;
};

void *table_find(const struct table *table, const void *key, size_t length); /* NULL: not in it */
void *table_find_text(const struct table *table, const char *key);
/* The key is not in the table. False: out of memory, nothing has changed. */
bool table_add(struct table *table, struct table_link *link, const void *key, size_t length, void *thing)
    __attribute__((warn_unused_result));
bool table_add_text(struct table *table, struct table_link *link, const char *key, void *thing)
    __attribute__((warn_unused_result));
void table_remove(struct table *table, struct table_link *link); /* a link that is not in it is let be */
size_t table_count(const struct table *table);

/* All things, in the order in which they came: table_first, then table_next of each; NULL ends. */
void *table_first(const struct table *table);
void *table_next(const struct table_link *link);

#endif
