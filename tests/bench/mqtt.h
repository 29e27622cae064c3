/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_MQTT_H
#define GROUPSEAL_BENCH_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * MQTT 3.1.1 on sockets of one's own, ten thousand of them in one thread, so that what is measured is the
 * broker and not a client library. Not blocking: what the socket does not take waits. Every message of QoS 1
 * is acknowledged. What goes wrong ends the benchmark.
 */
#define MQTT_TOPIC_LIMIT 512u

struct mqtt_message {
    const char *topic; /* zero terminated; a view, as the payload */
    const uint8_t *payload;
    size_t length;
    bool retained;
};

struct mqtt_client;

/* What comes, in its order; each may be NULL. */
struct mqtt_watch {
    void (*connected)(void *context, struct mqtt_client *client);
    /* `granted`: the QoS, or 0x80. */
    void (*subscribed)(void *context, struct mqtt_client *client, uint16_t id, uint8_t granted);
    void (*message)(void *context, struct mqtt_client *client, const struct mqtt_message *message);
    void *context;
};

struct mqtt_client {
    int socket;
    const struct mqtt_watch *watch;
    void *owner; /* of whoever opened it */
    uint8_t *in;
    size_t in_held;
    size_t in_size;
    uint8_t *out; /* what the socket has not taken yet */
    size_t out_held;
    size_t out_size;
    uint16_t last_id;
};

/* Connects to a port of this machine, with `name` as client id and user name. */
void mqtt_open(struct mqtt_client *client, uint16_t port, const char *name, const char *password,
               const struct mqtt_watch *watch);
void mqtt_close(struct mqtt_client *client);

/* Returns the id that `subscribed` will name. */
uint16_t mqtt_subscribe(struct mqtt_client *client, const char *filter, unsigned qos);
void mqtt_unsubscribe(struct mqtt_client *client, const char *filter);
void mqtt_publish(struct mqtt_client *client, const char *topic, const void *payload, size_t length,
                  unsigned qos);

/* Takes all that the socket holds. */
void mqtt_read(struct mqtt_client *client);
/* Writes what waits; true where something is left for when the socket can be written. */
bool mqtt_write(struct mqtt_client *client);

/* As many file descriptors as this machine lets the process have; ends the benchmark where `wanted` is more.
 */
void mqtt_files_raise(size_t wanted);

#endif
