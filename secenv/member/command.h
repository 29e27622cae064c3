/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_COMMAND_H
#define GROUPSEAL_SECENV_MEMBER_COMMAND_H

#include "secenv/member/membership.h"

/*
 * Commands and sync replies, heard on `cmd`: the checks of docs/protocol.md section 6, "Receiving a command",
 * in that order. OK: taken, or answered with a receipt that refuses it, or waiting for the climb.
 */
enum result command_hear(struct membership *membership, const char *site, bool retained, struct bytes payload,
                         struct arena *arena, struct reason *why) MUST_USE;

/* The application's result. */
enum result command_finished(struct membership *membership, const uint8_t id[COMMAND_ID_SIZE], bool done,
                             const char *detail, struct reason *why) MUST_USE;

/* Those that waited for key and policy. */
enum result command_waiting_turn(struct membership *membership, struct reason *why) MUST_USE;

#endif
