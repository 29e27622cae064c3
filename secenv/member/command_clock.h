/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_COMMAND_CLOCK_H
#define GROUPSEAL_SECENV_MEMBER_COMMAND_CLOCK_H

#include "secenv/clock.h"
#include "secenv/store.h"

/*
 * The MN-CSE's command clock (docs/protocol.md section 6): milliseconds, the time base of seal expiry. It
 * starts at the wall clock's value once in the store's life and is monotonic from then on: nobody's
 * setting of the wall clock steps it.
 *
 * A restart of the process alone continues it exactly (same boot of the system). After a restart of the
 * system it goes on from the highest value that may have been shown before, which is at most
 * COMMAND_CLOCK_STEP_MS ahead of what was shown: never back, and less than the outage it stood still for.
 */
#define COMMAND_CLOCK_STEP_MS 10000u
#define BOOT_ID_SIZE 64u

struct command_clock {
    uint64_t base_ms;     /* its value … */
    uint64_t base_us;     /* … at this monotonic time */
    uint64_t reserved_ms; /* nothing above this has been shown; on disk */
    uint64_t undone;      /* store_undone() when that was written */
    char boot_id[BOOT_ID_SIZE];
};

extern const char command_clock_schema[];

/* Names the system's present boot: by default /proc/sys/kernel/random/boot_id. Tests put their own. */
typedef enum result (*boot_id_read)(char out[BOOT_ID_SIZE]);
void command_clock_boot_id(boot_id_read read); /* NULL: the default */

enum result command_clock_open(struct command_clock *clock, struct store *store,
                               const struct clock_source *source, struct reason *why) MUST_USE;
/* Its value now. Reserves ahead in the store where needed: inside the batch's transaction only. */
enum result command_clock_read(struct command_clock *clock, struct store *store,
                               const struct clock_source *source, uint64_t *ms, struct reason *why) MUST_USE;

#endif
