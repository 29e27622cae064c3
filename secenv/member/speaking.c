/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/speaking.h"

#include <stdio.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/holders.h"
#include "secenv/member/holding.h"
#include "secenv/member/news.h"
#include "secenv/member/relay.h"
#include "secenv/member/replay.h"
#include "secenv/member/roster.h"

#define KIND_MESSAGE GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE
#define HOUR_MS 3600000u

/* ---- speaking ---- */

enum result speaking_seal(struct membership *membership, struct bytes body, const char **site,
                          struct buffer *payload, struct reason *why)
{
    struct seal_context context;
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
    if (body.length > BODY_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a member message is longer than %u bytes", BODY_LIMIT);
    }
    *site = membership->sites[0].site;
    GUARD(group_seal_begin(membership, *site, KIND_MESSAGE, &context, why));
    message.body = arena_field(body);
    if (membership_policy(membership)->sign_member_messages) {
        GUARD(hash_bytes(body, hash));
        GUARD(said_sign(&context, hash, &membership->identity->signing, signature));
        message.signature = arena_field(BYTES_OF(signature));
    }
    GUARD(group_seal_message(membership, &context, &message.base, payload));
    if (message.signature.len != 0) {
        holding_said(membership);
    }
    audit_count(AUDIT_MESSAGES_SEALED);
    return RESULT_OK;
}

/* ---- hearing ---- */

struct hearing {
    struct membership *membership;
    const char *site;
    const char *sender;
    struct group_opening opening;
    const struct roster_member *member; /* MN-CSE: who it is, by the roster */
    const Groupseal__Envelope__MemberMessage *message;
    bool proven;
};

/* From the previous epoch: members within the overlap unless somebody was, or may have been, evicted since;
 * the MN-CSE at any time, and for a while from those before, if it turns out to be signed. */
static enum result key_choose(struct hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    enum epoch_age age = membership_epoch_age(membership, hearing->opening.sealed->epoch);
    bool overlap = engine_now_us(membership->identity->engine) < membership->overlap_until_us &&
                   !membership->previous_for_commands_only;
    if (age == EPOCH_CURRENT) {
        hearing->opening.key = &membership->current;
        return RESULT_OK;
    }
    if (age == EPOCH_PREVIOUS && (overlap || membership->relay != NULL)) {
        hearing->opening.key = &membership->previous;
        return RESULT_OK;
    }
    if (age == EPOCH_GONE && membership->relay != NULL) {
        hearing->opening.key = past_epochs_find(&membership->relay->past, hearing->opening.sealed->epoch);
    }
    if (hearing->opening.key != NULL) {
        return RESULT_OK;
    }
    return result_fail(why, RESULT_REFUSED, "a member message of epoch %llu on %s: that epoch is over",
                       (unsigned long long)hearing->opening.sealed->epoch, membership->group);
}

static enum result sender_find(struct hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    if (membership->relay == NULL) {
        return RESULT_OK;
    }
    hearing->member = roster_find_sender(membership->relay, hearing->sender, hearing->opening.sealed->serial);
    if (hearing->member == NULL) {
        return result_fail(why, RESULT_REFUSED, "a message as %.128s on %s: not a member of this serial",
                           hearing->sender, membership->group);
    }
    return RESULT_OK;
}

static enum result message_open(struct hearing *hearing, struct arena *arena, struct reason *why)
{
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = group_open(hearing->membership, &hearing->opening, &plaintext, why);
    if (result == RESULT_OK) {
        hearing->message =
            object_unpack(&groupseal__envelope__member_message__descriptor, buffer_bytes(&plaintext), arena);
        if (hearing->message == NULL || hearing->message->body.len > BODY_LIMIT) {
            result = result_fail(why, RESULT_INVALID, "a sealed member message on %s is malformed",
                                 hearing->membership->group);
        }
    }
    buffer_clear(&plaintext);
    return result;
}

static enum result signature_wanted(struct hearing *hearing, struct reason *why)
{
    const struct membership *membership = hearing->membership;
    uint8_t hash[HASH_SIZE];
    if (hearing->message->signature.len == 0) {
        bool needed = membership_policy(membership)->sign_member_messages ||
                      hearing->opening.key != &membership->current;
        return needed ? result_fail(why, RESULT_REFUSED, "a message of %.128s on %s is not signed",
                                    hearing->sender, membership->group)
                      : RESULT_OK;
    }
    GUARD(hash_bytes(arena_view(hearing->message->body), hash));
    if (said_check(&hearing->opening.context, hash, BYTES_OF(hearing->member->key),
                   arena_view(hearing->message->signature)) != RESULT_OK) {
        return result_fail(why, RESULT_REFUSED, "the signature of a message on %s is not %.128s's",
                           membership->group, hearing->sender);
    }
    hearing->proven = true;
    return RESULT_OK;
}

/*
 * An unsigned message proves no sender, and its serial is no more than a claim: of it only the counter
 * counts, and one far ahead would lock the true sender out. Only a clock that
 * is not behind what the authority has signed can judge that; a device without one takes the risk, bounded by
 * the plugin's rule that a client writes on its own topic only.
 */
static enum result counter_plausible(const struct hearing *hearing, struct reason *why)
{
    const struct identity_state *identity = hearing->membership->identity;
    uint64_t limit_ms = clock_wall_ms(identity->engine->setup.clock) + HOUR_MS;
    bool trusted = identity->authority_time_ms != 0 && limit_ms >= identity->authority_time_ms;
    if (!hearing->proven && trusted && hearing->opening.sealed->counter / 1000u > limit_ms) {
        return result_fail(why, RESULT_REFUSED,
                           "the counter of a message as %.128s on %s is over an hour ahead", hearing->sender,
                           hearing->membership->group);
    }
    return RESULT_OK;
}

static enum result message_take(struct hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    struct replay_sender sender = {.kind = KIND_MESSAGE,
                                   .name = hearing->sender,
                                   .proven = hearing->proven,
                                   .incarnation = membership->incarnation,
                                   .serial = hearing->opening.sealed->serial,
                                   .counter = hearing->opening.sealed->counter,
                                   .epoch = hearing->opening.sealed->epoch};
    GUARD(counter_plausible(hearing, why));
    GUARD(replay_check(membership, &sender, why));
    audit_count(AUDIT_MESSAGES_OPENED);
    if (membership->relay != NULL && !hearing->proven) {
        /* Nothing that a rule could act on: the broker's process does not see it, and the counters of what is
         * signed do not move with it. */
        return RESULT_OK;
    }
    GUARD(replay_take(membership, &sender, why));
    if (membership->relay != NULL) {
        holders_heard(membership->relay, hearing->sender, sender.epoch);
    }
    if (hearing->opening.key != &membership->current && membership->relay != NULL) {
        relay_news_wanted(membership->relay);
    }
    if (!allowance_has(membership, OWNER_READ)) {
        audit_count(AUDIT_OWNER_WITHHELD);
        return RESULT_OK;
    }
    return event_message(membership, hearing->sender, arena_view(hearing->message->body), hearing->proven);
}

/*
 * Whoever has the key was a member when it was made. Where the roster has no such serial yet, nor the name,
 * or has it as that of somebody evicted, it is on its way: CHANGE and roster travel by themselves.
 */
static bool roster_is_late(const struct hearing *hearing)
{
    const struct relay *relay = hearing->membership->relay;
    const struct roster_member *known = roster_find(relay, hearing->sender);
    return hearing->opening.sealed->serial > relay->roster.highest_serial &&
           (known == NULL || evicted_has(&relay->evicted, known->incarnation, known->serial));
}

/* Opened first: only who has the key can make others wait. RESULT_NOT_READY: it waits for the roster. */
static enum result hearing_run(struct hearing *hearing, struct arena *arena, struct reason *why)
{
    GUARD(key_choose(hearing, why));
    GUARD(message_open(hearing, arena, why));
    enum result result = sender_find(hearing, why);
    if (result != RESULT_OK) {
        return roster_is_late(hearing) ? RESULT_NOT_READY : result;
    }
    if (hearing->member != NULL) {
        GUARD(signature_wanted(hearing, why));
    }
    return message_take(hearing, why);
}

/* Of a newer epoch, or before the policy or the roster: its sender is not authenticated yet. */
static enum result message_wait(struct membership *membership, const struct hearing *hearing, uint64_t epoch,
                                struct bytes payload, struct reason *why)
{
    if (!news_are_plausible(membership, epoch)) {
        return result_fail(why, RESULT_REFUSED,
                           "a message as %.128s on %s claims epoch %llu, which cannot be", hearing->sender,
                           membership->group, (unsigned long long)epoch);
    }
    GUARD(waiting_room_enter(&membership->waiting_messages, hearing->site, hearing->sender, payload,
                             engine_now_us(membership->identity->engine), why));
    news_are_claimed(membership);
    return RESULT_OK;
}

enum result speaking_hear(struct membership *membership, const char *site, const char *sender,
                          struct bytes payload, struct arena *arena, struct reason *why)
{
    struct hearing hearing = {.membership = membership, .site = site, .sender = sender};
    Groupseal__Envelope__Sealed *sealed = NULL;
    enum result result = seal_parse(payload, arena, &sealed, why);
    if (result == RESULT_OK && (sealed->kind != KIND_MESSAGE || !object_name_valid(sender))) {
        result = result_fail(why, RESULT_REFUSED, "a message on msg of %s is of another kind or sender",
                             membership->group);
    }
    if (result == RESULT_OK && strcmp(sender, membership->identity->identity.name) == 0) {
        return RESULT_OK; /* our own, given back by the broker */
    }
    if (result == RESULT_OK &&
        (membership_epoch_age(membership, sealed->epoch) == EPOCH_NEWER || !membership_ready(membership))) {
        result = message_wait(membership, &hearing, sealed->epoch, payload, why);
    } else if (result == RESULT_OK) {
        group_opening_init(membership, sealed, site, sender, &hearing.opening);
        result = hearing_run(&hearing, arena, why);
        if (result == RESULT_NOT_READY) {
            result = message_wait(membership, &hearing, sealed->epoch, payload, why);
        }
    }
    if (result != RESULT_OK) {
        audit_count(AUDIT_MESSAGES_REFUSED);
    }
    return result;
}

enum result speaking_waiting_turn(struct membership *membership, struct reason *why)
{
    struct engine *engine = membership->identity->engine;
    size_t count = membership->waiting_messages.count;
    for (size_t i = 0; i < count; i++) {
        struct waiting_message *waiting = waiting_room_leave(&membership->waiting_messages);
        struct reason local;
        char sender[NAME_LIMIT + 1];
        (void)snprintf(sender, sizeof(sender), "%s", waiting->sender);
        enum result result = speaking_hear(membership, waiting->site, sender, buffer_bytes(&waiting->payload),
                                           engine->scratch, &local);
        waiting_message_free(waiting);
        arena_reset(engine->scratch);
        if (result == RESULT_STORE || result == RESULT_INTERNAL) {
            return result_fail(why, result, "%s", local.text);
        }
        if (result != RESULT_OK) {
            log_refused(membership->identity, LOG_LEVEL_INFO, sender, local.text);
        }
    }
    return RESULT_OK;
}
