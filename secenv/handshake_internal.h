/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_HANDSHAKE_INTERNAL_H
#define GROUPSEAL_SECENV_HANDSHAKE_INTERNAL_H

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "secenv/certificate.h"
#include "secenv/handshake.h"

/* Shared by handshake.c, handshake_context.c and handshake_failure.c only. */

#define ANCHORS_LIMIT 8u

struct handshake_context {
    const struct clock_source *clock;
    uint64_t not_before; /* seconds since 1970: the clock is not believed below it */
    char name[129];
    bool is_authority;
    enum credentials_mode mode; /* member: its only one */
    WOLFSSL_CTX *certificate;   /* NULL where the mode is not offered: one context a mode, no fallback */
    WOLFSSL_CTX *psk;
    /* member: whom it expects */
    char authority[129];
    char authority_san[256];
    struct secret psk_key;
    char psk_identity[129];
    /* Trust anchors, as DER: wolfSSL asks for their validity when they are loaded only. */
    size_t anchor_count;
    struct buffer anchors[ANCHORS_LIMIT];
    /* CRLs, as DER, and what they say; wolfSSL has verified and loaded the same bytes. */
    size_t list_count;
    struct buffer list_der[REVOCATION_LISTS_LIMIT];
    struct revocation_list lists[REVOCATION_LISTS_LIMIT];
    bool refuses_unrevoked;
};

struct handshake {
    struct handshake_context *context;
    WOLFSSL *ssl; /* NULL once it has ended, well or not */
    bool is_server;
    enum credentials_mode mode;
    struct bytes input; /* the flight that is being read */
    struct buffer *output;
    /* whom this end expects */
    char peer[129];
    char peer_san[256];
    bool peer_san_is_uri;
    char psk_identity[129];
    struct secret psk; /* server: wiped with the TLS object */
};

/* The time that certificates are checked against: the clock, but never before this was built. */
uint64_t handshake_now(const struct handshake_context *context);
/* Makes wolfSSL see that time (its hook is global: one thread). */
void handshake_set_time(uint64_t seconds);

/* That one of the anchors called `issuer` is valid now: asked at each handshake, so that a device whose
 * clock is not set yet can start, and goes on when it is. */
enum result handshake_anchor_check(const struct handshake_context *context, struct bytes issuer,
                                   struct reason *why) MUST_USE;

/* The first CRL that is overdue, or NULL. */
const struct revocation_list *handshake_overdue_list(const struct handshake_context *context);

/* The peer's own certificate, as it was sent, and the last of its chain; false where there is none. */
bool handshake_peer_certificate(const struct handshake *handshake, struct bytes *der);
bool handshake_peer_top(const struct handshake *handshake, struct bytes *der);

/* Turns an error of wolfSSL into cause and reason; returns RESULT_REFUSED. */
enum result handshake_refuse(const struct handshake *handshake, int error, enum audit_counter *cause,
                             struct reason *why) MUST_USE;

#endif
