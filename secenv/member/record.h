/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_RECORD_H
#define GROUPSEAL_SECENV_MEMBER_RECORD_H

#include "secenv/member/identity_state.h"

/* Records of the association between this identity and the authority: in, out, and what was answered. */

/*
 * An EndToEnd that came in a NOTIFY request. `answer` receives what goes into the response: a peer's error is
 * not the caller's, so it is OK, with the generic Refusal as the answer, and nothing has changed.
 */
enum result record_received(struct identity_state *identity, const Groupseal__Secenv__Received *received,
                            struct arena *arena, struct bytes *answer, struct reason *why) MUST_USE;

/* What became of a Send: a peer's error is not the caller's, so it is OK and dealt with here. */
enum result record_answered(struct identity_state *identity, uint64_t token, struct bytes object,
                            const char *failure, struct arena *arena, struct reason *why) MUST_USE;

/* Seals a body into the association and sends it. RESULT_NOT_READY while offline or without association. */
enum result record_send(struct identity_state *identity, Groupseal__Envelope__RecordBody *body,
                        struct arena *arena, struct reason *why) MUST_USE;

/* The outbox's way out; `context` is the engine. */
enum result record_outbox_send(void *context, const char *owner, const char *peer, const char *slot,
                               Groupseal__Envelope__RecordBody *body, unsigned attempts);

/* Puts a body for the authority into the outbox. */
enum result record_put(struct identity_state *identity, const char *slot,
                       Groupseal__Envelope__RecordBody *body, struct reason *why) MUST_USE;

#endif
