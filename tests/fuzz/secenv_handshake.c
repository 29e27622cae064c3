/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/secenv_credentials.h"

#include <stdio.h>

#define AUTHORITY "//sp.example/in-cse"
#define DOOR "//sp.example/Sdoor1"
#define FLIGHT_LIMIT 65536u

/*
 * A handshake between our two ends, one flight of which the fuzzer replaces (first byte: which flight and
 * mode) or alters by exclusive or. Whatever it does, nothing is agreed unless nothing was altered.
 */
static struct handshake_context *server;
static struct handshake_context *clients[2];
static struct secret psk;

static void put_text(struct buffer *buffer, const char *text)
{
    ALWAYS(buffer_append(buffer, bytes_of_text(text)) == RESULT_OK);
}

static struct handshake_context *context_of(const char *name, enum identity_kind kind,
                                            enum credentials_mode mode, const char *chain, const char *key)
{
    struct identity identity = {.kind = kind,
                                .mode = mode,
                                .chain = BUFFER_EMPTY(FLIGHT_LIMIT),
                                .private_key = BUFFER_EMPTY(FLIGHT_LIMIT),
                                .trust_anchors = BUFFER_EMPTY(FLIGHT_LIMIT),
                                .crl = BUFFER_EMPTY(FLIGHT_LIMIT)};
    (void)snprintf(identity.name, sizeof(identity.name), "%s", name);
    (void)snprintf(identity.authority, sizeof(identity.authority), AUTHORITY);
    (void)snprintf(identity.authority_san, sizeof(identity.authority_san), "in-cse.sp.example");
    (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), DOOR);
    identity.psk = psk;
    put_text(&identity.chain, chain);
    put_text(&identity.private_key, key);
    put_text(&identity.trust_anchors, fuzz_ca);
    if (mode == CREDENTIALS_CERT) {
        put_text(&identity.crl, fuzz_crl);
    }
    struct handshake_context *context = NULL;
    ALWAYS(handshake_context_new(&identity, &clock_system, &context, NULL) == RESULT_OK);
    identity_clear(&identity);
    return context;
}

static void prepare(void)
{
    memset(psk.data, 7, sizeof(psk.data));
    server = context_of(AUTHORITY, IDENTITY_IN_CSE, CREDENTIALS_CERT, fuzz_in_cse, fuzz_in_cse_key);
    clients[0] = context_of(DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, fuzz_door, fuzz_door_key);
    clients[1] = context_of(DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, "", "");
}

struct change {
    unsigned flight;
    bool replace;
    struct bytes with;
    bool changed;
};

static void apply(struct change *change, unsigned flight, struct buffer *bytes)
{
    if (change->flight != flight) {
        return;
    }
    if (change->replace) {
        change->changed = !bytes_equal(buffer_bytes(bytes), change->with);
        buffer_clear(bytes);
        ALWAYS(buffer_append(bytes, change->with) == RESULT_OK);
        return;
    }
    for (size_t i = 0; i < change->with.length && i < bytes->length; i++) {
        bytes->data[i] ^= change->with.data[i];
        change->changed = change->changed || change->with.data[i] != 0;
    }
}

static enum result run(struct handshake_context *client, const struct expected_peer *peer,
                       struct change *change, struct buffer flights[3], struct handshake **member,
                       struct handshake **authority)
{
    uint8_t hash[32];
    struct agreement agreement;
    struct reason why = {""};
    enum audit_counter cause = AUDIT_COUNT;
    ALWAYS(handshake_client_start(client, member, &flights[0], hash, &why) == RESULT_OK);
    apply(change, 1, &flights[0]);
    GUARD(handshake_server_start(server, peer, buffer_bytes(&flights[0]), authority, &flights[1], hash,
                                 &cause, &why));
    apply(change, 2, &flights[1]);
    GUARD(handshake_client_finish(*member, buffer_bytes(&flights[1]), &flights[2], &agreement, &cause, &why));
    apply(change, 3, &flights[2]);
    return handshake_server_finish(*authority, buffer_bytes(&flights[2]), &agreement, &cause, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (server == NULL) {
        prepare();
    }
    if (size == 0 || size > 32768) {
        return 0;
    }
    bool with_psk = (data[0] & 1) != 0;
    struct expected_peer peer = {DOOR, IDENTITY_ADN_AE, with_psk ? CREDENTIALS_PSK : CREDENTIALS_CERT, DOOR,
                                 &psk};
    struct change change = {1 + ((data[0] >> 2) % 3), (data[0] & 2) != 0, {data + 1, size - 1}, false};
    struct buffer flights[3] = {BUFFER_EMPTY(FLIGHT_LIMIT), BUFFER_EMPTY(FLIGHT_LIMIT),
                                BUFFER_EMPTY(FLIGHT_LIMIT)};
    struct handshake *member = NULL;
    struct handshake *authority = NULL;
    /* A ClientHello of another's making may be answered, but not finished: the keys are not the fuzzer's. The
     * version in a hello record's head (0x0301 or 0x0303) is the one thing that may differ unseen by TLS; the
     * engines match flights by the hash of the hello. */
    enum result result = run(clients[with_psk ? 1 : 0], &peer, &change, flights, &member, &authority);
    ALWAYS(result == RESULT_OK || change.changed);
    ALWAYS(result != RESULT_OK || !change.changed || change.flight == 1);
    handshake_free(member);
    handshake_free(authority);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&flights[i]);
    }
    return 0;
}
