/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/connection/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_LIMIT 256u /* bytes */

/* Forward secrecy first. CBC suites are all that OpenSSL has with ECDHE-PSK beside ChaCha20. TLS 1.3 suites
 * are OpenSSL's own. */
#define PSK_SUITES                                                                                           \
    "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES256-CBC-SHA384:ECDHE-PSK-AES128-CBC-SHA256:"                   \
    "DHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256"

bool credentials_has_tls(const struct credentials *credentials)
{
    return strncmp(credentials->uri, "mqtts://", 8) == 0;
}

/* ---- for Paho ---- */

static unsigned int on_psk(const char *hint, char *identity, unsigned int identity_size, unsigned char *psk,
                           unsigned int psk_size, void *context)
{
    const struct credentials *credentials = context;
    (void)hint;
    if (strlen(credentials->psk_identity) >= identity_size || credentials->psk_length > psk_size) {
        return 0;
    }
    memcpy(identity, credentials->psk_identity, strlen(credentials->psk_identity) + 1);
    memcpy(psk, credentials->psk, credentials->psk_length);
    return (unsigned int)credentials->psk_length;
}

MQTTAsync_SSLOptions credentials_tls(struct credentials *credentials,
                                     int (*on_error)(const char *text, size_t length, void *context),
                                     void *context)
{
    MQTTAsync_SSLOptions options = MQTTAsync_SSLOptions_initializer;
    options.struct_version = 5;
    options.enableServerCertAuth = 1;
    options.disableDefaultTrustStore = 1;
    options.ssl_error_cb = on_error;
    options.ssl_error_context = context;
    if (credentials->psk_identity != NULL) {
        /* No certificate can pass: none is trusted. The check of its name must be off, it would look at the
         * certificate that a PSK handshake does not have (a crash in Paho). */
        options.enabledCipherSuites = PSK_SUITES;
        options.ssl_psk_cb = on_psk;
        options.ssl_psk_context = credentials;
    } else {
        options.verify = 1;
        options.trustStore = credentials->ca;
        options.keyStore = credentials->certificate;
        options.privateKey = credentials->private_key;
    }
    return options;
}

/* ---- from the settings ---- */

static char *nullable_copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

/* The first line of a file, as text; NULL: `why` says what is wrong. */
static char *password_read(const char *path, char *why, size_t why_size)
{
    char line[PASSWORD_LIMIT + 2];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(why, why_size, "cannot read the password in %s: %s", path, strerror(errno));
        return NULL;
    }
    setvbuf(file, NULL, _IONBF, 0); /* no copy of it in a buffer that nobody wipes */
    char *password = NULL;
    if (fgets(line, sizeof(line), file) == NULL || strcspn(line, "\r\n") > PASSWORD_LIMIT) {
        snprintf(why, why_size, "%s holds no password of at most %u bytes", path, PASSWORD_LIMIT);
    } else {
        line[strcspn(line, "\r\n")] = '\0';
        password = strdup(line);
    }
    explicit_bzero(line, sizeof(line));
    fclose(file);
    return password;
}

/* The file that Paho will read at each connect is looked at now, so that a typing error is said at once. */
static bool file_readable(const char *path, const char *what, char *why, size_t why_size)
{
    if (path != NULL && access(path, R_OK) != 0) {
        snprintf(why, why_size, "cannot read the %s in %s: %s", what, path, strerror(errno));
        return false;
    }
    return true;
}

bool credentials_read(struct credentials *credentials, const struct connection_settings *settings, char *why,
                      size_t why_size)
{
    credentials->uri = nullable_copy(settings->uri);
    credentials->client_id = nullable_copy(settings->client_id);
    credentials->ca = nullable_copy(settings->ca);
    credentials->certificate = nullable_copy(settings->certificate);
    credentials->private_key = nullable_copy(settings->private_key);
    credentials->psk_identity = nullable_copy(settings->psk_identity);
    credentials->user_name = nullable_copy(settings->user_name);
    if (credentials->uri == NULL || credentials->client_id == NULL) {
        snprintf(why, why_size, "out of memory, or no broker uri");
        return false;
    }
    if (settings->password_file != NULL && settings->password_file[0] != '\0') {
        credentials->password = password_read(settings->password_file, why, why_size);
        if (credentials->password == NULL) {
            return false;
        }
    }
    if (credentials->psk_identity != NULL) {
        return psk_file_read(settings->psk_file, credentials->psk, sizeof(credentials->psk),
                             &credentials->psk_length, why, why_size);
    }
    return file_readable(credentials->ca, "broker's CA", why, why_size) &&
           file_readable(credentials->certificate, "certificate", why, why_size) &&
           file_readable(credentials->private_key, "private key", why, why_size);
}

static void wiping_free(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

void credentials_clear(struct credentials *credentials)
{
    free(credentials->uri);
    free(credentials->client_id);
    free(credentials->ca);
    free(credentials->certificate);
    free(credentials->private_key);
    free(credentials->psk_identity);
    free(credentials->user_name);
    wiping_free(credentials->password);
    explicit_bzero(credentials, sizeof(*credentials));
}
