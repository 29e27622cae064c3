/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_BARE_H
#define GROUPSEAL_BENCH_BARE_H

#include "secenv/crypto/secret.h"

/*
 * The same cryptography with nothing around it: wolfSSL called in this process, for the second figure of each
 * benchmark.
 */
struct bare;

/* The context of the server, made once: certificates of `pki` with the CRL, or PSKs (`psks` of each device).
 */
struct bare *bare_new(const char *pki, const struct secret *psks);
void bare_free(struct bare *bare);
/*
 * The contexts of so many devices, each its own, as the member's secenv has them: a peer's key that was never
 * seen costs more, since this wolfSSL keeps tables of the points that it has used (FP_ECC).
 */
void bare_peers(struct bare *bare, unsigned first, unsigned count);
/* One whole TLS 1.3 handshake through memory, of the next of these devices. */
void bare_handshake(struct bare *bare);

/* Of a command: its order signed and verified (MN-CSE), the seal signed, AEAD seal and open, both signatures
 * verified (device). Of a member message: signed, sealed, opened, verified. */
void bare_command(size_t body_length);
void bare_message(size_t body_length);

#endif
