/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_OUTPUT_H
#define GROUPSEAL_AGENTS_ADN_AE_OUTPUT_H

#include "agents/adn-ae/device.h"

/*
 * What happens at the device, for programs: one JSON object a line on standard output, written at once.
 *
 *   {"event":"message","group":…,"sender":…,"proven":…,"text":…}   "base64" for "text" where it is not UTF-8
 *   {"event":"command","group":…,"command_id":…,"outcome":"done"|"failed","detail":…}
 *   {"event":"joined","group":…}      {"event":"departed","group":…,"reason":…}
 */
void output_message(const struct device_message *message);
void output_command(const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE], bool done,
                    const char *detail);
void output_joined(const char *group);
void output_departed(const char *group, const char *reason);

#endif
