/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_OPTIONS_H
#define GROUPSEAL_TESTS_SCHEDULES_OPTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * `--count N`: schedules to be played. `--seed S`: of the first one, the next has S + 1; without, what the
 * clock says. So `--seed S --count 1` plays one that failed, alone.
 */
struct schedule_options {
    uint64_t seed;
    uint64_t count;
};

static inline struct schedule_options schedule_options_read(int argc, char **argv, uint64_t count)
{
    struct schedule_options options = {.seed = (uint64_t)time(NULL) * 1000u, .count = count};
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--count") == 0) {
            options.count = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            options.seed = strtoull(argv[++i], NULL, 10);
        } else {
            (void)fprintf(stderr, "usage: %s [--count N] [--seed S]\n", argv[0]);
            exit(2);
        }
    }
    return options;
}

#endif
