/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *words_join(char *const *words, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++) {
        size += strlen(words[i]) + 1;
    }
    char *joined = malloc(size);
    if (joined == NULL) {
        return NULL;
    }
    joined[0] = '\0';
    char *end = joined;
    for (size_t i = 0; i < count; i++) {
        end = stpcpy(end, i == 0 ? "" : ",");
        end = stpcpy(end, words[i]);
    }
    return joined;
}

void words_time(uint64_t ms, char out[WORDS_TIME_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    out[0] = '\0';
    if (ms != 0 && gmtime_r(&seconds, &parts) != NULL) {
        strftime(out, WORDS_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
}

void words_length(uint64_t ms, char out[WORDS_AGE_SIZE])
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
    uint64_t seconds = ms / 1000;
    size_t unit = 0;
    while (units[unit].seconds > 1 && seconds < 2 * units[unit].seconds) {
        unit++;
    }
    snprintf(out, WORDS_AGE_SIZE, "%" PRIu64 "%s", seconds / units[unit].seconds, units[unit].name);
}

void words_age(uint64_t now_ms, uint64_t then_ms, char out[WORDS_AGE_SIZE])
{
    out[0] = '\0';
    if (then_ms != 0) {
        words_length(now_ms > then_ms ? now_ms - then_ms : 0, out);
    }
}
