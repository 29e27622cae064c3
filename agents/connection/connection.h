/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CONNECTION_CONNECTION_H
#define GROUPSEAL_AGENTS_CONNECTION_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

/*
 * A connection to an MQTT 3.1.1 broker (Paho MQTTAsync, TLS by OpenSSL inside Paho), kept up: after a loss or
 * a failure it is made again by jittered back-off, 1 s to 60 s, and subscriptions are made again each time.
 * What goes wrong is logged once, in words for who can mend it, and once when it is well again.
 *
 * One thread, the event loop's, calls these functions and is called back. The process must not use Paho
 * elsewhere. connection_open takes http_proxy and https_proxy out of the process's environment: Paho 1.3.12
 * would send every connection through them.
 *
 * The session is persistent (TS-0010 6.3.3: clean session false): the broker keeps QoS 1 messages while the
 * client is away.
 */
struct connection_settings {
    const char *uri;       /* mqtts://host:port, or mqtt://host:port (no TLS: tests and loopback only) */
    const char *client_id; /* "A::Sdoor1", "C::in-cse" */

    /* mqtts with certificates: the CA of the hop (never the system's list), own certificate chain, its key.
     */
    const char *ca;
    const char *certificate;
    const char *private_key;

    /* mqtts with a pre-shared key: identity and file (psk_file.h); then no certificate is accepted at all. */
    const char *psk_identity;
    const char *psk_file;

    const char *user_name; /* MQTT user name and the file of its password: NULL where the broker wants none */
    const char *password_file;
};

struct connection_message {
    const char *topic;
    const uint8_t *payload; /* a zero byte follows, which is not counted */
    size_t length;
    bool retained;
};

struct connection_callbacks {
    void (*up)(void *context);   /* connected; subscriptions have been asked for */
    void (*down)(void *context); /* after `up` only */
    void (*message)(void *context, const struct connection_message *message);
    void (*granted)(void *context); /* a subscription was granted; may be NULL */
};

struct connection;

/* Copies settings and callbacks, starts connecting. NULL: `why` says what is wrong with the settings. */
struct connection *connection_open(sd_event *loop, const struct connection_settings *settings,
                                   const struct connection_callbacks *callbacks, void *context, char *why,
                                   size_t why_size);
/* Disconnects in good order (at most 2 s) and frees. No callback comes. NULL is allowed. */
void connection_close(struct connection *connection);

bool connection_is_up(const struct connection *connection);

/* Hands a message to Paho, which keeps it (QoS 1: until the broker has it). False: not connected, no memory,
 * or too many are on their way; all but the first is logged. */
bool connection_publish(struct connection *connection, const char *topic, const void *payload, size_t length,
                        int qos, bool retained);

/*
 * Subscriptions are kept and made at every connect. One that the broker refuses (its access rules may not
 * know us yet) is asked for again by back-off, 1 s to 5 s. Subscribing again asks nothing on a connection
 * that has asked already. False: no memory.
 */
bool connection_subscribe(struct connection *connection, const char *filter, int qos);
/* Asks the broker again for a subscription we have, so that retained messages come again. */
void connection_resubscribe(struct connection *connection, const char *filter);
/* Whether the broker has granted it on the present connection. */
bool connection_granted(const struct connection *connection, const char *filter);
void connection_unsubscribe(struct connection *connection, const char *filter);
/* Asks at once for what was refused: something has changed at the broker. */
void connection_retry_refused(struct connection *connection);

#endif
