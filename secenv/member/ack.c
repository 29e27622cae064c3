/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/ack.h"

#include <stdio.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/dispatch_seal.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/holders.h"
#include "secenv/member/relay.h"
#include "secenv/member/replay.h"

/* An Ack on its way through the checks. */
struct ack_hearing {
    struct membership *membership;
    const char *sender;
    const struct roster_member *member;
    struct group_opening opening;
    const Groupseal__Envelope__Ack *ack;
};

/* Signed by a serial of the roster: the previous epoch does as well, however long ago it ended, and for a
 * while those before. */
static enum result ack_key_choose(struct ack_hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    if (!membership_ready(membership)) {
        return result_fail(why, RESULT_NOT_READY, "no key or no policy of %s yet", membership->group);
    }
    switch (membership_epoch_age(membership, hearing->opening.sealed->epoch)) {
    case EPOCH_CURRENT:
        hearing->opening.key = &membership->current;
        break;
    case EPOCH_PREVIOUS:
        hearing->opening.key = &membership->previous;
        break;
    case EPOCH_GONE:
        hearing->opening.key = past_epochs_find(&membership->relay->past, hearing->opening.sealed->epoch);
        break;
    case EPOCH_NEWER:
        break;
    }
    return hearing->opening.key != NULL
               ? RESULT_OK
               : result_fail(why, RESULT_REFUSED, "a message on ack of %s of epoch %llu, which is not here",
                             membership->group, (unsigned long long)hearing->opening.sealed->epoch);
}

static enum result ack_sender_find(struct ack_hearing *hearing, struct reason *why)
{
    hearing->member =
        roster_find_sender(hearing->membership->relay, hearing->sender, hearing->opening.sealed->serial);
    if (hearing->member == NULL) {
        return result_fail(why, RESULT_REFUSED, "an ack as %.128s in %s: not a member of this serial",
                           hearing->sender, hearing->membership->group);
    }
    return RESULT_OK;
}

static enum result ack_open(struct ack_hearing *hearing, struct arena *arena, struct reason *why)
{
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = group_open(hearing->membership, &hearing->opening, &plaintext, why);
    if (result == RESULT_OK) {
        hearing->ack = object_unpack(&groupseal__envelope__ack__descriptor, buffer_bytes(&plaintext), arena);
        if (hearing->ack == NULL) {
            result = result_fail(why, RESULT_INVALID, "a sealed ack of %.128s is malformed", hearing->sender);
        }
    }
    buffer_clear(&plaintext);
    return result;
}

static enum result ack_signature_check(const struct ack_hearing *hearing, struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    if (ack_hash(hearing->ack, hash) != RESULT_OK ||
        said_check(&hearing->opening.context, hash, BYTES_OF(hearing->member->key),
                   arena_view(hearing->ack->signature)) != RESULT_OK) {
        return result_fail(why, RESULT_REFUSED, "the signature of an ack in %s is not %.128s's",
                           hearing->membership->group, hearing->sender);
    }
    return RESULT_OK;
}

/* One beyond the member's rate is as good as lost on the way: it moves the counters, and is asked again. */
static enum result sync_act(const struct ack_hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    struct reason local;
    if (allowance_check(membership, OWNER_RELAY, "synchronise members", &local) != RESULT_OK) {
        return RESULT_OK;
    }
    if (!roster_sync_take(membership->relay, hearing->sender)) {
        char text[NAME_LIMIT + 64];
        (void)snprintf(text, sizeof(text), "%s asks too often for a sync of %s", hearing->sender,
                       membership->group);
        audit_count(AUDIT_SYNCS_REFUSED);
        log_refused(membership->identity, LOG_LEVEL_INFO, hearing->sender, text);
        return RESULT_OK;
    }
    sync_reply_add(membership, hearing->ack->sync_request->nonce.data);
    return dispatch_member_back(membership->relay, hearing->sender, why);
}

static enum result ack_act(const struct ack_hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    if (hearing->opening.key != &membership->current) {
        relay_news_wanted(membership->relay);
    }
    if (hearing->ack->content_case == GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST) {
        return sync_act(hearing, why);
    }
    if (hearing->ack->content_case == GROUPSEAL__ENVELOPE__ACK__CONTENT_HOLDING) {
        audit_count(AUDIT_HOLDINGS_TAKEN);
        return RESULT_OK;
    }
    return dispatch_receipt(membership->relay, hearing->member, hearing->ack->receipt, why);
}

static enum result ack_take(const struct ack_hearing *hearing, struct reason *why)
{
    struct membership *membership = hearing->membership;
    struct replay_sender sender = {.kind = GROUPSEAL__ENVELOPE__KIND__KIND_ACK,
                                   .name = hearing->sender,
                                   .proven = true,
                                   .incarnation = membership->incarnation,
                                   .serial = hearing->opening.sealed->serial,
                                   .counter = hearing->opening.sealed->counter,
                                   .epoch = hearing->opening.sealed->epoch};
    GUARD(replay_check(membership, &sender, why));
    GUARD(replay_take(membership, &sender, why));
    holders_heard(membership->relay, hearing->sender, sender.epoch);
    return ack_act(hearing, why);
}

static enum result ack_run(struct ack_hearing *hearing, struct arena *arena, struct reason *why)
{
    GUARD(ack_key_choose(hearing, why));
    GUARD(ack_sender_find(hearing, why));
    GUARD(ack_open(hearing, arena, why));
    GUARD(ack_signature_check(hearing, why));
    return ack_take(hearing, why);
}

enum result ack_hear(struct membership *membership, const char *sender, struct bytes payload,
                     struct arena *arena, struct reason *why)
{
    struct ack_hearing hearing = {.membership = membership, .sender = sender};
    Groupseal__Envelope__Sealed *sealed = NULL;
    enum result result = seal_parse(payload, arena, &sealed, why);
    if (result == RESULT_OK &&
        (sealed->kind != GROUPSEAL__ENVELOPE__KIND__KIND_ACK || !object_name_valid(sender))) {
        result = result_fail(why, RESULT_REFUSED, "a message on ack of %s is of another kind or sender",
                             membership->group);
    }
    if (result == RESULT_OK) {
        group_opening_init(membership, sealed, membership->relay->site, sender, &hearing.opening);
        result = ack_run(&hearing, arena, why);
    }
    if (result != RESULT_OK) {
        audit_count(AUDIT_RECEIPTS_REFUSED);
    }
    return result;
}
