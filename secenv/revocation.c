/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/revocation.h"

#include "secenv/log.h"

#define DER_LIMIT ((size_t)64 * 1024)

const char revocation_schema[] = "CREATE TABLE IF NOT EXISTS revocation_list ("
                                 " identity TEXT NOT NULL,"
                                 " issuer BLOB NOT NULL," /* the whole Name */
                                 " crl BLOB NOT NULL,"    /* DER */
                                 " PRIMARY KEY (identity, issuer)) WITHOUT ROWID;";

/* ---- load ---- */

struct loading {
    struct store *store;
    const struct identity *identity;
    struct handshake_context *context;
};

static enum result list_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct loading *loading = context;
    struct reason refused = {""};
    enum result result =
        handshake_context_list_take(loading->context, loading->identity, row_bytes(row, 1), &refused);
    if (result == RESULT_OK || result == RESULT_EXISTS) {
        return RESULT_OK;
    }
    if (result == RESULT_INTERNAL) {
        return result_fail(why, result, "%s", refused.text);
    }
    log_line(LOG_LEVEL_INFO, "%s: a CRL that came earlier is of no use any more: %s", loading->identity->name,
             refused.text);
    return store_run(loading->store, why, "DELETE FROM revocation_list WHERE identity = ? AND issuer = ?",
                     "tb", loading->identity->name, row_bytes(row, 0));
}

enum result revocation_load(struct store *store, const struct identity *identity,
                            struct handshake_context *context, struct reason *why)
{
    struct loading loading = {store, identity, context};
    return store_query(store, why, list_row, &loading,
                       "SELECT issuer, crl FROM revocation_list WHERE identity = ? ORDER BY issuer", "t",
                       identity->name);
}

/* ---- take ---- */

static enum result list_store(struct store *store, const struct identity *identity, struct bytes der,
                              struct reason *why)
{
    struct revocation_list list;
    GUARD(revocation_list_parse(der, &list));
    return store_run(store, why,
                     "INSERT OR REPLACE INTO revocation_list (identity, issuer, crl) VALUES (?, ?, ?)", "tbb",
                     identity->name, list.issuer, der);
}

enum result revocation_take(struct store *store, const struct identity *identity,
                            struct handshake_context *context, struct bytes lists, struct reason *why)
{
    struct bytes der;
    enum result result;
    bool any = false;
    bool news = false;
    while ((result = revocation_list_next(&lists, &der)) == RESULT_OK) {
        any = true;
        result = der.length <= DER_LIMIT
                     ? handshake_context_list_take(context, identity, der, why)
                     : result_fail(why, RESULT_INVALID, "a CRL has %zu bytes", der.length);
        if (result != RESULT_OK && result != RESULT_EXISTS) {
            return result;
        }
        news = news || result == RESULT_OK;
        GUARD(list_store(store, identity, der, why)); /* it may be in use and not stored: see the header */
    }
    if (result != RESULT_UNKNOWN || !any) {
        return result_fail(why, RESULT_INVALID, "what is given is no CRL");
    }
    return news ? RESULT_OK : RESULT_EXISTS;
}
