/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/large_group.h"
#include "tests/unit/operator.h"

/*
 * authority_large MEMBERS CHANGES
 *
 * A group of many members at several sites: it is built, changed many times by evictions, rotations and
 * joins, and everything starts anew. Real devices find each key, also one that slept; and memory stays what
 * docs/operations.md says: counted in allocated bytes, of authority and MN-CSEs together, never in time.
 */
#define SITES 4u
#define DEVICES 4u
#define AUTHORITY_BYTES 1200u                  /* a member, at the authority */
#define MN_CSE_BYTES 320u                      /* a member, at each MN-CSE */
#define ROUNDS_BYTES ((size_t)8 * 1024 * 1024) /* beside that, whatever is done */

static void check(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "authority_large: %s\n", what);
        exit(1);
    }
}

static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct measure {
    size_t before;
    size_t members;
};

static void memory_check(const struct measure *measure, const char *when)
{
    size_t now = allocated();
    size_t grown = now > measure->before ? now - measure->before : 0;
    (void)printf("%s: %zu bytes a member\n", when, grown / measure->members);
    check(grown <= measure->members * (AUTHORITY_BYTES + SITES * MN_CSE_BYTES) + ROUNDS_BYTES, when);
}

static void devices_have_the_key(const struct large_group *large, struct site_node *const *devices,
                                 const char *when)
{
    for (size_t i = 0; i < DEVICES; i++) {
        check(large_group_has_key(large, devices[i]), when);
    }
}

static void one_change(struct large_group *large, size_t number, size_t members)
{
    char name[1][NAME_LIMIT + 1];
    if (number % 16 == 0) {
        check(operator_rotate(large->site, LARGE_GROUP) == GROUPSEAL__SECENV__CODE__OK, "a rotation");
    } else if (number % 16 == 8) {
        large_group_fill(large, 16);
    } else {
        large_group_name((number * 97u) % members, name[0]);
        (void)large_group_evict(large, name, 1);
    }
}

int main(int argc, char **argv)
{
    struct large_group large;
    struct site_node *devices[DEVICES];
    size_t members = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    size_t changes = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    check(members >= 1024 && changes >= 16 && changes * 4 < members,
          "usage: authority_large MEMBERS CHANGES");

    large_group_open_sites(&large, SITES);
    large.associated = true;
    for (size_t i = 0; i < DEVICES; i++) {
        devices[i] = large_group_device(&large, i);
    }
    struct measure measure = {allocated(), members};
    large_group_fill(&large, members);
    memory_check(&measure, "built");
    devices_have_the_key(&large, devices, "a device climbs while the group is built");

    site_online(devices[1], false);
    for (size_t i = 0; i < changes; i++) {
        one_change(&large, i, members);
    }
    memory_check(&measure, "changed");
    site_online(devices[1], true);
    site_advance(large.site, 30000);
    devices_have_the_key(&large, devices, "a device climbs through many changes, asleep too");

    site_restart(site_authority(large.site));
    site_restart(large.mn);
    site_advance(large.site, 60000);
    memory_check(&measure, "started anew");
    check(operator_rotate(large.site, LARGE_GROUP) == GROUPSEAL__SECENV__CODE__OK,
          "a rotation after the start");
    site_advance(large.site, 30000);
    devices_have_the_key(&large, devices, "a device climbs after the start");
    large_group_close(&large);
    return 0;
}
