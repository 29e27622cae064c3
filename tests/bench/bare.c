/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/random.h>

#include "tests/bench/bare.h"

#include "tests/bench/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE "TLS13-CHACHA20-POLY1305-SHA256"
#define PIPE_SIZE 16384u
#define SIGNED_LENGTH 160u /* of the lists that are signed */

struct pipe {
    uint8_t data[PIPE_SIZE];
    size_t length;
    size_t taken;
};

struct end {
    struct pipe *in;
    struct pipe *out;
};

struct bare {
    const char *pki;
    const struct secret *psks;
    WOLFSSL_CTX *server;
    WOLFSSL_CTX **clients;
    unsigned first; /* device of clients[0] */
    unsigned count;
    unsigned next; /* whose turn it is */
    struct pipe to_client;
    struct pipe to_server;
};

static void must(bool good, const char *what)
{
    if (!good) {
        bench_fail("bare wolfSSL: %s", what);
    }
}

static int receive(WOLFSSL *ssl, char *out, int size, void *context)
{
    (void)ssl;
    struct pipe *pipe = ((struct end *)context)->in;
    size_t length = pipe->length - pipe->taken;
    if (length == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    length = length < (size_t)size ? length : (size_t)size;
    memcpy(out, pipe->data + pipe->taken, length);
    pipe->taken += length;
    return (int)length;
}

static int send_out(WOLFSSL *ssl, char *data, int size, void *context)
{
    (void)ssl;
    struct pipe *pipe = ((struct end *)context)->out;
    must((size_t)size <= PIPE_SIZE - pipe->length, "a flight is too long");
    memcpy(pipe->data + pipe->length, data, (size_t)size);
    pipe->length += (size_t)size;
    return size;
}

static int fetch_nothing(WOLFSSL_CRL *crl, const char *url, int length)
{
    (void)crl;
    (void)url;
    (void)length;
    return -1;
}

static unsigned int client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_max,
                               unsigned char *key, unsigned int key_max, const char **suite)
{
    (void)hint;
    (void)key_max;
    const struct bare *bare = wolfSSL_get_psk_callback_ctx(ssl);
    bench_device_name(bare->first + bare->next, identity, identity_max);
    memcpy(key, bare->psks[bare->first + bare->next].data, SECRET_SIZE);
    *suite = SUITE;
    return SECRET_SIZE;
}

static unsigned int server_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int key_max,
                               const char **suite)
{
    (void)key_max;
    const struct bare *bare = wolfSSL_get_psk_callback_ctx(ssl);
    unsigned long number = strtoul(identity + strlen(BENCH_SP "Sbench"), NULL, 10);
    memcpy(key, bare->psks[number].data, SECRET_SIZE);
    *suite = SUITE;
    return SECRET_SIZE;
}

static WOLFSSL_CTX *context_new(bool is_server)
{
    int groups[] = {WOLFSSL_ECC_X25519};
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(is_server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    must(ctx != NULL && wolfSSL_CTX_set_cipher_list(ctx, SUITE) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_set_groups(ctx, groups, 1) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256") == WOLFSSL_SUCCESS &&
             (!is_server || wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0),
         "context");
    (void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_SetIORecv(ctx, receive);
    wolfSSL_CTX_SetIOSend(ctx, send_out);
    return ctx;
}

static void certificates_load(WOLFSSL_CTX *ctx, const char *pki, const char *stem)
{
    char path[4096];
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    (void)snprintf(path, sizeof(path), "%s/ca.pem", pki);
    must(wolfSSL_CTX_load_verify_locations(ctx, path, NULL) == WOLFSSL_SUCCESS, path);
    (void)snprintf(path, sizeof(path), "%s/%s.pem", pki, stem);
    must(wolfSSL_CTX_use_certificate_chain_file(ctx, path) == WOLFSSL_SUCCESS, path);
    (void)snprintf(path, sizeof(path), "%s/%s.key", pki, stem);
    must(wolfSSL_CTX_use_PrivateKey_file(ctx, path, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS, path);
    (void)snprintf(path, sizeof(path), "%s/crl.pem", pki);
    FILE *file = fopen(path, "rb");
    must(file != NULL, path);
    static uint8_t crl[65536];
    size_t length = fread(crl, 1, sizeof(crl), file);
    (void)fclose(file);
    must(wolfSSL_CTX_EnableCRL(ctx, WOLFSSL_CRL_CHECK) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_SetCRL_IOCb(ctx, fetch_nothing) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_LoadCRLBuffer(ctx, crl, (long)length, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS,
         path);
}

static WOLFSSL_CTX *side_new(struct bare *bare, const char *stem, bool is_server)
{
    WOLFSSL_CTX *ctx = context_new(is_server);
    if (bare->psks == NULL) {
        certificates_load(ctx, bare->pki, stem);
        return ctx;
    }
    if (is_server) {
        wolfSSL_CTX_set_psk_server_tls13_callback(ctx, server_psk);
    } else {
        wolfSSL_CTX_set_psk_client_tls13_callback(ctx, client_psk);
    }
    (void)wolfSSL_CTX_set_psk_callback_ctx(ctx, bare);
    return ctx;
}

struct bare *bare_new(const char *pki, const struct secret *psks)
{
    struct bare *bare = calloc(1, sizeof(*bare));
    must(bare != NULL && wolfSSL_Init() == WOLFSSL_SUCCESS, "start");
    bare->pki = pki;
    bare->psks = psks;
    bare->server = side_new(bare, "in-cse", true);
    return bare;
}

static void peers_forget(struct bare *bare)
{
    for (unsigned i = 0; i < bare->count; i++) {
        wolfSSL_CTX_free(bare->clients[i]);
    }
    free(bare->clients);
    bare->clients = NULL;
    bare->count = 0;
}

void bare_peers(struct bare *bare, unsigned first, unsigned count)
{
    char name[64];
    peers_forget(bare);
    bare->clients = calloc(count, sizeof(WOLFSSL_CTX *));
    must(bare->clients != NULL, "memory");
    for (unsigned i = 0; i < count; i++) {
        bench_device_name(first + i, name, sizeof(name));
        bare->clients[i] = side_new(bare, name + strlen(BENCH_SP), false);
    }
    bare->first = first;
    bare->count = count;
    bare->next = 0;
}

void bare_free(struct bare *bare)
{
    peers_forget(bare);
    wolfSSL_CTX_free(bare->server);
    free(bare);
}

static WOLFSSL *end_new(WOLFSSL_CTX *ctx, struct end *end)
{
    WOLFSSL *ssl = wolfSSL_new(ctx);
    must(ssl != NULL, "session");
    wolfSSL_SetIOReadCtx(ssl, end);
    wolfSSL_SetIOWriteCtx(ssl, end);
    return ssl;
}

void bare_handshake(struct bare *bare)
{
    struct end client_end = {&bare->to_client, &bare->to_server};
    struct end server_end = {&bare->to_server, &bare->to_client};
    bare->to_client.length = bare->to_client.taken = 0;
    bare->to_server.length = bare->to_server.taken = 0;
    must(bare->next < bare->count, "no more peers");
    WOLFSSL *client = end_new(bare->clients[bare->next], &client_end);
    WOLFSSL *server = end_new(bare->server, &server_end);
    (void)wolfSSL_connect(client);
    (void)wolfSSL_accept(server);
    must(wolfSSL_connect(client) == WOLFSSL_SUCCESS && wolfSSL_accept(server) == WOLFSSL_SUCCESS,
         "handshake");
    wolfSSL_free(client);
    wolfSSL_free(server);
    bare->next++;
}

/* ---- group messages ---- */

static ed25519_key *signing_key(void)
{
    static ed25519_key key;
    static bool made;
    WC_RNG random;
    if (!made) {
        must(wc_InitRng(&random) == 0 && wc_ed25519_init(&key) == 0 &&
                 wc_ed25519_make_key(&random, ED25519_KEY_SIZE, &key) == 0,
             "key");
        (void)wc_FreeRng(&random);
        made = true;
    }
    return &key;
}

static void sign(uint8_t signature[ED25519_SIG_SIZE])
{
    static const uint8_t list[SIGNED_LENGTH];
    word32 size = ED25519_SIG_SIZE;
    must(wc_ed25519_sign_msg(list, sizeof(list), signature, &size, signing_key()) == 0, "sign");
}

static void verify(const uint8_t signature[ED25519_SIG_SIZE])
{
    static const uint8_t list[SIGNED_LENGTH];
    int good = 0;
    must(wc_ed25519_verify_msg(signature, ED25519_SIG_SIZE, list, sizeof(list), &good, signing_key()) == 0 &&
             good == 1,
         "verify");
}

static void seal_and_open(size_t length)
{
    static const uint8_t key[32];
    static const uint8_t nonce[12];
    static const uint8_t aad[96];
    static uint8_t plaintext[PIPE_SIZE];
    static uint8_t sealed[PIPE_SIZE];
    uint8_t tag[16];
    must(length <= PIPE_SIZE &&
             wc_ChaCha20Poly1305_Encrypt(key, nonce, aad, sizeof(aad), plaintext, (word32)length, sealed,
                                         tag) == 0 &&
             wc_ChaCha20Poly1305_Decrypt(key, nonce, aad, sizeof(aad), sealed, (word32)length, tag,
                                         plaintext) == 0,
         "seal and open");
}

void bare_command(size_t body_length)
{
    uint8_t order[ED25519_SIG_SIZE];
    uint8_t seal[ED25519_SIG_SIZE];
    sign(order);
    verify(order);
    sign(seal);
    seal_and_open(body_length);
    verify(seal);
    verify(order);
}

void bare_message(size_t body_length)
{
    uint8_t signature[ED25519_SIG_SIZE];
    sign(signature);
    seal_and_open(body_length);
    verify(signature);
}
