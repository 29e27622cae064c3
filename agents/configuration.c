/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/configuration.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

cfg_opt_t configuration_broker_options[] = {
    CFG_STR("uri", NULL, CFGF_NONE),
    CFG_STR("ca", NULL, CFGF_NONE),
    CFG_STR("certificate", NULL, CFGF_NONE),
    CFG_STR("private-key", NULL, CFGF_NONE),
    CFG_STR("psk-identity", NULL, CFGF_NONE),
    CFG_STR("psk-file", NULL, CFGF_NONE),
    CFG_STR("user-name", NULL, CFGF_NONE),
    CFG_STR("password-file", NULL, CFGF_NONE),
    CFG_END(),
};

cfg_opt_t configuration_secenv_options[] = {
    CFG_STR("socket", NULL, CFGF_NONE),       CFG_STR("store", NULL, CFGF_NONE),
    CFG_STR("program", NULL, CFGF_NONE),      CFG_STR("root-key", NULL, CFGF_NONE),
    CFG_STR("audit-socket", NULL, CFGF_NONE), CFG_END(),
};

cfg_opt_t configuration_secenv_service_options[] = {
    CFG_STR("socket", NULL, CFGF_NONE),
    CFG_END(),
};

/* libconfuse gives its error function no context: configurations are read one at a time, at the start. Inside
 * a section it knows no file name. */
static char parse_error[512];
static const char *parse_path;

__attribute__((format(printf, 2, 0))) static void on_parse_error(cfg_t *file, const char *format,
                                                                 va_list arguments)
{
    if (parse_error[0] != '\0') {
        return; /* the first one says it */
    }
    int length = file != NULL && file->filename != NULL
                     ? snprintf(parse_error, sizeof(parse_error), "%s, line %d: ", parse_path, file->line)
                     : snprintf(parse_error, sizeof(parse_error), "%s: ", parse_path);
    if (length >= 0 && (size_t)length < sizeof(parse_error)) {
        vsnprintf(parse_error + length, sizeof(parse_error) - (size_t)length, format, arguments);
    }
}

static bool regular_file(const char *path, char *why, size_t why_size)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        snprintf(why, why_size, "cannot read the configuration in %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(why, why_size, "cannot read the configuration in %s: it is not a file", path);
        return false;
    }
    return true;
}

bool configuration_open(struct configuration *configuration, cfg_opt_t *options, const char *path, char *why,
                        size_t why_size)
{
    memset(configuration, 0, sizeof(*configuration));
    configuration->path = path;
    if (!regular_file(path, why, why_size)) {
        return false;
    }
    configuration->file = cfg_init(options, CFGF_NONE);
    if (configuration->file == NULL) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    parse_error[0] = '\0';
    parse_path = path;
    cfg_set_error_function(configuration->file, on_parse_error);
    errno = 0;
    int state = cfg_parse(configuration->file, path);
    if (state == CFG_FILE_ERROR) {
        snprintf(why, why_size, "cannot read the configuration in %s: %s", path, strerror(errno));
    } else if (state != CFG_SUCCESS) {
        snprintf(why, why_size, "%s", parse_error[0] != '\0' ? parse_error : "syntax error");
    }
    return state == CFG_SUCCESS;
}

void configuration_close(struct configuration *configuration)
{
    if (configuration->file != NULL) {
        cfg_free(configuration->file);
    }
    for (size_t i = 0; i < configuration->path_count; i++) {
        free(configuration->paths[i]);
    }
    memset(configuration, 0, sizeof(*configuration));
}

/* The option's text; NULL where it is not set or empty. */
static const char *text_of(cfg_t *section, const char *option)
{
    const char *text = cfg_getstr(section, option);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

const char *configuration_path(struct configuration *configuration, cfg_t *section, const char *option,
                               bool *ok)
{
    const char *text = text_of(section, option);
    const char *slash = strrchr(configuration->path, '/');
    if (text == NULL || text[0] == '/' || slash == NULL) {
        return text;
    }
    char *path = NULL;
    int folder = (int)(slash + 1 - configuration->path);
    if (configuration->path_count == CONFIGURATION_PATHS_LIMIT ||
        asprintf(&path, "%.*s%s", folder, configuration->path, text) < 0) {
        *ok = false;
        return NULL;
    }
    configuration->paths[configuration->path_count++] = path;
    return path;
}

/* Which settings of the broker go together. Returns what is wrong, or NULL. */
static const char *broker_complaint(const struct connection_settings *broker)
{
    bool tls = broker->uri != NULL && strncmp(broker->uri, "mqtts://", 8) == 0;
    bool plain = broker->uri != NULL && strncmp(broker->uri, "mqtt://", 7) == 0;
    bool certificates = broker->ca != NULL || broker->certificate != NULL || broker->private_key != NULL;
    bool psk = broker->psk_identity != NULL || broker->psk_file != NULL;
    if (broker->uri == NULL) {
        return "uri is missing: mqtts://HOST:PORT";
    }
    if ((!tls && !plain) || strlen(broker->uri) < (tls ? 9u : 8u)) {
        return "uri must be mqtts://HOST:PORT, or mqtt://HOST:PORT without TLS";
    }
    if (plain && (certificates || psk)) {
        return "uri is mqtt://, which has no TLS, but certificates or a pre-shared key are set: use mqtts://";
    }
    if (certificates && psk) {
        return "set either ca, certificate and private-key, or psk-identity and psk-file, not both";
    }
    if (tls && !certificates && !psk) {
        return "set ca, certificate and private-key, or psk-identity and psk-file, for mqtts://";
    }
    if (certificates && broker->ca == NULL) {
        return "ca is missing: the CA of the broker's certificate";
    }
    if ((broker->certificate == NULL) != (broker->private_key == NULL)) {
        return "certificate and private-key go together, one of them is missing";
    }
    if ((broker->psk_identity == NULL) != (broker->psk_file == NULL)) {
        return "psk-identity and psk-file go together, one of them is missing";
    }
    if (broker->psk_identity != NULL && strlen(broker->psk_identity) > 128) {
        return "psk-identity is longer than 128 bytes";
    }
    if (broker->password_file != NULL && broker->user_name == NULL) {
        return "password-file without user-name";
    }
    return NULL;
}

bool configuration_broker(struct configuration *configuration, struct connection_settings *out, char *why,
                          size_t why_size)
{
    cfg_t *section = cfg_getsec(configuration->file, "broker");
    bool ok = true;
    memset(out, 0, sizeof(*out));
    out->uri = text_of(section, "uri");
    out->ca = configuration_path(configuration, section, "ca", &ok);
    out->certificate = configuration_path(configuration, section, "certificate", &ok);
    out->private_key = configuration_path(configuration, section, "private-key", &ok);
    out->psk_identity = text_of(section, "psk-identity");
    out->psk_file = configuration_path(configuration, section, "psk-file", &ok);
    out->user_name = text_of(section, "user-name");
    out->password_file = configuration_path(configuration, section, "password-file", &ok);
    const char *complaint = ok ? broker_complaint(out) : "out of memory";
    if (complaint != NULL) {
        snprintf(why, why_size, "%s: broker: %s", configuration->path, complaint);
    }
    return complaint == NULL;
}

bool configuration_secenv(struct configuration *configuration, bool embedded,
                          struct secenv_client_settings *out, char *why, size_t why_size)
{
    cfg_t *section = cfg_getsec(configuration->file, "secenv");
    bool ok = true;
    const char *complaint = NULL;
    memset(out, 0, sizeof(*out));
    out->socket_path = configuration_path(configuration, section, "socket", &ok);
    if (embedded) {
        out->store = configuration_path(configuration, section, "store", &ok);
        out->program = configuration_path(configuration, section, "program", &ok);
        out->root_key = configuration_path(configuration, section, "root-key", &ok);
        out->audit_socket = configuration_path(configuration, section, "audit-socket", &ok);
    }
    bool of_embedded = out->program != NULL || out->root_key != NULL || out->audit_socket != NULL;
    if (!ok) {
        complaint = "out of memory";
    } else if (out->socket_path == NULL && out->store == NULL) {
        complaint = embedded ? "set socket (a service) or store (a secure environment of one's own)"
                             : "socket is missing: the owner socket of the secenv service";
    } else if (out->socket_path != NULL && (out->store != NULL || of_embedded)) {
        complaint = "socket names a service; store, program, root-key and audit-socket are for a secure "
                    "environment of one's own: set the one or the other";
    }
    if (complaint != NULL) {
        snprintf(why, why_size, "%s: secenv: %s", configuration->path, complaint);
    }
    return complaint == NULL;
}

bool configuration_log_level(struct configuration *configuration, enum agent_log_level *out, char *why,
                             size_t why_size)
{
    const char *word = cfg_getstr(configuration->file, "log-level");
    if (!agent_log_level_parse(word, out)) {
        snprintf(why, why_size, "%s: log-level: \"%s\" is not debug, info, warning or alarm",
                 configuration->path, word);
        return false;
    }
    return true;
}
