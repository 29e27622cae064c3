/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/compat.h"
#include "plugin/broker/configuration.h"
#include "plugin/broker/courier.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * mn_cse.so: the group agent inside a Mosquitto broker. All callbacks run in the broker's main thread and
 * never wait; each first takes what the courier has brought from secenv.
 */
#define PLUGIN_NAME "mn_cse"
#define PLUGIN_VERSION "0.1.0"
#define API_VERSION 5
#define TICK_ALARM_MS 5000u
#define RESULTS_A_TURN 1024u

#define EXPORTED __attribute__((visibility("default")))

struct plugin {
    mosquitto_plugin_id_t *identifier;
    struct configuration configuration;
    struct agent *agent;
    struct courier *courier;
    const struct mosquitto
        *leaving;        /* its DISCONNECT was the last event: what it still publishes is its will */
    uint64_t started_ms; /* monotonic */
    bool ticked;
    bool tick_alarmed;
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

static uint64_t port_monotonic_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_MONOTONIC);
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

static void results_drain(struct plugin *plugin)
{
    for (size_t i = 0; i < RESULTS_A_TURN && courier_waiting(plugin->courier); i++) {
        struct courier_result *result = courier_next(plugin->courier);
        if (result == NULL) {
            return;
        }
        result_deliver(plugin, result);
        courier_result_free(result);
    }
}

/* 2.0.11 to 2.0.14 send no TICK under per_listener_settings true: then answers wait for traffic. */
static void tick_check(struct plugin *plugin)
{
    if (!plugin->ticked && !plugin->tick_alarmed &&
        clock_ms(CLOCK_MONOTONIC) - plugin->started_ms > TICK_ALARM_MS) {
        plugin->tick_alarmed = true;
        compat_log(
            AGENT_ALARM,
            "this broker sends no ticks, so answers and commands wait for other traffic: write "
            "`per_listener_settings false` before all other lines of mosquitto.conf, or use Mosquitto 2.0.15 "
            "or later");
    }
}

static void turn(struct plugin *plugin)
{
    results_drain(plugin);
    agent_tick(plugin->agent);
    tick_check(plugin);
}

/* ---- callbacks ---- */

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

static int on_acl_check(int event, void *data, void *userdata)
{
    const struct mosquitto_evt_acl_check *check = data;
    struct plugin *plugin = userdata;
    bool write = check->access == MOSQ_ACL_WRITE;
    (void)event;

    if (check->access == MOSQ_ACL_READ) {
        results_drain(plugin); /* asked for each reader of each message: no more than this */
    } else {
        turn(plugin);
    }
    const struct agent_attempt attempt = {
        .name = mosquitto_client_username(check->client),
        .access = (enum agent_access)check->access,
        .topic = check->topic,
        .retain = write && check->retain,
        .will = write && check->client == plugin->leaving,
    };
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

/* The name that the connection has proven. What comes in over a bridge of this broker's own passes no ACL,
 * and proves nothing. */
static const char *publisher_name(const struct mosquitto *client)
{
    return mosquitto_client_address(client) == NULL ? NULL : mosquitto_client_username(client);
}

static int on_message(int event, void *data, void *userdata)
{
    struct mosquitto_evt_message *message = data;
    struct plugin *plugin = userdata;
    (void)event;

    turn(plugin);
    switch (agent_message(plugin->agent, publisher_name(message->client), message->topic,
                          message->payload == NULL ? "" : message->payload, message->payloadlen)) {
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

static int on_tick(int event, void *data, void *userdata)
{
    struct plugin *plugin = userdata;
    (void)event;
    (void)data; /* asking for a time of its own makes 2.1 lose ticks */

    plugin->ticked = true;
    plugin->leaving = NULL;
    turn(plugin);
    return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *userdata)
{
    const struct mosquitto_evt_disconnect *disconnect = data;
    struct plugin *plugin = userdata;
    (void)event;

    plugin->leaving = disconnect->client;
    agent_gone(plugin->agent, mosquitto_client_username(disconnect->client));
    return MOSQ_ERR_SUCCESS;
}

static int on_reload(int event, void *data, void *userdata)
{
    const struct plugin *plugin = userdata;
    (void)event;
    (void)data;

    agent_counters_log(plugin->agent);
    return compat_reload_result();
}

/* ---- life ---- */

static const struct {
    enum compat_event event;
    MOSQ_FUNC_generic_callback callback;
} callbacks[] = {
    {COMPAT_RELOAD, on_reload}, {COMPAT_ACL_CHECK, on_acl_check},   {COMPAT_MESSAGE, on_message},
    {COMPAT_TICK, on_tick},     {COMPAT_DISCONNECT, on_disconnect}, {COMPAT_CLIENT_OFFLINE, on_disconnect},
};
#define CALLBACK_COUNT (sizeof(callbacks) / sizeof(callbacks[0]))

static void plugin_free(struct plugin *plugin)
{
    for (size_t i = 0; i < CALLBACK_COUNT; i++) {
        mosquitto_callback_unregister(plugin->identifier, (int)callbacks[i].event, callbacks[i].callback,
                                      NULL);
    }
    courier_stop(plugin->courier);
    agent_free(plugin->agent);
    free(plugin);
}

static bool plugin_start(struct plugin *plugin, const struct mosquitto_opt *options, int count, char *why,
                         size_t why_size)
{
    const struct agent_ports ports = {.context = plugin,
                                      .monotonic_ms = port_monotonic_ms,
                                      .wall_ms = port_wall_ms,
                                      .publish = port_publish,
                                      .request = port_request,
                                      .log = port_log};

    if (!configuration_read(&plugin->configuration, options, count, why, why_size)) {
        return false;
    }
    const struct agent_settings settings = configuration_agent(&plugin->configuration);
    const struct secenv_client_settings secenv = configuration_secenv(&plugin->configuration);
    plugin->started_ms = clock_ms(CLOCK_MONOTONIC);
    plugin->agent = agent_new(&settings, &ports, why, why_size);
    if (plugin->agent == NULL) {
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
    if (!plugin_start(plugin, options, option_count, why, sizeof(why))) {
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
