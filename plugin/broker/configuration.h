/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CONFIGURATION_H
#define GROUPSEAL_PLUGIN_CONFIGURATION_H

#include "plugin/broker/compat.h"
#include "plugin/broker/names.h"
#include "secenv/client/secenv_client.h"

/*
 * The plugin's options; docs/mn_cse.5 is their manual. They are plugin_opt_… lines of mosquitto.conf, which
 * the broker reads once; those that may change while it runs may stand, without `plugin_opt_`, in the file
 * that `plugin_opt_settings` names, which is read again on SIGHUP. No broker is needed: mn-cse-check uses the
 * same code.
 */
#define CONFIGURATION_FILE_LIMIT 65536u /* bytes of the settings file */

#define CONFIGURATION_LIST_LIMIT 16u

struct configuration {
    /* of plugin_opt_… lines only */
    const char *cse_id;
    const char *in_cse;
    const char *secenv_socket;
    const char *secenv_store;
    const char *secenv_program;
    const char *secenv_audit_socket;
    const char *secenv_root_key;
    const char *settings;
    const char *state_file;
    /* of either */
    const char *in_cse_bridge;
    const char *foreign;
    const char *mode;
    const char *log_level;
    const char *commander;
    const char *control_send;
    const char *metrics_file;
    const char *certificate_name;
    struct configuration_list {
        const char *items[CONFIGURATION_LIST_LIMIT];
        size_t count;
    } identity, admin; /* may come more than once */
    const char *rules;

    char *file; /* what the settings file's values point into; owned */
};

/* Reads all options, the settings file included. The strings of `options` are kept, not copied. False: `why`
 * says what is wrong and the line to write. To be cleared in either case. */
bool configuration_read(struct configuration *configuration, const struct mosquitto_opt *options, int count,
                        char *why, size_t why_size);
void configuration_clear(struct configuration *configuration);

/* The steps of configuration_read, for who has to say which line is wrong: one plugin_opt_… line, after
 * memset to 0; and what is wrong with all of them together. */
bool configuration_take(struct configuration *configuration, const char *name, const char *value, char *why,
                        size_t why_size);
bool configuration_finish(struct configuration *configuration, char *why, size_t why_size);

/* True: topics that are none of ours are allowed; false: left to other plugins and the acl_file. */
bool configuration_foreign_allowed(const struct configuration *configuration);
/* Where the name of a client with a certificate comes from. */
enum names_source configuration_names(const struct configuration *configuration);
struct agent_settings configuration_agent(const struct configuration *configuration);
struct secenv_client_settings configuration_secenv(const struct configuration *configuration);

#endif
