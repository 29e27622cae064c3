/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Foreign traffic for the overhead benchmark: MQTT 3.1.1 on raw sockets, so that what is measured is the
 * broker. bench_traffic PORT fan-out|point-to-point QOS MESSAGES One publisher and many subscribers, or as
 * many pairs, each pair on its own topic. In rounds: every publisher sends a batch, and all wait until it has
 * arrived everywhere. Prints the number of delivered messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAN_OUT 40u
#define PAIRS 20u
#define BATCH 10u
#define BODY 100u
#define BUFFER 65536u
#define SILENCE_MS 20000

struct client {
    int socket;
    bool subscriber;
    char topic[32];
    uint8_t in[BUFFER];
    size_t held;
    uint64_t publishes; /* received */
    uint64_t others;    /* CONNACK, SUBACK, PUBACK received */
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_traffic: %s: %s\n", what, errno != 0 ? strerror(errno) : "not as expected");
    exit(1);
}

static void all_write(const struct client *client, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(client->socket, data, length);
        if (written <= 0) {
            fail("write");
        }
        data += written;
        length -= (size_t)written;
    }
}

static size_t text_put(uint8_t *out, const char *text)
{
    size_t length = strlen(text);
    out[0] = (uint8_t)(length >> 8);
    out[1] = (uint8_t)length;
    memcpy(out + 2, text, length);
    return length + 2;
}

/* Packets here are shorter than 16 KiB. */
static size_t head_put(uint8_t *out, uint8_t type, size_t length)
{
    size_t at = 0;
    out[at++] = type;
    if (length >= 128) {
        out[at++] = (uint8_t)((length & 127) | 128);
        length >>= 7;
    }
    out[at++] = (uint8_t)length;
    return at;
}

static void packet_write(const struct client *client, uint8_t type, const uint8_t *body, size_t length)
{
    uint8_t packet[256];
    size_t head = head_put(packet, type, length);
    memcpy(packet + head, body, length);
    all_write(client, packet, head + length);
}

static void puback_write(const struct client *client, const uint8_t *identifier)
{
    packet_write(client, 0x40, identifier, 2);
}

/* One packet of what is held; its length, or 0 where it is not whole. */
static size_t packet_read(struct client *client, size_t from)
{
    size_t at = from + 1;
    size_t length = 0;
    unsigned shift = 0;
    do {
        if (at >= client->held) {
            return 0;
        }
        length |= (size_t)(client->in[at] & 127) << shift;
        shift += 7;
    } while ((client->in[at++] & 128) != 0);
    if (at + length > client->held) {
        return 0;
    }
    if ((client->in[from] & 0xf0) != 0x30) {
        client->others++;
    } else {
        client->publishes++;
        if ((client->in[from] & 0x06) != 0) {
            size_t topic = (size_t)client->in[at] << 8 | client->in[at + 1];
            puback_write(client, client->in + at + 2 + topic);
        }
    }
    return at + length - from;
}

static void client_read(struct client *client)
{
    ssize_t got = read(client->socket, client->in + client->held, sizeof(client->in) - client->held);
    if (got <= 0) {
        fail("read");
    }
    client->held += (size_t)got;
    size_t at = 0;
    size_t length;
    while ((length = packet_read(client, at)) > 0) {
        at += length;
    }
    memmove(client->in, client->in + at, client->held - at);
    client->held -= at;
}

static void clients_await(struct client *clients, size_t count, uint64_t publishes, uint64_t others)
{
    struct pollfd fds[2 * FAN_OUT];
    for (;;) {
        bool missing = false;
        for (size_t i = 0; i < count; i++) {
            bool waits =
                clients[i].subscriber ? clients[i].publishes < publishes : clients[i].others < others;
            fds[i] = (struct pollfd){.fd = waits ? clients[i].socket : -1, .events = POLLIN};
            missing = missing || waits;
        }
        if (!missing) {
            return;
        }
        if (poll(fds, count, SILENCE_MS) <= 0) {
            fail("silence");
        }
        for (size_t i = 0; i < count; i++) {
            if (fds[i].revents != 0) {
                client_read(&clients[i]);
            }
        }
    }
}

static void client_open(struct client *client, uint16_t port, unsigned number)
{
    static const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint8_t body[128];
    char name[32];

    client->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (client->socket < 0 ||
        connect(client->socket, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        fail("connect");
    }
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    snprintf(name, sizeof(name), "bench-%u", number);
    size_t at = text_put(body, "MQTT");
    memcpy(body + at, "\x04\x02\x00\x00", 4); /* 3.1.1, clean session, no keep-alive */
    at += 4;
    at += text_put(body + at, name);
    packet_write(client, 0x10, body, at);
    while (client->others < 1) {
        client_read(client);
    }
    if (client->subscriber) {
        memcpy(body, "\x00\x01", 2);
        at = 2 + text_put(body + 2, client->topic);
        body[at++] = 1;
        packet_write(client, 0x82, body, at);
        while (client->others < 2) {
            client_read(client);
        }
    }
}

static void batch_write(const struct client *client, unsigned qos)
{
    uint8_t batch[BATCH * (BODY + 64)];
    uint8_t body[BODY + 64];
    size_t length = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        size_t at = text_put(body, client->topic);
        if (qos > 0) {
            body[at++] = 0;
            body[at++] = (uint8_t)(i + 1);
        }
        memset(body + at, 'x', BODY);
        at += BODY;
        length += head_put(batch + length, (uint8_t)(0x30 | qos << 1), at);
        memcpy(batch + length, body, at);
        length += at;
    }
    all_write(client, batch, length);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fail("usage: bench_traffic PORT fan-out|point-to-point QOS MESSAGES");
    }
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    bool fan_out = strcmp(argv[2], "fan-out") == 0;
    unsigned qos = (unsigned)strtoul(argv[3], NULL, 10);
    unsigned publishers = fan_out ? 1 : PAIRS;
    unsigned subscribers = fan_out ? FAN_OUT : PAIRS;
    unsigned count = publishers + subscribers;
    unsigned rounds = (unsigned)strtoul(argv[4], NULL, 10) / (BATCH * subscribers);
    struct client *clients = calloc(count, sizeof(*clients));

    if (clients == NULL) {
        fail("memory");
    }
    for (unsigned i = 0; i < count; i++) {
        clients[i].subscriber = i >= publishers;
        snprintf(clients[i].topic, sizeof(clients[i].topic), "bench/site/%u/value",
                 fan_out                 ? 0
                 : clients[i].subscriber ? i - publishers
                                         : i);
        client_open(&clients[i], port, i);
    }
    for (unsigned round = 1; round <= rounds; round++) {
        for (unsigned i = 0; i < publishers; i++) {
            batch_write(&clients[i], qos);
        }
        uint64_t acknowledged = qos > 0 ? (uint64_t)round * BATCH : 0;
        clients_await(clients, count, (uint64_t)round * BATCH, 1 + acknowledged);
    }
    printf("%u\n", rounds * BATCH * subscribers);
    for (unsigned i = 0; i < count; i++) {
        close(clients[i].socket);
    }
    free(clients);
    return 0;
}
