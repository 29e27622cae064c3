/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CONFIGURATION_H
#define GROUPSEAL_PLUGIN_CONFIGURATION_H

#include "plugin/broker/compat.h"
#include "secenv/client/secenv_client.h"

/* The plugin_opt_… lines of mosquitto.conf; docs/mn_cse.5 is their manual. Strings are the broker's, which
 * keeps them while the plugin is loaded. */
struct configuration {
    const char *cse_id;
    const char *in_cse;
    const char *identity;
    const char *foreign;
    const char *secenv_socket;
    const char *secenv_store;
    const char *secenv_program;
    const char *secenv_audit_socket;
    const char *secenv_root_key;
};

/* False: `why` says what is wrong and the line to write. */
bool configuration_read(struct configuration *configuration, const struct mosquitto_opt *options, int count,
                        char *why, size_t why_size);

/* True: topics that are none of ours are allowed; false: left to other plugins and the acl_file. */
bool configuration_foreign_allowed(const struct configuration *configuration);
struct agent_settings configuration_agent(const struct configuration *configuration);
struct secenv_client_settings configuration_secenv(const struct configuration *configuration);

#endif
