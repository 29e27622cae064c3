/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/incarnation.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/deletion.h"

#include <stdio.h>

const char incarnation_schema[] = "CREATE TABLE IF NOT EXISTS unconfirmed (member_id INTEGER PRIMARY KEY);"
                                  "CREATE TABLE IF NOT EXISTS released ("
                                  "  group_id INTEGER PRIMARY KEY,"
                                  "  start BLOB NOT NULL" /* in which start of this authority */
                                  ");";

/* What was not announced before this start is not held in it, also when it is loaded anew. */
static enum result unannounced_release(struct engine *engine, struct reason *why)
{
    return store_run(engine->store, why,
                     "INSERT OR REPLACE INTO released (group_id, start) SELECT id, ? FROM key_group"
                     " WHERE announcement IS NULL",
                     "b", BYTES_OF(engine->start));
}

enum result incarnation_load(struct engine *engine, struct reason *why)
{
    GUARD(unannounced_release(engine, why));
    return number_last(engine->store, "incarnation taken", &engine->incarnation, why);
}

/* ---- held groups ---- */

enum result incarnation_ask(struct engine *engine, const char *mn_cse, struct reason *why)
{
    Groupseal__Envelope__NewestAsk ask = GROUPSEAL__ENVELOPE__NEWEST_ASK__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    struct reason full = {""};
    ask.nonce = arena_field(BYTES_OF(engine->start));
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_NEWEST_ASK;
    body.newest_ask = &ask;
    enum result result = outbox_put(engine->outbox, engine->identity.name, mn_cse, "newest", &body, &full);
    if (result == RESULT_FULL) { /* its next NEWEST is answered with another try */
        return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
                                "%s cannot be asked what it holds: %s", mn_cse, full.text);
    }
    return result == RESULT_OK ? RESULT_OK : result_fail(why, result, "%s", full.text);
}

static enum result ask_row(void *context, const struct store_row *row, struct reason *why)
{
    struct engine *engine = context;
    char name[NAME_LIMIT + 1];
    (void)snprintf(name, sizeof(name), "%s", row_text(row, 0));
    return incarnation_ask(engine, name, why);
}

enum result incarnation_ask_all(struct engine *engine, struct reason *why)
{
    return store_query(engine->store, why, ask_row, engine,
                       "SELECT DISTINCT m.name FROM key_group JOIN leaf k ON k.group_id = key_group.id"
                       " JOIN member m ON m.id = k.member_id WHERE m.kind = 2 AND m.state <> 3"
                       " AND " INCARNATION_HELD,
                       "b", BYTES_OF(engine->start));
}

/* In the store: what is loaded anew after a failure knows it too. */
enum result incarnation_release(struct engine *engine, struct group *group, struct reason *why)
{
    GUARD(store_run(engine->store, why, "INSERT OR REPLACE INTO released (group_id, start) VALUES (?, ?)",
                    "ib", group->id, BYTES_OF(engine->start)));
    group->held = false;
    return RESULT_OK;
}

static enum result held_read(void *context, const struct store_row *row, struct reason *why)
{
    struct group *group = context;
    (void)why;
    group->held = row_int(row, 0) != 0;
    return RESULT_OK;
}

enum result incarnation_hold_review(struct engine *engine, struct group *group, struct reason *why)
{
    if (!group->held) {
        return RESULT_OK;
    }
    return store_query(engine->store, why, held_read, group,
                       "SELECT " INCARNATION_HELD " FROM key_group WHERE id = ?", "bi",
                       BYTES_OF(engine->start), group->id);
}

enum result incarnation_release_asked(struct engine *engine, const Groupseal__Secenv__GroupRelease *request,
                                      struct reason *why)
{
    struct group *group = groups_find(&engine->groups, request->name);
    if (group == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "there is no group %.64s", request->name);
    }
    if (!group->held) {
        return result_fail(why, RESULT_EXISTS, "group %s is not held", group->name);
    }
    GUARD(incarnation_release(engine, group, why));
    return authority_notice(
        engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
        "group %s is changed again by the operator's word, though none of its MN-CSEs has "
        "said what it holds",
        group->name);
}

/* ---- a new incarnation ---- */

enum result incarnation_seen(struct engine *engine, const struct member *member,
                             const Groupseal__Envelope__Announcement *announcement, struct reason *why)
{
    (void)why;
    if (engine->newer != 0) {
        engine->newer = announcement->incarnation > engine->newer ? announcement->incarnation : engine->newer;
        return RESULT_OK;
    }
    engine->newer = announcement->incarnation;
    return authority_notice(
        engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
        "%s holds epoch %llu of group %.64s (incarnation %llu), which this store does not "
        "know: it was restored from a backup",
        member->name, (unsigned long long)announcement->epoch, announcement->group,
        (unsigned long long)announcement->incarnation);
}

struct ending {
    struct engine *engine;
    struct reason *why;
    enum result result;
};

static void association_end(struct ending *ending, struct association *association)
{
    if (association != NULL && ending->result == RESULT_OK) {
        ending->result = association_remove(association, ending->engine->store, ending->why);
    }
}

static void peer_end(void *context, struct peer *peer)
{
    struct ending *ending = context;
    if (ending->result == RESULT_OK) {
        ending->result = farewell_say_anew(ending->engine, peer->name, ending->engine->scratch, ending->why);
        arena_reset(ending->engine->scratch);
    }
    association_end(ending, peer->current);
    association_end(ending, peer->pending);
}

static enum result associations_end(struct engine *engine, struct reason *why)
{
    struct ending ending = {engine, why, RESULT_OK};
    peers_each(&engine->peers, peer_end, &ending);
    GUARD(ending.result);
    peers_clear(&engine->peers);
    admission_clear(&engine->admission);
    return RESULT_OK;
}

static enum result outbox_row(void *context, const struct store_row *row, struct reason *why)
{
    struct engine *engine = context;
    char name[NAME_LIMIT + 1];
    (void)snprintf(name, sizeof(name), "%s", row_text(row, 0));
    return outbox_drop_peer(engine->outbox, engine->identity.name, name, why);
}

/* Of the members: nobody is in, everybody waits for the operator's word. */
static enum result members_end(struct engine *engine, struct reason *why)
{
    GUARD(store_run(engine->store, why,
                    "INSERT OR IGNORE INTO unconfirmed (member_id) SELECT id FROM member WHERE state <> 3",
                    ""));
    GUARD(store_run(engine->store, why, "UPDATE member SET state = 1 WHERE state = 2", ""));
    GUARD(store_run(engine->store, why,
                    "UPDATE member SET association = NULL, signing_key = NULL, pending_key = NULL", ""));
    return store_query(engine->store, why, outbox_row, engine, "SELECT name FROM member WHERE state <> 3",
                       "");
}

/* Of the groups. */
static enum result rows_end(struct engine *engine, struct reason *why)
{
    static const char *const statements[] = {
        "DELETE FROM leaf",         "DELETE FROM tree_page",   "DELETE FROM tree_block",
        "DELETE FROM change_feed",  "DELETE FROM change_part", "DELETE FROM evicted_sender",
        "DELETE FROM roster_entry", "DELETE FROM roster_feed", "DELETE FROM roster_waiting",
        "DELETE FROM arrears",      "DELETE FROM behind",      "DELETE FROM site_holding",
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        GUARD(store_run(engine->store, why, statements[i], ""));
    }
    return RESULT_OK;
}

static enum result number_take(struct engine *engine, uint64_t least, struct reason *why)
{
    uint64_t number = 0;
    GUARD(number_next(engine->store, "incarnation", least, &number, why));
    GUARD(store_run(engine->store, why,
                    "INSERT OR REPLACE INTO authority_number (name, value) VALUES ('incarnation taken', ?)",
                    "u", number));
    GUARD(store_run(engine->store, why,
                    "UPDATE key_group SET incarnation = ?, height = 1, policy = NULL, announcement = NULL,"
                    " roster_number = 0, roster_hash = NULL",
                    "u", number));
    engine->incarnation = number;
    return unannounced_release(engine, why);
}

/* Every group in a new incarnation, above `seen`. */
static enum result groups_begin_anew(struct engine *engine, uint64_t seen, struct reason *why)
{
    uint64_t seconds = clock_wall_ms(engine->clock) / 1000u;
    for (size_t i = 0; i < engine->groups.count; i++) {
        GUARD(orders_end(engine, engine->groups.items[i]->id, "the authority has begun anew", why));
    }
    GUARD(rows_end(engine, why));
    GUARD(number_take(engine, seen + 1 > seconds ? seen + 1 : seconds, why));
    groups_clear(&engine->groups);
    return groups_load(engine, why);
}

enum result incarnation_renew_groups(struct engine *engine, struct reason *why)
{
    for (size_t i = 0; i < engine->groups.count; i++) {
        GUARD(group_undeliver(engine, engine->groups.items[i], why));
    }
    return groups_begin_anew(engine, engine->incarnation, why);
}

enum result incarnation_turn(struct engine *engine, struct reason *why)
{
    if (engine->newer == 0) {
        return RESULT_OK;
    }
    GUARD(associations_end(engine, why));
    GUARD(members_end(engine, why));
    GUARD(groups_begin_anew(engine, engine->newer, why));
    engine->newer = 0;
    return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
                            "incarnation %llu is taken: every member waits for the operator's word "
                            "(in-cse member list, in-cse member confirm)",
                            (unsigned long long)engine->incarnation);
}

/* ---- the operator's word ---- */

static enum result confirm_one(struct engine *engine, const char *name, struct reason *why)
{
    struct member member;
    GUARD(member_find(engine->store, name, &member, why));
    if (member.state == MEMBER_EVICTED) {
        return result_fail(why, RESULT_REFUSED, "%s was evicted: it can only be added again", member.name);
    }
    if (!member.unconfirmed) {
        return result_fail(why, RESULT_EXISTS, "%s does not wait for a confirmation", member.name);
    }
    return store_run(engine->store, why, "DELETE FROM unconfirmed WHERE member_id = ?", "i", member.id);
}

/* They were refused while they waited for the operator, and their back-off is up to five minutes. There is no
 * association in which they could be told. */
static enum result members_hurry(struct engine *engine)
{
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    Groupseal__Secenv__Resubscribe resubscribe = GROUPSEAL__SECENV__RESUBSCRIBE__INIT;
    event.identity = engine->identity.name;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE;
    event.resubscribe = &resubscribe;
    return engine->events.emit(engine->events.context, 0, &event);
}

enum result incarnation_confirm(struct engine *engine, const Groupseal__Secenv__MemberConfirm *request,
                                struct reason *why)
{
    if (request->all == (request->n_names != 0) || request->n_names > CONFIRM_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a request confirms all, or 1 to %u names", CONFIRM_LIMIT);
    }
    for (size_t i = 0; i < request->n_names; i++) {
        GUARD(confirm_one(engine, request->names[i], why));
    }
    if (request->all) {
        GUARD(store_run(engine->store, why, "DELETE FROM unconfirmed", ""));
    }
    return members_hurry(engine);
}
