/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A broker short of memory is not ended: after a HASH_ADD that found none, the link's `hh.tbl` is NULL. */
#define HASH_NONFATAL_OOM 1

#include "plugin/agent/table.h"

#include <string.h>

/* Each macro of uthash is a function of a hundred statements. */
/* NOLINTBEGIN(readability-function-size,bugprone-*,clang-analyzer-*) */

void *table_find(const struct table *table, const void *key, size_t length)
{
    struct table_link *link = NULL;
    HASH_FIND(hh, table->first, key, length, link);
    return link == NULL ? NULL : link->thing;
}

bool table_add(struct table *table, struct table_link *link, const void *key, size_t length, void *thing)
{
    link->thing = thing;
    HASH_ADD_KEYPTR(hh, table->first, key, length, link);
    return link->hh.tbl != NULL;
}

void table_remove(struct table *table, struct table_link *link)
{
    if (link->hh.tbl != NULL) {
        HASH_DEL(table->first, link);
        link->hh.tbl = NULL;
    }
}

/* NOLINTEND(readability-function-size,bugprone-*,clang-analyzer-*) */

void *table_find_text(const struct table *table, const char *key)
{
    return table_find(table, key, strlen(key));
}

bool table_add_text(struct table *table, struct table_link *link, const char *key, void *thing)
{
    return table_add(table, link, key, strlen(key), thing);
}

size_t table_count(const struct table *table)
{
    return HASH_COUNT(table->first);
}

void *table_first(const struct table *table)
{
    return table->first == NULL ? NULL : table->first->thing;
}

void *table_next(const struct table_link *link)
{
    const struct table_link *next = link->hh.next;
    return next == NULL ? NULL : next->thing;
}
