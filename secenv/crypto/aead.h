/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CRYPTO_AEAD_H
#define GROUPSEAL_SECENV_CRYPTO_AEAD_H

#include "secenv/crypto/secret.h"

#define AEAD_TAG_SIZE 16u

/* Numbers as in envelope.proto. */
enum aead { AEAD_CHACHA20_POLY1305_CIPHER = 0, AEAD_AES_256_GCM_CIPHER = 1 };

/*
 * Nonce: 4 zero bytes and the big-endian counter. `out` is appended with plaintext.length
 * + AEAD_TAG_SIZE bytes.
 */
enum result aead_seal(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                      struct bytes plaintext, struct buffer *out) MUST_USE;

/* RESULT_REFUSED where the tag is wrong; then `out` is unchanged. */
enum result aead_open(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                      struct bytes ciphertext, struct buffer *out) MUST_USE;

/* AES-256 key wrap (RFC 3394) of one secret. */
#define WRAP_SIZE 40u
enum result keywrap_wrap(const struct secret *key, const struct secret *secret,
                         uint8_t out[WRAP_SIZE]) MUST_USE;
enum result keywrap_unwrap(const struct secret *key, const uint8_t wrapped[WRAP_SIZE],
                           struct secret *out) MUST_USE;

#endif
