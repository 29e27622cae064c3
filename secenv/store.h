/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_STORE_H
#define GROUPSEAL_SECENV_STORE_H

#include "secenv/crypto/secret.h"

/*
 * The store: one SQLite database in one directory, held by one process (an exclusive
 * lock on `lock`), WAL with synchronous FULL. Secrets are sealed under keys derived from the
 * storage root key; everything else is in clear. All functions: the one thread of secenv.
 *
 * The service opens one transaction for a batch of requests and commits it before any
 * reply or event leaves the process; a request that fails is undone by its savepoint.
 */
struct store;

enum store_profile { STORE_ANY = 0, STORE_AUTHORITY = 1, STORE_MEMBER = 2 };

/* Where the storage root key comes from: the seam for PKCS#11 and TPM. */
struct root_key_source {
    enum result (*load)(void *context, struct secret *out, struct reason *why);
    void *context;
};

/* A file of 32 bytes, mode 0600, owned by this user. `path` must outlive the source. */
struct root_key_source root_key_file(const char *path);

/* Makes directory (0700), root key file (unless there is one; NULL: root.key in the directory) and
 * database. RESULT_EXISTS where there is a store. */
enum result store_create(const char *directory, enum store_profile profile, const char *root_key_path,
                         struct reason *why) MUST_USE;

/* RESULT_UNKNOWN: no store there. RESULT_REFUSED: wrong root key, or files open to others.
 * RESULT_STORE: in use by another process, damaged or unreadable; nothing is overwritten then.
 * RESULT_INVALID: other profile or format.
 *
 * Opens what store_create made and brings the schema up to date with `schema`: SQL that
 * may run any number of times (CREATE TABLE IF NOT EXISTS ...). STORE_ANY opens either profile. */
enum result store_open(const char *directory, enum store_profile profile, struct root_key_source root_key,
                       const char *const *schemas, size_t schema_count, struct store **out,
                       struct reason *why) MUST_USE;
void store_close(struct store *store); /* NULL is allowed */

enum store_profile store_profile(const struct store *store);
/* More schemas, as store_open takes them. Not inside a transaction. */
enum result store_extend(struct store *store, const char *const *schemas, size_t schema_count,
                         struct reason *why) MUST_USE;
/* A first write, after which SQLite opens no file any more: for a process that gives up opening files. Not
 * inside a transaction. */
enum result store_settle(struct store *store, struct reason *why) MUST_USE;

/* Bytes sealed / opened under a storage key for `purpose` (part of the AAD; name table,
 * column and row, as "member/psk/" + name, so that sealed values cannot be moved). */
enum result store_seal(struct store *store, const char *purpose, struct bytes secret,
                       struct buffer *out) MUST_USE;
enum result store_unseal(struct store *store, const char *purpose, struct bytes sealed, struct buffer *out,
                         struct reason *why) MUST_USE;

/* The batch's transaction, and the savepoint of one request inside it. */
enum result store_begin(struct store *store, struct reason *why) MUST_USE;
enum result store_commit(struct store *store, struct reason *why) MUST_USE;
void store_rollback(struct store *store);
/* What is committed moves from the write-ahead log into the database: two syncs and a write for each page,
 * for which nobody should have to wait. Due: in the next pause. Without one a commit does it, at four times
 * that. */
bool store_checkpoint_due(const struct store *store);
void store_checkpoint(struct store *store);
enum result store_savepoint(struct store *store, struct reason *why) MUST_USE;
enum result store_release(struct store *store, struct reason *why) MUST_USE;
void store_rollback_to_savepoint(struct store *store);
/* What this transaction reserves is in use: nothing that rests on it may leave the process before the commit.
 */
void store_hold(struct store *store);
bool store_held(const struct store *store);
/* True where something was written since store_begin (an empty batch needs no sync). */
bool store_dirty(const struct store *store);
/* How often something was undone: who keeps in memory that a row is written compares it. */
uint64_t store_undone(const struct store *store);

/*
 * Statements. `sql` must be a string literal: it is the key of the statement cache.
 * `types` says what follows, one letter a parameter:
 *   i  int64_t        u  uint64_t (stored as int64_t)
 *   t  const char *   (NULL binds NULL)
 *   b  struct bytes   in clear
 *   s  const char *purpose, struct bytes: sealed
 * Arguments must have exactly these types: cast where they do not. RESULT_EXISTS: a primary or
 * unique key is there already; RESULT_STORE: any other failure of SQLite.
 */
enum result store_run(struct store *store, struct reason *why, const char *sql, const char *types,
                      ...) MUST_USE;

/* One row of a query; valid inside the callback only. */
struct store_row;
int64_t row_int(const struct store_row *row, int column);
uint64_t row_u64(const struct store_row *row, int column);
const char *row_text(const struct store_row *row, int column); /* "" for NULL */
struct bytes row_bytes(const struct store_row *row, int column);
enum result row_unseal(const struct store_row *row, int column, const char *purpose, struct buffer *out,
                       struct reason *why) MUST_USE;
/* A sealed secret of exactly 32 bytes. */
enum result row_secret(const struct store_row *row, int column, const char *purpose, struct secret *out,
                       struct reason *why) MUST_USE;

/* Calls `each` for every row; stops at its first result other than OK and returns it. */
typedef enum result (*store_each)(void *context, const struct store_row *row, struct reason *why);
enum result store_query(struct store *store, struct reason *why, store_each each, void *context,
                        const char *sql, const char *types, ...) MUST_USE;

/* Whether there is a row. */
enum result store_find(struct store *store, struct reason *why, bool *found, const char *sql,
                       const char *types, ...) MUST_USE;
/* The first column of the (last) row; `out` stays as it is where there is none. */
enum result store_number(struct store *store, struct reason *why, uint64_t *out, const char *sql,
                         const char *types, ...) MUST_USE;

/* Id that the last INSERT gave. */
int64_t store_last_id(const struct store *store);

#endif
