/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_STORE_INTERNAL_H
#define GROUPSEAL_SECENV_STORE_INTERNAL_H

#include "secenv/store.h"

#include <sqlite3.h>

/* Shared by store.c (files, keys, transactions) and statement.c (SQL), by nobody else. */

#define STATEMENT_SLOTS 1024u /* a power of two, well above the number of statements in the sources */

struct statement {
    const char *sql; /* the literal's address is the key */
    sqlite3_stmt *prepared;
};

struct store {
    int lock;
    enum store_profile profile;
    sqlite3 *database;
    struct secret storage_base; /* kdf_extract of the storage key; neither that nor the root key is kept */
    struct statement statements[STATEMENT_SLOTS];
    bool in_transaction;
    bool held;
    int changes_at_begin;
    uint64_t undone; /* rollbacks so far */
    int log_pages;   /* of the write-ahead log, at the last commit since a checkpoint */
};

/* RESULT_EXISTS for a primary or unique key that is there already, else RESULT_STORE. */
enum result store_error(struct store *store, struct reason *why);
void statements_finalize(struct store *store);

#endif
