/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_HANDSHAKE_PKI_H
#define GROUPSEAL_TESTS_UNIT_HANDSHAKE_PKI_H

/* Identities from the certificates that handshake_pki.sh made in $GROUPSEAL_TEST_PKI. For programs of
 * cmocka, which include this after it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/credentials.h"

#define AUTHORITY "//sp.example/in-cse"
#define AUTHORITY_SAN "in-cse.sp.example"
#define MN_CSE "//sp.example/mn-1"
#define DOOR "//sp.example/Sdoor1"

/* Appends DIRECTORY/NAME SUFFIX; a NULL name appends nothing. */
static inline void pki_read(const char *name, const char *suffix, struct buffer *out)
{
    if (name == NULL) {
        return;
    }
    const char *directory = getenv("GROUPSEAL_TEST_PKI");
    assert_non_null(directory);
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s%s", directory, name, suffix);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is missing: ctest runs handshake_pki.sh before this test", path);
    }
    uint8_t piece[4096];
    size_t length = 0;
    while ((length = fread(piece, 1, sizeof(piece), file)) > 0) {
        assert_int_equal(buffer_append(out, (struct bytes){piece, length}), RESULT_OK);
    }
    (void)fclose(file);
}

static inline void pki_set(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

/* Certificate mode: NAME.pem, NAME.key, trust anchor CA.pem, CRL.pem (NULL: none). */
static inline struct identity pki_identity(const char *id, enum identity_kind kind, const char *name,
                                           const char *ca, const char *crl)
{
    struct identity identity = {.kind = kind,
                                .mode = CREDENTIALS_CERT,
                                .chain = BUFFER_EMPTY(65536),
                                .private_key = BUFFER_EMPTY(65536),
                                .trust_anchors = BUFFER_EMPTY(65536),
                                .crl = BUFFER_EMPTY(65536),
                                .unrevoked = crl == NULL ? UNREVOKED_ALARM : UNREVOKED_DEFAULT};
    pki_set(identity.name, sizeof(identity.name), id);
    pki_set(identity.authority, sizeof(identity.authority), AUTHORITY);
    pki_set(identity.authority_san, sizeof(identity.authority_san), AUTHORITY_SAN);
    pki_read(name, ".pem", &identity.chain);
    pki_read(name, ".key", &identity.private_key);
    pki_read(ca, ".pem", &identity.trust_anchors);
    pki_read(crl, ".pem", &identity.crl);
    return identity;
}

/* PSK mode: a key of 32 times `filler`. */
static inline struct identity pki_psk(const char *id, enum identity_kind kind, uint8_t filler,
                                      const char *psk_identity)
{
    struct identity identity = pki_identity(id, kind, NULL, NULL, NULL);
    identity.mode = CREDENTIALS_PSK;
    memset(identity.psk.data, filler, SECRET_SIZE);
    pki_set(identity.psk_identity, sizeof(identity.psk_identity), psk_identity);
    return identity;
}

#endif
