/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_OWN_COMMAND_H
#define GROUPSEAL_SECENV_AUTHORITY_OWN_COMMAND_H

#include "secenv.pb-c.h"
#include "secenv/authority/member.h"

/*
 * Commands that an MN-CSE has given by itself (a rule, its operator's interface), perhaps while the IN-CSE
 * was off. The authority learns of them from their reports, and shows them as its own orders: what it knows
 * of them is that MN-CSE's word. The newest OWN_COMMANDS_LIMIT of each are kept.
 */
#define OWN_COMMANDS_LIMIT 256u

/* A report of a command that may not be known yet: then it is from now on, and the operator is told.
 * RESULT_UNKNOWN or RESULT_REFUSED: of a group in which the MN-CSE has no place, RESULT_INVALID: of no time.
 */
enum result own_command_note(struct engine *engine, const struct member *mn_cse,
                             const Groupseal__Envelope__Report *report, struct reason *why) MUST_USE;

#endif
