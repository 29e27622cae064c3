/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_HANDSHAKE_H
#define GROUPSEAL_SECENV_HANDSHAKE_H

#include "secenv/certificate.h"
#include "secenv/credentials.h"

/*
 * The TLS 1.3 handshake of docs/protocol.md section 4 through memory I/O, both ends. A handshake
 * object lives from flight 1 to the export and is freed then. The exact reason of a failure is in
 * `why` and its class in `*cause` (one of the AUDIT_REFUSED_ counters); the peer learns neither.
 */
struct handshake;

#define ASSOCIATION_ID_SIZE 16u
#define MECHANISM_WRAP "gs-wrap/1"

/* What a finished handshake gives. */
struct agreement {
    uint8_t id[ASSOCIATION_ID_SIZE];
    struct secret key;
    enum credentials_mode mode;
    char mechanism[16];
    uint8_t certificate[CERTIFICATE_MARK_SIZE]; /* the peer's; zero in PSK mode */
};

/* wolfSSL contexts of one identity, made once: certificates parsed, CRL loaded, only X25519. */
struct handshake_context;

enum result handshake_context_new(const struct identity *identity, const struct clock_source *clock,
                                  struct handshake_context **out, struct reason *why) MUST_USE;
void handshake_context_free(struct handshake_context *context);
/* Certificates are not checked against an earlier time than this (milliseconds since 1970), whatever the
 * clock says: the newest that the authority has signed. Never before the build date. */
void handshake_context_not_before(struct handshake_context *context, uint64_t wall_ms);

/*
 * The CRLs in use, one an issuer. A list (DER, copied) takes the place of its issuer's, for every handshake
 * that has not ended yet: RESULT_EXISTS where it is the one in use; RESULT_INVALID; RESULT_REFUSED where it
 * is not signed by a trust anchor, has no number or one that is not higher, or is partial; RESULT_FULL.
 */
#define REVOCATION_LISTS_LIMIT 8u
size_t handshake_context_list_count(const struct handshake_context *context);
struct bytes handshake_context_list(const struct handshake_context *context, size_t index,
                                    struct revocation_list *out);
enum result handshake_context_list_take(struct handshake_context *context, const struct identity *identity,
                                        struct bytes der, struct reason *why) MUST_USE;
/* That certificates are refused while no list is there, or one is overdue; else it is an alarm. */
bool handshake_context_refuses_unrevoked(const struct handshake_context *context);
/* That there is no list, or one is overdue (`*overdue`, which may be NULL, else without issuer). */
bool handshake_context_unrevoked(const struct handshake_context *context, struct revocation_list *overdue);

/* Whom the authority expects: from its roster, by `fr`. */
struct expected_peer {
    const char *name; /* absolute id */
    enum identity_kind kind;
    enum credentials_mode mode;
    const char *psk_identity; /* PSK mode */
    const struct secret *psk; /* PSK mode */
};

enum result handshake_client_start(struct handshake_context *context, struct handshake **out,
                                   struct buffer *flight1, uint8_t hello_hash[32],
                                   struct reason *why) MUST_USE;
enum result handshake_client_finish(struct handshake *handshake, struct bytes flight2, struct buffer *flight3,
                                    struct agreement *out, enum audit_counter *cause,
                                    struct reason *why) MUST_USE;

enum result handshake_server_start(struct handshake_context *context, const struct expected_peer *peer,
                                   struct bytes flight1, struct handshake **out, struct buffer *flight2,
                                   uint8_t hello_hash[32], enum audit_counter *cause,
                                   struct reason *why) MUST_USE;
enum result handshake_server_finish(struct handshake *handshake, struct bytes flight3, struct agreement *out,
                                    enum audit_counter *cause, struct reason *why) MUST_USE;
void handshake_free(struct handshake *handshake); /* wipes; NULL is allowed */

/*
 * Bounded parser of the ClientHello (hello.c, a fuzz target): one TLS record or several, not more than
 * 4 KiB, nothing after it. RESULT_INVALID where it cannot be read; RESULT_REFUSED where it can, but lacks
 * TLS 1.3, a key_share for X25519 or ALPN, has early data, or offers a PSK without (EC)DHE; `out` says which.
 */
struct hello {
    bool has_key_share;
    bool has_early_data;
    bool has_alpn;
    bool offers_tls13;
    bool offers_psk_dhe; /* psk_key_exchange_modes has psk_dhe_ke */
    bool has_psk;
    size_t psk_identities;
    char psk_identity[129]; /* the first one; "" where it is too long or not text */
};
enum result hello_parse(struct bytes flight1, struct hello *out, struct reason *why) MUST_USE;

/*
 * The ServerHello at the head of flight 2, read at both ends: wolfSSL would take an answer without key
 * share, or without the pre-shared key, and does not say so. RESULT_REFUSED unless it is TLS 1.3 with
 * TLS13-CHACHA20-POLY1305-SHA256, a key share on X25519, no retry, and the pre-shared key if and only if
 * `psk`.
 */
enum result server_hello_check(struct bytes flight2, bool psk, struct reason *why) MUST_USE;

#endif
