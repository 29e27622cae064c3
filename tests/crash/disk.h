/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_CRASH_DISK_H
#define GROUPSEAL_TESTS_CRASH_DISK_H

#include "tests/unit/power.h"

/*
 * The disk under a state file of the plugin, as power.h is the one under a store of secenv. The linker puts
 * it between the file's code and the system (--wrap). Each byte that is written is a point, and each sync,
 * rename, link, creation, truncation and deletion; names are lost and kept like bytes. Sectors are of 16
 * bytes, so that a line is torn too. One disk at a time.
 */
struct disk;

struct disk *disk_new(const char *path); /* of the state file, in an empty folder */
void disk_free(struct disk *disk);

/* The power goes off at the `at`-th point from now (0: the next). */
void disk_arm(struct disk *disk, enum power_loss loss, size_t at, uint64_t seed);
bool disk_is_off(const struct disk *disk);
/* The folder as the next start finds it. On again, and not armed. */
void disk_return(struct disk *disk);

#endif
