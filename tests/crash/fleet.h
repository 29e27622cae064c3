/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_CRASH_FLEET_H
#define GROUPSEAL_TESTS_CRASH_FLEET_H

#include "tests/unit/member_play.h"

/*
 * A site of authority, MN-CSE and three doors whose applications carry out what they are given, with a record
 * of every order and of every time that a command was run. What the record must say when all is at rest:
 * nothing was run twice; every order has ended at every door as done, failed or not known; done where it ran.
 * The third door comes and goes; of it only the first is asked.
 */
#define FLEET_GROUP PLAY_GROUP
#define FLEET_DOORS 3u
#define FLEET_NODES (2u + FLEET_DOORS)
#define FLEET_STEADY 2u /* doors that are never evicted */
#define FLEET_VALID_MS 3600000u

struct fleet_order {
    uint8_t id[COMMAND_ID_SIZE];
    bool own; /* the MN-CSE's, asked of it; else the authority's */
};

struct fleet_run {
    uint8_t id[COMMAND_ID_SIZE];
    unsigned times;
    bool finishing; /* its result is not said yet */
    bool done;
};

struct fleet_door {
    struct site_node *node;
    bool enrolled; /* as the operator wants it */
    bool asked;    /* and has had no answer */
    size_t read;   /* of the node's events */
    struct fleet_run *runs;
    size_t run_count;
};

struct fleet {
    struct site *site;
    struct site_node *nodes[FLEET_NODES]; /* authority, MN-CSE, doors */
    struct site_node *mn;
    struct fleet_door doors[FLEET_DOORS];
    struct fleet_order *orders;
    size_t order_count;
    uint64_t random;
    size_t losses[POWER_LOSSES]; /* nodes that went down */
    size_t others;               /* owners and brokers killed */
    size_t outcomes[6];          /* of steady doors, by Outcome */
    unsigned tardiness;          /* of the applications: one result in so many is said later; 0: none */
};

struct fleet *fleet_new(uint64_t seed);
void fleet_free(struct fleet *fleet);
/* 0 … below - 1 */
size_t fleet_random(struct fleet *fleet, size_t below);

/* Each may be lost with the power of whom it asks. */
void fleet_order(struct fleet *fleet);
void fleet_command(struct fleet *fleet); /* the MN-CSE's own */
void fleet_speak(struct fleet *fleet, size_t door);
void fleet_enrol(struct fleet *fleet, bool enrolled); /* the third door */

/* Lets the applications work, carries, moves the clock. */
void fleet_advance(struct fleet *fleet, uint64_t ms);
void fleet_owner_kill(struct fleet *fleet, struct site_node *node);
void fleet_broker_kill(struct fleet *fleet);
/* Who is down is counted and started again, disarmed. */
void fleet_raise(struct fleet *fleet);
/* Until all is as it should be; fails where that does not come about in 20 minutes of the site's time. Then
 * the record is checked, and a new one begun after the orders have expired. */
void fleet_rest(struct fleet *fleet);

#endif
