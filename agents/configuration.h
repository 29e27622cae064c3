/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CONFIGURATION_H
#define GROUPSEAL_AGENTS_CONFIGURATION_H

#include "agents/connection/connection.h"
#include "agents/log.h"
#include "secenv/client/secenv_client.h"

#include <confuse.h>

/*
 * What the configuration files of in-cse and adn-ae share (libconfuse; groupseal.conf(5)): reading a file,
 * the sections `broker` and `secenv`. Relative paths are taken from the folder of the file. Options that do
 * not exist are errors, so that a typing error cannot pass as a default.
 *
 * Functions that read return false and write file, option and what to do into `why`. Strings in the results
 * belong to the configuration.
 */
#define CONFIGURATION_PATHS_LIMIT 16u

struct configuration {
    cfg_t *file;
    const char *path;
    char *paths[CONFIGURATION_PATHS_LIMIT];
    size_t path_count;
};

extern cfg_opt_t configuration_broker_options[];
extern cfg_opt_t configuration_secenv_options[];         /* socket, store, program, root-key, audit-socket */
extern cfg_opt_t configuration_secenv_service_options[]; /* socket only */

/* Parses the file; after a failure too the configuration is closed with configuration_close. */
bool configuration_open(struct configuration *configuration, cfg_opt_t *options, const char *path, char *why,
                        size_t why_size);
void configuration_close(struct configuration *configuration); /* a zeroed one is allowed */

/* A path option, absolute; NULL where it is not set (or memory is out, which `ok` tells). */
const char *configuration_path(struct configuration *configuration, cfg_t *section, const char *option,
                               bool *ok);
/* Sets everything but the client id. */
bool configuration_broker(struct configuration *configuration, struct connection_settings *out, char *why,
                          size_t why_size);
/* A service's socket, or where `embedded` says so a store. */
bool configuration_secenv(struct configuration *configuration, bool embedded,
                          struct secenv_client_settings *out, char *why, size_t why_size);
bool configuration_log_level(struct configuration *configuration, enum agent_log_level *out, char *why,
                             size_t why_size);

#endif
