/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_SETTINGS_H
#define GROUPSEAL_AGENTS_ADN_AE_SETTINGS_H

#include "agents/adn-ae/device.h"
#include "agents/configuration.h"

/* adn-ae.conf, read and checked. Strings live until settings_close. */
struct settings {
    struct configuration configuration;
    struct device_settings device;
    const char *command_program; /* NULL: commands are answered as failed */
    const char *message_socket;  /* NULL: none */
    enum agent_log_level log_level;
};

/* False: `why` says what is wrong, where, and what to do. settings_close is called after either. */
bool settings_open(struct settings *settings, const char *path, char *why, size_t why_size);
void settings_close(struct settings *settings);

#endif
