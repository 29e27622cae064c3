/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/sync_reply.h"

#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/relay.h"

void sync_reply_add(struct membership *membership, const uint8_t nonce[NONCE_SIZE])
{
    struct sync_replies *syncs = &membership->relay->syncs;
    uint64_t now = engine_now_us(membership->identity->engine);
    if (syncs->count == SYNC_NONCES_LIMIT) {
        audit_count(AUDIT_SYNCS_REFUSED); /* asked again by its member */
        return;
    }
    if (syncs->count == 0) {
        uint64_t soon = now + SYNC_COLLECT_US;
        syncs->due_us = syncs->next_us > soon ? syncs->next_us : soon;
    }
    memcpy(syncs->nonces[syncs->count++], nonce, NONCE_SIZE);
    if (syncs->count == SYNC_NONCES_LIMIT) {
        syncs->due_us = now;
    }
    identity_state_touch(membership->identity);
}

static enum result reply_publish(struct membership *membership, const struct seal_context *context,
                                 Groupseal__Envelope__SyncReply *reply)
{
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(sync_hash(reply, hash));
    GUARD(seal_sign(context, 0, hash, &membership->identity->signing, signature));
    reply->seal_signature = arena_field(BYTES_OF(signature));
    enum result result = group_seal_message(membership, context, &reply->base, &payload);
    if (result == RESULT_OK) {
        struct publication publication = {.site = membership->relay->site,
                                          .kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND,
                                          .sender = "",
                                          .passing = true,
                                          .payload = buffer_bytes(&payload)};
        result = event_publish(membership, &publication);
    }
    buffer_clear(&payload);
    return result;
}

uint64_t sync_reply_gap_us(uint64_t members)
{
    uint64_t gap_us = SYNC_GAP_EACH_US * members;
    return gap_us < SYNC_GAP_LIMIT_US ? gap_us : SYNC_GAP_LIMIT_US;
}

/* The reply's own counter is the floor: all commands sealed before it are below. */
static enum result reply_send(struct membership *membership, struct reason *why)
{
    struct engine *engine = membership->identity->engine;
    struct sync_replies *syncs = &membership->relay->syncs;
    struct seal_context context;
    ProtobufCBinaryData nonces[SYNC_NONCES_LIMIT];
    Groupseal__Envelope__SyncReply reply = GROUPSEAL__ENVELOPE__SYNC_REPLY__INIT;
    for (size_t i = 0; i < syncs->count; i++) {
        nonces[i] = arena_field(BYTES_OF(syncs->nonces[i]));
    }
    reply.nonces = nonces;
    reply.n_nonces = syncs->count;
    GUARD(group_seal_begin(membership, membership->relay->site, GROUPSEAL__ENVELOPE__KIND__KIND_SYNC,
                           &context, why));
    reply.floor = context.counter;
    GUARD(command_clock_read(&engine->command_clock, engine->setup.store, engine->setup.clock, &reply.time_ms,
                             why));
    GUARD(reply_publish(membership, &context, &reply));
    audit_count(AUDIT_SYNCS_ANSWERED);
    syncs->count = 0;
    syncs->next_us = engine_now_us(engine) + sync_reply_gap_us(membership->relay->roster.count);
    return RESULT_OK;
}

enum result sync_reply_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    struct sync_replies *syncs = &membership->relay->syncs;
    if (syncs->count == 0 || !membership_ready(membership)) {
        return RESULT_OK;
    }
    if (syncs->due_us <= engine_now_us(membership->identity->engine) &&
        !allowance_puts_off(membership, &syncs->due_us)) {
        return reply_send(membership, why);
    }
    *next = syncs->due_us < *next ? syncs->due_us : *next;
    return RESULT_OK;
}
