/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/configuration.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define CHOICES_LIMIT 6u

struct option {
    const char *name;
    size_t offset;
    bool path;
    bool fixed;                         /* read at the start only */
    bool list;                          /* may come more than once */
    const char *choices[CHOICES_LIMIT]; /* none: any text */
};

#define OPTION(name_) .name = #name_, .offset = offsetof(struct configuration, name_)

static const struct option known[] = {
    {OPTION(cse_id), .fixed = true},
    {OPTION(in_cse), .fixed = true},
    {OPTION(secenv_socket), .path = true, .fixed = true},
    {OPTION(secenv_store), .path = true, .fixed = true},
    {OPTION(secenv_program), .path = true, .fixed = true},
    {OPTION(secenv_audit_socket), .path = true, .fixed = true},
    {OPTION(secenv_root_key), .path = true, .fixed = true},
    {OPTION(settings), .path = true, .fixed = true},
    {OPTION(state_file), .path = true, .fixed = true},
    {OPTION(identity), .list = true},
    {OPTION(certificate_name), .choices = {"user", "password", "cn", "dns", "uri"}},
    {OPTION(in_cse_bridge)},
    {OPTION(foreign)},
    {OPTION(mode), .choices = {"enforce", "observe"}},
    {OPTION(commander), .choices = {"in-cse", "mn-cse"}},
    {OPTION(rules), .path = true},
    {OPTION(metrics_file), .path = true},
    {OPTION(control_send), .choices = {"deny", "allow"}},
    {OPTION(admin), .list = true},
    {OPTION(log_level), .choices = {"error", "warning", "info"}},
};

/* ---- one line ---- */

/* Where a line stands: the two spellings of an option. */
struct place {
    const char *prefix;
    const char *file; /* NULL: mosquitto.conf */
    unsigned line;
};

static bool fail(const struct place *place, char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool fail(const struct place *place, char *why, size_t why_size, const char *format, ...)
{
    size_t length = 0;
    va_list arguments;
    if (place->file != NULL) {
        length = (size_t)snprintf(why, why_size, "%s line %u: ", place->file, place->line);
        length = length < why_size ? length : why_size;
    }
    va_start(arguments, format);
    vsnprintf(why + length, why_size - length, format, arguments);
    va_end(arguments);
    return false;
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static bool choice_check(const struct option *option, const char *value, const struct place *place, char *why,
                         size_t why_size)
{
    char lines[200] = "";
    size_t length = 0;
    for (size_t i = 0; i < CHOICES_LIMIT && option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            return true;
        }
        length += (size_t)snprintf(lines + length, sizeof(lines) - length, "%s`%s%s %s`",
                                   i == 0 ? "" : " or ", place->prefix, option->name, option->choices[i]);
    }
    return option->choices[0] == NULL || fail(place, why, why_size, "%s%s %.60s is not known: write %s",
                                              place->prefix, option->name, value, lines);
}

static bool value_check(const struct option *option, const char *value, const struct place *place, char *why,
                        size_t why_size)
{
    if (value == NULL || value[0] == '\0') {
        return fail(place, why, why_size, "%s%s has no value", place->prefix, option->name);
    }
    if (option->path && value[0] != '/') {
        return fail(place, why, why_size,
                    "%s%s %.200s is no absolute path: the broker has no working directory to rely on; write "
                    "it from / on",
                    place->prefix, option->name, value);
    }
    return choice_check(option, value, place, why, why_size);
}

static bool option_take(struct configuration *configuration, const char *name, const char *value,
                        const struct place *place, char *why, size_t why_size)
{
    const struct option *option = option_find(name);
    if (option == NULL) {
        return fail(place, why, why_size,
                    "%s%.60s is not known: remove the line, or see mn_cse(5) for the options there are",
                    place->prefix, name);
    }
    if (option->fixed && place->file != NULL) {
        return fail(place, why, why_size,
                    "%s is read at the start only: write it as `plugin_opt_%s %.100s` in mosquitto.conf",
                    name, name, value == NULL ? "" : value);
    }
    const char **slot = (const char **)(void *)((char *)configuration + option->offset);
    if (option->list) {
        struct configuration_list *list = (struct configuration_list *)(void *)slot;
        if (list->count == CONFIGURATION_LIST_LIMIT) {
            return fail(place, why, why_size, "%s%s is given more than %u times", place->prefix, name,
                        CONFIGURATION_LIST_LIMIT);
        }
        if (!value_check(option, value, place, why, why_size)) {
            return false;
        }
        list->items[list->count++] = value;
        return true;
    }
    if (*slot != NULL) {
        return fail(place, why, why_size, "%s%s is given twice: remove one of the lines", place->prefix,
                    name);
    }
    if (!value_check(option, value, place, why, why_size)) {
        return false;
    }
    *slot = value;
    return true;
}

bool configuration_take(struct configuration *configuration, const char *name, const char *value, char *why,
                        size_t why_size)
{
    const struct place place = {.prefix = "plugin_opt_"};
    return option_take(configuration, name, value, &place, why, why_size);
}

/* ---- the settings file ---- */

/* The whole file as text; NULL: `why` says why not. To be freed. */
static char *file_read(const char *path, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(CONFIGURATION_FILE_LIMIT + 1);
    if (text == NULL) {
        snprintf(why, why_size, "the settings file %s cannot be read: %s", path, strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return NULL;
    }
    size_t length = fread(text, 1, CONFIGURATION_FILE_LIMIT + 1, file);
    bool wrong = ferror(file) != 0 || length > CONFIGURATION_FILE_LIMIT;
    fclose(file);
    if (wrong || memchr(text, '\0', length) != NULL) {
        snprintf(why, why_size, "the settings file %s is no text of at most %u bytes", path,
                 CONFIGURATION_FILE_LIMIT);
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

static char *spaces_skip(char *text)
{
    return text + strspn(text, " \t");
}

static void spaces_cut(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL) {
        text[--length] = '\0';
    }
}

/* NAME VALUE; the value is the rest of the line. Empty lines and those that begin with # say nothing. */
static bool line_take(struct configuration *configuration, char *line, const struct place *place, char *why,
                      size_t why_size)
{
    line = spaces_skip(line);
    spaces_cut(line);
    if (line[0] == '\0' || line[0] == '#') {
        return true;
    }
    char *value = line + strcspn(line, " \t");
    if (*value != '\0') {
        *value++ = '\0';
        value = spaces_skip(value);
    }
    return option_take(configuration, line, value, place, why, why_size);
}

static bool settings_take(struct configuration *configuration, char *why, size_t why_size)
{
    struct place place = {.prefix = "", .file = configuration->settings};
    configuration->file = file_read(configuration->settings, why, why_size);
    if (configuration->file == NULL) {
        return false;
    }
    for (char *line = configuration->file; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        place.line++;
        if (!line_take(configuration, line, &place, why, why_size)) {
            return false;
        }
        line = end;
    }
    return true;
}

/* ---- all of them ---- */

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

static bool text_is(const char *value, const char *text)
{
    return value != NULL && strcmp(value, text) == 0;
}

/* Rules and operators here command; "authority only" says that nobody at the site does. */
static bool commander_check(const struct configuration *configuration, char *why, size_t why_size)
{
    bool commands = text_is(configuration->commander, "mn-cse");
    if (text_is(configuration->control_send, "allow") && (!commands || configuration->admin.count == 0)) {
        snprintf(why, why_size,
                 "plugin_opt_control_send allow lets admins command: write `plugin_opt_commander mn-cse` and "
                 "`plugin_opt_admin NAME` too, or remove it");
        return false;
    }
    if (configuration->rules == NULL || commands) {
        return true;
    }
    snprintf(why, why_size,
             "plugin_opt_rules gives commands, and without `plugin_opt_commander mn-cse` the IN-CSE alone "
             "commands (authority only): write that line, and make the groups with `in-cse group create "
             "--mn-cse-commands`; or remove plugin_opt_rules");
    return false;
}

bool configuration_finish(struct configuration *configuration, char *why, size_t why_size)
{
    if (configuration->settings != NULL && !settings_take(configuration, why, why_size)) {
        return false;
    }
    /* The ids and the rule are the agent's to judge: it refuses them with the lines to write. */
    return foreign_check(configuration, why, why_size) && commander_check(configuration, why, why_size) &&
           secenv_check(configuration, why, why_size);
}

bool configuration_read(struct configuration *configuration, const struct mosquitto_opt *options, int count,
                        char *why, size_t why_size)
{
    memset(configuration, 0, sizeof(*configuration));
    for (int i = 0; i < count; i++) {
        if (!configuration_take(configuration, options[i].key, options[i].value, why, why_size)) {
            return false;
        }
    }
    return configuration_finish(configuration, why, why_size);
}

void configuration_clear(struct configuration *configuration)
{
    free(configuration->file);
    memset(configuration, 0, sizeof(*configuration));
}

/* ---- what they mean ---- */

bool configuration_foreign_allowed(const struct configuration *configuration)
{
    return strcmp(configuration->foreign, "allow") == 0;
}

static enum agent_severity log_level(const struct configuration *configuration)
{
    if (text_is(configuration->log_level, "error")) {
        return AGENT_ALARM;
    }
    return text_is(configuration->log_level, "warning") ? AGENT_WARNING : AGENT_INFO;
}

enum names_source configuration_names(const struct configuration *configuration)
{
    static const char *const texts[] = {
        [NAMES_PASSWORD] = "password", [NAMES_CN] = "cn", [NAMES_DNS] = "dns", [NAMES_URI] = "uri"};
    for (size_t i = NAMES_PASSWORD; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (text_is(configuration->certificate_name, texts[i])) {
            return (enum names_source)i;
        }
    }
    return NAMES_USER;
}

struct agent_settings configuration_agent(const struct configuration *configuration)
{
    return (struct agent_settings){
        .cse_id = configuration->cse_id,
        .in_cse = configuration->in_cse,
        .identity = configuration->identity.items[0],
        .more_identities = configuration->identity.items + 1,
        .more_identity_count = configuration->identity.count > 1 ? configuration->identity.count - 1 : 0,
        .in_cse_bridge = configuration->in_cse_bridge,
        .rules = configuration->rules,
        .admins = configuration->admin.items,
        .admin_count = configuration->admin.count,
        .control_send = text_is(configuration->control_send, "allow"),
        .observe = text_is(configuration->mode, "observe"),
        .log_level = log_level(configuration)};
}

struct secenv_client_settings configuration_secenv(const struct configuration *configuration)
{
    return (struct secenv_client_settings){.socket_path = configuration->secenv_socket,
                                           .program = configuration->secenv_program,
                                           .store = configuration->secenv_store,
                                           .root_key = configuration->secenv_root_key,
                                           .audit_socket = configuration->secenv_audit_socket};
}
