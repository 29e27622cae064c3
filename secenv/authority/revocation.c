/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/revocation.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/membership_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char member_revocation_schema[] = "CREATE TABLE IF NOT EXISTS revocation_taken ("
                                        "  member_id INTEGER PRIMARY KEY,"
                                        "  version INTEGER NOT NULL"
                                        ");";

#define SLOT "revocation"
#define LOOK_AGAIN_S 3600u
#define DAY_S UINT64_C(86400)
#define WARN_DAYS 3u

/* ---- the lists in use ---- */

static size_t lists_size(const struct engine *engine)
{
    size_t size = 0;
    struct revocation_list list;
    for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
        size += handshake_context_list(engine->tls, i, &list).length;
    }
    return size;
}

/* The same for the same lists, in whatever order they are. */
static enum result lists_version(const struct engine *engine, int64_t *out)
{
    uint64_t version = 0;
    for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
        struct revocation_list list;
        uint8_t hash[HASH_SIZE];
        uint64_t part = 0;
        GUARD(hash_bytes(handshake_context_list(engine->tls, i, &list), hash));
        memcpy(&part, hash, sizeof(part));
        version ^= part;
    }
    *out = (int64_t)(version & INT64_MAX);
    return RESULT_OK;
}

enum result revocation_fill(const struct engine *engine, struct arena *arena,
                            Groupseal__Envelope__Revocation *out)
{
    size_t size = lists_size(engine);
    uint8_t *bytes = arena_alloc(arena, size + 1);
    if (bytes == NULL) {
        return RESULT_FULL;
    }
    out->crl.data = bytes;
    out->crl.len = size;
    for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
        struct revocation_list list;
        struct bytes der = handshake_context_list(engine->tls, i, &list);
        memcpy(bytes, der.data, der.length);
        bytes += der.length;
    }
    return RESULT_OK;
}

/* They are others than before: whoever has a certificate is handed them. What waits in outboxes is of the
 * ones before, and so would be its ACCEPT. */
static enum result lists_changed(struct engine *engine, struct reason *why)
{
    struct revocations *state = &engine->revocations;
    GUARD(lists_version(engine, &state->version));
    state->cursor = 0;
    state->told = false;
    state->look_us = 0;
    state->too_long = lists_size(engine) > REVOCATION_BYTES_LIMIT;
    state->feed_us = state->version == 0 || state->too_long ? UINT64_MAX : 0;
    GUARD(store_run(engine->store, why, "DELETE FROM outbox WHERE slot = ?", "t", SLOT));
    return state->too_long
               ? authority_notice(
                     engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
                     "the CRLs have more than %u bytes: they are used here, but members must be given "
                     "them by `secenv provision`",
                     REVOCATION_BYTES_LIMIT)
               : RESULT_OK;
}

/* ---- whose certificate is revoked ---- */

struct marks {
    uint8_t (*items)[CERTIFICATE_MARK_SIZE];
    size_t count;
    size_t capacity;
};

static int mark_compare(const void *a, const void *b)
{
    return memcmp(a, b, CERTIFICATE_MARK_SIZE);
}

static enum result mark_add(struct marks *marks, struct bytes issuer, struct bytes serial)
{
    if (marks->count == marks->capacity) {
        size_t capacity = marks->capacity == 0 ? 64 : 2 * marks->capacity;
        void *items = reallocarray(marks->items, capacity, sizeof(*marks->items));
        if (items == NULL) {
            return RESULT_INTERNAL;
        }
        marks->items = items;
        marks->capacity = capacity;
    }
    return certificate_mark(issuer, serial, marks->items[marks->count++]);
}

/* An entry that cannot be read is passed over: at its next handshake the certificate is refused. */
static enum result marks_make(const struct engine *engine, struct marks *out)
{
    for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
        struct revocation_list list;
        struct bytes serial;
        (void)handshake_context_list(engine->tls, i, &list);
        while (revocation_serial_next(&list.revoked, &serial) == RESULT_OK) {
            GUARD(mark_add(out, list.issuer, serial));
        }
    }
    if (out->count > 1) {
        qsort(out->items, out->count, sizeof(*out->items), mark_compare);
    }
    return RESULT_OK;
}

struct search {
    const struct marks *marks;
    char (*names)[NAME_LIMIT + 1];
    size_t count;
    size_t capacity;
    bool failed;
};

static bool association_revoked(const struct marks *marks, const struct association *association)
{
    return association != NULL && association->agreement.mode == CREDENTIALS_CERT && marks->count > 0 &&
           bsearch(association->agreement.certificate, marks->items, marks->count, sizeof(*marks->items),
                   mark_compare) != NULL;
}

static void peer_search(void *context, struct peer *peer)
{
    struct search *search = context;
    if (search->failed || (!association_revoked(search->marks, peer->current) &&
                           !association_revoked(search->marks, peer->pending))) {
        return;
    }
    if (search->count == search->capacity) {
        size_t capacity = search->capacity == 0 ? 16 : 2 * search->capacity;
        void *names = reallocarray(search->names, capacity, sizeof(*search->names));
        search->failed = names == NULL;
        if (search->failed) {
            return;
        }
        search->names = names;
        search->capacity = capacity;
    }
    (void)snprintf(search->names[search->count++], sizeof(search->names[0]), "%s", peer->name);
}

static enum result member_end(struct engine *engine, const char *name, struct reason *why)
{
    struct arena *arena = engine->scratch;
    enum result result = farewell_say(engine, name, arena, why);
    arena_reset(arena);
    GUARD(result);
    GUARD(member_revoke(engine, name, why));
    return authority_notice(
        engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
        "the certificate of %s is revoked: its association is ended, and it is out of its "
        "groups. Evict it, or give it another certificate",
        name);
}

static void name_tell(struct arena *arena, const char *name, Groupseal__Secenv__Revocations *out)
{
    if (out != NULL && out->n_revoked < REVOCATION_NAMES_LIMIT) {
        char *copy = arena_text(arena, name);
        if (copy != NULL) {
            out->revoked[out->n_revoked++] = copy;
        }
    }
}

/* `out` (may be NULL) is told the first names. */
static enum result revoked_end(struct engine *engine, struct arena *arena,
                               Groupseal__Secenv__Revocations *out, struct reason *why)
{
    struct marks marks = {.items = NULL};
    struct search search = {.marks = &marks};
    enum result result = marks_make(engine, &marks);
    if (result == RESULT_OK) {
        peers_each(&engine->peers, peer_search, &search);
        result = search.failed ? RESULT_INTERNAL : RESULT_OK;
    }
    for (size_t i = 0; result == RESULT_OK && i < search.count; i++) {
        result = member_end(engine, search.names[i], why);
        name_tell(arena, search.names[i], out);
    }
    free(search.names);
    free(marks.items);
    return result;
}

enum result revocations_open(struct engine *engine, struct reason *why)
{
    GUARD(revocation_load(engine->store, &engine->identity, engine->tls, why));
    GUARD(lists_changed(engine, why));
    return revoked_end(engine, NULL, NULL, why);
}

/* ---- set ---- */

/* DER as it is, PEM decoded. */
static enum result lists_decode(struct bytes given, struct buffer *out, struct reason *why)
{
    struct buffer der = BUFFER_EMPTY(REVOCATION_BYTES_LIMIT);
    enum result result;
    if (given.length > 0 && given.data[0] == 0x30) {
        result = buffer_append(out, given);
        return result == RESULT_OK ? RESULT_OK : result_fail(why, RESULT_FULL, "the CRLs are too long");
    }
    while ((result = pem_next(&given, "X509 CRL", &der)) == RESULT_OK) {
        result = buffer_append(out, buffer_bytes(&der));
        if (result != RESULT_OK) {
            break;
        }
    }
    buffer_clear(&der);
    if (result != RESULT_UNKNOWN || out->length == 0) {
        return result_fail(why, RESULT_INVALID,
                           "what is given is no CRL of at most %u bytes, as DER or PEM (\"X509 CRL\")",
                           REVOCATION_BYTES_LIMIT);
    }
    return RESULT_OK;
}

/* With those of other issuers that stay, all must fit one record. */
static enum result lists_room_check(const struct engine *engine, struct bytes lists, struct reason *why)
{
    size_t size = lists.length + lists_size(engine);
    struct bytes der;
    while (revocation_list_next(&lists, &der) == RESULT_OK) {
        struct revocation_list list;
        if (revocation_list_parse(der, &list) != RESULT_OK) {
            continue; /* it is refused when it is taken */
        }
        for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
            struct revocation_list used;
            struct bytes old = handshake_context_list(engine->tls, i, &used);
            size -= bytes_equal(used.issuer, list.issuer) ? old.length : 0;
        }
    }
    return size <= REVOCATION_BYTES_LIMIT
               ? RESULT_OK
               : result_fail(
                     why, RESULT_FULL,
                     "the CRLs would have %zu bytes, at most %u go to members: let the CA leave out what has "
                     "expired, or use `secenv provision` everywhere",
                     size, REVOCATION_BYTES_LIMIT);
}

static enum result own_check(struct engine *engine, struct reason *why)
{
    struct bytes chain = buffer_bytes(&engine->identity.chain);
    struct buffer der = BUFFER_EMPTY(65536);
    struct certificate own;
    bool named = false;
    if (pem_next(&chain, "CERTIFICATE", &der) == RESULT_OK &&
        certificate_parse(buffer_bytes(&der), &own) == RESULT_OK) {
        for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
            struct revocation_list list;
            (void)handshake_context_list(engine->tls, i, &list);
            named = named || revocation_list_names(&list, &own);
        }
    }
    buffer_clear(&der);
    (void)why;
    return named ? authority_notice(
                       engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                       "the CRL names the certificate of this IN-CSE: members refuse it. Provision "
                       "another one")
                 : RESULT_OK;
}

static enum result lists_take(struct engine *engine, struct bytes lists, struct reason *why)
{
    GUARD(lists_room_check(engine, lists, why));
    enum result result = revocation_take(engine->store, &engine->identity, engine->tls, lists, why);
    if (result == RESULT_EXISTS) {
        return RESULT_OK;
    }
    GUARD(result);
    GUARD(lists_changed(engine, why));
    GUARD(own_check(engine, why));
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__INFO,
                            "a newer CRL is in use, and goes to the members that have certificates");
}

enum result revocation_set(struct engine *engine, const Groupseal__Secenv__RevocationSet *request,
                           struct arena *arena, Groupseal__Secenv__Revocations **out, struct reason *why)
{
    struct buffer lists = BUFFER_EMPTY(REVOCATION_BYTES_LIMIT);
    enum result result = lists_decode(arena_view(request->lists), &lists, why);
    if (result == RESULT_OK) {
        result = lists_take(engine, buffer_bytes(&lists), why);
    }
    buffer_clear(&lists);
    GUARD(result);
    GUARD(revocation_show(engine, arena, out, why));
    (*out)->revoked = arena_alloc(arena, REVOCATION_NAMES_LIMIT * sizeof(*(*out)->revoked));
    if ((*out)->revoked == NULL) {
        return RESULT_INTERNAL;
    }
    return revoked_end(engine, arena, *out, why);
}

/* ---- show ---- */

static enum result row_fill(const struct engine *engine, size_t index, struct arena *arena,
                            Groupseal__Secenv__RevocationRow *out)
{
    struct revocation_list list;
    char issuer[CERTIFICATE_NAME_SIZE];
    (void)handshake_context_list(engine->tls, index, &list);
    groupseal__secenv__revocation_row__init(out);
    certificate_name_text(list.issuer, issuer);
    out->issuer = arena_text(arena, issuer);
    out->number = authority_hex(arena, list.number);
    out->this_update_ms = list.this_update * UINT64_C(1000);
    out->next_update_ms = list.next_update == UINT64_MAX ? 0 : list.next_update * UINT64_C(1000);
    out->overdue = out->next_update_ms != 0 && out->next_update_ms < clock_wall_ms(engine->clock);
    struct bytes serial;
    while (revocation_serial_next(&list.revoked, &serial) == RESULT_OK) {
        out->entries++;
    }
    return out->issuer != NULL && out->number != NULL ? RESULT_OK : RESULT_INTERNAL;
}

enum result revocation_show(struct engine *engine, struct arena *arena, Groupseal__Secenv__Revocations **out,
                            struct reason *why)
{
    size_t count = handshake_context_list_count(engine->tls);
    *out = arena_alloc(arena, sizeof(**out));
    Groupseal__Secenv__RevocationRow *rows = arena_alloc(arena, (count + 1) * sizeof(*rows));
    Groupseal__Secenv__RevocationRow **lists = arena_alloc(arena, (count + 1) * sizeof(*lists));
    if (*out == NULL || rows == NULL || lists == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__revocations__init(*out);
    (*out)->lists = lists;
    for (size_t i = 0; i < count; i++) {
        GUARD(row_fill(engine, i, arena, &rows[i]));
        lists[(*out)->n_lists++] = &rows[i];
    }
    (*out)->refuses = handshake_context_refuses_unrevoked(engine->tls);
    uint64_t members = 0;
    uint64_t taken = 0;
    GUARD(store_number(engine->store, why, &members,
                       "SELECT count(*) FROM member WHERE mode = 1 AND state = 2", ""));
    GUARD(store_number(engine->store, why, &taken,
                       "SELECT count(*) FROM member m JOIN revocation_taken t ON t.member_id = m.id"
                       " WHERE m.mode = 1 AND m.state = 2 AND t.version = ?",
                       "i", engine->revocations.version));
    (*out)->members = (uint32_t)members;
    (*out)->members_taken = (uint32_t)taken;
    return RESULT_OK;
}

/* ---- handing out ---- */

static enum result lists_put(struct engine *engine, const char *member, struct reason *why)
{
    Groupseal__Envelope__Revocation revocation = GROUPSEAL__ENVELOPE__REVOCATION__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    struct reason full = {""};
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REVOCATION;
    body.revocation = &revocation;
    enum result result = outbox_put(engine->outbox, engine->identity.name, member, SLOT, &body, &full);
    /* One whose outbox is full is away; it is handed them with its next association. */
    return result == RESULT_FULL ? RESULT_OK
           : result == RESULT_OK ? result
                                 : result_fail(why, result, "%s", full.text);
}

enum result revocation_member(struct engine *engine, const struct member *member, bool anew,
                              struct reason *why)
{
    bool taken = false;
    if (engine->revocations.version == 0 || engine->revocations.too_long ||
        member->mode != CREDENTIALS_CERT) {
        return RESULT_OK;
    }
    if (anew) { /* its secure environment may be another one */
        GUARD(store_run(engine->store, why, "DELETE FROM revocation_taken WHERE member_id = ?", "i",
                        member->id));
    }
    GUARD(store_find(engine->store, why, &taken,
                     "SELECT 1 FROM revocation_taken WHERE member_id = ? AND version = ?", "ii", member->id,
                     engine->revocations.version));
    return taken ? RESULT_OK : lists_put(engine, member->name, why);
}

enum result revocation_taken(struct engine *engine, const struct member *member, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO revocation_taken (member_id, version) VALUES (?, ?)", "ii",
                     member->id, engine->revocations.version);
}

struct feeding {
    struct engine *engine;
    size_t count;
};

static enum result feed_row(void *context, const struct store_row *row, struct reason *why)
{
    struct feeding *feeding = context;
    char name[NAME_LIMIT + 1];
    feeding->engine->revocations.cursor = row_int(row, 0);
    feeding->count++;
    (void)snprintf(name, sizeof(name), "%s", row_text(row, 1));
    return lists_put(feeding->engine, name, why);
}

static enum result members_feed(struct engine *engine, uint64_t now_us, struct reason *why)
{
    struct revocations *state = &engine->revocations;
    struct feeding feeding = {engine, 0};
    if (state->feed_us > now_us) {
        return RESULT_OK;
    }
    GUARD(store_query(
        engine->store, why, feed_row, &feeding,
        "SELECT m.id, m.name FROM member m WHERE m.id > ? AND m.mode = 1 AND m.state = 2 AND"
        " NOT EXISTS (SELECT 1 FROM revocation_taken t WHERE t.member_id = m.id AND t.version = ?)"
        " ORDER BY m.id LIMIT ?",
        "iii", state->cursor, state->version, (int64_t)REVOCATION_EACH));
    state->feed_us = feeding.count == REVOCATION_EACH ? now_us + REVOCATION_PAUSE_US : UINT64_MAX;
    return RESULT_OK;
}

/* ---- overdue ---- */

static const char *consequence(const struct engine *engine)
{
    return handshake_context_refuses_unrevoked(engine->tls) ? "members with certificates are refused"
                                                            : "certificates are taken all the same";
}

/* Once for each list. */
static enum result overdue_tell(struct engine *engine, const struct revocation_list *overdue,
                                struct reason *why)
{
    struct revocations *state = &engine->revocations;
    char when[CERTIFICATE_TIME_SIZE];
    uint64_t members = 0;
    if (overdue->issuer.length != 0) {
        certificate_time_text(overdue->next_update, when);
        state->told = true;
        return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                                "the CRL is overdue since %s: %s. Give a newer one (in-cse revocation set)",
                                when, consequence(engine));
    }
    GUARD(store_number(engine->store, why, &members,
                       "SELECT count(*) FROM (SELECT 1 FROM member WHERE mode = 1 AND state <> 3 LIMIT 1)",
                       ""));
    if (members == 0) {
        return RESULT_OK;
    }
    state->told = true;
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                            "there is no CRL: %s. Give one (in-cse revocation set)", consequence(engine));
}

static uint64_t next_update_of(const struct engine *engine)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < handshake_context_list_count(engine->tls); i++) {
        struct revocation_list list;
        (void)handshake_context_list(engine->tls, i, &list);
        next = list.next_update < next ? list.next_update : next;
    }
    return next;
}

static enum result overdue_warn(struct engine *engine, uint64_t now_s)
{
    struct revocations *state = &engine->revocations;
    uint64_t next = next_update_of(engine);
    char when[CERTIFICATE_TIME_SIZE];
    if (next == UINT64_MAX || state->warned_of == next || now_s + WARN_DAYS * DAY_S < next) {
        return RESULT_OK;
    }
    state->warned_of = next;
    certificate_time_text(next, when);
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
                            "the CRL runs out on %s: give a newer one before (in-cse revocation set)", when);
}

/* The wall clock decides, so it is looked at now and then, whatever was expected of it. */
static enum result overdue_look(struct engine *engine, uint64_t now_us, struct reason *why)
{
    struct revocations *state = &engine->revocations;
    struct revocation_list overdue;
    uint64_t now_s = clock_wall_ms(engine->clock) / 1000u;
    if (state->look_us > now_us) {
        return RESULT_OK;
    }
    bool unrevoked = handshake_context_unrevoked(engine->tls, &overdue);
    if (unrevoked && !state->told) {
        GUARD(overdue_tell(engine, &overdue, why));
    } else if (!unrevoked) {
        state->told = false;
        GUARD(overdue_warn(engine, now_s));
    }
    uint64_t next = next_update_of(engine);
    uint64_t left_s = next > now_s && next - now_s < LOOK_AGAIN_S ? next - now_s + 1 : LOOK_AGAIN_S;
    state->look_us = now_us + left_s * UINT64_C(1000000);
    return RESULT_OK;
}

enum result revocation_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    struct revocations *state = &engine->revocations;
    uint64_t now_us = clock_monotonic_us(engine->clock);
    GUARD(overdue_look(engine, now_us, why));
    GUARD(members_feed(engine, now_us, why));
    *next = state->feed_us < *next ? state->feed_us : *next;
    *next = state->look_us < *next ? state->look_us : *next;
    return RESULT_OK;
}
