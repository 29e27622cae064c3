/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/names.h"

#include "plugin/broker/compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Not in brokers that were built without TLS. */
void *mosquitto_client_certificate(const struct mosquitto *client) __attribute__((weak));

struct entry {
    const struct mosquitto *client; /* key */
    struct table_link link;
    X509 *certificate; /* held, so that no other is at its address */
    char user[NAMES_LIMIT + 1];
    char name[NAMES_LIMIT + 1]; /* "": none */
    bool refused;
    bool offline;
};

/* ---- what a certificate says ---- */

/* The text of a name's part; false where it has none, a NUL inside, or is too long. */
static bool string_take(const ASN1_STRING *string, char out[NAMES_LIMIT + 1])
{
    int length = string == NULL ? 0 : ASN1_STRING_length(string);
    const unsigned char *text = string == NULL ? NULL : ASN1_STRING_get0_data(string);
    if (length <= 0 || length > (int)NAMES_LIMIT || memchr(text, '\0', (size_t)length) != NULL) {
        return false;
    }
    memcpy(out, text, (size_t)length);
    out[length] = '\0';
    return true;
}

static bool common_name(const X509 *certificate, char out[NAMES_LIMIT + 1])
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
        return false; /* none, or two: which of them would be it? */
    }
    return string_take(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out);
}

/* As use_subject_as_username writes it. */
static bool subject_is(const X509 *certificate, const char *user)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;
    long length = 0;
    if (text != NULL &&
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        length = BIO_get_mem_data(text, &data);
    }
    bool same = length > 0 && strlen(user) == (size_t)length && memcmp(data, user, (size_t)length) == 0;
    BIO_free(text);
    return same;
}

/* Its alternative names of a type: how many, and the last one. Type 0: those of both types that are `user`.
 */
static unsigned alternative_names(const X509 *certificate, int type, const char *user,
                                  char out[NAMES_LIMIT + 1])
{
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    unsigned count = 0;
    for (int i = 0; list != NULL && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(list, i);
        bool wanted = type != 0 ? one->type == type : one->type == GEN_DNS || one->type == GEN_URI;
        if (wanted && string_take(one->d.ia5, out) && (user == NULL || strcmp(out, user) == 0)) {
            count++;
        }
    }
    GENERAL_NAMES_free(list);
    return count;
}

static bool certificate_has(const X509 *certificate, const char *user)
{
    char name[NAMES_LIMIT + 1];
    return (common_name(certificate, name) && strcmp(name, user) == 0) || subject_is(certificate, user) ||
           alternative_names(certificate, 0, user, name) > 0;
}

static void name_decide(enum names_source source, const char *user, struct entry *entry)
{
    bool found = false;
    switch (source) {
    case NAMES_CN:
        found = common_name(entry->certificate, entry->name);
        break;
    case NAMES_DNS:
        found = alternative_names(entry->certificate, GEN_DNS, NULL, entry->name) == 1;
        break;
    case NAMES_URI:
        found = alternative_names(entry->certificate, GEN_URI, NULL, entry->name) == 1;
        break;
    default:
        found = user != NULL && strlen(user) <= NAMES_LIMIT && certificate_has(entry->certificate, user);
        entry->refused = user != NULL && !found;
        snprintf(entry->name, sizeof(entry->name), "%s", found ? user : "");
        break;
    }
    if (!found) {
        entry->name[0] = '\0';
    }
}

/* ---- connections ---- */

static struct entry *entry_find(const struct names *names, const struct mosquitto *client)
{
    return table_find(&names->by_client, &client, sizeof(client));
}

static void entry_free(struct names *names, struct entry *entry)
{
    table_remove(&names->by_client, &entry->link);
    X509_free(entry->certificate);
    free(entry);
}

/* Takes the certificate. NULL: out of memory. */
static struct entry *entry_add(struct names *names, const struct mosquitto *client, X509 *certificate,
                               const char *user)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        X509_free(certificate);
        return NULL;
    }
    entry->client = client;
    entry->certificate = certificate;
    snprintf(entry->user, sizeof(entry->user), "%s", user == NULL ? "" : user);
    name_decide(names->source, user, entry);
    if (!table_add(&names->by_client, &entry->link, &entry->client, sizeof(entry->client), entry)) {
        X509_free(certificate);
        free(entry);
        return NULL;
    }
    return entry;
}

static const char *entry_name(const struct entry *entry, bool *refused)
{
    if (entry == NULL) {
        return NULL;
    }
    *refused = entry->refused;
    return entry->name[0] == '\0' ? NULL : entry->name;
}

/* Without a certificate: never one; or a session that is offline, of which what it proved last counts. What
 * acts is online: at the address of such a session it is another client. */
static const char *without_certificate(struct names *names, const struct mosquitto *client, const char *user,
                                       bool reading, bool *refused)
{
    struct entry *entry = entry_find(names, client);
    if (entry != NULL &&
        (!reading || !entry->offline || strcmp(entry->user, user == NULL ? "" : user) != 0)) {
        entry_free(names, entry);
        entry = NULL;
    }
    if (entry != NULL) {
        return entry_name(entry, refused);
    }
    bool offline = mosquitto_client_address(client) == NULL;
    return names->source > NAMES_PASSWORD && offline ? NULL : user;
}

const char *names_find(struct names *names, const struct mosquitto *client, bool reading, bool *refused)
{
    const char *user = mosquitto_client_username(client);
    *refused = false;
    if (names->source == NAMES_PASSWORD) {
        return user;
    }
    X509 *certificate = mosquitto_client_certificate == NULL ? NULL : mosquitto_client_certificate(client);
    if (certificate == NULL) {
        return without_certificate(names, client, user, reading, refused);
    }
    struct entry *entry = entry_find(names, client);
    if (entry != NULL && entry->certificate == certificate &&
        strcmp(entry->user, user == NULL ? "" : user) == 0) {
        X509_free(certificate);
        entry->offline = false;
        return entry_name(entry, refused);
    }
    if (entry != NULL) {
        entry_free(names, entry);
    }
    return entry_name(entry_add(names, client, certificate, user), refused);
}

void names_gone(struct names *names, const struct mosquitto *client, bool session_stays)
{
    struct entry *entry = entry_find(names, client);
    if (entry != NULL && session_stays) {
        entry->offline = true;
    } else if (entry != NULL) {
        entry_free(names, entry);
    }
}

void names_clear(struct names *names)
{
    struct entry *entry;
    while ((entry = table_first(&names->by_client)) != NULL) {
        entry_free(names, entry);
    }
}
