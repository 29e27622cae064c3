/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CERTIFICATE_H
#define GROUPSEAL_SECENV_CERTIFICATE_H

#include "secenv/audit.h"
#include "secenv/bytes.h"

/*
 * What we read of X.509 ourselves (RFC 5280), beside wolfSSL: wolfSSL verifies paths, signatures
 * and validity; the exact subjectAltName, the usages and a CRL's serials are read here, from the DER, since
 * wolfSSL drops the names and usages that it does not know. Bounded; a fuzz target.
 */

/* Views into the DER that was given. */
struct certificate {
    struct bytes serial;
    struct bytes issuer; /* the whole Name */
    struct bytes subject;
    uint64_t not_before; /* seconds since 1970 */
    uint64_t not_after;
    struct bytes public_key; /* the point, uncompressed; empty where it is not */
    bool is_ca;
    bool is_p256;     /* the key is on P-256 and the signature ECDSA with SHA-256 */
    bool signs_only;  /* key usage is there and is digitalSignature alone */
    bool server_only; /* extended key usage is there and is serverAuth alone */
    bool client_only;
    size_t names;      /* subjectAltNames */
    struct bytes name; /* the first one */
    bool name_is_uri;
    bool name_is_dns;
};

enum result certificate_parse(struct bytes der, struct certificate *out) MUST_USE;

/* What a certificate is known by: of issuer and serial. */
#define CERTIFICATE_MARK_SIZE 16u
enum result certificate_mark(struct bytes issuer, struct bytes serial,
                             uint8_t out[CERTIFICATE_MARK_SIZE]) MUST_USE;

/* Which end of the handshake a certificate is for. */
enum certificate_usage { CERTIFICATE_SERVER, CERTIFICATE_CLIENT };

/*
 * Exactly one subjectAltName, of that type, equal to `san`; P-256; digitalSignature only; that
 * usage and no other. `cause` (may be NULL): AUDIT_REFUSED_NAME or AUDIT_REFUSED_CHAIN. `whose` is for the
 * reason.
 */
enum result certificate_check(const struct certificate *certificate, const char *whose, const char *san,
                              bool is_uri, enum certificate_usage usage, enum audit_counter *cause,
                              struct reason *why) MUST_USE;

/* "2026-01-31 12:00:00 UTC" */
#define CERTIFICATE_TIME_SIZE 32u
void certificate_time_text(uint64_t seconds, char out[CERTIFICATE_TIME_SIZE]);

/* The common name in a Name, for people; "?" where there is none that can be shown. */
#define CERTIFICATE_NAME_SIZE 65u
void certificate_name_text(struct bytes name, char out[CERTIFICATE_NAME_SIZE]);

/* A CRL: views, as above. */
#define REVOCATION_NUMBER_LIMIT 20u /* bytes (RFC 5280 5.2.3) */
struct revocation_list {
    struct bytes issuer;
    uint64_t this_update;
    uint64_t next_update; /* UINT64_MAX: none given */
    struct bytes revoked; /* the list's entries */
    struct bytes number;  /* big-endian, without leading zeros; empty: none given, or 0 */
    bool has_number;
    bool is_partial; /* a critical extension that is not known: a delta, or for some certificates only */
};

enum result revocation_list_parse(struct bytes der, struct revocation_list *out) MUST_USE;
/* Lists one after the other: `*rest` moves on. RESULT_UNKNOWN where there is no more. */
enum result revocation_list_next(struct bytes *rest, struct bytes *der) MUST_USE;
/* By their numbers: below, equal or above 0. */
int revocation_list_compare(const struct revocation_list *a, const struct revocation_list *b);
/* The serials: `*rest` is `revoked` at first, and moves on. RESULT_UNKNOWN where there is no more. */
enum result revocation_serial_next(struct bytes *rest, struct bytes *serial) MUST_USE;
bool revocation_list_names(const struct revocation_list *list, const struct certificate *certificate);

/*
 * PEM blocks of one kind ("CERTIFICATE", "X509 CRL"), one after the other: `*rest` moves on, `der` is
 * replaced. RESULT_UNKNOWN where there is no more, RESULT_INVALID where one cannot be decoded.
 */
enum result pem_next(struct bytes *rest, const char *kind, struct buffer *der) MUST_USE;

#endif
