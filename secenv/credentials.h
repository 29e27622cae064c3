/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CREDENTIALS_H
#define GROUPSEAL_SECENV_CREDENTIALS_H

#include "secenv/clock.h"
#include "secenv/store.h"

/*
 * An identity of this secure environment and its end-to-end credentials, written by `secenv
 * provision` to a stopped store and only read here. Private keys and PSKs are sealed.
 */
enum credentials_mode { CREDENTIALS_CERT = 1, CREDENTIALS_PSK = 2 }; /* as envelope/secenv `mode` */
/* What a handshake with a certificate becomes where no CRL is there, or one is overdue. */
enum unrevoked { UNREVOKED_DEFAULT = 0, UNREVOKED_ALARM = 1, UNREVOKED_REFUSE = 2 };
enum identity_kind { IDENTITY_ADN_AE = 1, IDENTITY_MN_CSE = 2, IDENTITY_IN_CSE = 3 };

struct identity {
    char name[129]; /* absolute id */
    enum identity_kind kind;
    enum credentials_mode mode; /* IN-CSE: CREDENTIALS_CERT; its PSKs are in the roster */
    char authority[129];        /* absolute id of the IN-CSE; the IN-CSE's own name for itself */
    char authority_san[256];    /* the exact name that the IN-CSE's certificate must carry */
    /* certificate mode: PEM */
    struct buffer chain;
    struct buffer private_key; /* wiped on free */
    struct buffer trust_anchors;
    struct buffer crl;        /* may be empty */
    enum unrevoked unrevoked; /* default: refuse at an IN-CSE, alarm at others */
    /* PSK mode */
    struct secret psk;
    char psk_identity[129];
};

extern const char identity_schema[];

/* Checks everything that can be checked (key fits certificate, SAN, usages, sizes) and
 * stores it; RESULT_EXISTS unless `replace`. */
enum result identity_store(struct store *store, const struct identity *identity, bool replace,
                           struct reason *why) MUST_USE;
/* Calls `each` for every identity; it takes ownership of the struct's buffers when it returns OK. */
enum result identity_load(struct store *store, enum result (*each)(void *context, struct identity *identity),
                          void *context, struct reason *why) MUST_USE;
void identity_clear(struct identity *identity); /* wipes and frees the buffers */

/* The subjectAltName that an entity's certificate must carry (docs/protocol.md section 2):
 * `*is_uri` says URI or DNS. `in_cse` is the absolute id of the IN-CSE. */
enum result identity_san(const char *name, enum identity_kind kind, const char *in_cse, char *out,
                         size_t size, bool *is_uri) MUST_USE;

#endif
