/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/configuration.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct option {
    const char *name;
    size_t offset;
    bool path;
};

static const struct option known[] = {
    {"cse_id", offsetof(struct configuration, cse_id), false},
    {"in_cse", offsetof(struct configuration, in_cse), false},
    {"identity", offsetof(struct configuration, identity), false},
    {"foreign", offsetof(struct configuration, foreign), false},
    {"secenv_socket", offsetof(struct configuration, secenv_socket), true},
    {"secenv_store", offsetof(struct configuration, secenv_store), true},
    {"secenv_program", offsetof(struct configuration, secenv_program), true},
    {"secenv_audit_socket", offsetof(struct configuration, secenv_audit_socket), true},
    {"secenv_root_key", offsetof(struct configuration, secenv_root_key), true},
};

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static bool option_take(struct configuration *configuration, const struct mosquitto_opt *given, char *why,
                        size_t why_size)
{
    const struct option *option = option_find(given->key);
    if (option == NULL) {
        snprintf(why, why_size,
                 "plugin_opt_%s is not known: remove the line, or see mn_cse(5) for the options there are",
                 given->key);
        return false;
    }
    const char **value = (const char **)(void *)((char *)configuration + option->offset);
    if (*value != NULL) {
        snprintf(why, why_size, "plugin_opt_%s is given twice: remove one of the lines", option->name);
        return false;
    }
    if (given->value == NULL || given->value[0] == '\0') {
        snprintf(why, why_size, "plugin_opt_%s has no value", option->name);
        return false;
    }
    if (option->path && given->value[0] != '/') {
        snprintf(
            why, why_size,
            "plugin_opt_%s %s is no absolute path: the broker has no working directory to rely on; write it "
            "from / on",
            option->name, given->value);
        return false;
    }
    *value = given->value;
    return true;
}

static bool foreign_check(const struct configuration *configuration, char *why, size_t why_size)
{
    if (configuration->foreign != NULL &&
        (strcmp(configuration->foreign, "allow") == 0 || strcmp(configuration->foreign, "defer") == 0)) {
        return true;
    }
    snprintf(
        why, why_size,
        "what is to become of topics that are none of Groupseal's is your decision: write "
        "`plugin_opt_foreign "
        "allow` (any client may use them) or `plugin_opt_foreign defer` (your acl_file or another plugin "
        "decides; with neither they are all denied)");
    return false;
}

static bool socket_path_check(const char *name, const char *path, char *why, size_t why_size)
{
    if (path != NULL && strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        snprintf(why, why_size, "plugin_opt_%s %s is longer than a UNIX socket's path can be (%zu bytes)",
                 name, path, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
        return false;
    }
    return true;
}

static bool secenv_check(const struct configuration *configuration, char *why, size_t why_size)
{
    if ((configuration->secenv_socket == NULL) == (configuration->secenv_store == NULL)) {
        snprintf(
            why, why_size,
            "write either `plugin_opt_secenv_socket /run/groupseal/owner.sock` (a secenv service: keys out "
            "of "
            "the broker's reach) or `plugin_opt_secenv_store /var/lib/mosquitto/secenv` (a secenv of the "
            "broker's own), and not both");
        return false;
    }
    if (configuration->secenv_socket != NULL &&
        (configuration->secenv_program != NULL || configuration->secenv_audit_socket != NULL ||
         configuration->secenv_root_key != NULL)) {
        snprintf(
            why, why_size,
            "plugin_opt_secenv_program, _audit_socket and _root_key belong to plugin_opt_secenv_store: with "
            "plugin_opt_secenv_socket the service has its own");
        return false;
    }
    if (configuration->secenv_program != NULL && access(configuration->secenv_program, X_OK) != 0) {
        snprintf(why, why_size, "plugin_opt_secenv_program %s cannot be run: %s",
                 configuration->secenv_program, strerror(errno));
        return false;
    }
    return socket_path_check("secenv_socket", configuration->secenv_socket, why, why_size) &&
           socket_path_check("secenv_audit_socket", configuration->secenv_audit_socket, why, why_size);
}

bool configuration_read(struct configuration *configuration, const struct mosquitto_opt *options, int count,
                        char *why, size_t why_size)
{
    memset(configuration, 0, sizeof(*configuration));
    for (int i = 0; i < count; i++) {
        if (!option_take(configuration, &options[i], why, why_size)) {
            return false;
        }
    }
    /* The ids and the rule are the agent's to judge: it refuses them with the lines to write. */
    return foreign_check(configuration, why, why_size) && secenv_check(configuration, why, why_size);
}

bool configuration_foreign_allowed(const struct configuration *configuration)
{
    return strcmp(configuration->foreign, "allow") == 0;
}

struct agent_settings configuration_agent(const struct configuration *configuration)
{
    return (struct agent_settings){.cse_id = configuration->cse_id,
                                   .in_cse = configuration->in_cse,
                                   .identity = configuration->identity};
}

struct secenv_client_settings configuration_secenv(const struct configuration *configuration)
{
    return (struct secenv_client_settings){.socket_path = configuration->secenv_socket,
                                           .program = configuration->secenv_program,
                                           .store = configuration->secenv_store,
                                           .root_key = configuration->secenv_root_key,
                                           .audit_socket = configuration->secenv_audit_socket};
}
