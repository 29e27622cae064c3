/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_POPULATION_PARTS_H
#define GROUPSEAL_TESTS_SCHEDULES_POPULATION_PARTS_H

#include "tests/schedules/population.h"

/* What the files of a population are to each other. */
#define MN_BIT (1u << RESIDENTS_LIMIT) /* of said_record.forbidden */

/* population_network.c */
void network_start(struct population *population);
void network_end(struct population *population);
/* The owner publishes what its secure environment has sealed. */
void network_publish(struct population *population, const struct resident *from,
                     const Groupseal__Secenv__Spoken *spoken);
/* What is late, or waited for somebody who slept, arrives where it can. */
void network_release(struct population *population);
void network_forget(struct population *population);
bool network_holds(const struct population *population);

/* population_check.c: the applications read what they are given, and say what came of commands. */
void applications_work(struct population *population);

/* population.c: begins a new record of orders, runs and messages. */
void record_forget(struct population *population);

#endif
