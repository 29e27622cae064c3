/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/metrics.h"
#include "plugin/broker/compat.h"
#include "plugin/broker/configuration.h"
#include "plugin/broker/courier.h"
#include "plugin/broker/early_signals.h"
#include "plugin/broker/keeper.h"
#include "plugin/broker/kicks.h"
#include "plugin/broker/leaving.h"
#include "plugin/broker/metrics_file.h"
#include "plugin/broker/names.h"
#include "plugin/broker/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * mn_cse.so: the group agent inside a Mosquitto broker. All callbacks run in the broker's main thread and
 * never wait; each first takes what the courier has brought from secenv. A line for the log may come back as
 * a question, where clients read the broker's log: a callback within another answers, and does no more.
 */
#define PLUGIN_NAME "mn_cse"
#define PLUGIN_VERSION "0.1.0"
#define API_VERSION 5
#define TICK_ALARM_MS 10000u /* starting bridges may take its time before the first */
#define START_WAIT_MS 3000u
#define RESULTS_A_TURN 1024u
#define WATCH_INTERVAL_MS 10000u /* as the broker's own $SYS topics by default */

#define EXPORTED __attribute__((visibility("default")))

static const char no_ticks[] =
    "this broker sends no ticks, so answers and commands wait for other traffic: write "
    "`per_listener_settings false` before all other lines of mosquitto.conf, or use Mosquitto 2.0.15 or "
    "later";

struct plugin {
    mosquitto_plugin_id_t *identifier;
    const struct mosquitto_opt *options; /* the broker's, kept while the plugin is loaded */
    int option_count;
    struct configuration configuration;
    struct agent *agent;
    struct courier *courier;
    struct watchdog *watchdog;
    struct keeper *keeper; /* NULL: registrations and groups end with the broker */
    struct leaving leaving;
    struct kicks kicks;
    struct names names;
    bool busy;           /* a callback is under way */
    uint64_t started_ms; /* monotonic: from then on ticks are expected */
    size_t results_left; /* that may be taken from the courier: results_drain */
    bool ticked;
    bool tick_alarmed;
    uint64_t watched_ms; /* monotonic */
    bool metrics_alarmed;
};

/* One broker is one MN-CSE; a second `plugin` line would share all that is static. */
static struct plugin *instance;

EXPORTED int mosquitto_plugin_version(int supported_version_count, const int *supported_versions);
EXPORTED int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
                                   struct mosquitto_opt *options, int option_count);
EXPORTED int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count);

/* ---- the agent's ports ---- */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Asked for each message of the broker: to some milliseconds is exact enough, and cheaper. */
static uint64_t port_monotonic_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_MONOTONIC_COARSE);
}

static uint64_t port_wall_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_REALTIME);
}

static bool port_publish(void *context, const struct agent_publication *publication)
{
    (void)context;
    return compat_publish(publication);
}

static bool port_request(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                         enum agent_rank rank)
{
    static const enum courier_rank ranks[] = {[AGENT_RANK_MEMBER] = COURIER_RANK_LOW,
                                              [AGENT_RANK_IN_CSE] = COURIER_RANK_MIDDLE,
                                              [AGENT_RANK_OWN] = COURIER_RANK_HIGH};
    const struct plugin *plugin = context;
    return courier_request(plugin->courier, tag, request, ranks[rank]);
}

static bool port_keep(void *context, const char *line, size_t length)
{
    const struct plugin *plugin = context;
    return keeper_keep(plugin->keeper, line, length);
}

static void port_log(void *context, enum agent_severity severity, const char *text)
{
    (void)context;
    compat_log(severity, text);
}

/* ---- what secenv has said ---- */

static void result_deliver(struct plugin *plugin, const struct courier_result *result)
{
    switch (result->kind) {
    case COURIER_UP:
        agent_secenv_up(plugin->agent);
        break;
    case COURIER_DOWN:
        agent_secenv_down(plugin->agent, result->why);
        break;
    case COURIER_REPLY:
        agent_secenv_reply(plugin->agent, result->tag,
                           result->message == NULL ? NULL : result->message->reply);
        break;
    case COURIER_EVENT:
        agent_secenv_event(plugin->agent, result->message->event);
        break;
    }
}

/*
 * What is left of RESULTS_A_TURN. It is only renewed where the broker does not go through its list of what
 * plugins publish: on that way it asks us for each reader, and what we add is added to the list it is going
 * through. Taking results there without an end would empty a bounded queue into one that has no bound.
 */
static void results_drain(struct plugin *plugin)
{
    for (; plugin->results_left > 0 && courier_waiting(plugin->courier); plugin->results_left--) {
        struct courier_result *result = courier_next(plugin->courier);
        if (result == NULL) {
            return;
        }
        result_deliver(plugin, result);
        courier_result_free(result);
    }
}

/* 2.0.11 to 2.0.14 send no TICK under per_listener_settings true. The watchdog has said it where it could; a
 * callback that comes all the same says it in the broker's log. */
static void tick_check(struct plugin *plugin)
{
    if (!plugin->ticked && !plugin->tick_alarmed &&
        clock_ms(CLOCK_MONOTONIC) - plugin->started_ms > TICK_ALARM_MS) {
        plugin->tick_alarmed = true;
        compat_log(AGENT_ALARM, no_ticks);
    }
}

/* What operators watch, every ten seconds; a file that cannot be written is told once. No client's callback
 * waits for it. */
static void watch(struct plugin *plugin)
{
    const char *path = plugin->configuration.metrics_file;
    char why[512];
    size_t length = 0;
    uint64_t now = clock_ms(CLOCK_MONOTONIC);
    if (now - plugin->watched_ms < WATCH_INTERVAL_MS) {
        return;
    }
    plugin->watched_ms = now;
    agent_watch(plugin->agent);
    char *text = path == NULL ? NULL : metrics_text(plugin->agent, &length);
    if (text == NULL) {
        return;
    }
    bool written = metrics_file_write(path, text, length, why, sizeof(why));
    if (!written && !plugin->metrics_alarmed) {
        compat_log(AGENT_WARNING, why);
    }
    plugin->metrics_alarmed = !written;
    free(text);
}

static void turn(struct plugin *plugin)
{
    plugin->results_left = RESULTS_A_TURN;
    results_drain(plugin);
    agent_tick(plugin->agent);
    tick_check(plugin);
}

/* ---- callbacks ---- */

/* False: within another callback. Else it is to be left again. */
static bool callback_enter(struct plugin *plugin)
{
    bool outermost = !plugin->busy;
    plugin->busy = true;
    return outermost;
}

static void callback_leave(struct plugin *plugin, bool outermost)
{
    plugin->busy = !outermost;
}

/* $CONTROL administers the broker: never given away with `foreign allow`. */
static int foreign_result(const struct plugin *plugin, const char *topic)
{
    static const char control[] = "$CONTROL";
    if (configuration_foreign_allowed(&plugin->configuration) &&
        strncmp(topic, control, sizeof(control) - 1) != 0) {
        return MOSQ_ERR_SUCCESS;
    }
    return MOSQ_ERR_PLUGIN_DEFER;
}

/* What the connection has proven; NULL: nothing. */
static const char *client_name(struct plugin *plugin, const struct mosquitto *client, bool reading)
{
    bool refused = false;
    const char *name = names_find(&plugin->names, client, reading, &refused);
    if (refused && !reading) {
        agent_name_refused(plugin->agent, mosquitto_client_username(client));
    }
    return name;
}

/* Who has taken another's client id may do nothing, and is thrown off with the next tick. Not where it is
 * asked about as a reader: its session may be offline. */
static bool client_id_fits(struct plugin *plugin, const struct mosquitto *client, const char *name,
                           bool connected)
{
    const char *client_id = mosquitto_client_id(client);
    if (!agent_client_id_fits(plugin->agent, name, client_id)) {
        if (connected) {
            kicks_add(&plugin->kicks, client_id);
        }
        return false;
    }
    if (plugin->kicks.count > 0 && client_id != NULL) {
        kicks_drop(&plugin->kicks, client_id);
    }
    return true;
}

static int acl_check(struct plugin *plugin, const struct mosquitto_evt_acl_check *check)
{
    bool write = check->access == MOSQ_ACL_WRITE;
    const char *user = mosquitto_client_username(check->client);
    const char *name = client_name(plugin, check->client, check->access == MOSQ_ACL_READ);

    if (!write) {
        leaving_clear(&plugin->leaving);
    }
    const struct agent_attempt attempt = {
        .name = name,
        .access = (enum agent_access)check->access,
        .topic = check->topic,
        .retain = write && check->retain,
        .empty = !write && check->payloadlen == 0,
        .will =
            write && leaving_is(&plugin->leaving, check->client, mosquitto_client_id(check->client), user),
    };
    if (!client_id_fits(plugin, check->client, name, check->access != MOSQ_ACL_READ && !attempt.will)) {
        return MOSQ_ERR_ACL_DENIED;
    }
    switch (agent_allows(plugin->agent, &attempt)) {
    case AGENT_ALLOWED:
        return MOSQ_ERR_SUCCESS;
    case AGENT_DENIED:
        return MOSQ_ERR_ACL_DENIED;
    case AGENT_FOREIGN:
        return foreign_result(plugin, check->topic);
    }
    return MOSQ_ERR_ACL_DENIED;
}

static int on_acl_check(int event, void *data, void *userdata)
{
    const struct mosquitto_evt_acl_check *check = data;
    struct plugin *plugin = userdata;
    (void)event;

    bool outermost = callback_enter(plugin);
    if (outermost && check->access == MOSQ_ACL_READ) {
        results_drain(plugin); /* asked for each reader of each message: no more than this, if that */
    } else if (outermost) {
        turn(plugin);
    }
    int result = acl_check(plugin, check);
    callback_leave(plugin, outermost);
    return result;
}

static int message_check(struct plugin *plugin, struct mosquitto_evt_message *message)
{
    /* What comes in over a bridge of this broker's own passes no ACL, and proves nothing. */
    bool bridge = mosquitto_client_address(message->client) == NULL;

    leaving_clear(&plugin->leaving);
    const char *name = bridge ? mosquitto_client_username(message->client) /* local_username */
                              : client_name(plugin, message->client, false);
    if (!bridge && !client_id_fits(plugin, message->client, name, true)) {
        return MOSQ_ERR_ACL_DENIED;
    }
    const void *payload = message->payload == NULL ? "" : message->payload;
    switch (bridge ? agent_message_bridged(plugin->agent, name, message->topic, payload, message->payloadlen)
                   : agent_message(plugin->agent, name, message->topic, payload, message->payloadlen)) {
    case AGENT_ALLOWED:
        message->retain = false;
        return MOSQ_ERR_SUCCESS;
    case AGENT_DENIED:
        return MOSQ_ERR_ACL_DENIED;
    case AGENT_FOREIGN:
        return MOSQ_ERR_SUCCESS;
    }
    return MOSQ_ERR_ACL_DENIED;
}

static int on_message(int event, void *data, void *userdata)
{
    struct plugin *plugin = userdata;
    (void)event;

    bool outermost = callback_enter(plugin);
    if (outermost) {
        turn(plugin);
    }
    int result = message_check(plugin, data);
    callback_leave(plugin, outermost);
    return result;
}

static int on_tick(int event, void *data, void *userdata)
{
    struct plugin *plugin = userdata;
    (void)event;
    (void)data; /* asking for a time of its own makes 2.1 lose ticks */

    if (!plugin->ticked) {
        plugin->ticked = true;
        watchdog_feed(plugin->watchdog);
    }
    leaving_clear(&plugin->leaving);
    bool outermost = callback_enter(plugin);
    if (outermost) {
        uint64_t before = agent_counter(plugin->agent, AGENT_COUNT_PUBLICATIONS);
        turn(plugin);
        watch(plugin);
        kicks_do(&plugin->kicks);
        keeper_turn(plugin->keeper, clock_ms(CLOCK_MONOTONIC));
        /* 2.1 waits between a tick and the sending of what was published in it. */
        if (compat_is_2_1() && agent_counter(plugin->agent, AGENT_COUNT_PUBLICATIONS) != before) {
            courier_nudge(plugin->courier);
        }
    }
    callback_leave(plugin, outermost);
    return MOSQ_ERR_SUCCESS;
}

static int on_control(int event, void *data, void *userdata)
{
    const struct mosquitto_evt_control *control = data;
    struct plugin *plugin = userdata;
    (void)event;

    bool outermost = callback_enter(plugin);
    if (outermost) {
        turn(plugin);
    }
    /* A bridge's name is what this broker's configuration calls it, not proven. */
    bool bridge = mosquitto_client_address(control->client) == NULL;
    const char *name = bridge ? NULL : client_name(plugin, control->client, false);
    if (!bridge && client_id_fits(plugin, control->client, name, true)) {
        agent_control(plugin->agent, name, control->payload == NULL ? "" : control->payload,
                      control->payloadlen);
    }
    callback_leave(plugin, outermost);
    return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *userdata)
{
    const struct mosquitto_evt_disconnect *disconnect = data;
    struct plugin *plugin = userdata;
    const char *client_id = mosquitto_client_id(disconnect->client);
    (void)event;

    bool outermost = callback_enter(plugin);
    const char *name = client_name(plugin, disconnect->client, true);
    leaving_set(&plugin->leaving, disconnect->client, client_id,
                mosquitto_client_username(disconnect->client));
    if (client_id != NULL) {
        kicks_drop(&plugin->kicks, client_id);
    }
    agent_gone(plugin->agent, name);
    names_gone(&plugin->names, disconnect->client, !mosquitto_client_clean_session(disconnect->client));
    callback_leave(plugin, outermost);
    return MOSQ_ERR_SUCCESS;
}

/* The settings file again. A bad one changes nothing. */
static void settings_reload(struct plugin *plugin)
{
    struct configuration next;
    char why[512] = "";
    char line[700];

    if (plugin->configuration.settings == NULL) {
        return;
    }
    bool good = configuration_read(&next, plugin->options, plugin->option_count, why, sizeof(why));
    if (good) {
        const struct agent_settings settings = configuration_agent(&next);
        good = agent_configure(plugin->agent, &settings, why, sizeof(why));
    }
    if (!good) {
        configuration_clear(&next);
        snprintf(line, sizeof(line), "the settings stay as they were: %s", why);
        compat_log(AGENT_ALARM, line);
        return;
    }
    configuration_clear(&plugin->configuration);
    plugin->configuration = next;
    names_clear(&plugin->names);
    plugin->names.source = configuration_names(&next);
    compat_log(AGENT_INFO, "the settings are read again");
}

static int on_reload(int event, void *data, void *userdata)
{
    struct plugin *plugin = userdata;
    (void)event;
    (void)data;

    bool outermost = callback_enter(plugin);
    agent_counters_log(plugin->agent);
    settings_reload(plugin);
    callback_leave(plugin, outermost);
    return compat_reload_result();
}

/* ---- life ---- */

static const struct {
    enum compat_event event;
    MOSQ_FUNC_generic_callback callback;
} callbacks[] = {
    {COMPAT_RELOAD, on_reload},
    {COMPAT_CONTROL, on_control},
    {COMPAT_ACL_CHECK, on_acl_check},
    {COMPAT_MESSAGE, on_message},
    {COMPAT_TICK, on_tick},
    {COMPAT_DISCONNECT, on_disconnect},
    {COMPAT_CLIENT_OFFLINE, on_disconnect},
};
#define CALLBACK_COUNT (sizeof(callbacks) / sizeof(callbacks[0]))

static void plugin_free(struct plugin *plugin)
{
    for (size_t i = 0; i < CALLBACK_COUNT; i++) {
        compat_unregister(plugin->identifier, callbacks[i].event, callbacks[i].callback);
    }
    watchdog_stop(plugin->watchdog);
    courier_stop(plugin->courier);
    keeper_close(plugin->keeper);
    agent_free(plugin->agent);
    kicks_clear(&plugin->kicks);
    names_clear(&plugin->names);
    configuration_clear(&plugin->configuration);
    free(plugin);
}

static bool state_restore(struct plugin *plugin, char *why, size_t why_size)
{
    const char *path = plugin->configuration.state_file;
    if (path == NULL) {
        return true;
    }
    plugin->keeper = keeper_new(path, plugin->agent, why, why_size);
    return plugin->keeper != NULL && keeper_start(plugin->keeper, clock_ms(CLOCK_MONOTONIC), why, why_size);
}

static bool plugin_start(struct plugin *plugin, char *why, size_t why_size)
{
    const struct agent_ports ports = {.context = plugin,
                                      .monotonic_ms = port_monotonic_ms,
                                      .wall_ms = port_wall_ms,
                                      .publish = port_publish,
                                      .request = port_request,
                                      .log = port_log,
                                      .keep = port_keep};

    if (!configuration_read(&plugin->configuration, plugin->options, plugin->option_count, why, why_size)) {
        return false;
    }
    plugin->names.source = configuration_names(&plugin->configuration);
    const struct agent_settings settings = configuration_agent(&plugin->configuration);
    const struct secenv_client_settings secenv = configuration_secenv(&plugin->configuration);
    plugin->agent = agent_new(&settings, &ports, why, why_size);
    if (plugin->agent == NULL || !state_restore(plugin, why, why_size)) {
        return false;
    }
    plugin->courier = courier_start(&secenv, why, why_size);
    return plugin->courier != NULL;
}

static int callbacks_register(struct plugin *plugin)
{
    for (size_t i = 0; i < CALLBACK_COUNT; i++) {
        int error = compat_register(plugin->identifier, callbacks[i].event, callbacks[i].callback, plugin);
        if (error != MOSQ_ERR_SUCCESS) {
            return error;
        }
    }
    return MOSQ_ERR_SUCCESS;
}

/* A broker that comes back finds sessions and queued messages, and asks at once who may have them: so it
 * takes nobody in before secenv has told its groups, but for a while only. */
static void secenv_await(struct plugin *plugin)
{
    uint64_t deadline = clock_ms(CLOCK_MONOTONIC) + START_WAIT_MS;
    struct early_signals before;

    early_signals_hold(&before);
    bool outermost = callback_enter(plugin);
    while (!agent_settled(plugin->agent) && clock_ms(CLOCK_MONOTONIC) < deadline &&
           courier_await(plugin->courier, deadline)) {
        plugin->results_left = RESULTS_A_TURN;
        results_drain(plugin);
    }
    callback_leave(plugin, outermost);
    early_signals_release(&before);
    if (!agent_settled(plugin->agent)) {
        compat_log(AGENT_WARNING,
                   "secenv has not told its groups yet: until it does their topics are denied");
    }
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
    for (int i = 0; i < supported_version_count; i++) {
        if (supported_versions[i] == API_VERSION) {
            return API_VERSION;
        }
    }
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options,
                          int option_count)
{
    char why[512] = "";

    if (instance != NULL) {
        compat_log(AGENT_ALARM,
                   "it is loaded already: one broker is one MN-CSE, remove the second `plugin` line");
        return MOSQ_ERR_INVAL;
    }
    struct plugin *plugin = calloc(1, sizeof(*plugin));
    if (plugin == NULL) {
        return MOSQ_ERR_NOMEM;
    }
    plugin->identifier = identifier;
    compat_introduce(identifier, PLUGIN_NAME, PLUGIN_VERSION);
    plugin->options = options;
    plugin->option_count = option_count;
    if (!plugin_start(plugin, why, sizeof(why))) {
        compat_log(AGENT_ALARM, why);
        plugin_free(plugin);
        return MOSQ_ERR_INVAL;
    }
    int error = callbacks_register(plugin);
    if (error != MOSQ_ERR_SUCCESS) {
        compat_log(AGENT_ALARM, "this broker does not take its callbacks: is it older than Mosquitto 2.0?");
        plugin_free(plugin);
        return error;
    }
    instance = plugin;
    *userdata = plugin;
    compat_log(AGENT_INFO, "version " PLUGIN_VERSION " started");
    if (configuration_agent(&plugin->configuration).observe) {
        compat_log(AGENT_ALARM, "`mode observe`: it refuses nothing, and protects nothing on this hop");
    }
    secenv_await(plugin);
    plugin->started_ms = plugin->watched_ms = clock_ms(CLOCK_MONOTONIC);
    plugin->watchdog = watchdog_start(TICK_ALARM_MS, no_ticks);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
    (void)options;
    (void)option_count;
    plugin_free(userdata);
    instance = NULL;
    return MOSQ_ERR_SUCCESS;
}
