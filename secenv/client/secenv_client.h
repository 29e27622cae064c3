/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CLIENT_H
#define GROUPSEAL_SECENV_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secenv.pb-c.h"

/*
 * Client of a secure environment's socket, for in-cse, mn_cse.so and adn-ae: no wolfSSL, no keys, no
 * threads of its own. One thread uses a client at a time; its file descriptor can be polled.
 *
 * Two ways to a secure environment: connect to a service's UNIX socket, or start one of one's own
 * (embedded): it is a child on a socketpair, and ends when the socket closes. secenv_client_open does the one
 * or the other; after a loss the caller closes and opens again, by its own back-off.
 */
struct secenv_client;

#define SECENV_PACKET_LIMIT 65536u
#define SECENV_SOCKET_VERSION 1u /* of Hello */

struct secenv_client_settings {
    const char *socket_path;  /* a service's socket; or NULL: embedded */
    const char *program;      /* embedded: path of `secenv`; NULL: "secenv" beside this program, then PATH */
    const char *store;        /* embedded: the store's directory */
    const char *root_key;     /* embedded: NULL for the default, <store>/root.key */
    const char *audit_socket; /* embedded: path of its audit socket, or NULL */
};

/* Returns NULL and writes what went wrong, where and what to do into `why`. */
struct secenv_client *secenv_client_open(const struct secenv_client_settings *settings, char *why,
                                         size_t why_size) __attribute__((warn_unused_result));
/* A client on a connected SOCK_SEQPACKET socket, which it closes later; NULL where there is no memory. Tests
 * stand at the other end of a socketpair. */
struct secenv_client *secenv_client_adopt(int fd) __attribute__((warn_unused_result));
/* An embedded secenv that does not answer ends now; nothing for a service. Close follows. */
void secenv_client_kill(struct secenv_client *client);
/* Closes; an embedded secenv is waited for (it ends by itself at once). NULL is allowed. */
void secenv_client_close(struct secenv_client *client);

/* Readable when a reply or an event waits. */
int secenv_client_fd(const struct secenv_client *client);

/* Sends a request: sets its id, which is returned (0: not sent; the connection is lost or the
 * socket full; errno says which: EAGAIN where a retry makes sense, EMSGSIZE where the request is larger than
 * a packet, else the connection is lost). Does not block. */
uint64_t secenv_client_send(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request)
    __attribute__((warn_unused_result));

enum secenv_client_state { SECENV_CLIENT_MESSAGE, SECENV_CLIENT_NOTHING, SECENV_CLIENT_LOST };

/* Takes the next message, without blocking; `*message` is freed with secenv_client_free. Anything that
 * does not parse is a loss of the connection. */
enum secenv_client_state secenv_client_receive(struct secenv_client *client,
                                               Groupseal__Secenv__FromSecenv **message)
    __attribute__((warn_unused_result));
void secenv_client_free(Groupseal__Secenv__FromSecenv *message); /* wipes payloads first */

/* For command-line tools: sends and waits for its reply, at most `timeout_ms`; events in between go to
 * `on_event` (may be NULL). NULL: lost or timed out, `why` says it. */
Groupseal__Secenv__FromSecenv *
secenv_client_call(struct secenv_client *client, Groupseal__Secenv__ToSecenv *request, int timeout_ms,
                   void (*on_event)(void *context, const Groupseal__Secenv__Event *event), void *context,
                   char *why, size_t why_size) __attribute__((warn_unused_result));

/* Whether the last secenv_client_call that failed had handed its request over: then nobody knows what it did.
 */
bool secenv_client_handed_over(const struct secenv_client *client);

/* For command-line tools: Hello, the first request on every connection. Returns the message whose reply holds
 * the Welcome. NULL: lost, timed out or refused, `why` says it. */
Groupseal__Secenv__FromSecenv *secenv_client_greet(struct secenv_client *client, int timeout_ms, char *why,
                                                   size_t why_size) __attribute__((warn_unused_result));

#endif
