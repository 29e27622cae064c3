/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/counter.h"

#include <stdio.h>
#include <string.h>

const char counter_schema[] = "CREATE TABLE IF NOT EXISTS counter ("
                              " name TEXT PRIMARY KEY,"
                              " reserved INTEGER NOT NULL) WITHOUT ROWID;";

void counter_init(struct counter *counter, const char *name)
{
    memset(counter, 0, sizeof(*counter));
    (void)snprintf(counter->name, sizeof(counter->name), "%s", name);
}

static enum result reserved_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    uint64_t *reserved = context;
    *reserved = row_u64(row, 0);
    return RESULT_OK;
}

/* Never lowers what is on disk. */
static enum result reserved_write(const struct counter *counter, struct store *store, uint64_t reserved,
                                  struct reason *why)
{
    store_hold(store);
    return store_run(store, why,
                     "INSERT INTO counter (name, reserved) VALUES (?, ?)"
                     " ON CONFLICT (name) DO UPDATE SET reserved = max(reserved, excluded.reserved)",
                     "tu", counter->name, reserved);
}

static enum result counter_reserve(struct counter *counter, struct store *store,
                                   const struct clock_source *clock, struct reason *why)
{
    uint64_t start = clock_wall_us(clock);
    uint64_t on_disk = 0;
    uint8_t boot[BOOT_SIZE];
    GUARD(store_query(store, why, reserved_row, &on_disk, "SELECT reserved FROM counter WHERE name = ?", "t",
                      counter->name));
    start = on_disk > start ? on_disk : start;
    start = counter->next > start ? counter->next : start;
    start = start == 0 ? 1 : start; /* receivers have seen 0 */
    if (start > (uint64_t)INT64_MAX - COUNTER_STEP) {
        return result_fail(why, RESULT_FULL, "the counter %s is used up", counter->name);
    }
    GUARD(random_bytes(boot, sizeof(boot)));
    GUARD(reserved_write(counter, store, start + COUNTER_STEP, why));
    memcpy(counter->boot, boot, sizeof(boot));
    counter->next = start;
    counter->reserved = start + COUNTER_STEP;
    counter->undone = store_undone(store);
    return RESULT_OK;
}

enum result counter_next(struct counter *counter, struct store *store, const struct clock_source *clock,
                         uint64_t *value, struct reason *why)
{
    if (counter->next >= counter->reserved) {
        GUARD(counter_reserve(counter, store, clock, why));
    } else if (counter->undone != store_undone(store)) {
        /* The reservation may have been in what was undone. */
        GUARD(reserved_write(counter, store, counter->reserved, why));
        counter->undone = store_undone(store);
    }
    *value = counter->next++;
    return RESULT_OK;
}
