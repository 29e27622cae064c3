/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_CHANGE_H
#define GROUPSEAL_SECENV_AUTHORITY_CHANGE_H

#include "secenv/authority/group.h"

/*
 * One change of one group: everybody who came, went or authenticated anew since the last one, together. It
 * follows from the store alone (who belongs to the group, who has a leaf, and for which association), so it
 * can be asked for at any time and does nothing where nothing differs.
 */
extern const char change_schema[];

enum result group_change(struct engine *engine, struct group *group, struct arena *arena,
                         struct reason *why) MUST_USE;

/* The same epoch announced again, with a higher beat. */
enum result group_beat(struct engine *engine, struct group *group, struct arena *arena,
                       struct reason *why) MUST_USE;

/* The changes that the group is due for before anything is ordered in it; `*made`: there were some. */
enum result group_change_due(struct engine *engine, struct group *group, bool *made,
                             struct reason *why) MUST_USE;

/* All groups that are due: changes, then beats. Lowers `*next`. */
enum result changes_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

/* A member's key package, in its outbox. */
enum result package_put(struct engine *engine, const struct group *group, const struct leaf *leaf,
                        struct reason *why) MUST_USE;

#endif
