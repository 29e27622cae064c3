/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_REVOKING_H
#define GROUPSEAL_SECENV_MEMBER_REVOKING_H

#include "secenv/member/identity_state.h"

/*
 * REVOCATION, out of a record that the association has authenticated: the CA's signature counts all the same,
 * and the number is never lower. Where a list names the certificate by which the authority made this
 * association, a new authentication is begun; the old association stays until that has ended well, for who is
 * cut off could be told nothing more.
 */
enum result revoking_take(struct identity_state *identity, const Groupseal__Envelope__Revocation *revocation,
                          struct reason *why) MUST_USE;

/* After an authentication: an alarm where no list is there or one is overdue. */
enum result revoking_alarm(const struct identity_state *identity) MUST_USE;

#endif
