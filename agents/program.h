/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_PROGRAM_H
#define GROUPSEAL_AGENTS_PROGRAM_H

#include <systemd/sd-event.h>

/*
 * The main loop of a program: an event loop that ends on SIGTERM and SIGINT. Call before any thread starts:
 * those signals and SIGCHLD are blocked, and threads inherit that.
 */
sd_event *program_loop(void); /* NULL: errno says why */

#endif
