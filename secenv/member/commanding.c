/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/commanding.h"

#include <string.h>

#include "secenv/audit.h"
#include "secenv/member/allowance.h"
#include "secenv/member/event.h"
#include "secenv/member/relay.h"

#define VALID_DEFAULT_MS 60000u
#define VALID_LIMIT_MS 86400000u

typedef Groupseal__Envelope__Order Order;
typedef Groupseal__Secenv__OrderReport OrderReport;

/* ---- ordering ---- */

static enum result command_id_set(struct bytes given, uint8_t id[COMMAND_ID_SIZE], struct reason *why)
{
    if (given.length == 0) {
        return random_bytes(id, COMMAND_ID_SIZE);
    }
    if (given.length != COMMAND_ID_SIZE) {
        return result_fail(why, RESULT_INVALID, "a command id of %zu bytes", given.length);
    }
    memcpy(id, given.data, COMMAND_ID_SIZE);
    return RESULT_OK;
}

static enum result command_check(const struct relay *relay, const Groupseal__Secenv__Command *command,
                                 struct reason *why)
{
    if (command->body.len > BODY_LIMIT || command->n_targets > TARGETS_LIMIT ||
        command->valid_ms > VALID_LIMIT_MS) {
        return result_fail(why, RESULT_INVALID,
                           "a command of over %u bytes, for over %u targets, or valid for over a day",
                           BODY_LIMIT, TARGETS_LIMIT);
    }
    for (size_t i = 0; i < command->n_targets; i++) {
        if (roster_find(relay, command->targets[i]) == NULL) {
            return result_fail(why, RESULT_UNKNOWN, "%.128s is no member of %s at this site",
                               command->targets[i], relay->membership->group);
        }
    }
    return RESULT_OK;
}

enum result commanding_order(struct membership *membership, const Groupseal__Secenv__Command *command,
                             uint8_t id[COMMAND_ID_SIZE], struct reason *why)
{
    struct relay *relay = membership->relay;
    Groupseal__Envelope__OrderRequest request = GROUPSEAL__ENVELOPE__ORDER_REQUEST__INIT;
    Order order = GROUPSEAL__ENVELOPE__ORDER__INIT;
    if (relay == NULL) {
        return result_fail(why, RESULT_REFUSED, "%s is no MN-CSE: it gives no commands",
                           membership->identity->identity.name);
    }
    GUARD(allowance_check(membership, OWNER_COMMAND, "command", why));
    GUARD(allowance_is_there(membership, why));
    GUARD(command_check(relay, command, why));
    GUARD(command_id_set(arena_view(command->command_id), id, why));
    char *sites[] = {relay->site};
    order.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    order.issued_ms = clock_wall_ms(membership->identity->engine->setup.clock);
    order.expires_ms = order.issued_ms + (command->valid_ms == 0 ? VALID_DEFAULT_MS : command->valid_ms);
    order.targets = command->targets;
    order.n_targets = command->n_targets;
    order.sites = sites;
    order.n_sites = 1;
    request.group = membership->group;
    request.instance = arena_field(BYTES_OF(membership->instance));
    request.incarnation = membership->incarnation;
    request.order = &order;
    request.body = command->body;
    GUARD(dispatch_own_order(relay, &request, why));
    audit_count(AUDIT_COMMANDS_OWN);
    return RESULT_OK;
}

/* ---- reporting ---- */

static const Groupseal__Secenv__Outcome outcomes[] = {
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE] = GROUPSEAL__SECENV__OUTCOME__NO_ANSWER,
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED] = GROUPSEAL__SECENV__OUTCOME__ACCEPTED,
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE] = GROUPSEAL__SECENV__OUTCOME__DONE,
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_FAILED] = GROUPSEAL__SECENV__OUTCOME__FAILED,
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_REFUSED] = GROUPSEAL__SECENV__OUTCOME__REFUSED_BY_MEMBER,
    [GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_UNKNOWN] = GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN,
};

static void row_fill(const struct relay *relay, const struct dispatch_target *target,
                     Groupseal__Secenv__OrderRow *row)
{
    groupseal__secenv__order_row__init(row);
    row->name = target->name;
    row->outcome = outcomes[target->outcome];
    row->detail = target->detail == NULL ? (char *)"" : target->detail;
    row->late = target->late;
    row->site = (char *)relay->site;
}

static enum result page_fill(const struct relay *relay, const struct dispatch *dispatch, uint32_t page,
                             struct arena *arena, OrderReport *report, struct reason *why)
{
    size_t first = (size_t)page * COMMANDING_ROWS_LIMIT;
    size_t left = first < dispatch->targets.count ? dispatch->targets.count - first : 0;
    size_t count = left < COMMANDING_ROWS_LIMIT ? left : COMMANDING_ROWS_LIMIT;
    Groupseal__Secenv__OrderRow *rows = arena_alloc(arena, (count + 1) * sizeof(*rows));
    report->rows = arena_alloc(arena, (count + 1) * sizeof(*report->rows));
    if (rows == NULL || report->rows == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no room for a command's report");
    }
    for (size_t i = 0; i < count; i++) {
        row_fill(relay, &dispatch->targets.items[first + i], &rows[i]);
        report->rows[report->n_rows++] = &rows[i];
    }
    return RESULT_OK;
}

static enum result report_make(const struct relay *relay, const struct dispatch *dispatch, uint32_t page,
                               struct arena *arena, OrderReport *report, struct reason *why)
{
    groupseal__secenv__order_report__init(report);
    report->command_id = arena_field(BYTES_OF(dispatch->id));
    report->group = relay->membership->group;
    report->complete = dispatch->complete;
    report->page = page;
    report->pages = (uint32_t)((dispatch->targets.count + COMMANDING_ROWS_LIMIT - 1) / COMMANDING_ROWS_LIMIT);
    report->pages = report->pages == 0 ? 1 : report->pages;
    if (page >= report->pages) {
        return result_fail(why, RESULT_INVALID, "this command's report has %u pages", report->pages);
    }
    return page_fill(relay, dispatch, page, arena, report, why);
}

enum result commanding_show(const struct membership *membership, struct bytes id, uint32_t page,
                            struct arena *arena, OrderReport **out, struct reason *why)
{
    const struct relay *relay = membership->relay;
    const struct dispatch *dispatch = relay == NULL ? NULL : dispatch_show(relay, id);
    if (dispatch == NULL || !dispatch->own) {
        return result_fail(why, RESULT_UNKNOWN, "no command of this MN-CSE's own with that id in %s",
                           membership->group);
    }
    *out = arena_alloc(arena, sizeof(**out));
    if (*out == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no room for a command's report");
    }
    return report_make(relay, dispatch, page, arena, *out, why);
}

enum result commanding_report(const struct relay *relay, const struct dispatch *dispatch, struct reason *why)
{
    struct arena *arena = relay->membership->identity->engine->scratch;
    OrderReport report;
    enum result result = report_make(relay, dispatch, 0, arena, &report, why);
    if (result == RESULT_OK) {
        result = event_report(relay->membership->identity, &report);
    }
    arena_reset(arena);
    return result;
}
