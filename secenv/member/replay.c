/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/replay.h"

#include "secenv/member/relay.h"

const char replay_schema[] =
    "CREATE TABLE IF NOT EXISTS replay ("
    " identity TEXT NOT NULL, grp TEXT NOT NULL, instance BLOB NOT NULL, kind INTEGER NOT NULL,"
    " name TEXT NOT NULL, incarnation INTEGER NOT NULL, serial INTEGER NOT NULL,"
    " counter INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " PRIMARY KEY (identity, grp, instance, kind, name)) WITHOUT ROWID;";

struct last_taken {
    bool found;
    uint64_t incarnation;
    uint64_t serial;
    uint64_t counter;
};

static enum result taken_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    struct last_taken *last = context;
    *last = (struct last_taken){true, row_u64(row, 0), row_u64(row, 1), row_u64(row, 2)};
    return RESULT_OK;
}

static enum result last_find(const struct membership *membership, const struct replay_sender *sender,
                             struct last_taken *last, struct reason *why)
{
    *last = (struct last_taken){.found = false};
    return store_query(membership->identity->engine->setup.store, why, taken_row, last,
                       "SELECT incarnation, serial, counter FROM replay"
                       " WHERE identity = ? AND grp = ? AND instance = ? AND kind = ? AND name = ?",
                       "ttbit", membership->identity->identity.name, membership->group,
                       BYTES_OF(membership->instance), (int64_t)sender->kind, sender->name);
}

static bool sender_is_above(const struct replay_sender *sender, const struct last_taken *last)
{
    if (sender->incarnation != last->incarnation) {
        return sender->incarnation > last->incarnation;
    }
    if (sender->proven && sender->serial != last->serial) {
        return sender->serial > last->serial;
    }
    return sender->counter > last->counter;
}

enum result replay_check(const struct membership *membership, const struct replay_sender *sender,
                         struct reason *why)
{
    struct last_taken last;
    GUARD(last_find(membership, sender, &last, why));
    if (last.found && !sender_is_above(sender, &last)) {
        return result_fail(why, RESULT_REFUSED, "a message of %.128s on %s is repeated", sender->name,
                           membership->group);
    }
    return RESULT_OK;
}

/* ---- room ---- */

static enum result rows_count(const struct membership *membership, const struct replay_sender *sender,
                              uint64_t *count, struct reason *why)
{
    return store_number(membership->identity->engine->setup.store, why, count,
                        "SELECT count(*) FROM replay WHERE identity = ? AND grp = ? AND instance = ?"
                        " AND kind = ?",
                        "ttbi", membership->identity->identity.name, membership->group,
                        BYTES_OF(membership->instance), (int64_t)sender->kind);
}

/* What was sealed in an epoch whose key is not here cannot be opened any more, so not be repeated. */
static enum result rows_forget(const struct membership *membership, const struct replay_sender *sender,
                               struct reason *why)
{
    uint64_t oldest = membership->previous.present ? membership->previous.epoch : membership->current.epoch;
    if (membership->relay != NULL) {
        oldest = past_epochs_oldest(&membership->relay->past, oldest);
    }
    return store_run(membership->identity->engine->setup.store, why,
                     "DELETE FROM replay WHERE identity = ? AND grp = ? AND instance = ? AND kind = ?"
                     " AND epoch < ?",
                     "ttbiu", membership->identity->identity.name, membership->group,
                     BYTES_OF(membership->instance), (int64_t)sender->kind, oldest);
}

static enum result room_make(const struct membership *membership, const struct replay_sender *sender,
                             struct reason *why)
{
    uint64_t count = 0;
    GUARD(rows_count(membership, sender, &count, why));
    if (count < REPLAY_ROWS_LIMIT) {
        return RESULT_OK;
    }
    GUARD(rows_forget(membership, sender, why));
    GUARD(rows_count(membership, sender, &count, why));
    if (count >= REPLAY_ROWS_LIMIT) {
        return result_fail(why, RESULT_FULL, "%u senders are known in %s already", REPLAY_ROWS_LIMIT,
                           membership->group);
    }
    return RESULT_OK;
}

enum result replay_take(const struct membership *membership, const struct replay_sender *sender,
                        struct reason *why)
{
    struct last_taken last;
    GUARD(last_find(membership, sender, &last, why));
    if (!last.found && !(sender->proven && membership->relay != NULL)) { /* else it is in the roster */
        GUARD(room_make(membership, sender, why));
    }
    return store_run(membership->identity->engine->setup.store, why,
                     "INSERT INTO replay (identity, grp, instance, kind, name, incarnation, serial, counter,"
                     " epoch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                     " ON CONFLICT (identity, grp, instance, kind, name) DO UPDATE SET"
                     " incarnation = excluded.incarnation, serial = excluded.serial,"
                     " counter = excluded.counter, epoch = excluded.epoch",
                     "ttbituuuu", membership->identity->identity.name, membership->group,
                     BYTES_OF(membership->instance), (int64_t)sender->kind, sender->name, sender->incarnation,
                     sender->serial, sender->counter, sender->epoch);
}

enum result replay_forget_others(const struct identity_state *identity, const char *group,
                                 struct bytes instance, struct reason *why)
{
    return store_run(identity->engine->setup.store, why,
                     "DELETE FROM replay WHERE identity = ? AND grp = ? AND instance <> ?", "ttb",
                     identity->identity.name, group, instance);
}
