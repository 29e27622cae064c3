/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CONNECTION_CREDENTIALS_H
#define GROUPSEAL_AGENTS_CONNECTION_CREDENTIALS_H

#include "agents/connection/connection.h"
#include "agents/psk_file.h"

#include <MQTTAsync.h>

/*
 * What a client is at its broker, and how it proves it: copies of the settings, and the secrets that their
 * files hold. They do not change while a connection lives.
 */
struct credentials {
    char *uri;
    char *client_id;
    char *ca;
    char *certificate;
    char *private_key;
    char *psk_identity;
    char *user_name;
    char *password;
    uint8_t psk[PSK_LIMIT];
    size_t psk_length;
};

/* Into a zeroed one. False: `why` says what is wrong with the settings; it is to be cleared all the same. */
bool credentials_read(struct credentials *credentials, const struct connection_settings *settings, char *why,
                      size_t why_size) __attribute__((warn_unused_result));
/* Wipes and frees. */
void credentials_clear(struct credentials *credentials);

bool credentials_has_tls(const struct credentials *credentials);
/* For one connect; borrows from the credentials. `on_error` hears OpenSSL's words, on a thread of Paho's. */
MQTTAsync_SSLOptions credentials_tls(struct credentials *credentials,
                                     int (*on_error)(const char *text, size_t length, void *context),
                                     void *context);

#endif
