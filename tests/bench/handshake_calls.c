/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "secenv/handshake.h"
#include "tests/fuzz/secenv_credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * What our handshake costs beside bare wolfSSL calls of the same parameters, both ends in one process:
 * handshakes per CPU second, rounds of both in turn, so that a busy machine disturbs both alike.
 * Usage: bench_handshake_calls [SECONDS]
 */
#define AUTHORITY "//sp.example/in-cse"
#define DOOR "//sp.example/Sdoor1"
#define SUITE "TLS13-CHACHA20-POLY1305-SHA256"
#define LIMIT 65536u
#define PIECE 50 /* handshakes of one kind before the other's turn */

static struct secret psk;

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "bench_handshake_calls: %s\n", what);
        exit(1);
    }
}

static double cpu_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- ours ---- */

static void put_text(struct buffer *buffer, const char *text)
{
    require(buffer_append(buffer, bytes_of_text(text)) == RESULT_OK, "memory");
}

static struct handshake_context *context_of(const char *name, enum identity_kind kind,
                                            enum credentials_mode mode, const char *chain, const char *key)
{
    struct identity identity = {.kind = kind,
                                .mode = mode,
                                .psk = psk,
                                .chain = BUFFER_EMPTY(LIMIT),
                                .private_key = BUFFER_EMPTY(LIMIT),
                                .trust_anchors = BUFFER_EMPTY(LIMIT),
                                .crl = BUFFER_EMPTY(LIMIT)};
    (void)snprintf(identity.name, sizeof(identity.name), "%s", name);
    (void)snprintf(identity.authority, sizeof(identity.authority), AUTHORITY);
    (void)snprintf(identity.authority_san, sizeof(identity.authority_san), "in-cse.sp.example");
    (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), DOOR);
    put_text(&identity.chain, chain);
    put_text(&identity.private_key, key);
    put_text(&identity.trust_anchors, fuzz_ca);
    put_text(&identity.crl, fuzz_crl);
    struct handshake_context *context = NULL;
    struct reason why = {""};
    if (handshake_context_new(&identity, &clock_system, &context, &why) != RESULT_OK) {
        require(false, why.text);
    }
    identity_clear(&identity);
    return context;
}

static void ours(struct handshake_context *server, struct handshake_context *client,
                 const struct expected_peer *peer)
{
    struct buffer flights[3] = {BUFFER_EMPTY(LIMIT), BUFFER_EMPTY(LIMIT), BUFFER_EMPTY(LIMIT)};
    struct handshake *member = NULL;
    struct handshake *authority = NULL;
    struct agreement agreements[2];
    struct reason why = {""};
    enum audit_counter cause;
    uint8_t hash[32];
    bool good = handshake_client_start(client, &member, &flights[0], hash, &why) == RESULT_OK &&
                handshake_server_start(server, peer, buffer_bytes(&flights[0]), &authority, &flights[1], hash,
                                       &cause, &why) == RESULT_OK &&
                handshake_client_finish(member, buffer_bytes(&flights[1]), &flights[2], &agreements[0],
                                        &cause, &why) == RESULT_OK &&
                handshake_server_finish(authority, buffer_bytes(&flights[2]), &agreements[1], &cause, &why) ==
                    RESULT_OK &&
                memcmp(&agreements[0].key, &agreements[1].key, SECRET_SIZE) == 0;
    require(good, why.text);
    handshake_free(member);
    handshake_free(authority);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&flights[i]);
    }
}

/* ---- bare ---- */

struct pipe_end {
    uint8_t data[16384];
    size_t start;
    size_t end;
};

struct wire {
    struct pipe_end *in;
    struct pipe_end *out;
};

static int bare_receive(WOLFSSL *ssl, char *out, int size, void *context)
{
    (void)ssl;
    struct pipe_end *in = ((struct wire *)context)->in;
    size_t length = in->end - in->start;
    if (length == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    length = length < (size_t)size ? length : (size_t)size;
    memcpy(out, in->data + in->start, length);
    in->start += length;
    return (int)length;
}

static int bare_send(WOLFSSL *ssl, char *data, int size, void *context)
{
    (void)ssl;
    struct pipe_end *out = ((struct wire *)context)->out;
    require(out->end + (size_t)size <= sizeof(out->data), "wire");
    memcpy(out->data + out->end, data, (size_t)size);
    out->end += (size_t)size;
    return size;
}

static unsigned int bare_client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_max,
                                    unsigned char *key, unsigned int key_max, const char **suite)
{
    (void)ssl;
    (void)hint;
    (void)identity_max;
    (void)key_max;
    memcpy(identity, DOOR, sizeof(DOOR));
    memcpy(key, psk.data, SECRET_SIZE);
    *suite = SUITE;
    return SECRET_SIZE;
}

static unsigned int bare_server_psk(WOLFSSL *ssl, const char *identity, unsigned char *key,
                                    unsigned int key_max, const char **suite)
{
    (void)ssl;
    (void)identity;
    (void)key_max;
    memcpy(key, psk.data, SECRET_SIZE);
    *suite = SUITE;
    return SECRET_SIZE;
}

static int load_pem(int (*load)(WOLFSSL_CTX *, const unsigned char *, long, int), WOLFSSL_CTX *ctx,
                    const char *pem)
{
    return load(ctx, (const unsigned char *)pem, (long)strlen(pem), WOLFSSL_FILETYPE_PEM);
}

static WOLFSSL_CTX *bare_context(bool server, bool with_psk)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    int groups[] = {WOLFSSL_ECC_X25519};
    require(ctx != NULL && wolfSSL_CTX_set_cipher_list(ctx, SUITE) == WOLFSSL_SUCCESS &&
                wolfSSL_CTX_set_groups(ctx, groups, 1) == WOLFSSL_SUCCESS,
            "context");
    (void)wolfSSL_CTX_no_ticket_TLSv13(ctx);
    (void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    wolfSSL_CTX_SetIORecv(ctx, bare_receive);
    wolfSSL_CTX_SetIOSend(ctx, bare_send);
    if (with_psk && server) {
        wolfSSL_CTX_set_psk_server_tls13_callback(ctx, bare_server_psk);
    } else if (with_psk) {
        wolfSSL_CTX_set_psk_client_tls13_callback(ctx, bare_client_psk);
    } else {
        require(load_pem(wolfSSL_CTX_load_verify_buffer, ctx, fuzz_ca) == WOLFSSL_SUCCESS &&
                    load_pem(wolfSSL_CTX_use_certificate_buffer, ctx, server ? fuzz_in_cse : fuzz_door) ==
                        WOLFSSL_SUCCESS &&
                    load_pem(wolfSSL_CTX_use_PrivateKey_buffer, ctx,
                             server ? fuzz_in_cse_key : fuzz_door_key) == WOLFSSL_SUCCESS &&
                    wolfSSL_CTX_EnableCRL(ctx, WOLFSSL_CRL_CHECK) == WOLFSSL_SUCCESS &&
                    load_pem(wolfSSL_CTX_LoadCRLBuffer, ctx, fuzz_crl) == WOLFSSL_SUCCESS,
                "certificates");
    }
    return ctx;
}

static WOLFSSL *bare_end(WOLFSSL_CTX *ctx, struct wire *wire)
{
    char mechanisms[] = MECHANISM_WRAP;
    WOLFSSL *ssl = wolfSSL_new(ctx);
    require(ssl != NULL, "memory");
    wolfSSL_SetIOReadCtx(ssl, wire);
    wolfSSL_SetIOWriteCtx(ssl, wire);
    wolfSSL_KeepArrays(ssl);
    require(wolfSSL_UseALPN(ssl, mechanisms, sizeof(mechanisms) - 1, WOLFSSL_ALPN_FAILED_ON_MISMATCH) ==
                WOLFSSL_SUCCESS,
            "ALPN");
    return ssl;
}

static void bare(WOLFSSL_CTX *server_ctx, WOLFSSL_CTX *client_ctx)
{
    struct pipe_end up = {.end = 0};
    struct pipe_end down = {.end = 0};
    struct wire server_wire = {&up, &down};
    struct wire client_wire = {&down, &up};
    uint8_t keys[2][48];
    WOLFSSL *client = bare_end(client_ctx, &client_wire);
    WOLFSSL *server = bare_end(server_ctx, &server_wire);
    (void)wolfSSL_connect(client);
    (void)wolfSSL_accept(server);
    require(wolfSSL_connect(client) == WOLFSSL_SUCCESS, "bare client");
    require(wolfSSL_accept(server) == WOLFSSL_SUCCESS, "bare server");
    WOLFSSL *ends[] = {client, server};
    for (size_t i = 0; i < 2; i++) {
        require(wolfSSL_export_keying_material(ends[i], keys[i], 48, "EXPORTER-oneM2M-ESCertKE", 24, NULL, 0,
                                               0) == WOLFSSL_SUCCESS,
                "export");
        wolfSSL_free(ends[i]);
    }
    require(memcmp(keys[0], keys[1], 48) == 0, "keys differ");
}

/* ---- both in turn ---- */

static void measure(bool with_psk, double seconds)
{
    struct expected_peer peer = {DOOR, IDENTITY_ADN_AE, with_psk ? CREDENTIALS_PSK : CREDENTIALS_CERT, DOOR,
                                 &psk};
    struct handshake_context *server =
        context_of(AUTHORITY, IDENTITY_IN_CSE, CREDENTIALS_CERT, fuzz_in_cse, fuzz_in_cse_key);
    struct handshake_context *client = context_of(DOOR, IDENTITY_ADN_AE, peer.mode, fuzz_door, fuzz_door_key);
    WOLFSSL_CTX *bare_server = bare_context(true, with_psk);
    WOLFSSL_CTX *bare_client = bare_context(false, with_psk);
    double spent[2] = {0, 0};
    unsigned long count = 0;
    while (spent[0] + spent[1] < seconds) {
        double start = cpu_seconds();
        for (int i = 0; i < PIECE; i++) {
            ours(server, client, &peer);
        }
        double middle = cpu_seconds();
        for (int i = 0; i < PIECE; i++) {
            bare(bare_server, bare_client);
        }
        spent[0] += middle - start;
        spent[1] += cpu_seconds() - middle;
        count += PIECE;
    }
    double rate = (double)count / spent[0];
    double bare_rate = (double)count / spent[1];
    (void)printf("{\"bench\":\"handshake_calls\",\"mode\":\"%s\",\"per_cpu_s\":%.0f,\"bare_per_cpu_s\":%.0f,"
                 "\"ratio\":%.3f}\n",
                 with_psk ? "psk" : "cert", rate, bare_rate, rate / bare_rate);
    handshake_context_free(server);
    handshake_context_free(client);
    wolfSSL_CTX_free(bare_server);
    wolfSSL_CTX_free(bare_client);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 3.0;
    memset(psk.data, 7, sizeof(psk.data));
    measure(false, seconds);
    measure(true, seconds);
    return 0;
}
