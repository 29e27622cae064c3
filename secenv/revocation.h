/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_REVOCATION_H
#define GROUPSEAL_SECENV_REVOCATION_H

#include "secenv/handshake.h"

/*
 * CRLs that came while the identity was in use: from the operator at the authority, in a record REVOCATION at
 * a member. Kept beside those that were provisioned; of each issuer the one with the higher number is in use.
 * One that is not signed by the trust anchor any more, or is older than what was provisioned since, is
 * dropped.
 */
#define REVOCATION_BYTES_LIMIT 45056u /* of all lists of one record */

extern const char revocation_schema[];

/* What is stored, into the context; in a transaction. */
enum result revocation_load(struct store *store, const struct identity *identity,
                            struct handshake_context *context, struct reason *why) MUST_USE;

/*
 * One list or several, DER, one after the other. RESULT_OK: each is in use now, and stored; RESULT_EXISTS:
 * each was before. RESULT_INVALID (cannot be read), RESULT_REFUSED (signature, number): what it is of is in
 * `why`. The lists before one that fails stay in use till the next start: they are good.
 */
enum result revocation_take(struct store *store, const struct identity *identity,
                            struct handshake_context *context, struct bytes lists,
                            struct reason *why) MUST_USE;

#endif
