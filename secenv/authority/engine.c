/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/authority.h"
#include "secenv/authority/change.h"
#include "secenv/authority/deletion.h"
#include "secenv/authority/evictions.h"
#include "secenv/authority/feed.h"
#include "secenv/authority/group_tree.h"
#include "secenv/authority/hex.h"
#include "secenv/authority/holding.h"
#include "secenv/authority/membership_end.h"
#include "secenv/authority/move.h"
#include "secenv/authority/report.h"
#include "secenv/authority/report_page.h"
#include "secenv/authority/roster_feed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRATCH_LIMIT ((size_t)4 * 1024 * 1024)
#define PROTOCOL_VERSION 1u
#define ONLINES_BURST 10u
#define ONLINES_INTERVAL_US 2000000u

const char *const authority_schemas[] = {
    counter_schema, identity_schema,    limit_schema,      association_schema,       outbox_schema,
    keys_schema,    member_schema,      group_schema,      group_tree_schema,        change_schema,
    feed_schema,    roster_feed_schema, arrears_schema,    incarnation_schema,       order_schema,
    holding_schema, settings_schema,    revocation_schema, member_revocation_schema, carried_clock_schema,
};
const size_t authority_schema_count = sizeof(authority_schemas) / sizeof(authority_schemas[0]);

/* ---- shared ---- */

enum result authority_notice(struct engine *engine, Groupseal__Secenv__Severity severity, const char *format,
                             ...)
{
    char text[512];
    va_list arguments;
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_line(severity == GROUPSEAL__SECENV__SEVERITY__ALARM     ? LOG_LEVEL_ALARM
             : severity == GROUPSEAL__SECENV__SEVERITY__WARNING ? LOG_LEVEL_WARNING
                                                                : LOG_LEVEL_INFO,
             "%s", text);
    notice.severity = severity;
    notice.text = text;
    event.identity = engine->identity.name;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    return engine->events.emit(engine->events.context, 0, &event);
}

bool authority_own_fault(enum result result)
{
    return result == RESULT_STORE || result == RESULT_INTERNAL;
}

char *authority_hex(struct arena *arena, struct bytes bytes)
{
    char *text = arena_alloc(arena, 2 * bytes.length + 1);
    if (text != NULL) {
        hex_write(bytes, text);
    }
    return text;
}

/* ---- open and close ---- */

static void engine_close(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    farewells_cut(&engine->farewells, 0);
    groups_clear(&engine->groups);
    peers_clear(&engine->peers);
    admission_clear(&engine->admission);
    outbox_close(engine->outbox);
    handshake_context_free(engine->tls);
    keys_wipe(&engine->keys);
    identity_clear(&engine->identity);
    limits_clear(&engine->limits);
    arena_free(engine->scratch);
    if (engine->evictions >= 0) {
        (void)close(engine->evictions);
    }
    secret_wipe_bytes(engine, sizeof(*engine));
    free(engine);
}

static enum result identity_take(void *context, struct identity *identity)
{
    struct engine *engine = context;
    if (engine->identity.name[0] != '\0' || identity->kind != IDENTITY_IN_CSE ||
        identity->mode != CREDENTIALS_CERT) {
        return RESULT_INVALID;
    }
    engine->identity = *identity;
    return RESULT_OK;
}

static enum result identity_open(struct engine *engine, struct reason *why)
{
    enum result result = identity_load(engine->store, identity_take, engine, why);
    if (result == RESULT_INVALID || (result == RESULT_OK && engine->identity.name[0] == '\0')) {
        return result_fail(why, RESULT_INVALID,
                           "an authority's store has exactly one identity, an IN-CSE with a certificate: run "
                           "`secenv provision`");
    }
    return result;
}

/* Associations and groups, as the store has them. */
static enum result memory_load(struct engine *engine, struct reason *why)
{
    GUARD(peers_load(&engine->peers, engine->store, clock_monotonic_us(engine->clock), why));
    return groups_load(engine, why);
}

static enum result memory_refresh(struct engine *engine, struct reason *why)
{
    if (!engine->stale) {
        return RESULT_OK;
    }
    groups_clear(&engine->groups);
    peers_clear(&engine->peers);
    GUARD(carried_clock_reload(&engine->time, engine->store, why));
    GUARD(memory_load(engine, why));
    engine->stale = false;
    return RESULT_OK;
}

/* Who it is, and its keys. */
static enum result self_open(struct engine *engine, struct reason *why)
{
    GUARD(identity_open(engine, why));
    GUARD(carried_clock_certificate(&engine->time, &engine->identity, why));
    GUARD(limits_load(engine->store, engine->identity.name, IDENTITY_IN_CSE, &engine->limits, why));
    GUARD(handshake_context_new(&engine->identity, engine->clock, &engine->tls, why));
    return keys_open(engine->store, &engine->keys, why);
}

static enum result memory_open(struct engine *engine, struct reason *why)
{
    GUARD(self_open(engine, why));
    GUARD(settings_load(engine->store, &engine->settings, why));
    GUARD(outbox_open(engine->store, engine->clock, &engine->outbox, why));
    GUARD(incarnation_load(engine, why));
    GUARD(memory_load(engine, why));
    GUARD(member_evictions_apply(engine, why));
    GUARD(incarnation_ask_all(engine, why));
    return revocations_open(engine, why);
}

static enum result engine_fill(struct engine *engine, const struct clock_source *system, struct reason *why)
{
    GUARD(carried_clock_open(&engine->time, engine->store, system, why));
    /* Tokens of before a restart are not taken for new ones. */
    engine->ferry.last_token = clock_wall_us(engine->clock);
    engine->scratch = arena_new(SCRATCH_LIMIT);
    if (engine->scratch == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the authority");
    }
    GUARD(random_bytes(engine->start, sizeof(engine->start)));
    GUARD(evictions_open(engine->store, &engine->evictions, why));
    GUARD(store_begin(engine->store, why));
    enum result result = memory_open(engine, why);
    if (result != RESULT_OK) {
        store_rollback(engine->store);
        return result;
    }
    return store_commit(engine->store, why);
}

enum result authority_engine_open(const struct engine_setup *setup, struct engine **out, struct reason *why)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the authority");
    }
    TAILQ_INIT(&engine->peers.pending);
    admission_init(&engine->admission);
    notices_init(&engine->notices);
    engine->store = setup->store;
    engine->clock = &engine->time.source;
    engine->events = setup->events;
    engine->evictions = -1;
    enum result result = engine_fill(engine, setup->clock, why);
    if (result != RESULT_OK) {
        engine_close(engine);
        return result;
    }
    *out = engine;
    return RESULT_OK;
}

/* ---- requests of every socket ---- */

static enum result hello_take(struct engine *engine, const Groupseal__Secenv__Hello *hello,
                              struct arena *arena, Groupseal__Secenv__Reply *reply, struct reason *why)
{
    Groupseal__Secenv__Welcome *welcome = arena_alloc(arena, sizeof(*welcome));
    char **identities = arena_alloc(arena, sizeof(*identities));
    if (hello->version != PROTOCOL_VERSION) {
        return result_fail(why, RESULT_INVALID, "version %u is not spoken here, but %u", hello->version,
                           PROTOCOL_VERSION);
    }
    if (welcome == NULL || identities == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__welcome__init(welcome);
    identities[0] = engine->identity.name;
    welcome->profile = arena_text(arena, "authority");
    welcome->identities = identities;
    welcome->n_identities = 1;
    welcome->authority = engine->identity.name;
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply->welcome = welcome;
    return welcome->profile != NULL ? RESULT_OK : RESULT_INTERNAL;
}

static enum result status_take(struct engine *engine, struct arena *arena, Groupseal__Secenv__Reply *reply,
                               struct reason *why)
{
    Groupseal__Secenv__StatusReply *status = arena_alloc(arena, sizeof(*status));
    Groupseal__Secenv__IdentityStatus *identity = arena_alloc(arena, sizeof(*identity));
    Groupseal__Secenv__IdentityStatus **identities = arena_alloc(arena, sizeof(*identities));
    if (status == NULL || identity == NULL || identities == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__status_reply__init(status);
    groupseal__secenv__identity_status__init(identity);
    GUARD(group_statuses(engine, arena, &identity->groups, &identity->n_groups, why));
    GUARD(limits_status(&engine->limits, arena, &identity->limits, &identity->n_limits));
    identity->identity = engine->identity.name;
    identity->mode = arena_text(arena, "cert");
    identity->mechanism = arena_text(arena, MECHANISM_WRAP);
    identities[0] = identity;
    status->identities = identities;
    status->n_identities = 1;
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS;
    reply->status = status;
    return identity->mode != NULL && identity->mechanism != NULL ? RESULT_OK : RESULT_INTERNAL;
}

/* ---- owner ---- */

static void owner_log(struct engine *engine, const char *text)
{
    char end[MODERATION_END_SIZE];
    if (moderation_take(&engine->notices.refusals, "", "its owner", clock_monotonic_us(engine->clock), end)) {
        log_line(LOG_LEVEL_WARNING, "%s%s", text, end);
    }
}

static enum result owner_rate_check(struct engine *engine, struct reason *why)
{
    struct limit *rule = limits_for(&engine->limits, "");
    if (bucket_take(&rule->bucket, limit_rate(rule), clock_monotonic_us(engine->clock))) {
        return RESULT_OK;
    }
    enum result result =
        result_fail(why, RESULT_TOO_OFTEN,
                    "more objects than its owner may hand in: %u a second (secenv limit)", rule->rate);
    audit_count(AUDIT_OWNER_TOO_OFTEN);
    owner_log(engine, why->text);
    return result;
}

static enum result online_take(struct engine *engine, const Groupseal__Secenv__Online *online)
{
    const struct bucket_rate rate = {ONLINES_INTERVAL_US, ONLINES_BURST};
    engine->online = online->online;
    ferry_lost(engine);
    /* Too often: the back-off of each item goes on by itself. */
    if (engine->online && bucket_take(&engine->onlines, rate, clock_monotonic_us(engine->clock))) {
        outbox_kick(engine->outbox, engine->identity.name, NULL);
    }
    return engine->online ? farewells_send(engine) : RESULT_OK;
}

static enum result owner_identity_check(const struct engine *engine, const char *identity, struct reason *why)
{
    return strcmp(identity, engine->identity.name) == 0
               ? RESULT_OK
               : result_fail(why, RESULT_UNKNOWN, "%.128s is not an identity of this secure environment",
                             identity);
}

static enum result owner_request(struct engine *engine, const Groupseal__Secenv__ToSecenv *request,
                                 struct arena *arena, Groupseal__Secenv__Reply *reply, struct reason *why)
{
    switch (request->request_case) {
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE:
        GUARD(owner_identity_check(engine, request->online->identity, why));
        return online_take(engine, request->online);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED:
        GUARD(owner_identity_check(engine, request->received->identity, why));
        GUARD(owner_rate_check(engine, why));
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER;
        return ferry_received(engine, request->received, arena, &reply->answer, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED:
        GUARD(owner_identity_check(engine, request->answered->identity, why));
        return ferry_answered(engine, request->answered, arena, why);
    default:
        return result_fail(why, RESULT_REFUSED, "not a request of an authority's owner");
    }
}

/* ---- operator ---- */

/* Who was evicted by a request before it in the batch does not read the order. The change is undone with the
 * request, if that fails. */
static enum result order_changes(struct engine *engine, const Groupseal__Secenv__OrderSend *request,
                                 struct reason *why)
{
    struct group *group = groups_find(&engine->groups, request->group);
    return group != NULL ? group_change_due(engine, group, &engine->changed, why) : RESULT_OK;
}

static enum result operator_request(struct engine *engine, const struct engine_caller *caller,
                                    const Groupseal__Secenv__ToSecenv *request, struct arena *arena,
                                    Groupseal__Secenv__Reply *reply, struct reason *why)
{
    switch (request->request_case) {
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_ADD:
        return member_add(engine, request->member_add, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT:
        return member_evict(engine, request->member_evict, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_LIST:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_MEMBERS;
        return member_list(engine, request->member_list, arena, &reply->members, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_REAUTHENTICATE:
        return member_reauthenticate(engine, request->member_reauthenticate, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_MOVE:
        return member_move(engine, request->member_move, arena, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_CREATE:
        return group_create(engine, request->group_create, arena, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_GROUPS;
        return group_list(engine, arena, &reply->groups, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SHOW:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_GROUP;
        return group_show(engine, request->group_show, arena, &reply->group, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_CONFIRM:
        return incarnation_confirm(engine, request->member_confirm, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_RELEASE:
        return incarnation_release_asked(engine, request->group_release, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_ROTATE:
        return group_rotate(engine, request->group_rotate, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SET:
        return group_set(engine, request->group_set, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_DELETE:
        return group_delete(engine, request->group_delete, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_SETTINGS:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_SETTINGS;
        return settings_change(engine, request->settings, arena, &reply->settings, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_CLOCK:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_CLOCK;
        return carried_clock_request(engine, request->clock, arena, &reply->clock, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SET:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_REVOCATIONS;
        return revocation_set(engine, request->revocation_set, arena, &reply->revocations, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SHOW:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_REVOCATIONS;
        return revocation_show(engine, arena, &reply->revocations, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ORDER;
        GUARD(order_changes(engine, request->order_send, why));
        return order_send(engine, request->order_send, caller->connection, arena, &reply->order, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SHOW:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_REPORT;
        return order_show(engine, request->order_show, arena, &reply->report, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_LIST:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ORDERS;
        return order_list(engine, arena, &reply->orders, why);
    default:
        return result_fail(why, RESULT_REFUSED, "not a request of an operator");
    }
}

/* ---- the engine ---- */

static enum result engine_dispatch(struct engine *engine, const struct engine_caller *caller,
                                   const Groupseal__Secenv__ToSecenv *request, struct arena *arena,
                                   Groupseal__Secenv__Reply *reply, struct reason *why)
{
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO) {
        return hello_take(engine, request->hello, arena, reply, why);
    }
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS) {
        return status_take(engine, arena, reply, why);
    }
    if (caller->socket == SOCKET_OWNER) {
        return owner_request(engine, request, arena, reply, why);
    }
    if (caller->socket == SOCKET_OPERATOR) {
        return operator_request(engine, caller, request, arena, reply, why);
    }
    return result_fail(why, RESULT_REFUSED, "not a request of an observer");
}

static enum result engine_request(struct engine *engine, const struct engine_caller *caller,
                                  const Groupseal__Secenv__ToSecenv *request, struct arena *arena,
                                  Groupseal__Secenv__Reply *reply, struct reason *why)
{
    GUARD(memory_refresh(engine, why));
    size_t farewells = engine->farewells.count;
    engine->changed = false;
    enum result result = engine_dispatch(engine, caller, request, arena, reply, why);
    if (result != RESULT_OK) {
        farewells_cut(&engine->farewells, farewells);
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT__NOT_SET;
    }
    engine->stale = authority_own_fault(result) || (engine->changed && result != RESULT_OK);
    return result;
}

static enum result turn_steps(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why)
{
    *next = UINT64_MAX;
    GUARD(carried_clock_turn(engine, next, why));
    GUARD(incarnation_turn(engine, why));
    GUARD(admission_turn(engine, next, why));
    GUARD(refresh_turn(engine, next, why));
    GUARD(revocation_turn(engine, next, why));
    GUARD(changes_turn(engine, next, why));
    GUARD(arrears_turn(engine, next, why));
    GUARD(orders_turn(engine, next, why));
    GUARD(report_page_turn(engine, next, why));
    return ferry_turn(engine, arena, next, why);
}

/* A turn that fails is undone in the store, whatever its result. */
static enum result engine_turn(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why)
{
    GUARD(memory_refresh(engine, why));
    size_t farewells = engine->farewells.count;
    enum result result = turn_steps(engine, arena, next, why);
    arena_reset(engine->scratch);
    if (result != RESULT_OK) {
        farewells_cut(&engine->farewells, farewells);
    }
    engine->stale = result != RESULT_OK;
    return result;
}

static void engine_disconnected(struct engine *engine, const struct engine_caller *caller)
{
    if (caller->socket == SOCKET_OWNER) {
        engine->online = false;
    } else {
        watches_forget(&engine->watches, caller->connection);
    }
}

const struct engine_operations authority_operations = {
    .request = engine_request,
    .turn = engine_turn,
    .disconnected = engine_disconnected,
    .close = engine_close,
};
