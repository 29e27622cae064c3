/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secenv/audit.h"
#include "secenv/log.h"
#include "secenv/service/connection.h"
#include "secenv/service/service.h"

/* ---- a small engine: Online writes its identity into a table and says so in an event ---- */

static const char fake_schema[] = "CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY);"
                                  "CREATE TABLE IF NOT EXISTS child (name TEXT REFERENCES seen (name)"
                                  " DEFERRABLE INITIALLY DEFERRED);";
static const char *const schemas[] = {fake_schema};

struct engine {
    struct store *store;
    struct engine_events events;
    unsigned turns;
    unsigned closed;
    unsigned gone[4]; /* by socket kind */
    unsigned flood;   /* events of 60 kB to emit in the next turn */
    enum result turn_result;
    uint64_t next;
};

static enum result emit_notice_so(struct engine *engine, uint64_t connection, const char *identity,
                                  const char *text, bool early)
{
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    notice.text = (char *)(uintptr_t)text;
    event.identity = (char *)(uintptr_t)identity;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    return (early ? engine->events.emit_early : engine->events.emit)(engine->events.context, connection,
                                                                     &event);
}

static enum result emit_notice(struct engine *engine, uint64_t connection, const char *identity,
                               const char *text)
{
    return emit_notice_so(engine, connection, identity, text, false);
}

/* Emits early, and does not get to the disk. `held`: what it rests on is reserved in the same transaction. */
static enum result fake_early(struct engine *engine, const char *name, bool held, struct reason *why)
{
    if (held) {
        store_hold(engine->store);
    }
    GUARD(emit_notice_so(engine, 0, name, "seen", true));
    return store_run(engine->store, why, "INSERT INTO child VALUES ('nobody')", "");
}

static enum result fake_online(struct engine *engine, const char *name, struct reason *why)
{
    if (strcmp(name, "early") == 0 || strcmp(name, "held") == 0) {
        return fake_early(engine, name, name[0] == 'h', why);
    }
    GUARD(store_run(engine->store, why, "INSERT INTO seen VALUES (?)", "t", name));
    GUARD(emit_notice(engine, 0, name, "seen"));
    if (strcmp(name, "fail") == 0) {
        return result_fail(why, RESULT_REFUSED, "told to fail");
    }
    if (strcmp(name, "large") == 0) {
        return store_run(engine->store, why, "INSERT INTO seen VALUES (zeroblob(?))", "i",
                         (int64_t)4096 * 1100);
    }
    if (strcmp(name, "break") == 0) { /* a foreign key that makes the commit fail */
        return store_run(engine->store, why, "INSERT INTO child VALUES ('nobody')", "");
    }
    return RESULT_OK;
}

static enum result fake_request(struct engine *engine, const struct engine_caller *caller,
                                const Groupseal__Secenv__ToSecenv *request, struct arena *arena,
                                Groupseal__Secenv__Reply *reply, struct reason *why)
{
    switch (request->request_case) {
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
        reply->welcome = arena_alloc(arena, sizeof(*reply->welcome));
        groupseal__secenv__welcome__init(reply->welcome);
        return RESULT_OK;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS:
        reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS;
        reply->status = arena_alloc(arena, sizeof(*reply->status));
        groupseal__secenv__status_reply__init(reply->status);
        return RESULT_OK;
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE:
        return fake_online(engine, request->online->identity, why);
    case GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST:
        return emit_notice(engine, caller->connection, "operator", "listed");
    default:
        return RESULT_OK;
    }
}

static enum result fake_turn(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why)
{
    (void)arena;
    static char large[60001];
    memset(large, 'x', sizeof(large) - 1);
    engine->turns++;
    for (; engine->flood > 0; engine->flood--) {
        GUARD(emit_notice(engine, 0, "flood", large));
    }
    *next = engine->next;
    enum result result = engine->turn_result;
    engine->turn_result = RESULT_OK;
    return result == RESULT_OK ? RESULT_OK : result_fail(why, result, "told to fail");
}

static void fake_disconnected(struct engine *engine, const struct engine_caller *caller)
{
    engine->gone[caller->socket]++;
}

static void fake_close(struct engine *engine)
{
    engine->closed++;
}

static const struct engine_operations fake = {fake_request, fake_turn, fake_disconnected, fake_close};

/* ---- the fixture: a service of the authority's profile (it has an operator socket) ---- */

struct fixture {
    char root[64];
    char store_path[96];
    char key[128];
    struct store *store;
    struct service *service;
    struct engine engine;
    struct reason why;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->root, sizeof(fixture->root), "/tmp/groupseal-service-XXXXXX");
    if (mkdtemp(fixture->root) == NULL || chmod(fixture->root, 0755) != 0) {
        return -1;
    }
    snprintf(fixture->store_path, sizeof(fixture->store_path), "%s/store", fixture->root);
    snprintf(fixture->key, sizeof(fixture->key), "%s/store/root.key", fixture->root);
    if (store_create(fixture->store_path, STORE_AUTHORITY, NULL, &fixture->why) != RESULT_OK ||
        store_open(fixture->store_path, STORE_AUTHORITY, root_key_file(fixture->key), schemas, 1,
                   &fixture->store, &fixture->why) != RESULT_OK ||
        store_run(fixture->store, &fixture->why, "PRAGMA foreign_keys=ON", "") != RESULT_OK) {
        return -1;
    }
    fixture->service = service_new(fixture->store, STORE_AUTHORITY, &clock_system);
    if (fixture->service == NULL) {
        return -1;
    }
    fixture->engine.store = fixture->store;
    fixture->engine.events = service_events(fixture->service);
    fixture->engine.next = UINT64_MAX;
    service_attach(fixture->service, &fake, &fixture->engine);
    log_threshold(LOG_LEVEL_ALARM);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    service_free(fixture->service);
    bool closed = fixture->engine.closed == 1;
    store_close(fixture->store);
    (void)nftw(fixture->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return closed ? 0 : -1;
}

static void steps(struct fixture *fixture)
{
    for (int i = 0; i < 4; i++) {
        if (service_step(fixture->service, 0, &fixture->why) != RESULT_OK) {
            fail_msg("%s", fixture->why.text);
        }
    }
}

static int owner_embedded(struct fixture *fixture)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(service_adopt_owner(fixture->service, pair[1], &fixture->why), RESULT_OK);
    return pair[0];
}

static struct listener listener_at(const struct fixture *fixture, enum socket_kind kind)
{
    struct listener listener = LISTENER_NONE;
    listener.socket = kind;
    listener.owner_uid = geteuid();
    snprintf(listener.path, sizeof(listener.path), "%s/%d.sock", fixture->root, (int)kind);
    return listener;
}

static void listen_at(struct fixture *fixture, enum socket_kind kind)
{
    struct listener listener = listener_at(fixture, kind);
    if (service_listen(fixture->service, &listener, &fixture->why) != RESULT_OK) {
        fail_msg("%s", fixture->why.text);
    }
}

/* Returns -1 where the path cannot be opened. */
static int connect_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_to(struct fixture *fixture, enum socket_kind kind)
{
    int fd = connect_path(listener_at(fixture, kind).path);
    assert_true(fd >= 0);
    steps(fixture);
    return fd;
}

/* ---- the client's side ---- */

static void send_request(int fd, Groupseal__Secenv__ToSecenv *request)
{
    static uint8_t packet[PACKET_LIMIT];
    size_t length = groupseal__secenv__to_secenv__pack(request, packet);
    assert_int_equal(send(fd, packet, length, MSG_NOSIGNAL), length);
}

static void send_hello(int fd, uint64_t id, uint32_t version)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    hello.version = version;
    request.id = id;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;
    send_request(fd, &request);
}

static void send_online(int fd, uint64_t id, const char *identity)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Online online = GROUPSEAL__SECENV__ONLINE__INIT;
    online.identity = (char *)(uintptr_t)identity;
    request.id = id;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &online;
    send_request(fd, &request);
}

static void send_group_list(int fd, uint64_t id)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__GroupList list = GROUPSEAL__SECENV__GROUP_LIST__INIT;
    request.id = id;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST;
    request.group_list = &list;
    send_request(fd, &request);
}

static void send_status(int fd, uint64_t id)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    request.id = id;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    send_request(fd, &request);
}

/* The next message, NULL where none waits. */
static Groupseal__Secenv__FromSecenv *receive(int fd)
{
    static uint8_t packet[PACKET_LIMIT + 1];
    ssize_t length = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
    if (length <= 0) {
        return NULL;
    }
    Groupseal__Secenv__FromSecenv *message =
        groupseal__secenv__from_secenv__unpack(NULL, (size_t)length, packet);
    assert_non_null(message);
    return message;
}

static void release(Groupseal__Secenv__FromSecenv *message)
{
    groupseal__secenv__from_secenv__free_unpacked(message, NULL);
}

static void expect_reply(int fd, uint64_t id, enum result code)
{
    Groupseal__Secenv__FromSecenv *message = receive(fd);
    assert_non_null(message);
    assert_int_equal(message->content_case, GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY);
    assert_int_equal(message->reply->id, id);
    assert_int_equal(message->reply->code, code);
    assert_true((code == RESULT_OK) == (message->reply->reason[0] == '\0'));
    release(message);
}

static void expect_event(int fd, const char *identity)
{
    Groupseal__Secenv__FromSecenv *message = receive(fd);
    assert_non_null(message);
    assert_int_equal(message->content_case, GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT);
    assert_string_equal(message->event->identity, identity);
    release(message);
}

static bool ended(int fd)
{
    struct pollfd probe = {fd, 0, 0};
    return poll(&probe, 1, 0) == 1 && (probe.revents & POLLHUP) != 0;
}

static void greet(struct fixture *fixture, int fd)
{
    send_hello(fd, 1, 1);
    steps(fixture);
    expect_reply(fd, 1, RESULT_OK);
}

static enum result count_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)row;
    (void)why;
    ++*(int *)context;
    return RESULT_OK;
}

static int stored(struct fixture *fixture, const char *name)
{
    int rows = 0;
    assert_int_equal(store_query(fixture->store, &fixture->why, count_row, &rows,
                                 "SELECT 1 FROM seen WHERE name = ?", "t", name),
                     RESULT_OK);
    return rows;
}

/* ---- tests ---- */

static void requests_are_answered_in_order_before_their_events(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    uint64_t commits = audit_value(AUDIT_COMMITS);
    send_hello(owner, 1, 1);
    send_online(owner, 2, "a");
    send_online(owner, 3, "b");
    steps(fixture);
    expect_reply(owner, 1, RESULT_OK);
    expect_reply(owner, 2, RESULT_OK);
    expect_event(owner, "a");
    expect_reply(owner, 3, RESULT_OK);
    expect_event(owner, "b");
    assert_null(receive(owner));
    assert_int_equal(audit_value(AUDIT_COMMITS), commits + 1); /* one batch */
    assert_int_equal(stored(fixture, "a") + stored(fixture, "b"), 2);
    close(owner);
}

static void a_failed_request_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    greet(fixture, owner);
    send_online(owner, 2, "before");
    send_online(owner, 3, "fail");
    send_online(owner, 4, "after");
    steps(fixture);
    expect_reply(owner, 2, RESULT_OK);
    expect_event(owner, "before");
    expect_reply(owner, 3, RESULT_REFUSED);
    expect_reply(owner, 4, RESULT_OK);
    expect_event(owner, "after");
    assert_int_equal(stored(fixture, "fail"), 0);
    assert_int_equal(stored(fixture, "before") + stored(fixture, "after"), 2);
    close(owner);
}

static void nothing_leaves_before_the_commit(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    greet(fixture, owner);
    send_online(owner, 2, "good");
    send_online(owner, 3, "break");
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_STORE);
    assert_null(receive(owner));
    assert_int_equal(stored(fixture, "good"), 0);
    close(owner);
}

static void status_has_the_counters(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    greet(fixture, owner);
    send_status(owner, 2);
    steps(fixture);
    Groupseal__Secenv__FromSecenv *message = receive(owner);
    assert_non_null(message);
    assert_int_equal(message->reply->status->n_counters, AUDIT_COUNT);
    assert_string_equal(message->reply->status->counters[0]->name, "handshakes_started");
    release(message);
    close(owner);
}

/* Sends one packet on a new, greeted owner connection: does that end it? */
static bool ends_with(struct fixture *fixture, const void *packet, size_t length)
{
    int owner = connect_to(fixture, SOCKET_OWNER);
    greet(fixture, owner);
    uint64_t refused = audit_value(AUDIT_REQUESTS_REFUSED);
    int size = 1 << 20;
    assert_int_equal(setsockopt(owner, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    assert_int_equal(send(owner, packet, length, MSG_NOSIGNAL), length);
    steps(fixture);
    bool gone = ended(owner);
    assert_int_equal(audit_value(AUDIT_REQUESTS_REFUSED), refused + (gone ? 1 : 0));
    close(owner);
    steps(fixture);
    return gone;
}

static void what_is_not_in_the_table_ends_the_connection(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t large[PACKET_LIMIT + 1] = {0x08, 0x02, 0x7a, 0xfa, 0xff, 0x03};
    listen_at(fixture, SOCKET_OWNER);
    assert_false(ends_with(fixture, "\x08\x02\x1a\x00", 4));    /* the twin: Status */
    assert_true(ends_with(fixture, "\x08\x02", 2));             /* no request */
    assert_true(ends_with(fixture, "\x08\x02\x7a\x00", 4));     /* an unknown one */
    assert_true(ends_with(fixture, "\x08\x02\xda\x02\x00", 5)); /* GroupCreate: operator's */
    assert_true(ends_with(fixture, "\x08\x02\xa2\x01\x00", 5)); /* Authenticate: member's */
    assert_true(ends_with(fixture, "\x08\x01\x1a\x00", 4));     /* an id again */
    assert_true(ends_with(fixture, "garbage", 7));
    assert_true(ends_with(fixture, large, sizeof(large)));
}

static void hello_comes_first_and_once(void **state)
{
    struct fixture *fixture = *state;
    listen_at(fixture, SOCKET_OWNER);
    int owner = connect_to(fixture, SOCKET_OWNER);
    send_status(owner, 1);
    steps(fixture);
    assert_true(ended(owner));
    close(owner);

    owner = connect_to(fixture, SOCKET_OWNER);
    send_hello(owner, 1, 2);
    send_hello(owner, 2, 1);
    steps(fixture);
    expect_reply(owner, 1, RESULT_INVALID);
    expect_reply(owner, 2, RESULT_OK);
    assert_false(ended(owner));
    send_hello(owner, 3, 1);
    steps(fixture);
    assert_true(ended(owner));
    close(owner);
}

static void the_end_of_an_embedded_owner_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    greet(fixture, owner);
    assert_false(service_stopping(fixture->service));
    close(owner);
    steps(fixture);
    assert_true(service_stopping(fixture->service));
    assert_int_equal(fixture->engine.gone[SOCKET_OWNER], 1);
}

static void a_service_waits_for_the_next_owner(void **state)
{
    struct fixture *fixture = *state;
    listen_at(fixture, SOCKET_OWNER);
    int first = connect_to(fixture, SOCKET_OWNER);
    greet(fixture, first);
    int second = connect_to(fixture, SOCKET_OWNER);
    assert_true(ended(second)); /* one at a time */
    close(second);
    assert_false(ended(first));
    close(first);
    second = connect_to(fixture, SOCKET_OWNER);
    greet(fixture, second);
    assert_false(service_stopping(fixture->service));
    assert_int_equal(fixture->engine.gone[SOCKET_OWNER], 1);
    close(second);
}

static void observers_may_look_only(void **state)
{
    struct fixture *fixture = *state;
    listen_at(fixture, SOCKET_AUDIT);
    listen_at(fixture, SOCKET_OPERATOR);
    int observer = connect_to(fixture, SOCKET_AUDIT);
    greet(fixture, observer);
    send_status(observer, 2);
    steps(fixture);
    expect_reply(observer, 2, RESULT_OK);
    send_group_list(observer, 3);
    steps(fixture);
    assert_true(ended(observer));
    close(observer);

    int manager = connect_to(fixture, SOCKET_OPERATOR);
    greet(fixture, manager);
    send_group_list(manager, 3);
    steps(fixture);
    expect_reply(manager, 3, RESULT_OK);
    expect_event(manager, "operator");
    assert_int_equal(fixture->engine.gone[SOCKET_AUDIT], 1);
    close(manager);
}

static void connections_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    int clients[CONNECTIONS_LIMIT + 1];
    listen_at(fixture, SOCKET_AUDIT);
    for (size_t i = 0; i <= CONNECTIONS_LIMIT; i++) {
        clients[i] = connect_to(fixture, SOCKET_AUDIT);
        assert_int_equal(ended(clients[i]), i == CONNECTIONS_LIMIT);
    }
    close(clients[0]);
    steps(fixture);
    int late = connect_to(fixture, SOCKET_AUDIT);
    assert_false(ended(late));
    close(late);
    for (size_t i = 1; i <= CONNECTIONS_LIMIT; i++) {
        close(clients[i]);
    }
}

static void an_owner_that_takes_nothing_ends(void **state)
{
    struct fixture *fixture = *state;
    listen_at(fixture, SOCKET_OWNER);
    int owner = connect_to(fixture, SOCKET_OWNER);
    greet(fixture, owner);
    fixture->engine.flood = 100; /* the twin: 6 MB wait for it */
    send_status(owner, 2);
    steps(fixture);
    assert_false(ended(owner));
    send_status(owner, 3);
    steps(fixture);
    unsigned taken = 0;
    for (Groupseal__Secenv__FromSecenv *message = NULL; (message = receive(owner)) != NULL; taken++) {
        release(message);
        steps(fixture);
    }
    assert_int_equal(taken, 102); /* the request above the high water was read when it had room again */
    fixture->engine.flood = 200;
    send_status(owner, 4);
    steps(fixture);
    assert_true(ended(owner));
    close(owner);
}

/* Neither the batch's replies go out, nor does the process go on with a memory that its store does not have.
 */
static void a_turn_that_fails_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    steps(fixture);
    assert_int_equal(fixture->engine.turns, 1); /* nothing is due afterwards */
    int owner = owner_embedded(fixture);
    send_hello(owner, 1, 1);
    steps(fixture);
    expect_reply(owner, 1, RESULT_OK);
    fixture->engine.turn_result = RESULT_FULL;
    send_status(owner, 2);
    assert_int_equal(service_step(fixture->service, 1000, &fixture->why), RESULT_FULL);
    assert_non_null(strstr(fixture->why.text, "told to fail"));
    assert_null(receive(owner));
    close(owner);
}

static void a_timer_of_the_engine_is_kept(void **state)
{
    struct fixture *fixture = *state;
    fixture->engine.next = clock_monotonic_us(&clock_system) + 20000;
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_OK);
    assert_int_equal(fixture->engine.turns, 1);
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_OK);
    assert_int_equal(fixture->engine.turns, 1);
    assert_int_equal(service_step(fixture->service, 5000, &fixture->why), RESULT_OK);
    assert_true(clock_monotonic_us(&clock_system) >= fixture->engine.next);
    assert_int_equal(fixture->engine.turns, 2);
}

static void socket_files_are_handled(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = listener_at(fixture, SOCKET_OWNER);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, listener.path, strlen(listener.path) + 1);
    int stale = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&address, sizeof(address)), 0);
    close(stale);
    assert_int_equal(listener_open(&listener, &fixture->why), RESULT_OK); /* a stale one is replaced */
    struct stat status;
    assert_int_equal(stat(listener.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    struct listener second = listener_at(fixture, SOCKET_OWNER);
    assert_int_equal(listener_open(&second, &fixture->why), RESULT_EXISTS);
    assert_non_null(strstr(fixture->why.text, "another process listens"));
    listener_close(&listener);
    assert_int_equal(access(listener.path, F_OK), -1);

    int file = open(listener.path, O_CREAT | O_WRONLY, 0600);
    close(file);
    assert_int_equal(listener_open(&listener, &fixture->why), RESULT_EXISTS);
    assert_non_null(strstr(fixture->why.text, "is no socket"));
    assert_int_equal(access(listener.path, F_OK), 0);

    struct listener nowhere = listener_at(fixture, SOCKET_OWNER);
    snprintf(nowhere.path, sizeof(nowhere.path), "/nowhere/at/all");
    assert_int_equal(listener_open(&nowhere, &fixture->why), RESULT_INVALID);
}

static void an_adopted_owner_must_be_a_socket(void **state)
{
    struct fixture *fixture = *state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(service_adopt_owner(fixture->service, pipes[0], &fixture->why), RESULT_INVALID);
    close(pipes[0]);
    close(pipes[1]);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(service_adopt_owner(fixture->service, pair[0], &fixture->why), RESULT_INVALID);
    close(pair[0]);
    close(pair[1]);
}

/* A child of another user and group connects; tells whether it was let in. */
static bool stranger_gets_in(struct fixture *fixture, const char *path, uid_t user, gid_t group,
                             gid_t supplementary)
{
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (setgroups(1, &supplementary) != 0 || setgid(group) != 0 || setuid(user) != 0) {
            _exit(2);
        }
        int fd = connect_path(path);
        char byte = 0;
        close(go[1]);
        (void)!read(go[0], &byte, 1); /* the service has had its turn */
        _exit(fd >= 0 && !ended(fd) ? 0 : 1);
    }
    close(go[0]);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(service_step(fixture->service, 10, &fixture->why), RESULT_OK);
    }
    close(go[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    steps(fixture);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 0;
}

static void credentials_of_peers_are_checked(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0) {
        skip(); /* only root can be somebody else */
    }
    struct listener operators = listener_at(fixture, SOCKET_OPERATOR);
    operators.has_group = true;
    operators.group = 4242;
    assert_int_equal(service_listen(fixture->service, &operators, &fixture->why), RESULT_OK);
    struct stat status;
    assert_int_equal(stat(operators.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    assert_int_equal(status.st_gid, 4242);
    assert_int_equal(chmod(operators.path, 0666), 0); /* so that it is the credentials that refuse */
    assert_true(stranger_gets_in(fixture, operators.path, 1234, 4242, 1));
    assert_true(stranger_gets_in(fixture, operators.path, 1234, 1, 4242));
    assert_true(stranger_gets_in(fixture, operators.path, 0, 1, 1));
    assert_false(stranger_gets_in(fixture, operators.path, 1234, 1, 2));

    struct listener owners = listener_at(fixture, SOCKET_OWNER);
    owners.owner_uid = 1234;
    assert_int_equal(service_listen(fixture->service, &owners, &fixture->why), RESULT_OK);
    assert_int_equal(chmod(owners.path, 0666), 0);
    assert_true(stranger_gets_in(fixture, owners.path, 1234, 1, 1));
    assert_false(stranger_gets_in(fixture, owners.path, 1235, 1, 1));
    assert_false(stranger_gets_in(fixture, owners.path, 0, 1, 1));
}

/* ---- events that need not wait for the disk ---- */

static void early_event_leaves_before_the_commit(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    send_hello(owner, 1, 1);
    steps(fixture);
    expect_reply(owner, 1, RESULT_OK);
    send_online(owner, 2, "early");
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_STORE);
    expect_event(owner, "early");
    assert_null(receive(owner)); /* its reply has not */
    close(owner);
}

static void held_event_does_not(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    send_hello(owner, 1, 1);
    steps(fixture);
    expect_reply(owner, 1, RESULT_OK);
    send_online(owner, 2, "held");
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_STORE);
    assert_null(receive(owner));
    close(owner);
}

/* It overtakes nothing. */
static void early_event_behind_another_waits(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    send_hello(owner, 1, 1);
    steps(fixture);
    expect_reply(owner, 1, RESULT_OK);
    send_online(owner, 2, "first");
    send_online(owner, 3, "early");
    assert_int_equal(service_step(fixture->service, 0, &fixture->why), RESULT_STORE);
    assert_null(receive(owner));
    close(owner);
}

/* ---- the store's checkpoint ---- */

static void a_pause_is_the_checkpoints(void **state)
{
    struct fixture *fixture = *state;
    int owner = owner_embedded(fixture);
    send_hello(owner, 1, 1);
    send_online(owner, 2, "large");
    steps(fixture);
    assert_true(store_checkpoint_due(fixture->store)); /* nobody has waited for it */
    send_online(owner, 3, "next");
    assert_int_equal(service_step(fixture->service, 1000, &fixture->why), RESULT_OK);
    assert_true(store_checkpoint_due(fixture->store)); /* this was no pause */
    assert_int_equal(service_step(fixture->service, 1000, &fixture->why), RESULT_OK);
    assert_false(store_checkpoint_due(fixture->store));
    close(owner);
}

#define SERVICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVICE_TEST(requests_are_answered_in_order_before_their_events),
        SERVICE_TEST(a_failed_request_leaves_nothing),
        SERVICE_TEST(nothing_leaves_before_the_commit),
        SERVICE_TEST(status_has_the_counters),
        SERVICE_TEST(what_is_not_in_the_table_ends_the_connection),
        SERVICE_TEST(hello_comes_first_and_once),
        SERVICE_TEST(the_end_of_an_embedded_owner_is_the_end),
        SERVICE_TEST(a_service_waits_for_the_next_owner),
        SERVICE_TEST(observers_may_look_only),
        SERVICE_TEST(connections_are_bounded),
        SERVICE_TEST(an_owner_that_takes_nothing_ends),
        SERVICE_TEST(a_turn_that_fails_is_the_end),
        SERVICE_TEST(a_timer_of_the_engine_is_kept),
        SERVICE_TEST(socket_files_are_handled),
        SERVICE_TEST(an_adopted_owner_must_be_a_socket),
        SERVICE_TEST(credentials_of_peers_are_checked),
        SERVICE_TEST(early_event_leaves_before_the_commit),
        SERVICE_TEST(held_event_does_not),
        SERVICE_TEST(early_event_behind_another_waits),
        SERVICE_TEST(a_pause_is_the_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
