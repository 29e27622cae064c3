/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/keys.h"

const char keys_schema[] = "CREATE TABLE IF NOT EXISTS authority_key ("
                           "  name TEXT PRIMARY KEY,"
                           "  seed BLOB NOT NULL"
                           ") WITHOUT ROWID;"
                           "CREATE TABLE IF NOT EXISTS authority_number ("
                           "  name TEXT PRIMARY KEY,"
                           "  value INTEGER NOT NULL"
                           ") WITHOUT ROWID;";

struct seed_row {
    const char *purpose;
    struct secret seed;
    bool found;
};

static enum result seed_read(void *context, const struct store_row *row, struct reason *why)
{
    struct seed_row *seed = context;
    seed->found = true;
    return row_secret(row, 0, seed->purpose, &seed->seed, why);
}

static enum result key_open(struct store *store, const char *name, const char *purpose,
                            struct signing_key *out, struct reason *why)
{
    struct seed_row row = {.purpose = purpose};
    enum result result =
        store_query(store, why, seed_read, &row, "SELECT seed FROM authority_key WHERE name = ?", "t", name);
    if (result == RESULT_OK && row.found) {
        result = signing_key_from_seed(&row.seed, out);
    } else if (result == RESULT_OK) {
        GUARD_OUT(signing_key_make(out));
        result = store_run(store, why, "INSERT INTO authority_key (name, seed) VALUES (?, ?)", "ts", name,
                           purpose, secret_bytes(&out->seed));
    }
    if (result == RESULT_OK) {
        secret_note(name, out->seed.data, SECRET_SIZE);
    }
out:
    secret_wipe(&row.seed);
    return result;
}

enum result keys_open(struct store *store, struct authority_keys *keys, struct reason *why)
{
    GUARD(key_open(store, "authority", "authority_key/seed/authority", &keys->authority, why));
    return key_open(store, "commander", "authority_key/seed/commander", &keys->commander, why);
}

void keys_wipe(struct authority_keys *keys)
{
    signing_key_wipe(&keys->authority);
    signing_key_wipe(&keys->commander);
}

enum result number_last(struct store *store, const char *name, uint64_t *out, struct reason *why)
{
    *out = 0;
    return store_number(store, why, out, "SELECT value FROM authority_number WHERE name = ?", "t", name);
}

enum result number_next(struct store *store, const char *name, uint64_t least, uint64_t *out,
                        struct reason *why)
{
    uint64_t last = 0;
    GUARD(number_last(store, name, &last, why));
    uint64_t next = last + 1 > least ? last + 1 : least;
    GUARD(store_run(store, why, "INSERT OR REPLACE INTO authority_number (name, value) VALUES (?, ?)", "tu",
                    name, next));
    *out = next;
    return RESULT_OK;
}
