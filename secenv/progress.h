/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_PROGRESS_H
#define GROUPSEAL_SECENV_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

/*
 * How far something is that may take long, for the person who waits: a line on standard error after two
 * seconds and then each two seconds, nothing where it is over sooner. `progress_step` is called often; it
 * reads a clock and, when it is time, writes one line.
 */
#define PROGRESS_INTERVAL_MS 2000u

struct progress {
    const char *what; /* "in-cse: members added" */
    uint64_t total;   /* 0: not known */
    uint64_t start_ms;
    uint64_t next_ms;
    uint64_t (*now_ms)(void);
    FILE *out;
};

void progress_begin(struct progress *progress, const char *what, uint64_t total);
/* With a clock and a stream of the caller's. */
void progress_begin_at(struct progress *progress, const char *what, uint64_t total, uint64_t (*now_ms)(void),
                       FILE *out);
/* `done` of the total; 0 where that is not counted: then the line says how long it has taken. */
void progress_step(struct progress *progress, uint64_t done);

#endif
