/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_WATCHDOG_H
#define GROUPSEAL_PLUGIN_WATCHDOG_H

/*
 * A thread that waits for the broker's first tick. A broker that sends none may call nothing of ours, so what
 * is wrong is said from here, where the broker's log cannot be used: on standard error and to syslog.
 */
struct watchdog;

/* Says `text` (kept, not copied) once, when it was not fed for `limit_ms`. NULL: no thread to be had. */
struct watchdog *watchdog_start(unsigned limit_ms, const char *text);
/* The tick has come: its thread ends. NULL is allowed here and below. */
void watchdog_feed(struct watchdog *watchdog);
void watchdog_stop(struct watchdog *watchdog);

#endif
