/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/move.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"

#include <stdio.h>
#include <string.h>

/* ---- what may move ---- */

/* TS-0001 7.2: a C-type AE-ID-Stem is below its registrar's id. */
static bool is_named_after_site(const char *name)
{
    const char *level = strchr(name + 2, '/');
    return level != NULL && strchr(level + 1, '/') != NULL;
}

static enum result mover_find(struct engine *engine, const char *name, struct member *out, struct reason *why)
{
    GUARD(member_find(engine->store, name, out, why));
    if (out->state == MEMBER_EVICTED) {
        return result_fail(why, RESULT_UNKNOWN, "%s was evicted from the roster", out->name);
    }
    if (out->kind != IDENTITY_ADN_AE) {
        return result_fail(why, RESULT_INVALID, "%s is an MN-CSE: it is a site itself", out->name);
    }
    return is_named_after_site(out->name)
               ? result_fail(why, RESULT_INVALID,
                             "%s is named after its site: evict it, and add it there under another name",
                             out->name)
               : RESULT_OK;
}

static enum result site_check(struct engine *engine, const char *name, struct reason *why)
{
    struct member site;
    enum result result = member_find(engine->store, name, &site, why);
    if (result == RESULT_UNKNOWN ||
        (result == RESULT_OK && (site.kind != IDENTITY_MN_CSE || site.state == MEMBER_EVICTED))) {
        return result_fail(why, RESULT_UNKNOWN, "%.128s is not an MN-CSE of the roster", name);
    }
    return result;
}

/* ---- groups that it leaves ---- */

struct leaving {
    struct engine *engine;
    const struct member *member;
};

static const struct group *group_of_id(const struct groups *groups, int64_t id)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (groups->items[i]->id == id) {
            return groups->items[i];
        }
    }
    return NULL;
}

/* Until it is taken, and instead of a key package that may still be waiting. One that joins again has a
 * package of a later epoch, beside which this says nothing. */
static enum result left_put(const struct leaving *leaving, const struct group *group, struct reason *why)
{
    struct left_word word;
    struct engine *engine = leaving->engine;
    char instance[2 * INSTANCE_SIZE + 1];
    char slot[48 + GROUP_NAME_LIMIT];
    left_fill(&word, group, false);
    (void)snprintf(slot, sizeof(slot), "package %s", group->name);
    GUARD(outbox_drop_slot(engine->outbox, engine->identity.name, leaving->member->name, slot, why));
    hex_write(BYTES_OF(group->instance), instance);
    (void)snprintf(slot, sizeof(slot), "left %s %s", group->name, instance);
    return outbox_put(engine->outbox, engine->identity.name, leaving->member->name, slot, &word.body, why);
}

static enum result leaving_row(void *context, const struct store_row *row, struct reason *why)
{
    const struct leaving *leaving = context;
    const struct group *group = group_of_id(&leaving->engine->groups, row_int(row, 0));
    return group == NULL ? RESULT_OK : left_put(leaving, group, why);
}

static enum result groups_leave(struct engine *engine, const struct member *member, struct reason *why)
{
    struct leaving leaving = {engine, member};
    return store_query(engine->store, why, leaving_row, &leaving,
                       "SELECT group_id FROM leaf l WHERE member_id = ? AND NOT EXISTS (SELECT 1 FROM"
                       " group_candidate c WHERE c.group_id = l.group_id AND c.member_id = l.member_id)",
                       "i", member->id);
}

/* ---- the move ---- */

/* A leaf that was made for no association is made anew with the next change, in its place. */
static enum result leaves_renew(struct engine *engine, const struct member *member, struct reason *why)
{
    static const uint8_t none[ASSOCIATION_ID_SIZE];
    return store_run(engine->store, why, "UPDATE leaf SET association = ? WHERE member_id = ?", "bi",
                     BYTES_OF(none), member->id);
}

enum result member_move(struct engine *engine, const Groupseal__Secenv__MemberMove *request,
                        struct arena *arena, struct reason *why)
{
    struct member member;
    GUARD(mover_find(engine, request->name, &member, why));
    GUARD(site_check(engine, request->site, why));
    if (strcmp(member.site, request->site) == 0) {
        return RESULT_OK;
    }
    GUARD(groups_mark_leaves(engine, member.id, why));
    GUARD(store_run(engine->store, why, "UPDATE member SET site = ? WHERE id = ?", "ti", request->site,
                    member.id));
    GUARD(leaves_renew(engine, &member, why));
    GUARD(groups_mark_member(engine, &member, 0, why));
    GUARD(groups_leave(engine, &member, why));
    GUARD(orders_follow(engine, &member, request->site, arena, why));
    log_of_peer(engine, member.name, "%s has moved from %s to %s", member.name, member.site, request->site);
    return RESULT_OK;
}
