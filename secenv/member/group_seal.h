/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_GROUP_SEAL_H
#define GROUPSEAL_SECENV_MEMBER_GROUP_SEAL_H

#include "secenv/member/membership.h"

/* Sealing and opening of group messages with the keys of a membership. */

/* A context for a message of ours: current epoch, our serial, the next counter. RESULT_NOT_READY without key
 * or policy. */
enum result group_seal_begin(struct membership *membership, const char *site, Groupseal__Envelope__Kind kind,
                             struct seal_context *out, struct reason *why) MUST_USE;
/* Packs the plaintext and seals it: `out` is the topic's payload. */
enum result group_seal_message(const struct membership *membership, const struct seal_context *context,
                               const ProtobufCMessage *plaintext, struct buffer *out) MUST_USE;

/* A payload that was parsed and whose kind fits its topic. */
struct group_opening {
    const Groupseal__Envelope__Sealed *sealed;
    struct seal_context context;
    const struct epoch_key *key;
};

/* Fills the opening from a header. `key` is chosen by the caller. */
void group_opening_init(const struct membership *membership, const Groupseal__Envelope__Sealed *sealed,
                        const char *site, const char *ae, struct group_opening *out);
/* RESULT_REFUSED where the tag is wrong. The policy must be here. */
enum result group_open(const struct membership *membership, const struct group_opening *opening,
                       struct buffer *plaintext, struct reason *why) MUST_USE;

#endif
