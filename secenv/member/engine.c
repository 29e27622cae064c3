/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/member/ack.h"
#include "secenv/member/clearing.h"
#include "secenv/member/command.h"
#include "secenv/member/command_table.h"
#include "secenv/member/commanding.h"
#include "secenv/member/event.h"
#include "secenv/member/news.h"
#include "secenv/member/record.h"
#include "secenv/member/relay.h"
#include "secenv/member/replay.h"
#include "secenv/member/speaking.h"
#include "secenv/member/status.h"
#include "secenv/revocation.h"

const char *const member_schemas[] = {
    identity_schema,      limit_schema,          association_schema, outbox_schema,
    counter_schema,       member_key_schema,     membership_schema,  replay_schema,
    command_schema,       relay_schema,          roster_schema,      dispatch_schema,
    command_clock_schema, authentication_schema, clearing_schema,    revocation_schema,
};
const size_t member_schema_count = sizeof(member_schemas) / sizeof(member_schemas[0]);

typedef Groupseal__Secenv__ToSecenv ToSecenv;
typedef Groupseal__Secenv__Reply Reply;

#define HELLO_VERSION 1u
#define OUTBOX_PUT_OFF_US 10000000u

/* ---- identities ---- */

static int identity_name_compare(const void *name, const void *identity)
{
    return strcmp(name, (*(struct identity_state *const *)identity)->identity.name);
}

struct identity_state *engine_identity(const struct engine *engine, const char *name)
{
    struct identity_state **found = engine->identity_count == 0
                                        ? NULL
                                        : bsearch(name, engine->identities, engine->identity_count,
                                                  sizeof(struct identity_state *), identity_name_compare);
    return found == NULL ? NULL : *found;
}

uint64_t engine_draw(uint64_t bound)
{
    uint64_t drawn = 0;
    if (bound == 0 || random_bytes((uint8_t *)&drawn, sizeof(drawn)) != RESULT_OK) {
        return 0;
    }
    return drawn % bound;
}

static enum result identity_wanted(const struct engine *engine, const char *name, struct identity_state **out,
                                   struct reason *why)
{
    *out = engine_identity(engine, name);
    if (*out == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no identity %.128s in this store", name);
    }
    return (*out)->stale ? identity_state_reload(*out, why) : RESULT_OK;
}

static enum result membership_wanted(struct identity_state *identity, const char *group,
                                     struct membership **out, struct reason *why)
{
    *out = membership_find(identity, group);
    return *out == NULL
               ? result_fail(why, RESULT_UNKNOWN, "%s is not in group %.64s", identity->identity.name, group)
               : RESULT_OK;
}

/* ---- requests ---- */

static enum result hello_request(const struct engine *engine, const Groupseal__Secenv__Hello *hello,
                                 struct arena *arena, Reply *reply, struct reason *why)
{
    if (hello->version != HELLO_VERSION) {
        return result_fail(why, RESULT_INVALID, "version %u of the socket's protocol: this secenv speaks %u",
                           hello->version, HELLO_VERSION);
    }
    return status_welcome(engine, arena, reply);
}

static enum result received_request(struct identity_state *identity,
                                    const Groupseal__Secenv__Received *received, struct arena *arena,
                                    Reply *reply, struct reason *why)
{
    struct bytes answer = {NULL, 0};
    enum result result = record_received(identity, received, arena, &answer, why);
    Groupseal__Secenv__Answer *content = arena_alloc(arena, sizeof(*content));
    if (content == NULL) {
        return result == RESULT_OK ? RESULT_INTERNAL : result;
    }
    groupseal__secenv__answer__init(content);
    content->object = arena_field(answer);
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER;
    reply->answer = content;
    return result;
}

static enum result topic_refused(struct reason *why, enum result code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum result topic_refused(struct reason *why, enum result code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    audit_count(AUDIT_TOPICS_REFUSED);
    return code;
}

/* The MN-CSE publishes commands and news itself: the broker gives it nothing new on those topics. */
static enum result relay_heard(struct membership *membership, const Groupseal__Secenv__Heard *heard,
                               struct arena *arena, struct reason *why)
{
    if (strcmp(heard->site, membership->relay->site) != 0) {
        return topic_refused(why, RESULT_REFUSED, "site %.64s is not that of %s", heard->site,
                             membership->identity->identity.name);
    }
    switch (heard->kind) {
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK:
        return ack_hear(membership, heard->sender, arena_view(heard->payload), arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE:
        return speaking_hear(membership, membership->relay->site, heard->sender, arena_view(heard->payload),
                             arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE:
        return topic_refused(why, RESULT_INVALID, "heard on no known topic");
    default:
        return RESULT_OK;
    }
}

static enum result member_heard(struct membership *membership, const Groupseal__Secenv__Heard *heard,
                                struct arena *arena, struct reason *why)
{
    const struct site_sync *site = membership_site(membership, heard->site);
    struct bytes payload = arena_view(heard->payload);
    if (site == NULL) {
        return topic_refused(why, RESULT_REFUSED, "site %.64s does not relay %s", heard->site,
                             membership->group);
    }
    switch (heard->kind) {
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND:
        return command_hear(membership, site->site, heard->retained, payload, arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE:
        return speaking_hear(membership, site->site, heard->sender, payload, arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH:
        return news_hear_announcement(membership, payload, arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE:
        return news_hear_block(membership, payload, arena, why);
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY:
        return news_hear_policy(membership, payload, arena, why);
    default:
        return topic_refused(why, RESULT_INVALID, "heard on a topic that is not for a member");
    }
}

static enum result group_heard(struct identity_state *identity, const Groupseal__Secenv__Heard *heard,
                               struct arena *arena, struct reason *why)
{
    struct membership *membership = membership_find(identity, heard->group);
    if (membership == NULL) {
        return topic_refused(why, RESULT_UNKNOWN, "%s is not in group %.64s", identity->identity.name,
                             heard->group);
    }
    return membership->relay != NULL ? relay_heard(membership, heard, arena, why)
                                     : member_heard(membership, heard, arena, why);
}

/* Who is to blame for what is refused: the client that may write on the topic, else the site. */
static enum result heard_request(struct identity_state *identity, const Groupseal__Secenv__Heard *heard,
                                 struct arena *arena, struct reason *why)
{
    enum result result = group_heard(identity, heard, arena, why);
    if (result == RESULT_OK) {
        identity_state_touch(identity);
    } else {
        log_refused(identity, LOG_LEVEL_INFO, heard->sender[0] != '\0' ? heard->sender : heard->site,
                    why->text);
    }
    return result;
}

static enum result speak_request(struct identity_state *identity, const Groupseal__Secenv__Speak *speak,
                                 struct arena *arena, Reply *reply, struct reason *why)
{
    struct membership *membership = NULL;
    const char *site = NULL;
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    GUARD(membership_wanted(identity, speak->group, &membership, why));
    GUARD(speaking_seal(membership, arena_view(speak->body), &site, &payload, why));
    Groupseal__Secenv__Spoken *spoken = arena_alloc(arena, sizeof(*spoken));
    uint8_t *copy = arena_copy(arena, buffer_bytes(&payload));
    size_t length = payload.length;
    buffer_clear(&payload);
    if (spoken == NULL || copy == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no room for a member message");
    }
    groupseal__secenv__spoken__init(spoken);
    spoken->site = (char *)site;
    spoken->payload = arena_field((struct bytes){copy, length});
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_SPOKEN;
    reply->spoken = spoken;
    return RESULT_OK;
}

static enum result finished_request(struct identity_state *identity,
                                    const Groupseal__Secenv__Finished *finished, struct reason *why)
{
    struct membership *membership = NULL;
    GUARD(membership_wanted(identity, finished->group, &membership, why));
    if (finished->command_id.len != COMMAND_ID_SIZE || strlen(finished->detail) > DETAIL_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a command id of %zu bytes or a detail of %zu bytes",
                           finished->command_id.len, strlen(finished->detail));
    }
    return command_finished(membership, finished->command_id.data, finished->done, finished->detail, why);
}

static enum result command_request(struct identity_state *identity, const Groupseal__Secenv__Command *command,
                                   struct arena *arena, Reply *reply, struct reason *why)
{
    struct membership *membership = NULL;
    Groupseal__Secenv__OrderSent *sent = arena_alloc(arena, sizeof(*sent));
    uint8_t *id = arena_alloc(arena, COMMAND_ID_SIZE);
    if (sent == NULL || id == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no room for a command");
    }
    GUARD(membership_wanted(identity, command->group, &membership, why));
    GUARD(commanding_order(membership, command, id, why));
    groupseal__secenv__order_sent__init(sent);
    sent->command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ORDER;
    reply->order = sent;
    return RESULT_OK;
}

static enum result command_show_request(struct identity_state *identity,
                                        const Groupseal__Secenv__CommandShow *show, struct arena *arena,
                                        Reply *reply, struct reason *why)
{
    struct membership *membership = NULL;
    GUARD(membership_wanted(identity, show->group, &membership, why));
    GUARD(commanding_show(membership, arena_view(show->command_id), show->page, arena, &reply->report, why));
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_REPORT;
    return RESULT_OK;
}

static const char *request_identity(const ToSecenv *request)
{
    switch (request->request_case) {
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE:
        return request->online->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED:
        return request->received->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED:
        return request->answered->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_AUTHENTICATE:
        return request->authenticate->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD:
        return request->heard->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK:
        return request->speak->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_FINISHED:
        return request->finished->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND:
        return request->command->identity;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND_SHOW:
        return request->command_show->identity;
    default:
        return NULL;
    }
}

static enum result owner_request(struct identity_state *identity, const struct engine_caller *caller,
                                 const ToSecenv *request, struct arena *arena, Reply *reply,
                                 struct reason *why)
{
    switch (request->request_case) {
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE:
        GUARD(identity_state_owned(identity, caller->connection, why));
        return identity_state_online(identity, request->online->online, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED:
        return received_request(identity, request->received, arena, reply, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED:
        return record_answered(identity, request->answered->token, arena_view(request->answered->object),
                               request->answered->failure, arena, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_AUTHENTICATE:
        return identity_state_authenticate(identity, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD:
        return heard_request(identity, request->heard, arena, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK:
        return speak_request(identity, request->speak, arena, reply, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND:
        return command_request(identity, request->command, arena, reply, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND_SHOW:
        return command_show_request(identity, request->command_show, arena, reply, why);
    default:
        return finished_request(identity, request->finished, why);
    }
}

/* Memory may be ahead of what is rolled back. A group's message that is refused for want of room has changed
 * nothing: whoever sends many must not have everything read again each time. */
static bool memory_is_doubtful(const ToSecenv *request, enum result result)
{
    bool heard = request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    return result == RESULT_STORE || result == RESULT_INTERNAL || (result == RESULT_FULL && !heard);
}

static enum result member_request(struct engine *engine, const struct engine_caller *caller,
                                  const ToSecenv *request, struct arena *arena, Reply *reply,
                                  struct reason *why)
{
    struct identity_state *identity = NULL;
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO) {
        return hello_request(engine, request->hello, arena, reply, why);
    }
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS) {
        return status_reply(engine, arena, reply);
    }
    const char *name = caller->socket == SOCKET_OWNER ? request_identity(request) : NULL;
    if (name == NULL) {
        return result_fail(why, RESULT_INVALID, "a request that a member's secenv does not take here");
    }
    GUARD(identity_wanted(engine, name, &identity, why));
    enum result result = owner_request(identity, caller, request, arena, reply, why);
    if (memory_is_doubtful(request, result)) {
        identity->stale = true;
        identity_state_touch(identity);
    }
    return result;
}

/* ---- turn ---- */

/* Each that is due, once. */
static enum result identities_turn(struct engine *engine, struct reason *why)
{
    struct agenda *agenda = &engine->agenda;
    enum result result = RESULT_OK;
    size_t count = agenda_take(agenda, engine_now_us(engine));
    for (size_t i = 0; i < count; i++) {
        if (result == RESULT_OK) {
            result = identity_state_turn(agenda->taken[i], why);
        }
        if (result != RESULT_OK) {
            agenda_move(agenda, agenda->taken[i], 0);
        }
        agenda_put(agenda, agenda->taken[i]);
    }
    return result;
}

static enum result outbox_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    why->text[0] = '\0';
    enum result result = outbox_run(engine->outbox, record_outbox_send, engine, engine->scratch, why);
    arena_reset(engine->scratch);
    if (result == RESULT_STORE || result == RESULT_INTERNAL) {
        return result;
    }
    *next = outbox_next(engine->outbox);
    if (result != RESULT_OK) { /* of one item */
        log_line(LOG_LEVEL_WARNING, "outbox: %s; it is tried again",
                 why->text[0] == '\0' ? result_word(result) : why->text);
        *next = engine_now_us(engine) + OUTBOX_PUT_OFF_US;
    }
    return RESULT_OK;
}

static enum result member_turn(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why)
{
    (void)arena;
    GUARD(identities_turn(engine, why));
    GUARD(outbox_turn(engine, next, why));
    uint64_t identity = agenda_next(&engine->agenda);
    *next = identity < *next ? identity : *next;
    return RESULT_OK;
}

/* What it means for the identities is done in this batch's turn: it needs the store. */
static void member_disconnected(struct engine *engine, const struct engine_caller *caller)
{
    for (size_t i = 0; i < engine->identity_count; i++) {
        identity_state_disconnected(engine->identities[i], caller->connection);
    }
}

/* ---- open, close ---- */

static void member_close(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    for (size_t i = 0; i < engine->identity_count; i++) {
        identity_state_free(engine->identities[i]);
    }
    free(engine->identities);
    agenda_close(&engine->agenda);
    outbox_close(engine->outbox);
    arena_free(engine->scratch);
    free(engine);
}

struct identity_loading {
    struct engine *engine;
    struct reason *why;
};

static enum result identity_take(void *context, struct identity *identity)
{
    struct identity_loading *loading = context;
    struct engine *engine = loading->engine;
    struct identity_state **larger =
        realloc(engine->identities, (engine->identity_count + 1) * sizeof(struct identity_state *));
    if (larger == NULL) {
        return result_fail(loading->why, RESULT_INTERNAL, "no memory for identities");
    }
    engine->identities = larger;
    if (identity->kind == IDENTITY_IN_CSE) {
        return result_fail(loading->why, RESULT_INVALID, "%s is an IN-CSE: not an identity of a member",
                           identity->name);
    }
    GUARD(identity_state_open(engine, identity, &engine->identities[engine->identity_count], loading->why));
    engine->identity_count++;
    return RESULT_OK;
}

static int identity_compare(const void *a, const void *b)
{
    const struct identity_state *const *left = a;
    const struct identity_state *const *right = b;
    return strcmp((*left)->identity.name, (*right)->identity.name);
}

static enum result association_take(void *context, const struct association *association)
{
    struct identity_state *identity = engine_identity(context, association->member);
    if (identity != NULL && strcmp(association->authority, identity->identity.authority) == 0) {
        identity->association = *association;
        identity->associated = true;
    }
    return RESULT_OK;
}

static enum result engine_load(struct engine *engine, struct reason *why)
{
    struct store *store = engine->setup.store;
    struct identity_loading loading = {engine, why};
    GUARD(outbox_open(store, engine->setup.clock, &engine->outbox, why));
    GUARD(command_clock_open(&engine->command_clock, store, engine->setup.clock, why));
    GUARD(identity_load(store, identity_take, &loading, why));
    if (engine->identity_count > 1) {
        qsort(engine->identities, engine->identity_count, sizeof(struct identity_state *), identity_compare);
    }
    GUARD(association_load(store, ASSOCIATION_MEMBER, association_take, engine, why));
    return agenda_open(&engine->agenda, engine->identities, engine->identity_count);
}

enum result member_engine_open(const struct engine_setup *setup, struct engine **out, struct reason *why)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the engine");
    }
    engine->setup = *setup;
    engine->scratch = arena_new(MEMBER_ARENA_LIMIT);
    engine->next_token = clock_wall_us(setup->clock); /* answers of a former life match nothing */
    engine->started_ms = clock_wall_ms(setup->clock);
    enum result result = engine->scratch == NULL ? RESULT_INTERNAL : store_begin(setup->store, why);
    if (result == RESULT_OK) {
        result = engine_load(engine, why);
        if (result == RESULT_OK) {
            result = store_commit(setup->store, why);
        } else {
            store_rollback(setup->store);
        }
    }
    if (result != RESULT_OK) {
        member_close(engine);
        return result;
    }
    *out = engine;
    return RESULT_OK;
}

const struct engine_operations member_operations = {
    .request = member_request,
    .turn = member_turn,
    .disconnected = member_disconnected,
    .close = member_close,
};
