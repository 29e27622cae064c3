/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_BARE_H
#define GROUPSEAL_BENCH_BARE_H

#include "secenv/crypto/secret.h"

/*
 * The same cryptography with nothing around it: wolfSSL called in this process, for the second figure of each
 * benchmark.
 */
struct bare;

/* Contexts of both ends, made once: mutual certificates of `pki` with the CRL, or a PSK. */
struct bare *bare_new(const char *pki, const struct secret *psk);
void bare_free(struct bare *bare);
/* One whole TLS 1.3 handshake through memory. */
void bare_handshake(struct bare *bare);

/* Of a command: its order signed and verified (MN-CSE), the seal signed, AEAD seal and open, both signatures
 * verified (device). Of a member message: signed, sealed, opened, verified. */
void bare_command(size_t body_length);
void bare_message(size_t body_length);

#endif
