/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_ACK_H
#define GROUPSEAL_SECENV_MEMBER_ACK_H

#include "secenv/member/membership.h"

/*
 * Sync requests and receipts, heard by the MN-CSE on `ack` of its own site: taken where serial, AE-ID and
 * signature are those of one member of the roster, from the previous epoch too.
 */
enum result ack_hear(struct membership *membership, const char *sender, struct bytes payload,
                     struct arena *arena, struct reason *why) MUST_USE;

#endif
