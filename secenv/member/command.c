/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/command.h"

#include <stdio.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/command_table.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/news.h"
#include "secenv/member/overdue.h"
#include "secenv/member/replay.h"

#define KIND_COMMAND GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND
#define KIND_SYNC GROUPSEAL__ENVELOPE__KIND__KIND_SYNC

/* A command on its way through the checks. */
struct reception {
    struct membership *membership;
    size_t site;
    struct site_sync *sync;
    struct group_opening opening;
    const Groupseal__Envelope__Relay *relay;
    const Groupseal__Envelope__Command *command;
    uint64_t now_us;
};

/* ---- which key ---- */

static bool overlap_lasts(const struct membership *membership, uint64_t now_us)
{
    return now_us < membership->overlap_until_us;
}

static enum result key_choose(struct reception *reception, struct reason *why)
{
    struct membership *membership = reception->membership;
    uint64_t epoch = reception->opening.sealed->epoch;
    enum epoch_age age = membership_epoch_age(membership, epoch);
    if (age == EPOCH_CURRENT) {
        reception->opening.key = &membership->current;
        return RESULT_OK;
    }
    if (age == EPOCH_PREVIOUS && overlap_lasts(membership, reception->now_us)) {
        reception->opening.key = &membership->previous;
        return RESULT_OK;
    }
    audit_count(AUDIT_COMMANDS_DROPPED);
    return result_fail(why, RESULT_REFUSED, "a command of epoch %llu on %s: that epoch is over",
                       (unsigned long long)epoch, membership->group);
}

/* ---- relay, seal, signature ---- */

static enum audit_counter refused_counter(const struct reception *reception)
{
    return reception->opening.sealed->kind == KIND_SYNC ? AUDIT_SYNCS_REFUSED : AUDIT_COMMANDS_REFUSED;
}

static enum result relay_find(struct reception *reception, struct reason *why)
{
    struct membership *membership = reception->membership;
    reception->relay = policy_relay(membership_policy(membership), reception->sync->site,
                                    membership->incarnation, reception->opening.sealed->serial);
    if (reception->relay == NULL) {
        audit_count(refused_counter(reception));
        return result_fail(why, RESULT_REFUSED, "serial %llu is no relay of %s at site %s",
                           (unsigned long long)reception->opening.sealed->serial, membership->group,
                           reception->sync->site);
    }
    return RESULT_OK;
}

static enum result command_open(struct reception *reception, struct buffer *plaintext, struct reason *why)
{
    GUARD(relay_find(reception, why));
    enum result result = group_open(reception->membership, &reception->opening, plaintext, why);
    if (result != RESULT_OK) {
        audit_count(refused_counter(reception));
    }
    return result;
}

static enum result command_parse(struct reception *reception, struct bytes plaintext, struct arena *arena,
                                 struct reason *why)
{
    Groupseal__Envelope__Command *command =
        object_unpack(&groupseal__envelope__command__descriptor, plaintext, arena);
    if (command == NULL || command->order == NULL) {
        audit_count(AUDIT_COMMANDS_REFUSED);
        return result_fail(why, RESULT_INVALID, "a sealed command on %s is malformed",
                           reception->membership->group);
    }
    reception->command = command;
    return RESULT_OK;
}

static enum result seal_signature_check(struct reception *reception, struct reason *why)
{
    const struct membership *membership = reception->membership;
    const Groupseal__Envelope__Command *command = reception->command;
    uint8_t hash[HASH_SIZE];
    enum result result = command_hash(command, membership->instance, membership->incarnation, hash);
    if (result == RESULT_OK) {
        result = (order_is_relays(command->order) ? seal_order_check : seal_check)(
            &reception->opening.context, command->seal_expires_ms, hash, arena_view(reception->relay->key),
            arena_view(command->seal_signature));
    }
    if (result != RESULT_OK) {
        audit_count(AUDIT_COMMANDS_REFUSED);
        return result_fail(why, RESULT_REFUSED, "the seal of a command on %s is not its relay's",
                           membership->group);
    }
    return RESULT_OK;
}

/* ---- replay and freshness ---- */

static struct replay_sender replay_of(const struct reception *reception)
{
    const Groupseal__Envelope__Sealed *sealed = reception->opening.sealed;
    return (struct replay_sender){.kind = KIND_COMMAND,
                                  .name = reception->sync->site,
                                  .proven = true,
                                  .incarnation = reception->membership->incarnation,
                                  .serial = sealed->serial,
                                  .counter = sealed->counter,
                                  .epoch = sealed->epoch};
}

static enum result replayed_check(struct reception *reception, struct reason *why)
{
    struct replay_sender sender = replay_of(reception);
    enum result result = replay_check(reception->membership, &sender, why);
    if (result == RESULT_REFUSED) {
        audit_count(AUDIT_COMMANDS_REPLAYED);
    }
    return result;
}

static enum result fresh_check(const struct reception *reception, struct reason *why)
{
    const struct site_sync *sync = reception->sync;
    bool synchronised = sync->synchronised && sync->relay_serial == reception->opening.sealed->serial &&
                        sync->relay_incarnation == reception->membership->incarnation;
    if (!synchronised || reception->opening.sealed->counter < sync->floor) {
        audit_count(AUDIT_COMMANDS_DROPPED);
        return result_fail(why, RESULT_REFUSED, "a command on %s is dropped: %s",
                           reception->membership->group,
                           synchronised ? "it was sealed before the last synchronisation"
                                        : "not synchronised with its relay yet");
    }
    return RESULT_OK;
}

/* ---- the order ---- */

static enum result replay_move(struct reception *reception, struct reason *why)
{
    struct replay_sender sender = replay_of(reception);
    return replay_take(reception->membership, &sender, why);
}

/*
 * What the operator should know is answered. Replay state moves with it, so this is no failed request: the
 * owner learns it from the notice.
 */
static enum result command_refuse(struct reception *reception, const char *reason, struct reason *why)
{
    struct membership *membership = reception->membership;
    const Groupseal__Envelope__Order *order = reception->command->order;
    GUARD(replay_move(reception, why));
    audit_count(AUDIT_COMMANDS_REFUSED);
    if (order_targets(order, membership->identity->identity.name)) {
        receipt_schedule(membership, reception->site, order->command_id.data, reason);
    }
    return event_refused(membership->identity, reception->sync->site, "a command on %s is refused: %s",
                         membership->group, reason);
}

/* Why the order must not be acted on, though its seal is right; NULL: nothing speaks against it yet. */
static const char *order_objection(const struct reception *reception,
                                   const Groupseal__Envelope__Commander *commander)
{
    const struct identity_state *identity = reception->membership->identity;
    if (sync_relay_ms(reception->sync, reception->now_us) >= reception->command->seal_expires_ms) {
        return "it has expired";
    }
    if (commander == NULL) {
        return "its commander is not in the policy for this site";
    }
    if (reception->command->order->expires_ms < identity->authority_time_ms) {
        return "its order has expired";
    }
    if (overdue_refuses(reception->membership)) {
        return "news of the group are overdue";
    }
    if (!allowance_has(reception->membership, OWNER_READ)) {
        return "the limits of its secure environment let nobody read it";
    }
    return NULL;
}

/* Who commands: the one that the order names, or the relay itself, whose seal signature is for both. */
static const Groupseal__Envelope__Commander *commander_find(const struct reception *reception)
{
    const Groupseal__Envelope__Policy *policy = membership_policy(reception->membership);
    const Groupseal__Envelope__Order *order = reception->command->order;
    return order_is_relays(order) ? policy_commanding_relay(policy, reception->relay)
                                  : policy_commander(policy, order->commander, reception->sync->site);
}

/* Limits and site; and the signature, where the seal's is not the commander's too. */
static enum result order_signature_check(const struct reception *reception,
                                         const Groupseal__Envelope__Commander *commander, struct reason *why)
{
    const struct membership *membership = reception->membership;
    const Groupseal__Envelope__Order *order = reception->command->order;
    enum result result =
        order_is_relays(order)
            ? order_at_site(order, reception->sync->site, why)
            : order_check(order, membership->instance, membership->incarnation, reception->sync->site,
                          arena_view(reception->command->body), arena_view(commander->key), why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_COMMANDS_REFUSED);
    }
    return result;
}

/* The same command again: its stored outcome is the answer. */
static enum result command_again(struct reception *reception, const struct command_row *row,
                                 struct reason *why)
{
    GUARD(replay_move(reception, why));
    audit_count(AUDIT_COMMANDS_DUPLICATE);
    receipt_schedule(reception->membership, row->site, row->id, NULL);
    return RESULT_OK;
}

static enum result command_commit(struct reception *reception, const char *commander, struct reason *why)
{
    struct membership *membership = reception->membership;
    const Groupseal__Envelope__Command *command = reception->command;
    struct command_row row = {.site = reception->site,
                              .expires_ms = command->order->expires_ms,
                              .seal_expires_ms = command->seal_expires_ms,
                              .outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED};
    memcpy(row.id, command->order->command_id.data, COMMAND_ID_SIZE);
    enum result result = command_table_add(membership, &row, why);
    if (result == RESULT_FULL) {
        return command_refuse(reception, "the table of commands is full", why);
    }
    GUARD(result);
    GUARD(replay_move(reception, why));
    audit_count(AUDIT_COMMANDS_OPENED);
    receipt_schedule(membership, reception->site, row.id, NULL);
    return event_command(membership, row.id, arena_view(command->body),
                         command->seal_expires_ms - sync_relay_ms(reception->sync, reception->now_us),
                         commander);
}

static enum result command_decide(struct reception *reception, struct reason *why)
{
    struct membership *membership = reception->membership;
    const Groupseal__Envelope__Order *order = reception->command->order;
    struct command_row row;
    bool known = false;
    const Groupseal__Envelope__Commander *commander = commander_find(reception);
    GUARD(command_table_find(membership, order->command_id.data, &row, &known, why));
    const char *objection = order_objection(reception, commander);
    if (commander != NULL) {
        GUARD(order_signature_check(reception, commander, why));
    }
    if (!order_targets(order, membership->identity->identity.name) ||
        !command_wants(reception->command, membership->serial)) {
        return replay_move(reception, why);
    }
    if (known) {
        return command_again(reception, &row, why);
    }
    if (commander == NULL || objection != NULL) {
        return command_refuse(reception, objection, why);
    }
    return command_commit(reception, commander->name, why);
}

static enum result command_receive(struct reception *reception, struct bytes plaintext, struct arena *arena,
                                   struct reason *why)
{
    GUARD(command_parse(reception, plaintext, arena, why));
    GUARD(seal_signature_check(reception, why));
    GUARD(replayed_check(reception, why));
    GUARD(fresh_check(reception, why));
    return command_decide(reception, why);
}

/* ---- sync replies ---- */

static enum result sync_receive(struct reception *reception, struct bytes plaintext, struct arena *arena,
                                struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    Groupseal__Envelope__SyncReply *reply =
        object_unpack(&groupseal__envelope__sync_reply__descriptor, plaintext, arena);
    if (reply == NULL || sync_hash(reply, hash) != RESULT_OK) {
        audit_count(AUDIT_SYNCS_REFUSED);
        return result_fail(why, RESULT_INVALID, "a sync reply on %s is malformed",
                           reception->membership->group);
    }
    if (seal_check(&reception->opening.context, 0, hash, arena_view(reception->relay->key),
                   arena_view(reply->seal_signature)) != RESULT_OK) {
        audit_count(AUDIT_SYNCS_REFUSED);
        return result_fail(why, RESULT_REFUSED, "the seal of a sync reply on %s is not its relay's",
                           reception->membership->group);
    }
    return sync_take_reply(reception->membership, reception->sync, &reception->opening.context, reply, why);
}

/* ---- heard ---- */

static enum result reception_run(struct reception *reception, struct arena *arena, struct reason *why)
{
    struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
    enum result result = command_open(reception, &plaintext, why);
    if (result == RESULT_OK) {
        result = reception->opening.sealed->kind == KIND_SYNC
                     ? sync_receive(reception, buffer_bytes(&plaintext), arena, why)
                     : command_receive(reception, buffer_bytes(&plaintext), arena, why);
    }
    buffer_clear(&plaintext);
    return result;
}

static enum result command_wait(struct reception *reception, struct bytes payload, struct reason *why)
{
    struct membership *membership = reception->membership;
    enum result result = waiting_room_enter(&membership->waiting_commands, reception->sync->site, "", payload,
                                            reception->now_us, why);
    if (result != RESULT_OK) {
        membership->commands_missed = true;
        audit_count(AUDIT_COMMANDS_DROPPED);
        return result;
    }
    news_are_missed(membership);
    return RESULT_OK;
}

enum result command_hear(struct membership *membership, const char *site, bool retained, struct bytes payload,
                         struct arena *arena, struct reason *why)
{
    struct reception reception = {.membership = membership,
                                  .sync = membership_site(membership, site),
                                  .now_us = engine_now_us(membership->identity->engine)};
    Groupseal__Envelope__Sealed *sealed = NULL;
    enum result result = seal_parse(payload, arena, &sealed, why);
    if (result != RESULT_OK) {
        audit_count(AUDIT_COMMANDS_REFUSED);
        return result;
    }
    if (reception.sync == NULL || (sealed->kind != KIND_COMMAND && sealed->kind != KIND_SYNC)) {
        audit_count(AUDIT_COMMANDS_REFUSED);
        return result_fail(why, RESULT_REFUSED, "a message on cmd of %s is of another %s", membership->group,
                           reception.sync == NULL ? "site" : "kind");
    }
    if (retained) {
        audit_count(AUDIT_COMMANDS_REFUSED);
        return result_fail(why, RESULT_REFUSED, "a retained command on %s", membership->group);
    }
    reception.site = (size_t)(reception.sync - membership->sites);
    group_opening_init(membership, sealed, reception.sync->site, "", &reception.opening);
    if (membership_epoch_age(membership, sealed->epoch) == EPOCH_NEWER || !membership_ready(membership)) {
        return command_wait(&reception, payload, why);
    }
    GUARD(key_choose(&reception, why));
    return reception_run(&reception, arena, why);
}

/* ---- finished, and those that waited ---- */

enum result command_finished(struct membership *membership, const uint8_t id[COMMAND_ID_SIZE], bool done,
                             const char *detail, struct reason *why)
{
    struct command_row row;
    bool found = false;
    GUARD(command_table_find(membership, id, &row, &found, why));
    if (!found) {
        return result_fail(why, RESULT_UNKNOWN, "no command of this id in %s", membership->group);
    }
    if (row.outcome != GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED &&
        row.outcome != GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN) {
        return result_fail(why, RESULT_EXISTS, "this command of %s has finished already", membership->group);
    }
    GUARD(command_table_finish(membership, id,
                               done ? GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE
                                    : GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED,
                               detail, why));
    receipt_finished(membership, row.site, id);
    return RESULT_OK;
}

enum result command_waiting_turn(struct membership *membership, struct reason *why)
{
    struct engine *engine = membership->identity->engine;
    size_t count = membership->waiting_commands.count;
    for (size_t i = 0; i < count; i++) {
        struct waiting_message *waiting = waiting_room_leave(&membership->waiting_commands);
        struct reason local;
        char site[SITE_LIMIT + 1];
        (void)snprintf(site, sizeof(site), "%s", waiting->site);
        enum result result = command_hear(membership, waiting->site, false, buffer_bytes(&waiting->payload),
                                          engine->scratch, &local);
        waiting_message_free(waiting);
        arena_reset(engine->scratch);
        if (result == RESULT_STORE || result == RESULT_INTERNAL) {
            return result_fail(why, result, "%s", local.text);
        }
        if (result != RESULT_OK) {
            log_refused(membership->identity, LOG_LEVEL_INFO, site, local.text);
        }
    }
    return RESULT_OK;
}
