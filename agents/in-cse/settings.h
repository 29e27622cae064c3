/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_SETTINGS_H
#define GROUPSEAL_AGENTS_IN_CSE_SETTINGS_H

#include "agents/configuration.h"

/* in-cse.conf, read and checked. Strings live until settings_close. */
struct settings {
    struct configuration configuration;
    const char *identity; /* absolute CSE-ID */
    struct connection_settings broker;
    struct secenv_client_settings secenv; /* the owner socket */
    const char *operator_socket;          /* NULL: not set */
    enum agent_log_level log_level;
};

/* For `in-cse run`: everything is checked. False: `why`. settings_close is called after either. */
bool settings_open(struct settings *settings, const char *path, char *why, size_t why_size);
/* For the operator's commands: the file must parse, and only operator_socket is set. */
bool settings_open_operator(struct settings *settings, const char *path, char *why, size_t why_size);
void settings_close(struct settings *settings);

#endif
