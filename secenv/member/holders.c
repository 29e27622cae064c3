/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/holders.h"

#include <stdio.h>

#include "secenv/member/holding.h"
#include "secenv/member/record.h"
#include "secenv/member/relay.h"

#define GRACE_US 2000000u
#define REFUSED_GAP_US 600000000u

typedef Groupseal__Envelope__Holdings Holdings;
typedef Groupseal__Envelope__HoldingEntry Entry;

static uint64_t now_us(const struct relay *relay)
{
    return engine_now_us(relay->membership->identity->engine);
}

/* ---- what is known ---- */

static enum result heard_row(void *context, const struct store_row *row, struct reason *why)
{
    struct relay *relay = context;
    struct roster_member *member = roster_member(relay, row_text(row, 0));
    (void)why;
    if (member != NULL && member->serial == row_u64(row, 1) && member->holder.epoch < row_u64(row, 2)) {
        member->holder.epoch = row_u64(row, 2);
    }
    return RESULT_OK;
}

enum result holders_open(struct relay *relay, struct reason *why)
{
    const struct membership *membership = relay->membership;
    relay->holders = (struct holders){.look_due_us = NEVER};
    if (random_bytes(relay->holders.start, HOLDERS_START_SIZE) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no random bytes for the holders of %s", membership->group);
    }
    return store_query(
        membership->identity->engine->setup.store, why, heard_row, relay,
        "SELECT name, serial, epoch FROM replay WHERE identity = ? AND grp = ? AND instance = ?"
        " AND incarnation = ?",
        "ttbu", membership->identity->identity.name, membership->group, BYTES_OF(membership->instance),
        membership->incarnation);
}

/* What differs from what the authority was told. */
static bool holder_is_news(const struct holder *holder)
{
    bool behind = holder->behind_us != 0;
    return behind != holder->told_behind || (behind && holder->epoch != holder->told_epoch);
}

static void something_changed(struct relay *relay)
{
    relay->holders.changed = true;
    identity_state_touch(relay->membership->identity);
}

void holders_heard(struct relay *relay, const char *name, uint64_t epoch)
{
    struct roster_member *member = roster_member(relay, name);
    if (member == NULL || epoch <= member->holder.epoch) {
        return;
    }
    member->holder.epoch = epoch;
    if (epoch >= relay->holders.looked) {
        member->holder.behind_us = 0;
    }
    if (holder_is_news(&member->holder)) {
        something_changed(relay);
    }
}

void holders_refused(struct relay *relay)
{
    struct holders *holders = &relay->holders;
    for (size_t i = 0; i < relay->roster.count; i++) {
        relay->roster.members[i]->holder.told_behind = false;
    }
    holders->told_us = now_us(relay) + REFUSED_GAP_US;
    holders->more = false;
    something_changed(relay);
}

/* ---- looking ---- */

static void look_plan(struct holders *holders, uint64_t window_us)
{
    holders->look = holders->entered;
    holders->look_since_us = holders->entered_us;
    holders->look_due_us = holders->entered_us + window_us + GRACE_US;
}

static void epoch_watch(struct relay *relay)
{
    struct holders *holders = &relay->holders;
    const struct membership *membership = relay->membership;
    if (membership_ready(membership) && membership->current.epoch != holders->entered) {
        holders->entered = membership->current.epoch;
        holders->entered_us = now_us(relay);
        if (holders->look_due_us == NEVER) {
            look_plan(holders, holding_window_us(membership));
        }
    }
}

/* All have had time for the epoch: who has it not is behind since it came. */
static void holders_look(struct relay *relay)
{
    struct holders *holders = &relay->holders;
    holders->looked = holders->look;
    for (size_t i = 0; i < relay->roster.count; i++) {
        struct roster_member *member = relay->roster.members[i];
        if (!relay_has_device(relay, member) || member->holder.epoch >= holders->looked) {
            member->holder.behind_us = 0;
        } else if (member->holder.behind_us == 0) {
            member->holder.behind_us = holders->look_since_us == 0 ? 1 : holders->look_since_us;
        }
    }
    holders->look_due_us = NEVER;
    holders->changed = true;
    if (holders->entered != holders->looked) {
        look_plan(holders, holding_window_us(relay->membership));
    }
}

/* ---- telling ---- */

static void entry_of(const struct relay *relay, struct roster_member *member, Entry *out)
{
    groupseal__envelope__holding_entry__init(out);
    out->name = member->name;
    out->behind = member->holder.behind_us != 0;
    out->epoch = member->holder.epoch;
    out->behind_s = out->behind ? (now_us(relay) - member->holder.behind_us) / 1000000u : 0;
}

/* Counts them all; the entries of those that are told, as many as there is room for. */
static void holdings_fill(const struct relay *relay, Entry rows[PAGE_ENTRIES_LIMIT], Holdings *out)
{
    out->last = true;
    for (size_t i = 0; i < relay->roster.count; i++) {
        struct roster_member *member = relay->roster.members[i];
        if (!relay_has_device(relay, member)) {
            continue;
        }
        out->devices++;
        out->behind += member->holder.behind_us != 0 ? 1 : 0;
        if (holder_is_news(&member->holder) && out->n_entries == PAGE_ENTRIES_LIMIT) {
            out->last = false;
        } else if (holder_is_news(&member->holder)) {
            entry_of(relay, member, &rows[out->n_entries]);
            out->entries[out->n_entries] = &rows[out->n_entries];
            out->n_entries++;
        }
    }
}

static void holdings_told(struct relay *relay, const Holdings *holdings)
{
    for (size_t i = 0; i < holdings->n_entries; i++) {
        struct roster_member *member = roster_member(relay, holdings->entries[i]->name);
        if (member != NULL) {
            member->holder.told_behind = holdings->entries[i]->behind;
            member->holder.told_epoch = holdings->entries[i]->epoch;
        }
    }
    relay->holders.told_us = now_us(relay);
    relay->holders.more = !holdings->last;
    relay->holders.changed = !holdings->last;
}

static enum result holdings_put(struct relay *relay, const char *slot, struct reason *why)
{
    struct membership *membership = relay->membership;
    Entry rows[PAGE_ENTRIES_LIMIT];
    Entry *entries[PAGE_ENTRIES_LIMIT];
    Holdings holdings = GROUPSEAL__ENVELOPE__HOLDINGS__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    holdings.group = membership->group;
    holdings.instance = arena_field(BYTES_OF(membership->instance));
    holdings.incarnation = membership->incarnation;
    holdings.epoch = relay->holders.looked;
    holdings.start = arena_field(BYTES_OF(relay->holders.start));
    holdings.entries = entries;
    holdings_fill(relay, rows, &holdings);
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_HOLDINGS;
    body.holdings = &holdings;
    enum result result = record_put(membership->identity, slot, &body, why);
    if (result == RESULT_FULL) { /* the authority has been away for long */
        relay->holders.told_us = now_us(relay);
        return RESULT_OK;
    }
    GUARD(result);
    holdings_told(relay, &holdings);
    return RESULT_OK;
}

/* One record at a time, so that none is overtaken by the next. */
static enum result tell_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    struct holders *holders = &relay->holders;
    const struct identity_state *identity = relay->membership->identity;
    uint64_t due_us = holders->told_us == 0 || holders->more ? 0 : holders->told_us + HOLDERS_GAP_US;
    char slot[GROUP_NAME_LIMIT + 16];
    bool waits = false;
    if (!holders->changed || holders->looked == 0 || !relay->roster.present) {
        return RESULT_OK;
    }
    if (due_us > now_us(relay)) {
        *next = due_us < *next ? due_us : *next;
        return RESULT_OK;
    }
    (void)snprintf(slot, sizeof(slot), "holdings %s", relay->membership->group);
    GUARD(outbox_waits(identity->engine->outbox, identity->identity.name, identity->identity.authority, slot,
                       &waits, why));
    return waits ? RESULT_OK : holdings_put(relay, slot, why); /* its ACCEPT brings the next turn */
}

enum result holders_turn(struct relay *relay, uint64_t *next, struct reason *why)
{
    struct holders *holders = &relay->holders;
    epoch_watch(relay);
    if (holders->look_due_us <= now_us(relay)) {
        holders_look(relay);
    }
    *next = holders->look_due_us < *next ? holders->look_due_us : *next;
    return tell_turn(relay, next, why);
}
