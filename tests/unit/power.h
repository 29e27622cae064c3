/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_POWER_H
#define GROUPSEAL_TESTS_UNIT_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The power of one process and the disk under its store, for tests that cut it off. What can be lost lies
 * between points: each write, sync, truncation and deletion that SQLite asks for is one (a VFS of the test's,
 * between SQLite and the system's), and others that the test passes itself (a message that arrives or
 * leaves). From the point where the power goes off nothing reaches the disk any more, and power_return()
 * leaves the files as the next start would find them. One thread.
 */
struct power;

enum power_loss {
    POWER_KILL, /* the process: what was written stays */
    POWER_OFF,  /* the machine: what was not synced is lost */
    POWER_TORN, /* the machine: of what was not synced any sectors of 512 bytes have reached the disk */
    POWER_LOSSES
};

/* From now on SQLite opens its files through the VFS above, which leaves those of no power alone. */
void power_install(void);

struct power *power_new(const char *directory); /* of the store */
void power_free(struct power *power);           /* NULL is allowed */

/* The power goes off at the `at`-th point from now (0: the next). `seed`: for POWER_TORN. */
void power_arm(struct power *power, enum power_loss loss, size_t at, uint64_t seed);
void power_disarm(struct power *power); /* where it has not gone off yet */
/* A point of the test's own: true where the power is off, or goes off here. */
bool power_point(struct power *power);
bool power_is_off(const struct power *power); /* NULL: no */
enum power_loss power_loss_of(const struct power *power);
size_t power_points(const struct power *power); /* passed so far */

/* After the store was closed. On again, and not armed. */
void power_return(struct power *power);

/* A disk with room for so many bytes more, over all files of the store: a write that needs more fails with
 * SQLITE_FULL. SIZE_MAX: enough. */
void power_disk_room(struct power *power, size_t bytes);
size_t power_disk_refusals(const struct power *power); /* writes that found no room */

#endif
