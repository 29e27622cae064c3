/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secenv/crypto/aead.h"
#include "secenv/crypto/kdf.h"
#include "secenv/progress.h"

#define PATH_LIMIT 4096u
#define FORMAT 1
#define CHECK_STEPS 10000 /* of SQLite, between two looks at the clock */
#define SEALED_VERSION 1u
#define SALT_SIZE 16u
#define CHECK_PURPOSE "meta/check"
#define LOG_DUE_PAGES 1000  /* of the write-ahead log: it goes into the database in the next pause */
#define LOG_FULL_PAGES 4000 /* and here without one; 16 MiB */

#define DATABASE_NAME "store.db"
#define NEW_DATABASE_NAME "store.db.new" /* becomes DATABASE_NAME when it is complete */
#define LOCK_NAME "lock"
#define ROOT_KEY_NAME "root.key"

/* ---- files ---- */

static enum result path_join(const char *directory, const char *name, char out[PATH_LIMIT],
                             struct reason *why)
{
    int length = snprintf(out, PATH_LIMIT, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= PATH_LIMIT) {
        return result_fail(why, RESULT_INVALID, "the store's path is too long");
    }
    return RESULT_OK;
}

/* Ours, and closed to group and others: whoever could write there could swap the store. */
static enum result owner_check(const char *path, const struct stat *status, struct reason *why)
{
    if (status->st_uid != geteuid()) {
        return result_fail(why, RESULT_REFUSED, "%s belongs to user %lu, but this process runs as user %lu",
                           path, (unsigned long)status->st_uid, (unsigned long)geteuid());
    }
    if ((status->st_mode & 077) != 0) {
        return result_fail(why, RESULT_REFUSED, "%s is open to group or others (mode %04o): chmod go-rwx it",
                           path, status->st_mode & 07777u);
    }
    return RESULT_OK;
}

static enum result directory_check(const char *directory, struct reason *why)
{
    struct stat status;
    if (stat(directory, &status) != 0) {
        return result_fail(why, RESULT_UNKNOWN, "store %s: %s", directory, strerror(errno));
    }
    if (!S_ISDIR(status.st_mode)) {
        return result_fail(why, RESULT_INVALID, "store %s is not a directory", directory);
    }
    return owner_check(directory, &status, why);
}

/* RESULT_UNKNOWN where there is no such file. */
static enum result file_check(const char *path, struct reason *why)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        return result_fail(why, errno == ENOENT ? RESULT_UNKNOWN : RESULT_STORE, "%s: %s", path,
                           strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return result_fail(why, RESULT_REFUSED, "%s is not a regular file", path);
    }
    return owner_check(path, &status, why);
}

static enum result lock_take(const char *directory, int *lock, struct reason *why)
{
    char path[PATH_LIMIT];
    GUARD(path_join(directory, LOCK_NAME, path, why));
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return result_fail(why, RESULT_STORE, "%s: %s", path, strerror(errno));
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        (void)close(file);
        if (error == EWOULDBLOCK) {
            return result_fail(why, RESULT_STORE,
                               "store %s is in use by another process: stop that one first", directory);
        }
        return result_fail(why, RESULT_STORE, "%s: %s", path, strerror(error));
    }
    *lock = file;
    return RESULT_OK;
}

static enum result directory_sync(const char *directory, struct reason *why)
{
    int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0) {
        int error = errno;
        if (file >= 0) {
            (void)close(file);
        }
        return result_fail(why, RESULT_STORE, "%s: %s", directory, strerror(error));
    }
    (void)close(file);
    return RESULT_OK;
}

/* Syncs the directory in which `path` is, so that its name survives a crash. */
static enum result parent_sync(const char *path, struct reason *why)
{
    char parent[PATH_LIMIT];
    int length = snprintf(parent, sizeof(parent), "%s", path);
    if (length < 0 || (size_t)length >= sizeof(parent)) {
        return result_fail(why, RESULT_INVALID, "%.100s... is too long a path", path);
    }
    const char *directory = dirname(parent);
    /* Some may be passed through and not be read: then the file system has to do it by itself. */
    return access(directory, R_OK) == 0 ? directory_sync(directory, why) : RESULT_OK;
}

/* ---- root key ---- */

static enum result root_key_load(void *context, struct secret *out, struct reason *why)
{
    const char *path = context;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) {
        return result_fail(why, errno == ENOENT ? RESULT_UNKNOWN : RESULT_STORE, "root key %s: %s", path,
                           strerror(errno));
    }
    struct stat status;
    uint8_t content[SECRET_SIZE + 1]; /* one more, to see a longer file */
    enum result result = RESULT_OK;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        result = result_fail(why, RESULT_REFUSED, "root key %s is not a regular file", path);
    }
    if (result == RESULT_OK) {
        result = owner_check(path, &status, why);
    }
    if (result == RESULT_OK && read(file, content, sizeof(content)) != (ssize_t)SECRET_SIZE) {
        result =
            result_fail(why, RESULT_INVALID, "root key %s does not have exactly %u bytes", path, SECRET_SIZE);
    }
    if (result == RESULT_OK) {
        memcpy(out->data, content, SECRET_SIZE);
        secret_note("root", out->data, SECRET_SIZE);
    }
    secret_wipe_bytes(content, sizeof(content));
    (void)close(file);
    return result;
}

struct root_key_source root_key_file(const char *path)
{
    return (struct root_key_source){root_key_load, (void *)(uintptr_t)path};
}

/* Makes the file, unless there is one already (RESULT_EXISTS). */
static enum result root_key_make(const char *path, struct reason *why)
{
    struct secret key;
    GUARD(random_bytes(key.data, SECRET_SIZE));
    enum result result = RESULT_OK;
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        result = result_fail(why, errno == EEXIST ? RESULT_EXISTS : RESULT_STORE, "root key %s: %s", path,
                             strerror(errno));
    } else if (write(file, key.data, SECRET_SIZE) != (ssize_t)SECRET_SIZE || fsync(file) != 0) {
        result = result_fail(why, RESULT_STORE, "root key %s: %s", path, strerror(errno));
        (void)unlink(path);
    }
    if (file >= 0) {
        (void)close(file);
    }
    secret_wipe(&key);
    return result;
}

static enum result storage_key_derive(struct store *store, struct root_key_source source, struct reason *why)
{
    struct secret root;
    GUARD(source.load(source.context, &root, why));
    struct secret key = {{0}};
    enum result result = kdf_label(&root, "storage", &key);
    if (result == RESULT_OK) {
        result = kdf_extract(&key, &store->storage_base);
    }
    secret_wipe(&key);
    secret_wipe(&root);
    return result;
}

/* ---- sealing ---- */

/*
 * A sealed value: u8 version, fix(16) salt, ciphertext with tag. Each value has a key of its own,
 * KDF(storage key; "sealed value", salt), so the number of values is bounded by nothing.
 */
static enum result value_key(const struct store *store, struct bytes salt, struct secret *out)
{
    struct fields info;
    fields_init(&info);
    fields_label(&info, "sealed value");
    fields_fix(&info, salt, SALT_SIZE);
    enum result result = kdf_expand(&store->storage_base, &info, out);
    fields_clear(&info);
    return result;
}

static struct bytes value_aad(struct fields *aad, const char *purpose)
{
    fields_init(aad);
    fields_u8(aad, SEALED_VERSION);
    fields_text(aad, purpose);
    return fields_bytes(aad);
}

enum result store_seal(struct store *store, const char *purpose, struct bytes secret, struct buffer *out)
{
    uint8_t head[1 + SALT_SIZE] = {SEALED_VERSION};
    struct secret key;
    GUARD(random_bytes(head + 1, SALT_SIZE));
    GUARD(value_key(store, (struct bytes){head + 1, SALT_SIZE}, &key));
    struct fields aad;
    struct bytes aad_bytes = value_aad(&aad, purpose);
    struct buffer sealed = BUFFER_EMPTY(out->limit);
    enum result result = fields_done(&aad);
    GUARD_OUT(result);
    GUARD_OUT(buffer_append(&sealed, BYTES_OF(head)));
    GUARD_OUT(aead_seal(AEAD_CHACHA20_POLY1305_CIPHER, &key, 0, aad_bytes, secret, &sealed));
    result = buffer_append(out, buffer_bytes(&sealed));
out:
    buffer_clear(&sealed);
    fields_clear(&aad);
    secret_wipe(&key);
    return result;
}

enum result store_unseal(struct store *store, const char *purpose, struct bytes sealed, struct buffer *out,
                         struct reason *why)
{
    size_t head = 1 + SALT_SIZE;
    if (sealed.length < head + AEAD_TAG_SIZE || sealed.data[0] != SEALED_VERSION) {
        return result_fail(why, RESULT_STORE, "store: the sealed value of %s is damaged", purpose);
    }
    struct secret key;
    GUARD(value_key(store, (struct bytes){sealed.data + 1, SALT_SIZE}, &key));
    struct fields aad;
    struct bytes aad_bytes = value_aad(&aad, purpose);
    struct bytes ciphertext = {sealed.data + head, sealed.length - head};
    enum result result = fields_done(&aad);
    if (result == RESULT_OK) {
        result = aead_open(AEAD_CHACHA20_POLY1305_CIPHER, &key, 0, aad_bytes, ciphertext, out);
    }
    if (result == RESULT_REFUSED) {
        result =
            result_fail(why, RESULT_STORE,
                        "store: the sealed value of %s was changed, moved or made with another key", purpose);
    }
    fields_clear(&aad);
    secret_wipe(&key);
    return result;
}

/* ---- database ---- */

static enum result database_script(struct store *store, const char *sql, struct reason *why)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK ? RESULT_OK
                                                                             : store_error(store, why);
}

/* In the place of SQLite's own, which would make whoever commits at the wrong moment wait. */
static int log_grown(void *context, sqlite3 *database, const char *name, int pages)
{
    struct store *store = context;
    (void)database;
    (void)name;
    store->log_pages = pages;
    return SQLITE_OK;
}

static enum result database_open(struct store *store, const char *path, struct reason *why)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* nobody asks; without effect once SQLite is in use */
    int code = sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        return result_fail(why, RESULT_STORE, "%s: %s", path, sqlite3_errstr(code));
    }
    (void)sqlite3_extended_result_codes(store->database, 1);
    (void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_wal_hook(store->database, log_grown, store);
    return database_script(
        store,
        "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;"
        "PRAGMA temp_store=MEMORY; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL;",
        why);
}

static struct store *store_new(void)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store != NULL) {
        store->lock = -1;
    }
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    statements_finalize(store);
    (void)sqlite3_close_v2(store->database);
    if (store->lock >= 0) {
        (void)close(store->lock);
    }
    secret_wipe(&store->storage_base);
    free(store);
}

/* ---- create ---- */

static enum result meta_write(struct store *store, enum store_profile profile, struct reason *why)
{
    uint8_t check[SECRET_SIZE];
    GUARD(random_bytes(check, sizeof(check)));
    GUARD(database_script(
        store, "BEGIN; CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;", why));
    GUARD(store_run(store, why, "INSERT INTO meta VALUES ('format', ?)", "i", (int64_t)FORMAT));
    GUARD(store_run(store, why, "INSERT INTO meta VALUES ('profile', ?)", "i", (int64_t)profile));
    GUARD(store_run(store, why, "INSERT INTO meta VALUES ('check', ?)", "s", CHECK_PURPOSE, BYTES_OF(check)));
    return database_script(store, "COMMIT", why);
}

/* The database is made under another name, so that a store is whole or not there. */
static enum result database_create(struct store *store, const char *directory, enum store_profile profile,
                                   struct reason *why)
{
    char path[PATH_LIMIT];
    char new_path[PATH_LIMIT];
    GUARD(path_join(directory, DATABASE_NAME, path, why));
    GUARD(path_join(directory, NEW_DATABASE_NAME, new_path, why));
    (void)unlink(new_path);
    int file = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return result_fail(why, RESULT_STORE, "%s: %s", new_path, strerror(errno));
    }
    (void)close(file);
    GUARD(database_open(store, new_path, why));
    GUARD(meta_write(store, profile, why));
    statements_finalize(store);
    (void)sqlite3_close_v2(store->database);
    store->database = NULL;
    if (rename(new_path, path) != 0) {
        return result_fail(why, RESULT_STORE, "%s: %s", path, strerror(errno));
    }
    GUARD(directory_sync(directory, why));
    return parent_sync(directory, why);
}

static enum result create_files(struct store *store, const char *directory, enum store_profile profile,
                                const char *root_key_path, struct reason *why)
{
    char path[PATH_LIMIT];
    char default_key[PATH_LIMIT];
    GUARD(directory_check(directory, why));
    GUARD(lock_take(directory, &store->lock, why));
    GUARD(path_join(directory, DATABASE_NAME, path, why));
    GUARD(path_join(directory, ROOT_KEY_NAME, default_key, why));
    struct stat status;
    if (lstat(path, &status) == 0) {
        return result_fail(why, RESULT_EXISTS, "there is a store in %s already", directory);
    }
    const char *key_path = root_key_path == NULL ? default_key : root_key_path;
    enum result made = root_key_make(key_path, why);
    if (made != RESULT_OK && made != RESULT_EXISTS) {
        return made;
    }
    GUARD(parent_sync(key_path, why));
    GUARD(storage_key_derive(store, root_key_file(key_path), why));
    return database_create(store, directory, profile, why);
}

enum result store_create(const char *directory, enum store_profile profile, const char *root_key_path,
                         struct reason *why)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return result_fail(why, RESULT_STORE, "store %s: %s", directory, strerror(errno));
    }
    struct store *store = store_new();
    if (store == NULL) {
        return RESULT_INTERNAL;
    }
    enum result result = create_files(store, directory, profile, root_key_path, why);
    store_close(store);
    return result;
}

/* ---- open ---- */

struct meta {
    int64_t format;
    int64_t profile;
    bool checked;
};

static enum result meta_row(void *context, const struct store_row *row, struct reason *why)
{
    struct meta *meta = context;
    if (strcmp(row_text(row, 0), "format") == 0) {
        meta->format = row_int(row, 1);
    } else if (strcmp(row_text(row, 0), "profile") == 0) {
        meta->profile = row_int(row, 1);
    } else if (strcmp(row_text(row, 0), "check") == 0) {
        struct buffer check = BUFFER_EMPTY(SECRET_SIZE);
        if (row_unseal(row, 1, CHECK_PURPOSE, &check, NULL) != RESULT_OK) {
            return result_fail(
                why, RESULT_REFUSED,
                "this root key does not open the store: it is another store's; nothing was changed");
        }
        buffer_clear(&check);
        meta->checked = true;
    }
    return RESULT_OK;
}

static enum result first_text(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    bool *good = context;
    *good = strcmp(row_text(row, 0), "ok") == 0;
    return RESULT_OK;
}

static enum result damaged(const char *directory, const struct reason *detail, struct reason *why)
{
    return result_fail(why, RESULT_STORE,
                       "store %s is damaged or is none of Groupseal's (%.80s): restore it from a backup",
                       directory, detail->text);
}

static int check_goes_on(void *context)
{
    progress_step(context, 0);
    return 0;
}

static enum result whole_check(struct store *store, bool *whole, struct reason *why)
{
    struct progress progress;
    progress_begin(&progress, "secenv: the store is checked", 0);
    sqlite3_progress_handler(store->database, CHECK_STEPS, check_goes_on, &progress);
    enum result result = store_query(store, why, first_text, whole, "PRAGMA quick_check(1)", "");
    sqlite3_progress_handler(store->database, 0, NULL, NULL);
    return result;
}

/* Everything that is read before anything is written. */
static enum result meta_check(struct store *store, enum store_profile profile, const char *directory,
                              struct reason *why)
{
    bool whole = false;
    struct reason detail = {"no check value"};
    struct meta meta = {0, 0, false};
    if (whole_check(store, &whole, &detail) != RESULT_OK) {
        return damaged(directory, &detail, why);
    }
    if (!whole) {
        (void)!result_fail(&detail, RESULT_STORE, "a page does not fit the others");
        return damaged(directory, &detail, why);
    }
    enum result result = store_query(store, &detail, meta_row, &meta, "SELECT name, value FROM meta", "");
    if (result == RESULT_REFUSED) {
        return result_fail(why, RESULT_REFUSED, "%s: %s", directory, detail.text);
    }
    if (result != RESULT_OK || !meta.checked) {
        return damaged(directory, &detail, why);
    }
    if (meta.format != FORMAT) {
        return result_fail(why, RESULT_INVALID, "store %s has format %lld; this program knows format %d",
                           directory, (long long)meta.format, FORMAT);
    }
    if (meta.profile != (int64_t)profile && profile != STORE_ANY) {
        return result_fail(why, RESULT_INVALID, "store %s is of the other profile (authority or member)",
                           directory);
    }
    store->profile = meta.profile == STORE_AUTHORITY ? STORE_AUTHORITY : STORE_MEMBER;
    return RESULT_OK;
}

enum result store_extend(struct store *store, const char *const *schemas, size_t schema_count,
                         struct reason *why)
{
    GUARD(database_script(store, "PRAGMA journal_mode=WAL; BEGIN;", why));
    for (size_t i = 0; i < schema_count; i++) {
        GUARD(database_script(store, schemas[i], why));
    }
    return database_script(store, "COMMIT", why);
}

/*
 * At its first write SQLite opens the write-ahead log's directory, to sync it, and a source of random
 * numbers. Afterwards nothing: the locks are held, so that the log's index is in memory (locking_mode), and
 * what others would spill into files stays there too (temp_store). The write is one that changes nothing.
 */
enum result store_settle(struct store *store, struct reason *why)
{
    return database_script(store, "PRAGMA user_version=0", why);
}

static enum result open_files(struct store *store, const char *directory, enum store_profile profile,
                              struct root_key_source root_key, struct reason *why)
{
    char path[PATH_LIMIT];
    GUARD(directory_check(directory, why));
    GUARD(path_join(directory, DATABASE_NAME, path, why));
    enum result found = file_check(path, why);
    if (found == RESULT_UNKNOWN) {
        return result_fail(why, RESULT_UNKNOWN, "there is no store in %s: make one with `secenv provision`",
                           directory);
    }
    GUARD(found);
    GUARD(lock_take(directory, &store->lock, why));
    GUARD(storage_key_derive(store, root_key, why));
    struct reason detail;
    if (database_open(store, path, &detail) != RESULT_OK) {
        return damaged(directory, &detail, why);
    }
    return meta_check(store, profile, directory, why);
}

enum result store_open(const char *directory, enum store_profile profile, struct root_key_source root_key,
                       const char *const *schemas, size_t schema_count, struct store **out,
                       struct reason *why)
{
    struct store *store = store_new();
    if (store == NULL) {
        return RESULT_INTERNAL;
    }
    enum result result = open_files(store, directory, profile, root_key, why);
    if (result == RESULT_OK) {
        result = store_extend(store, schemas, schema_count, why);
    }
    if (result != RESULT_OK) {
        store_close(store);
        return result;
    }
    *out = store;
    return RESULT_OK;
}

enum store_profile store_profile(const struct store *store)
{
    return store->profile;
}

/* ---- transactions ---- */

enum result store_begin(struct store *store, struct reason *why)
{
    GUARD(store_run(store, why, "BEGIN", ""));
    store->in_transaction = true;
    store->held = false;
    store->changes_at_begin = sqlite3_total_changes(store->database);
    return RESULT_OK;
}

enum result store_commit(struct store *store, struct reason *why)
{
    GUARD(store_run(store, why, "COMMIT", ""));
    store->in_transaction = false;
    if (store->log_pages >= LOG_FULL_PAGES) {
        store_checkpoint(store);
    }
    return RESULT_OK;
}

bool store_checkpoint_due(const struct store *store)
{
    return store->log_pages >= LOG_DUE_PAGES;
}

/* What is committed is in the log, and stays there where this fails: the next commit finds it as long. */
void store_checkpoint(struct store *store)
{
    (void)sqlite3_wal_checkpoint_v2(store->database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    store->log_pages = 0;
}

void store_rollback(struct store *store)
{
    store->undone++;
    store->in_transaction = false;
    if (sqlite3_get_autocommit(store->database) == 0) {
        (void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    }
}

enum result store_savepoint(struct store *store, struct reason *why)
{
    return store_run(store, why, "SAVEPOINT request", "");
}

enum result store_release(struct store *store, struct reason *why)
{
    return store_run(store, why, "RELEASE request", "");
}

/* Where this fails the transaction is lost, which every later statement and the commit will say. */
void store_rollback_to_savepoint(struct store *store)
{
    store->undone++;
    if (store_run(store, NULL, "ROLLBACK TO request", "") == RESULT_OK) {
        (void)!store_run(store, NULL, "RELEASE request", "");
    }
}

void store_hold(struct store *store)
{
    store->held = true;
}

bool store_held(const struct store *store)
{
    return store->held;
}

bool store_dirty(const struct store *store)
{
    return sqlite3_total_changes(store->database) != store->changes_at_begin;
}

uint64_t store_undone(const struct store *store)
{
    return store->undone;
}
