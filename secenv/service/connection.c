/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct packet *packet_new(const Groupseal__Secenv__FromSecenv *message)
{
    size_t length = groupseal__secenv__from_secenv__get_packed_size(message);
    if (length > PACKET_LIMIT) {
        return NULL;
    }
    struct packet *packet = malloc(sizeof(*packet) + length);
    if (packet != NULL) {
        packet->next = NULL;
        packet->length = groupseal__secenv__from_secenv__pack(message, packet->data);
    }
    return packet;
}

void packet_free(struct packet *packet)
{
    if (packet != NULL) {
        secret_wipe_bytes(packet->data, packet->length);
        free(packet);
    }
}

struct connection *connection_new(int fd, enum socket_kind socket, uint64_t id)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        free(connection);
        (void)close(fd);
        return NULL;
    }
    connection->id = id;
    connection->fd = fd;
    connection->state.socket = socket;
    return connection;
}

static void connection_shift(struct connection *connection)
{
    struct packet *packet = connection->first;
    connection->first = packet->next;
    if (connection->first == NULL) {
        connection->last = NULL;
    }
    connection->queued -= packet->length;
    packet_free(packet);
}

void connection_free(struct connection *connection)
{
    if (connection == NULL) {
        return;
    }
    while (connection->first != NULL) {
        connection_shift(connection);
    }
    (void)close(connection->fd);
    free(connection);
}

enum received connection_receive(struct connection *connection, uint8_t *packet, size_t *length)
{
    ssize_t received;
    do {
        received = recv(connection->fd, packet, PACKET_LIMIT + 1, 0);
    } while (received < 0 && errno == EINTR);
    if (received > 0) {
        *length = (size_t)received;
        return RECEIVED_PACKET;
    }
    bool nothing = received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    return nothing ? RECEIVED_NOTHING : RECEIVED_END;
}

enum result connection_queue(struct connection *connection, struct packet *packet)
{
    if (packet->length > QUEUE_LIMIT - connection->queued) {
        packet_free(packet);
        return RESULT_FULL;
    }
    if (connection->last == NULL) {
        connection->first = packet;
    } else {
        connection->last->next = packet;
    }
    connection->last = packet;
    connection->queued += packet->length;
    return RESULT_OK;
}

enum result connection_flush(struct connection *connection)
{
    while (connection->first != NULL) {
        const struct packet *packet = connection->first;
        if (send(connection->fd, packet->data, packet->length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? RESULT_OK : RESULT_UNKNOWN;
        }
        connection_shift(connection);
    }
    return RESULT_OK;
}
