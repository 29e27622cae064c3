/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"

#include <stdio.h>
#include <string.h>

#define ADD_LIMIT 64u
#define LIST_LIMIT 128u
#define LIST_BYTES 49152u /* of a page: a reply must fit a packet */
#define WHY_OPERATOR 1u   /* in REAUTHENTICATE */

const char member_schema[] =
    "CREATE TABLE IF NOT EXISTS member ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  token BLOB NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  kind INTEGER NOT NULL,"
    "  mode INTEGER NOT NULL,"
    "  psk BLOB,"
    "  psk_identity TEXT,"
    "  site TEXT NOT NULL,"
    "  state INTEGER NOT NULL,"
    "  serial INTEGER NOT NULL DEFAULT 0,"
    "  signing_key BLOB,"
    "  pending_key BLOB,"
    "  association BLOB,"
    "  associated_ms INTEGER NOT NULL DEFAULT 0,"
    "  evicted_ms INTEGER NOT NULL DEFAULT 0,"
    "  reason TEXT"
    ");"
    "CREATE INDEX IF NOT EXISTS member_name ON member (name, id);"
    "CREATE UNIQUE INDEX IF NOT EXISTS member_live ON member (name) WHERE state <> 3;"
    "CREATE UNIQUE INDEX IF NOT EXISTS member_psk ON member (psk_identity) WHERE state <> 3;"
    "CREATE TABLE IF NOT EXISTS member_function ("
    "  member_id INTEGER NOT NULL,"
    "  function TEXT NOT NULL,"
    "  PRIMARY KEY (member_id, function)"
    ") WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS member_function_name ON member_function (function, member_id);";

#define MEMBER_COLUMNS                                                                                       \
    "id, token, name, kind, mode, psk_identity, site, state, serial, evicted_ms,"                            \
    " EXISTS (SELECT 1 FROM unconfirmed u WHERE u.member_id = member.id)"

static enum result member_read(void *context, const struct store_row *row, struct reason *why)
{
    struct member *member = context;
    struct bytes token = row_bytes(row, 1);
    if (token.length != MEMBER_TOKEN_SIZE) {
        return result_fail(why, RESULT_STORE, "a member's row is damaged");
    }
    member->id = row_int(row, 0);
    memcpy(member->token, token.data, MEMBER_TOKEN_SIZE);
    (void)snprintf(member->name, sizeof(member->name), "%s", row_text(row, 2));
    member->kind = (enum identity_kind)row_int(row, 3);
    member->mode = (enum credentials_mode)row_int(row, 4);
    (void)snprintf(member->psk_identity, sizeof(member->psk_identity), "%s", row_text(row, 5));
    (void)snprintf(member->site, sizeof(member->site), "%s", row_text(row, 6));
    member->state = (enum member_state)row_int(row, 7);
    member->serial = row_u64(row, 8);
    member->evicted_ms = row_u64(row, 9);
    member->unconfirmed = row_int(row, 10) != 0;
    return RESULT_OK;
}

enum result member_find_token(struct store *store, struct bytes token, struct member *out, struct reason *why)
{
    *out = (struct member){.id = 0};
    return store_query(store, why, member_read, out,
                       "SELECT " MEMBER_COLUMNS " FROM member WHERE token = ? AND state <> 3", "b", token);
}

enum result member_find(struct store *store, const char *name, struct member *out, struct reason *why)
{
    *out = (struct member){.id = 0};
    GUARD(store_query(store, why, member_read, out,
                      "SELECT " MEMBER_COLUMNS " FROM member WHERE name = ? ORDER BY id DESC LIMIT 1", "t",
                      name));
    return out->id != 0 ? RESULT_OK : result_fail(why, RESULT_UNKNOWN, "%s is not in the roster", name);
}

enum result member_find_live(struct store *store, const char *name, struct member *out, struct reason *why)
{
    GUARD(member_find(store, name, out, why));
    return out->state != MEMBER_EVICTED
               ? RESULT_OK
               : result_fail(why, RESULT_UNKNOWN, "%s was evicted from the roster", name);
}

struct psk_purpose {
    char text[80];
};

static struct psk_purpose psk_purpose(const uint8_t token[MEMBER_TOKEN_SIZE])
{
    struct psk_purpose purpose = {"member/psk/"};
    size_t length = strlen(purpose.text);
    hex_write((struct bytes){token, MEMBER_TOKEN_SIZE}, purpose.text + length);
    return purpose;
}

struct psk_row {
    const char *purpose;
    struct secret *out;
    bool found;
};

static enum result psk_read(void *context, const struct store_row *row, struct reason *why)
{
    struct psk_row *psk = context;
    psk->found = true;
    return row_secret(row, 0, psk->purpose, psk->out, why);
}

enum result member_psk(struct store *store, const struct member *member, struct secret *out,
                       struct reason *why)
{
    struct psk_purpose purpose = psk_purpose(member->token);
    struct psk_row row = {.purpose = purpose.text, .out = out};
    GUARD(store_query(store, why, psk_read, &row, "SELECT psk FROM member WHERE id = ? AND psk IS NOT NULL",
                      "i", member->id));
    return row.found ? RESULT_OK : result_fail(why, RESULT_STORE, "%s has no pre-shared key", member->name);
}

/* ---- add ---- */

/* How many levels an absolute id has below its SP, and where the last one starts. */
static size_t name_levels(const char *name, const char **last)
{
    size_t levels = 0;
    *last = name;
    for (const char *at = strchr(name + 2, '/'); at != NULL; at = strchr(at + 1, '/')) {
        levels++;
        *last = at + 1;
    }
    return levels;
}

/* TS-0001 7.2: an S-type AE-ID-Stem is unique in the SP, a C-type one below its registrar. */
static enum result name_check(const Groupseal__Secenv__NewMember *new_member, struct reason *why)
{
    const char *name = new_member->name;
    if (!object_name_valid(name)) {
        return result_fail(why, RESULT_INVALID,
                           "a member's name must be an absolute id such as //sp.example/Sdoor1");
    }
    const char *last;
    size_t levels = name_levels(name, &last);
    if (new_member->kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE) {
        return levels == 1 && *last != 'S'
                   ? RESULT_OK
                   : result_fail(why, RESULT_INVALID, "%s is not a CSE's id such as //sp.example/mn-1", name);
    }
    if (levels == 1 && *last == 'S') {
        return RESULT_OK;
    }
    size_t registrar = (size_t)(last - name) - 1;
    if (levels == 2 && *last == 'C') {
        return strlen(new_member->site) == registrar && strncmp(name, new_member->site, registrar) == 0
                   ? RESULT_OK
                   : result_fail(why, RESULT_INVALID, "%s belongs to another site than %s", name,
                                 new_member->site);
    }
    return result_fail(why, RESULT_INVALID, "%s is not an AE's id such as //sp.example/Sdoor1", name);
}

static bool psk_identity_valid(const char *text)
{
    size_t length = strlen(text);
    if (length > NAME_LIMIT) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

static enum result credentials_check(const Groupseal__Secenv__NewMember *new_member, struct reason *why)
{
    if (new_member->mode == GROUPSEAL__SECENV__MODE__MODE_CERT) {
        return new_member->psk.len == 0 && new_member->psk_identity[0] == '\0'
                   ? RESULT_OK
                   : result_fail(why, RESULT_INVALID, "%s: a PSK with certificate mode", new_member->name);
    }
    if (new_member->mode != GROUPSEAL__SECENV__MODE__MODE_PSK) {
        return result_fail(why, RESULT_INVALID, "%s: mode must be certificate or PSK", new_member->name);
    }
    if (new_member->psk.len != SECRET_SIZE) {
        return result_fail(why, RESULT_INVALID, "%s: a PSK is 32 bytes, this has %zu", new_member->name,
                           new_member->psk.len);
    }
    return psk_identity_valid(new_member->psk_identity)
               ? RESULT_OK
               : result_fail(why, RESULT_INVALID, "%s: a PSK identity is at most 128 printable characters",
                             new_member->name);
}

static enum result functions_check(const Groupseal__Secenv__NewMember *new_member, struct reason *why)
{
    if (new_member->n_functions > MEMBER_FUNCTIONS_LIMIT) {
        return result_fail(why, RESULT_INVALID, "%s: more than %u functions", new_member->name,
                           MEMBER_FUNCTIONS_LIMIT);
    }
    for (size_t i = 0; i < new_member->n_functions; i++) {
        if (!object_group_valid(new_member->functions[i])) {
            return result_fail(why, RESULT_INVALID, "%s: a function is 1 to 64 of A-Z a-z 0-9 . _ -",
                               new_member->name);
        }
    }
    return RESULT_OK;
}

static enum result site_check(struct engine *engine, const Groupseal__Secenv__NewMember *new_member,
                              struct reason *why)
{
    if (new_member->kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE) {
        char level[SITE_LIMIT + 1];
        if (new_member->site[0] != '\0' || new_member->n_functions != 0) {
            return result_fail(why, RESULT_INVALID, "%s: an MN-CSE has no site and no functions",
                               new_member->name);
        }
        return object_site_of(new_member->name, level, sizeof(level)) == RESULT_OK
                   ? RESULT_OK
                   : result_fail(why, RESULT_INVALID, "%s cannot be a topic's level", new_member->name);
    }
    struct member site;
    enum result result = member_find_live(engine->store, new_member->site, &site, why);
    if (result == RESULT_UNKNOWN || (result == RESULT_OK && site.kind != IDENTITY_MN_CSE)) {
        return result_fail(why, RESULT_UNKNOWN, "%s: its site %.128s is not an MN-CSE of the roster",
                           new_member->name, new_member->site);
    }
    return result;
}

static enum result new_member_check(struct engine *engine, const Groupseal__Secenv__NewMember *new_member,
                                    struct reason *why)
{
    if (new_member->kind != GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE &&
        new_member->kind != GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE) {
        return result_fail(why, RESULT_INVALID, "a member is an ADN-AE or an MN-CSE");
    }
    GUARD(name_check(new_member, why));
    if (strcmp(new_member->name, engine->identity.name) == 0) {
        return result_fail(why, RESULT_INVALID, "%s is this IN-CSE itself", new_member->name);
    }
    GUARD(credentials_check(new_member, why));
    GUARD(functions_check(new_member, why));
    return site_check(engine, new_member, why);
}

static enum result member_insert(struct store *store, const Groupseal__Secenv__NewMember *new_member,
                                 struct reason *why)
{
    uint8_t token[MEMBER_TOKEN_SIZE];
    GUARD(random_bytes(token, sizeof(token)));
    bool is_mn = new_member->kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE;
    const char *site = is_mn ? new_member->name : new_member->site;
    enum result result;
    if (new_member->mode == GROUPSEAL__SECENV__MODE__MODE_PSK) {
        struct psk_purpose purpose = psk_purpose(token);
        const char *identity =
            new_member->psk_identity[0] != '\0' ? new_member->psk_identity : new_member->name;
        result =
            store_run(store, why,
                      "INSERT INTO member (token, name, kind, mode, psk, psk_identity, site, state)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
                      "btiistt", BYTES_OF(token), new_member->name, (int64_t)new_member->kind,
                      (int64_t)new_member->mode, purpose.text, arena_view(new_member->psk), identity, site);
    } else {
        result = store_run(
            store, why, "INSERT INTO member (token, name, kind, mode, site, state) VALUES (?, ?, ?, ?, ?, 1)",
            "btiit", BYTES_OF(token), new_member->name, (int64_t)new_member->kind, (int64_t)new_member->mode,
            site);
    }
    return result != RESULT_EXISTS
               ? result
               : result_fail(why, RESULT_EXISTS, "%s: this name or PSK identity is in the roster already",
                             new_member->name);
}

static enum result member_add_one(struct engine *engine, const Groupseal__Secenv__NewMember *new_member,
                                  struct reason *why)
{
    GUARD(new_member_check(engine, new_member, why));
    GUARD(member_insert(engine->store, new_member, why));
    int64_t id = store_last_id(engine->store);
    for (size_t i = 0; i < new_member->n_functions; i++) {
        GUARD(store_run(engine->store, why,
                        "INSERT OR IGNORE INTO member_function (member_id, function) VALUES (?, ?)", "it", id,
                        new_member->functions[i]));
    }
    return RESULT_OK;
}

enum result member_add(struct engine *engine, const Groupseal__Secenv__MemberAdd *request, struct reason *why)
{
    if (request->n_members == 0 || request->n_members > ADD_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a request adds 1 to %u members", ADD_LIMIT);
    }
    /* MN-CSEs first: an ADN-AE's site may be in the same request. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < request->n_members; i++) {
            bool is_mn = request->members[i]->kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE;
            if (is_mn == (pass == 0)) {
                GUARD(member_add_one(engine, request->members[i], why));
            }
        }
    }
    return RESULT_OK;
}

/* ---- list ---- */

struct listing {
    struct arena *arena;
    Groupseal__Secenv__Members *members;
    size_t bytes;
};

/* Words with one space between them, as group_concat gives them. */
static enum result words_split(struct arena *arena, const char *text, char ***out, size_t *count)
{
    char *copy = arena_text(arena, text);
    char **words = arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof(*words));
    if (copy == NULL || words == NULL) {
        return RESULT_FULL;
    }
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        words[(*count)++] = word;
    }
    *out = words;
    return RESULT_OK;
}

static enum result list_row(struct arena *arena, const struct store_row *row,
                            Groupseal__Secenv__MemberRow **out, struct reason *why)
{
    static const char *const states[] = {"",        "added",       "associated", "evicted",
                                         "revoked", "unconfirmed", "",           ""};
    Groupseal__Secenv__MemberRow *member = arena_alloc(arena, sizeof(*member));
    if (member == NULL) {
        return result_fail(why, RESULT_FULL, "the list is too long for one reply");
    }
    groupseal__secenv__member_row__init(member);
    member->name = arena_text(arena, row_text(row, 0));
    member->kind = (Groupseal__Secenv__MemberKind)row_int(row, 1);
    member->mode = (Groupseal__Secenv__Mode)row_int(row, 2);
    member->site = member->kind == GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE
                       ? arena_text(arena, row_text(row, 3))
                       : (char *)protobuf_c_empty_string;
    member->state = arena_text(arena, states[row_int(row, 4) & 7]);
    member->associated_ms = row_u64(row, 5);
    member->leaf_ms = row_u64(row, 8);
    if (member->name == NULL || member->site == NULL || member->state == NULL ||
        words_split(arena, row_text(row, 6), &member->functions, &member->n_functions) != RESULT_OK ||
        words_split(arena, row_text(row, 7), &member->groups, &member->n_groups) != RESULT_OK) {
        return result_fail(why, RESULT_FULL, "the list is too long for one reply");
    }
    *out = member;
    return RESULT_OK;
}

static enum result member_list_row(void *context, const struct store_row *row, struct reason *why)
{
    struct listing *listing = context;
    Groupseal__Secenv__Members *members = listing->members;
    if (members->more) {
        return RESULT_OK;
    }
    Groupseal__Secenv__MemberRow *member = NULL;
    GUARD(list_row(listing->arena, row, &member, why));
    size_t bytes = protobuf_c_message_get_packed_size(&member->base) + 4;
    if (members->n_members == LIST_LIMIT ||
        (members->n_members != 0 && listing->bytes + bytes > LIST_BYTES)) {
        members->more = 1;
        return RESULT_OK;
    }
    listing->bytes += bytes;
    members->members[members->n_members++] = member;
    return RESULT_OK;
}

enum result member_list(struct engine *engine, const Groupseal__Secenv__MemberList *request,
                        struct arena *arena, Groupseal__Secenv__Members **out, struct reason *why)
{
    struct listing listing = {.arena = arena};
    listing.members = arena_alloc(arena, sizeof(*listing.members));
    if (listing.members == NULL) {
        return result_fail(why, RESULT_FULL, "the list is too long for one reply");
    }
    groupseal__secenv__members__init(listing.members);
    listing.members->time_ms = clock_wall_ms(engine->clock);
    listing.members->members = arena_alloc(arena, LIST_LIMIT * sizeof(*listing.members->members));
    if (listing.members->members == NULL) {
        return result_fail(why, RESULT_FULL, "the list is too long for one reply");
    }
    GUARD(store_query(
        engine->store, why, member_list_row, &listing,
        "SELECT name, kind, mode, site, CASE WHEN state <> 3 AND EXISTS (SELECT 1 FROM unconfirmed u"
        " WHERE u.member_id = m.id) THEN 5 ELSE state END, associated_ms,"
        " (SELECT group_concat(function, ' ') FROM member_function f WHERE f.member_id = m.id),"
        " (SELECT group_concat(name, ' ') FROM (SELECT g.name AS name FROM leaf l JOIN key_group g"
        "   ON g.id = l.group_id WHERE l.member_id = m.id ORDER BY g.name LIMIT 64)),"
        " (SELECT coalesce(min(made_ms), 0) FROM leaf l WHERE l.member_id = m.id)"
        " FROM member m WHERE name > ? AND NOT EXISTS"
        " (SELECT 1 FROM member x WHERE x.name = m.name AND x.id > m.id) ORDER BY name LIMIT 129",
        "t", request->after));
    *out = listing.members;
    return RESULT_OK;
}

/* ---- associations ---- */

enum result member_reauthenticate(struct engine *engine,
                                  const Groupseal__Secenv__MemberReauthenticate *request, struct reason *why)
{
    struct member member;
    GUARD(member_find_live(engine->store, request->name, &member, why));
    if (member.state != MEMBER_ASSOCIATED) {
        return result_fail(why, RESULT_NOT_READY, "%s has not authenticated yet", member.name);
    }
    return member_ask_anew(engine, member.name, WHY_OPERATOR, why);
}

enum result member_ask_anew(struct engine *engine, const char *name, uint32_t because, struct reason *why)
{
    Groupseal__Envelope__Reauthenticate reauthenticate = GROUPSEAL__ENVELOPE__REAUTHENTICATE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    reauthenticate.why = because;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE;
    body.reauthenticate = &reauthenticate;
    return outbox_put(engine->outbox, engine->identity.name, name, "reauthenticate", &body, why);
}

struct key_row {
    uint8_t *out;
    bool found;
};

static enum result key_read(void *context, const struct store_row *row, struct reason *why)
{
    struct key_row *key = context;
    struct bytes bytes = row_bytes(row, 0);
    (void)why;
    key->found = bytes.length == VERIFY_KEY_SIZE;
    if (key->found) {
        memcpy(key->out, bytes.data, VERIFY_KEY_SIZE);
    }
    return RESULT_OK;
}

enum result member_present(struct engine *engine, const struct member *member,
                           const uint8_t association[ASSOCIATION_ID_SIZE],
                           const uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why)
{
    uint8_t before[VERIFY_KEY_SIZE];
    struct key_row row = {.out = before};
    struct bytes key = {signing_key, VERIFY_KEY_SIZE};
    struct bytes id = {association, ASSOCIATION_ID_SIZE};
    uint64_t serial = member->serial;
    GUARD(store_query(engine->store, why, key_read, &row, "SELECT signing_key FROM member WHERE id = ?", "i",
                      member->id));
    bool anew = !row.found || memcmp(before, signing_key, VERIFY_KEY_SIZE) != 0;
    if (anew || serial == 0) {
        GUARD(number_next(engine->store, "serial", 1, &serial, why));
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE member SET state = 2, serial = ?, signing_key = ?, pending_key = NULL,"
                    " association = ?, associated_ms = ? WHERE id = ?",
                    "ubbui", serial, key, id, clock_wall_ms(engine->clock), member->id));
    GUARD(revocation_member(engine, member, anew, why));
    uint64_t later_us = refresh_collected(engine, peers_find(&engine->peers, member->name));
    return groups_mark_member(engine, member, later_us != 0 ? later_us : settings_collected_us(engine), why);
}

enum result member_pending_key_set(struct engine *engine, const struct member *member,
                                   const uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why)
{
    struct bytes key = {signing_key, VERIFY_KEY_SIZE};
    return store_run(engine->store, why, "UPDATE member SET pending_key = ? WHERE id = ?", "bi", key,
                     member->id);
}

enum result member_pending_key(struct engine *engine, const struct member *member,
                               uint8_t signing_key[VERIFY_KEY_SIZE], struct reason *why)
{
    struct key_row row = {.out = signing_key};
    GUARD(store_query(engine->store, why, key_read, &row, "SELECT pending_key FROM member WHERE id = ?", "i",
                      member->id));
    return row.found ? RESULT_OK
                     : result_fail(why, RESULT_STORE, "%s: its new signing key is not stored", member->name);
}
