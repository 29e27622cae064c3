/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "secenv/objects/object.h"

#define PEM_LIMIT ((size_t)64 * 1024)
#define CRL_LIMIT ((size_t)6 * 1024 * 1024)
#define CHAIN_LIMIT 4u
#define P256_POINT_SIZE 65u

const char identity_schema[] = "CREATE TABLE IF NOT EXISTS identity ("
                               " name TEXT PRIMARY KEY,"
                               " kind INTEGER NOT NULL,"
                               " mode INTEGER NOT NULL,"
                               " authority TEXT NOT NULL,"
                               " authority_san TEXT NOT NULL,"
                               " chain BLOB NOT NULL,"
                               " private_key BLOB NOT NULL," /* sealed */
                               " trust_anchors BLOB NOT NULL,"
                               " crl BLOB NOT NULL,"
                               " psk BLOB NOT NULL," /* sealed */
                               " psk_identity TEXT NOT NULL,"
                               " unrevoked INTEGER NOT NULL) WITHOUT ROWID;";

/* ---- names in certificates ---- */

static enum result name_fits(int length, size_t size)
{
    return length > 0 && (size_t)length < size ? RESULT_OK : RESULT_INVALID;
}

struct cse_name {
    char provider[NAME_LIMIT + 1];
    const char *id;
};

/* "//sp.example/mn-1": the provider and the CSE's own id. No dots in the latter, so that two CSEs cannot
 * share a name. */
static enum result split_cse(const char *name, struct cse_name *out)
{
    if (strncmp(name, "//", 2) != 0) {
        return RESULT_INVALID;
    }
    const char *slash = strchr(name + 2, '/');
    if (slash == NULL || slash == name + 2 || slash[1] == '\0') {
        return RESULT_INVALID;
    }
    for (const char *c = slash + 1; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-') {
            return RESULT_INVALID;
        }
    }
    int length = (int)(slash - name - 2);
    out->id = slash + 1;
    return name_fits(snprintf(out->provider, sizeof(out->provider), "%.*s", length, name + 2),
                     sizeof(out->provider));
}

enum result identity_san(const char *name, enum identity_kind kind, const char *in_cse, char *out,
                         size_t size, bool *is_uri)
{
    struct cse_name cse;
    struct cse_name in;
    if (!object_name_valid(name)) {
        return RESULT_INVALID;
    }
    *is_uri = kind == IDENTITY_ADN_AE;
    if (kind == IDENTITY_ADN_AE) {
        return name_fits(snprintf(out, size, "m2m:%s", name), size);
    }
    GUARD(split_cse(name, &cse));
    if (kind == IDENTITY_IN_CSE) {
        return name_fits(snprintf(out, size, "%s.%s", cse.id, cse.provider), size);
    }
    GUARD(split_cse(in_cse, &in));
    if (strcmp(cse.provider, in.provider) != 0) {
        return RESULT_INVALID;
    }
    return name_fits(snprintf(out, size, "%s.%s.%s", cse.id, in.id, in.provider), size);
}

/* ---- what can be checked of credentials ---- */

static bool text_valid(const char *text, size_t limit)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return length > 0 && length <= limit;
}

static enum result check_names(const struct identity *identity, struct reason *why)
{
    if (!object_name_valid(identity->name)) {
        return result_fail(why, RESULT_INVALID,
                           "\"%s\" is not an absolute id such as //sp.example/Sdoor1 or //sp.example/mn-1",
                           identity->name);
    }
    if (!object_name_valid(identity->authority)) {
        return result_fail(why, RESULT_INVALID, "the IN-CSE's name \"%s\" is not an absolute id",
                           identity->authority);
    }
    bool is_authority = identity->kind == IDENTITY_IN_CSE;
    bool same = strcmp(identity->name, identity->authority) == 0;
    if (identity->kind < IDENTITY_ADN_AE || identity->kind > IDENTITY_IN_CSE || is_authority != same) {
        return result_fail(why, RESULT_INVALID,
                           "%s: the IN-CSE names itself as its IN-CSE, everybody else names another",
                           identity->name);
    }
    if (identity->mode != CREDENTIALS_CERT && (identity->mode != CREDENTIALS_PSK || is_authority)) {
        return result_fail(why, RESULT_INVALID, "%s: mode must be cert%s", identity->name,
                           is_authority ? " (an IN-CSE's pre-shared keys are in its roster)" : " or psk");
    }
    return RESULT_OK;
}

static enum result check_psk(const struct identity *identity, struct reason *why)
{
    const struct secret zero = {{0}};
    if (secret_equal(&identity->psk, &zero, SECRET_SIZE)) {
        return result_fail(why, RESULT_INVALID, "%s: the pre-shared key is all zero, must be %u random bytes",
                           identity->name, SECRET_SIZE);
    }
    if (!text_valid(identity->psk_identity, NAME_LIMIT)) {
        return result_fail(why, RESULT_INVALID,
                           "%s: the PSK identity must be text of 1 to %u bytes (by default the name)",
                           identity->name, NAME_LIMIT);
    }
    return RESULT_OK;
}

static enum result refuse_verified(const struct identity *identity, int error, struct reason *why)
{
    switch (error) {
    case ASN_AFTER_DATE_E:
        return result_fail(why, RESULT_REFUSED, "the certificate of %s has expired: issue a new one",
                           identity->name);
    case ASN_BEFORE_DATE_E:
        return result_fail(why, RESULT_REFUSED,
                           "the certificate of %s is not valid yet: check this machine's clock",
                           identity->name);
    case CRL_CERT_REVOKED:
        return result_fail(why, RESULT_REFUSED, "the certificate of %s is revoked: issue a new one",
                           identity->name);
    default:
        return result_fail(
            why, RESULT_REFUSED,
            "the certificate of %s was not issued by the trust anchor that is provisioned with "
            "it (wolfSSL %d): give both from the end-to-end CA",
            identity->name, error);
    }
}

static bool vouches(WOLFSSL_CERT_MANAGER *manager, const struct buffer *der)
{
    struct certificate certificate;
    return certificate_parse(buffer_bytes(der), &certificate) == RESULT_OK && certificate.is_ca &&
           wolfSSL_CertManagerLoadCABuffer(manager, der->data, (long)der->length, WOLFSSL_FILETYPE_ASN1) ==
               WOLFSSL_SUCCESS;
}

/* From the top of the chain down: each must verify, and may then vouch for the next. */
static enum result verify_chain(const struct identity *identity, WOLFSSL_CERT_MANAGER *manager,
                                const struct buffer *chain, size_t count, struct reason *why)
{
    for (size_t i = count; i-- > 0;) {
        int verified = wolfSSL_CertManagerVerifyBuffer(manager, chain[i].data, (long)chain[i].length,
                                                       WOLFSSL_FILETYPE_ASN1);
        /* A CRL that is overdue or of another CA is an alarm at each handshake, not a fault of this one. */
        if (verified != WOLFSSL_SUCCESS && verified != CRL_MISSING) {
            return refuse_verified(identity, verified, why);
        }
        if (i > 0 && !vouches(manager, &chain[i])) {
            return result_fail(why, RESULT_INVALID, "the chain of %s holds a certificate that is not a CA's",
                               identity->name);
        }
    }
    return RESULT_OK;
}

static enum result split_chain(const struct identity *identity, struct buffer *chain, size_t *count,
                               struct reason *why)
{
    struct bytes rest = buffer_bytes(&identity->chain);
    enum result result = RESULT_OK;
    for (*count = 0; *count < CHAIN_LIMIT; (*count)++) {
        result = pem_next(&rest, "CERTIFICATE", &chain[*count]);
        if (result != RESULT_OK) {
            break;
        }
    }
    if (result != RESULT_UNKNOWN || *count == 0) {
        return result_fail(why, RESULT_INVALID,
                           "the certificate of %s must be PEM, its own first, at most %u in all",
                           identity->name, CHAIN_LIMIT - 1);
    }
    return RESULT_OK;
}

/* The public point that belongs to a private key (PEM); wolfSSL_CTX_check_private_key of 5.5.4 takes any
 * key on the curve. */
static enum result public_of(const struct buffer *pem, uint8_t point[P256_POINT_SIZE])
{
    uint8_t der[512];
    word32 at = 0;
    word32 size = P256_POINT_SIZE;
    ecc_key key;
    if (wc_ecc_init(&key) != 0) {
        return RESULT_INTERNAL;
    }
    int length = wc_KeyPemToDer(pem->data, (int)pem->length, der, sizeof(der), NULL);
    bool good = length > 0 && wc_EccPrivateKeyDecode(der, &at, &key, (word32)length) == 0 &&
                wc_ecc_make_pub(&key, NULL) == 0 && wc_ecc_export_x963(&key, point, &size) == 0 &&
                size == P256_POINT_SIZE;
    (void)wc_ecc_free(&key);
    secret_wipe_bytes(der, sizeof(der));
    return good ? RESULT_OK : RESULT_INVALID;
}

static enum result check_private_key(const struct identity *identity, struct bytes der, struct reason *why)
{
    uint8_t point[P256_POINT_SIZE];
    struct certificate certificate;
    if (public_of(&identity->private_key, point) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID,
                           "the private key of %s cannot be read: an unencrypted P-256 key (PEM) is expected",
                           identity->name);
    }
    if (certificate_parse(der, &certificate) != RESULT_OK ||
        !bytes_equal(certificate.public_key, BYTES_OF(point))) {
        return result_fail(why, RESULT_INVALID, "the private key of %s is not the one of its certificate",
                           identity->name);
    }
    return RESULT_OK;
}

static enum result check_own_certificate(const struct identity *identity, struct bytes der,
                                         struct reason *why)
{
    char san[256];
    bool is_uri = false;
    struct certificate certificate;
    if (identity_san(identity->name, identity->kind, identity->authority, san, sizeof(san), &is_uri) !=
        RESULT_OK) {
        return result_fail(
            why, RESULT_INVALID,
            "%s has no name in certificates: a CSE-ID must be letters, digits and hyphens, under "
            "the IN-CSE's service provider",
            identity->name);
    }
    if (certificate_parse(der, &certificate) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "the certificate of %s cannot be read", identity->name);
    }
    bool server = identity->kind == IDENTITY_IN_CSE;
    return certificate_check(&certificate, identity->name, san, is_uri,
                             server ? CERTIFICATE_SERVER : CERTIFICATE_CLIENT, NULL, why);
}

static enum result check_anchor(const struct handshake_context *context, const struct buffer *top,
                                struct reason *why)
{
    struct certificate certificate;
    if (certificate_parse(buffer_bytes(top), &certificate) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "the chain of %s cannot be read", context->name);
    }
    return handshake_anchor_check(context, certificate.issuer, why);
}

/* Loads all of it as a handshake would, then asks what a handshake leaves to the peer. */
static enum result check_loaded(const struct identity *identity, struct buffer *chain, struct reason *why)
{
    size_t count = 0;
    GUARD(split_chain(identity, chain, &count, why));
    GUARD(check_own_certificate(identity, buffer_bytes(&chain[0]), why));
    struct handshake_context *context = NULL;
    GUARD(handshake_context_new(identity, &clock_system, &context, why));
    enum result result = check_private_key(identity, buffer_bytes(&chain[0]), why);
    if (result == RESULT_OK) {
        result = verify_chain(identity, wolfSSL_CTX_GetCertManager(context->certificate), chain, count, why);
    }
    if (result == RESULT_OK) {
        result = check_anchor(context, &chain[count - 1], why);
    }
    handshake_context_free(context);
    return result;
}

static enum result check_certificates(const struct identity *identity, struct reason *why)
{
    if (identity->kind != IDENTITY_IN_CSE && !text_valid(identity->authority_san, 255)) {
        return result_fail(why, RESULT_INVALID,
                           "%s: the exact name in the IN-CSE's certificate is missing, such as "
                           "in-cse.sp.example",
                           identity->name);
    }
    struct buffer chain[CHAIN_LIMIT];
    for (size_t i = 0; i < CHAIN_LIMIT; i++) {
        chain[i] = BUFFER_EMPTY(PEM_LIMIT);
    }
    enum result result = check_loaded(identity, chain, why);
    for (size_t i = 0; i < CHAIN_LIMIT; i++) {
        buffer_clear(&chain[i]);
    }
    return result;
}

/* ---- store ---- */

struct purposes {
    char private_key[192];
    char psk[192];
};

static void purposes_of(const char *name, struct purposes *out)
{
    (void)snprintf(out->private_key, sizeof(out->private_key), "identity/private_key/%s", name);
    (void)snprintf(out->psk, sizeof(out->psk), "identity/psk/%s", name);
}

enum result identity_store(struct store *store, const struct identity *identity, bool replace,
                           struct reason *why)
{
    bool certificates = identity->mode == CREDENTIALS_CERT;
    GUARD(check_names(identity, why));
    GUARD(certificates ? check_certificates(identity, why) : check_psk(identity, why));
    struct purposes purposes;
    purposes_of(identity->name, &purposes);
    if (replace) {
        GUARD(store_run(store, why, "DELETE FROM identity WHERE name = ?", "t", identity->name));
    }
    struct bytes none = {NULL, 0};
    enum result result = store_run(
        store, why,
        "INSERT INTO identity (name, kind, mode, authority, authority_san, chain, private_key, trust_anchors,"
        " crl, psk, psk_identity, unrevoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "tiittbsbbsti", identity->name, (int64_t)identity->kind, (int64_t)identity->mode, identity->authority,
        identity->authority_san, certificates ? buffer_bytes(&identity->chain) : none, purposes.private_key,
        certificates ? buffer_bytes(&identity->private_key) : none,
        certificates ? buffer_bytes(&identity->trust_anchors) : none,
        certificates ? buffer_bytes(&identity->crl) : none, purposes.psk,
        certificates ? none : secret_bytes(&identity->psk), certificates ? "" : identity->psk_identity,
        (int64_t)identity->unrevoked);
    if (result == RESULT_EXISTS) {
        return result_fail(why, RESULT_EXISTS, "%s is provisioned already: say that it is to be replaced",
                           identity->name);
    }
    return result;
}

/* The forms in which a private key may lie in memory, for the memory scan of the tests. */
static void note_private_key(const struct buffer *pem)
{
    secret_note("end-to-end key", pem->data, pem->length);
    uint8_t der[512];
    uint8_t scalar[SECRET_SIZE];
    word32 at = 0;
    word32 size = sizeof(scalar);
    ecc_key key;
    int length = wc_KeyPemToDer(pem->data, (int)pem->length, der, sizeof(der), NULL);
    if (length > 0 && wc_ecc_init(&key) == 0) {
        secret_note("end-to-end key", der, (size_t)length);
        if (wc_EccPrivateKeyDecode(der, &at, &key, (word32)length) == 0 &&
            wc_ecc_export_private_only(&key, scalar, &size) == 0) {
            secret_note("end-to-end key", scalar, size);
        }
        (void)wc_ecc_free(&key);
    }
    secret_wipe_bytes(der, sizeof(der));
    secret_wipe_bytes(scalar, sizeof(scalar));
}

static enum result read_credentials(const struct store_row *row, struct identity *identity,
                                    struct reason *why)
{
    struct purposes purposes;
    purposes_of(identity->name, &purposes);
    if (identity->mode == CREDENTIALS_PSK) {
        GUARD(row_secret(row, 9, purposes.psk, &identity->psk, why));
        secret_note("PSK", identity->psk.data, SECRET_SIZE);
        return RESULT_OK;
    }
    GUARD(buffer_append(&identity->chain, row_bytes(row, 5)));
    GUARD(row_unseal(row, 6, purposes.private_key, &identity->private_key, why));
    GUARD(buffer_append(&identity->trust_anchors, row_bytes(row, 7)));
    GUARD(buffer_append(&identity->crl, row_bytes(row, 8)));
    note_private_key(&identity->private_key);
    return RESULT_OK;
}

struct loading {
    enum result (*each)(void *context, struct identity *identity);
    void *context;
};

static enum result load_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct loading *loading = context;
    struct identity identity = {.kind = (enum identity_kind)row_int(row, 1),
                                .mode = (enum credentials_mode)row_int(row, 2),
                                .unrevoked = (enum unrevoked)row_int(row, 11),
                                .chain = BUFFER_EMPTY(PEM_LIMIT),
                                .private_key = BUFFER_EMPTY(PEM_LIMIT),
                                .trust_anchors = BUFFER_EMPTY(PEM_LIMIT),
                                .crl = BUFFER_EMPTY(CRL_LIMIT)};
    (void)snprintf(identity.name, sizeof(identity.name), "%s", row_text(row, 0));
    (void)snprintf(identity.authority, sizeof(identity.authority), "%s", row_text(row, 3));
    (void)snprintf(identity.authority_san, sizeof(identity.authority_san), "%s", row_text(row, 4));
    (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), "%s", row_text(row, 10));
    enum result result = read_credentials(row, &identity, why);
    if (result == RESULT_OK) {
        result = loading->each(loading->context, &identity);
    }
    if (result == RESULT_OK) {
        secret_wipe(&identity.psk); /* the buffers are the callback's now */
    } else {
        identity_clear(&identity);
    }
    return result;
}

enum result identity_load(struct store *store, enum result (*each)(void *context, struct identity *identity),
                          void *context, struct reason *why)
{
    struct loading loading = {each, context};
    return store_query(store, why, load_row, &loading,
                       "SELECT name, kind, mode, authority, authority_san, chain, private_key, trust_anchors,"
                       " crl, psk, psk_identity, unrevoked FROM identity ORDER BY name",
                       "");
}

void identity_clear(struct identity *identity)
{
    buffer_clear(&identity->chain);
    buffer_clear(&identity->private_key);
    buffer_clear(&identity->trust_anchors);
    buffer_clear(&identity->crl);
    secret_wipe(&identity->psk);
}
