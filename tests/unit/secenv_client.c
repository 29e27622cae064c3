/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The socket client against a fake peer on a socketpair, and an embedded start where this very program plays
 * `secenv run` and reports what it inherited. */
#include "secenv/client/secenv_client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

typedef Groupseal__Secenv__FromSecenv From;
typedef Groupseal__Secenv__ToSecenv To;

static char self_path[4096];

struct fixture {
    struct secenv_client *client;
    int peer;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fixture->client = secenv_client_adopt(pair[0]);
    assert_non_null(fixture->client);
    fixture->peer = pair[1];
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    secenv_client_close(fixture->client);
    if (fixture->peer >= 0) {
        close(fixture->peer);
    }
    free(fixture);
    return 0;
}

static void send_message(int fd, const From *message)
{
    uint8_t packet[1024];
    size_t size = groupseal__secenv__from_secenv__get_packed_size(message);
    assert_true(size <= sizeof(packet));
    groupseal__secenv__from_secenv__pack(message, packet);
    assert_int_equal(send(fd, packet, size, 0), size);
}

static void send_reply(int fd, uint64_t id, Groupseal__Secenv__Code code, const char *reason)
{
    From message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    welcome.profile = (char *)"member";
    reply.id = id;
    reply.code = code;
    reply.reason = (char *)(uintptr_t)reason;
    if (code == GROUPSEAL__SECENV__CODE__OK) {
        reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
        reply.welcome = &welcome;
    }
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = &reply;
    send_message(fd, &message);
}

static void send_event(int fd, const char *text)
{
    From message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    notice.text = (char *)(uintptr_t)text;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT;
    message.event = &event;
    send_message(fd, &message);
}

static void request_status(To *request, Groupseal__Secenv__Status *status)
{
    groupseal__secenv__to_secenv__init(request);
    groupseal__secenv__status__init(status);
    request->request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request->status = status;
}

/* ---- sending ---- */

static void test_requests_carry_rising_ids(void **state)
{
    struct fixture *fixture = *state;
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    assert_int_equal(secenv_client_send(fixture->client, &request), 1);
    assert_int_equal(secenv_client_send(fixture->client, &request), 2);
    for (uint64_t id = 1; id <= 2; id++) {
        uint8_t packet[256];
        ssize_t length = recv(fixture->peer, packet, sizeof(packet), 0);
        assert_true(length > 0);
        To *heard = groupseal__secenv__to_secenv__unpack(NULL, (size_t)length, packet);
        assert_non_null(heard);
        assert_int_equal(heard->id, id);
        assert_int_equal(heard->request_case, GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS);
        groupseal__secenv__to_secenv__free_unpacked(heard, NULL);
    }
}

static void test_full_socket_says_again(void **state)
{
    struct fixture *fixture = *state;
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    uint64_t last = 0;
    uint64_t id = 0;
    while ((id = secenv_client_send(fixture->client, &request)) != 0) {
        last = id;
    }
    assert_int_equal(errno, EAGAIN);

    uint8_t packet[256];
    while (recv(fixture->peer, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
    }
    /* the request that was not sent has used no id */
    assert_int_equal(secenv_client_send(fixture->client, &request), last + 1);
}

static void send_body(struct fixture *fixture, size_t size, uint64_t *id)
{
    To request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    speak.body.data = calloc(1, size);
    speak.body.len = size;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    *id = secenv_client_send(fixture->client, &request);
    int error = errno;
    free(speak.body.data);
    errno = error;
}

static void test_too_large_a_request_is_not_sent(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = 0;

    send_body(fixture, SECENV_PACKET_LIMIT, &id);
    assert_int_equal(id, 0);
    assert_int_equal(errno, EMSGSIZE);
    send_body(fixture, SECENV_PACKET_LIMIT - 64, &id); /* the connection stands, and a fitting one goes */
    assert_int_equal(id, 1);
}

static void test_send_to_a_peer_that_is_gone(void **state)
{
    struct fixture *fixture = *state;
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    close(fixture->peer);
    fixture->peer = -1;
    assert_int_equal(secenv_client_send(fixture->client, &request), 0);
    assert_int_not_equal(errno, EAGAIN);
    From *message = NULL;
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_LOST);
}

/* ---- receiving ---- */

static void test_receive(void **state)
{
    struct fixture *fixture = *state;
    From *message = NULL;

    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_NOTHING);
    assert_null(message);
    send_event(fixture->peer, "first");
    send_reply(fixture->peer, 9, GROUPSEAL__SECENV__CODE__REFUSED, "no");
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_MESSAGE);
    assert_string_equal(message->event->notice->text, "first");
    secenv_client_free(message);
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_MESSAGE);
    assert_int_equal(message->reply->id, 9);
    secenv_client_free(message);
    close(fixture->peer);
    fixture->peer = -1;
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_LOST);
    assert_null(message);
    secenv_client_free(NULL);
}

static void packet_is_a_loss(struct fixture *fixture, const void *packet, size_t size)
{
    From *message = NULL;
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    assert_int_equal(send(fixture->peer, packet, size, 0), size);
    send_event(fixture->peer, "after");
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_LOST);
    assert_null(message);
    /* for good: what came after it is not looked at, and nothing is sent */
    assert_int_equal(secenv_client_receive(fixture->client, &message), SECENV_CLIENT_LOST);
    assert_int_equal(secenv_client_send(fixture->client, &request), 0);
    assert_int_equal(errno, ECONNRESET);
}

static void test_malformed_packet_is_a_loss(void **state)
{
    packet_is_a_loss(*state, "\xff\xff\xff", 3);
}

static void test_message_without_content_is_a_loss(void **state)
{
    packet_is_a_loss(*state, "\x78\x01", 2); /* an unknown field alone */
}

static void test_empty_packet_is_a_loss(void **state)
{
    packet_is_a_loss(*state, "", 0);
}

static void test_too_large_a_packet_is_a_loss(void **state)
{
    char *packet = calloc(1, SECENV_PACKET_LIMIT + 1);
    packet_is_a_loss(*state, packet, SECENV_PACKET_LIMIT + 1);
    free(packet);
}

/* ---- calls ---- */

struct heard {
    unsigned count;
    char last[64];
};

static void on_event(void *context, const Groupseal__Secenv__Event *event)
{
    struct heard *heard = context;
    heard->count++;
    snprintf(heard->last, sizeof(heard->last), "%s", event->notice->text);
}

static void test_events_during_a_call(void **state)
{
    struct fixture *fixture = *state;
    struct heard heard = {0};
    char why[256] = "";
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    send_reply(fixture->peer, 77, GROUPSEAL__SECENV__CODE__OK, ""); /* another request's */
    send_event(fixture->peer, "one");
    send_event(fixture->peer, "two");
    send_reply(fixture->peer, 1, GROUPSEAL__SECENV__CODE__OK, "");
    From *message = secenv_client_call(fixture->client, &request, 1000, on_event, &heard, why, sizeof(why));
    assert_non_null(message);
    assert_int_equal(message->reply->id, 1);
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.last, "two");
    secenv_client_free(message);
}

static void test_call_times_out(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";
    To request;
    Groupseal__Secenv__Status status;
    request_status(&request, &status);

    assert_null(secenv_client_call(fixture->client, &request, 20, NULL, NULL, why, sizeof(why)));
    assert_non_null(strstr(why, "no answer"));
}

static void *hang_up(void *argument)
{
    int *peer = argument;
    uint8_t packet[256];
    recv(*peer, packet, sizeof(packet), 0);
    close(*peer);
    *peer = -1;
    return NULL;
}

static void test_call_is_told_of_a_loss(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";
    To request;
    Groupseal__Secenv__Status status;
    pthread_t thread;
    request_status(&request, &status);

    assert_int_equal(pthread_create(&thread, NULL, hang_up, &fixture->peer), 0);
    assert_null(secenv_client_call(fixture->client, &request, 5000, NULL, NULL, why, sizeof(why)));
    pthread_join(thread, NULL);
    assert_non_null(strstr(why, "lost"));
}

static void test_greeting_refused(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";

    send_reply(fixture->peer, 1, GROUPSEAL__SECENV__CODE__INVALID, "version 1 is not spoken here");
    assert_null(secenv_client_greet(fixture->client, 1000, why, sizeof(why)));
    assert_non_null(strstr(why, "not spoken here"));

    send_reply(fixture->peer, 2, GROUPSEAL__SECENV__CODE__OK, "");
    From *message = secenv_client_greet(fixture->client, 1000, why, sizeof(why));
    assert_non_null(message);
    assert_string_equal(message->reply->welcome->profile, "member");
    secenv_client_free(message);
}

/* ---- opening ---- */

static void test_no_service(void **state)
{
    (void)state;
    struct secenv_client_settings settings = {.socket_path = "/nowhere/secenv.sock"};
    char why[512] = "";
    assert_null(secenv_client_open(&settings, why, sizeof(why)));
    assert_non_null(strstr(why, "/nowhere/secenv.sock"));

    char longer[300];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    settings.socket_path = longer;
    assert_null(secenv_client_open(&settings, why, sizeof(why)));
    assert_non_null(strstr(why, "longer"));
}

static void test_service(void **state)
{
    (void)state;
    char directory[] = "/tmp/secenv-client-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);

    struct secenv_client_settings settings = {.socket_path = address.sun_path};
    char why[512] = "";
    struct secenv_client *client = secenv_client_open(&settings, why, sizeof(why));
    assert_non_null(client);
    int peer = accept(listener, NULL, NULL);
    send_reply(peer, 1, GROUPSEAL__SECENV__CODE__OK, "");
    From *message = secenv_client_greet(client, 1000, why, sizeof(why));
    assert_non_null(message);
    secenv_client_free(message);
    secenv_client_close(client);
    close(peer);
    close(listener);
    unlink(address.sun_path);
    rmdir(directory);
}

static void test_no_program(void **state)
{
    (void)state;
    struct secenv_client_settings settings = {.program = "/nowhere/secenv", .store = "/nowhere"};
    char why[512] = "";
    assert_null(secenv_client_open(&settings, why, sizeof(why)));
    assert_non_null(strstr(why, "/nowhere/secenv"));
    settings.store = NULL;
    settings.program = self_path;
    assert_null(secenv_client_open(&settings, why, sizeof(why)));
    assert_non_null(strstr(why, "no store"));
}

/* What a child must not inherit: open files, blocked and ignored signals. */
static void test_embedded(void **state)
{
    (void)state;
    struct secenv_client_settings settings = {.program = self_path,
                                              .store = "/the/store",
                                              .root_key = "/the/root.key",
                                              .audit_socket = "/the/audit.sock"};
    char why[512] = "";
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    signal(SIGUSR1, SIG_IGN);
    int leaked = open("/dev/null", O_RDONLY); /* not close-on-exec */
    assert_true(leaked > 2);

    struct secenv_client *client = secenv_client_open(&settings, why, sizeof(why));
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    signal(SIGUSR1, SIG_DFL);
    close(leaked);
    assert_non_null(client);
    From *message = secenv_client_greet(client, 10000, why, sizeof(why));
    assert_string_equal(why, "");
    assert_non_null(message);
    assert_string_equal(message->reply->welcome->profile, "as it should be");
    secenv_client_free(message);
    secenv_client_close(client); /* and returns: the child has ended */
}

/* ---- the other side of test_embedded ---- */

static const char *inherited(int argc, char **argv)
{
    static const char *const expected[] = {
        "secenv", "run",        "--store",       "/the/store",     "--owner-fd",
        "3",      "--root-key", "/the/root.key", "--audit-socket", "/the/audit.sock"};
    if (argc != (int)(sizeof(expected) / sizeof(expected[0]))) {
        return "arguments: another count";
    }
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], expected[i]) != 0) {
            return "arguments: another value";
        }
    }
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    if (sigismember(&mask, SIGTERM) == 1) {
        return "signals are blocked";
    }
    if (action.sa_handler != SIG_DFL) {
        return "a signal is ignored";
    }
    if (getsid(0) != getpid()) {
        return "no session of its own";
    }
    for (int fd = 0; fd < 256; fd++) {
        if ((fcntl(fd, F_GETFD) >= 0) != (fd <= 3)) {
            return "file descriptors";
        }
    }
    return "as it should be";
}

static int play_secenv(int argc, char **argv)
{
    From message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    uint8_t packet[1024];

    welcome.profile = (char *)(uintptr_t)inherited(argc, argv);
    reply.id = 1;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply.welcome = &welcome;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = &reply;
    if (recv(3, packet, sizeof(packet), 0) <= 0) {
        return 1;
    }
    size_t size = groupseal__secenv__from_secenv__pack(&message, packet);
    send(3, packet, size, MSG_NOSIGNAL);
    return recv(3, packet, sizeof(packet), 0) == 0 ? 0 : 1; /* until the owner closes */
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "run") == 0) {
        return play_secenv(argc, argv);
    }
    ssize_t length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
    if (length <= 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests_carry_rising_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_socket_says_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_a_request_is_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_to_a_peer_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed_packet_is_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_without_content_is_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_packet_is_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_a_packet_is_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_during_a_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_is_told_of_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greeting_refused, setup, teardown),
        cmocka_unit_test(test_no_service),
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_embedded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
