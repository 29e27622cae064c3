/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_EARLY_SIGNALS_H
#define GROUPSEAL_PLUGIN_EARLY_SIGNALS_H

#include <signal.h>

/* Signals that the broker handles only once it listens: while the plugin's start waits they would end it. */
#define EARLY_SIGNALS 3u /* HUP, USR1, USR2 */

struct early_signals {
    struct sigaction before[EARLY_SIGNALS];
};

void early_signals_hold(struct early_signals *signals);
void early_signals_release(const struct early_signals *signals); /* as they were */

#endif
