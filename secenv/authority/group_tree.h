/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_GROUP_TREE_H
#define GROUPSEAL_SECENV_AUTHORITY_GROUP_TREE_H

#include "secenv/authority/group.h"

/*
 * The key tree of a group in the store: a row a page, sealed for its place. What cannot be opened, or is none
 * of a tree, says which page it is, and that the store is to be restored.
 */
extern const char group_tree_schema[];

/* The tree of a new group. */
enum result group_tree_begin(struct group *group, struct store *store, struct reason *why) MUST_USE;
/* The one that is stored, as high as this, with the leaves that the store has. */
enum result group_tree_load(struct group *group, struct store *store, uint32_t height,
                            struct reason *why) MUST_USE;
void group_tree_free(struct group *group);

/* Writes the pages that changed since tree_clean. */
enum result group_tree_store(const struct group *group, struct reason *why) MUST_USE;
enum result group_tree_delete(struct store *store, int64_t group_id, struct reason *why) MUST_USE;

#endif
