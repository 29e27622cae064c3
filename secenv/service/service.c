/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/service.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/moderation.h"
#include "secenv/service/connection.h"
#include "secenv/service/outgoing.h"

#define ARENA_LIMIT ((size_t)4 * 1024 * 1024)
#define BATCH_REQUESTS 256u
#define LISTENERS 3u
#define SLOTS (1u + 2u * CONNECTIONS_LIMIT)
#define PAUSE_MS 20 /* without a request: the store has time for its checkpoint */

struct service {
    struct store *store;
    enum store_profile profile;
    const struct clock_source *clock;
    const struct engine_operations *operations;
    struct engine *engine;
    struct arena *arena;
    struct listener listeners[LISTENERS]; /* by socket kind - 1 */
    struct connection *connections[SLOTS];
    uint64_t last_connection;
    size_t first; /* who is read first in the next batch */
    struct outgoing outgoing;
    struct moderation warnings;
    uint64_t next_turn; /* monotonic microseconds */
    int stop_fd;
    bool embedded;
    bool stopping;
    uint8_t packet[PACKET_LIMIT + 1];
};

/* ---- connections ---- */

static struct connection *connection_find(const struct service *service, uint64_t id)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct connection *connection = service->connections[i];
        bool owner = connection != NULL && connection->state.socket == SOCKET_OWNER;
        if (connection != NULL && !connection->ended && (id == 0 ? owner : connection->id == id)) {
            return connection;
        }
    }
    return NULL;
}

static const char *socket_word(enum socket_kind socket)
{
    return socket == SOCKET_OWNER ? "owner" : socket == SOCKET_OPERATOR ? "operator" : "audit";
}

/* In moderation: whoever may connect may do so again and again. */
static void service_warn(struct service *service, enum log_level level, const char *originator,
                         const char *text)
{
    char end[MODERATION_END_SIZE] = "";
    if (level < LOG_LEVEL_WARNING ||
        moderation_take(&service->warnings, "", originator, clock_monotonic_us(service->clock), end)) {
        log_line(level, "%s%s", text, end);
    }
}

/* Nothing more is read from it; it is closed after the batch. */
static void connection_end(struct service *service, struct connection *connection, enum log_level level,
                           const char *why)
{
    char text[320];
    const char *socket = socket_word(connection->state.socket);
    (void)snprintf(text, sizeof(text), "connection %llu (%s) ends: %s", (unsigned long long)connection->id,
                   socket, why);
    service_warn(service, level, socket, text);
    connection->ended = true;
}

/* RESULT_FULL where its kind has all its places. */
static enum result connection_add(struct service *service, int fd, enum socket_kind socket)
{
    size_t limit = socket == SOCKET_OWNER ? 1 : CONNECTIONS_LIMIT;
    size_t place = SLOTS;
    size_t used = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        if (service->connections[i] == NULL) {
            place = i;
        } else if (service->connections[i]->state.socket == socket) {
            used++;
        }
    }
    if (place == SLOTS || used >= limit) {
        (void)close(fd);
        return RESULT_FULL;
    }
    struct connection *connection = connection_new(fd, socket, ++service->last_connection);
    if (connection == NULL) {
        return RESULT_INTERNAL;
    }
    service->connections[place] = connection;
    log_line(LOG_LEVEL_DEBUG, "connection %llu (%s) begins", (unsigned long long)connection->id,
             socket_word(socket));
    return RESULT_OK;
}

/* A new owner must not wait for what a dead one has left unread. */
static void dead_owner_end(struct service *service)
{
    struct connection *owner = connection_find(service, 0);
    if (owner == NULL) {
        return;
    }
    struct pollfd probe = {owner->fd, 0, 0};
    if (poll(&probe, 1, 0) == 1 && (probe.revents & (POLLHUP | POLLERR)) != 0) {
        connection_end(service, owner, LOG_LEVEL_INFO, "the client is gone");
    }
}

static void listener_serve(struct service *service, const struct listener *listener)
{
    int fd = -1;
    struct reason why;
    enum result result;
    while ((result = listener_accept(listener, &fd, &why)) != RESULT_NOT_READY) {
        if (result != RESULT_OK) {
            audit_count(AUDIT_REQUESTS_REFUSED);
            service_warn(service, LOG_LEVEL_WARNING, listener->path, why.text);
        } else if (connection_add(service, fd, listener->socket) != RESULT_OK) {
            char text[320];
            (void)snprintf(text, sizeof(text), "%s: refused, %s", listener->path,
                           listener->socket == SOCKET_OWNER ? "there is an owner already"
                                                            : "too many connections");
            service_warn(service, LOG_LEVEL_WARNING, listener->path, text);
        }
    }
}

/* ---- events and replies ---- */

static enum result events_emit(void *context, uint64_t connection, const Groupseal__Secenv__Event *event)
{
    struct service *service = context;
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT;
    message.event = (Groupseal__Secenv__Event *)(uintptr_t)event; /* protobuf-c has no const */
    if (connection_find(service, connection) == NULL) {
        return RESULT_OK; /* nobody to tell */
    }
    return outgoing_add(&service->outgoing, connection, &message);
}

static enum result events_emit_early(void *context, uint64_t connection,
                                     const Groupseal__Secenv__Event *event)
{
    struct service *service = context;
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    if (outgoing_mark(&service->outgoing) != 0 || store_held(service->store) ||
        connection_find(service, connection) == NULL) {
        return events_emit(context, connection, event);
    }
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT;
    message.event = (Groupseal__Secenv__Event *)(uintptr_t)event;
    return outgoing_add_early(&service->outgoing, connection, &message);
}

static enum result counters_fill(Groupseal__Secenv__Reply *reply, struct arena *arena)
{
    Groupseal__Secenv__StatusReply *status = reply->status; /* the engine's: identities */
    status->counters = arena_alloc(arena, AUDIT_COUNT * sizeof(Groupseal__Secenv__Counter *));
    Groupseal__Secenv__Counter *counters = arena_alloc(arena, AUDIT_COUNT * sizeof(*counters));
    if (status->counters == NULL || counters == NULL) {
        return RESULT_FULL;
    }
    for (unsigned i = 0; i < AUDIT_COUNT; i++) {
        groupseal__secenv__counter__init(&counters[i]);
        counters[i].name = arena_text(arena, audit_name((enum audit_counter)i));
        counters[i].value = audit_value((enum audit_counter)i);
        status->counters[i] = &counters[i];
        if (counters[i].name == NULL) {
            return RESULT_FULL;
        }
    }
    status->n_counters = AUDIT_COUNT;
    return RESULT_OK;
}

static enum result engine_answer(struct service *service, const struct connection *connection,
                                 const Groupseal__Secenv__ToSecenv *request, Groupseal__Secenv__Reply *reply,
                                 struct reason *why)
{
    bool hello = request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    if (hello && request->hello->version != HELLO_VERSION) {
        return result_fail(why, RESULT_INVALID, "this secenv speaks version %u", HELLO_VERSION);
    }
    struct engine_caller caller = {connection->state.socket, connection->id};
    GUARD(service->operations->request(service->engine, &caller, request, service->arena, reply, why));
    if (reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_STATUS) {
        GUARD(counters_fill(reply, service->arena));
    }
    return RESULT_OK;
}

/* The reply without content: a failure, or a success that was too long to be told. */
static enum result reply_failure(struct service *service, const struct connection *connection, uint64_t id,
                                 enum result code, const struct reason *why)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    reply.id = id;
    reply.code = (Groupseal__Secenv__Code)code;
    reply.reason = (char *)(uintptr_t)(why->text[0] == '\0' ? result_word(code) : why->text);
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = &reply;
    return outgoing_add(&service->outgoing, connection->id, &message);
}

/* The reply goes before the events of its request. */
static enum result reply_success(struct service *service, const struct connection *connection,
                                 Groupseal__Secenv__Reply *reply, size_t mark)
{
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = reply;
    return outgoing_insert(&service->outgoing, mark, connection->id, &message);
}

/* ---- delivery ---- */

static void packet_deliver(struct service *service, uint64_t id, struct packet *packet)
{
    struct connection *connection = connection_find(service, id);
    if (connection == NULL) {
        packet_free(packet);
    } else if (connection_queue(connection, packet) != RESULT_OK) {
        connection_end(service, connection, LOG_LEVEL_WARNING, "it does not take what is sent to it");
    }
}

/* What need not wait for the disk. */
static void early_deliver(struct service *service)
{
    uint64_t id = 0;
    struct packet *packet = outgoing_take_early(&service->outgoing, &id);
    if (packet == NULL) {
        return;
    }
    packet_deliver(service, id, packet);
    struct connection *connection = connection_find(service, id);
    if (connection != NULL && connection_flush(connection) != RESULT_OK) {
        connection_end(service, connection, LOG_LEVEL_DEBUG, "the client is gone");
    }
}

/* ---- one request ---- */

/* An error is one of the store or of memory: the batch is lost. */
static enum result request_run(struct service *service, struct connection *connection,
                               const Groupseal__Secenv__ToSecenv *request, struct reason *fatal)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    struct reason why = {""};
    size_t mark = outgoing_mark(&service->outgoing);
    reply.id = request->id;
    connection->state.last_id = request->id;
    GUARD(store_savepoint(service->store, fatal));
    enum result result = engine_answer(service, connection, request, &reply, &why);
    if (result != RESULT_OK) {
        store_rollback_to_savepoint(service->store);
        outgoing_drop(&service->outgoing, mark);
        return reply_failure(service, connection, request->id, result, &why);
    }
    GUARD(store_release(service->store, fatal));
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO) {
        connection->state.greeted = true;
    }
    early_deliver(service);
    result = reply_success(service, connection, &reply, mark);
    if (result == RESULT_INVALID) {
        (void)!result_fail(&why, RESULT_INTERNAL, "done, but the reply is longer than a packet");
        return reply_failure(service, connection, request->id, RESULT_INTERNAL, &why);
    }
    return result;
}

static enum result packet_serve(struct service *service, struct connection *connection, struct bytes packet,
                                struct reason *fatal)
{
    Groupseal__Secenv__ToSecenv *request = NULL;
    struct reason why = {""};
    enum result result = dispatch_parse(packet, service->arena, &request, &why);
    if (result == RESULT_OK) {
        result = dispatch_check(&connection->state, service->profile, request, &why);
    }
    if (result == RESULT_OK) {
        result = request_run(service, connection, request, fatal);
    } else {
        audit_count(AUDIT_REQUESTS_REFUSED);
        connection_end(service, connection, LOG_LEVEL_WARNING, why.text);
        result = RESULT_OK;
    }
    arena_reset(service->arena);
    return result;
}

/* ---- the batch ---- */

/* One packet from each readable connection in turn, until there are no more or the batch is full. */
static enum result requests_serve(struct service *service, struct reason *fatal)
{
    unsigned served = 0;
    bool more = true;
    service->first = (service->first + 1) % SLOTS;
    while (more && served < BATCH_REQUESTS) {
        more = false;
        for (size_t i = 0; i < SLOTS && served < BATCH_REQUESTS; i++) {
            struct connection *connection = service->connections[(service->first + i) % SLOTS];
            size_t length = 0;
            if (connection == NULL || connection->ended || !connection->readable) {
                continue;
            }
            enum received received = connection_receive(connection, service->packet, &length);
            if (received == RECEIVED_NOTHING) {
                connection->readable = false;
                continue;
            }
            if (received == RECEIVED_END) {
                connection_end(service, connection, LOG_LEVEL_DEBUG, "the client is gone");
                continue;
            }
            GUARD(packet_serve(service, connection, (struct bytes){service->packet, length}, fatal));
            more = true;
            served++;
        }
    }
    secret_wipe_bytes(service->packet, sizeof(service->packet));
    return RESULT_OK;
}

static void ended_forget(struct service *service)
{
    for (size_t i = 0; i < SLOTS; i++) {
        const struct connection *connection = service->connections[i];
        if (connection != NULL && connection->ended) {
            struct engine_caller caller = {connection->state.socket, connection->id};
            service->operations->disconnected(service->engine, &caller);
            service->stopping =
                service->stopping || (service->embedded && connection->state.socket == SOCKET_OWNER);
        }
    }
}

static void ended_close(struct service *service)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct connection *connection = service->connections[i];
        if (connection != NULL && connection->ended) {
            (void)!connection_flush(connection); /* what earlier batches left */
            connection_free(connection);
            service->connections[i] = NULL;
        }
    }
}

/*
 * A turn that fails ends the process, and with it the batch: an engine's memory would be ahead of what its
 * store has, and an eviction's new key could be lost that way. The next start reads what is on disk.
 */
static enum result engine_turn(struct service *service, struct reason *fatal)
{
    struct reason why = {""};
    uint64_t next = UINT64_MAX;
    enum result result = service->operations->turn(service->engine, service->arena, &next, &why);
    arena_reset(service->arena);
    if (result != RESULT_OK) {
        return result_fail(fatal, result, "what is due could not be done: %s",
                           why.text[0] == '\0' ? result_word(result) : why.text);
    }
    service->next_turn = next;
    return RESULT_OK;
}

static void batch_deliver(struct service *service)
{
    uint64_t id = 0;
    struct packet *packet = NULL;
    while ((packet = outgoing_take(&service->outgoing, &id)) != NULL) {
        packet_deliver(service, id, packet);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct connection *connection = service->connections[i];
        if (connection != NULL && !connection->ended && connection_flush(connection) != RESULT_OK) {
            connection_end(service, connection, LOG_LEVEL_DEBUG, "the client is gone");
        }
    }
}

static enum result batch_fill(struct service *service, struct reason *fatal)
{
    GUARD(requests_serve(service, fatal));
    ended_forget(service);
    return engine_turn(service, fatal);
}

static enum result batch_run(struct service *service, struct reason *fatal)
{
    fatal->text[0] = '\0';
    GUARD(store_begin(service->store, fatal));
    enum result result = batch_fill(service, fatal);
    bool dirty = store_dirty(service->store);
    if (result == RESULT_OK) {
        result = store_commit(service->store, fatal);
    }
    if (result != RESULT_OK) {
        store_rollback(service->store);
        outgoing_drop(&service->outgoing, 0);
        return result;
    }
    if (dirty) {
        audit_count(AUDIT_COMMITS);
    }
    ended_close(service);
    batch_deliver(service);
    return RESULT_OK;
}

/* ---- waiting ---- */

struct waiting {
    struct pollfd fds[LISTENERS + SLOTS + 1];
    const struct listener *listeners[LISTENERS + SLOTS + 1];
    struct connection *connections[LISTENERS + SLOTS + 1];
    nfds_t count;
};

static void waiting_add(struct waiting *waiting, int fd, short events, const struct listener *listener,
                        struct connection *connection)
{
    waiting->fds[waiting->count] = (struct pollfd){fd, events, 0};
    waiting->listeners[waiting->count] = listener;
    waiting->connections[waiting->count] = connection;
    waiting->count++;
}

static void waiting_fill(struct service *service, struct waiting *waiting)
{
    waiting->count = 0;
    waiting_add(waiting, service->stop_fd, POLLIN, NULL, NULL); /* poll ignores -1 */
    for (size_t i = 0; i < LISTENERS; i++) {
        waiting_add(waiting, service->listeners[i].fd, POLLIN, &service->listeners[i], NULL);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct connection *connection = service->connections[i];
        if (connection != NULL) {
            short in = connection->queued < QUEUE_HIGH_WATER ? POLLIN : 0;
            short out = connection->first == NULL ? 0 : POLLOUT;
            waiting_add(waiting, connection->fd, (short)(in | out), NULL, connection);
        }
    }
}

static int waiting_time(const struct service *service, int wait_ms)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (service->connections[i] != NULL && service->connections[i]->ended) {
            return 0;
        }
    }
    uint64_t now = clock_monotonic_us(service->clock);
    uint64_t left_ms = service->next_turn <= now ? 0 : (service->next_turn - now) / 1000u + 1;
    if (store_checkpoint_due(service->store) && left_ms > PAUSE_MS) {
        left_ms = PAUSE_MS;
    }
    return wait_ms >= 0 && left_ms > (uint64_t)wait_ms ? wait_ms : left_ms > 60000u ? 60000 : (int)left_ms;
}

/* Accepts, sends, and marks who is readable. True where a batch has something to do. */
static bool waiting_serve(struct service *service, const struct waiting *waiting)
{
    bool work = false;
    service->stopping = service->stopping || waiting->fds[0].revents != 0;
    for (nfds_t i = 0; i < waiting->count; i++) {
        struct connection *connection = waiting->connections[i];
        short events = waiting->fds[i].revents;
        if (connection != NULL && (events & POLLOUT) != 0 && connection_flush(connection) != RESULT_OK) {
            connection_end(service, connection, LOG_LEVEL_DEBUG, "the client is gone");
        }
        if (connection != NULL) {
            /* One that waits above the high water and is gone shows in POLLHUP. */
            connection->readable = (events & (POLLIN | POLLHUP | POLLERR)) != 0;
            work = work || connection->readable || connection->ended;
        }
    }
    return work;
}

static void waiting_accept(struct service *service, const struct waiting *waiting)
{
    for (nfds_t i = 0; i < waiting->count; i++) {
        if (waiting->listeners[i] == NULL || waiting->fds[i].revents == 0) {
            continue;
        }
        if (waiting->listeners[i]->socket == SOCKET_OWNER) {
            dead_owner_end(service);
            ended_forget(service);
            ended_close(service);
        }
        listener_serve(service, waiting->listeners[i]);
    }
}

enum result service_step(struct service *service, int wait_ms, struct reason *why)
{
    struct waiting waiting;
    waiting_fill(service, &waiting);
    int time_ms = waiting_time(service, wait_ms);
    int ready = poll(waiting.fds, waiting.count, time_ms);
    if (ready < 0 && errno != EINTR) {
        return result_fail(why, RESULT_INTERNAL, "poll: %s", strerror(errno));
    }
    bool work = waiting_serve(service, &waiting);
    if (work || service->next_turn <= clock_monotonic_us(service->clock)) {
        GUARD(batch_run(service, why));
    } else if (ready == 0 && time_ms >= PAUSE_MS && store_checkpoint_due(service->store)) {
        store_checkpoint(service->store);
    }
    waiting_accept(service, &waiting);
    return RESULT_OK;
}

/* ---- the service ---- */

struct service *service_new(struct store *store, enum store_profile profile, const struct clock_source *clock)
{
    struct service *service = calloc(1, sizeof(*service));
    if (service == NULL) {
        return NULL;
    }
    service->arena = arena_new(ARENA_LIMIT);
    if (service->arena == NULL) {
        free(service);
        return NULL;
    }
    service->store = store;
    service->profile = profile;
    service->clock = clock;
    service->stop_fd = -1;
    for (size_t i = 0; i < LISTENERS; i++) {
        service->listeners[i] = LISTENER_NONE;
    }
    return service;
}

void service_free(struct service *service)
{
    if (service == NULL) {
        return;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        connection_free(service->connections[i]);
    }
    for (size_t i = 0; i < LISTENERS; i++) {
        listener_close(&service->listeners[i]);
    }
    if (service->engine != NULL) {
        service->operations->close(service->engine);
    }
    outgoing_clear(&service->outgoing);
    arena_free(service->arena);
    secret_wipe_bytes(service->packet, sizeof(service->packet));
    free(service);
}

struct engine_events service_events(struct service *service)
{
    return (struct engine_events){events_emit, events_emit_early, service};
}

void service_attach(struct service *service, const struct engine_operations *operations,
                    struct engine *engine)
{
    service->operations = operations;
    service->engine = engine;
}

enum result service_adopt_owner(struct service *service, int fd, struct reason *why)
{
    int type = 0;
    int domain = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX ||
        type != SOCK_SEQPACKET) {
        return result_fail(why, RESULT_INVALID, "descriptor %d is no UNIX socket of type SOCK_SEQPACKET", fd);
    }
    if (connection_add(service, fd, SOCKET_OWNER) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "descriptor %d cannot be used", fd);
    }
    service->embedded = true;
    return RESULT_OK;
}

enum result service_listen(struct service *service, const struct listener *listener, struct reason *why)
{
    struct listener *place = &service->listeners[(unsigned)listener->socket - 1];
    *place = *listener;
    return listener_open(place, why);
}

void service_stop_on(struct service *service, int fd)
{
    service->stop_fd = fd;
}

bool service_stopping(const struct service *service)
{
    return service->stopping;
}
