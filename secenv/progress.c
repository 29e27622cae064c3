/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/progress.h"

#include <inttypes.h>
#include <time.h>

static uint64_t monotonic_ms(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void progress_begin_at(struct progress *progress, const char *what, uint64_t total, uint64_t (*now_ms)(void),
                       FILE *out)
{
    *progress = (struct progress){.what = what, .total = total, .now_ms = now_ms, .out = out};
    progress->start_ms = now_ms();
    progress->next_ms = progress->start_ms + PROGRESS_INTERVAL_MS;
}

void progress_begin(struct progress *progress, const char *what, uint64_t total)
{
    progress_begin_at(progress, what, total, monotonic_ms, stderr);
}

void progress_step(struct progress *progress, uint64_t done)
{
    uint64_t now_ms = progress->now_ms();
    if (now_ms < progress->next_ms) {
        return;
    }
    progress->next_ms = now_ms + PROGRESS_INTERVAL_MS;
    if (progress->total != 0) {
        (void)fprintf(progress->out, "%s: %" PRIu64 " of %" PRIu64 "\n", progress->what, done,
                      progress->total);
    } else if (done != 0) {
        (void)fprintf(progress->out, "%s: %" PRIu64 "\n", progress->what, done);
    } else {
        (void)fprintf(progress->out, "%s: %" PRIu64 " s so far\n", progress->what,
                      (now_ms - progress->start_ms) / 1000u);
    }
    (void)fflush(progress->out);
}
