/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/membership_end.h"

#include "secenv/authority/authority.h"
#include "secenv/authority/difference.h"
#include "secenv/authority/evictions.h"

#include <stdlib.h>
#include <string.h>

#define EVICT_LIMIT CHANGE_LIMIT
#define REASON_LIMIT 200u
#define FAREWELLS_AT_ONCE 4096u /* who is told no more finds out by itself (protocol, "Silence") */

_Static_assert(MEMBER_TOKEN_SIZE == EVICTION_TOKEN_SIZE, "a row's token names it in the evictions file");

/* ---- evict ---- */

static enum result associations_remove(struct engine *engine, const char *name, struct reason *why)
{
    struct peer *peer = peers_find(&engine->peers, name);
    if (peer != NULL && peer->current != NULL) {
        GUARD(association_remove(peer->current, engine->store, why));
    }
    if (peer != NULL && peer->pending != NULL) {
        GUARD(association_remove(peer->pending, engine->store, why));
    }
    return RESULT_OK;
}

/* The row and everything that hangs on it in the store; the leaves go with the groups' next change. */
static enum result eviction_store(struct engine *engine, const struct member *member, uint64_t wall_ms,
                                  const char *reason, struct reason *why)
{
    GUARD(store_run(engine->store, why,
                    "UPDATE member SET state = 3, evicted_ms = ?, reason = ?, psk = NULL, pending_key = NULL,"
                    " association = NULL WHERE id = ?",
                    "uti", wall_ms, reason, member->id));
    GUARD(associations_remove(engine, member->name, why));
    return outbox_drop_peer(engine->outbox, engine->identity.name, member->name, why);
}

static enum result eviction_finish(struct engine *engine, const struct member *member, struct reason *why)
{
    GUARD(groups_mark_leaves(engine, member->id, why));
    admission_drop(&engine->admission, member->name);
    peers_remove(&engine->peers, member->name);
    return RESULT_OK;
}

static enum result evict_check(struct engine *engine, const Groupseal__Secenv__MemberEvict *request,
                               struct member *members, struct reason *why)
{
    for (size_t i = 0; i < request->n_names; i++) {
        GUARD(member_find_live(engine->store, request->names[i], &members[i], why));
        for (size_t k = 0; k < i; k++) {
            if (members[k].id == members[i].id) {
                return result_fail(why, RESULT_INVALID, "%s is named twice", members[i].name);
            }
        }
    }
    return RESULT_OK;
}

static enum result evict_all(struct engine *engine, const struct member *members, size_t count,
                             const char *reason, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(engine->clock);
    for (size_t i = 0; i < count; i++) {
        if ((i + 1) * engine->groups.count <= FAREWELLS_AT_ONCE) {
            enum result said = farewell_say(engine, members[i].name, engine->scratch, why);
            arena_reset(engine->scratch);
            GUARD(said);
        }
        GUARD(eviction_store(engine, &members[i], wall_ms, reason, why));
    }
    GUARD(evictions_append(engine->evictions, members, count, wall_ms, why));
    for (size_t i = 0; i < count; i++) {
        GUARD(eviction_finish(engine, &members[i], why));
    }
    return RESULT_OK;
}

enum result member_evict(struct engine *engine, const Groupseal__Secenv__MemberEvict *request,
                         struct reason *why)
{
    if (strlen(request->reason) > REASON_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a reason has at most %u bytes", REASON_LIMIT);
    }
    if (request->n_names == 0 || request->n_names > EVICT_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a request evicts 1 to %u members", EVICT_LIMIT);
    }
    struct member *members = calloc(request->n_names, sizeof(*members));
    if (members == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for those who are to be evicted");
    }
    enum result result = evict_check(engine, request, members, why);
    if (result == RESULT_OK) {
        result = evict_all(engine, members, request->n_names, request->reason, why);
    }
    free(members);
    return result;
}

enum result member_revoke(struct engine *engine, const char *name, struct reason *why)
{
    struct member member;
    GUARD(member_find_live(engine->store, name, &member, why));
    GUARD(store_run(
        engine->store, why,
        "UPDATE member SET state = 4, serial = 0, pending_key = NULL, association = NULL WHERE id = ?", "i",
        member.id));
    GUARD(associations_remove(engine, member.name, why));
    return eviction_finish(engine, &member, why);
}

static enum result eviction_apply(void *context, const uint8_t token[EVICTION_TOKEN_SIZE], struct reason *why)
{
    struct engine *engine = context;
    struct member member;
    GUARD(member_find_token(engine->store, (struct bytes){token, EVICTION_TOKEN_SIZE}, &member, why));
    if (member.id == 0) {
        return RESULT_OK;
    }
    GUARD(eviction_store(engine, &member, clock_wall_ms(engine->clock), "evictions file", why));
    GUARD(eviction_finish(engine, &member, why));
    return authority_notice(
        engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
        "%s was evicted, and this store did not know: it is older than its evictions file", member.name);
}

enum result member_evictions_apply(struct engine *engine, struct reason *why)
{
    return evictions_read(engine->evictions, eviction_apply, engine, why);
}
