/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_MOVE_H
#define GROUPSEAL_SECENV_AUTHORITY_MOVE_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/result.h"

struct engine;

/*
 * An ADN-AE goes to another MN-CSE (operator). Its end-to-end association stays: it is with this authority.
 * It is heard through the new MN-CSE alone from now on, is told LEFT of groups that are not relayed there
 * (their keys are changed), and gets a new leaf in the others; the rosters of both sites say so with that
 * change. Orders that it has not answered go to the new site too, under their ids: it runs none twice.
 */
enum result member_move(struct engine *engine, const Groupseal__Secenv__MemberMove *request,
                        struct arena *arena, struct reason *why) MUST_USE;

#endif
