/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_CARRIED_CLOCK_H
#define GROUPSEAL_SECENV_AUTHORITY_CARRIED_CLOCK_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/clock.h"
#include "secenv/credentials.h"
#include "secenv/store.h"

/*
 * The authority's time. Members remember the newest that it has signed and refuse orders that expire before
 * it, so a system clock that was wrong for a minute must not be signed. The time follows the system clock
 * while that is plausible; else it is in doubt: an alarm, and the time is carried by the monotonic clock,
 * until the system clock is plausible again or the operator accepts it. It never goes back, but by the
 * operator's word.
 *
 * Plausible is a system clock that is
 * - behind by no more than CARRIED_BACK_US: the time stands still until the system clock has caught up;
 * - ahead by no more than CARRIED_FORWARD_US of where the monotonic clock has carried the time. A machine in
 *   step with others is set by seconds, one set to another zone by hours;
 * - in the first hour of a start ahead by no more than CARRIED_OFF_US of the last time in the store: nothing
 *   measures how long the machine was off, and some get their time from the network after the start only. A
 *   doubt of before the start is not ended by that: then CARRIED_FORWARD_US holds;
 * - any, before this authority has signed anything: nobody remembers a time.
 */
#define CARRIED_BACK_US (UINT64_C(600) * 1000000u)
#define CARRIED_FORWARD_US (UINT64_C(86400) * 1000000u)
#define CARRIED_OFF_US (30 * CARRIED_FORWARD_US)
#define CARRIED_START_US (UINT64_C(3600) * 1000000u)
/* The store's copy is no older, so that CARRIED_OFF_US is counted from the end and not from a signature. */
#define CARRIED_KEEP_US (UINT64_C(3600) * 1000000u)
/* The system clock is looked at so often where nothing else happens. */
#define CARRIED_LOOK_US (UINT64_C(300) * 1000000u)

struct engine;

struct carried_clock {
    struct clock_source source; /* this time, and the system's monotonic clock; `context` is this struct */
    const struct clock_source *system;
    uint64_t wall_us;          /* the latest time that was given; 0: none yet … */
    uint64_t monotonic_us;     /* … at this monotonic time */
    uint64_t started_us;       /* monotonic */
    uint64_t kept_us;          /* the time in the store; 0: nothing was signed yet */
    uint64_t certificate_from; /* own certificate, seconds since 1970 */
    uint64_t certificate_until;
    bool doubted;        /* at the last look */
    bool kept_doubted;   /* in the store */
    bool doubted_before; /* before this start, and ever since */
    bool told;           /* of `doubted`, in this start */
};

extern const char carried_clock_schema[];

/* At the start. The struct must stay where it is. */
enum result carried_clock_open(struct carried_clock *clock, struct store *store,
                               const struct clock_source *system, struct reason *why) MUST_USE;
/* What was written may have been undone: the store says what is kept, and the time goes on. */
enum result carried_clock_reload(struct carried_clock *clock, struct store *store,
                                 struct reason *why) MUST_USE;
/* From now on nothing is signed for a time beyond the end of the identity's certificate. */
enum result carried_clock_certificate(struct carried_clock *clock, const struct identity *identity,
                                      struct reason *why) MUST_USE;

/* The time (milliseconds since 1970) that members may be told for good, in an announcement or CONFIRM: kept
 * in the store in the same transaction. Never beyond the own certificate's end: a member that remembers a
 * later one could not take that certificate any more. */
enum result carried_clock_sign(struct engine *engine, uint64_t *ms, struct reason *why) MUST_USE;

/* Tells of a doubt that has begun or ended, and keeps the time. */
enum result carried_clock_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

/* Operator: shows the time, or accepts the system clock. Going back takes a new incarnation: keys and news of
 * the groups are made anew within the associations, and by it members forget the later time. RESULT_EXISTS
 * where there is no doubt; RESULT_REFUSED where the own certificate is not valid at the system clock's time;
 * RESULT_NOT_READY where a group is held. */
enum result carried_clock_request(struct engine *engine, const Groupseal__Secenv__Clock *request,
                                  struct arena *arena, Groupseal__Secenv__ClockReply **out,
                                  struct reason *why) MUST_USE;

#endif
