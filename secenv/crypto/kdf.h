/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CRYPTO_KDF_H
#define GROUPSEAL_SECENV_CRYPTO_KDF_H

#include "secenv/crypto/secret.h"

/* KDF(secret; label) of docs/protocol.md section 1 (HKDF-SHA-256, RFC 5869). */
enum result kdf_label(const struct secret *secret, const char *label, struct secret *out) MUST_USE;

/* KDF(secret; fields): the list, started with fields_label(), is the info. Does not clear
 * the fields. */
enum result kdf_fields(const struct secret *secret, const struct fields *info, struct secret *out) MUST_USE;

/* The two halves of kdf_fields, for a secret from which many keys are derived: RFC 5869's extract, once, and
 * expand. The base is as secret as the secret. */
enum result kdf_extract(const struct secret *secret, struct secret *base) MUST_USE;
enum result kdf_expand(const struct secret *base, const struct fields *info, struct secret *out) MUST_USE;

/* SHA-256. */
#define HASH_SIZE 32u
enum result hash_bytes(struct bytes bytes, uint8_t out[HASH_SIZE]) MUST_USE;
enum result hash_fields(const struct fields *fields, uint8_t out[HASH_SIZE]) MUST_USE;

#endif
