/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_ROSTER_H
#define GROUPSEAL_PLUGIN_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who is in which group at this site, as the secure environment has verified it. Lists come in pages and take
 * effect, whole, with the last one; a question costs one look-up, whatever the size.
 */
struct rosters;

#define ROSTER_GROUPS_LIMIT 1024u
#define ROSTER_MEMBERS_LIMIT (1u << 20) /* of a group */
#define ROSTER_PAGE_LIMIT 256u          /* names in a page */

struct rosters *rosters_new(void); /* NULL: out of memory */
void rosters_free(struct rosters *rosters);

/* One page of a group's list; pages count from 0, and begin again with page 0. False: out of order, over a
 * limit, or out of memory; then the list that was in force stays so. `*complete`: it has taken effect. */
bool rosters_page(struct rosters *rosters, const char *name, uint32_t page, uint32_t pages,
                  char *const *members, size_t count, bool *complete);
/* Who came and who left since the group's list took effect, or since the change before. False: no list is in
 * force, over a limit, or out of memory; then the list has to be told anew, and those who left are out. */
bool rosters_change(struct rosters *rosters, const char *name, char *const *came, size_t came_count,
                    char *const *left, size_t left_count);
void rosters_delete(struct rosters *rosters, const char *name);

/* After a new connection to secenv: what was not told again between the two calls is gone, but for groups
 * whose pages are still coming. */
void rosters_mark(struct rosters *rosters);
size_t rosters_sweep(struct rosters *rosters); /* how many groups were dropped */
/* A group that was marked has neither been told again nor dropped yet. */
bool rosters_have_stale(const struct rosters *rosters);

bool rosters_has(const struct rosters *rosters, const char *name, const char *id);
/* Up to `count` members from the `first`-th on, in no order that means anything; how many `out` has. */
size_t rosters_list(const struct rosters *rosters, const char *name, size_t first, size_t count,
                    const char **out);
/* The name of the `at`-th group whose list is in force, or NULL. */
const char *rosters_group(const struct rosters *rosters, size_t at);
size_t rosters_members(const struct rosters *rosters, const char *name); /* 0: no such group */

#endif
