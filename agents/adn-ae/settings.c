/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/settings.h"

#include "onem2m/identifier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static cfg_opt_t options[] = {
    CFG_STR("identity", NULL, CFGF_NONE),
    CFG_STR("registrar", NULL, CFGF_NONE),
    CFG_STR("app-id", "Ngroupseal", CFGF_NONE),
    CFG_SEC("broker", configuration_broker_options, CFGF_NONE),
    CFG_SEC("secenv", configuration_secenv_options, CFGF_NONE),
    CFG_STR("command-program", NULL, CFGF_NONE),
    CFG_STR("message-socket", NULL, CFGF_NONE),
    CFG_STR("log-level", "info", CFGF_NONE),
    CFG_END(),
};

static bool names_read(struct settings *settings, char *why, size_t why_size)
{
    cfg_t *file = settings->configuration.file;
    const char *path = settings->configuration.path;
    struct device_settings *device = &settings->device;
    device->identity = cfg_getstr(file, "identity");
    device->registrar = cfg_getstr(file, "registrar");
    device->app_id = cfg_getstr(file, "app-id");
    if (device->identity == NULL || !onem2m_id_is_ae(device->identity)) {
        snprintf(why, why_size,
                 "%s: identity must be the absolute AE-ID of this device, as //sp.example/Sdoor1", path);
        return false;
    }
    if (device->registrar == NULL || !onem2m_id_valid(device->registrar) ||
        onem2m_id_is_ae(device->registrar)) {
        snprintf(why, why_size,
                 "%s: registrar must be the absolute CSE-ID of the MN-CSE, as //sp.example/mn-1", path);
        return false;
    }
    if ((device->app_id[0] != 'N' && device->app_id[0] != 'R') || strlen(device->app_id) > ONEM2M_ID_LIMIT) {
        snprintf(why, why_size, "%s: app-id must start with N or R and have at most %u bytes", path,
                 ONEM2M_ID_LIMIT);
        return false;
    }
    return true;
}

static bool local_read(struct settings *settings, char *why, size_t why_size)
{
    struct configuration *configuration = &settings->configuration;
    bool ok = true;
    settings->command_program =
        configuration_path(configuration, configuration->file, "command-program", &ok);
    settings->message_socket = configuration_path(configuration, configuration->file, "message-socket", &ok);
    if (!ok) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    if (settings->command_program != NULL && access(settings->command_program, X_OK) != 0) {
        snprintf(why, why_size, "%s: command-program: cannot run %s: %s", configuration->path,
                 settings->command_program, strerror(errno));
        return false;
    }
    return true;
}

bool settings_open(struct settings *settings, const char *path, char *why, size_t why_size)
{
    memset(settings, 0, sizeof(*settings));
    return configuration_open(&settings->configuration, options, path, why, why_size) &&
           names_read(settings, why, why_size) &&
           configuration_broker(&settings->configuration, &settings->device.broker, why, why_size) &&
           configuration_secenv(&settings->configuration, true, &settings->device.secenv, why, why_size) &&
           local_read(settings, why, why_size) &&
           configuration_log_level(&settings->configuration, &settings->log_level, why, why_size);
}

void settings_close(struct settings *settings)
{
    configuration_close(&settings->configuration);
}
