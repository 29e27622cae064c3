/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/command_clock.h"

#include <stdio.h>
#include <string.h>

const char command_clock_schema[] =
    "CREATE TABLE IF NOT EXISTS command_clock ("
    " one INTEGER PRIMARY KEY CHECK (one = 1),"
    " boot_id TEXT NOT NULL, base_ms INTEGER NOT NULL, base_us INTEGER NOT NULL,"
    " reserved_ms INTEGER NOT NULL);";

/* Where the kernel does not say, every start counts as a new boot: the careful reading. */
static enum result boot_id_of_kernel(char out[BOOT_ID_SIZE])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL) {
        return RESULT_UNKNOWN;
    }
    bool read = fgets(out, (int)BOOT_ID_SIZE, file) != NULL;
    (void)fclose(file);
    if (!read) {
        return RESULT_UNKNOWN;
    }
    out[strcspn(out, "\n")] = '\0';
    return RESULT_OK;
}

static boot_id_read boot_id_source = boot_id_of_kernel;

void command_clock_boot_id(boot_id_read read)
{
    boot_id_source = read == NULL ? boot_id_of_kernel : read;
}

struct stored_clock {
    bool found;
    struct command_clock clock;
};

static enum result clock_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    struct stored_clock *stored = context;
    stored->found = true;
    (void)snprintf(stored->clock.boot_id, sizeof(stored->clock.boot_id), "%s", row_text(row, 0));
    stored->clock.base_ms = row_u64(row, 1);
    stored->clock.base_us = row_u64(row, 2);
    stored->clock.reserved_ms = row_u64(row, 3);
    return RESULT_OK;
}

enum result command_clock_open(struct command_clock *clock, struct store *store,
                               const struct clock_source *source, struct reason *why)
{
    struct stored_clock stored = {.found = false};
    GUARD(store_query(store, why, clock_row, &stored,
                      "SELECT boot_id, base_ms, base_us, reserved_ms FROM command_clock", ""));
    char boot_id[BOOT_ID_SIZE] = "";
    bool known = boot_id_source(boot_id) == RESULT_OK;
    uint64_t now_us = clock_monotonic_us(source);
    if (stored.found && known && strcmp(boot_id, stored.clock.boot_id) == 0 &&
        now_us >= stored.clock.base_us) {
        *clock = stored.clock;
        clock->undone = store_undone(store);
        return RESULT_OK;
    }
    uint64_t start = stored.found ? stored.clock.reserved_ms : clock_wall_ms(source);
    *clock = (struct command_clock){
        .base_ms = start, .base_us = now_us, .reserved_ms = start, .undone = store_undone(store)};
    memcpy(clock->boot_id, boot_id, sizeof(boot_id));
    return RESULT_OK;
}

static enum result clock_reserve(struct command_clock *clock, struct store *store, uint64_t reserved_ms,
                                 struct reason *why)
{
    store_hold(store);
    GUARD(store_run(store, why,
                    "INSERT INTO command_clock (one, boot_id, base_ms, base_us, reserved_ms)"
                    " VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET boot_id = excluded.boot_id,"
                    " base_ms = excluded.base_ms, base_us = excluded.base_us,"
                    " reserved_ms = excluded.reserved_ms",
                    "tuuu", clock->boot_id, clock->base_ms, clock->base_us, reserved_ms));
    clock->reserved_ms = reserved_ms;
    clock->undone = store_undone(store);
    return RESULT_OK;
}

enum result command_clock_read(struct command_clock *clock, struct store *store,
                               const struct clock_source *source, uint64_t *ms, struct reason *why)
{
    uint64_t now = clock->base_ms + (clock_monotonic_us(source) - clock->base_us) / 1000u;
    if (now >= clock->reserved_ms) {
        GUARD(clock_reserve(clock, store, now + COMMAND_CLOCK_STEP_MS, why));
    } else if (clock->undone != store_undone(store)) {
        /* The reservation may have been in what was undone. */
        GUARD(clock_reserve(clock, store, clock->reserved_ms, why));
    }
    *ms = now;
    return RESULT_OK;
}
