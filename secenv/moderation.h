/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MODERATION_H
#define GROUPSEAL_SECENV_MODERATION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What is told because of what others do, in log and Notices. Nobody may fill the log, nor hide in it what is
 * said of others: so there is a limit for each originator and one for all. What is not told is counted by the
 * counters all the same, and the next one that is told of this originator says how many there were.
 */
#define MODERATION_EACH 5u
#define MODERATION_EACH_US 10000000u
#define MODERATION_ALL 20u
#define MODERATION_ALL_US 1000000u
#define MODERATION_ACCOUNTS 1024u /* by a hash of the originator: some share one */
#define MODERATION_END_SIZE 48u

struct moderation_account {
    uint64_t since_us; /* monotonic: start of its window */
    unsigned told;
    unsigned hidden;
};

/* Of one kind of telling. Zeroed is new. */
struct moderation {
    struct moderation_account accounts[MODERATION_ACCOUNTS];
    struct moderation_account all;
    bool unlimited_in_all; /* of what goes well, each in a fleet may tell the log */
};

/*
 * True: it may be told now, and `end` is to be added to its text: "", or how many were not told. `originator`
 * is the name that was proven best, `for_whom` who tells (one of many identities; "" where there is one).
 */
bool moderation_take(struct moderation *moderation, const char *for_whom, const char *originator,
                     uint64_t now_us, char end[MODERATION_END_SIZE]);

#endif
