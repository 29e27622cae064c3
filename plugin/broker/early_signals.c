/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/early_signals.h"

static const int numbers[EARLY_SIGNALS] = {SIGHUP, SIGUSR1, SIGUSR2};

static void signal_pass(int number)
{
    (void)number; /* a handler, since what is ignored stays so in an embedded secenv */
}

void early_signals_hold(struct early_signals *signals)
{
    struct sigaction pass = {.sa_handler = signal_pass, .sa_flags = SA_RESTART};
    sigemptyset(&pass.sa_mask);
    for (size_t i = 0; i < EARLY_SIGNALS; i++) {
        sigaction(numbers[i], &pass, &signals->before[i]);
    }
}

void early_signals_release(const struct early_signals *signals)
{
    for (size_t i = 0; i < EARLY_SIGNALS; i++) {
        sigaction(numbers[i], &signals->before[i], NULL);
    }
}
