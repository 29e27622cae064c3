/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/settings.h"

#include "onem2m/identifier.h"

#include <stdio.h>
#include <string.h>

static cfg_opt_t options[] = {
    CFG_STR("identity", NULL, CFGF_NONE),
    CFG_SEC("broker", configuration_broker_options, CFGF_NONE),
    CFG_SEC("secenv", configuration_secenv_service_options, CFGF_NONE),
    CFG_STR("operator-socket", NULL, CFGF_NONE),
    CFG_STR("log-level", "info", CFGF_NONE),
    CFG_END(),
};

bool settings_open_operator(struct settings *settings, const char *path, char *why, size_t why_size)
{
    memset(settings, 0, sizeof(*settings));
    bool ok = true;
    if (!configuration_open(&settings->configuration, options, path, why, why_size)) {
        return false;
    }
    settings->operator_socket =
        configuration_path(&settings->configuration, settings->configuration.file, "operator-socket", &ok);
    if (!ok) {
        snprintf(why, why_size, "out of memory");
    }
    return ok;
}

bool settings_open(struct settings *settings, const char *path, char *why, size_t why_size)
{
    if (!settings_open_operator(settings, path, why, why_size)) {
        return false;
    }
    settings->identity = cfg_getstr(settings->configuration.file, "identity");
    if (settings->identity == NULL || !onem2m_id_valid(settings->identity) ||
        onem2m_id_is_ae(settings->identity)) {
        snprintf(why, why_size,
                 "%s: identity must be the absolute CSE-ID of the IN-CSE, as //sp.example/in-cse", path);
        return false;
    }
    return configuration_broker(&settings->configuration, &settings->broker, why, why_size) &&
           configuration_secenv(&settings->configuration, false, &settings->secenv, why, why_size) &&
           configuration_log_level(&settings->configuration, &settings->log_level, why, why_size);
}

void settings_close(struct settings *settings)
{
    configuration_close(&settings->configuration);
}
