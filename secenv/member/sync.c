/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/sync.h"

#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/membership.h"
#include "secenv/member/said.h"
#include "secenv/member/sync_reply.h"

void sync_start(struct site_sync *sync)
{
    sync->next_us = 0;
    sync->retry_us = SYNC_FIRST_RETRY_US;
}

uint64_t sync_relay_ms(const struct site_sync *sync, uint64_t now_us)
{
    return sync->relay_ms + (now_us - sync->relay_us) / 1000u;
}

/* ---- replies ---- */

static bool question_is(const struct sync_question *question, ProtobufCBinaryData nonce, uint64_t now_us)
{
    return question->open && now_us - question->asked_us <= SYNC_VOID_US &&
           bytes_equal(arena_view(nonce), BYTES_OF(question->nonce));
}

/* The open question that one of the reply's nonces answers in time, or NULL. */
static struct sync_question *question_answered(struct site_sync *sync,
                                               const Groupseal__Envelope__SyncReply *reply, uint64_t now_us)
{
    for (size_t i = 0; i < reply->n_nonces; i++) {
        for (size_t k = 0; k < SYNC_QUESTIONS; k++) {
            if (question_is(&sync->questions[k], reply->nonces[i], now_us)) {
                return &sync->questions[k];
            }
        }
    }
    return NULL;
}

static void floor_take(struct site_sync *sync, const struct seal_context *context, uint64_t floor)
{
    bool same = sync->synchronised && sync->relay_serial == context->serial &&
                sync->relay_incarnation == context->incarnation;
    sync->floor = same && sync->floor > floor ? sync->floor : floor;
    sync->relay_serial = context->serial;
    sync->relay_incarnation = context->incarnation;
}

enum result sync_take_reply(struct membership *membership, struct site_sync *sync,
                            const struct seal_context *context, const Groupseal__Envelope__SyncReply *reply,
                            struct reason *why)
{
    (void)why;
    uint64_t now_us = engine_now_us(membership->identity->engine);
    const struct sync_question *question = question_answered(sync, reply, now_us);
    if (question == NULL) {
        return RESULT_OK; /* somebody else's, or too late */
    }
    floor_take(sync, context, reply->floor);
    /* Counted from the question: a reply held back on its way cannot make a late command look early. */
    sync->relay_ms = reply->time_ms;
    sync->relay_us = question->asked_us;
    sync->synchronised = true;
    memset(sync->questions, 0, sizeof(sync->questions));
    sync->next_us = NEVER;
    audit_count(AUDIT_SYNCS_DONE);
    return RESULT_OK;
}

/* ---- requests ---- */

static struct sync_question *question_oldest(struct site_sync *sync)
{
    struct sync_question *oldest = &sync->questions[0];
    for (size_t i = 0; i < SYNC_QUESTIONS; i++) {
        struct sync_question *question = &sync->questions[i];
        if (!question->open) {
            return question;
        }
        if (question->asked_us < oldest->asked_us) {
            oldest = question;
        }
    }
    return oldest;
}

static enum result sync_ask(struct membership *membership, struct site_sync *sync, uint64_t now_us,
                            struct reason *why)
{
    struct sync_question question = {.open = true, .asked_us = now_us};
    GUARD(random_bytes(question.nonce, NONCE_SIZE));
    Groupseal__Envelope__SyncRequest request = GROUPSEAL__ENVELOPE__SYNC_REQUEST__INIT;
    request.nonce = arena_field(BYTES_OF(question.nonce));
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST;
    ack.sync_request = &request;
    GUARD(said_ack(membership, sync->site, &ack, why));
    audit_count(AUDIT_SYNCS_SENT);
    *question_oldest(sync) = question;
    sync->next_us = now_us + sync_reply_gap_us(UINT64_C(1) << membership->announced.height) +
                    sync->retry_us / 2 + engine_draw(sync->retry_us);
    sync->retry_us = 2 * sync->retry_us < SYNC_LAST_RETRY_US ? 2 * sync->retry_us : SYNC_LAST_RETRY_US;
    return RESULT_OK;
}

/* Another relay has taken the site: what we know of the former one's counters and clock is void. */
static void relay_watch(const struct membership *membership, struct site_sync *sync)
{
    if (sync->synchronised && policy_relay(membership_policy(membership), sync->site, sync->relay_incarnation,
                                           sync->relay_serial) == NULL) {
        sync->synchronised = false;
        sync_start(sync);
    }
}

enum result sync_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    if (!membership->identity->online || !membership_ready(membership)) {
        return RESULT_OK; /* what ends that brings the next turn */
    }
    uint64_t now_us = engine_now_us(membership->identity->engine);
    for (size_t i = 0; i < membership->site_count; i++) {
        struct site_sync *sync = &membership->sites[i];
        relay_watch(membership, sync);
        if (sync->next_us <= now_us && !allowance_puts_off(membership, &sync->next_us)) {
            GUARD(sync_ask(membership, sync, now_us, why));
        }
        *next = sync->next_us < *next ? sync->next_us : *next;
    }
    return RESULT_OK;
}
