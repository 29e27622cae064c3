/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/session.h"

#include "agents/program.h"
#include "agents/timer.h"
#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static int setup_with(uint64_t silence_ms)
{
    static const struct session_callbacks callbacks = {on_ready, on_lost, on_event};
    char why[256];
    memset(&fixture, 0, sizeof(fixture));
    fixture.peer = -1;
    folder_make(&fixture.folder);
    snprintf(fixture.path, sizeof(fixture.path), "%s/secenv", fixture.folder.path);
    fixture.loop = program_loop();
    struct session_settings settings = {{.socket_path = fixture.path}, IDENTITY, "member", silence_ms};
    listen_again();
    fixture.session = session_open(fixture.loop, &settings, &callbacks, &fixture, why, sizeof(why));
    return fixture.session == NULL;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(0);
}

static int setup_impatient(void **state)
{
    (void)state;
    return setup_with(300);
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

static bool speak_ask(uint8_t *body, size_t length)
{
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.body = (ProtobufCBinaryData){length, body};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    return session_request(fixture.session, &request, on_reply, &fixture);
}

/* A peer that does not read: requests wait here, and are all sent, in order, when it does. */
static void test_full_socket(void **state)
{
    enum { COUNT = 3000 };
    static uint8_t body[1000];
    static uint8_t large[SECENV_PACKET_LIMIT];
    (void)state;
    welcome("member", IDENTITY);
    for (int i = 0; i < COUNT; i++) {
        memcpy(body, &i, sizeof(i));
        assert_true(speak_ask(body, sizeof(body)));
        if (i ==
            COUNT / 2) { /* one that no packet can hold is refused now, and not kept in the others' way */
            assert_false(speak_ask(large, sizeof(large)));
        }
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

/* The largest that fits is sent, a byte more is refused, whether or not the socket is full. */
static void test_largest_request(void **state)
{
    static uint8_t body[SECENV_PACKET_LIMIT];
    (void)state;
    welcome("member", IDENTITY);
    size_t length = sizeof(body);
    while (!speak_ask(body, length)) {
        length--;
    }
    assert_in_range(length, SECENV_PACKET_LIMIT - 32, SECENV_PACKET_LIMIT - 8);
    Groupseal__Secenv__ToSecenv *request = request_next();
    assert_int_equal(request->speak->body.len, length);
    reply_send(request->id, NULL);
    groupseal__secenv__to_secenv__free_unpacked(request, NULL);
    run(20);
    assert_int_equal(fixture.replies, 1);
}

/* It lives and answers nothing. */
static void test_hung_is_a_loss(void **state)
{
    (void)state;
    welcome("member", IDENTITY);
    run(400);
    assert_int_equal(fixture.lost, 0); /* nothing was asked */
    assert_true(status_ask());
    assert_true(status_ask());
    (void)status_take();
    run(400);
    assert_int_equal(fixture.lost, 1);
    assert_int_equal(fixture.null_replies, 2);
    peer_close();
    welcome("member", IDENTITY);
    assert_int_equal(fixture.ready, 2);
}

/* Its twin: busy, with more waiting than it answers within that time, and alive. */
static void test_slow_is_no_loss(void **state)
{
    (void)state;
    welcome("member", IDENTITY);
    for (int i = 0; i < 6; i++) {
        assert_true(status_ask());
    }
    for (int i = 0; i < 6; i++) {
        run(150);
        reply_send(status_take(), NULL);
    }
    run(400);
    assert_int_equal(fixture.replies, 6);
    assert_int_equal(fixture.lost, 0);
}

/* An embedded one that neither answers nor ends is not waited for. */
static void test_hung_embedded_is_killed(void **state)
{
    char program[128];
    char why[256];
    (void)state;
    snprintf(program, sizeof(program), "%s/hung", fixture.folder.path);
    FILE *file = fopen(program, "we");
    assert_non_null(file);
    fputs("#!/bin/sh\nexec sleep 60\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(program, 0700), 0);
    struct secenv_client_settings settings = {.program = program, .store = fixture.folder.path};
    struct secenv_client *client = secenv_client_open(&settings, why, sizeof(why));
    assert_non_null(client);
    uint64_t start = monotonic_ms();
    secenv_client_kill(client);
    secenv_client_close(client);
    assert_in_range(monotonic_ms() - start, 0, 2000);
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
        cmocka_unit_test_setup_teardown(test_largest_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hung_is_a_loss, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_slow_is_no_loss, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_hung_embedded_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
