/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/group_seal.h"

#include <string.h>

#include "secenv/member/allowance.h"
#include "secenv/member/packed.h"

#define COUNTER_LAG_US UINT64_C(600000000)

static enum aead policy_aead(const struct membership *membership)
{
    return (enum aead)membership_policy(membership)->aead;
}

static bool kind_has_ae(Groupseal__Envelope__Kind kind)
{
    return kind == GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE || kind == GROUPSEAL__ENVELOPE__KIND__KIND_ACK;
}

/*
 * Whoever cannot prove a sender takes counters up to an hour ahead of the clock: one that is far behind it
 * could be overtaken by any member's lie. The next reservation starts at the clock again.
 */
static void counter_catch_up(struct counter *counter, const struct clock_source *clock)
{
    if (clock_wall_us(clock) > counter->next + COUNTER_LAG_US) {
        counter->next = counter->reserved;
    }
}

/* What a member answers to commands, and asks for its own freshness, is no use that its owner makes of it. */
static enum result right_check(const struct membership *membership, Groupseal__Envelope__Kind kind,
                               struct reason *why)
{
    switch (kind) {
    case GROUPSEAL__ENVELOPE__KIND__KIND_ACK:
        return RESULT_OK;
    case GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE:
        return allowance_check(membership, OWNER_SEND, "send messages", why);
    default:
        return allowance_check(membership, OWNER_RELAY, "relay commands", why);
    }
}

enum result group_seal_begin(struct membership *membership, const char *site, Groupseal__Envelope__Kind kind,
                             struct seal_context *out, struct reason *why)
{
    const struct engine *engine = membership->identity->engine;
    if (!membership_ready(membership)) {
        return result_fail(why, RESULT_NOT_READY, "no key or no policy of %s yet", membership->group);
    }
    GUARD(right_check(membership, kind, why));
    GUARD(allowance_take(membership, why));
    *out = (struct seal_context){.incarnation = membership->incarnation,
                                 .site = site,
                                 .kind = kind,
                                 .ae = kind_has_ae(kind) ? membership->identity->identity.name : "",
                                 .epoch = membership->current.epoch,
                                 .serial = membership->serial};
    memcpy(out->instance, membership->instance, INSTANCE_SIZE);
    counter_catch_up(&membership->seal_counter, engine->setup.clock);
    GUARD(counter_next(&membership->seal_counter, engine->setup.store, engine->setup.clock, &out->counter,
                       why));
    memcpy(out->boot, membership->seal_counter.boot, BOOT_SIZE);
    return RESULT_OK;
}

enum result group_seal_message(const struct membership *membership, const struct seal_context *context,
                               const ProtobufCMessage *plaintext, struct buffer *out)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = message_pack(plaintext, &packed);
    if (result == RESULT_OK) {
        result = seal_message(context, policy_aead(membership), &membership->current.secret,
                              buffer_bytes(&packed), out);
    }
    buffer_clear(&packed);
    return result;
}

void group_opening_init(const struct membership *membership, const Groupseal__Envelope__Sealed *sealed,
                        const char *site, const char *ae, struct group_opening *out)
{
    *out = (struct group_opening){.sealed = sealed,
                                  .context = {.incarnation = membership->incarnation,
                                              .site = site,
                                              .kind = sealed->kind,
                                              .ae = ae,
                                              .epoch = sealed->epoch,
                                              .serial = sealed->serial,
                                              .counter = sealed->counter}};
    memcpy(out->context.instance, membership->instance, INSTANCE_SIZE);
    memcpy(out->context.boot, sealed->boot.data, sizeof(out->context.boot));
}

enum result group_open(const struct membership *membership, const struct group_opening *opening,
                       struct buffer *plaintext, struct reason *why)
{
    if (seal_open(&opening->context, policy_aead(membership), &opening->key->secret,
                  arena_view(opening->sealed->ciphertext), plaintext) != RESULT_OK) {
        return result_fail(why, RESULT_REFUSED, "a message on %s cannot be opened with the group's key",
                           membership->group);
    }
    return RESULT_OK;
}
