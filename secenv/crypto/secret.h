/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_CRYPTO_SECRET_H
#define GROUPSEAL_SECENV_CRYPTO_SECRET_H

#include "secenv/bytes.h"

/* 32-byte secrets: node, leaf, epoch, association and sealing keys. */
#define SECRET_SIZE 32u

struct secret {
    uint8_t data[SECRET_SIZE];
};

struct bytes secret_bytes(const struct secret *secret);
void secret_wipe(struct secret *secret);
void secret_wipe_bytes(void *data, size_t length);
bool secret_equal(const void *a, const void *b, size_t length); /* constant time */

/* Fresh random bytes from wolfCrypt's generator, seeded by the kernel. */
enum result random_bytes(uint8_t *out, size_t length) MUST_USE;

/* Forbids core dumps, ptrace and new privileges. */
void secret_forbid_dumps(void);

/* That, and locks the process's memory. Says in the log, once, what the system did not allow
 * (RLIMIT_MEMLOCK in a container). */
void secret_protect_process(void);

/*
 * Called for each secret that is derived, unwrapped or loaded by this library; who draws one with
 * random_bytes() calls it for that one. The shipped program does
 * nothing here; a test build (tests/door) links its own that writes them to a file, so that
 * the memory scan knows what to look for.
 */
void secret_note(const char *kind, const void *data, size_t length);

#endif
