/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/connection/trouble.h"

#include "agents/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void trouble_say(struct trouble *trouble, const char *format, ...)
{
    char text[sizeof(trouble->said)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strcmp(text, trouble->said) != 0) {
        agent_log(AGENT_LOG_WARNING, "%s; trying again until it works", text);
        memcpy(trouble->said, text, sizeof(text));
    } else {
        agent_log(AGENT_LOG_DEBUG, "%s, still", text);
    }
}

void trouble_over(struct trouble *trouble, const struct credentials *credentials)
{
    agent_log(AGENT_LOG_INFO, "connected to the broker at %s as %s", credentials->uri,
              credentials->client_id);
    trouble->said[0] = '\0';
}

/* "error:0A000086:SSL routines:…:certificate verify failed:…": the words that mean something. */
static void tls_words(const char *note, char *out, size_t size)
{
    static const struct {
        const char *part;
        const char *meaning;
    } known[] = {
        {"certificate verify failed",
         "its certificate does not come from the configured CA, or is not valid now"},
        {"unknown psk identity", "it does not know this PSK identity"},
        {"decrypt error", "it has another pre-shared key, or our certificate's key is wrong"},
        {"bad record mac", "it has another pre-shared key for this identity"},
        {"illegal parameter", "it has another pre-shared key for this identity"}, /* a binder of TLS 1.3 */
        {"unknown ca", "it does not know the CA of our certificate"},
        {"certificate required", "it wants a client certificate"},
        {"certificate expired", "our certificate has expired"},
        {"certificate revoked", "our certificate is revoked"},
        {"bad certificate", "it refuses our certificate"},
        {"wrong version number", "it does not speak TLS on this port"},
        {"unexpected eof", "it closed the connection in the handshake"},
        {"handshake failure", "it does not know this PSK identity, or wants to authenticate in another way"},
        {"No such file", "a file of ours (CA, certificate or private key) is missing"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasestr(note, known[i].part) != NULL) {
            snprintf(out, size, "%s", known[i].meaning);
            return;
        }
    }
    const char *reason = strstr(note, ":SSL routines:");
    snprintf(out, size, "%.200s", reason != NULL ? reason + strlen(":SSL routines:") : note);
}

void trouble_connecting(struct trouble *trouble, const struct credentials *credentials, int code,
                        const char *text, const char *note)
{
    char words[256];
    switch (code) { /* CONNACK codes of MQTT 3.1.1; negative ones are Paho's */
    case 1:
        trouble_say(trouble, "the broker at %s does not speak MQTT 3.1.1", credentials->uri);
        return;
    case 2:
        trouble_say(trouble, "the broker at %s refuses the client id %s", credentials->uri,
                    credentials->client_id);
        return;
    case 3:
        trouble_say(trouble, "the broker at %s says that it is not available", credentials->uri);
        return;
    case 4:
        trouble_say(trouble,
                    "the broker at %s refuses the user name or password of %s: check the "
                    "credentials in the configuration",
                    credentials->uri, credentials->client_id);
        return;
    case 5:
        trouble_say(trouble,
                    "the broker at %s does not authorise %s: check its credentials and the "
                    "broker's configuration",
                    credentials->uri, credentials->client_id);
        return;
    default:
        break;
    }
    if (note[0] != '\0') {
        tls_words(note, words, sizeof(words));
        trouble_say(trouble, "TLS with the broker at %s failed: %s", credentials->uri, words);
    } else if (credentials_has_tls(credentials)) {
        /* Paho has one text, and no word of OpenSSL, for both. */
        trouble_say(
            trouble,
            "no TLS connection to the broker at %s: it is not there, or its certificate does not name that "
            "host",
            credentials->uri);
    } else {
        trouble_say(trouble, "cannot reach the broker at %s%s%s", credentials->uri, text != NULL ? ": " : "",
                    text != NULL ? text : "");
    }
}
