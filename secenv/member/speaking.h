/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SPEAKING_H
#define GROUPSEAL_SECENV_MEMBER_SPEAKING_H

#include "secenv/member/membership.h"

/* Member messages: `msg`, sealed for the group, signed where the policy asks for it. */

/* `site` and `payload` are what to publish, and where. RESULT_NOT_READY before key and policy. */
enum result speaking_seal(struct membership *membership, struct bytes body, const char **site,
                          struct buffer *payload, struct reason *why) MUST_USE;

/*
 * Heard on `msg`. Other members have no roster: to them it is from some member of the group. The MN-CSE
 * checks serial, AE-ID and signature against the roster, and takes signed ones from the previous epoch at any
 * time.
 */
enum result speaking_hear(struct membership *membership, const char *site, const char *sender,
                          struct bytes payload, struct arena *arena, struct reason *why) MUST_USE;

/* Those that waited for key and policy. */
enum result speaking_waiting_turn(struct membership *membership, struct reason *why) MUST_USE;

#endif
