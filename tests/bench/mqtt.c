/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/mqtt.h"

#include "tests/bench/environment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_FIRST 2048u
#define PACKET_LIMIT ((size_t)256 * 1024)
#define FILES_BESIDE 64u /* of the process, beside its clients' */

enum packet {
    CONNECT = 0x10,
    CONNACK = 0x20,
    PUBLISH = 0x30,
    PUBACK = 0x40,
    SUBSCRIBE = 0x82,
    SUBACK = 0x90,
    UNSUBSCRIBE = 0xa2
};

/* ---- writing ---- */

static void *grown(void *data, size_t *size, size_t wanted)
{
    size_t next = *size == 0 ? IN_FIRST : *size;
    while (next < wanted) {
        next *= 2;
    }
    if (next == *size) {
        return data;
    }
    void *out = next <= 2 * PACKET_LIMIT ? realloc(data, next) : NULL;
    if (out == NULL) {
        bench_fail("an MQTT client's buffer would have %zu bytes", wanted);
    }
    *size = next;
    return out;
}

static size_t text_put(uint8_t *out, const char *text)
{
    size_t length = strlen(text);
    out[0] = (uint8_t)(length >> 8);
    out[1] = (uint8_t)length;
    memcpy(out + 2, text, length);
    return length + 2;
}

bool mqtt_write(struct mqtt_client *client)
{
    size_t at = 0;
    while (at < client->out_held) {
        ssize_t written = send(client->socket, client->out + at, client->out_held - at, MSG_NOSIGNAL);
        if (written < 0 && errno == EAGAIN) {
            break;
        }
        if (written <= 0) {
            bench_fail("the broker's connection: %s", strerror(errno));
        }
        at += (size_t)written;
    }
    client->out_held -= at;
    memmove(client->out, client->out + at, client->out_held);
    return client->out_held > 0;
}

/* `first` and `second` are the packet's body. */
static void packet_write(struct mqtt_client *client, unsigned type, const void *first, size_t first_length,
                         const void *second, size_t second_length)
{
    size_t left = first_length + second_length;
    client->out = grown(client->out, &client->out_size, client->out_held + left + 5);
    uint8_t *out = client->out + client->out_held;
    *out++ = (uint8_t)type;
    do {
        *out++ = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
        left >>= 7;
    } while (left > 0);
    memcpy(out, first, first_length);
    out += first_length;
    if (second_length > 0) {
        memcpy(out, second, second_length);
    }
    client->out_held = (size_t)(out - client->out) + second_length;
    (void)mqtt_write(client);
}

static size_t id_put(struct mqtt_client *client, uint8_t *out)
{
    client->last_id = client->last_id == UINT16_MAX ? 1 : (uint16_t)(client->last_id + 1);
    out[0] = (uint8_t)(client->last_id >> 8);
    out[1] = (uint8_t)client->last_id;
    return 2;
}

uint16_t mqtt_subscribe(struct mqtt_client *client, const char *filter, unsigned qos)
{
    uint8_t body[MQTT_TOPIC_LIMIT + 8];
    size_t length = id_put(client, body);
    length += text_put(body + length, filter);
    body[length++] = (uint8_t)qos;
    packet_write(client, SUBSCRIBE, body, length, NULL, 0);
    return client->last_id;
}

void mqtt_unsubscribe(struct mqtt_client *client, const char *filter)
{
    uint8_t body[MQTT_TOPIC_LIMIT + 8];
    size_t length = id_put(client, body);
    length += text_put(body + length, filter);
    packet_write(client, UNSUBSCRIBE, body, length, NULL, 0);
}

void mqtt_publish(struct mqtt_client *client, const char *topic, const void *payload, size_t length,
                  unsigned qos)
{
    uint8_t head[MQTT_TOPIC_LIMIT + 8];
    size_t at = text_put(head, topic);
    at += qos > 0 ? id_put(client, head + at) : 0;
    packet_write(client, PUBLISH | qos << 1, head, at, payload, length);
}

/* ---- reading ---- */

static void publish_take(struct mqtt_client *client, uint8_t first, uint8_t *body, size_t length)
{
    size_t topic = (size_t)body[0] << 8 | body[1];
    size_t at = topic + 2;
    char text[MQTT_TOPIC_LIMIT + 1];
    if (topic > MQTT_TOPIC_LIMIT || at + 2 > length) {
        bench_fail("a packet of the broker is not as expected");
    }
    memcpy(text, body + 2, topic);
    text[topic] = '\0';
    if ((first & 0x06) != 0) {
        packet_write(client, PUBACK, body + at, 2, NULL, 0);
        at += 2;
    }
    const struct mqtt_message message = {text, body + at, length - at, (first & 1) != 0};
    if (client->watch->message != NULL) {
        client->watch->message(client->watch->context, client, &message);
    }
}

static void packet_take(struct mqtt_client *client, uint8_t first, uint8_t *body, size_t length)
{
    const struct mqtt_watch *watch = client->watch;
    if ((first & 0xf0) == PUBLISH && length >= 4) {
        publish_take(client, first, body, length);
    } else if (first == CONNACK && length >= 2) {
        if (body[1] != 0) {
            bench_fail("the broker refuses a connection with %u", body[1]);
        }
        if (watch->connected != NULL) {
            watch->connected(watch->context, client);
        }
    } else if (first == SUBACK && length >= 3 && watch->subscribed != NULL) {
        watch->subscribed(watch->context, client, (uint16_t)(body[0] << 8 | body[1]), body[2]);
    }
}

/* The length of the packet at `from`, its body's in `body`; 0 where it is not whole. */
static size_t packet_length(const struct mqtt_client *client, size_t from, size_t *body)
{
    size_t at = from + 1;
    size_t length = 0;
    unsigned shift = 0;
    do {
        if (at >= client->in_held) {
            return 0;
        }
        length |= (size_t)(client->in[at] & 127) << shift;
        shift += 7;
    } while ((client->in[at++] & 128) != 0 && shift < 28);
    *body = length;
    return at + length - from;
}

static void packets_take(struct mqtt_client *client)
{
    size_t at = 0;
    size_t body = 0;
    size_t length = 0;
    while ((length = packet_length(client, at, &body)) > 0 && at + length <= client->in_held) {
        packet_take(client, client->in[at], client->in + at + length - body, body);
        at += length;
    }
    client->in_held -= at;
    memmove(client->in, client->in + at, client->in_held);
    if (length > client->in_size) {
        client->in = grown(client->in, &client->in_size, length);
    }
}

void mqtt_read(struct mqtt_client *client)
{
    for (;;) {
        size_t room = client->in_size - client->in_held;
        ssize_t got = recv(client->socket, client->in + client->in_held, room, 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            bench_fail("the broker ended a connection: %s", got < 0 ? strerror(errno) : "closed");
        }
        client->in_held += (size_t)got;
        packets_take(client);
        if ((size_t)got < room) {
            return; /* what comes later is told again */
        }
    }
}

/* ---- opening ---- */

void mqtt_open(struct mqtt_client *client, uint16_t port, const char *name, const char *password,
               const struct mqtt_watch *watch)
{
    static const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint8_t body[512];
    client->watch = watch;
    client->in = grown(client->in, &client->in_size, IN_FIRST);
    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0 ||
        connect(client->socket, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        fcntl(client->socket, F_SETFL, O_NONBLOCK) != 0) {
        bench_fail("no connection to the broker: %s", strerror(errno));
    }
    size_t at = text_put(body, "MQTT");
    memcpy(body + at, "\x04\xc2\x00\x00", 4); /* 3.1.1, user name, password, clean session, no keep-alive */
    at += 4;
    at += text_put(body + at, name);
    at += text_put(body + at, name);
    at += text_put(body + at, password);
    packet_write(client, CONNECT, body, at, NULL, 0);
}

void mqtt_close(struct mqtt_client *client)
{
    (void)close(client->socket);
    free(client->in);
    free(client->out);
}

void mqtt_files_raise(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        bench_fail("no limit of file descriptors: %s", strerror(errno));
    }
    if (limit.rlim_max < wanted + FILES_BESIDE) {
        struct rlimit more = {wanted + FILES_BESIDE, wanted + FILES_BESIDE};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
            return; /* root */
        }
        bench_fail("%zu clients need as many file descriptors; this machine allows %zu: ulimit -Hn", wanted,
                   (size_t)limit.rlim_max);
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        bench_fail("file descriptors: %s", strerror(errno));
    }
}
