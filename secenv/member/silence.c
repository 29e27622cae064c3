/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/silence.h"

#include "secenv/member/membership.h"
#include "secenv/member/overdue.h"
#include "secenv/member/package_ask.h"
#include "secenv/member/relay.h"

void silence_init(struct silence *silence)
{
    *silence = (struct silence){.due_us = NEVER};
}

static bool syncs_are_unanswered(const struct membership *membership)
{
    for (size_t i = 0; i < membership->site_count; i++) {
        if (membership->sites[i].next_us == NEVER) {
            return false;
        }
    }
    return membership->site_count != 0;
}

static bool silence_is(const struct membership *membership)
{
    if (identity_is_relay(membership->identity)) {
        return overdue_is(membership);
    }
    return membership->silence.cleared || !membership_ready(membership) || overdue_is(membership) ||
           syncs_are_unanswered(membership);
}

void silence_cleared(struct membership *membership)
{
    struct silence *silence = &membership->silence;
    if (silence->cleared || identity_is_relay(membership->identity)) {
        return;
    }
    uint64_t due = engine_now_us(membership->identity->engine) + engine_draw(SILENCE_CLEARED_US);
    silence->cleared = true;
    silence->due_us = due < silence->due_us ? due : silence->due_us;
    silence->wait_us = silence->wait_us == 0 ? SILENCE_FIRST_US : silence->wait_us;
    identity_state_touch(membership->identity);
}

void silence_broken(struct membership *membership)
{
    membership->silence.cleared = false;
}

/* Once to twice as long as it says, so that a site's members do not ask at once. */
static void ask_plan(struct silence *silence, uint64_t now)
{
    uint64_t wait = silence->wait_us == 0 ? SILENCE_FIRST_US : 2 * silence->wait_us;
    silence->wait_us = wait < SILENCE_LAST_US ? wait : SILENCE_LAST_US;
    silence->due_us = now + silence->wait_us + engine_draw(silence->wait_us);
}

static enum result ask(struct membership *membership, struct reason *why)
{
    return identity_is_relay(membership->identity) ? relay_report_newest(membership->identity, why)
                                                   : package_ask(membership, why);
}

enum result silence_turn(struct membership *membership, uint64_t *next, struct reason *why)
{
    struct silence *silence = &membership->silence;
    uint64_t now = engine_now_us(membership->identity->engine);
    if (!membership->identity->online) {
        silence->due_us = NEVER; /* what it waited for so far, it could not have heard */
        return RESULT_OK;
    }
    if (!silence_is(membership)) {
        silence_init(silence);
        return RESULT_OK;
    }
    if (silence->due_us == NEVER) {
        silence->wait_us /= 2; /* the ask that was planned before the connection was lost */
        ask_plan(silence, now);
    } else if (silence->due_us <= now) {
        GUARD(ask(membership, why));
        ask_plan(silence, now);
    }
    *next = silence->due_us < *next ? silence->due_us : *next;
    return RESULT_OK;
}
