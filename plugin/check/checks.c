/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/check/checks.h"

#include "plugin/agent/identity.h"
#include "plugin/agent/rules.h"
#include "plugin/broker/configuration.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LISTENERS_LIMIT 64u

/* What stands for one listener; the first is what stands before any of them. */
struct listener {
    const struct conf_line *line; /* NULL: the default one */
    const char *address;          /* what follows the port; "" everywhere */
    bool unix_socket;
    const struct conf_line *certificate; /* certfile */
    const struct conf_line *psk_hint;
    const struct conf_line *require_certificate;
    const struct conf_line *identity;
    const struct conf_line *subject;
    const struct conf_line *one_client;
    const struct conf_line *anonymous;
    const struct conf_line *password_file;
    const struct conf_line *port; /* of the default one */
};

struct check {
    const struct conf *conf;
    check_tell tell;
    void *context;
    unsigned errors;

    struct configuration options;
    struct identity_rule rule; /* where the options are right */
    bool rule_known;
    struct listener listeners[LISTENERS_LIMIT];
    size_t listener_count;
    const struct conf_line *plugin; /* ours */
    const struct conf_line *before; /* another plugin, before ours */
    const struct conf_line *other;  /* another plugin at all */
    const struct conf_line *acl_file;
    const struct conf_line *password_file;
    const struct conf_line *psk_file;
    const struct conf_line *per_listener;
};

static void tell(struct check *check, enum check_rank rank, const struct conf_line *line, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void tell(struct check *check, enum check_rank rank, const struct conf_line *line, const char *format,
                 ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const struct complaint complaint = {.rank = rank,
                                        .file = line != NULL ? line->file : check->conf->files[0],
                                        .line = line != NULL ? line->number : 1,
                                        .text = text};
    check->errors += rank == CHECK_ERROR;
    check->tell(check->context, &complaint);
}

static bool is_true(const struct conf_line *line)
{
    return line != NULL && (strcmp(line->value, "true") == 0 || strcmp(line->value, "1") == 0);
}

/* ---- gathering ---- */

static struct listener *listener_last(struct check *check)
{
    return &check->listeners[check->listener_count - 1];
}

static void listener_add(struct check *check, const struct conf_line *line)
{
    if (check->listener_count == LISTENERS_LIMIT) {
        tell(check, CHECK_WARNING, line, "this listener and all that follow are not looked at");
        return;
    }
    struct listener *listener = &check->listeners[check->listener_count++];
    const char *address = line->value + strcspn(line->value, " \t");
    memset(listener, 0, sizeof(*listener));
    listener->line = line;
    listener->address = address + strspn(address, " \t");
    listener->unix_socket = strncmp(line->value, "0 ", 2) == 0;
}

static bool is_ours(const char *path)
{
    const char *name = strrchr(path, '/');
    return strstr(name == NULL ? path : name, "mn_cse") != NULL;
}

static void plugin_gather(struct check *check, const struct conf_line *line)
{
    if (!is_ours(line->value)) {
        check->other = line;
        check->before = check->plugin == NULL ? line : check->before;
    } else if (check->plugin != NULL) {
        tell(check, CHECK_ERROR, line, "one broker is one MN-CSE: remove this second line");
    } else {
        check->plugin = line;
    }
}

/* plugin_load NAME PATH, of Mosquitto 2.1: listeners without a plugin_use are not covered. */
static void named_plugin_gather(struct check *check, const struct conf_line *line)
{
    const char *path = line->value + strcspn(line->value, " \t");
    tell(check, CHECK_ERROR, line,
         "listeners without `plugin_use` are not covered: write `global_plugin %s` in its place",
         path + strspn(path, " \t"));
    plugin_gather(check, line);
}

/* The names of lines, and where each is remembered. */
static void line_gather(struct check *check, const struct conf_line *line)
{
    struct listener *listener = listener_last(check);
    const struct {
        const char *name;
        const struct conf_line **slot;
    } slots[] = {
        {"certfile", &listener->certificate},
        {"psk_hint", &listener->psk_hint},
        {"require_certificate", &listener->require_certificate},
        {"use_identity_as_username", &listener->identity},
        {"use_subject_as_username", &listener->subject},
        {"use_username_as_clientid", &listener->one_client},
        {"allow_anonymous", &listener->anonymous},
        {"listener_allow_anonymous", &listener->anonymous}, /* of 2.1 */
        {"password_file", &listener->password_file},
        {"port", &listener->port},
        {"bind_address", &listener->port},
        {"acl_file", &check->acl_file},
        {"psk_file", &check->psk_file},
        {"per_listener_settings", &check->per_listener},
    };
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        if (strcmp(slots[i].name, line->name) == 0) {
            *slots[i].slot = line;
        }
    }
    if (strcmp(line->name, "password_file") == 0) {
        check->password_file = line;
    }
}

static void option_gather(struct check *check, const struct conf_line *line, bool ours)
{
    static const char prefix[] = "plugin_opt_";
    char why[800];
    if (!ours || strncmp(line->name, prefix, sizeof(prefix) - 1) != 0) {
        return;
    }
    if (!configuration_take(&check->options, line->name + sizeof(prefix) - 1, line->value, why,
                            sizeof(why))) {
        tell(check, CHECK_ERROR, line, "%s", why);
    }
}

static void gather(struct check *check)
{
    bool ours = false; /* plugin_opt_ lines belong to the plugin line above */
    check->listener_count = 1;
    check->listeners[0].address = "";
    for (size_t i = 0; i < check->conf->count; i++) {
        const struct conf_line *line = &check->conf->lines[i];
        if (strcmp(line->name, "listener") == 0) {
            listener_add(check, line);
        } else if (strcmp(line->name, "plugin_load") == 0 && is_ours(line->value)) {
            ours = true;
            named_plugin_gather(check, line);
        } else if (strcmp(line->name, "plugin") == 0 || strcmp(line->name, "auth_plugin") == 0 ||
                   strcmp(line->name, "global_plugin") == 0) {
            ours = is_ours(line->value);
            plugin_gather(check, line);
        } else {
            if (strcmp(line->name, "bind_address") == 0) {
                check->listeners[0].address = line->value;
            }
            line_gather(check, line);
            option_gather(check, line, ours);
        }
    }
}

/* ---- our options ---- */

static void rules_check(struct check *check)
{
    char why[400];
    if (check->options.rules == NULL) {
        return;
    }
    struct rules *rules = rules_read(check->options.rules, why, sizeof(why));
    if (rules == NULL) {
        tell(check, CHECK_ERROR, check->plugin, "%s", why);
    }
    rules_free(rules);
}

static void options_check(struct check *check)
{
    char why[800];
    if (check->plugin == NULL) {
        tell(check, CHECK_ERROR, NULL,
             "the plugin is not loaded: write `plugin /usr/lib/groupseal/mn_cse.so` and its plugin_opt_ "
             "lines");
        return;
    }
    unsigned before = check->errors;
    if (!configuration_finish(&check->options, why, sizeof(why))) {
        tell(check, CHECK_ERROR, check->plugin, "%s", why);
    }
    check->rule_known = identity_rule_set(&check->rule, check->options.cse_id, check->options.in_cse,
                                          check->options.identity.items[0], why, sizeof(why));
    if (!check->rule_known) {
        tell(check, CHECK_ERROR, check->plugin, "%s", why);
    }
    if (check->errors == before) {
        rules_check(check);
    }
    if (check->options.mode != NULL && strcmp(check->options.mode, "observe") == 0) {
        tell(check, CHECK_WARNING, check->plugin,
             "`mode observe` protects nothing on this hop: when its log is quiet, write "
             "`plugin_opt_mode enforce`");
    }
}

/* ---- the other lines of the broker ---- */

static void order_check(struct check *check)
{
    const struct conf_line *before = check->before;
    if (before == NULL || check->plugin == NULL) {
        return;
    }
    bool always_answers = strstr(before->value, "dynamic_security") != NULL;
    tell(
        check, always_answers ? CHECK_ERROR : CHECK_WARNING, before,
        "this plugin comes before mn_cse.so, and the first that answers decides%s: write `plugin %s` and its "
        "options above this line",
        always_answers ? "; this one always answers" : "", check->plugin->value);
}

static void foreign_check(struct check *check)
{
    const char *foreign = check->options.foreign;
    if (foreign == NULL || check->plugin == NULL) {
        return;
    }
    bool defers = strcmp(foreign, "defer") == 0;
    if (defers && check->acl_file == NULL && check->other == NULL) {
        tell(check, CHECK_ERROR, check->plugin,
             "with `foreign defer` and neither an acl_file nor another plugin every other topic is denied: "
             "write `plugin_opt_foreign allow`, or an `acl_file`");
    }
    if (!defers && check->acl_file != NULL) {
        tell(check, CHECK_WARNING, check->acl_file,
             "with `foreign allow` this file is never asked: write `plugin_opt_foreign defer`");
    }
}

static void per_listener_check(struct check *check)
{
    if (is_true(check->per_listener)) {
        tell(check, CHECK_ERROR, check->per_listener,
             "a plugin then covers one listener only, and brokers before 2.0.15 send it no ticks: write "
             "`per_listener_settings false`");
    }
}

/* ---- listeners ---- */

static bool is_local(const struct listener *listener)
{
    return listener->unix_socket || strcmp(listener->address, "127.0.0.1") == 0 ||
           strcmp(listener->address, "::1") == 0 || strcmp(listener->address, "localhost") == 0;
}

/* Settings of all listeners stand with any of them, unless per_listener_settings is true. */
static const struct conf_line *global(const struct check *check, size_t at, bool password)
{
    const struct conf_line *found = NULL;
    for (size_t i = 0; i < check->listener_count; i++) {
        const struct listener *listener = &check->listeners[i];
        const struct conf_line *line = password ? listener->password_file : listener->anonymous;
        if (line != NULL && (!is_true(check->per_listener) || i == at)) {
            found = line;
        }
    }
    return found;
}

static void certificates_check(struct check *check, const struct listener *listener)
{
    const char *source = check->options.certificate_name;
    bool named = source != NULL && strcmp(source, "user") != 0;
    if (!named && !is_true(listener->identity) && !is_true(listener->subject)) {
        tell(check, CHECK_WARNING, listener->require_certificate,
             "clients choose user names here, and the plugin refuses those that are not in the certificate; "
             "others may not: write `use_identity_as_username true` below this "
             "line");
    }
    if (is_true(listener->subject) && check->options.identity.count == 1 &&
        strncmp(check->options.identity.items[0], "%u", 2) != 0 &&
        strchr(check->options.identity.items[0], ' ') == NULL) {
        tell(check, CHECK_WARNING, listener->subject,
             "names are whole subjects here (CN=Sdoor1,O=…), which `plugin_opt_identity %s` makes no id of: "
             "write `use_identity_as_username true` in its place",
             check->options.identity.items[0]);
    }
}

static void psk_check(struct check *check, const struct listener *listener)
{
    if (!is_true(listener->identity)) {
        tell(check, CHECK_ERROR, listener->psk_hint,
             "any key may claim any user name here: write `use_identity_as_username true` below this line");
    }
    if (check->psk_file == NULL && check->other == NULL) {
        tell(check, CHECK_ERROR, listener->psk_hint,
             "there are no pre-shared keys: write `psk_file /etc/mosquitto/psk`");
    }
}

static void passwords_check(struct check *check, size_t at, const struct conf_line *line)
{
    const struct listener *listener = &check->listeners[at];
    if (global(check, at, true) == NULL && check->other == NULL) {
        tell(check, CHECK_ERROR, line,
             "nothing proves a client's name here: write `require_certificate true` and "
             "`use_identity_as_username true`, or `psk_hint` with it, or `password_file "
             "/etc/mosquitto/passwd`");
    } else if (listener->certificate == NULL && !is_local(listener)) {
        tell(check, CHECK_WARNING, line,
             "passwords cross the network in the clear here: write `certfile` and `keyfile` below this line, "
             "or name 127.0.0.1 as its address");
    }
}

static void listener_check(struct check *check, size_t at)
{
    const struct listener *listener = &check->listeners[at];
    const struct conf_line *line = listener->line != NULL ? listener->line : listener->port;
    const struct conf_line *anonymous = global(check, at, false);
    bool named = is_true(listener->require_certificate) || listener->psk_hint != NULL;
    if (is_true(anonymous) && !named) {
        tell(check, CHECK_ERROR, anonymous,
             "clients without a name may connect, and take any other's: write `allow_anonymous false`");
    }
    if (is_true(listener->require_certificate)) {
        certificates_check(check, listener);
    } else if (listener->psk_hint != NULL) {
        psk_check(check, listener);
    } else {
        passwords_check(check, at, line);
    }
    if (!is_true(listener->one_client)) {
        tell(check, CHECK_WARNING, line,
             "a client can end another's connection by its client id: write `use_username_as_clientid true` "
             "below this line");
    }
}

static void listeners_check(struct check *check)
{
    const struct listener *first = &check->listeners[0];
    bool local_only = check->listener_count == 1 && first->port == NULL;
    if (local_only) {
        tell(check, CHECK_ERROR, NULL,
             "without a listener the broker takes clients of this machine only: write `listener 8883`, with "
             "`cafile`, `certfile`, `keyfile`, `require_certificate true` and `use_identity_as_username "
             "true`");
        return;
    }
    for (size_t i = first->port == NULL ? 1 : 0; i < check->listener_count; i++) {
        listener_check(check, i);
    }
}

/* ---- bridges ---- */

bool filters_overlap(const char *left, const char *right)
{
    for (;;) {
        size_t left_length = strcspn(left, "/");
        size_t right_length = strcspn(right, "/");
        if (left[0] == '#' || right[0] == '#') {
            return true;
        }
        bool same = left_length == right_length && memcmp(left, right, left_length) == 0;
        if (!same && !(left_length == 1 && left[0] == '+') && !(right_length == 1 && right[0] == '+')) {
            return false;
        }
        left += left_length;
        right += right_length;
        if (*left == '\0' || *right == '\0') {
            /* "a/#" matches "a", too. */
            return strcmp(left, right) == 0 || strcmp(left, "/#") == 0 || strcmp(right, "/#") == 0;
        }
        left++;
        right++;
    }
}

struct pattern {
    char words[5][300]; /* pattern, direction, QoS, local prefix, remote prefix */
};

static void pattern_split(const char *value, struct pattern *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < 5 && *value != '\0'; i++) {
        size_t length = strcspn(value, " \t");
        snprintf(out->words[i], sizeof(out->words[i]), "%.*s", (int)(length < 290 ? length : 290), value);
        value += length;
        value += strspn(value, " \t");
    }
    for (size_t i = 3; i < 5; i++) {
        if (strcmp(out->words[i], "\"\"") == 0) {
            out->words[i][0] = '\0';
        }
    }
    if (out->words[1][0] == '\0') {
        snprintf(out->words[1], sizeof(out->words[1]), "out");
    }
}

/* What an MN-CSE's bridge to its IN-CSE carries: requests and responses of these two, each one way. */
static bool pattern_is_ours(const struct check *check, const char *filter, const char *direction)
{
    const char *me = check->rule.cse_level;
    const char *in_cse = check->rule.in_level;
    char allowed[4][400];
    bool in = strcmp(direction, "in") == 0;
    if (!check->rule_known || (!in && strcmp(direction, "out") != 0)) {
        return false;
    }
    snprintf(allowed[0], sizeof(allowed[0]), "/oneM2M/req/%s/%s/json", in ? in_cse : me, in ? me : in_cse);
    snprintf(allowed[1], sizeof(allowed[1]), "/oneM2M/resp/%s/%s/json", in ? me : in_cse, in ? in_cse : me);
    return strcmp(filter, allowed[0]) == 0 || strcmp(filter, allowed[1]) == 0;
}

static void bridge_side_check(struct check *check, const struct conf_line *line, const char *filter,
                              const char *direction)
{
    const char *me = check->rule_known ? check->rule.cse_level : "mn-1";
    const char *in_cse = check->rule_known ? check->rule.in_level : "in-cse";
    if (filters_overlap(filter, "groupseal/#")) {
        tell(check, CHECK_ERROR, line,
             "this bridge carries group topics (%s): they never cross one, and it passes no access check; "
             "name the topics that it is for, and neither # nor groupseal/#",
             filter);
    }
    if (filters_overlap(filter, "/oneM2M/#") && !pattern_is_ours(check, filter, direction)) {
        tell(
            check, CHECK_ERROR, line,
            "this bridge carries more of /oneM2M/ than this MN-CSE and its IN-CSE say to each other (%s %s): "
            "write `topic /oneM2M/req/%s/%s/json in 1`, `topic /oneM2M/resp/%s/%s/json in 1`, `topic "
            "/oneM2M/req/%s/%s/json out 1`, `topic /oneM2M/resp/%s/%s/json out 1`",
            filter, direction, in_cse, me, me, in_cse, me, in_cse, in_cse, me);
    }
}

static void bridge_topic_check(struct check *check, const struct conf_line *line)
{
    struct pattern pattern;
    char local[700];
    char remote[700];
    pattern_split(line->value, &pattern);
    snprintf(local, sizeof(local), "%s%s", pattern.words[3], pattern.words[0]);
    snprintf(remote, sizeof(remote), "%s%s", pattern.words[4], pattern.words[0]);
    bridge_side_check(check, line, local, pattern.words[1]);
    if (strcmp(local, remote) != 0) {
        bridge_side_check(check, line, remote, pattern.words[1]);
    }
}

static void bridges_check(struct check *check)
{
    bool bridge = false;
    for (size_t i = 0; i < check->conf->count; i++) {
        const struct conf_line *line = &check->conf->lines[i];
        if (strcmp(line->name, "connection") == 0) {
            bridge = true;
        } else if (strcmp(line->name, "listener") == 0) {
            bridge = false;
        } else if (bridge && strcmp(line->name, "topic") == 0) {
            bridge_topic_check(check, line);
        }
    }
}

unsigned checks_run(const struct conf *conf, check_tell tell_complaint, void *context)
{
    struct check check = {.conf = conf, .tell = tell_complaint, .context = context};
    gather(&check);
    options_check(&check);
    per_listener_check(&check);
    order_check(&check);
    foreign_check(&check);
    listeners_check(&check);
    bridges_check(&check);
    configuration_clear(&check.options);
    return check.errors;
}
