/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_MESSAGE_SOURCE_H
#define GROUPSEAL_AGENTS_ADN_AE_MESSAGE_SOURCE_H

#include "agents/adn-ae/device.h"

#include <systemd/sd-event.h>

/*
 * Where member messages come from: lines "GROUP payload\n" on standard input or on connections to a local
 * UNIX socket (SOCK_STREAM, mode 0660). Each line of a connection is answered "ok\n" when the message has
 * been handed to the broker, or "error TEXT\n"; lines of standard input that fail are logged. A connection's
 * next line is read when the one before has its answer.
 */
#define MESSAGE_CONNECTIONS_LIMIT 32u

struct message_source;

/* `path` NULL: no socket. A socket at `path` on which nobody listens is replaced. NULL: `why` says what is
 * wrong. */
struct message_source *message_source_open(sd_event *loop, struct device *device, const char *path,
                                           bool standard_input, char *why, size_t why_size);
/* After device_free, which gives the answers that are due. */
void message_source_close(struct message_source *source);

#endif
