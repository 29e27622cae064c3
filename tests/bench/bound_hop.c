/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_bound_hop PKI PEERS: CPU seconds of a bare handshake of the hop (both ends, OpenSSL as Paho and
 * Mosquitto use it, certificates, TLS 1.3) through memory, of the devices 0 to PEERS - 1.
 */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void must(int good, const char *what)
{
    if (good != 1) {
        (void)fprintf(stderr, "bench: bare OpenSSL: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

static double cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static SSL_CTX *side_new(const SSL_METHOD *method, const char *pki, const char *stem)
{
    char path[4096];
    SSL_CTX *ctx = SSL_CTX_new(method);
    must(ctx != NULL, "context");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    (void)snprintf(path, sizeof(path), "%s/ca.pem", pki);
    must(SSL_CTX_load_verify_locations(ctx, path, NULL), path);
    (void)snprintf(path, sizeof(path), "%s/%s.pem", pki, stem);
    must(SSL_CTX_use_certificate_chain_file(ctx, path), path);
    (void)snprintf(path, sizeof(path), "%s/%s.key", pki, stem);
    must(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), path);
    return ctx;
}

static void handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx)
{
    SSL *client = SSL_new(client_ctx);
    SSL *server = SSL_new(server_ctx);
    BIO *to_server = BIO_new(BIO_s_mem());
    BIO *to_client = BIO_new(BIO_s_mem());
    must(client != NULL && server != NULL && to_server != NULL && to_client != NULL, "memory");
    must(BIO_up_ref(to_server) == 1 && BIO_up_ref(to_client) == 1, "memory");
    SSL_set_bio(client, to_client, to_server);
    SSL_set_bio(server, to_server, to_client);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    (void)SSL_do_handshake(client);
    (void)SSL_do_handshake(server);
    must(SSL_do_handshake(client), "the client's handshake");
    must(SSL_do_handshake(server), "the server's handshake");
    SSL_free(client);
    SSL_free(server);
}

int main(int argc, char **argv)
{
    unsigned peers = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    double used_s = 0;
    char stem[24];
    if (peers == 0) {
        (void)fputs("usage: bench_bound_hop PKI PEERS\n", stderr);
        return 2;
    }
    SSL_CTX *server = side_new(TLS_server_method(), argv[1], "broker");
    for (unsigned i = 0; i < peers; i++) {
        (void)snprintf(stem, sizeof(stem), "Sbench%06u", i);
        SSL_CTX *client = side_new(TLS_client_method(), argv[1], stem);
        double start_s = cpu_s();
        handshake(client, server);
        used_s += cpu_s() - start_s;
        SSL_CTX_free(client);
    }
    SSL_CTX_free(server);
    (void)printf("%.9f\n", used_s / peers);
    return 0;
}
