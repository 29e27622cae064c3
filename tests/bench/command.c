/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_command PORT PASSWORD OPERATOR-SOCKET GROUP MEMBERS ROUNDS
 *
 * From the request to the last sealed byte: an order over the operator's socket of the authority, beside a
 * plain publish of the same size, each to the sockets of all members (devices 1 to MEMBERS), in turns, the
 * one first and the other first alternately. Either time begins where its request, or its publish, is written
 * to a socket that has been open all along, and ends with the last byte at the last member's; all of them are
 * read by this one process, and acknowledge. What is left of one is waited for before the other begins. One
 * JSON object.
 */
#include "tests/bench/environment.h"
#include "tests/bench/mqtt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BODY_LENGTH 64u
#define WARM_UP 3u
#define ROUNDS_MAX 240u /* as many commands are open at a time in one group */
#define VALID_MS 3600000u
#define OPENING 64u /* connections at a time */
#define SILENCE_MS 60000
#define REFUSED 0x80u
#define ASK_S 0.5
#define SETTLE_S 0.03 /* and so long more for each member: acknowledgements are done with */
#define SETTLE_EACH_S 20e-6
#define EVENTS 512
#define PLAIN_TOPIC "measuring/v1/mn-1/%s/cmd" /* as long as the other */

struct socket {
    struct mqtt_client mqtt;
    unsigned subscribed; /* topics */
};

struct bench {
    uint16_t port;
    const char *password;
    const char *group;
    unsigned members;
    unsigned rounds;
    char sealed_topic[MQTT_TOPIC_LIMIT];
    char plain_topic[MQTT_TOPIC_LIMIT];
    struct mqtt_watch watch;
    int epoll;
    struct socket *sockets; /* the last one publishes */
    struct secenv_client *operator_client;
    unsigned ready;
    unsigned refused; /* subscriptions, since they were asked for last */
    unsigned sealed;  /* messages since this was set to 0 */
    unsigned plain;
    size_t sealed_length;
};

static uint8_t body[BODY_LENGTH] = "{\"m2m:cin\": {\"con\": \"close\"}}";

/* ---- sockets ---- */

static void subscribe_missing(struct bench *bench, struct socket *one)
{
    const char *topics[] = {bench->sealed_topic, bench->plain_topic};
    if (one->subscribed < 2) {
        (void)mqtt_subscribe(&one->mqtt, topics[one->subscribed], 1);
    }
}

static void connected(void *context, struct mqtt_client *client)
{
    struct bench *bench = context;
    struct socket *one = client->owner;
    if (one == &bench->sockets[bench->members]) {
        bench->ready++;
    } else {
        subscribe_missing(bench, one);
    }
}

static void subscribed(void *context, struct mqtt_client *client, uint16_t id, uint8_t granted)
{
    struct bench *bench = context;
    struct socket *one = client->owner;
    (void)id;
    if (granted == REFUSED) {
        bench->refused++; /* the MN-CSE does not know the roster yet */
        return;
    }
    one->subscribed++;
    bench->ready += one->subscribed == 2 ? 1 : 0;
    subscribe_missing(bench, one);
}

static void message_taken(void *context, struct mqtt_client *client, const struct mqtt_message *message)
{
    struct bench *bench = context;
    (void)client;
    if (strcmp(message->topic, bench->sealed_topic) == 0) {
        bench->sealed++;
        bench->sealed_length = message->length;
    } else {
        bench->plain++;
    }
}

static void operator_take(struct bench *bench)
{
    for (;;) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        switch (secenv_client_receive(bench->operator_client, &message)) {
        case SECENV_CLIENT_NOTHING:
            return;
        case SECENV_CLIENT_LOST:
            bench_fail("the authority's secenv is lost");
        case SECENV_CLIENT_MESSAGE:
            break;
        }
        if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY &&
            message->reply->code != GROUPSEAL__SECENV__CODE__OK) {
            bench_fail("the order: %s", message->reply->reason);
        }
        secenv_client_free(message);
    }
}

static void pump(struct bench *bench, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(bench->epoll, events, EVENTS, timeout_ms);
    if (count == 0 && timeout_ms == SILENCE_MS) {
        bench_fail("silence: %u sealed, %u plain messages of %u have come", bench->sealed, bench->plain,
                   bench->members);
    }
    for (int i = 0; i < count; i++) {
        struct socket *one = events[i].data.ptr;
        if (one == NULL) {
            operator_take(bench);
            continue;
        }
        if ((events[i].events & EPOLLOUT) != 0) {
            (void)mqtt_write(&one->mqtt);
        }
        mqtt_read(&one->mqtt);
    }
}

static void settle(struct bench *bench)
{
    double end_s = bench_now_s() + SETTLE_S + SETTLE_EACH_S * bench->members;
    double left_s = 0;
    while ((left_s = end_s - bench_now_s()) > 0) {
        pump(bench, (int)(left_s * 1000) + 1);
    }
}

static void watch_fd(const struct bench *bench, int fd, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = owner};
    event.events = owner == NULL ? EPOLLIN : event.events;
    if (epoll_ctl(bench->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        bench_fail("epoll: %s", strerror(errno));
    }
}

static void sockets_open(struct bench *bench)
{
    char name[64];
    for (unsigned i = 0; i <= bench->members; i++) {
        struct socket *one = &bench->sockets[i];
        (void)snprintf(name, sizeof(name), i == bench->members ? "Splain" : "Sbench%06u", i + 1);
        one->mqtt.owner = one;
        mqtt_open(&one->mqtt, bench->port, name, bench->password, &bench->watch);
        watch_fd(bench, one->mqtt.socket, one);
        while (i + 1 - bench->ready > OPENING && bench->refused == 0) {
            pump(bench, SILENCE_MS);
        }
    }
    while (bench->ready <= bench->members) {
        double asked_s = bench_now_s();
        while (bench->ready <= bench->members && bench_now_s() - asked_s < ASK_S) {
            pump(bench, 100);
        }
        for (unsigned i = 0; bench->refused > 0 && i < bench->members; i++) {
            subscribe_missing(bench, &bench->sockets[i]);
        }
        bench->refused = 0;
    }
}

/* ---- measuring ---- */

static double sealed_ms(struct bench *bench)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__OrderSend order = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    order.group = (char *)(uintptr_t)bench->group;
    order.body = (ProtobufCBinaryData){BODY_LENGTH, body};
    order.valid_ms = VALID_MS;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    request.order_send = &order;
    bench->sealed = 0;
    double start_s = bench_now_s();
    if (secenv_client_send(bench->operator_client, &request) == 0) {
        bench_fail("the authority takes no order: %s", strerror(errno));
    }
    while (bench->sealed < bench->members) {
        pump(bench, SILENCE_MS);
    }
    double end_s = bench_now_s();
    settle(bench);
    return (end_s - start_s) * 1000;
}

static double plain_ms(struct bench *bench)
{
    static const uint8_t payload[4096] = {0};
    if (bench->sealed_length > sizeof(payload)) {
        bench_fail("a command has %zu bytes", bench->sealed_length);
    }
    bench->plain = 0;
    double start_s = bench_now_s();
    mqtt_publish(&bench->sockets[bench->members].mqtt, bench->plain_topic, payload, bench->sealed_length, 1);
    while (bench->plain < bench->members) {
        pump(bench, SILENCE_MS);
    }
    double end_s = bench_now_s();
    settle(bench);
    return (end_s - start_s) * 1000;
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* The nearest rank: the least value that so large a share of them does not exceed. */
static double percentile(double *values, unsigned count, unsigned hundredths)
{
    qsort(values, count, sizeof(*values), compare);
    return values[(count * hundredths + 99) / 100 - 1];
}

static void measure(struct bench *bench)
{
    static double sealed[ROUNDS_MAX];
    static double plain[ROUNDS_MAX];
    for (unsigned i = 0; i < WARM_UP; i++) {
        (void)sealed_ms(bench);
        (void)plain_ms(bench);
    }
    for (unsigned i = 0; i < bench->rounds; i++) {
        if (i % 2 == 0) {
            sealed[i] = sealed_ms(bench);
        }
        plain[i] = plain_ms(bench);
        if (i % 2 != 0) {
            sealed[i] = sealed_ms(bench);
        }
    }
    double p99 = percentile(sealed, bench->rounds, 99);
    double plain_p99 = percentile(plain, bench->rounds, 99);
    printf("{\"bench\": \"command\", \"members\": %u, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"plain_p50_ms\": "
           "%.2f, "
           "\"plain_p99_ms\": %.2f, \"ratio_p99\": %.3f, \"rounds\": %u, \"bytes\": %zu}\n",
           bench->members, percentile(sealed, bench->rounds, 50), p99, percentile(plain, bench->rounds, 50),
           plain_p99, p99 / plain_p99, bench->rounds, bench->sealed_length);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (argc != 7) {
        (void)fputs("usage: bench_command PORT PASSWORD OPERATOR-SOCKET GROUP MEMBERS ROUNDS\n", stderr);
        return 2;
    }
    bench.port = (uint16_t)strtoul(argv[1], NULL, 10);
    bench.password = argv[2];
    bench.group = argv[4];
    bench.members = (unsigned)strtoul(argv[5], NULL, 10);
    bench.rounds = (unsigned)strtoul(argv[6], NULL, 10);
    if (bench.rounds == 0 || bench.rounds > ROUNDS_MAX - WARM_UP) {
        bench_fail("ROUNDS must be 1 to %u", ROUNDS_MAX - WARM_UP);
    }
    (void)snprintf(bench.sealed_topic, sizeof(bench.sealed_topic), "groupseal/v1/mn-1/%s/cmd", bench.group);
    (void)snprintf(bench.plain_topic, sizeof(bench.plain_topic), PLAIN_TOPIC, bench.group);
    bench.watch = (struct mqtt_watch){connected, subscribed, message_taken, &bench};
    mqtt_files_raise(bench.members + 1);
    bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    bench.sockets = calloc(bench.members + 1, sizeof(*bench.sockets));
    if (bench.epoll < 0 || bench.sockets == NULL) {
        bench_fail("no epoll, or no memory");
    }
    bench.operator_client = environment_connect(argv[3]);
    watch_fd(&bench, secenv_client_fd(bench.operator_client), NULL);
    sockets_open(&bench);
    settle(&bench);
    measure(&bench);
    for (unsigned i = 0; i <= bench.members; i++) {
        mqtt_close(&bench.sockets[i].mqtt);
    }
    secenv_client_close(bench.operator_client);
    (void)close(bench.epoll);
    free(bench.sockets);
    return 0;
}
