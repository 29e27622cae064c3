/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_NOTICES_H
#define GROUPSEAL_SECENV_AUTHORITY_NOTICES_H

#include "secenv.pb-c.h"
#include "secenv/moderation.h"
#include "secenv/result.h"

struct engine;

/* What is told because of what peers do, in moderation. */
struct notices {
    struct moderation refusals;
    struct moderation lines;
};

void notices_init(struct notices *notices);

/* A notice and a log line, of which `originator` (the name that was proven best) is the cause. */
enum result notice_of_peer(struct engine *engine, const char *originator,
                           Groupseal__Secenv__Severity severity, const char *format, ...) MUST_USE
    __attribute__((format(printf, 4, 5)));

/* A log line alone, of level INFO, of what goes well. */
void log_of_peer(struct engine *engine, const char *originator, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
