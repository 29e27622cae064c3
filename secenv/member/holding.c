/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/holding.h"

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/said.h"

#define HOLDING_PLACE_US 1000u

uint64_t holding_window_us(const struct membership *membership)
{
    return HOLDING_LEAST_US + ((uint64_t)HOLDING_PLACE_US << membership->announced.height);
}

void holding_wanted(struct membership *membership)
{
    if (!identity_is_relay(membership->identity) && membership->holding_due_us == NEVER) {
        membership->holding_due_us =
            engine_now_us(membership->identity->engine) + engine_draw(holding_window_us(membership));
        identity_state_touch(membership->identity);
    }
}

void holding_said(struct membership *membership)
{
    membership->holding_due_us = NEVER;
}

enum result holding_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    uint64_t now_us = engine_now_us(membership->identity->engine);
    if (membership->holding_due_us == NEVER || !membership->identity->online ||
        !membership_ready(membership)) {
        return RESULT_OK; /* what ends that brings the next turn */
    }
    if (membership->holding_due_us <= now_us &&
        !allowance_puts_off(membership, &membership->holding_due_us)) {
        Groupseal__Envelope__Holding holding = GROUPSEAL__ENVELOPE__HOLDING__INIT;
        Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
        ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_HOLDING;
        ack.holding = &holding;
        GUARD(said_ack(membership, membership->sites[0].site, &ack, why));
        audit_count(AUDIT_HOLDINGS_SEALED);
        return RESULT_OK;
    }
    *next = membership->holding_due_us < *next ? membership->holding_due_us : *next;
    return RESULT_OK;
}
