/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/session.h"

#include "agents/program.h"
#include "agents/timer.h"
#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define IDENTITY "//sp.example/Sdoor1"

/* The other end: a socket in this process that answers when the test says so. */
struct fixture {
    struct folder folder;
    char path[96];
    sd_event *loop;
    struct session *session;
    int listener;
    int peer;
    int ready;
    int lost;
    int events;
    int replies;
    int null_replies;
    uint64_t last_reply;
};

static struct fixture fixture;

static void on_ready(void *context)
{
    ((struct fixture *)context)->ready++;
}

static void on_lost(void *context)
{
    ((struct fixture *)context)->lost++;
}

static void on_event(void *context, const Groupseal__Secenv__Event *event)
{
    assert_string_equal(event->identity, IDENTITY);
    ((struct fixture *)context)->events++;
}

static void on_reply(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct fixture *f = context;
    assert_ptr_equal(request_context, f);
    if (reply == NULL) {
        f->null_replies++;
    } else {
        f->replies++;
        f->last_reply = reply->id;
    }
}

static void listen_again(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture.path);
    unlink(fixture.path);
    fixture.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fixture.listener, 4), 0);
}

static int setup(void **state)
{
    static const struct session_callbacks callbacks = {on_ready, on_lost, on_event};
    char why[256];
    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    fixture.peer = -1;
    folder_make(&fixture.folder);
    snprintf(fixture.path, sizeof(fixture.path), "%s/secenv", fixture.folder.path);
    fixture.loop = program_loop();
    struct session_settings settings = {{.socket_path = fixture.path}, IDENTITY, "member"};
    listen_again();
    fixture.session = session_open(fixture.loop, &settings, &callbacks, &fixture, why, sizeof(why));
    return fixture.session == NULL;
}

static void peer_close(void)
{
    if (fixture.peer >= 0) {
        close(fixture.peer);
        fixture.peer = -1;
    }
}

static int teardown(void **state)
{
    (void)state;
    session_close(fixture.session);
    sd_event_unref(fixture.loop);
    peer_close();
    close(fixture.listener);
    folder_remove(&fixture.folder);
    return 0;
}

/* Lets the session work for a while. */
static void run(uint64_t ms)
{
    uint64_t end = monotonic_ms() + ms;
    do {
        assert_true(sd_event_run(fixture.loop, 5000) >= 0);
    } while (monotonic_ms() < end);
}

/* The next request, accepting the connection first; freed by the caller. */
static Groupseal__Secenv__ToSecenv *request_next(void)
{
    static uint8_t packet[SECENV_PACKET_LIMIT];
    uint64_t end = monotonic_ms() + 5000;
    while (monotonic_ms() < end) {
        run(5);
        if (fixture.peer < 0) {
            fixture.peer = accept4(fixture.listener, NULL, NULL, SOCK_NONBLOCK);
        }
        ssize_t got = fixture.peer >= 0 ? recv(fixture.peer, packet, sizeof(packet), 0) : -1;
        if (got > 0) {
            return groupseal__secenv__to_secenv__unpack(NULL, (size_t)got, packet);
        }
    }
    fail_msg("no request came");
    return NULL;
}

static void message_send(Groupseal__Secenv__FromSecenv *message)
{
    uint8_t packet[1024];
    size_t length = groupseal__secenv__from_secenv__pack(message, packet);
    assert_int_equal(send(fixture.peer, packet, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void reply_send(uint64_t id, Groupseal__Secenv__Welcome *welcome)
{
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    reply.id = id;
    if (welcome != NULL) {
        reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
        reply.welcome = welcome;
    }
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = &reply;
    message_send(&message);
}

/* Answers Hello. */
static void welcome(const char *profile, const char *identity)
{
    Groupseal__Secenv__ToSecenv *hello = request_next();
    assert_int_equal(hello->request_case, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO);
    assert_int_equal(hello->hello->version, 1);
    Groupseal__Secenv__Welcome content = GROUPSEAL__SECENV__WELCOME__INIT;
    char *identities[] = {(char *)(uintptr_t) "//sp.example/Sother", (char *)(uintptr_t)identity};
    content.profile = (char *)(uintptr_t)profile;
    content.identities = identities;
    content.n_identities = 2;
    reply_send(hello->id, &content);
    groupseal__secenv__to_secenv__free_unpacked(hello, NULL);
    run(20);
}

static bool status_ask(void)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    return session_request(fixture.session, &request, on_reply, &fixture);
}

static uint64_t status_take(void)
{
    Groupseal__Secenv__ToSecenv *request = request_next();
    assert_int_equal(request->request_case, GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS);
    uint64_t id = request->id;
    groupseal__secenv__to_secenv__free_unpacked(request, NULL);
    return id;
}

static void test_ready_then_pipelined(void **state)
{
    (void)state;
    assert_false(status_ask()); /* not ready */
    welcome("member", IDENTITY);
    assert_int_equal(fixture.ready, 1);
    assert_true(session_is_ready(fixture.session));
    assert_true(status_ask());
    assert_true(status_ask());
    uint64_t first = status_take();
    uint64_t second = status_take();
    reply_send(first, NULL);
    run(20);
    assert_int_equal(fixture.replies, 1);
    reply_send(second, NULL);
    run(20);
    assert_int_equal(fixture.replies, 2);
    assert_int_equal(fixture.last_reply, second);
}

static void test_events(void **state)
{
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    (void)state;
    welcome("member", IDENTITY);
    event.identity = (char *)(uintptr_t)IDENTITY;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT;
    message.event = &event;
    message_send(&message);
    run(20);
    assert_int_equal(fixture.events, 1);
}

static void test_wrong_identity_and_profile_are_tried_again(void **state)
{
    (void)state;
    welcome("member", "//sp.example/Sdoor2");
    assert_int_equal(fixture.ready, 0);
    peer_close();
    welcome("authority", IDENTITY);
    assert_int_equal(fixture.ready, 0);
    peer_close();
    welcome("member", IDENTITY);
    assert_int_equal(fixture.ready, 1);
    assert_int_equal(fixture.lost, 0);
}

static void test_lost_and_back(void **state)
{
    (void)state;
    welcome("member", IDENTITY);
    assert_true(status_ask());
    assert_true(status_ask());
    (void)status_take();
    peer_close();
    run(20);
    assert_int_equal(fixture.null_replies, 2); /* each is answered once */
    assert_int_equal(fixture.lost, 1);
    assert_false(status_ask());
    welcome("member", IDENTITY);
    assert_int_equal(fixture.ready, 2);
    assert_true(status_ask());
    reply_send(status_take(), NULL);
    run(20);
    assert_int_equal(fixture.replies, 1);
}

static void test_reply_out_of_order_is_a_loss(void **state)
{
    (void)state;
    welcome("member", IDENTITY);
    assert_true(status_ask());
    assert_true(status_ask());
    (void)status_take();
    reply_send(status_take(), NULL); /* the second one's */
    run(20);
    assert_int_equal(fixture.replies, 0);
    assert_int_equal(fixture.null_replies, 2);
    assert_int_equal(fixture.lost, 1);
}

/* A peer that does not read: requests wait here, and are all sent, in order, when it does. */
static void test_full_socket(void **state)
{
    enum { COUNT = 3000 };
    static uint8_t body[1000];
    (void)state;
    welcome("member", IDENTITY);
    for (int i = 0; i < COUNT; i++) {
        Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        memcpy(body, &i, sizeof(i));
        speak.body = (ProtobufCBinaryData){sizeof(body), body};
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
        request.speak = &speak;
        assert_true(session_request(fixture.session, &request, on_reply, &fixture));
    }
    for (int i = 0; i < COUNT; i++) {
        int number = -1;
        Groupseal__Secenv__ToSecenv *request = NULL;
        while (request == NULL) { /* without waiting 5 ms each */
            static uint8_t packet[SECENV_PACKET_LIMIT];
            ssize_t got = recv(fixture.peer, packet, sizeof(packet), 0);
            if (got > 0) {
                request = groupseal__secenv__to_secenv__unpack(NULL, (size_t)got, packet);
            } else {
                assert_true(sd_event_run(fixture.loop, 1000) >= 0);
            }
        }
        memcpy(&number, request->speak->body.data, sizeof(number));
        assert_int_equal(number, i);
        reply_send(request->id, NULL);
        groupseal__secenv__to_secenv__free_unpacked(request, NULL);
        assert_true(sd_event_run(fixture.loop, 0) >= 0);
    }
    run(50);
    assert_int_equal(fixture.replies, COUNT);
    assert_int_equal(fixture.lost, 0);
}

static void test_requests_are_bounded(void **state)
{
    int asked = 0;
    (void)state;
    welcome("member", IDENTITY);
    while (asked < 100000 && status_ask()) {
        asked++;
    }
    assert_in_range(asked, 1000, 99999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_then_pipelined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_identity_and_profile_are_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reply_out_of_order_is_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
