/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/dispatch_seal.h"

#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/dispatch_store.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"

#define SEAL_GAP_US 200000u /* between two sealings of one command */

typedef Groupseal__Envelope__OrderRequest OrderRequest;

static uint64_t now_us(const struct relay *relay)
{
    return engine_now_us(relay->membership->identity->engine);
}

/* ---- for whom ---- */

/* The serials of those who have not answered for good. */
struct wanted {
    uint8_t serials[WANTED_LIMIT * SERIAL_SIZE];
    size_t count; /* of all, more than there is room for too */
};

/* Who joined after the order came has no place in the list before it answers. */
static bool member_lacks(const struct relay *relay, const struct dispatch *dispatch,
                         const struct roster_member *member)
{
    if (!relay_has_device(relay, member)) {
        return false;
    }
    const struct dispatch_target *target = dispatch_target_find(&dispatch->targets, member->name);
    return target == NULL ? dispatch->everyone : !outcome_is_final(target->outcome);
}

static void wanted_list(const struct relay *relay, const struct dispatch *dispatch, struct wanted *out)
{
    const struct roster *roster = &relay->roster;
    out->count = 0;
    for (size_t i = 0; i < roster->count; i++) {
        if (!member_lacks(relay, dispatch, roster->members[i])) {
            continue;
        }
        uint64_t serial = roster->members[i]->serial;
        for (size_t byte = 0; byte < SERIAL_SIZE && out->count < WANTED_LIMIT; byte++) {
            out->serials[out->count * SERIAL_SIZE + byte] = (uint8_t)(serial >> (56 - 8 * byte));
        }
        out->count++;
    }
}

/* ---- sealing ---- */

static enum result command_sign(const struct seal_context *context, const struct dispatch *dispatch,
                                const Groupseal__Envelope__Command *command,
                                const struct signing_key *signing, uint8_t signature[SIGNATURE_SIZE])
{
    uint8_t hash[HASH_SIZE];
    GUARD(command_hash(command, context->instance, context->incarnation, hash));
    return (dispatch->own ? seal_order_sign : seal_sign)(context, dispatch->seal_expires_ms, hash, signing,
                                                         signature);
}

/* The commander's name is left out where the policy has only one: it is not part of what is signed. */
static enum result command_seal(struct relay *relay, const struct dispatch *dispatch, OrderRequest *request,
                                struct bytes wanted, struct buffer *payload, struct reason *why)
{
    struct membership *membership = relay->membership;
    struct seal_context context;
    uint8_t signature[SIGNATURE_SIZE];
    Groupseal__Envelope__Command command = GROUPSEAL__ENVELOPE__COMMAND__INIT;
    GUARD(group_seal_begin(membership, relay->site, GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND, &context, why));
    if (dispatch->own && !dispatch_may_command(relay)) {
        return result_fail(why, RESULT_REFUSED, "%s may no longer command in %s",
                           membership->identity->identity.name, membership->group);
    }
    if (membership_policy(membership)->n_commanders == 1) {
        request->order->commander = (char *)"";
    }
    command.order = request->order;
    command.body = request->body;
    command.seal_expires_ms = dispatch->seal_expires_ms;
    command.wanted = arena_field(wanted);
    GUARD(command_sign(&context, dispatch, &command, &membership->identity->signing, signature));
    command.seal_signature = arena_field(BYTES_OF(signature));
    return group_seal_message(membership, &context, &command.base, payload);
}

static void seal_ask(struct relay *relay, struct dispatch *dispatch, uint64_t due_us)
{
    uint64_t earliest = dispatch->sealed_us == 0 ? 0 : dispatch->sealed_us + SEAL_GAP_US;
    due_us = due_us > earliest ? due_us : earliest;
    dispatch->seal_due_us = due_us < dispatch->seal_due_us ? due_us : dispatch->seal_due_us;
    dispatch_due_by(relay, dispatch->seal_due_us);
}

/* What is sealed before a sync reply does not count for who waits for that: it is below the floor. */
static void sealed_note(struct relay *relay, struct dispatch *dispatch)
{
    dispatch->sealed_us = now_us(relay);
    dispatch->seal_due_us = NEVER;
    dispatch->after_reply = dispatch->after_reply && relay->syncs.count > 0;
    if (dispatch->after_reply) {
        seal_ask(relay, dispatch, relay->syncs.due_us);
    }
}

/* `early`: while the command is on its way to the disk. */
static enum result dispatch_seal_for(struct relay *relay, struct dispatch *dispatch, struct bytes wanted,
                                     bool early, struct arena *arena, struct reason *why)
{
    OrderRequest *request = NULL;
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    uint64_t begun = now_us(relay);
    GUARD(dispatch_store_request(relay, dispatch->id, arena, &request, why));
    enum result result = command_seal(relay, dispatch, request, wanted, &payload, why);
    if (result == RESULT_OK) {
        struct publication publication = {.site = relay->site,
                                          .kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND,
                                          .sender = "",
                                          .early = early,
                                          .payload = buffer_bytes(&payload)};
        result = event_publish(relay->membership, &publication);
    }
    buffer_clear(&payload);
    if (result == RESULT_OK) {
        audit_count(AUDIT_COMMANDS_SEALED);
        audit_add(AUDIT_COMMANDS_SEAL_US, now_us(relay) - begun);
        sealed_note(relay, dispatch);
    }
    return result;
}

/* Where the machine stops before it is on disk, the authority, which nobody has told that it is taken, sends
 * the order again, it is sealed again under its id, and who has run it says so. One of the MN-CSE's own
 * nobody would send again. */
enum result dispatch_seal(struct relay *relay, struct dispatch *dispatch, struct arena *arena,
                          struct reason *why)
{
    return dispatch_seal_for(relay, dispatch, (struct bytes){NULL, 0}, !dispatch->own, arena, why);
}

/* Nobody lacks it: nothing is sealed. */
static enum result dispatch_seal_again(struct relay *relay, struct dispatch *dispatch, struct arena *arena,
                                       struct reason *why)
{
    struct wanted wanted;
    wanted_list(relay, dispatch, &wanted);
    if (wanted.count == 0) {
        dispatch->seal_due_us = NEVER;
        return RESULT_OK;
    }
    bool all = wanted.count > WANTED_LIMIT;
    struct bytes serials = {wanted.serials, all ? 0 : wanted.count * SERIAL_SIZE};
    return dispatch_seal_for(relay, dispatch, serials, false, arena, why);
}

void dispatch_seal_all(struct relay *relay)
{
    for (struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL; dispatch = dispatch->next) {
        seal_ask(relay, dispatch, now_us(relay));
    }
}

/* Named in the order, and not at this site when it came: it has moved here since. */
static enum result mover_take(struct relay *relay, struct dispatch *dispatch, const char *name,
                              struct reason *why)
{
    struct arena *arena = relay->membership->identity->engine->scratch;
    OrderRequest *request = NULL;
    struct dispatch_target *target = NULL;
    GUARD(dispatch_store_request(relay, dispatch->id, arena, &request, why));
    bool named = order_targets(request->order, name);
    arena_reset(arena);
    if (!named) {
        return RESULT_OK;
    }
    const struct dispatch_target added = {.name = (char *)(uintptr_t)name};
    GUARD(dispatch_store_target(relay, dispatch->id, &added, why));
    return dispatch_target_add(&dispatch->targets, name, &target) == RESULT_OK
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "no memory for a command's target");
}

enum result dispatch_member_back(struct relay *relay, const char *name, struct reason *why)
{
    bool after_reply = relay->syncs.count > 0;
    uint64_t due = after_reply ? relay->syncs.due_us : now_us(relay);
    for (struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL; dispatch = dispatch->next) {
        if (!dispatch->everyone && dispatch_target_find(&dispatch->targets, name) == NULL) {
            GUARD(mover_take(relay, dispatch, name, why));
        }
        const struct dispatch_target *target = dispatch_target_find(&dispatch->targets, name);
        bool open = target == NULL ? dispatch->everyone : !outcome_is_final(target->outcome);
        if (open) {
            dispatch->after_reply = after_reply;
            dispatch->seal_due_us = NEVER; /* not before the reply */
            seal_ask(relay, dispatch, due);
        }
    }
    return RESULT_OK;
}

enum result dispatch_seal_turn(struct relay *relay, struct dispatch *dispatch, bool expired,
                               struct reason *why)
{
    struct arena *arena = relay->membership->identity->engine->scratch;
    if (dispatch->seal_due_us > now_us(relay) || !membership_ready(relay->membership)) {
        return RESULT_OK;
    }
    if (expired) {
        dispatch->seal_due_us = NEVER;
        return RESULT_OK;
    }
    if (allowance_puts_off(relay->membership, &dispatch->seal_due_us)) {
        return RESULT_OK;
    }
    enum result result = dispatch_seal_again(relay, dispatch, arena, why);
    arena_reset(arena);
    if (result != RESULT_OK) {
        dispatch->seal_due_us = NEVER; /* it does not fit any more under this policy */
    }
    return result == RESULT_STORE || result == RESULT_INTERNAL ? result : RESULT_OK;
}
