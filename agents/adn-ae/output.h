/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_OUTPUT_H
#define GROUPSEAL_AGENTS_ADN_AE_OUTPUT_H

#include "agents/adn-ae/device.h"

#include <systemd/sd-event.h>

/*
 * What happens at the device, for programs: one JSON object a line on standard output, written at once.
 *
 *   {"event":"message","group":…,"sender":…,"proven":…,"text":…}   "base64" for "text" where it is not UTF-8
 *   {"event":"command","group":…,"command_id":…,"outcome":"done"|"failed","detail":…}
 *   {"event":"joined","group":…}      {"event":"departed","group":…,"reason":…}
 *
 * A reader that is slow, or hangs, stops nothing: OUTPUT_BYTES_LIMIT wait for it, then whole lines are
 * dropped, and the log says so, and how many. One thread, the event loop's.
 */
#define OUTPUT_BYTES_LIMIT ((size_t)1024 * 1024)

struct output;

/* `fd` stays the caller's. NULL: out of memory. */
struct output *output_open(sd_event *loop, int fd);
/* Gives what waits a last second. NULL is allowed. */
void output_close(struct output *output);

void output_message(struct output *output, const struct device_message *message);
void output_command(struct output *output, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                    bool done, const char *detail);
void output_joined(struct output *output, const char *group);
void output_departed(struct output *output, const char *group, const char *reason);

#endif
