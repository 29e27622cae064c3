/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_RANDOM_SOURCE_H
#define GROUPSEAL_TESTS_SCHEDULES_RANDOM_SOURCE_H

#include <stdint.h>

/*
 * What random_bytes() gives in this program (the linker's --wrap): always the same of one seed, so that a
 * schedule that failed goes the same way again. TLS draws from its own generator, which no order of events
 * depends on.
 */
void random_source_start(uint64_t seed);

#endif
