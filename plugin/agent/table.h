/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_TABLE_H
#define GROUPSEAL_PLUGIN_TABLE_H

/*
 * uthash, set so that a broker short of memory is not ended by it: after a HASH_ADD that found no memory the
 * element's `hh.tbl` is NULL and the element is not in the table.
 */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#endif
