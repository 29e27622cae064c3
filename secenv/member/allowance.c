/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/allowance.h"

#include "secenv/audit.h"
#include "secenv/member/event.h"

#define PUT_OFF_US 100000u /* at least: many may wait, and one token is not worth a look at all of them */

static struct limit *limit_of(const struct membership *membership)
{
    return limits_for(&membership->identity->limits, membership->group);
}

static uint64_t now_us(const struct membership *membership)
{
    return engine_now_us(membership->identity->engine);
}

static enum result too_often(const struct membership *membership, struct reason *why)
{
    enum result result =
        result_fail(why, RESULT_TOO_OFTEN,
                    "more messages on %s than its owner may have sealed: %u a second (secenv limit)",
                    membership->group, limit_of(membership)->rate);
    audit_count(AUDIT_OWNER_TOO_OFTEN);
    log_refused(membership->identity, LOG_LEVEL_WARNING, "its owner", why->text);
    return result;
}

bool allowance_has(const struct membership *membership, enum owner_right right)
{
    return (limit_of(membership)->rights & (unsigned)right) != 0;
}

enum result allowance_check(const struct membership *membership, enum owner_right right, const char *what,
                            struct reason *why)
{
    if (allowance_has(membership, right)) {
        return RESULT_OK;
    }
    audit_count(AUDIT_OWNER_REFUSED);
    enum result result = result_fail(why, RESULT_REFUSED, "its owner may not %s in %s (secenv limit)", what,
                                     membership->group);
    log_refused(membership->identity, LOG_LEVEL_WARNING, "its owner", why->text);
    return result;
}

enum result allowance_is_there(const struct membership *membership, struct reason *why)
{
    const struct limit *rule = limit_of(membership);
    uint64_t now = now_us(membership);
    return bucket_ready_us(&rule->bucket, limit_rate(rule), now) <= now ? RESULT_OK
                                                                        : too_often(membership, why);
}

enum result allowance_take(const struct membership *membership, struct reason *why)
{
    struct limit *rule = limit_of(membership);
    return bucket_take(&rule->bucket, limit_rate(rule), now_us(membership)) ? RESULT_OK
                                                                            : too_often(membership, why);
}

bool allowance_puts_off(const struct membership *membership, uint64_t *due_us)
{
    const struct limit *rule = limit_of(membership);
    struct reason why;
    uint64_t now = now_us(membership);
    uint64_t ready_us = bucket_ready_us(&rule->bucket, limit_rate(rule), now);
    if (ready_us <= now) {
        return false;
    }
    *due_us = ready_us > now + PUT_OFF_US ? ready_us : now + PUT_OFF_US;
    return too_often(membership, &why) != RESULT_OK;
}
