/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/authority.h"
#include "secenv/authority/collection.h"
#include "secenv/authority/group_tree.h"
#include "secenv/authority/holding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAP_DEFAULT_MS 30000u
#define OVERLAP_LIMIT_MS 600000u
#define WINDOW_DEFAULT_MS 500u
#define WINDOW_LIMIT_MS 60000u
#define BEAT_DEFAULT_S 900u
#define BEAT_LIMIT_S 86400u
#define SITES_LIMIT (GROUP_SITES_LIMIT - 1u)
#define LIST_BYTES 57344u /* all groups: a list, and a status, must fit a packet */

const char group_schema[] = "CREATE TABLE IF NOT EXISTS key_group ("
                            "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* orders outlive their group */
                            "  name TEXT NOT NULL UNIQUE,"
                            "  function TEXT NOT NULL,"
                            "  instance BLOB NOT NULL UNIQUE,"
                            "  incarnation INTEGER NOT NULL,"
                            "  epoch INTEGER NOT NULL DEFAULT 0,"
                            "  beat INTEGER NOT NULL DEFAULT 0,"
                            "  height INTEGER NOT NULL DEFAULT 1,"
                            "  policy_number INTEGER NOT NULL DEFAULT 0,"
                            "  roster_number INTEGER NOT NULL DEFAULT 0,"
                            "  aead INTEGER NOT NULL,"
                            "  overlap_ms INTEGER NOT NULL,"
                            "  response_window_ms INTEGER NOT NULL,"
                            "  beat_interval_s INTEGER NOT NULL,"
                            "  refuse_when_overdue INTEGER NOT NULL,"
                            "  sign_member_messages INTEGER NOT NULL,"
                            "  authority_only INTEGER NOT NULL,"
                            "  announced_ms INTEGER NOT NULL DEFAULT 0,"
                            "  rotate_every_s INTEGER NOT NULL,"
                            "  changed_ms INTEGER NOT NULL DEFAULT 0," /* 0: a rotation is due */
                            "  policy BLOB,"
                            "  roster_hash BLOB," /* NULL: of an empty roster */
                            "  announcement BLOB"
                            ");"
                            "CREATE INDEX IF NOT EXISTS key_group_function ON key_group (function);"
                            "CREATE TABLE IF NOT EXISTS group_site ("
                            "  group_id INTEGER NOT NULL,"
                            "  site TEXT NOT NULL,"
                            "  PRIMARY KEY (group_id, site)"
                            ") WITHOUT ROWID;"
                            "CREATE INDEX IF NOT EXISTS group_site_site ON group_site (site, group_id);"
                            "CREATE TABLE IF NOT EXISTS leaf ("
                            "  group_id INTEGER NOT NULL,"
                            "  leaf_index INTEGER NOT NULL,"
                            "  member_id INTEGER NOT NULL,"
                            "  serial INTEGER NOT NULL,"
                            "  epoch INTEGER NOT NULL,"
                            "  association BLOB NOT NULL,"
                            "  package_taken INTEGER NOT NULL DEFAULT 0,"
                            "  asked_ms INTEGER NOT NULL DEFAULT 0," /* the member's last PACKAGE_ASK */
                            "  made_ms INTEGER NOT NULL DEFAULT 0,"
                            "  PRIMARY KEY (group_id, leaf_index)"
                            ") WITHOUT ROWID;"
                            "CREATE UNIQUE INDEX IF NOT EXISTS leaf_member ON leaf (member_id, group_id);"
                            "CREATE VIEW IF NOT EXISTS group_candidate AS"
                            "  SELECT g.id AS group_id, m.id AS member_id, m.state AS state FROM key_group g"
                            "    JOIN member_function f ON f.function = g.function"
                            "    JOIN member m ON m.id = f.member_id"
                            "    JOIN group_site s ON s.group_id = g.id AND s.site = m.site"
                            "    WHERE m.state <> 3 AND m.kind = 1"
                            "  UNION ALL"
                            "  SELECT s.group_id, m.id, m.state FROM group_site s"
                            "    JOIN member m ON m.name = s.site WHERE m.state <> 3 AND m.kind = 2;";

/* ---- load ---- */

static void group_free(struct group *group)
{
    if (group != NULL) {
        group_tree_free(group);
        free(group->marked);
        free(group);
    }
}

void groups_clear(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        group_free(groups->items[i]);
    }
    free(groups->items);
    *groups = (struct groups){NULL, 0};
}

/* Takes ownership when it returns OK. */
static enum result groups_append(struct groups *groups, struct group *group, struct reason *why)
{
    struct group **items = realloc(groups->items, (groups->count + 1) * sizeof(*items));
    if (items == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for group %s", group->name);
    }
    groups->items = items;
    items[groups->count++] = group;
    return RESULT_OK;
}

static enum result site_read(void *context, const struct store_row *row, struct reason *why)
{
    struct group *group = context;
    if (group->site_count == GROUP_SITES_LIMIT) {
        return result_fail(why, RESULT_STORE, "group %s has too many sites", group->name);
    }
    (void)snprintf(group->sites[group->site_count++], sizeof(group->sites[0]), "%s", row_text(row, 0));
    return RESULT_OK;
}

static enum result group_load_rest(struct engine *engine, struct group *group, uint32_t height,
                                   struct reason *why)
{
    GUARD(store_query(engine->store, why, site_read, group,
                      "SELECT site FROM group_site WHERE group_id = ? ORDER BY site", "i", group->id));
    return group_tree_load(group, engine->store, height, why);
}

/* An interval goes on through a restart, by the wall clock, and is never longer than itself: when it began,
 * on the monotonic clock. */
static uint64_t interval_start(const struct engine *engine, uint64_t began_ms, uint32_t interval_s)
{
    uint64_t age_ms = clock_wall_ms(engine->clock) - began_ms;
    uint64_t interval_ms = interval_s * UINT64_C(1000);
    uint64_t now_us = clock_monotonic_us(engine->clock);
    uint64_t age_us = (age_ms < interval_ms ? age_ms : interval_ms) * 1000u;
    return now_us > age_us ? now_us - age_us : 0;
}

static enum result group_read(void *context, const struct store_row *row, struct reason *why)
{
    struct engine *engine = context;
    struct group *group = calloc(1, sizeof(*group));
    struct bytes instance = row_bytes(row, 3);
    if (group == NULL || instance.length != INSTANCE_SIZE) {
        free(group);
        return result_fail(why, RESULT_STORE, "a group's row is damaged");
    }
    group->id = row_int(row, 0);
    (void)snprintf(group->name, sizeof(group->name), "%s", row_text(row, 1));
    (void)snprintf(group->function, sizeof(group->function), "%s", row_text(row, 2));
    memcpy(group->instance, instance.data, INSTANCE_SIZE);
    group->incarnation = row_u64(row, 4);
    group->epoch = row_u64(row, 5);
    group->beat = row_u64(row, 6);
    group->policy_number = row_u64(row, 8);
    group->roster_number = row_u64(row, 9);
    group->aead = (uint8_t)row_int(row, 10);
    group->overlap_ms = (uint32_t)row_int(row, 11);
    group->response_window_ms = (uint32_t)row_int(row, 12);
    group->beat_interval_s = (uint32_t)row_int(row, 13);
    group->refuse_when_overdue = row_int(row, 14) != 0;
    group->sign_member_messages = row_int(row, 15) != 0;
    group->authority_only = row_int(row, 16) != 0;
    group->held = row_int(row, 17) != 0;
    group->due = group->look_at_all = true;
    group->announced_us = interval_start(engine, row_u64(row, 18), group->beat_interval_s);
    group->rotate_every_s = (uint32_t)row_int(row, 19);
    group->changed_us = interval_start(engine, row_u64(row, 20), group->rotate_every_s);
    group->rotate = row_u64(row, 20) == 0 && group->epoch != 0;
    enum result result = group_load_rest(engine, group, (uint32_t)row_int(row, 7), why);
    if (result == RESULT_OK) {
        result = groups_append(&engine->groups, group, why);
    }
    if (result != RESULT_OK) {
        group_free(group);
    }
    return result;
}

enum result groups_load(struct engine *engine, struct reason *why)
{
    return store_query(engine->store, why, group_read, engine,
                       "SELECT id, name, function, instance, incarnation, epoch, beat, height, policy_number,"
                       " roster_number, aead, overlap_ms, response_window_ms, beat_interval_s,"
                       " refuse_when_overdue, sign_member_messages, authority_only, " INCARNATION_HELD
                       ", announced_ms,"
                       " rotate_every_s, changed_ms"
                       " FROM key_group ORDER BY name",
                       "b", BYTES_OF(engine->start));
}

void groups_remove(struct groups *groups, struct group *group)
{
    size_t at = 0;
    while (groups->items[at] != group) {
        at++;
    }
    groups->count--;
    memmove(&groups->items[at], &groups->items[at + 1], (groups->count - at) * sizeof(*groups->items));
    group_free(group);
}

struct group *groups_find(const struct groups *groups, const char *name)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (strcmp(groups->items[i]->name, name) == 0) {
            return groups->items[i];
        }
    }
    return NULL;
}

struct group *groups_find_instance(const struct groups *groups, struct bytes instance)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (bytes_equal(BYTES_OF(groups->items[i]->instance), instance)) {
            return groups->items[i];
        }
    }
    return NULL;
}

/* ---- who belongs to them ---- */

struct marking {
    struct groups *groups;
    int64_t member_id;
    uint64_t now_us;
    uint64_t later_us; /* 0: at once */
};

/* Without memory for one, everybody is looked at. */
static void member_mark(struct group *group, int64_t member_id)
{
    if (group->marked_count == group->marked_capacity) {
        size_t capacity = group->marked_capacity == 0 ? 16 : 2 * group->marked_capacity;
        int64_t *marked = realloc(group->marked, capacity * sizeof(*marked));
        if (marked == NULL) {
            group->look_at_all = true;
            return;
        }
        group->marked = marked;
        group->marked_capacity = capacity;
    }
    group->marked[group->marked_count++] = member_id;
}

static void group_mark(struct group *group, const struct marking *marking)
{
    member_mark(group, marking->member_id);
    if (marking->later_us == 0) {
        group->due = true;
    } else {
        collection_add(group, marking->now_us, marking->later_us);
    }
}

static enum result mark_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct marking *marking = context;
    (void)why;
    for (size_t i = 0; i < marking->groups->count; i++) {
        if (marking->groups->items[i]->id == row_int(row, 0)) {
            group_mark(marking->groups->items[i], marking);
        }
    }
    return RESULT_OK;
}

enum result groups_mark_member(struct engine *engine, const struct member *member, uint64_t later_us,
                               struct reason *why)
{
    struct marking marking = {&engine->groups, member->id, clock_monotonic_us(engine->clock), later_us};
    return store_query(engine->store, why, mark_row, &marking,
                       "SELECT group_id FROM group_candidate WHERE member_id = ?", "i", member->id);
}

enum result groups_mark_leaves(struct engine *engine, int64_t member_id, struct reason *why)
{
    struct marking marking = {.groups = &engine->groups, .member_id = member_id};
    return store_query(engine->store, why, mark_row, &marking,
                       "SELECT group_id FROM leaf WHERE member_id = ?", "i", member_id);
}

static enum result name_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    (void)snprintf(context, NAME_LIMIT + 1, "%s", row_text(row, 0));
    return RESULT_OK;
}

/* ---- create ---- */

static enum result limit_check(const char *what, uint32_t value, uint32_t limit, struct reason *why)
{
    return value <= limit ? RESULT_OK
                          : result_fail(why, RESULT_INVALID, "%s of %u is above %u", what, value, limit);
}

static enum result create_aead(const char *text, uint8_t *out, struct reason *why)
{
    if (text[0] == '\0' || strcmp(text, "chacha20-poly1305") == 0) {
        *out = GROUPSEAL__ENVELOPE__AEAD__AEAD_CHACHA20_POLY1305;
        return RESULT_OK;
    }
    if (strcmp(text, "aes-256-gcm") == 0) {
        *out = GROUPSEAL__ENVELOPE__AEAD__AEAD_AES_256_GCM;
        return RESULT_OK;
    }
    return result_fail(why, RESULT_INVALID, "%.40s is neither chacha20-poly1305 nor aes-256-gcm", text);
}

/* Two CSEs of one mapped name would share their topics. */
static enum result create_site(struct engine *engine, struct group *group, const char *site,
                               struct reason *why)
{
    struct member member;
    char level[SITE_LIMIT + 1];
    char other[SITE_LIMIT + 1];
    enum result result = member_find(engine->store, site, &member, why);
    if (result == RESULT_UNKNOWN ||
        (result == RESULT_OK && (member.kind != IDENTITY_MN_CSE || member.state == MEMBER_EVICTED))) {
        return result_fail(why, RESULT_UNKNOWN, "%.128s is not an MN-CSE of the roster", site);
    }
    GUARD(result);
    GUARD(object_site_of(site, level, sizeof(level)));
    for (size_t i = 0; i < group->site_count; i++) {
        GUARD(object_site_of(group->sites[i], other, sizeof(other)));
        if (strcmp(level, other) == 0) {
            return result_fail(why, RESULT_INVALID, "site %s is named twice", level);
        }
    }
    (void)snprintf(group->sites[group->site_count++], sizeof(group->sites[0]), "%s", site);
    return RESULT_OK;
}

static enum result create_times_check(const Groupseal__Secenv__GroupCreate *request, struct reason *why)
{
    GUARD(limit_check("an overlap", request->overlap_ms, OVERLAP_LIMIT_MS, why));
    GUARD(limit_check("a response window", request->response_window_ms, WINDOW_LIMIT_MS, why));
    GUARD(limit_check("a beat interval", request->beat_interval_s, BEAT_LIMIT_S, why));
    return request->rotate_every_s == ROTATE_NEVER
               ? RESULT_OK
               : limit_check("an age of rotation", request->rotate_every_s, ROTATE_LIMIT_S, why);
}

static void create_times_fill(const Groupseal__Secenv__GroupCreate *request, struct group *group)
{
    group->overlap_ms = request->overlap_ms != 0 ? request->overlap_ms : OVERLAP_DEFAULT_MS;
    group->response_window_ms =
        request->response_window_ms != 0 ? request->response_window_ms : WINDOW_DEFAULT_MS;
    group->beat_interval_s = request->beat_interval_s != 0 ? request->beat_interval_s : BEAT_DEFAULT_S;
    group->rotate_every_s = request->rotate_every_s == ROTATE_NEVER ? 0
                            : request->rotate_every_s != 0          ? request->rotate_every_s
                                                                    : ROTATE_DEFAULT_S;
}

static enum result create_fill(struct engine *engine, const Groupseal__Secenv__GroupCreate *request,
                               struct group *group, struct reason *why)
{
    if (!object_group_valid(request->name) || !object_group_valid(request->function)) {
        return result_fail(why, RESULT_INVALID,
                           "a group's name and its function are 1 to 64 of A-Z a-z 0-9 . _ -");
    }
    if (groups_find(&engine->groups, request->name) != NULL) {
        return result_fail(why, RESULT_EXISTS, "group %s exists", request->name);
    }
    if (request->n_sites == 0 || request->n_sites > SITES_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a group has 1 to %u sites", SITES_LIMIT);
    }
    GUARD(create_times_check(request, why));
    GUARD(create_aead(request->aead, &group->aead, why));
    for (size_t i = 0; i < request->n_sites; i++) {
        GUARD(create_site(engine, group, request->sites[i], why));
    }
    (void)snprintf(group->name, sizeof(group->name), "%s", request->name);
    (void)snprintf(group->function, sizeof(group->function), "%s", request->function);
    create_times_fill(request, group);
    group->refuse_when_overdue = request->refuse_when_overdue;
    group->sign_member_messages = request->sign_member_messages;
    group->authority_only = request->authority_only;
    group->due = group->look_at_all = true;
    group->announced_us = clock_monotonic_us(engine->clock);
    return random_bytes(group->instance, sizeof(group->instance));
}

static enum result create_store(struct engine *engine, struct group *group, struct reason *why)
{
    uint64_t seconds = clock_wall_ms(engine->clock) / 1000u;
    GUARD(number_next(engine->store, "incarnation", seconds, &group->incarnation, why));
    GUARD(store_run(engine->store, why,
                    "INSERT INTO key_group (name, function, instance, incarnation, aead, overlap_ms,"
                    " response_window_ms, beat_interval_s, refuse_when_overdue, sign_member_messages,"
                    " authority_only, rotate_every_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "ttbuiiiiiiii", group->name, group->function, BYTES_OF(group->instance),
                    group->incarnation, (int64_t)group->aead, (int64_t)group->overlap_ms,
                    (int64_t)group->response_window_ms, (int64_t)group->beat_interval_s,
                    (int64_t)group->refuse_when_overdue, (int64_t)group->sign_member_messages,
                    (int64_t)group->authority_only, (int64_t)group->rotate_every_s));
    group->id = store_last_id(engine->store);
    for (size_t i = 0; i < group->site_count; i++) {
        GUARD(store_run(engine->store, why, "INSERT INTO group_site (group_id, site) VALUES (?, ?)", "it",
                        group->id, group->sites[i]));
    }
    return incarnation_release(engine, group, why);
}

_Static_assert(MEMBERSHIPS_LIMIT == 64u, "create_sites_check's SQL has the number in it");

/* An MN-CSE is in all groups of its site, a device in some of them. */
static enum result create_sites_check(struct engine *engine, const struct group *group, struct reason *why)
{
    char full[NAME_LIMIT + 1] = "";
    GUARD(store_query(engine->store, why, name_read, full,
                      "SELECT site FROM group_site s WHERE group_id = ? AND"
                      " (SELECT count(*) FROM group_site g WHERE g.site = s.site) > 64 ORDER BY site LIMIT 1",
                      "i", group->id));
    return full[0] == '\0'
               ? RESULT_OK
               : result_fail(why, RESULT_FULL, "%s would be in more than %u groups", full, MEMBERSHIPS_LIMIT);
}

static enum result create_room_check(struct engine *engine, const struct group *group, struct arena *arena,
                                     struct reason *why)
{
    uint64_t candidates = 0;
    Groupseal__Secenv__Groups *list = NULL;
    GUARD(store_number(engine->store, why, &candidates,
                       "SELECT count(*) FROM (SELECT 1 FROM group_candidate WHERE group_id = ? LIMIT ?)",
                       "ii", group->id, (int64_t)MEMBERS_LIMIT + 1));
    if (candidates > MEMBERS_LIMIT) {
        return result_fail(why, RESULT_FULL, "group %s would have more than %u members", group->name,
                           MEMBERS_LIMIT);
    }
    GUARD(create_sites_check(engine, group, why));
    return group_list(engine, arena, &list, why);
}

enum result group_create(struct engine *engine, const Groupseal__Secenv__GroupCreate *request,
                         struct arena *arena, struct reason *why)
{
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for group %.64s", request->name);
    }
    enum result result;
    GUARD_OUT(create_fill(engine, request, group, why));
    GUARD_OUT(create_store(engine, group, why));
    GUARD_OUT(group_tree_begin(group, engine->store, why));
    GUARD_OUT(groups_append(&engine->groups, group, why));
    result = create_room_check(engine, group, arena, why);
    if (result != RESULT_OK) {
        engine->groups.count--;
        goto out;
    }
    audit_count(AUDIT_GROUPS_CREATED);
    return RESULT_OK;
out:
    group_free(group);
    return result;
}

/* ---- rotate ---- */

enum result group_rotate(struct engine *engine, const Groupseal__Secenv__GroupRotate *request,
                         struct reason *why)
{
    struct group *group = groups_find(&engine->groups, request->name);
    struct secret root;
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->name);
    }
    if (!tree_root(group->tree, &root)) {
        return result_fail(why, RESULT_NOT_READY, "group %s has no key yet: nobody has a leaf in it",
                           group->name);
    }
    secret_wipe(&root);
    /* On disk, so that a group which may not be changed now is rotated when it may. */
    GUARD(store_run(engine->store, why, "UPDATE key_group SET changed_ms = 0 WHERE id = ?", "i", group->id));
    group->rotate = true;
    group->due = true;
    return RESULT_OK;
}

/* ---- set ---- */

static bool switched(Groupseal__Secenv__Switch asked, bool before)
{
    return asked == GROUPSEAL__SECENV__SWITCH__KEEP ? before : asked == GROUPSEAL__SECENV__SWITCH__ON;
}

/* The key's age goes on. */
static enum result rotation_set(struct engine *engine, struct group *group, uint32_t every_s,
                                struct reason *why)
{
    uint32_t value = every_s == ROTATE_NEVER ? 0 : every_s;
    if (every_s == 0) {
        return RESULT_OK;
    }
    GUARD(limit_check("an age of rotation", value, ROTATE_LIMIT_S, why));
    GUARD(store_run(engine->store, why, "UPDATE key_group SET rotate_every_s = ? WHERE id = ?", "ii",
                    (int64_t)value, group->id));
    group->rotate_every_s = value;
    return RESULT_OK;
}

/* What says nothing new is OK, and changes nothing. The new policy goes out with the next change, which is
 * made at once: with a new key, so that nobody takes the old policy for it. */
enum result group_set(struct engine *engine, const Groupseal__Secenv__GroupSet *request, struct reason *why)
{
    struct group *group = groups_find(&engine->groups, request->name);
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->name);
    }
    GUARD(rotation_set(engine, group, request->rotate_every_s, why));
    bool authority_only = !switched(request->mn_cse_commands, !group->authority_only);
    bool sign = switched(request->sign_member_messages, group->sign_member_messages);
    if (authority_only == group->authority_only && sign == group->sign_member_messages) {
        return RESULT_OK;
    }
    GUARD(store_run(engine->store, why,
                    "UPDATE key_group SET authority_only = ?, sign_member_messages = ?, changed_ms = 0"
                    " WHERE id = ?",
                    "iii", (int64_t)authority_only, (int64_t)sign, group->id));
    group->authority_only = authority_only;
    group->sign_member_messages = sign;
    group->rotate = true;
    group->due = true;
    return RESULT_OK;
}

/* ---- list, show, status ---- */

static enum result row_fill(struct engine *engine, const struct group *group, struct arena *arena,
                            Groupseal__Secenv__GroupRow **out, struct reason *why)
{
    uint64_t members = 0;
    GUARD(store_number(engine->store, why, &members, "SELECT count(*) FROM leaf WHERE group_id = ?", "i",
                       group->id));
    Groupseal__Secenv__GroupRow *row = arena_alloc(arena, sizeof(*row));
    char **sites = arena_alloc(arena, GROUP_SITES_LIMIT * sizeof(*sites));
    if (row == NULL || sites == NULL) {
        return result_fail(why, RESULT_FULL, "the groups do not fit one reply");
    }
    groupseal__secenv__group_row__init(row);
    row->name = arena_text(arena, group->name);
    row->function = arena_text(arena, group->function);
    row->incarnation = group->incarnation;
    row->epoch = group->epoch;
    row->members = (uint32_t)members;
    row->sites = sites;
    for (size_t i = 0; i < group->site_count; i++) {
        sites[i] = arena_text(arena, group->sites[i]);
        if (sites[i] == NULL) {
            return result_fail(why, RESULT_FULL, "the groups do not fit one reply");
        }
        row->n_sites++;
    }
    if (row->name == NULL || row->function == NULL) {
        return result_fail(why, RESULT_FULL, "the groups do not fit one reply");
    }
    *out = row;
    return RESULT_OK;
}

enum result group_list(struct engine *engine, struct arena *arena, Groupseal__Secenv__Groups **out,
                       struct reason *why)
{
    Groupseal__Secenv__Groups *list = arena_alloc(arena, sizeof(*list));
    Groupseal__Secenv__GroupRow **rows = arena_alloc(arena, (engine->groups.count + 1) * sizeof(*rows));
    if (list == NULL || rows == NULL) {
        return result_fail(why, RESULT_FULL, "the groups do not fit one reply");
    }
    groupseal__secenv__groups__init(list);
    list->groups = rows;
    for (size_t i = 0; i < engine->groups.count; i++) {
        GUARD(row_fill(engine, engine->groups.items[i], arena, &rows[i], why));
        list->n_groups++;
    }
    if (protobuf_c_message_get_packed_size(&list->base) > LIST_BYTES) {
        return result_fail(why, RESULT_FULL, "the groups do not fit one reply");
    }
    *out = list;
    return RESULT_OK;
}

/* One page, from the name behind `after` on. */
static enum result show_members(struct engine *engine, const struct group *group,
                                const Groupseal__Secenv__GroupShow *request, struct arena *arena,
                                Groupseal__Secenv__GroupDetail *detail, struct reason *why)
{
    struct leaves leaves;
    GUARD((request->behind ? leaves_load_behind : leaves_load_page)(engine->store, group, request->after,
                                                                    arena, &leaves, why));
    detail->members = arena_alloc(arena, (leaves.count + 1) * sizeof(*detail->members));
    Groupseal__Secenv__GroupMemberRow *rows = arena_alloc(arena, (leaves.count + 1) * sizeof(*rows));
    if (detail->members == NULL || rows == NULL) {
        return RESULT_INTERNAL;
    }
    detail->more = leaves.count == LEAVES_PAGE;
    for (size_t i = 0; i < leaves.count; i++) {
        struct leaf *leaf = &leaves.items[i];
        groupseal__secenv__group_member_row__init(&rows[i]);
        rows[i].name = leaf->name;
        rows[i].serial = leaf->serial;
        rows[i].leaf_index = leaf->index;
        rows[i].package_taken = leaf->package_taken;
        rows[i].leaf_ms = leaf->made_ms;
        rows[i].site = leaf->site;
        GUARD(holding_member(engine, group, leaf->member_id, &rows[i], why));
        detail->members[detail->n_members++] = &rows[i];
    }
    return RESULT_OK;
}

enum result group_show(struct engine *engine, const Groupseal__Secenv__GroupShow *request,
                       struct arena *arena, Groupseal__Secenv__GroupDetail **out, struct reason *why)
{
    const struct group *group = groups_find(&engine->groups, request->name);
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->name);
    }
    Groupseal__Secenv__GroupDetail *detail = arena_alloc(arena, sizeof(*detail));
    if (detail == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__group_detail__init(detail);
    GUARD(row_fill(engine, group, arena, &detail->group, why));
    GUARD(show_members(engine, group, request, arena, detail, why));
    GUARD(holding_sites(engine, group, arena, detail, why));
    detail->instance = authority_hex(arena, BYTES_OF(group->instance));
    detail->policy_number = group->policy_number;
    detail->aead =
        arena_text(arena, group->aead == GROUPSEAL__ENVELOPE__AEAD__AEAD_AES_256_GCM ? "aes-256-gcm"
                                                                                     : "chacha20-poly1305");
    detail->overlap_ms = group->overlap_ms;
    detail->response_window_ms = group->response_window_ms;
    detail->beat_interval_s = group->beat_interval_s;
    detail->refuse_when_overdue = group->refuse_when_overdue;
    detail->sign_member_messages = group->sign_member_messages;
    detail->authority_only = group->authority_only;
    detail->rotate_every_s = group->rotate_every_s;
    detail->held = group->held;
    detail->time_ms = clock_wall_ms(engine->clock);
    GUARD(store_number(engine->store, why, &detail->changed_ms,
                       "SELECT changed_ms FROM key_group WHERE id = ?", "i", group->id));
    *out = detail;
    return detail->instance != NULL && detail->aead != NULL ? RESULT_OK : RESULT_INTERNAL;
}

enum result group_statuses(struct engine *engine, struct arena *arena, Groupseal__Secenv__GroupStatus ***out,
                           size_t *count, struct reason *why)
{
    Groupseal__Secenv__Groups *list = NULL;
    GUARD(group_list(engine, arena, &list, why));
    size_t room = engine->groups.count + 1;
    Groupseal__Secenv__GroupStatus **statuses = arena_alloc(arena, room * sizeof(*statuses));
    Groupseal__Secenv__GroupStatus *rows = arena_alloc(arena, room * sizeof(*rows));
    if (list == NULL || statuses == NULL || rows == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < list->n_groups; i++) {
        groupseal__secenv__group_status__init(&rows[i]);
        rows[i].group = list->groups[i]->name;
        rows[i].held = engine->groups.items[i]->held;
        rows[i].instance = authority_hex(arena, BYTES_OF(engine->groups.items[i]->instance));
        rows[i].incarnation = list->groups[i]->incarnation;
        rows[i].epoch = list->groups[i]->epoch;
        rows[i].members = list->groups[i]->members;
        rows[i].sites = list->groups[i]->sites;
        rows[i].n_sites = list->groups[i]->n_sites;
        statuses[i] = &rows[i];
        if (rows[i].instance == NULL) {
            return RESULT_INTERNAL;
        }
    }
    *out = statuses;
    *count = list->n_groups;
    return RESULT_OK;
}
