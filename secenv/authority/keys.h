/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_KEYS_H
#define GROUPSEAL_SECENV_AUTHORITY_KEYS_H

#include "secenv/crypto/signature.h"
#include "secenv/store.h"

/*
 * The authority's own signing keys, made at the first start and sealed in the store: one signs
 * announcements, policies and rosters, the other orders. And the numbers that only rise.
 */
struct authority_keys {
    struct signing_key authority;
    struct signing_key commander;
};

extern const char keys_schema[];

enum result keys_open(struct store *store, struct authority_keys *keys, struct reason *why) MUST_USE;
void keys_wipe(struct authority_keys *keys);

/* The last value of a named number; 0: there is none. */
enum result number_last(struct store *store, const char *name, uint64_t *out, struct reason *why) MUST_USE;
/* The next value of a named number: above every one before it, and at least `least`. */
enum result number_next(struct store *store, const char *name, uint64_t least, uint64_t *out,
                        struct reason *why) MUST_USE;

#endif
