/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_RUNNER_H
#define GROUPSEAL_AGENTS_ADN_AE_RUNNER_H

#include "agents/adn-ae/device.h"

#include <systemd/sd-event.h>

/*
 * Runs the user's program for each command, one after the other, in the order of the commands:
 *
 *   standard input   the payload
 *   environment      GROUPSEAL_GROUP, GROUPSEAL_COMMAND_ID (hex), GROUPSEAL_COMMANDER, GROUPSEAL_IDENTITY
 *   exit status      0: done, else failed
 *   standard output  its first line, at most 200 bytes, is the detail of the result
 *   time limit       what remains of the command's validity; then it is killed with its process group, and
 *                    the command has failed ("timed out")
 *
 * A command that expired while it waited for another is not run ("expired before its turn").
 */
#define RUNNER_QUEUE_LIMIT 256u

struct runner;

/* What became of a command; `detail` may be "". */
typedef void runner_finished(void *context, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                             bool done, const char *detail);

/* The program gets the environment that this process has now. Strings are copied. SIGCHLD must be blocked
 * in all threads. NULL: out of memory. */
struct runner *runner_new(sd_event *loop, const char *program, const char *identity,
                          runner_finished *finished, void *context);
/* Kills a program that runs; its command and those that wait have no result (they become `unknown`). */
void runner_free(struct runner *runner);

/* False: too many wait, or no memory; the caller says that it has failed. */
bool runner_add(struct runner *runner, const struct device_command *command);

#endif
