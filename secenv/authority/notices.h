/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_NOTICES_H
#define GROUPSEAL_SECENV_AUTHORITY_NOTICES_H

#include "secenv.pb-c.h"
#include "secenv/result.h"

/*
 * What is told because of what peers do, in log and Notices. Nobody may fill the log, nor hide in it what is
 * said of others: so there is a limit for each originator and one for all. What is not told is counted by the
 * counters all the same, and the next one that is told of this originator says how many there were.
 */
#define NOTICES_EACH 5u
#define NOTICES_EACH_US 10000000u
#define NOTICES_ALL 20u /* for notices: of what goes well, each in a fleet may tell the log */
#define NOTICES_ALL_US 1000000u
#define NOTICES_ACCOUNTS 1024u /* by a hash of the originator: some share one */

struct engine;

struct notices_account {
    uint64_t since_us; /* monotonic: start of its window */
    unsigned told;
    unsigned hidden;
};

struct notices {
    struct notices_account notices[NOTICES_ACCOUNTS];
    struct notices_account lines[NOTICES_ACCOUNTS];
    struct notices_account all;
};

/* A notice and a log line, of which `originator` (the name that was proven best) is the cause. */
enum result notice_of_peer(struct engine *engine, const char *originator,
                           Groupseal__Secenv__Severity severity, const char *format, ...) MUST_USE
    __attribute__((format(printf, 4, 5)));

/* A log line alone, of level INFO, of what goes well. */
void log_of_peer(struct engine *engine, const char *originator, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
