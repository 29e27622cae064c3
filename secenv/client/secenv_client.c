/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/client/secenv_client.h"

#include "secenv/client/embedded.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct secenv_client {
    int fd;
    pid_t pid; /* of the embedded one, else -1 */
    bool lost;
    uint64_t last_id;
    uint64_t called_id;                      /* the last call's; 0: it was not sent */
    uint8_t packet[SECENV_PACKET_LIMIT + 1]; /* a byte more tells a packet that is too long */
};

/* ---- memory of messages: its size stands before each piece, so that all of it is wiped ---- */

struct piece {
    alignas(max_align_t) size_t size;
};

static void *piece_alloc(void *context, size_t size)
{
    (void)context;
    if (size > SIZE_MAX - sizeof(struct piece)) {
        return NULL;
    }
    struct piece *piece = malloc(sizeof(*piece) + size);
    if (piece == NULL) {
        return NULL;
    }
    piece->size = size;
    return piece + 1;
}

static void piece_free(void *context, void *memory)
{
    (void)context;
    if (memory == NULL) {
        return;
    }
    struct piece *piece = (struct piece *)memory - 1;
    explicit_bzero(memory, piece->size);
    free(piece);
}

static ProtobufCAllocator wiping_allocator = {.alloc = piece_alloc, .free = piece_free};

/* ---- opening ---- */

static int service_connect(const char *path, char *why, size_t why_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        snprintf(why, why_size, "the secenv socket path %s is longer than %zu bytes", path,
                 sizeof(address.sun_path) - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        snprintf(why, why_size, "no socket for secenv: %s", strerror(errno));
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        snprintf(why, why_size,
                 "cannot connect to secenv at %s: %s; is its service running, and may this user use it?",
                 path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

struct secenv_client *secenv_client_adopt(int fd)
{
    struct secenv_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    client->fd = fd;
    client->pid = -1;
    return client;
}

struct secenv_client *secenv_client_open(const struct secenv_client_settings *settings, char *why,
                                         size_t why_size)
{
    struct embedded started = {.fd = -1, .pid = -1};

    if (settings->socket_path != NULL) {
        started.fd = service_connect(settings->socket_path, why, why_size);
        if (started.fd < 0) {
            return NULL;
        }
    } else if (!embedded_start(settings, &started, why, why_size)) {
        return NULL;
    }

    struct secenv_client *client = secenv_client_adopt(started.fd);
    if (client == NULL) {
        snprintf(why, why_size, "out of memory");
        close(started.fd);
        if (started.pid > 0) {
            embedded_wait(started.pid);
        }
        return NULL;
    }
    client->pid = started.pid;
    return client;
}

void secenv_client_kill(struct secenv_client *client)
{
    if (client->pid > 0) {
        kill(client->pid, SIGKILL); /* not waited for yet, so the number is still its own */
    }
}

void secenv_client_close(struct secenv_client *client)
{
    if (client == NULL) {
        return;
    }
    close(client->fd);
    if (client->pid > 0) {
        embedded_wait(client->pid);
    }
    explicit_bzero(client, sizeof(*client));
    free(client);
}

int secenv_client_fd(const struct secenv_client *client)
{
    return client->fd;
}

/* ---- sending and receiving ---- */

/* The peer is gone or no secenv: it hears of it at once, and no later packet is looked at. */
static void client_lose(struct secenv_client *client)
{
    client->lost = true;
    shutdown(client->fd, SHUT_RDWR);
}

uint64_t secenv_client_send(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request)
{
    if (client->lost) {
        errno = ECONNRESET;
        return 0;
    }
    request->id = client->last_id + 1;
    size_t size = groupseal__secenv__to_secenv__get_packed_size(request);
    if (size > SECENV_PACKET_LIMIT) {
        errno = EMSGSIZE;
        return 0;
    }
    groupseal__secenv__to_secenv__pack(request, client->packet);
    ssize_t sent;
    do {
        sent = send(client->fd, client->packet, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    int error = errno;
    explicit_bzero(client->packet, size);
    if (sent < 0) {
        if (error != EAGAIN && error != ENOBUFS) {
            client_lose(client);
            error = ECONNRESET;
        } else {
            error = EAGAIN;
        }
        errno = error;
        return 0;
    }
    client->last_id = request->id;
    return request->id;
}

enum secenv_client_state secenv_client_receive(struct secenv_client *client,
                                               Groupseal__Secenv__FromSecenv **message)
{
    *message = NULL;
    if (client->lost) {
        return SECENV_CLIENT_LOST;
    }
    ssize_t length;
    do {
        length = recv(client->fd, client->packet, sizeof(client->packet), MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    if (length < 0 && errno == EAGAIN) {
        return SECENV_CLIENT_NOTHING;
    }
    if (length <= 0 || (size_t)length > SECENV_PACKET_LIMIT) {
        client_lose(client);
        return SECENV_CLIENT_LOST;
    }
    *message = groupseal__secenv__from_secenv__unpack(&wiping_allocator, (size_t)length, client->packet);
    explicit_bzero(client->packet, (size_t)length);
    if (*message == NULL || (*message)->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT__NOT_SET) {
        secenv_client_free(*message);
        *message = NULL;
        client_lose(client);
        return SECENV_CLIENT_LOST;
    }
    return SECENV_CLIENT_MESSAGE;
}

void secenv_client_free(Groupseal__Secenv__FromSecenv *message)
{
    if (message != NULL) {
        groupseal__secenv__from_secenv__free_unpacked(message, &wiping_allocator);
    }
}

/* ---- calls of command-line tools ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the socket until the deadline; false where that has passed. */
static bool wait_until(const struct secenv_client *client, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - now_ms();
        if (left <= 0) {
            return false;
        }
        struct pollfd poll_fd = {.fd = client->fd, .events = events};
        int ready = poll(&poll_fd, 1, left > 1000 ? 1000 : (int)left);
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

static uint64_t send_until(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request,
                           int64_t deadline_ms, char *why, size_t why_size)
{
    for (;;) {
        uint64_t id = secenv_client_send(client, request);
        if (id != 0) {
            return id;
        }
        if (errno == EMSGSIZE) {
            snprintf(why, why_size, "the request is larger than %u bytes: ask for less at once",
                     SECENV_PACKET_LIMIT);
            return 0;
        }
        if (errno != EAGAIN) {
            snprintf(why, why_size, "the connection to secenv is lost: see secenv's log");
            return 0;
        }
        if (!wait_until(client, POLLOUT, deadline_ms)) {
            snprintf(why, why_size, "secenv takes no more requests: is it overloaded?");
            return 0;
        }
    }
}

Groupseal__Secenv__FromSecenv *
secenv_client_call(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request, int timeout_ms,
                   void (*on_event)(void *context, const Groupseal__Secenv__Event *event), void *context,
                   char *why, size_t why_size)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    uint64_t id = send_until(client, request, deadline_ms, why, why_size);
    client->called_id = id;
    if (id == 0) {
        return NULL;
    }
    for (;;) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        switch (secenv_client_receive(client, &message)) {
        case SECENV_CLIENT_MESSAGE:
            break;
        case SECENV_CLIENT_NOTHING:
            if (!wait_until(client, POLLIN, deadline_ms)) {
                snprintf(why, why_size, "no answer from secenv within %d ms", timeout_ms);
                return NULL;
            }
            continue;
        case SECENV_CLIENT_LOST:
            snprintf(why, why_size, "the connection to secenv is lost: see secenv's log");
            return NULL;
        }
        if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY &&
            message->reply->id == id) {
            return message;
        }
        if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_EVENT && on_event != NULL) {
            on_event(context, message->event);
        }
        secenv_client_free(message);
    }
}

bool secenv_client_handed_over(const struct secenv_client *client)
{
    return client->called_id != 0;
}

Groupseal__Secenv__FromSecenv *secenv_client_greet(struct secenv_client *client, int timeout_ms, char *why,
                                                   size_t why_size)
{
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    hello.version = SECENV_SOCKET_VERSION;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;

    Groupseal__Secenv__FromSecenv *message =
        secenv_client_call(client, &request, timeout_ms, NULL, NULL, why, why_size);
    if (message == NULL) {
        return NULL;
    }
    const Groupseal__Secenv__Reply *reply = message->reply;
    if (reply->code != GROUPSEAL__SECENV__CODE__OK ||
        reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME) {
        snprintf(why, why_size, "secenv refuses the connection: %s",
                 reply->reason[0] != '\0' ? reply->reason : "it gave no reason; are both of one version?");
        secenv_client_free(message);
        return NULL;
    }
    return message;
}
