/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/secenv_credentials.h"

#include <stdio.h>

#define LIMIT ((size_t)64 * 1024)

/* A CRL as a member takes it from a record: read here, then by wolfSSL, before its signature is known to be
 * the CA's. The fuzzer has no CA's key, but the one good list. */
static struct identity identity;
static struct handshake_context *context;
static struct buffer good = {.limit = LIMIT};

static void put_text(struct buffer *buffer, const char *text)
{
    *buffer = BUFFER_EMPTY(LIMIT);
    ALWAYS(buffer_append(buffer, bytes_of_text(text)) == RESULT_OK);
}

static void prepare(void)
{
    struct bytes rest = bytes_of_text(fuzz_crl);
    identity.kind = IDENTITY_ADN_AE;
    identity.mode = CREDENTIALS_CERT;
    (void)snprintf(identity.name, sizeof(identity.name), "//sp.example/Sdoor1");
    (void)snprintf(identity.authority, sizeof(identity.authority), "//sp.example/in-cse");
    (void)snprintf(identity.authority_san, sizeof(identity.authority_san), "in-cse.sp.example");
    put_text(&identity.chain, fuzz_door);
    put_text(&identity.private_key, fuzz_door_key);
    put_text(&identity.trust_anchors, fuzz_ca);
    ALWAYS(pem_next(&rest, "X509 CRL", &good) == RESULT_OK);
    (void)fuzz_in_cse;
    (void)fuzz_in_cse_key;
}

/* The same list, whatever its signature looks like: ECDSA has two for each. */
static void check_taken(struct bytes taken)
{
    struct revocation_list list;
    struct revocation_list expected;
    ALWAYS(revocation_list_parse(taken, &list) == RESULT_OK);
    ALWAYS(revocation_list_parse(buffer_bytes(&good), &expected) == RESULT_OK);
    ALWAYS(bytes_equal(list.issuer, expected.issuer) && bytes_equal(list.revoked, expected.revoked));
    ALWAYS(revocation_list_compare(&list, &expected) == 0 && list.next_update == expected.next_update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reason why = {""};
    if (identity.name[0] == '\0') {
        prepare();
    }
    if (context == NULL) {
        ALWAYS(handshake_context_new(&identity, &clock_system, &context, NULL) == RESULT_OK);
    }
    uint8_t *exact = malloc(size + 1);
    ALWAYS(exact != NULL);
    if (size != 0) {
        memcpy(exact, data, size);
    }
    struct bytes list = {exact, size};
    if (size <= LIMIT && handshake_context_list_take(context, &identity, list, &why) == RESULT_OK) {
        check_taken(list);
        handshake_context_free(context);
        context = NULL;
    } else {
        ALWAYS(handshake_context_list_count(context) == 0);
    }
    free(exact);
    return 0;
}
