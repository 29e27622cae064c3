/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CRYPTO_SIGNATURE_H
#define GROUPSEAL_SECENV_CRYPTO_SIGNATURE_H

#include "secenv/crypto/secret.h"

#define SIGNATURE_SIZE 64u
#define VERIFY_KEY_SIZE 32u

/* An Ed25519 key pair (RFC 8032): the seed and its public key. */
struct signing_key {
    struct secret seed;
    uint8_t public_key[VERIFY_KEY_SIZE];
};

enum result signing_key_make(struct signing_key *out) MUST_USE;
enum result signing_key_from_seed(const struct secret *seed, struct signing_key *out) MUST_USE;
void signing_key_wipe(struct signing_key *key);

/* Over a list started with fields_label(). */
enum result signature_make(const struct signing_key *key, const struct fields *list,
                           uint8_t out[SIGNATURE_SIZE]) MUST_USE;
/* RESULT_REFUSED where it is wrong, of another length, or the key is not of 32 bytes. */
enum result signature_check(struct bytes public_key, const struct fields *list,
                            struct bytes signature) MUST_USE;

#endif
