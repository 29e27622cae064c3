/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_DISPATCH_SEAL_H
#define GROUPSEAL_SECENV_MEMBER_DISPATCH_SEAL_H

#include "secenv/member/dispatch_command.h"

/*
 * Commands are sealed when they come, for all; and again while they are valid, after a member's sync, after
 * each epoch change and after a start, for those alone who have not answered for good. Who has answered
 * neither runs it again, though its store was put back to before it did, nor says again what it said. Where
 * more than WANTED_LIMIT have not answered it is for all.
 */

/* Now. RESULT_REFUSED: a command of the relay's own, which may no longer command. */
enum result dispatch_seal(struct relay *relay, struct dispatch *dispatch, struct arena *arena,
                          struct reason *why) MUST_USE;
/* The member has asked for a sync: what it did not answer is sealed again, after the reply. */
enum result dispatch_member_back(struct relay *relay, const char *name, struct reason *why) MUST_USE;
/* Everything that is open is sealed again. */
void dispatch_seal_all(struct relay *relay);
/* Seals it where that is due. */
enum result dispatch_seal_turn(struct relay *relay, struct dispatch *dispatch, bool expired,
                               struct reason *why) MUST_USE;

#endif
