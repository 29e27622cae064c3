/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/ferry.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/record.h"

#include <stdio.h>
#include <string.h>

#define HOP_LIMIT 256u

typedef Groupseal__Envelope__EndToEnd EndToEnd;

/* ---- Received ---- */

static enum result roster_check(struct engine *engine, const char *from, struct member *out,
                                struct reason *why)
{
    enum result result = member_find(engine->store, from, out, why);
    if (result == RESULT_OK && out->state == MEMBER_EVICTED) {
        result = result_fail(why, RESULT_REFUSED, "%s was evicted", from);
    }
    if (result == RESULT_OK && out->unconfirmed) {
        result = result_fail(
            why, RESULT_REFUSED,
            "%s waits for the operator's word (in-cse member confirm) since the last incarnation", from);
    }
    return result;
}

static void unknown_count(const EndToEnd *object)
{
    if (object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT) {
        audit_count(AUDIT_HANDSHAKES_REFUSED);
        audit_count(AUDIT_REFUSED_UNKNOWN);
    } else {
        audit_count(AUDIT_RECORDS_REFUSED);
    }
}

/*
 * A member is heard through the MN-CSE that the roster names for it, or directly. Else any MN-CSE could fill
 * the places of another site's members, with names alone.
 */
static enum result hop_fits(const struct member *member, const char *hop, struct reason *why)
{
    if (strcmp(hop, member->site) == 0 || strcmp(hop, member->name) == 0) {
        return RESULT_OK;
    }
    return result_fail(
        why, RESULT_REFUSED,
        "%.100s came through %.60s, but its site is %.60s (where it has moved: `in-cse member move`)",
        member->name, hop, member->site);
}

/* `answer` is left without content where there is nothing to answer. `*cause`: whose doing a refusal is, as
 * far as that is proven; a name that came through another hop than its own is that hop's. */
static enum result object_take(struct engine *engine, const Groupseal__Secenv__Received *request,
                               struct arena *arena, EndToEnd *answer, const char **cause, struct reason *why)
{
    EndToEnd *object = NULL;
    struct member member;
    enum result result = carriage_parse(arena_view(request->object), arena, &object, why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_OBJECTS_REFUSED);
        return result;
    }
    result = roster_check(engine, request->from, &member, why);
    if (result == RESULT_OK) {
        result = hop_fits(&member, request->hop, why);
    }
    if (result != RESULT_OK) {
        unknown_count(object);
        return result;
    }
    *cause = request->from;
    switch (object->content_case) {
    case GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT:
        GUARD(admission_flight(engine, &member, request->hop, object->flight, arena, &answer->flight, why));
        answer->content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
        return RESULT_OK;
    case GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD:
        GUARD(record_take(engine, &member, object->record, arena, &answer->record, why));
        if (answer->record != NULL) {
            answer->content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
        }
        return RESULT_OK;
    default:
        audit_count(AUDIT_OBJECTS_REFUSED);
        return result_fail(why, RESULT_INVALID, "%s sends neither a flight nor a record", member.name);
    }
}

enum result ferry_received(struct engine *engine, const Groupseal__Secenv__Received *request,
                           struct arena *arena, Groupseal__Secenv__Answer **out, struct reason *why)
{
    EndToEnd answer = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Refusal refusal = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    struct bytes packed = {NULL, 0};
    if (!object_name_valid(request->from) || strlen(request->hop) > HOP_LIMIT) {
        audit_count(AUDIT_OBJECTS_REFUSED);
        return result_fail(why, RESULT_INVALID,
                           "who sent an object must be an absolute id, its hop a short name");
    }
    const char *cause = request->hop;
    enum result result = object_take(engine, request, arena, &answer, &cause, why);
    if (authority_own_fault(result)) {
        return result;
    }
    if (result != RESULT_OK) {
        answer.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
        answer.refusal = &refusal;
        GUARD(notice_of_peer(engine, cause, GROUPSEAL__SECENV__SEVERITY__WARNING, "refused %s: %s",
                             request->from, why->text));
    }
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__answer__init(*out);
    if (answer.content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT__NOT_SET) {
        GUARD(carriage_pack(&answer, arena, &packed));
        (*out)->object = arena_field(packed);
    }
    return RESULT_OK;
}

/* ---- Answered ---- */

static const char *sent_to(const struct ferry *ferry, uint64_t token)
{
    size_t place = token % FERRY_SENT_LIMIT;
    return token != 0 && ferry->sent[place].token == token ? ferry->sent[place].peer : NULL;
}

static void under_way_set(struct engine *engine, uint64_t token, bool under_way)
{
    struct ferry *ferry = &engine->ferry;
    size_t place = token % FERRY_SENT_LIMIT;
    ferry->under_way += under_way ? 1 : 0;
    ferry->under_way -= ferry->sent[place].under_way ? 1 : 0; /* its own, or of who is overwritten */
    ferry->sent[place].under_way = under_way;
    outbox_under_way(engine->outbox, ferry->under_way);
}

void ferry_lost(struct engine *engine)
{
    for (size_t i = 0; i < FERRY_SENT_LIMIT; i++) {
        engine->ferry.sent[i].under_way = false;
    }
    engine->ferry.under_way = 0;
    outbox_under_way(engine->outbox, 0);
}

static enum result answer_take(struct engine *engine, const struct member *member, const EndToEnd *object,
                               struct arena *arena, struct reason *why)
{
    Groupseal__Envelope__Record *answer = NULL;
    if (object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD) {
        return record_take(engine, member, object->record, arena, &answer, why);
    }
    audit_count(AUDIT_ANSWERS_REFUSED);
    return result_fail(why, RESULT_REFUSED, "%s refused a record (its own log says why)", member->name);
}

enum result ferry_answered(struct engine *engine, const Groupseal__Secenv__Answered *request,
                           struct arena *arena, struct reason *why)
{
    const char *peer = sent_to(&engine->ferry, request->token);
    EndToEnd *object = NULL;
    struct member member;
    if (peer == NULL) {
        audit_count(AUDIT_ANSWERS_REFUSED);
        return result_fail(why, RESULT_UNKNOWN, "no object was sent under token %llu",
                           (unsigned long long)request->token);
    }
    under_way_set(engine, request->token, false);
    if (request->object.len == 0) {
        log_line(LOG_LEVEL_DEBUG, "%s did not answer: %.128s", peer, request->failure);
        return RESULT_OK; /* the outbox's back-off goes on */
    }
    enum result result = carriage_parse(arena_view(request->object), arena, &object, why);
    if (result == RESULT_OK) {
        result = member_find(engine->store, peer, &member, why);
    } else {
        audit_count(AUDIT_ANSWERS_REFUSED);
    }
    if (result == RESULT_OK && member.state != MEMBER_EVICTED) { /* its farewell may have an answer */
        result = answer_take(engine, &member, object, arena, why);
    }
    if (result == RESULT_OK || authority_own_fault(result)) {
        return result;
    }
    return notice_of_peer(engine, peer, GROUPSEAL__SECENV__SEVERITY__WARNING, "answer of %s: %s", peer,
                          why->text);
}

/* ---- Send ---- */

struct sending {
    struct engine *engine;
    struct arena *arena; /* of one item */
    struct reason *why;
};

static void word_take(const char **text, char *out, size_t size)
{
    size_t length = strcspn(*text, " ");
    (void)snprintf(out, size, "%.*s", (int)length, *text);
    *text += length + strspn(*text + length, " ");
}

void slot_parse(const char *text, struct slot *out)
{
    word_take(&text, out->kind, sizeof(out->kind));
    word_take(&text, out->group, sizeof(out->group));
    word_take(&text, out->last, sizeof(out->last));
}

/* The package goes only into the association that its leaf was made for; what needs its keys, after it. */
static enum result leaf_ready(struct engine *engine, const struct member *member, const struct slot *slot,
                              const struct association *association, struct reason *why)
{
    bool ready = false;
    if (strcmp(slot->kind, "package") == 0) {
        GUARD(store_find(engine->store, why, &ready,
                         "SELECT 1 FROM leaf l JOIN key_group g ON g.id = l.group_id"
                         " WHERE g.name = ? AND l.member_id = ? AND l.association = ?",
                         "tib", slot->group, member->id, BYTES_OF(association->agreement.id)));
    } else {
        GUARD(store_find(engine->store, why, &ready,
                         "SELECT 1 FROM leaf l JOIN key_group g ON g.id = l.group_id"
                         " WHERE g.name = ? AND l.member_id = ? AND l.package_taken <> 0",
                         "ti", slot->group, member->id));
    }
    return ready ? RESULT_OK : RESULT_NOT_READY;
}

/*
 * The association to send in: a pending one first, and every other time the one before it, for which of the
 * two the member has is not known yet. Keys of the old one's leaf never go into the new one.
 */
static enum result association_choose(struct engine *engine, const struct member *member,
                                      const char *slot_name, unsigned attempts, struct association **out,
                                      struct reason *why)
{
    const struct peer *peer = peers_find(&engine->peers, member->name);
    struct slot slot;
    if (peer == NULL || peer->current == NULL) {
        return RESULT_NOT_READY;
    }
    slot_parse(slot_name, &slot);
    bool pending = peer->pending != NULL && strcmp(slot.kind, "package") != 0 && attempts % 2 == 0;
    *out = pending ? peer->pending : peer->current;
    bool needs_leaf = slot.group[0] != '\0' && strcmp(slot.kind, "left") != 0;
    return needs_leaf ? leaf_ready(engine, member, &slot, *out, why) : RESULT_OK;
}

enum result ferry_send(struct engine *engine, const struct member *member, struct bytes packed)
{
    Groupseal__Secenv__Send send = GROUPSEAL__SECENV__SEND__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    uint64_t token = ++engine->ferry.last_token;
    under_way_set(engine, token, true);
    engine->ferry.sent[token % FERRY_SENT_LIMIT].token = token;
    (void)snprintf(engine->ferry.sent[token % FERRY_SENT_LIMIT].peer, sizeof(engine->ferry.sent[0].peer),
                   "%s", member->name);
    send.token = token;
    send.to = (char *)(uintptr_t)member->name;
    if (member->kind == IDENTITY_ADN_AE) {
        send.via = (char *)(uintptr_t)member->site;
    }
    send.object = arena_field(packed);
    event.identity = engine->identity.name;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_SEND;
    event.send = &send;
    return engine->events.emit(engine->events.context, 0, &event);
}

static enum result record_emit(struct engine *engine, const struct member *member,
                               Groupseal__Envelope__Record *record, struct arena *arena)
{
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct bytes packed;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    object.record = record;
    GUARD(carriage_pack(&object, arena, &packed));
    return ferry_send(engine, member, packed);
}

static enum result item_send(const struct sending *sending, const char *peer, const char *slot,
                             Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    struct engine *engine = sending->engine;
    struct member member;
    struct association *association = NULL;
    Groupseal__Envelope__Record *record = NULL;
    enum result result = roster_check(engine, peer, &member, sending->why);
    if (result != RESULT_OK) {
        return authority_own_fault(result) ? result : RESULT_NOT_READY;
    }
    GUARD(association_choose(engine, &member, slot, attempts, &association, sending->why));
    if (body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REVOCATION) {
        GUARD(revocation_fill(engine, sending->arena, body->revocation));
    }
    body->floor = engine->incarnation;
    GUARD(association_seal(association, engine->store, engine->clock, body, sending->arena, &record,
                           sending->why));
    GUARD(record_emit(engine, &member, record, sending->arena));
    if (body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE) {
        audit_count(AUDIT_PACKAGES_SENT);
    }
    return RESULT_OK;
}

static enum result outbox_item(void *context, const char *owner, const char *peer, const char *slot,
                               Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    const struct sending *sending = context;
    (void)owner; /* there is one */
    enum result result = item_send(sending, peer, slot, body, attempts);
    arena_reset(sending->arena);
    return result;
}

enum result ferry_turn(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why)
{
    if (!engine->online) {
        return RESULT_OK;
    }
    if (outbox_next(engine->outbox) <= clock_monotonic_us(engine->clock)) {
        struct sending sending = {engine, engine->scratch, why};
        GUARD(outbox_run(engine->outbox, outbox_item, &sending, arena, why));
    }
    uint64_t due_us = outbox_next(engine->outbox);
    *next = due_us < *next ? due_us : *next;
    return RESULT_OK;
}
