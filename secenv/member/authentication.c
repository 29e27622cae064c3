/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/authentication.h"

#include <stdio.h>
#include <string.h>

#include "secenv/member/event.h"
#include "secenv/member/relay.h"
#include "secenv/member/revoking.h"

const char authentication_schema[] = "CREATE TABLE IF NOT EXISTS authentication_order ("
                                     " identity TEXT PRIMARY KEY) WITHOUT ROWID;";

#define BACKOFF_FIRST_US 2000000u
#define BACKOFF_LAST_US 300000000u
#define ANSWER_WAIT_US 60000000u /* longer than any owner's own time-out of a primitive */
#define FINISH_TRIES 3u          /* flight 3, unanswered */
#define FINISH_RETRY_US 2000000u
#define SUCCESS_REST_US 30000000u /* doubt does not start another one earlier */
#define DOUBT_WAIT_US 5000000u    /* half of it at least: for a record that is taken after all */

void authentication_init(struct authentication *authentication)
{
    memset(authentication, 0, sizeof(*authentication));
    authentication->due_us = NEVER;
    authentication->deadline_us = NEVER;
    authentication->flight3 = BUFFER_EMPTY(OBJECT_LIMIT);
}

void authentication_clear(struct authentication *authentication)
{
    handshake_free(authentication->handshake);
    buffer_clear(&authentication->flight3);
    association_wipe(&authentication->association);
    secret_wipe_bytes(authentication, sizeof(*authentication));
    authentication_init(authentication);
}

/* Ends what is under way; the back-off's memory stays. */
static void attempt_end(struct authentication *authentication)
{
    handshake_free(authentication->handshake);
    authentication->handshake = NULL;
    buffer_clear(&authentication->flight3);
    association_wipe(&authentication->association);
    authentication->step = AUTHENTICATION_IDLE;
    authentication->given_up = authentication->token;
    authentication->token = 0;
    authentication->deadline_us = NEVER;
    authentication->finish_sent = 0;
    authentication->hurried = false;
}

void authentication_ask(struct identity_state *identity)
{
    struct authentication *authentication = &identity->authentication;
    authentication->doubted = false;
    if (authentication->step == AUTHENTICATION_IDLE) {
        authentication->due_us = 0;
        identity_state_touch(identity);
    }
}

enum result authentication_order(struct identity_state *identity, struct reason *why)
{
    GUARD(store_run(identity->engine->setup.store, why,
                    "INSERT OR REPLACE INTO authentication_order (identity) VALUES (?)", "t",
                    identity->identity.name));
    authentication_ask(identity);
    return RESULT_OK;
}

static enum result order_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)row;
    (void)why;
    authentication_ask(context);
    return RESULT_OK;
}

enum result authentication_load(struct identity_state *identity, struct reason *why)
{
    return store_query(identity->engine->setup.store, why, order_row, identity,
                       "SELECT 1 FROM authentication_order WHERE identity = ?", "t", identity->identity.name);
}

/* Soon, but not at once after one that has ended well. False where one is due or under way already. */
static bool attempt_soon(struct identity_state *identity, bool doubted)
{
    struct authentication *authentication = &identity->authentication;
    if (authentication->step != AUTHENTICATION_IDLE || authentication->due_us != NEVER) {
        return false;
    }
    uint64_t rested = authentication->done_us == 0 ? 0 : authentication->done_us + SUCCESS_REST_US;
    uint64_t waited = engine_now_us(identity->engine) + DOUBT_WAIT_US / 2 + engine_draw(DOUBT_WAIT_US);
    authentication->doubted = doubted;
    authentication->due_us = waited > rested ? waited : rested;
    identity_state_touch(identity);
    return true;
}

bool authentication_doubt(struct identity_state *identity)
{
    return attempt_soon(identity, true);
}

void authentication_ask_later(struct identity_state *identity)
{
    (void)attempt_soon(identity, false);
}

void authentication_hurry(struct identity_state *identity)
{
    struct authentication *authentication = &identity->authentication;
    bool first_doubt = authentication->doubted && authentication->failures == 0;
    if (authentication->step == AUTHENTICATION_HELLO_SENT) {
        attempt_end(authentication);
        authentication->due_us = 0;
    } else if (authentication->step == AUTHENTICATION_FINISH_SENT) {
        /* The authority may have installed it: what comes back for flight 3 decides. */
        authentication->hurried = true;
    }
    if (authentication->due_us != NEVER && !first_doubt) {
        authentication->due_us = 0;
    }
    identity_state_touch(identity);
}

void authentication_reassure(struct identity_state *identity)
{
    struct authentication *authentication = &identity->authentication;
    identity->refusals = 0;
    identity->silence_told = false;
    if (authentication->doubted && authentication->step == AUTHENTICATION_IDLE) {
        authentication->doubted = false;
        authentication->due_us = NEVER;
        authentication->failures = 0;
    }
}

void authentication_abandon(struct identity_state *identity)
{
    struct authentication *authentication = &identity->authentication;
    if (authentication->step != AUTHENTICATION_IDLE) {
        attempt_end(authentication);
        authentication->due_us = 0;
    }
}

bool authentication_owns(const struct identity_state *identity, uint64_t token)
{
    return token != 0 && token == identity->authentication.token;
}

bool authentication_gave_up(const struct identity_state *identity, uint64_t token)
{
    return token != 0 && token == identity->authentication.given_up;
}

/* 2 s doubling to 300 s, drawn from the upper half so that a fleet spreads. */
static uint64_t backoff_us(unsigned failures)
{
    uint64_t delay = BACKOFF_FIRST_US;
    for (unsigned i = 1; i < failures && delay < BACKOFF_LAST_US; i++) {
        delay *= 2;
    }
    if (delay > BACKOFF_LAST_US) {
        delay = BACKOFF_LAST_US;
    }
    return delay / 2 + engine_draw(delay / 2);
}

static enum result attempt_failed(struct identity_state *identity, const char *what)
{
    struct authentication *authentication = &identity->authentication;
    bool hurried = authentication->hurried;
    attempt_end(authentication);
    authentication->failures++;
    authentication->due_us =
        hurried ? 0 : engine_now_us(identity->engine) + backoff_us(authentication->failures);
    identity_state_touch(identity);
    if (strcmp(authentication->last_failure, what) == 0) {
        return RESULT_OK; /* said once */
    }
    (void)snprintf(authentication->last_failure, sizeof(authentication->last_failure), "%s", what);
    return event_refused(identity, identity->identity.authority,
                         "end-to-end authentication with %s failed: %s; it is tried again by itself",
                         identity->identity.authority, what);
}

/* ---- flight 1 ---- */

static enum result flight_send(struct identity_state *identity, Groupseal__Envelope__Flight *flight,
                               struct arena *arena)
{
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    object.flight = flight;
    return event_send(identity, &object, arena, &identity->authentication.token);
}

static enum result hello_send(struct identity_state *identity, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    struct buffer tls = BUFFER_EMPTY(OBJECT_LIMIT);
    struct reason local;
    authentication->due_us = NEVER;
    handshake_context_not_before(identity->tls, identity->authority_time_ms);
    if (handshake_client_start(identity->tls, &authentication->handshake, &tls, authentication->hello_hash,
                               &local) != RESULT_OK) {
        buffer_clear(&tls);
        return attempt_failed(identity, local.text);
    }
    audit_count(AUDIT_HANDSHAKES_STARTED);
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    flight.number = 1;
    flight.tls = arena_field(buffer_bytes(&tls));
    enum result result = flight_send(identity, &flight, identity->engine->scratch);
    buffer_clear(&tls);
    arena_reset(identity->engine->scratch);
    if (result != RESULT_OK) {
        return result_fail(why, result, "flight 1 of %s could not be sent", identity->identity.name);
    }
    authentication->step = AUTHENTICATION_HELLO_SENT;
    authentication->deadline_us = engine_now_us(identity->engine) + ANSWER_WAIT_US;
    return RESULT_OK;
}

/* ---- flight 2 in, flight 3 out ---- */

/* FIRST: this secenv's own signing key, with its proof, as the new association's first record. */
static enum result first_seal(struct identity_state *identity, struct association *association,
                              struct arena *arena, Groupseal__Envelope__Record **out, struct reason *why)
{
    uint8_t signature[SIGNATURE_SIZE];
    GUARD(first_sign(&association->agreement, identity->identity.name, &identity->signing, signature));
    Groupseal__Envelope__First first = GROUPSEAL__ENVELOPE__FIRST__INIT;
    first.signing_key = arena_field(BYTES_OF(identity->signing.public_key));
    first.signature = arena_field(BYTES_OF(signature));
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_FIRST;
    body.first = &first;
    return association_seal(association, identity->engine->setup.store, identity->engine->setup.clock, &body,
                            arena, out, why);
}

static enum result finish_pack(struct identity_state *identity, struct bytes tls,
                               struct association *association, struct arena *arena, struct bytes *packed,
                               struct reason *why)
{
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    GUARD(first_seal(identity, association, arena, &flight.record, why));
    flight.number = 3;
    flight.hello_hash = arena_field(BYTES_OF(identity->authentication.hello_hash));
    flight.tls = arena_field(tls);
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    object.flight = &flight;
    return carriage_pack(&object, arena, packed);
}

/* The same bytes each time: the authority knows a repeated flight 3 by them. */
static enum result finish_send(struct identity_state *identity, struct arena *arena, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    Groupseal__Envelope__EndToEnd *object = NULL;
    GUARD(carriage_parse(buffer_bytes(&authentication->flight3), arena, &object, why));
    GUARD(event_send(identity, object, arena, &authentication->token));
    authentication->step = AUTHENTICATION_FINISH_SENT;
    authentication->due_us = NEVER;
    authentication->deadline_us = engine_now_us(identity->engine) + ANSWER_WAIT_US;
    authentication->finish_sent++;
    return RESULT_OK;
}

static enum result agreement_reached(struct identity_state *identity, const struct agreement *agreement,
                                     struct bytes tls, struct arena *arena, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    association_init(&authentication->association, ASSOCIATION_MEMBER, ASSOCIATION_CURRENT,
                     identity->identity.name, identity->identity.authority, agreement,
                     clock_wall_ms(identity->engine->setup.clock));
    handshake_free(authentication->handshake);
    authentication->handshake = NULL;
    struct bytes packed;
    GUARD(finish_pack(identity, tls, &authentication->association, arena, &packed, why));
    GUARD(buffer_append(&authentication->flight3, packed));
    return finish_send(identity, arena, why);
}

static bool flight_is(const struct authentication *authentication,
                      const Groupseal__Envelope__EndToEnd *object, uint32_t number)
{
    return object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT &&
           object->flight->number == number &&
           bytes_equal(arena_view(object->flight->hello_hash), BYTES_OF(authentication->hello_hash));
}

static enum result flight2_taken(struct identity_state *identity, const Groupseal__Envelope__EndToEnd *object,
                                 struct arena *arena, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    if (!flight_is(authentication, object, 2)) {
        audit_count(AUDIT_ANSWERS_REFUSED);
        return attempt_failed(identity, "the authority refused the ClientHello (its log says why)");
    }
    struct buffer tls = BUFFER_EMPTY(OBJECT_LIMIT);
    struct agreement agreement;
    memset(&agreement, 0, sizeof(agreement));
    enum audit_counter cause = AUDIT_REFUSED_HELLO;
    struct reason local;
    enum result result = handshake_client_finish(authentication->handshake, arena_view(object->flight->tls),
                                                 &tls, &agreement, &cause, &local);
    if (result == RESULT_OK) {
        result = agreement_reached(identity, &agreement, buffer_bytes(&tls), arena, why);
    } else {
        audit_count(AUDIT_HANDSHAKES_REFUSED);
        audit_count(cause);
        result = attempt_failed(identity, local.text);
    }
    secret_wipe_bytes(&agreement, sizeof(agreement));
    buffer_clear(&tls);
    return result;
}

/* ---- flight 4 ---- */

/* The new association takes the old one's place: its keys are wiped here and in the store. */
static enum result association_install(struct identity_state *identity, uint64_t time_ms, uint64_t floor,
                                       struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    struct store *store = identity->engine->setup.store;
    if (identity->associated) {
        GUARD(association_remove(&identity->association, store, why));
    }
    GUARD(association_save(&authentication->association, store, why));
    GUARD(store_run(store, why, "DELETE FROM authentication_order WHERE identity = ?", "t",
                    identity->identity.name));
    GUARD(identity_state_floor(identity, floor, time_ms, why));
    association_wipe(&identity->association);
    identity->association = authentication->association;
    identity->associated = true;
    identity->refusals = 0;
    attempt_end(authentication);
    authentication->due_us = NEVER;
    authentication->failures = 0;
    authentication->doubted = false;
    authentication->last_failure[0] = '\0';
    authentication->done_us = engine_now_us(identity->engine);
    return RESULT_OK;
}

static enum result association_announce(struct identity_state *identity, struct reason *why)
{
    bool cert = identity->association.agreement.mode == CREDENTIALS_CERT;
    audit_count(AUDIT_HANDSHAKES_DONE);
    audit_count(cert ? AUDIT_HANDSHAKES_DONE_CERT : AUDIT_HANDSHAKES_DONE_PSK);
    if (identity_is_relay(identity)) {
        GUARD(relay_report_newest(identity, why));
    }
    outbox_kick(identity->engine->outbox, identity->identity.name, NULL);
    identity_state_touch(identity);
    GUARD(event_notice(identity, GROUPSEAL__SECENV__SEVERITY__INFO,
                       "authenticated end to end with %s (%s, %s)", identity->identity.authority,
                       cert ? "certificate" : "pre-shared key", identity->association.agreement.mechanism));
    return cert ? revoking_alarm(identity) : RESULT_OK;
}

static enum result flight4_taken(struct identity_state *identity, const Groupseal__Envelope__EndToEnd *object,
                                 struct arena *arena, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    Groupseal__Envelope__RecordBody *body = NULL;
    struct reason local = {"flight 4 has no CONFIRM"};
    if (!flight_is(authentication, object, 4)) {
        audit_count(AUDIT_ANSWERS_REFUSED);
        return attempt_failed(identity, "the authority refused the last flight (its log says why)");
    }
    bool confirmed = object->flight->record != NULL &&
                     association_open(&authentication->association, identity->engine->setup.store,
                                      object->flight->record, arena, &body, &local) == RESULT_OK &&
                     body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CONFIRM;
    if (!confirmed) {
        audit_count(AUDIT_HANDSHAKES_REFUSED);
        audit_count(AUDIT_REFUSED_HELLO);
        return attempt_failed(identity, local.text);
    }
    GUARD(association_install(identity, body->confirm->time_ms, body->confirm->floor, why));
    return association_announce(identity, why);
}

bool authentication_awaits(const struct identity_state *identity, const Groupseal__Envelope__Record *record)
{
    const struct authentication *authentication = &identity->authentication;
    return authentication->step == AUTHENTICATION_FINISH_SENT &&
           bytes_equal(arena_view(record->association), BYTES_OF(authentication->association.agreement.id));
}

enum result authentication_overtaken(struct identity_state *identity,
                                     const Groupseal__Envelope__Record *record, struct arena *arena,
                                     Groupseal__Envelope__RecordBody **out, struct reason *why)
{
    GUARD(association_open(&identity->authentication.association, identity->engine->setup.store, record,
                           arena, out, why));
    GUARD(association_install(identity, 0, (*out)->floor, why));
    return association_announce(identity, why);
}

/* ---- answers and time ---- */

static enum result unanswered(struct identity_state *identity, const char *failure)
{
    struct authentication *authentication = &identity->authentication;
    char what[200];
    (void)snprintf(what, sizeof(what), "no answer (%s)", failure[0] == '\0' ? "none came" : failure);
    if (authentication->step == AUTHENTICATION_FINISH_SENT && authentication->finish_sent < FINISH_TRIES) {
        authentication->token = 0;
        authentication->deadline_us = NEVER;
        authentication->due_us =
            authentication->hurried
                ? 0
                : engine_now_us(identity->engine) + FINISH_RETRY_US / 2 + engine_draw(FINISH_RETRY_US);
        authentication->hurried = false;
        identity_state_touch(identity);
        return RESULT_OK;
    }
    return attempt_failed(identity, what);
}

enum result authentication_answered(struct identity_state *identity,
                                    const Groupseal__Envelope__EndToEnd *object, const char *failure,
                                    struct arena *arena, struct reason *why)
{
    if (object == NULL) {
        return unanswered(identity, failure);
    }
    if (identity->authentication.step == AUTHENTICATION_HELLO_SENT) {
        return flight2_taken(identity, object, arena, why);
    }
    return flight4_taken(identity, object, arena, why);
}

enum result authentication_turn(struct identity_state *identity, uint64_t *next, struct reason *why)
{
    struct authentication *authentication = &identity->authentication;
    uint64_t now = engine_now_us(identity->engine);
    if (!identity->online) {
        return RESULT_OK;
    }
    if (authentication->deadline_us <= now) {
        GUARD(unanswered(identity, "the owner did not say what became of it"));
    }
    if (authentication->due_us <= now && authentication->step == AUTHENTICATION_IDLE) {
        GUARD(hello_send(identity, why));
    } else if (authentication->due_us <= now) {
        enum result result = finish_send(identity, identity->engine->scratch, why);
        arena_reset(identity->engine->scratch);
        GUARD(result);
    }
    *next = authentication->due_us < *next ? authentication->due_us : *next;
    *next = authentication->deadline_us < *next ? authentication->deadline_us : *next;
    return RESULT_OK;
}
