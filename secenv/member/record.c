/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/record.h"

#include <stdio.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/member/dispatch_command.h"
#include "secenv/member/event.h"
#include "secenv/member/package_ask.h"
#include "secenv/member/relay.h"
#include "secenv/member/revoking.h"
#include "secenv/member/roster.h"

#define REFUSALS_LIMIT 3u  /* in a row: the authority does not know the association any more */
#define SILENT_ATTEMPTS 3u /* of one record, before the owner is told */

/* Results of ACCEPT: docs/protocol.md section 4, "Outbox". */
enum accept_result {
    ACCEPT_TAKEN = 0,
    ACCEPT_INVALID = 1,
    ACCEPT_REFUSED = 2,
    ACCEPT_NOT_KNOWN = 3,
    ACCEPT_FULL = 4,
    ACCEPT_EXPIRED = 5,
    ACCEPT_NO_KEY = 6,
    ACCEPT_STORE = 7, /* the sender tries again */
};

/* What became of a record's content, for the ACCEPT. */
struct verdict {
    uint32_t accept;
    struct reason why;
};

/* ---- the answer ---- */

/* Alike whatever went wrong. */
static void refusal_pack(struct arena *arena, struct bytes *answer)
{
    Groupseal__Envelope__Refusal refusal = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    object.refusal = &refusal;
    if (carriage_pack(&object, arena, answer) != RESULT_OK) {
        *answer = (struct bytes){NULL, 0};
    }
}

static enum result accept_pack(struct identity_state *identity, uint64_t item, struct verdict *verdict,
                               struct arena *arena, struct bytes *answer, struct reason *why)
{
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    accept.item = item;
    accept.result = verdict->accept;
    verdict->why.text[DETAIL_LIMIT] = '\0';
    accept.reason = verdict->accept == ACCEPT_TAKEN ? (char *)"" : verdict->why.text;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    GUARD(association_seal(&identity->association, identity->engine->setup.store,
                           identity->engine->setup.clock, &body, arena, &object.record, why));
    return carriage_pack(&object, arena, answer);
}

/* Of store or memory; not the peer's. */
static bool own_fault(enum result result)
{
    return result == RESULT_STORE || result == RESULT_INTERNAL || result == RESULT_FULL;
}

/* ---- the content ---- */

static uint32_t accept_of(enum result result)
{
    switch (result) {
    case RESULT_OK:
    case RESULT_EXISTS: /* the effect is there already */
        return ACCEPT_TAKEN;
    case RESULT_INVALID:
        return ACCEPT_INVALID;
    case RESULT_UNKNOWN:
        return ACCEPT_NOT_KNOWN;
    case RESULT_FULL:
        return ACCEPT_FULL;
    case RESULT_NOT_READY: /* what it needs is on its way: the sender's next try will find it */
    case RESULT_STORE:
        return ACCEPT_STORE;
    default:
        return ACCEPT_REFUSED;
    }
}

static enum result relay_content_take(struct identity_state *identity,
                                      const Groupseal__Envelope__RecordBody *body, bool *expired,
                                      struct reason *why)
{
    if (!identity_is_relay(identity)) {
        return result_fail(why, RESULT_REFUSED, "%s is no MN-CSE", identity->identity.name);
    }
    switch (body->content_case) {
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST_ASK:
        return relay_take_newest_ask(identity, body->newest_ask, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE:
        return relay_take_change(identity, body->change, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA:
        return roster_take_delta(identity, body->roster_delta, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE:
        return roster_take_page(identity, body->roster_page, why);
    default:
        return dispatch_take_order(identity, body->order, expired, why);
    }
}

static enum result content_take(struct identity_state *identity, const Groupseal__Envelope__RecordBody *body,
                                bool *expired, struct reason *why)
{
    switch (body->content_case) {
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE:
        return membership_take_package(identity, body->package, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT:
        return membership_take_left(identity, body->left, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE:
        return authentication_order(identity, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REVOCATION:
        return revoking_take(identity, body->revocation, why);
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST_ASK:
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE:
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA:
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE:
    case GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER:
        return relay_content_take(identity, body, expired, why);
    default:
        return result_fail(why, RESULT_UNKNOWN, "a record of a type that %s does not take",
                           identity->identity.name);
    }
}

/*
 * The record is authentic: what its content cannot do is said in the ACCEPT, and the batch is committed
 * before that leaves. Only a failure of our own fails the request.
 */
static enum result body_take(struct identity_state *identity, const Groupseal__Envelope__RecordBody *body,
                             struct verdict *verdict, struct reason *why)
{
    bool expired = false;
    verdict->why.text[0] = '\0';
    enum result result = content_take(identity, body, &expired, &verdict->why);
    if (result == RESULT_STORE || result == RESULT_INTERNAL) {
        *why = verdict->why;
        return result;
    }
    verdict->accept = expired ? (uint32_t)ACCEPT_EXPIRED : accept_of(result);
    identity_state_touch(identity);
    if (verdict->accept == ACCEPT_TAKEN) {
        return RESULT_OK;
    }
    if (verdict->accept != ACCEPT_STORE) { /* else not yet: its sender tries again */
        audit_count(AUDIT_CONTENTS_REFUSED);
    }
    return event_refused(identity, identity->identity.authority, "from %s: %s", identity->identity.authority,
                         verdict->why.text);
}

static enum result record_open(struct identity_state *identity, const Groupseal__Envelope__Record *record,
                               struct arena *arena, Groupseal__Envelope__RecordBody **out, struct reason *why)
{
    if (authentication_awaits(identity, record)) {
        return authentication_overtaken(identity, record, arena, out, why);
    }
    if (!identity->associated) {
        audit_count(AUDIT_RECORDS_REFUSED);
        return result_fail(why, RESULT_REFUSED, "a record from %s, but there is no association",
                           identity->identity.authority);
    }
    return association_open(&identity->association, identity->engine->setup.store, record, arena, out, why);
}

static enum result record_take(struct identity_state *identity, const Groupseal__Envelope__Record *record,
                               struct arena *arena, struct bytes *answer, struct reason *why)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    struct verdict verdict = {.accept = ACCEPT_TAKEN};
    enum result result = record_open(identity, record, arena, &body, why);
    if (result != RESULT_OK || body == NULL) {
        return result;
    }
    authentication_reassure(identity);
    /* A record says, as CONFIRM does, what of before is over. */
    result = identity_state_floor(identity, body->floor, 0, why);
    if (result == RESULT_OK) {
        result = body_take(identity, body, &verdict, why);
    }
    if (result == RESULT_OK && body->item != 0) {
        result = accept_pack(identity, body->item, &verdict, arena, answer, why);
    }
    if (result != RESULT_OK) {
        identity->stale = true; /* the received counter, at least, is rolled back */
    }
    return result;
}

/* Only the authority sends any, and only records. */
static enum result object_open(const struct identity_state *identity, const char *from, struct bytes object,
                               struct arena *arena, Groupseal__Envelope__EndToEnd **out, struct reason *why)
{
    if (strcmp(from, identity->identity.authority) != 0) {
        return result_fail(why, RESULT_REFUSED, "an end-to-end object from %.128s: only %s may send any",
                           from, identity->identity.authority);
    }
    GUARD(carriage_parse(object, arena, out, why));
    if ((*out)->content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD) {
        return result_fail(why, RESULT_REFUSED, "an end-to-end object from %s that is no record",
                           identity->identity.authority);
    }
    return RESULT_OK;
}

/* Whoever the object says it is from, nothing of a refused one is proven but the hop it came through. */
enum result record_received(struct identity_state *identity, const Groupseal__Secenv__Received *received,
                            struct arena *arena, struct bytes *answer, struct reason *why)
{
    Groupseal__Envelope__EndToEnd *parsed = NULL;
    *answer = (struct bytes){NULL, 0};
    enum result result =
        object_open(identity, received->from, arena_view(received->object), arena, &parsed, why);
    if (result != RESULT_OK || parsed == NULL) {
        audit_count(AUDIT_OBJECTS_REFUSED);
    } else {
        result = record_take(identity, parsed->record, arena, answer, why);
    }
    if (result == RESULT_OK || own_fault(result)) {
        return result;
    }
    refusal_pack(arena, answer);
    return event_refused(identity, received->hop, "refused: %s", why->text);
}

/* ---- answers to our own records ---- */

/* Silence says nothing of the association: an authority without it would refuse. */
static enum result record_refused(struct identity_state *identity, const char *how)
{
    audit_count(AUDIT_ANSWERS_REFUSED);
    identity->refusals++;
    if (identity->refusals < REFUSALS_LIMIT) {
        return RESULT_OK;
    }
    identity->refusals = 0;
    if (!authentication_doubt(identity)) {
        return RESULT_OK;
    }
    return event_refused(identity, identity->identity.authority,
                         "%s does not take the records of the association (%s): authenticating anew",
                         identity->identity.authority, how);
}

static enum result accept_taken(struct identity_state *identity, const Groupseal__Envelope__Accept *accept,
                                struct reason *why)
{
    char slot[160] = "";
    authentication_reassure(identity);
    enum result result =
        outbox_accepted(identity->engine->outbox, identity->identity.name, identity->identity.authority,
                        accept->item, accept->result, slot, sizeof(slot), why);
    if (result == RESULT_UNKNOWN) {
        return RESULT_OK; /* a repeat, or of an item that a newer one has replaced */
    }
    GUARD(result);
    identity_state_touch(identity);
    if (accept->result == ACCEPT_TAKEN || accept->result == ACCEPT_STORE) {
        return RESULT_OK;
    }
    if (strncmp(slot, "holdings ", strlen("holdings ")) == 0) {
        struct membership *membership = membership_find(identity, slot + strlen("holdings "));
        if (membership != NULL && membership->relay != NULL) {
            holders_refused(membership->relay);
        }
    }
    if (accept->result == ACCEPT_NOT_KNOWN) {
        GUARD(package_ask_unknown(identity, slot, why));
    }
    return event_refused(identity, identity->identity.authority, "%s refused %s (%u): %.200s",
                         identity->identity.authority, slot, accept->result, accept->reason);
}

/* A record in an answer can only be an ACCEPT; anything else is as good as a refusal. */
static enum result record_answer_take(struct identity_state *identity,
                                      const Groupseal__Envelope__Record *record, struct arena *arena,
                                      struct reason *why)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    struct reason local = {"no association"};
    enum result result = identity->associated
                             ? association_open(&identity->association, identity->engine->setup.store, record,
                                                arena, &body, &local)
                             : RESULT_UNKNOWN;
    if (result == RESULT_STORE || result == RESULT_INTERNAL) {
        return result_fail(why, result, "%s", local.text);
    }
    if (result == RESULT_UNKNOWN) {
        return RESULT_OK; /* of an association that is gone: the outbox sends in the new one */
    }
    if (result != RESULT_OK) {
        return record_refused(identity, local.text);
    }
    if (body->content_case != GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT) {
        return record_refused(identity, "the answer is no ACCEPT");
    }
    result = accept_taken(identity, body->accept, why);
    if (result != RESULT_OK) {
        identity->stale = true;
    }
    return result;
}

enum result record_answered(struct identity_state *identity, uint64_t token, struct bytes object,
                            const char *failure, struct arena *arena, struct reason *why)
{
    Groupseal__Envelope__EndToEnd *parsed = NULL;
    struct reason local = {""};
    if (authentication_gave_up(identity, token)) {
        return RESULT_OK;
    }
    if (object.length != 0 && carriage_parse(object, arena, &parsed, &local) != RESULT_OK) {
        audit_count(AUDIT_ANSWERS_REFUSED);
        parsed = NULL;
        failure = local.text;
    }
    if (authentication_owns(identity, token)) {
        return authentication_answered(identity, parsed, failure, arena, why);
    }
    if (parsed == NULL) {
        return RESULT_OK; /* the outbox's back-off goes on */
    }
    if (parsed->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD) {
        return record_answer_take(identity, parsed->record, arena, why);
    }
    if (parsed->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL) {
        return record_refused(identity, "refused");
    }
    audit_count(AUDIT_ANSWERS_REFUSED); /* a flight, of a handshake that was given up at best */
    return RESULT_OK;
}

/* ---- out ---- */

enum result record_send(struct identity_state *identity, Groupseal__Envelope__RecordBody *body,
                        struct arena *arena, struct reason *why)
{
    if (!identity->online || !identity->associated) {
        return RESULT_NOT_READY;
    }
    if (body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST) {
        GUARD(relay_newest_fill(identity, arena, body->newest, why));
    }
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    GUARD(association_seal(&identity->association, identity->engine->setup.store,
                           identity->engine->setup.clock, body, arena, &object.record, why));
    uint64_t token = 0;
    return event_send(identity, &object, arena, &token);
}

static enum result silence_tell(struct identity_state *identity, unsigned attempts)
{
    if (attempts < SILENT_ATTEMPTS || identity->silence_told) {
        return RESULT_OK;
    }
    identity->silence_told = true;
    return event_notice(identity, GROUPSEAL__SECENV__SEVERITY__WARNING,
                        "%s does not answer: what waits for it is sent again by itself",
                        identity->identity.authority);
}

enum result record_outbox_send(void *context, const char *owner, const char *peer, const char *slot,
                               Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    struct engine *engine = context;
    struct identity_state *identity = engine_identity(engine, owner);
    if (identity == NULL || strcmp(peer, identity->identity.authority) != 0) {
        return RESULT_NOT_READY;
    }
    struct reason why = {""};
    enum result result = record_send(identity, body, engine->scratch, &why);
    arena_reset(engine->scratch);
    if (result == RESULT_OK) {
        return silence_tell(identity, attempts);
    }
    if (result == RESULT_NOT_READY || result == RESULT_STORE || result == RESULT_INTERNAL) {
        return result;
    }
    log_line(LOG_LEVEL_WARNING, "%s: %s waits: %s", owner, slot, why.text);
    return RESULT_NOT_READY; /* no reason to keep the others' records */
}

enum result record_put(struct identity_state *identity, const char *slot,
                       Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    GUARD(outbox_put(identity->engine->outbox, identity->identity.name, identity->identity.authority, slot,
                     body, why));
    identity_state_touch(identity);
    return RESULT_OK;
}
