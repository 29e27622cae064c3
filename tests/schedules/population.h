/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_POPULATION_H
#define GROUPSEAL_TESTS_SCHEDULES_POPULATION_H

#include "tests/unit/member_play.h"

/*
 * A site of real engines with one group, whose members come and go: authority, MN-CSE, up to 24 devices.
 * Between them a network that loses, repeats and reorders what it may: objects and answers of the end-to-end
 * layer, and the retained topics, which are of QoS 0. Commands, receipts and member messages are of QoS 1:
 * they are late, come twice, wait in the broker for a device that sleeps, but are lost with their broker or
 * machine only.
 *
 * What must hold, checked where it can be seen and when all is at rest (population_rest):
 * - every member has the authority's newest key, and nobody who was evicted has one since;
 * - every command has ended at each device that was a member all along, and ran at most once anywhere; nobody
 *   evicted ran one that was ordered since;
 * - every signed message reached the MN-CSE, if its device was a member all along and neither of the two, nor
 *   the broker, broke down meanwhile;
 * - nothing that somebody evicted said since was taken by anybody who had the newer key.
 */
#define RESIDENTS_LIMIT 24u
#define NEVER_EVICTED UINT64_MAX

struct command_run {
    uint8_t id[COMMAND_ID_SIZE];
    unsigned times;
    bool finishing; /* its result is not said yet */
    bool done;
};

struct resident {
    struct site_node *node;
    char name[NAME_LIMIT + 1];
    bool enrolled; /* as the operator wants it */
    bool asked;    /* and has had no answer: asks again */
    bool awake;
    bool deaf;               /* evicted, and nobody can tell it */
    uint64_t evicted_after;  /* the last epoch in which it was a member; NEVER_EVICTED */
    uint64_t enrolled_after; /* the epoch in which it was enrolled: a leaf of before is of another life */
    uint64_t member_since;   /* steps of the population, when it was enrolled the last time */
    uint64_t fell;           /* the step in which its power went off the last time */
    size_t read;             /* of its events */
    struct command_run *runs;
    size_t run_count;
};

struct order_record {
    uint8_t id[COMMAND_ID_SIZE];
    bool own; /* the MN-CSE's */
    uint64_t step;
    uint64_t epoch; /* the authority's then */
    uint32_t owed;  /* residents that were members, by bit */
};

struct said_record {
    size_t speaker;
    uint64_t epoch;     /* of the speaker's key */
    bool excused;       /* who said it was evicted, or something broke down, before it arrived */
    bool too_old;       /* the MN-CSE had its key no more when it arrived */
    bool heard;         /* by the MN-CSE */
    uint32_t forbidden; /* to residents, by bit, and the MN-CSE (MN_BIT) */
};

struct held; /* a publish of QoS 1 on its way */

struct population {
    struct site *site;
    struct site_node *mn;
    struct resident residents[RESIDENTS_LIMIT];
    size_t resident_count;
    size_t size; /* residents that there may be */
    uint64_t random;
    uint64_t step;
    bool upset; /* the network is */
    struct order_record *orders;
    size_t order_count;
    struct said_record *said;
    size_t said_count;
    size_t mn_read; /* of the MN-CSE's events */
    struct held *held;
    size_t held_count;
    /* what happened, in all */
    size_t changes;
    size_t orders_ended;
    size_t messages_heard;
    size_t messages_excused;
    size_t messages_too_old;
    size_t spoken_evicted;
    size_t cuts;
    size_t brokers;
};

/* Hears each message before it is carried, or lost, of all populations made from now on; NULL: nobody does.
 */
typedef void (*population_observer)(void *context, struct population *population,
                                    const struct site_message *message);
void population_observe(population_observer observer, void *context);

/* `size`: devices at most; most of them are members at first. */
struct population *population_new(uint64_t seed, size_t size);
void population_free(struct population *population);
uint64_t population_random(struct population *population, uint64_t below);

/* What the operator, the applications and the world do. Each may be lost with the power of whom it asks. */
void population_order(struct population *population);
void population_command(struct population *population); /* the MN-CSE's own */
void population_speak(struct population *population, size_t resident);
void population_enrol(struct population *population, size_t resident);
void population_evict(struct population *population, size_t resident, bool deaf);
void population_add(struct population *population); /* somebody who was never there */
void population_wake(struct population *population, size_t resident, bool awake);
void population_cut(struct population *population);   /* the power of somebody will go off */
void population_raise(struct population *population); /* who is down starts again */
void population_broker_crash(struct population *population);

/* Applications work, what is on its way arrives, time passes. */
void population_advance(struct population *population, uint64_t ms);
/* Everything works again, until all is as it must be. Fails where that does not come about. */
void population_rest(struct population *population);

#endif
