/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/courier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The courier against a fake secenv on a UNIX socket, driven by the test itself. */

struct fake {
    char folder[64];
    char path[96];
    int listener;
    int connection;
    struct courier *courier;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fake_listen(struct fake *fake)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
    fake->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fake->listener >= 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fake->listener, 4), 0);
}

static struct fake *fake_new(void)
{
    char why[256];
    struct fake *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    snprintf(fake->folder, sizeof(fake->folder), "/tmp/plugin_courier.XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof(fake->path), "%s/owner.sock", fake->folder);
    fake->listener = fake->connection = -1;
    const struct secenv_client_settings settings = {.socket_path = fake->path};
    fake->courier = courier_start(&settings, why, sizeof(why));
    assert_non_null(fake->courier);
    return fake;
}

static void fake_free(struct fake *fake)
{
    courier_stop(fake->courier);
    if (fake->connection >= 0) {
        close(fake->connection);
    }
    if (fake->listener >= 0) {
        close(fake->listener);
    }
    unlink(fake->path);
    rmdir(fake->folder);
    free(fake);
}

/* The next result, asserted to come in time and to be of this kind. */
static struct courier_result *result_of(struct fake *fake, enum courier_kind kind)
{
    uint64_t end = now_ms() + 10000;
    struct courier_result *result;
    while ((result = courier_next(fake->courier)) == NULL) {
        assert_true(now_ms() < end);
        usleep(1000);
    }
    assert_int_equal(result->kind, kind);
    return result;
}

static void expect(struct fake *fake, enum courier_kind kind)
{
    courier_result_free(result_of(fake, kind));
}

/* Skips the failures to connect of before. */
static void connected(struct fake *fake)
{
    struct courier_result *result;
    uint64_t end = now_ms() + 10000;
    fake->connection = accept(fake->listener, NULL, NULL);
    assert_true(fake->connection >= 0);
    for (;;) {
        while ((result = courier_next(fake->courier)) == NULL) {
            assert_true(now_ms() < end);
            usleep(1000);
        }
        enum courier_kind kind = result->kind;
        courier_result_free(result);
        if (kind == COURIER_UP) {
            return;
        }
        assert_int_equal(kind, COURIER_DOWN);
    }
}

static bool ask(struct fake *fake, uint64_t tag, enum courier_rank rank)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    return courier_request(fake->courier, tag, &request, rank);
}

static uint64_t fake_receive(struct fake *fake)
{
    static uint8_t packet[SECENV_PACKET_LIMIT];
    ssize_t length = recv(fake->connection, packet, sizeof(packet), 0);
    assert_true(length > 0);
    Groupseal__Secenv__ToSecenv *request = groupseal__secenv__to_secenv__unpack(NULL, (size_t)length, packet);
    assert_non_null(request);
    uint64_t id = request->id;
    groupseal__secenv__to_secenv__free_unpacked(request, NULL);
    return id;
}

static void fake_reply(struct fake *fake, uint64_t id)
{
    uint8_t packet[64];
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    reply.id = id;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = &reply;
    size_t size = groupseal__secenv__from_secenv__pack(&message, packet);
    assert_int_equal(send(fake->connection, packet, size, MSG_NOSIGNAL), size);
}

static void fake_event(struct fake *fake)
{
    uint8_t packet[64];
    char text[] = "hello";
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    notice.text = text;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT;
    message.event = &event;
    size_t size = groupseal__secenv__from_secenv__pack(&message, packet);
    assert_int_equal(send(fake->connection, packet, size, MSG_NOSIGNAL), size);
}

static void test_requests_and_replies(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    assert_false(ask(fake, 1, COURIER_RANK_HIGH)); /* not connected */
    fake_listen(fake);
    connected(fake);
    for (uint64_t tag = 1; tag <= 100; tag++) { /* pipelined */
        assert_true(ask(fake, tag, COURIER_RANK_LOW));
    }
    for (uint64_t tag = 1; tag <= 100; tag++) {
        fake_reply(fake, fake_receive(fake));
    }
    fake_event(fake);
    for (uint64_t tag = 1; tag <= 100; tag++) {
        struct courier_result *result = result_of(fake, COURIER_REPLY);
        assert_int_equal(result->tag, tag);
        assert_non_null(result->message);
        courier_result_free(result);
    }
    struct courier_result *result = result_of(fake, COURIER_EVENT);
    assert_string_equal(result->message->event->notice->text, "hello");
    courier_result_free(result);
    assert_false(courier_waiting(fake->courier));
    fake_free(fake);
}

/* What was asked and not answered is told to be lost, each once; then it connects again. */
static void test_loss(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    fake_listen(fake);
    connected(fake);
    assert_true(ask(fake, 7, COURIER_RANK_LOW) && ask(fake, 8, COURIER_RANK_LOW));
    fake_reply(fake, fake_receive(fake));
    struct courier_result *replied = result_of(fake, COURIER_REPLY);
    assert_int_equal(replied->tag, 7);
    assert_non_null(replied->message);
    courier_result_free(replied);
    close(fake->connection);
    struct courier_result *lost = result_of(fake, COURIER_REPLY);
    assert_int_equal(lost->tag, 8);
    assert_null(lost->message);
    courier_result_free(lost);
    struct courier_result *down = result_of(fake, COURIER_DOWN);
    assert_string_not_equal(down->why, "");
    courier_result_free(down);
    connected(fake);
    assert_true(ask(fake, 9, COURIER_RANK_LOW));
    fake_reply(fake, fake_receive(fake));
    expect(fake, COURIER_REPLY);
    fake_free(fake);
}

/* Between a loss and its being told, nothing goes to the new connection: it would come before the greeting.
 */
static void test_not_before_it_is_told(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    fake_listen(fake);
    connected(fake);
    assert_true(ask(fake, 1, COURIER_RANK_HIGH));
    fake_receive(fake);
    close(fake->connection);
    fake->connection = accept(fake->listener, NULL, NULL); /* it is open again, and nobody took a result */
    assert_true(fake->connection >= 0);
    usleep(100 * 1000);
    assert_false(ask(fake, 2, COURIER_RANK_HIGH));
    expect(fake, COURIER_REPLY);
    expect(fake, COURIER_DOWN);
    assert_false(ask(fake, 3, COURIER_RANK_HIGH));
    expect(fake, COURIER_UP);
    assert_true(ask(fake, 4, COURIER_RANK_HIGH));
    fake_free(fake);
}

/* An answer to nothing, and bytes that are no message, end the connection. */
static void test_nonsense(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    fake_listen(fake);
    connected(fake);
    fake_reply(fake, 99);
    expect(fake, COURIER_DOWN);
    close(fake->connection);
    connected(fake);
    assert_int_equal(send(fake->connection, "\xff\xff\xff", 3, MSG_NOSIGNAL), 3);
    expect(fake, COURIER_DOWN);
    close(fake->connection);
    connected(fake);
    fake_free(fake);
}

static size_t asked_until_full(struct fake *fake, size_t tag, enum courier_rank rank)
{
    while (ask(fake, tag + 1, rank)) {
        tag++;
        assert_true(tag < 100000);
    }
    return tag;
}

/* The queue is bounded while secenv does not read; who has a higher rank has room of its own. */
static void test_full(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    fake_listen(fake);
    connected(fake);
    size_t low = asked_until_full(fake, 0, COURIER_RANK_LOW);
    /* The socket takes some out of the queue, in the helper's own time: until that is full too. */
    for (unsigned unchanged = 0; unchanged < 6; unchanged++) {
        usleep(50 * 1000);
        size_t more = asked_until_full(fake, low, COURIER_RANK_LOW);
        unchanged = more == low ? unchanged : 0;
        low = more;
    }
    assert_true(low >= COURIER_REQUESTS_LIMIT - 2 * COURIER_RANK_ROOM);
    size_t middle = asked_until_full(fake, low, COURIER_RANK_MIDDLE);
    /* The helper may have had one in its hand, to try the socket again. */
    assert_in_range(middle - low, COURIER_RANK_ROOM - 1, COURIER_RANK_ROOM + 1);
    assert_false(ask(fake, middle + 1, COURIER_RANK_LOW));
    size_t taken = asked_until_full(fake, middle, COURIER_RANK_HIGH);
    assert_in_range(taken - middle, COURIER_RANK_ROOM - 1, COURIER_RANK_ROOM + 1);
    for (size_t i = 0; i < taken; i++) {
        fake_reply(fake, fake_receive(fake));
        struct courier_result *result = result_of(fake, COURIER_REPLY);
        assert_int_equal(result->tag, i + 1);
        courier_result_free(result);
    }
    fake_free(fake);
}

/* Results that nobody takes do not pile up without bound: secenv waits. */
static void test_results_wait(void **state)
{
    struct fake *fake = fake_new();
    size_t taken = 0;
    (void)state;
    fake_listen(fake);
    connected(fake);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (size_t i = 0; i < COURIER_RESULTS_LIMIT + 2000; i++) {
            fake_event(fake); /* blocks while the socket is full */
        }
        _exit(0);
    }
    usleep(300 * 1000);
    while (taken < COURIER_RESULTS_LIMIT + 2000) {
        expect(fake, COURIER_EVENT);
        taken++;
    }
    fake_free(fake);
}

/* A wait of the main thread ends when something has come. */
static void test_wakes_the_main_thread(void **state)
{
    struct fake *fake = fake_new();
    struct epoll_event event;
    (void)state;
    fake_listen(fake);
    connected(fake);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epoll >= 0);
    usleep(1000 * 1000); /* the signal of an idle second is over */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(100 * 1000);
        fake_event(fake);
        _exit(0);
    }
    uint64_t start = now_ms();
    while (!courier_waiting(fake->courier)) {
        int ready = epoll_wait(epoll, &event, 1, 5000);
        assert_int_equal(ready, -1);
        assert_int_equal(errno, EINTR);
    }
    assert_true(now_ms() - start < 3000);
    expect(fake, COURIER_EVENT);
    close(epoll);
    fake_free(fake);
}

/* The start's wait ends with what comes, and else at its deadline. */
static void test_await(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    fake_listen(fake);
    connected(fake);
    uint64_t start = now_ms();
    assert_false(courier_await(fake->courier, start + 200));
    assert_true(now_ms() >= start + 200);
    assert_true(now_ms() < start + 2000);
    assert_false(courier_await(fake->courier, start)); /* long ago */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(100 * 1000);
        fake_event(fake);
        _exit(0);
    }
    start = now_ms();
    assert_true(courier_await(fake->courier, start + 10000));
    assert_true(now_ms() < start + 5000);
    assert_true(courier_await(fake->courier, start)); /* it is there */
    expect(fake, COURIER_EVENT);
    fake_free(fake);
}

/* Nothing is there to connect to: it says why, tries again ever more seldom, and ends when told to. */
static void test_nobody_there(void **state)
{
    struct fake *fake = fake_new();
    (void)state;
    struct courier_result *down = result_of(fake, COURIER_DOWN);
    assert_non_null(strstr(down->why, fake->path));
    courier_result_free(down);
    expect(fake, COURIER_DOWN);
    fake_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_and_replies),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_not_before_it_is_told),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_results_wait),
        cmocka_unit_test(test_wakes_the_main_thread),
        cmocka_unit_test(test_await),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
