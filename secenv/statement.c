/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/store_internal.h"

#include <stdarg.h>
#include <string.h>

#define UNSEALED_LIMIT ((size_t)1024 * 1024)

struct store_row {
    struct store *store;
    sqlite3_stmt *prepared;
};

/* A statement while it runs: from the cache, or (where that one is running already, in a callback)
 * one of its own. */
struct running {
    sqlite3_stmt *prepared;
    bool own;
};

enum result store_error(struct store *store, struct reason *why)
{
    int code = sqlite3_extended_errcode(store->database);
    const char *text = sqlite3_errmsg(store->database);
    bool there = code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE;
    return result_fail(why, there ? RESULT_EXISTS : RESULT_STORE, "store: %s", text);
}

static struct statement *statement_slot(struct store *store, const char *sql)
{
    size_t slot = (size_t)(((uint64_t)(uintptr_t)sql * 0x9e3779b97f4a7c15u) >> 32); /* Fibonacci hashing */
    for (size_t probes = 0; probes < STATEMENT_SLOTS; probes++) {
        struct statement *statement = &store->statements[(slot + probes) % STATEMENT_SLOTS];
        if (statement->sql == sql || statement->sql == NULL) {
            return statement;
        }
    }
    return NULL;
}

static enum result statement_prepare(struct store *store, const char *sql, struct running *running,
                                     struct reason *why)
{
    struct statement *statement = statement_slot(store, sql);
    bool cached = statement != NULL && statement->sql != NULL;
    if (cached && !sqlite3_stmt_busy(statement->prepared)) {
        *running = (struct running){statement->prepared, false};
        return RESULT_OK;
    }
    sqlite3_stmt *prepared = NULL;
    unsigned lasting = cached || statement == NULL ? 0 : SQLITE_PREPARE_PERSISTENT;
    if (sqlite3_prepare_v3(store->database, sql, -1, lasting, &prepared, NULL) != SQLITE_OK) {
        return store_error(store, why);
    }
    *running = (struct running){prepared, cached || statement == NULL};
    if (!running->own) {
        *statement = (struct statement){sql, prepared};
    }
    return RESULT_OK;
}

static void statement_done(struct running *running)
{
    if (running->own) {
        (void)sqlite3_finalize(running->prepared);
        return;
    }
    (void)sqlite3_reset(running->prepared);
    (void)sqlite3_clear_bindings(running->prepared);
}

void statements_finalize(struct store *store)
{
    for (size_t i = 0; i < STATEMENT_SLOTS; i++) {
        (void)sqlite3_finalize(store->statements[i].prepared);
        store->statements[i] = (struct statement){NULL, NULL};
    }
}

static int bind_bytes(sqlite3_stmt *prepared, int place, struct bytes bytes, sqlite3_destructor_type lifetime)
{
    if (bytes.length == 0) {
        return sqlite3_bind_zeroblob(prepared, place, 0); /* no bytes are not NULL */
    }
    return sqlite3_bind_blob64(prepared, place, bytes.data, bytes.length, lifetime);
}

static enum result bind_sealed(struct store *store, sqlite3_stmt *prepared, int place, const char *purpose,
                               struct bytes secret, int *code)
{
    struct buffer sealed = BUFFER_EMPTY(UNSEALED_LIMIT + 256u);
    enum result result = store_seal(store, purpose, secret, &sealed);
    if (result == RESULT_OK) {
        *code = bind_bytes(prepared, place, buffer_bytes(&sealed), SQLITE_TRANSIENT);
    }
    buffer_clear(&sealed);
    return result;
}

/* `lifetime`: SQLITE_STATIC where the arguments cannot change before the statement has run. */
static enum result statement_bind(struct store *store, sqlite3_stmt *prepared,
                                  sqlite3_destructor_type lifetime, const char *types, va_list arguments,
                                  struct reason *why)
{
    for (int place = 1; types[place - 1] != '\0'; place++) {
        int code = SQLITE_MISUSE;
        switch (types[place - 1]) {
        case 'i':
            code = sqlite3_bind_int64(prepared, place, va_arg(arguments, int64_t));
            break;
        case 'u':
            code = sqlite3_bind_int64(prepared, place, (int64_t)va_arg(arguments, uint64_t));
            break;
        case 't':
            code = sqlite3_bind_text(prepared, place, va_arg(arguments, const char *), -1, lifetime);
            break;
        case 'b':
            code = bind_bytes(prepared, place, va_arg(arguments, struct bytes), lifetime);
            break;
        case 's': {
            const char *purpose = va_arg(arguments, const char *);
            GUARD(bind_sealed(store, prepared, place, purpose, va_arg(arguments, struct bytes), &code));
            break;
        }
        default:
            break;
        }
        if (code != SQLITE_OK) {
            return result_fail(why, RESULT_INTERNAL, "store: parameter %d: %s", place, sqlite3_errstr(code));
        }
    }
    return RESULT_OK;
}

/*
 * SQLite ends a transaction by itself on some errors (disk full, I/O): what follows would be
 * written outside of it.
 */
static enum result transaction_check(const struct store *store, struct reason *why)
{
    if (store->in_transaction && sqlite3_get_autocommit(store->database) != 0) {
        return result_fail(why, RESULT_STORE, "store: the transaction was lost by an earlier error");
    }
    return RESULT_OK;
}

static enum result statement_run(struct store *store, struct reason *why, store_each each, void *context,
                                 const char *sql, const char *types, va_list arguments)
{
    struct running running = {NULL, false};
    GUARD(transaction_check(store, why));
    GUARD(statement_prepare(store, sql, &running, why));
    /* What a row's callback writes to may be an argument: then SQLite needs a copy. */
    sqlite3_destructor_type lifetime = each == NULL ? SQLITE_STATIC : SQLITE_TRANSIENT;
    enum result result = statement_bind(store, running.prepared, lifetime, types, arguments, why);
    struct store_row row = {store, running.prepared};
    int code = SQLITE_DONE;
    while (result == RESULT_OK && (code = sqlite3_step(running.prepared)) == SQLITE_ROW) {
        if (each != NULL) {
            result = each(context, &row, why);
        }
    }
    if (result == RESULT_OK && code != SQLITE_DONE) {
        result = store_error(store, why);
    }
    statement_done(&running);
    return result;
}

enum result store_run(struct store *store, struct reason *why, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    enum result result = statement_run(store, why, NULL, NULL, sql, types, arguments);
    va_end(arguments);
    return result;
}

enum result store_query(struct store *store, struct reason *why, store_each each, void *context,
                        const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    enum result result = statement_run(store, why, each, context, sql, types, arguments);
    va_end(arguments);
    return result;
}

static enum result row_found(void *context, const struct store_row *row, struct reason *why)
{
    (void)row;
    (void)why;
    *(bool *)context = true;
    return RESULT_OK;
}

enum result store_find(struct store *store, struct reason *why, bool *found, const char *sql,
                       const char *types, ...)
{
    va_list arguments;
    *found = false;
    va_start(arguments, types);
    enum result result = statement_run(store, why, row_found, found, sql, types, arguments);
    va_end(arguments);
    return result;
}

static enum result row_number(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(uint64_t *)context = row_u64(row, 0);
    return RESULT_OK;
}

enum result store_number(struct store *store, struct reason *why, uint64_t *out, const char *sql,
                         const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    enum result result = statement_run(store, why, row_number, out, sql, types, arguments);
    va_end(arguments);
    return result;
}

int64_t row_int(const struct store_row *row, int column)
{
    return sqlite3_column_int64(row->prepared, column);
}

uint64_t row_u64(const struct store_row *row, int column)
{
    return (uint64_t)sqlite3_column_int64(row->prepared, column);
}

const char *row_text(const struct store_row *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row->prepared, column);
    return text == NULL ? "" : text;
}

struct bytes row_bytes(const struct store_row *row, int column)
{
    const uint8_t *data = sqlite3_column_blob(row->prepared, column);
    return (struct bytes){data, (size_t)sqlite3_column_bytes(row->prepared, column)};
}

enum result row_unseal(const struct store_row *row, int column, const char *purpose, struct buffer *out,
                       struct reason *why)
{
    return store_unseal(row->store, purpose, row_bytes(row, column), out, why);
}

enum result row_secret(const struct store_row *row, int column, const char *purpose, struct secret *out,
                       struct reason *why)
{
    struct buffer opened = BUFFER_EMPTY(UNSEALED_LIMIT);
    enum result result = row_unseal(row, column, purpose, &opened, why);
    if (result == RESULT_OK && opened.length != SECRET_SIZE) {
        result = result_fail(why, RESULT_STORE, "store: %s has %zu bytes, not %u", purpose, opened.length,
                             SECRET_SIZE);
    }
    if (result == RESULT_OK) {
        memcpy(out->data, opened.data, SECRET_SIZE);
        secret_note("stored", out->data, SECRET_SIZE);
    }
    buffer_clear(&opened);
    return result;
}

int64_t store_last_id(const struct store *store)
{
    return sqlite3_last_insert_rowid(store->database);
}
