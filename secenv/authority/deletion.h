/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_DELETION_H
#define GROUPSEAL_SECENV_AUTHORITY_DELETION_H

#include "secenv/authority/group.h"

/*
 * The end of a group. Each member is told LEFT, until it says that it has taken it (slot "left GROUP
 * INSTANCE": a group made again under the name has another instance, and its members are told of both). What
 * waited for them of the group is dropped, its open orders are closed, and nothing of it stays in the store
 * but the reports of its orders, for as long as any order's.
 */
enum result group_delete(struct engine *engine, const Groupseal__Secenv__GroupDelete *request,
                         struct reason *why) MUST_USE;
/* What waits for its members of the group is dropped. */
enum result group_undeliver(struct engine *engine, struct group *group, struct reason *why) MUST_USE;

#endif
