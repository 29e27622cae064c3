/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/association.h"

#include <stdio.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/crypto/aead.h"

/* The row's `counter` names the row of the sending counter, so that both go together. */
const char association_schema[] = "CREATE TABLE IF NOT EXISTS association ("
                                  " role INTEGER NOT NULL,"
                                  " member TEXT NOT NULL,"
                                  " authority TEXT NOT NULL,"
                                  " slot INTEGER NOT NULL,"
                                  " key_id BLOB NOT NULL,"
                                  " key BLOB NOT NULL," /* sealed */
                                  " mode INTEGER NOT NULL,"
                                  " mechanism TEXT NOT NULL,"
                                  " counter TEXT NOT NULL,"
                                  " received INTEGER NOT NULL,"
                                  " made_ms INTEGER NOT NULL,"
                                  " certificate BLOB NOT NULL," /* the peer's mark */
                                  " PRIMARY KEY (role, member, authority, slot)) WITHOUT ROWID;";

/* So that the EndToEnd around it keeps within OBJECT_LIMIT. */
#define BODY_PACKED_LIMIT (OBJECT_LIMIT - 256u)
#define KEY_ID_TEXT_SIZE (2 * ASSOCIATION_ID_SIZE + 1)

enum direction { TO_AUTHORITY = 1, TO_MEMBER = 2, BOTH_WAYS = 3 };

static void key_id_text(const struct agreement *agreement, char out[KEY_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ASSOCIATION_ID_SIZE; i++) {
        out[2 * i] = digits[agreement->id[i] >> 4];
        out[2 * i + 1] = digits[agreement->id[i] & 15];
    }
    out[KEY_ID_TEXT_SIZE - 1] = '\0';
}

/* Names the sealed key's place: role and key id. */
static void key_purpose(const struct association *association, char out[80])
{
    char id[KEY_ID_TEXT_SIZE];
    key_id_text(&association->agreement, id);
    (void)snprintf(out, 80, "association/key/%d/%s", (int)association->role, id);
}

static void name_counter(struct association *association)
{
    char id[KEY_ID_TEXT_SIZE];
    char name[64];
    key_id_text(&association->agreement, id);
    (void)snprintf(name, sizeof(name), "association/%d/%s", (int)association->role, id);
    counter_init(&association->send, name);
}

void association_init(struct association *association, enum association_role role, enum association_slot slot,
                      const char *member, const char *authority, const struct agreement *agreement,
                      uint64_t made_ms)
{
    memset(association, 0, sizeof(*association));
    association->role = role;
    association->slot = slot;
    (void)snprintf(association->member, sizeof(association->member), "%s", member);
    (void)snprintf(association->authority, sizeof(association->authority), "%s", authority);
    association->agreement = *agreement;
    association->made_ms = made_ms;
    name_counter(association);
}

void association_wipe(struct association *association)
{
    secret_wipe_bytes(association, sizeof(*association));
}

/* ---- store ---- */

static enum result counter_remove(struct store *store, const char *name, struct reason *why)
{
    return store_run(store, why, "DELETE FROM counter WHERE name = ?", "t", name);
}

/* Of the rows that an association replaces, at most one has another counter than its own. */
struct replaced {
    const char *kept;
    char counter[sizeof(((struct counter *)0)->name)];
};

static enum result replaced_row(void *context, const struct store_row *row, struct reason *why)
{
    struct replaced *replaced = context;
    (void)why;
    if (strcmp(row_text(row, 0), replaced->kept) != 0) {
        (void)snprintf(replaced->counter, sizeof(replaced->counter), "%s", row_text(row, 0));
    }
    return RESULT_OK;
}

enum result association_save(struct association *association, struct store *store, struct reason *why)
{
    char purpose[80];
    key_purpose(association, purpose);
    struct bytes id = BYTES_OF(association->agreement.id);
    association->saved = true;
    struct replaced replaced = {.kept = association->send.name};
    /* What was in this slot goes, with its counter; and this one leaves the slot that it had. */
    GUARD(store_query(store, why, replaced_row, &replaced,
                      "DELETE FROM association WHERE role = ? AND member = ? AND authority = ? AND"
                      " (slot = ? OR key_id = ?) RETURNING counter",
                      "ittib", (int64_t)association->role, association->member, association->authority,
                      (int64_t)association->slot, id));
    if (replaced.counter[0] != '\0') {
        GUARD(counter_remove(store, replaced.counter, why));
    }
    return store_run(store, why,
                     "INSERT INTO association (role, member, authority, slot, key_id, key, mode, mechanism,"
                     " counter, received, made_ms, certificate)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "ittibsittuub", (int64_t)association->role, association->member, association->authority,
                     (int64_t)association->slot, id, purpose, secret_bytes(&association->agreement.key),
                     (int64_t)association->agreement.mode, association->agreement.mechanism,
                     association->send.name, association->received, association->made_ms,
                     BYTES_OF(association->agreement.certificate));
}

enum result association_remove(struct association *association, struct store *store, struct reason *why)
{
    GUARD(counter_remove(store, association->send.name, why));
    return store_run(
        store, why,
        "DELETE FROM association WHERE role = ? AND member = ? AND authority = ? AND slot = ? AND key_id = ?",
        "ittib", (int64_t)association->role, association->member, association->authority,
        (int64_t)association->slot, BYTES_OF(association->agreement.id));
}

struct loading {
    enum association_role role;
    enum result (*each)(void *context, const struct association *association);
    void *context;
};

static enum result read_row(const struct store_row *row, struct association *association, struct reason *why)
{
    struct bytes id = row_bytes(row, 3);
    struct bytes certificate = row_bytes(row, 9);
    if (id.length != ASSOCIATION_ID_SIZE || certificate.length != CERTIFICATE_MARK_SIZE) {
        return result_fail(why, RESULT_STORE, "store: an association of %s is damaged", row_text(row, 0));
    }
    struct agreement agreement;
    memset(&agreement, 0, sizeof(agreement));
    memcpy(agreement.id, id.data, ASSOCIATION_ID_SIZE);
    memcpy(agreement.certificate, certificate.data, CERTIFICATE_MARK_SIZE);
    agreement.mode = (enum credentials_mode)row_int(row, 5);
    (void)snprintf(agreement.mechanism, sizeof(agreement.mechanism), "%s", row_text(row, 6));
    association_init(association, association->role, (enum association_slot)row_int(row, 2), row_text(row, 0),
                     row_text(row, 1), &agreement, row_u64(row, 8));
    association->received = row_u64(row, 7);
    association->saved = true;
    char purpose[80];
    key_purpose(association, purpose);
    return row_secret(row, 4, purpose, &association->agreement.key, why);
}

static enum result load_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct loading *loading = context;
    struct association association = {.role = loading->role};
    enum result result = read_row(row, &association, why);
    if (result == RESULT_OK) {
        secret_note("association", association.agreement.key.data, SECRET_SIZE);
        result = loading->each(loading->context, &association);
    }
    association_wipe(&association);
    return result;
}

enum result association_load(struct store *store, enum association_role role,
                             enum result (*each)(void *context, const struct association *association),
                             void *context, struct reason *why)
{
    struct loading loading = {role, each, context};
    /* Counters of handshakes that never led to an association. */
    char pattern[32];
    (void)snprintf(pattern, sizeof(pattern), "association/%d/*", (int)role);
    GUARD(store_run(store, why,
                    "DELETE FROM counter WHERE name GLOB ? AND name NOT IN (SELECT counter FROM association)",
                    "t", pattern));
    return store_query(store, why, load_row, &loading,
                       "SELECT member, authority, slot, key_id, key, mode, mechanism, received, made_ms,"
                       " certificate FROM association WHERE role = ? ORDER BY member, authority, slot",
                       "i", (int64_t)role);
}

/* ---- records ---- */

static const struct {
    Groupseal__Envelope__RecordType type;
    Groupseal__Envelope__RecordBody__ContentCase content;
    enum direction direction;
} kinds[] = {
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_FIRST, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_FIRST,
     TO_AUTHORITY},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_CONFIRM, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CONFIRM,
     TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ACCEPT, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT,
     BOTH_WAYS},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_PACKAGE, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE,
     TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_CHANGE, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CHANGE,
     TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ROSTER_DELTA,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_DELTA, TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ROSTER_PAGE,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_PAGE, TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ORDER, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ORDER,
     TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_LEFT, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT,
     TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_REAUTHENTICATE,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE, TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_REPORT, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REPORT,
     TO_AUTHORITY},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ROSTER_ASK,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ROSTER_ASK, TO_AUTHORITY},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_PACKAGE_ASK,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK, TO_AUTHORITY},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_NEWEST, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST,
     TO_AUTHORITY},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_REVOCATION,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REVOCATION, TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_NEWEST_ASK,
     GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST_ASK, TO_MEMBER},
    {GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_HOLDINGS, GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_HOLDINGS,
     TO_AUTHORITY},
};

static bool kind_allowed(Groupseal__Envelope__RecordType type,
                         Groupseal__Envelope__RecordBody__ContentCase content, enum direction direction)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].type == type) {
            return kinds[i].content == content && ((unsigned)kinds[i].direction & (unsigned)direction) != 0;
        }
    }
    return false;
}

static Groupseal__Envelope__RecordType type_of(const Groupseal__Envelope__RecordBody *body)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].content == body->content_case) {
            return kinds[i].type;
        }
    }
    return GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_NONE;
}

static enum direction sending(const struct association *association)
{
    return association->role == ASSOCIATION_MEMBER ? TO_AUTHORITY : TO_MEMBER;
}

static enum direction receiving(const struct association *association)
{
    return association->role == ASSOCIATION_MEMBER ? TO_MEMBER : TO_AUTHORITY;
}

static const char *peer_of(const struct association *association)
{
    return association->role == ASSOCIATION_MEMBER ? association->authority : association->member;
}

static enum result record_key_derive(const struct association *association, enum direction direction,
                                     struct bytes boot, struct secret *out)
{
    struct fields info;
    fields_init(&info);
    fields_label(&info, "record");
    fields_u8(&info, (uint8_t)direction);
    fields_text(&info, association->member);
    fields_text(&info, association->authority);
    fields_u8(&info, (uint8_t)association->agreement.mode);
    fields_text(&info, association->agreement.mechanism);
    fields_fix(&info, boot, BOOT_SIZE);
    enum result result = kdf_fields(&association->agreement.key, &info, out);
    fields_clear(&info);
    return result;
}

static enum result record_key(struct association *association, enum direction direction, struct bytes boot,
                              const struct secret **out)
{
    struct record_key *last = &association->keys[direction == TO_AUTHORITY ? 0 : 1];
    if (!last->known || !bytes_equal(boot, BYTES_OF(last->boot))) {
        last->known = false;
        GUARD(record_key_derive(association, direction, boot, &last->key));
        memcpy(last->boot, boot.data, BOOT_SIZE); /* fields_fix has seen to its size */
        last->known = true;
    }
    *out = &last->key;
    return RESULT_OK;
}

static void record_aad(const struct association *association, enum direction direction, uint8_t type,
                       struct bytes boot, uint64_t counter, struct fields *out)
{
    bool up = direction == TO_AUTHORITY;
    fields_init(out);
    fields_text(out, up ? association->member : association->authority);
    fields_text(out, up ? association->authority : association->member);
    fields_u8(out, type);
    fields_fix(out, BYTES_OF(association->agreement.id), ASSOCIATION_ID_SIZE);
    fields_fix(out, boot, BOOT_SIZE);
    fields_u64(out, counter);
}

/* Seals the packed body; the record's fields are views into the arena. */
static enum result seal_packed(struct association *association, struct bytes boot, uint64_t counter,
                               struct bytes packed, struct arena *arena, Groupseal__Envelope__Record *out)
{
    const struct secret *key = NULL;
    struct fields aad;
    struct buffer sealed = BUFFER_EMPTY(OBJECT_LIMIT);
    record_aad(association, sending(association), (uint8_t)out->type, boot, counter, &aad);
    enum result result = fields_done(&aad);
    GUARD_OUT(result);
    GUARD_OUT(record_key(association, sending(association), boot, &key));
    GUARD_OUT(aead_seal(AEAD_CHACHA20_POLY1305_CIPHER, key, counter, fields_bytes(&aad), packed, &sealed));
    out->counter = counter;
    out->association.data = arena_copy(arena, BYTES_OF(association->agreement.id));
    out->association.len = ASSOCIATION_ID_SIZE;
    out->boot.data = arena_copy(arena, boot);
    out->boot.len = BOOT_SIZE;
    out->ciphertext.data = arena_copy(arena, buffer_bytes(&sealed));
    out->ciphertext.len = sealed.length;
    bool whole = out->association.data != NULL && out->boot.data != NULL && out->ciphertext.data != NULL;
    result = whole ? RESULT_OK : RESULT_FULL;
out:
    fields_clear(&aad);
    buffer_clear(&sealed);
    return result;
}

enum result association_seal(struct association *association, struct store *store,
                             const struct clock_source *clock, const Groupseal__Envelope__RecordBody *body,
                             struct arena *arena, Groupseal__Envelope__Record **out, struct reason *why)
{
    const char *peer = peer_of(association);
    Groupseal__Envelope__RecordType type = type_of(body);
    if (!kind_allowed(type, body->content_case, sending(association))) {
        return result_fail(why, RESULT_INVALID, "a record of type %d is not one to send to %s", (int)type,
                           peer);
    }
    size_t size = groupseal__envelope__record_body__get_packed_size(body);
    if (size > BODY_PACKED_LIMIT) {
        return result_fail(why, RESULT_FULL, "a record for %s would have %zu bytes, at most %u are sent",
                           peer, size, BODY_PACKED_LIMIT);
    }
    uint8_t *packed = arena_alloc(arena, size);
    Groupseal__Envelope__Record *record = arena_alloc(arena, sizeof(*record));
    if (packed == NULL || record == NULL) {
        return result_fail(why, RESULT_FULL, "no room for a record for %s in this request", peer);
    }
    (void)groupseal__envelope__record_body__pack(body, packed);
    groupseal__envelope__record__init(record);
    record->type = type;
    uint64_t counter = 0;
    GUARD(counter_next(&association->send, store, clock, &counter, why));
    enum result result = seal_packed(association, BYTES_OF(association->send.boot), counter,
                                     (struct bytes){packed, size}, arena, record);
    if (result != RESULT_OK) {
        return result_fail(why, result, "a record for %s cannot be sealed", peer);
    }
    audit_count(AUDIT_RECORDS_SEALED);
    *out = record;
    return RESULT_OK;
}

static enum result check_header(const struct association *association,
                                const Groupseal__Envelope__Record *record, struct reason *why)
{
    const char *peer = peer_of(association);
    if (record->association.len != ASSOCIATION_ID_SIZE || record->boot.len != BOOT_SIZE ||
        record->ciphertext.len < AEAD_TAG_SIZE || record->ciphertext.len > OBJECT_LIMIT) {
        return result_fail(why, RESULT_INVALID, "record of %s has fields of the wrong size", peer);
    }
    if (!bytes_equal(arena_view(record->association), BYTES_OF(association->agreement.id))) {
        return result_fail(why, RESULT_UNKNOWN, "record of %s is of an association that is not known here",
                           peer);
    }
    if (record->type <= GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_NONE ||
        record->type > GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_HOLDINGS) {
        return result_fail(why, RESULT_INVALID, "record of %s has the unknown type %d", peer,
                           (int)record->type);
    }
    if (record->counter <= association->received || record->counter > INT64_MAX) {
        return result_fail(why, RESULT_REFUSED,
                           "record of %s is replayed or late: its counter %llu is not above %llu", peer,
                           (unsigned long long)record->counter, (unsigned long long)association->received);
    }
    return RESULT_OK;
}

/* Decrypts and parses; the plaintext is wiped, the body lives in the arena (which is wiped too). */
static enum result open_body(struct association *association, const Groupseal__Envelope__Record *record,
                             struct arena *arena, Groupseal__Envelope__RecordBody **out)
{
    const struct secret *key = NULL;
    struct fields aad;
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    record_aad(association, receiving(association), (uint8_t)record->type, arena_view(record->boot),
               record->counter, &aad);
    enum result result = fields_done(&aad);
    GUARD_OUT(result);
    GUARD_OUT(record_key(association, receiving(association), arena_view(record->boot), &key));
    GUARD_OUT(aead_open(AEAD_CHACHA20_POLY1305_CIPHER, key, record->counter, fields_bytes(&aad),
                        arena_view(record->ciphertext), &plaintext));
    *out = object_unpack(&groupseal__envelope__record_body__descriptor, buffer_bytes(&plaintext), arena);
    result = *out == NULL ? RESULT_INVALID : RESULT_OK;
out:
    fields_clear(&aad);
    buffer_clear(&plaintext);
    return result;
}

static enum result store_received(const struct association *association, uint64_t received,
                                  struct store *store, struct reason *why)
{
    return store_run(store, why,
                     "UPDATE association SET received = ? WHERE role = ? AND member = ? AND authority = ? AND"
                     " slot = ? AND key_id = ?",
                     "uittib", received, (int64_t)association->role, association->member,
                     association->authority, (int64_t)association->slot, BYTES_OF(association->agreement.id));
}

static enum result open_record(struct association *association, struct store *store,
                               const Groupseal__Envelope__Record *record, struct arena *arena,
                               Groupseal__Envelope__RecordBody **out, struct reason *why)
{
    GUARD(check_header(association, record, why));
    enum result result = open_body(association, record, arena, out);
    if (result != RESULT_OK) {
        return result_fail(why, result, "record of %s %s", peer_of(association),
                           result == RESULT_REFUSED ? "is forged, altered or under another key"
                                                    : "cannot be read once opened");
    }
    if (!kind_allowed(record->type, (*out)->content_case, receiving(association))) {
        return result_fail(why, RESULT_REFUSED,
                           "record of %s has type %d, with a content that does not fit it",
                           peer_of(association), (int)record->type);
    }
    if (association->saved) {
        GUARD(store_received(association, record->counter, store, why));
    }
    association->received = record->counter;
    return RESULT_OK;
}

enum result association_open(struct association *association, struct store *store,
                             const Groupseal__Envelope__Record *record, struct arena *arena,
                             Groupseal__Envelope__RecordBody **out, struct reason *why)
{
    enum result result = open_record(association, store, record, arena, out, why);
    if (result != RESULT_OK) {
        *out = NULL;
    }
    audit_count(result == RESULT_OK ? AUDIT_RECORDS_OPENED : AUDIT_RECORDS_REFUSED);
    return result;
}

void association_undo_received(struct association *association, uint64_t received)
{
    association->received = received;
}

/* ---- FIRST ---- */

static void first_list(const struct agreement *agreement, const char *member, struct bytes key,
                       struct fields *out)
{
    fields_init(out);
    fields_label(out, "first");
    fields_fix(out, BYTES_OF(agreement->id), ASSOCIATION_ID_SIZE);
    fields_text(out, member);
    fields_fix(out, key, VERIFY_KEY_SIZE);
}

enum result first_sign(const struct agreement *agreement, const char *member, const struct signing_key *key,
                       uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    first_list(agreement, member, BYTES_OF(key->public_key), &list);
    enum result result = fields_done(&list);
    if (result == RESULT_OK) {
        result = signature_make(key, &list, signature);
    }
    fields_clear(&list);
    return result;
}

enum result first_check(const struct agreement *agreement, const char *member,
                        const Groupseal__Envelope__First *first)
{
    struct fields list;
    first_list(agreement, member, arena_view(first->signing_key), &list);
    enum result result = fields_done(&list);
    if (result == RESULT_OK) {
        result = signature_check(arena_view(first->signing_key), &list, arena_view(first->signature));
    }
    fields_clear(&list);
    return result;
}
