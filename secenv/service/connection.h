/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_CONNECTION_H
#define GROUPSEAL_SECENV_SERVICE_CONNECTION_H

#include "secenv/service/dispatch.h"

/* A message on its way to a client; wiped when it is freed. */
struct packet {
    struct packet *next;
    size_t length;
    uint8_t data[];
};

/* Packs; NULL where it is over PACKET_LIMIT or memory is short. */
struct packet *packet_new(const Groupseal__Secenv__FromSecenv *message) MUST_USE;
void packet_free(struct packet *packet);

/* Above this much a connection is not read until it has taken what waits for it, so that a client that only
 * sends cannot fill its queue by replies. */
#define QUEUE_HIGH_WATER ((size_t)2 * 1024 * 1024)
/* A client that does not take its events ends. */
#define QUEUE_LIMIT ((size_t)8 * 1024 * 1024)

struct connection {
    uint64_t id;
    int fd;
    struct dispatch_state state;
    bool readable;
    bool ended; /* nothing more is read; it is closed after the batch */
    struct packet *first;
    struct packet *last;
    size_t queued; /* bytes */
};

/* Takes the descriptor over, which it makes non-blocking. NULL when memory is short (then it is closed). */
struct connection *connection_new(int fd, enum socket_kind socket, uint64_t id) MUST_USE;
void connection_free(struct connection *connection); /* closes; NULL is allowed */

enum received { RECEIVED_PACKET, RECEIVED_NOTHING, RECEIVED_END };

/* One packet into `packet` of PACKET_LIMIT + 1 bytes. One that is too long has PACKET_LIMIT + 1 of them. */
enum received connection_receive(struct connection *connection, uint8_t *packet, size_t *length) MUST_USE;

/* Takes the packet. RESULT_FULL over the limit: the connection must end. */
enum result connection_queue(struct connection *connection, struct packet *packet) MUST_USE;
/* Sends what can be sent without waiting. RESULT_UNKNOWN: the client is gone. */
enum result connection_flush(struct connection *connection) MUST_USE;

#endif
