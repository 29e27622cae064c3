/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/dispatch_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/commanding.h"
#include "secenv/member/dispatch_seal.h"
#include "secenv/member/dispatch_store.h"
#include "secenv/member/event.h"
#include "secenv/member/group_seal.h"
#include "secenv/member/overdue.h"
#include "secenv/member/packed.h"
#include "secenv/member/relay.h"
#include "secenv/member/report.h"

#define DAY_MS 86400000u
#define KEPT_MS 3600000u      /* after expiry, for answers that come late */
#define ANSWER_GRACE_MS 2000u /* after the response window, before the first report */
#define COLLECT_US 200000u    /* changes of a report */
#define REPORT_RETRY_US 60000000u

#define OUTCOME_NONE GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE
#define OUTCOME_ACCEPTED GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED
#define OUTCOME_DONE GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE
#define OUTCOME_FAILED GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED
#define OUTCOME_UNKNOWN GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN

typedef Groupseal__Envelope__Order Order;
typedef Groupseal__Envelope__OrderRequest OrderRequest;

static uint64_t now_us(const struct relay *relay)
{
    return engine_now_us(relay->membership->identity->engine);
}

static enum result command_clock_ms(const struct relay *relay, uint64_t *out, struct reason *why)
{
    struct engine *engine = relay->membership->identity->engine;
    return command_clock_read(&engine->command_clock, engine->setup.store, engine->setup.clock, out, why);
}

static uint64_t answer_window_ms(const struct relay *relay)
{
    return membership_response_window_us(relay->membership) / 1000u + ANSWER_GRACE_MS;
}

/* ---- the list ---- */

static struct dispatch *dispatch_find(const struct relay *relay, struct bytes id)
{
    struct dispatch *dispatch = relay->dispatches.first;
    while (dispatch != NULL && !bytes_equal(id, BYTES_OF(dispatch->id))) {
        dispatch = dispatch->next;
    }
    return dispatch;
}

void dispatch_due_by(struct relay *relay, uint64_t due_us)
{
    relay->dispatches.due_us = due_us < relay->dispatches.due_us ? due_us : relay->dispatches.due_us;
    identity_state_touch(relay->membership->identity);
}

static void dispatch_free(struct dispatch *dispatch)
{
    if (dispatch != NULL) {
        dispatch_targets_clear(&dispatch->targets);
        free(dispatch);
    }
}

void dispatch_clear(struct dispatches *dispatches)
{
    while (dispatches->first != NULL) {
        struct dispatch *dispatch = dispatches->first;
        dispatches->first = dispatch->next;
        dispatch_free(dispatch);
    }
    dispatches->count = 0;
    dispatches->due_us = NEVER;
}

/* Both clocks must allow it: the command clock stands still while the machine is off. */
static bool is_expired(const struct relay *relay, const struct dispatch *dispatch, uint64_t clock_ms)
{
    uint64_t wall_ms = clock_wall_ms(relay->membership->identity->engine->setup.clock);
    return clock_ms >= dispatch->seal_expires_ms || wall_ms >= dispatch->expires_ms;
}

/* ---- load ---- */

/* Each is reported once more: an answer may have been stored and its report not have left. */
enum result dispatch_load(struct relay *relay, struct reason *why)
{
    uint64_t now = now_us(relay);
    relay->dispatches.due_us = 0;
    GUARD(dispatch_store_load(relay, why));
    for (struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL; dispatch = dispatch->next) {
        dispatch->seal_due_us = NEVER;
        dispatch->report_due_us = now + 1000u * answer_window_ms(relay);
    }
    return RESULT_OK;
}

enum result dispatch_drop(struct relay *relay, struct reason *why)
{
    GUARD(dispatch_store_drop(relay, why));
    dispatch_clear(&relay->dispatches);
    return RESULT_OK;
}

/* ---- an order comes ---- */

static enum result order_place_check(const struct membership *membership, const OrderRequest *request,
                                     struct reason *why)
{
    if (request->order == NULL) {
        return result_fail(why, RESULT_INVALID, "an order request without an order");
    }
    if (!membership_ready(membership) || !membership->relay->roster.present) {
        return result_fail(why, RESULT_NOT_READY, "no key, policy or roster of %s yet", membership->group);
    }
    if (!bytes_equal(arena_view(request->instance), BYTES_OF(membership->instance)) ||
        request->incarnation != membership->incarnation) {
        return result_fail(why, RESULT_REFUSED, "an order for another instance of %s", membership->group);
    }
    if (request->epoch > membership->current.epoch) {
        return result_fail(why, RESULT_NOT_READY, "an order for epoch %llu of %s, which is not here yet",
                           (unsigned long long)request->epoch, membership->group);
    }
    return RESULT_OK;
}

static enum result order_authentic(const struct relay *relay, const OrderRequest *request, struct reason *why)
{
    const struct membership *membership = relay->membership;
    const Groupseal__Envelope__Commander *commander =
        policy_commander(membership_policy(membership), request->order->commander, relay->site);
    if (commander == NULL) {
        return result_fail(why, RESULT_REFUSED, "the order's commander is not in the policy of %s",
                           membership->group);
    }
    return order_check(request->order, membership->instance, membership->incarnation, relay->site,
                       arena_view(request->body), arena_view(commander->key), why);
}

/* One of before our start may have gone out in a transaction that did not get to the disk. */
static enum result order_expired(const struct relay *relay, const Order *order, struct reason *why)
{
    bool before = order->issued_ms < relay->membership->identity->engine->started_ms;
    return result_fail(
        why, RESULT_REFUSED, "the order has expired by the clock of this MN-CSE%s",
        before ? "; its secure environment has started since, before which it may have gone out" : "");
}

/* What is left of its time: never more than the commander gave it, whatever our wall clock says. */
static enum result order_remaining(const struct relay *relay, const Order *order, uint64_t *remaining_ms,
                                   bool *expired, struct reason *why)
{
    uint64_t wall_ms = clock_wall_ms(relay->membership->identity->engine->setup.clock);
    if (order->expires_ms <= order->issued_ms || order->expires_ms - order->issued_ms > DAY_MS) {
        return result_fail(why, RESULT_INVALID, "an order for %s is valid for no time, or over a day",
                           relay->membership->group);
    }
    if (order->expires_ms <= wall_ms) {
        *expired = true;
        return order_expired(relay, order, why);
    }
    uint64_t whole = order->expires_ms - order->issued_ms;
    uint64_t left = order->expires_ms - wall_ms;
    *remaining_ms = left < whole ? left : whole;
    return RESULT_OK;
}

/* Who should answer here: the members of this site that the order names. */
static enum result targets_list(const struct relay *relay, const Order *order, struct dispatch *dispatch)
{
    const struct roster *roster = &relay->roster;
    for (size_t i = 0; i < roster->count; i++) {
        const struct roster_member *member = roster->members[i];
        struct dispatch_target *target = NULL;
        if (relay_has_device(relay, member) && order_targets(order, member->name)) {
            GUARD(dispatch_target_add(&dispatch->targets, member->name, &target));
        }
    }
    return RESULT_OK;
}

static enum result dispatch_fill(const struct relay *relay, const OrderRequest *request,
                                 uint64_t remaining_ms, struct dispatch *dispatch, struct reason *why)
{
    memcpy(dispatch->id, request->order->command_id.data, COMMAND_ID_SIZE);
    dispatch->everyone = request->order->n_targets == 0;
    dispatch->own = order_is_relays(request->order);
    dispatch->expires_ms = request->order->expires_ms;
    dispatch->seal_due_us = NEVER;
    dispatch->after_reply = relay->syncs.count > 0;
    GUARD(command_clock_ms(relay, &dispatch->sealed_ms, why));
    dispatch->seal_expires_ms = dispatch->sealed_ms + remaining_ms;
    GUARD(targets_list(relay, request->order, dispatch));
    dispatch->report_due_us =
        dispatch->targets.count == 0 ? now_us(relay) : now_us(relay) + 1000u * answer_window_ms(relay);
    return RESULT_OK;
}

/* What is refused leaves nothing in the store: the record that brought it is answered, not rolled back. */
static enum result begun_undo(struct relay *relay, const struct dispatch *dispatch, enum result result,
                              struct reason *why)
{
    struct reason local;
    if (result == RESULT_STORE || result == RESULT_INTERNAL) {
        return result;
    }
    return dispatch_store_remove(relay, dispatch->id, &local) == RESULT_OK
               ? result
               : result_fail(why, RESULT_STORE, "%s", local.text);
}

/* On disk, sealed, published; only then in memory. Beyond the owner's rate it is sealed a little later. */
static enum result dispatch_begin(struct relay *relay, const OrderRequest *request, uint64_t remaining_ms,
                                  struct reason *why)
{
    struct arena *arena = relay->membership->identity->engine->scratch;
    struct dispatch *dispatch = calloc(1, sizeof(*dispatch));
    if (dispatch == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a command");
    }
    enum result result = dispatch_fill(relay, request, remaining_ms, dispatch, why);
    if (result == RESULT_OK) {
        result = dispatch_store_add(relay, dispatch, request, why);
    }
    if (result == RESULT_OK && !allowance_puts_off(relay->membership, &dispatch->seal_due_us)) {
        result = dispatch_seal(relay, dispatch, arena, why);
        arena_reset(arena);
    }
    if (result != RESULT_OK) {
        result = begun_undo(relay, dispatch, result, why);
        dispatch_free(dispatch);
        return result;
    }
    dispatch->next = relay->dispatches.first;
    relay->dispatches.first = dispatch;
    relay->dispatches.count++;
    dispatch_due_by(relay, 0); /* the first look finds out when */
    return RESULT_OK;
}

/* Its time, and room; then it begins. */
static enum result order_accept(struct relay *relay, const OrderRequest *request, bool *expired,
                                struct reason *why)
{
    uint64_t remaining_ms = 0;
    GUARD(allowance_check(relay->membership, OWNER_RELAY, "relay commands", why));
    if (overdue_refuses(relay->membership)) { /* who sends an order is there: the beat is on its way too */
        return result_fail(why, RESULT_NOT_READY, "news of the group are overdue");
    }
    GUARD(order_remaining(relay, request->order, &remaining_ms, expired, why));
    if (relay->dispatches.count == DISPATCHES_LIMIT) {
        return result_fail(why, RESULT_FULL, "%u commands of %s are under way already", DISPATCHES_LIMIT,
                           relay->membership->group);
    }
    return dispatch_begin(relay, request, remaining_ms, why);
}

enum result dispatch_take_order(struct identity_state *identity, const OrderRequest *request, bool *expired,
                                struct reason *why)
{
    const struct membership *membership = membership_find(identity, request->group);
    if (membership == NULL) {
        return result_fail(why, RESULT_NOT_READY, "an order for %.64s, whose key package is not here yet",
                           request->group);
    }
    struct relay *relay = membership->relay;
    GUARD(order_place_check(membership, request, why));
    if (dispatch_find(relay, arena_view(request->order->command_id)) != NULL) {
        return RESULT_EXISTS;
    }
    GUARD(order_authentic(relay, request, why));
    return order_accept(relay, request, expired, why);
}

bool dispatch_may_command(const struct relay *relay)
{
    const struct membership *membership = relay->membership;
    const Groupseal__Envelope__Policy *policy = membership_policy(membership);
    const Groupseal__Envelope__Relay *self =
        policy == NULL ? NULL
                       : policy_relay(policy, relay->site, membership->incarnation, membership->serial);
    return self != NULL && policy_commanding_relay(policy, self) != NULL;
}

enum result dispatch_own_order(struct relay *relay, const OrderRequest *request, struct reason *why)
{
    const struct membership *membership = relay->membership;
    bool expired = false;
    GUARD(order_place_check(membership, request, why));
    if (dispatch_find(relay, arena_view(request->order->command_id)) != NULL) {
        return RESULT_EXISTS;
    }
    if (!dispatch_may_command(relay)) {
        return result_fail(
            why, RESULT_REFUSED,
            "the policy of %s does not let %s command: see `in-cse group set`, --mn-cse-commands",
            membership->group, membership->identity->identity.name);
    }
    return order_accept(relay, request, &expired, why);
}

const struct dispatch *dispatch_show(const struct relay *relay, struct bytes id)
{
    return dispatch_find(relay, id);
}

/* ---- receipts ---- */

/* What has run stays so; the other answers can be corrected by a better one. */
static bool outcome_may_follow(Groupseal__Envelope__Outcome before, Groupseal__Envelope__Outcome after)
{
    if (before == OUTCOME_DONE || before == OUTCOME_FAILED || before == after) {
        return false;
    }
    bool ran = after == OUTCOME_DONE || after == OUTCOME_FAILED;
    return before != OUTCOME_UNKNOWN || ran;
}

/* Who joined after the order came may answer, too, where it is for everyone. */
static enum result target_take(struct relay *relay, struct dispatch *dispatch, const char *name,
                               struct dispatch_target **out, struct reason *why)
{
    *out = dispatch_target_find(&dispatch->targets, name);
    if (*out != NULL) {
        return RESULT_OK;
    }
    if (!dispatch->everyone) {
        return result_fail(why, RESULT_REFUSED, "a receipt of %.128s for a command that is not for it", name);
    }
    const struct dispatch_target target = {.name = (char *)(uintptr_t)name};
    GUARD(dispatch_store_target(relay, dispatch->id, &target, why));
    if (dispatch_target_add(&dispatch->targets, name, out) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a receipt");
    }
    return RESULT_OK;
}

static void report_ask(struct relay *relay, struct dispatch *dispatch)
{
    uint64_t now = now_us(relay);
    if (dispatch->targets.open == 0) {
        dispatch->report_due_us = now;
    } else if (dispatch->revision > 0 && dispatch->report_due_us == NEVER) {
        dispatch->report_due_us = now + COLLECT_US;
    }
    dispatch_due_by(relay, dispatch->report_due_us);
}

enum result dispatch_receipt(struct relay *relay, const struct roster_member *member,
                             const Groupseal__Envelope__Receipt *receipt, struct reason *why)
{
    struct dispatch *dispatch = dispatch_find(relay, arena_view(receipt->command_id));
    struct dispatch_target *target = NULL;
    uint64_t clock_ms = 0;
    if (dispatch == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "a receipt of %s for a command that is not known here",
                           member->name);
    }
    GUARD(target_take(relay, dispatch, member->name, &target, why));
    audit_count(AUDIT_RECEIPTS_TAKEN);
    if (!outcome_may_follow(target->outcome, receipt->outcome)) {
        return RESULT_OK;
    }
    GUARD(command_clock_ms(relay, &clock_ms, why));
    const struct dispatch_target changed = {
        .name = target->name,
        .detail = receipt->detail,
        .outcome = receipt->outcome,
        .late = target->outcome == OUTCOME_NONE ? clock_ms > dispatch->sealed_ms + answer_window_ms(relay)
                                                : target->late};
    GUARD(dispatch_store_target(relay, dispatch->id, &changed, why));
    if (changed.late && !target->late) {
        audit_count(AUDIT_RECEIPTS_LATE);
    }
    if (dispatch_target_answer(&dispatch->targets, target, &changed) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a receipt");
    }
    report_ask(relay, dispatch);
    return RESULT_OK;
}

/* ---- turn ---- */

static enum result report_turn(struct relay *relay, struct dispatch *dispatch, bool expired,
                               struct reason *why)
{
    bool complete = expired || dispatch->targets.open == 0;
    if (expired && !dispatch->complete) {
        dispatch->report_due_us = 0;
    }
    if (dispatch->report_due_us > now_us(relay)) {
        return RESULT_OK;
    }
    if (complete && !dispatch->complete) {
        dispatch_targets_untold(&dispatch->targets); /* the last word, of each page */
    }
    GUARD(dispatch_store_reported(relay, dispatch->id, dispatch->revision + 1, complete, why));
    dispatch->revision++;
    dispatch->complete = complete;
    dispatch->report_due_us = NEVER;
    if (dispatch->own) {
        GUARD(commanding_report(relay, dispatch, why));
    }
    enum result result = report_put(relay, dispatch, why);
    if (result == RESULT_FULL) { /* the outbox: the authority has been away for long */
        dispatch->report_due_us = now_us(relay) + REPORT_RETRY_US;
        return RESULT_OK;
    }
    return result;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When it expires, or is forgotten, by whichever clock is first; counted from now. */
static uint64_t end_due_us(const struct relay *relay, const struct dispatch *dispatch, bool expired,
                           uint64_t clock_ms)
{
    uint64_t wall_ms = clock_wall_ms(relay->membership->identity->engine->setup.clock);
    uint64_t left_ms = 0;
    if (!expired) {
        left_ms = earlier(dispatch->seal_expires_ms - clock_ms, dispatch->expires_ms - wall_ms);
    } else if (clock_ms < dispatch->seal_expires_ms + KEPT_MS) {
        left_ms = dispatch->seal_expires_ms + KEPT_MS - clock_ms;
    }
    return now_us(relay) + 1000u * left_ms;
}

/* Lowers `*due`. A seal that is due waits for key and policy; what brings them asks again. */
static enum result dispatch_step(struct relay *relay, struct dispatch *dispatch, uint64_t clock_ms,
                                 uint64_t *due, struct reason *why)
{
    bool expired = is_expired(relay, dispatch, clock_ms);
    GUARD(dispatch_seal_turn(relay, dispatch, expired, why));
    GUARD(report_turn(relay, dispatch, expired, why));
    *due = earlier(*due, membership_ready(relay->membership) ? dispatch->seal_due_us : NEVER);
    *due = earlier(*due, dispatch->report_due_us);
    *due = earlier(*due, end_due_us(relay, dispatch, expired, clock_ms));
    return RESULT_OK;
}

/* Kept a while after its expiry, for answers that come late. */
static enum result dispatch_forget(struct relay *relay, uint64_t clock_ms, struct reason *why)
{
    struct dispatch **link = &relay->dispatches.first;
    while (*link != NULL) {
        struct dispatch *dispatch = *link;
        if (!dispatch->complete || clock_ms < dispatch->seal_expires_ms + KEPT_MS) {
            link = &dispatch->next;
            continue;
        }
        GUARD(dispatch_store_remove(relay, dispatch->id, why));
        *link = dispatch->next;
        relay->dispatches.count--;
        dispatch_free(dispatch);
    }
    return RESULT_OK;
}

/* A new epoch has come: who missed the old one's messages gets each open command once more. */
static void epoch_watch(struct relay *relay)
{
    uint64_t epoch = relay->membership->current.epoch;
    if (relay->epoch_sealed != epoch && membership_ready(relay->membership)) {
        if (relay->epoch_sealed != 0) {
            dispatch_seal_all(relay);
        }
        relay->epoch_sealed = epoch;
        dispatch_due_by(relay, 0);
    }
}

static enum result dispatches_look(struct relay *relay, struct reason *why)
{
    uint64_t clock_ms = 0;
    uint64_t due = NEVER;
    GUARD(command_clock_ms(relay, &clock_ms, why));
    GUARD(dispatch_forget(relay, clock_ms, why));
    for (struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL; dispatch = dispatch->next) {
        GUARD(dispatch_step(relay, dispatch, clock_ms, &due, why));
    }
    relay->dispatches.due_us = due;
    return RESULT_OK;
}

enum result dispatch_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    epoch_watch(relay);
    if (relay->dispatches.first == NULL) {
        relay->dispatches.due_us = NEVER;
        return RESULT_OK;
    }
    if (relay->dispatches.due_us <= now_us(relay)) {
        GUARD(dispatches_look(relay, why));
    }
    *next = earlier(*next, relay->dispatches.due_us);
    return RESULT_OK;
}
