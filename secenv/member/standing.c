/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/standing.h"

#include "secenv/member/identity_state.h"
#include "secenv/member/record.h"

static enum result standing_ask(struct identity_state *identity, struct reason *why)
{
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    return record_put(identity, "ask", &body, why);
}

/* Half as long again at most, so that a fleet does not ask in step. */
static void standing_wait(struct standing *standing, uint64_t now_us)
{
    uint64_t doubled = 2 * standing->wait_us;
    standing->wait_us = doubled == 0                 ? STANDING_FIRST_US
                        : doubled < STANDING_LAST_US ? doubled
                                                     : STANDING_LAST_US;
    standing->due_us = now_us + standing->wait_us + engine_draw(standing->wait_us / 2);
}

enum result standing_turn(struct identity_state *identity, uint64_t *next, struct reason *why)
{
    struct standing *standing = &identity->standing;
    uint64_t now_us = engine_now_us(identity->engine);
    if (!identity->associated || identity->memberships != NULL) {
        *standing = (struct standing){.wait_us = 0};
        return RESULT_OK;
    }
    if (!identity->online) {
        return RESULT_OK;
    }
    if (standing->wait_us == 0) {
        standing_wait(standing, now_us);
    } else if (standing->due_us <= now_us) {
        standing_wait(standing, now_us);
        GUARD(standing_ask(identity, why));
    }
    *next = standing->due_us < *next ? standing->due_us : *next;
    return RESULT_OK;
}
