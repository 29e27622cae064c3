/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/overdue.h"

#include "secenv/member/event.h"
#include "secenv/member/news.h"

#define BEATS 3u
#define INTERVAL_DEFAULT_S 900u
#define SECOND_US UINT64_C(1000000)
#define ASK_JITTER_US (60u * SECOND_US) /* all members of a group are overdue at the same moment */

static uint64_t patience_us(const struct membership *membership)
{
    const Groupseal__Envelope__Policy *policy = membership_policy(membership);
    uint64_t interval_s =
        policy == NULL || policy->beat_interval_s == 0 ? INTERVAL_DEFAULT_S : policy->beat_interval_s;
    return BEATS * interval_s * SECOND_US;
}

void overdue_start(struct membership *membership)
{
    membership->beat_us = engine_now_us(membership->identity->engine);
    membership->overdue_told = false;
}

enum result overdue_end(struct membership *membership)
{
    bool told = membership->overdue_told;
    overdue_start(membership);
    identity_state_touch(membership->identity);
    return told ? event_notice(membership->identity, GROUPSEAL__SECENV__SEVERITY__INFO,
                               "news of group %s come again", membership->group)
                : RESULT_OK;
}

bool overdue_is(const struct membership *membership)
{
    return membership->announced.present &&
           engine_now_us(membership->identity->engine) >= membership->beat_us + patience_us(membership);
}

bool overdue_refuses(const struct membership *membership)
{
    const Groupseal__Envelope__Policy *policy = membership_policy(membership);
    return policy != NULL && policy->refuse_when_overdue && overdue_is(membership);
}

static enum result overdue_tell(struct membership *membership)
{
    if (membership->overdue_told) {
        return RESULT_OK;
    }
    membership->overdue_told = true;
    return event_notice(
        membership->identity, GROUPSEAL__SECENV__SEVERITY__ALARM,
        "news of group %s are overdue: %s gives no sign of life, or the broker holds it back; "
        "commands are %s",
        membership->group, membership->identity->identity.authority,
        overdue_refuses(membership) ? "refused" : "still obeyed, as the policy wants it");
}

enum result overdue_turn(struct membership *membership, uint64_t *next)
{
    uint64_t now = engine_now_us(membership->identity->engine);
    uint64_t patience = patience_us(membership);
    uint64_t due = membership->beat_us + patience;
    if (!membership->announced.present) {
        return RESULT_OK;
    }
    if (due <= now) {
        GUARD(overdue_tell(membership));
        due = membership->overdue_asked_us + patience;
        if (membership->overdue_asked_us < membership->beat_us || due <= now) {
            membership->overdue_asked_us = now;
            news_are_overdue(membership, patience < ASK_JITTER_US ? patience : ASK_JITTER_US);
            due = now + patience;
        }
    }
    *next = due < *next ? due : *next;
    return RESULT_OK;
}
