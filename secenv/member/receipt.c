/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/receipt.h"

#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/command_table.h"
#include "secenv/member/said.h"

#define CAPACITY_FIRST 8u

_Static_assert(RECEIPTS_LIMIT >= COMMAND_TABLE_LIMIT, "every command of the table has room for its receipt");

/* ---- the queue ---- */

void receipt_queue_clear(struct receipt_queue *queue)
{
    free(queue->receipts);
    *queue = (struct receipt_queue){.receipts = NULL};
}

static struct receipt *receipt_find(const struct receipt_queue *queue, const uint8_t id[COMMAND_ID_SIZE])
{
    for (size_t i = 0; i < queue->count; i++) {
        if (memcmp(queue->receipts[i].command_id, id, COMMAND_ID_SIZE) == 0) {
            return &queue->receipts[i];
        }
    }
    return NULL;
}

static bool queue_has_room(const struct receipt_queue *queue, bool refusal)
{
    return refusal ? queue->refusals < RECEIPT_REFUSALS_LIMIT
                   : queue->count - queue->refusals < RECEIPTS_LIMIT;
}

/* A place at the end, or NULL. */
static struct receipt *queue_grow(struct receipt_queue *queue)
{
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity == 0 ? CAPACITY_FIRST : 2 * queue->capacity;
        struct receipt *larger = realloc(queue->receipts, capacity * sizeof(*larger));
        if (larger == NULL) {
            return NULL;
        }
        queue->receipts = larger;
        queue->capacity = capacity;
    }
    return &queue->receipts[queue->count];
}

static void queue_remove(struct receipt_queue *queue, size_t index)
{
    queue->refusals -= queue->receipts[index].refusal != NULL ? 1 : 0;
    queue->receipts[index] = queue->receipts[--queue->count];
}

/* It was refused, and taken after all before the refusal left. */
static void refusal_withdraw(struct receipt_queue *queue, struct receipt *receipt)
{
    if (receipt->refusal != NULL) {
        receipt->refusal = NULL;
        queue->refusals--;
    }
}

static void receipt_put(struct membership *membership, size_t site, const uint8_t id[COMMAND_ID_SIZE],
                        const char *refusal, uint64_t delay_us)
{
    struct receipt_queue *queue = &membership->receipts;
    struct receipt *waiting = receipt_find(queue, id);
    if (waiting != NULL && refusal == NULL) {
        refusal_withdraw(queue, waiting);
    }
    struct receipt *receipt =
        waiting == NULL && queue_has_room(queue, refusal != NULL) ? queue_grow(queue) : NULL;
    if (receipt == NULL) {
        return;
    }
    *receipt = (struct receipt){
        .site = site, .due_us = engine_now_us(membership->identity->engine) + delay_us, .refusal = refusal};
    memcpy(receipt->command_id, id, COMMAND_ID_SIZE);
    queue->count++;
    queue->refusals += refusal != NULL ? 1 : 0;
    identity_state_touch(membership->identity);
}

void receipt_schedule(struct membership *membership, size_t site, const uint8_t id[COMMAND_ID_SIZE],
                      const char *refusal)
{
    receipt_put(membership, site, id, refusal, engine_draw(membership_response_window_us(membership)));
}

void receipt_finished(struct membership *membership, size_t site, const uint8_t id[COMMAND_ID_SIZE])
{
    receipt_put(membership, site, id, NULL, 0);
}

/* ---- sending ---- */

static enum result receipt_send(struct membership *membership, const struct receipt *receipt,
                                struct reason *why)
{
    struct command_row row = {.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_REFUSED};
    Groupseal__Envelope__Receipt content = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    content.command_id = arena_field(BYTES_OF(receipt->command_id));
    if (receipt->refusal == NULL) {
        bool found = false;
        GUARD(command_table_find(membership, receipt->command_id, &row, &found, why));
        if (!found) {
            return RESULT_OK; /* forgotten meanwhile: nobody waits for it */
        }
    }
    content.outcome = row.outcome;
    content.detail = receipt->refusal == NULL ? row.detail : (char *)receipt->refusal;
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
    ack.receipt = &content;
    size_t site = receipt->site < membership->site_count ? receipt->site : 0;
    GUARD(said_ack(membership, membership->sites[site].site, &ack, why));
    audit_count(AUDIT_RECEIPTS_SEALED);
    return RESULT_OK;
}

enum result receipt_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    struct receipt_queue *queue = &membership->receipts;
    uint64_t now = engine_now_us(membership->identity->engine);
    if (!membership->identity->online || !membership_ready(membership)) {
        return RESULT_OK;
    }
    for (size_t i = 0; i < queue->count;) {
        struct receipt receipt = queue->receipts[i];
        if (receipt.due_us > now) {
            *next = receipt.due_us < *next ? receipt.due_us : *next;
            i++;
            continue;
        }
        if (allowance_puts_off(membership, &queue->receipts[i].due_us)) {
            continue;
        }
        queue_remove(queue, i);
        GUARD(receipt_send(membership, &receipt, why));
    }
    return RESULT_OK;
}
