/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/said.h"

#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/holding.h"

enum result said_ack(struct membership *membership, const char *site, Groupseal__Envelope__Ack *ack,
                     struct reason *why)
{
    struct seal_context context;
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(group_seal_begin(membership, site, GROUPSEAL__ENVELOPE__KIND__KIND_ACK, &context, why));
    GUARD(ack_hash(ack, hash));
    GUARD(said_sign(&context, hash, &membership->identity->signing, signature));
    ack->signature = arena_field(BYTES_OF(signature));
    enum result result = group_seal_message(membership, &context, &ack->base, &payload);
    if (result == RESULT_OK) {
        struct publication publication = {.site = site,
                                          .kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK,
                                          .sender = membership->identity->identity.name,
                                          .payload = buffer_bytes(&payload)};
        result = event_publish(membership, &publication);
    }
    buffer_clear(&payload);
    if (result == RESULT_OK) {
        holding_said(membership);
    }
    return result;
}
