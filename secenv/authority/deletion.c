/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/deletion.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/group_tree.h"
#include "secenv/authority/hex.h"

#include <stdio.h>

struct farewell {
    struct engine *engine;
    const struct group *group;
    Groupseal__Envelope__RecordBody *body;
    size_t told;
};

/* What was to be delivered of the group. */
static enum result slots_drop(const struct farewell *farewell, const char *member, uint64_t pages,
                              uint64_t parts, struct reason *why)
{
    struct engine *engine = farewell->engine;
    const char *own = engine->identity.name;
    char slot[48 + GROUP_NAME_LIMIT];
    (void)snprintf(slot, sizeof(slot), "package %s", farewell->group->name);
    GUARD(outbox_drop_slot(engine->outbox, own, member, slot, why));
    (void)snprintf(slot, sizeof(slot), "change %s", farewell->group->name);
    GUARD(outbox_drop_slot(engine->outbox, own, member, slot, why));
    for (uint64_t part = 0; part < parts; part++) {
        (void)snprintf(slot, sizeof(slot), "blocks %s %llu", farewell->group->name, (unsigned long long)part);
        GUARD(outbox_drop_slot(engine->outbox, own, member, slot, why));
    }
    for (uint64_t page = 0; page < pages; page++) {
        (void)snprintf(slot, sizeof(slot), "roster %s %llu", farewell->group->name, (unsigned long long)page);
        GUARD(outbox_drop_slot(engine->outbox, own, member, slot, why));
    }
    (void)snprintf(slot, sizeof(slot), "delta %s ", farewell->group->name);
    return outbox_trim(engine->outbox, own, member, slot, 0, why);
}

/* One whose outbox is full is far away: its keys open nothing that will be sealed, told or not. */
static enum result member_tell(struct farewell *farewell, const char *member, struct reason *why)
{
    struct engine *engine = farewell->engine;
    char instance[2 * INSTANCE_SIZE + 1];
    char slot[48 + GROUP_NAME_LIMIT];
    struct reason full = {""};
    hex_write(BYTES_OF(farewell->group->instance), instance);
    (void)snprintf(slot, sizeof(slot), "left %s %s", farewell->group->name, instance);
    enum result result =
        outbox_put(engine->outbox, engine->identity.name, member, slot, farewell->body, &full);
    if (result == RESULT_FULL) {
        return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
                                "%s cannot be told that group %s is deleted: %s", member,
                                farewell->group->name, full.text);
    }
    if (result != RESULT_OK) {
        return result_fail(why, result, "%s", full.text);
    }
    farewell->told++;
    return RESULT_OK;
}

static enum result member_row(void *context, const struct store_row *row, struct reason *why)
{
    struct farewell *farewell = context;
    char member[NAME_LIMIT + 1];
    (void)snprintf(member, sizeof(member), "%s", row_text(row, 0));
    GUARD(slots_drop(farewell, member, row_u64(row, 1), row_u64(row, 2), why));
    return member_tell(farewell, member, why);
}

#define GROUP_DELIVERIES                                                                                     \
    "SELECT m.name, coalesce(f.pages, 0), coalesce(c.parts, 0) FROM leaf l"                                  \
    " JOIN member m ON m.id = l.member_id"                                                                   \
    " LEFT JOIN roster_feed f ON f.group_id = l.group_id AND f.member_id = l.member_id"                      \
    " LEFT JOIN change_feed c ON c.group_id = l.group_id AND c.member_id = l.member_id"                      \
    " WHERE l.group_id = ? AND m.state <> 3"

static enum result member_undeliver(void *context, const struct store_row *row, struct reason *why)
{
    char member[NAME_LIMIT + 1];
    (void)snprintf(member, sizeof(member), "%s", row_text(row, 0));
    return slots_drop(context, member, row_u64(row, 1), row_u64(row, 2), why);
}

/* MN-CSEs that have no leaf any more, but were fed: their certificates are revoked. */
#define FORMER_DELIVERIES                                                                                    \
    "SELECT m.name, coalesce(f.pages, 0), c.parts FROM change_feed c JOIN member m ON m.id = c.member_id"    \
    " LEFT JOIN roster_feed f ON f.group_id = c.group_id AND f.member_id = c.member_id"                      \
    " WHERE c.group_id = ? AND NOT EXISTS"                                                                   \
    " (SELECT 1 FROM leaf l WHERE l.group_id = c.group_id AND l.member_id = c.member_id)"

static enum result former_undeliver(struct engine *engine, const struct group *group, struct reason *why)
{
    struct farewell nobody_told = {engine, group, NULL, 0};
    return store_query(engine->store, why, member_undeliver, &nobody_told, FORMER_DELIVERIES, "i", group->id);
}

enum result group_undeliver(struct engine *engine, struct group *group, struct reason *why)
{
    struct farewell nobody_told = {engine, group, NULL, 0};
    GUARD(former_undeliver(engine, group, why));
    return store_query(engine->store, why, member_undeliver, &nobody_told, GROUP_DELIVERIES, "i", group->id);
}

static enum result members_tell(struct engine *engine, struct group *group, size_t *told, struct reason *why)
{
    struct left_word word;
    struct farewell farewell = {engine, group, &word.body, 0};
    left_fill(&word, group, true);
    GUARD(store_query(engine->store, why, member_row, &farewell, GROUP_DELIVERIES, "i", group->id));
    *told = farewell.told;
    return RESULT_OK;
}

static enum result rows_delete(struct engine *engine, int64_t id, struct reason *why)
{
    static const char *const statements[] = {
        "DELETE FROM leaf WHERE group_id = ?",         "DELETE FROM evicted_sender WHERE group_id = ?",
        "DELETE FROM roster_entry WHERE group_id = ?", "DELETE FROM tree_block WHERE group_id = ?",
        "DELETE FROM change_feed WHERE group_id = ?",  "DELETE FROM change_part WHERE group_id = ?",
        "DELETE FROM roster_feed WHERE group_id = ?",  "DELETE FROM roster_waiting WHERE group_id = ?",
        "DELETE FROM arrears WHERE group_id = ?",      "DELETE FROM released WHERE group_id = ?",
        "DELETE FROM group_site WHERE group_id = ?",   "DELETE FROM key_group WHERE id = ?",
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        GUARD(store_run(engine->store, why, statements[i], "i", id));
    }
    return group_tree_delete(engine->store, id, why);
}

enum result group_delete(struct engine *engine, const Groupseal__Secenv__GroupDelete *request,
                         struct reason *why)
{
    struct group *group = groups_find(&engine->groups, request->name);
    size_t told = 0;
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->name);
    }
    GUARD(orders_end(engine, group->id, "the group was deleted", why));
    GUARD(former_undeliver(engine, group, why));
    GUARD(members_tell(engine, group, &told, why));
    GUARD(rows_delete(engine, group->id, why));
    GUARD(authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__INFO,
                           "group %s is deleted: %zu members are told", group->name, told));
    groups_remove(&engine->groups, group);
    return RESULT_OK;
}
