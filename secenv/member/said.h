/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_SAID_H
#define GROUPSEAL_SECENV_MEMBER_SAID_H

#include "secenv/member/membership.h"

/* Seals, signs and publishes an Ack (a sync request or a receipt) on `ack` of a site. */
enum result said_ack(struct membership *membership, const char *site, Groupseal__Envelope__Ack *ack,
                     struct reason *why) MUST_USE;

#endif
