/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/identity_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/member/clearing.h"
#include "secenv/member/command_table.h"
#include "secenv/member/event.h"
#include "secenv/member/membership.h"
#include "secenv/member/relay.h"
#include "secenv/revocation.h"

const char member_key_schema[] = "CREATE TABLE IF NOT EXISTS member_key ("
                                 " identity TEXT PRIMARY KEY, seed BLOB NOT NULL,"
                                 " authority_time_ms INTEGER NOT NULL) WITHOUT ROWID;"
                                 "CREATE TABLE IF NOT EXISTS authority_floor ("
                                 " identity TEXT PRIMARY KEY, floor INTEGER NOT NULL) WITHOUT ROWID;";

#define PURPOSE_SIZE 200u
#define PUT_OFF_US 60000000u /* of what went wrong with one identity alone */

static void seed_purpose(const struct identity_state *identity, char out[PURPOSE_SIZE])
{
    (void)snprintf(out, PURPOSE_SIZE, "member_key/seed/%s", identity->identity.name);
}

/* ---- the signing key ---- */

struct stored_key {
    bool found;
    const char *purpose;
    struct secret seed;
    uint64_t authority_time_ms;
};

static enum result key_row(void *context, const struct store_row *row, struct reason *why)
{
    struct stored_key *stored = context;
    stored->found = true;
    stored->authority_time_ms = row_u64(row, 1);
    return row_secret(row, 0, stored->purpose, &stored->seed, why);
}

static enum result signing_key_new(struct identity_state *identity, const char *purpose, struct reason *why)
{
    if (signing_key_make(&identity->signing) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no signing key could be made for %s",
                           identity->identity.name);
    }
    return store_run(identity->engine->setup.store, why,
                     "INSERT INTO member_key (identity, seed, authority_time_ms) VALUES (?, ?, 0)", "ts",
                     identity->identity.name, purpose, secret_bytes(&identity->signing.seed));
}

/* Made here the first time: it never leaves, only its public half goes into FIRST. */
static enum result signing_key_load(struct identity_state *identity, struct reason *why)
{
    char purpose[PURPOSE_SIZE];
    seed_purpose(identity, purpose);
    struct stored_key stored = {.purpose = purpose};
    enum result result = store_query(identity->engine->setup.store, why, key_row, &stored,
                                     "SELECT seed, authority_time_ms FROM member_key WHERE identity = ?", "t",
                                     identity->identity.name);
    if (result == RESULT_OK && stored.found) {
        identity->authority_time_ms = stored.authority_time_ms;
        identity->floor = 0;
        result = store_number(identity->engine->setup.store, why, &identity->floor,
                              "SELECT floor FROM authority_floor WHERE identity = ?", "t",
                              identity->identity.name);
    }
    if (result == RESULT_OK && stored.found) {
        result = signing_key_from_seed(&stored.seed, &identity->signing);
    } else if (result == RESULT_OK) {
        result = signing_key_new(identity, purpose, why);
    }
    if (result == RESULT_OK) {
        secret_note("member signing key", identity->signing.seed.data, SECRET_SIZE);
    }
    secret_wipe(&stored.seed);
    return result;
}

/* ---- open, reload, free ---- */

static void memberships_free(struct identity_state *identity)
{
    while (identity->memberships != NULL) {
        struct membership *membership = identity->memberships;
        identity->memberships = membership->next;
        membership_free(membership);
    }
    identity->membership_count = 0;
}

enum result identity_state_open(struct engine *engine, struct identity *identity, struct identity_state **out,
                                struct reason *why)
{
    struct identity_state *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for identity %s", identity->name);
    }
    state->engine = engine;
    state->agenda_place = AGENDA_OUT;
    state->online_due_us = NEVER;
    state->identity = *identity;
    authentication_init(&state->authentication);
    enum result result = handshake_context_new(&state->identity, engine->setup.clock, &state->tls, why);
    if (result == RESULT_OK) {
        result = limits_load(engine->setup.store, identity->name, identity->kind, &state->limits, why);
    }
    if (result == RESULT_OK) {
        result = revocation_load(engine->setup.store, &state->identity, state->tls, why);
    }
    if (result == RESULT_OK) {
        result = signing_key_load(state, why);
    }
    if (result == RESULT_OK) {
        result = authentication_load(state, why);
    }
    if (result == RESULT_OK) {
        result = membership_load_all(state, why);
    }
    if (result != RESULT_OK) {
        state->identity = (struct identity){.name = ""}; /* still the caller's */
        identity_state_free(state);
        return result;
    }
    *out = state;
    return RESULT_OK;
}

void identity_state_free(struct identity_state *identity)
{
    if (identity == NULL) {
        return;
    }
    memberships_free(identity);
    limits_clear(&identity->limits);
    authentication_clear(&identity->authentication);
    association_wipe(&identity->association);
    handshake_context_free(identity->tls);
    signing_key_wipe(&identity->signing);
    identity_clear(&identity->identity);
    secret_wipe_bytes(identity, sizeof(*identity));
    free(identity);
}

static enum result association_take(void *context, const struct association *association)
{
    struct identity_state *identity = context;
    if (strcmp(association->member, identity->identity.name) == 0) {
        identity->association = *association;
        identity->associated = true;
    }
    return RESULT_OK;
}

enum result identity_state_reload(struct identity_state *identity, struct reason *why)
{
    memberships_free(identity);
    authentication_abandon(identity);
    association_wipe(&identity->association);
    identity->associated = false;
    GUARD(
        association_load(identity->engine->setup.store, ASSOCIATION_MEMBER, association_take, identity, why));
    GUARD(signing_key_load(identity, why));
    GUARD(authentication_load(identity, why));
    GUARD(membership_load_all(identity, why));
    identity->stale = false;
    identity_state_touch(identity);
    return RESULT_OK;
}

/* ---- life ---- */

/* An association without a group: the authority may have dropped us meanwhile and never can say so. */
static bool association_is_doubtful(const struct identity_state *identity)
{
    return !identity->associated || identity->memberships == NULL;
}

static enum result connection_came_up(struct identity_state *identity, struct reason *why)
{
    if (association_is_doubtful(identity)) {
        authentication_ask(identity);
    }
    if (identity_is_relay(identity)) {
        GUARD(clearing_repeat(identity, why));
    }
    for (struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        GUARD(membership_online(membership, why));
    }
    return RESULT_OK;
}

static void too_often(const struct identity_state *identity, const char *what)
{
    audit_count(AUDIT_OWNER_TOO_OFTEN);
    log_refused(identity, LOG_LEVEL_WARNING, "its owner", what);
}

/* True: not now. */
static bool online_is_put_off(struct identity_state *identity)
{
    const struct bucket_rate rate = {IDENTITY_ONLINES_INTERVAL_US, IDENTITY_ONLINES_BURST};
    uint64_t now = engine_now_us(identity->engine);
    if (bucket_take(&identity->onlines, rate, now)) {
        return false;
    }
    too_often(identity, "its owner says too often that it is online");
    if (!identity->online) {
        identity->online_due_us = bucket_ready_us(&identity->onlines, rate, now);
        identity_state_touch(identity);
    }
    return true;
}

enum result identity_state_authenticate(struct identity_state *identity, struct reason *why)
{
    const struct bucket_rate rate = {IDENTITY_AUTHENTICATIONS_INTERVAL_US, IDENTITY_AUTHENTICATIONS_BURST};
    if (!bucket_take(&identity->authentications, rate, engine_now_us(identity->engine))) {
        too_often(identity, "its owner asks too often for an authentication");
        return result_fail(why, RESULT_TOO_OFTEN, "an authentication was asked for too often");
    }
    authentication_ask(identity);
    return RESULT_OK;
}

enum result identity_state_online(struct identity_state *identity, bool online, struct reason *why)
{
    bool came_up = online && !identity->online;
    if (online && online_is_put_off(identity)) {
        return RESULT_OK;
    }
    identity->online_due_us = NEVER;
    identity->online = online;
    identity_state_touch(identity);
    if (!online) {
        authentication_abandon(identity);
        return RESULT_OK;
    }
    if (came_up) {
        GUARD(connection_came_up(identity, why));
    }
    authentication_hurry(identity);
    /* Each time: an authority that was restored from a backup must learn it before it changes anything. */
    if (identity_is_relay(identity)) {
        GUARD(relay_report_newest(identity, why));
    }
    outbox_kick(identity->engine->outbox, identity->identity.name, NULL);
    return RESULT_OK;
}

/* ---- the owner ---- */

static enum result commands_interrupted(struct identity_state *identity, struct reason *why)
{
    for (struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        GUARD(command_table_interrupted(membership, why));
    }
    return RESULT_OK;
}

static enum result owner_loss(struct identity_state *identity, struct reason *why)
{
    GUARD(commands_interrupted(identity, why));
    identity->owner = 0;
    identity->owner_lost = false;
    return identity_state_online(identity, false, why);
}

enum result identity_state_owned(struct identity_state *identity, uint64_t connection, struct reason *why)
{
    if (identity->owner != 0 && identity->owner != connection) {
        GUARD(owner_loss(identity, why));
    }
    identity->owner = connection;
    identity->owner_lost = false;
    return RESULT_OK;
}

void identity_state_disconnected(struct identity_state *identity, uint64_t connection)
{
    if (identity->owner == connection && connection != 0) {
        identity->owner_lost = true;
        identity_state_touch(identity);
    }
}

/* ---- turn ---- */

void identity_state_touch(struct identity_state *identity)
{
    agenda_move(&identity->engine->agenda, identity, 0);
}

/* A failed turn ends the process, with all its identities: no single one's problem may do that. */
static enum result problem_put_off(struct identity_state *identity, enum result result,
                                   const struct reason *problem, uint64_t *next)
{
    uint64_t now = engine_now_us(identity->engine);
    if (result == RESULT_OK || result == RESULT_STORE || result == RESULT_INTERNAL) {
        return result;
    }
    arena_reset(identity->engine->scratch);
    if (identity->problem_told_us == 0 || identity->problem_told_us + PUT_OFF_US <= now) {
        identity->problem_told_us = now;
        log_line(LOG_LEVEL_WARNING, "%s: %s; it is tried again", identity->identity.name,
                 problem->text[0] == '\0' ? result_word(result) : problem->text);
    }
    *next = now + PUT_OFF_US < *next ? now + PUT_OFF_US : *next;
    return RESULT_OK;
}

static enum result identity_steps(struct identity_state *identity, uint64_t *next, struct reason *why)
{
    why->text[0] = '\0';
    if (identity->stale) {
        GUARD(problem_put_off(identity, identity_state_reload(identity, why), why, next));
    }
    if (identity->stale) {
        return RESULT_OK;
    }
    if (identity->owner_lost) {
        GUARD(owner_loss(identity, why));
    }
    if (identity->online_due_us <= engine_now_us(identity->engine)) {
        GUARD(identity_state_online(identity, true, why));
    }
    *next = identity->online_due_us < *next ? identity->online_due_us : *next;
    GUARD(problem_put_off(identity, authentication_turn(identity, next, why), why, next));
    GUARD(problem_put_off(identity, standing_turn(identity, next, why), why, next));
    for (struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        why->text[0] = '\0';
        GUARD(problem_put_off(identity, membership_turn(membership, next, why), why, next));
    }
    return RESULT_OK;
}

enum result identity_state_turn(struct identity_state *identity, struct reason *why)
{
    uint64_t next = NEVER;
    agenda_move(&identity->engine->agenda, identity, NEVER);
    GUARD(identity_steps(identity, &next, why));
    if (next < identity->due_us) { /* else a step has touched it for another one */
        agenda_move(&identity->engine->agenda, identity, next);
    }
    return RESULT_OK;
}

enum result identity_state_time(struct identity_state *identity, uint64_t time_ms, struct reason *why)
{
    if (time_ms <= identity->authority_time_ms) {
        return RESULT_OK;
    }
    GUARD(store_run(identity->engine->setup.store, why,
                    "UPDATE member_key SET authority_time_ms = ? WHERE identity = ?", "ut", time_ms,
                    identity->identity.name));
    identity->authority_time_ms = time_ms;
    return RESULT_OK;
}

static enum result floor_store(const struct identity_state *identity, uint64_t floor, uint64_t time_ms,
                               struct reason *why)
{
    struct store *store = identity->engine->setup.store;
    GUARD(store_run(store, why, "INSERT OR REPLACE INTO authority_floor (identity, floor) VALUES (?, ?)",
                    "tu", identity->identity.name, floor));
    return store_run(store, why, "UPDATE member_key SET authority_time_ms = ? WHERE identity = ?", "ut",
                     time_ms, identity->identity.name);
}

enum result identity_state_floor(struct identity_state *identity, uint64_t floor, uint64_t time_ms,
                                 struct reason *why)
{
    if (floor <= identity->floor) {
        return identity_state_time(identity, time_ms, why);
    }
    GUARD(floor_store(identity, floor, time_ms, why));
    GUARD(memberships_end_before(identity, floor, why));
    identity->floor = floor;
    identity->authority_time_ms = time_ms;
    return RESULT_OK;
}
