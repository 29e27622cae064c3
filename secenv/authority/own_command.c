/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/own_command.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/hex.h"

#include <string.h>

#define VALID_LIMIT_MS 86400000u
#define TIME_LIMIT_MS (UINT64_C(1) << 53)

/* The MN-CSE's group, in which it has a leaf. */
static enum result group_check(struct engine *engine, const struct member *mn_cse,
                               const Groupseal__Envelope__Report *report, const struct group **out,
                               struct reason *why)
{
    struct leaf leaf;
    bool found = false;
    *out = groups_find_instance(&engine->groups, arena_view(report->instance));
    if (*out == NULL) {
        return result_fail(why, RESULT_UNKNOWN,
                           "%s reports a command of its own in a group that is not there", mn_cse->name);
    }
    GUARD(leaf_load(engine->store, *out, mn_cse->id, &leaf, &found, why));
    return found
               ? RESULT_OK
               : result_fail(why, RESULT_REFUSED, "%s reports a command of its own in group %s, not its own",
                             mn_cse->name, (*out)->name);
}

static enum result time_check(const struct member *mn_cse, const Groupseal__Envelope__OwnCommand *own,
                              struct reason *why)
{
    return own->expires_ms > own->issued_ms && own->expires_ms - own->issued_ms <= VALID_LIMIT_MS &&
                   own->expires_ms < TIME_LIMIT_MS
               ? RESULT_OK
               : result_fail(why, RESULT_INVALID,
                             "%s reports a command that is valid for no time, or over a day", mn_cse->name);
}

static enum result room_make(struct engine *engine, const struct member *mn_cse, struct reason *why)
{
    return store_run(
        engine->store, why,
        "DELETE FROM command WHERE id IN (SELECT c.id FROM command c JOIN command_own o"
        " ON o.command_id = c.id WHERE o.commander = ? ORDER BY c.issued_ms DESC LIMIT -1 OFFSET ?)",
        "ti", mn_cse->name, (int64_t)OWN_COMMANDS_LIMIT - 1);
}

static enum result command_add(struct engine *engine, const struct member *mn_cse, const struct group *group,
                               const Groupseal__Envelope__Report *report, struct reason *why)
{
    struct bytes id = arena_view(report->command_id);
    GUARD(room_make(engine, mn_cse, why));
    GUARD(store_run(
        engine->store, why,
        "INSERT INTO command (id, group_id, group_name, issued_ms, expires_ms) VALUES (?, ?, ?, ?, ?)",
        "bituu", id, group->id, group->name, report->own->issued_ms, report->own->expires_ms));
    GUARD(store_run(engine->store, why, "INSERT INTO command_own (command_id, commander) VALUES (?, ?)", "bt",
                    id, mn_cse->name));
    return store_run(engine->store, why, "INSERT INTO command_site (command_id, site) VALUES (?, ?)", "bt",
                     id, mn_cse->name);
}

enum result own_command_note(struct engine *engine, const struct member *mn_cse,
                             const Groupseal__Envelope__Report *report, struct reason *why)
{
    const struct group *group = NULL;
    char hex[2 * COMMAND_ID_SIZE + 1];
    bool known = false;
    GUARD(store_find(engine->store, why, &known, "SELECT 1 FROM command WHERE id = ?", "b",
                     arena_view(report->command_id)));
    if (known) {
        return RESULT_OK; /* whose it is, its sites say */
    }
    GUARD(group_check(engine, mn_cse, report, &group, why));
    GUARD(time_check(mn_cse, report->own, why));
    GUARD(command_add(engine, mn_cse, group, report, why));
    hex_write(arena_view(report->command_id), hex);
    return notice_of_peer(engine, mn_cse->name, GROUPSEAL__SECENV__SEVERITY__INFO,
                          "%s has given group %s a command by itself: `in-cse report %s`", mn_cse->name,
                          group->name, hex);
}
