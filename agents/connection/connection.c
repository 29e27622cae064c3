/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/connection/connection.h"

#include "agents/backoff.h"
#include "agents/connection/credentials.h"
#include "agents/connection/inbox.h"
#include "agents/connection/trouble.h"
#include "agents/log.h"
#include "agents/timer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <MQTTAsync.h>

#define MQTT_3_1_1 4
#define CONNECT_TIMEOUT_S 10
#define KEEP_ALIVE_S 30
#define STABLE_MS 10000u  /* a connection that lasted less has not worked */
#define DRAIN_MS 1000     /* for messages on their way when we close */
#define CLOSE_MS 2000     /* for the disconnect itself */
#define FIRST_REFUSALS 3u /* a refusal that lasts is worth a line */
#define IN_FLIGHT 65535   /* Paho 1.3.12 stalls up to a second a message at the end of a smaller window */
#define BUFFERED 65535    /* Paho's 100 counts while connected too, and would refuse any burst */
#define GROUP_LEVELS 4u   /* "groupseal/v1/<site>/<group>/" */
#define REFUSED_LIMIT_MS 5000u /* messages wait for what is refused: it is asked for often */

enum state { WAITING, CONNECTING, UP };

struct subscription {
    struct subscription *next;
    struct connection *connection;
    size_t number; /* stays valid for callbacks of Paho, so subscriptions live as long as the connection */
    char *filter;
    int qos;
    bool wanted;
    bool asked;   /* on this connection */
    bool granted; /* on this connection */
    bool refused;
    unsigned refusals;
    uint64_t again_ms;
    struct backoff backoff;
};

struct connection {
    MQTTAsync client;
    struct inbox *inbox;
    sd_event_source *inbox_source;
    struct timer connect_timer;
    struct timer stable_timer;
    struct timer refused_timer;
    struct backoff backoff;
    struct connection_callbacks callbacks;
    void *context;

    struct credentials credentials;

    enum state state;
    bool stable;         /* this connection has lasted */
    unsigned short_ones; /* connections in a row that have not: from the second on, that is said */
    struct trouble trouble;
    bool full; /* Paho took no more; that has been said */
    struct subscription *subscriptions;
    size_t subscription_count;
};

/* ---- Paho's threads ---- */

static void on_connected(void *context, MQTTAsync_successData *response)
{
    (void)response;
    inbox_put(context, INBOX_CONNECTED, 0, 0, NULL);
}

static void on_failed(void *context, MQTTAsync_failureData *response)
{
    inbox_put(context, INBOX_FAILED, response != NULL ? response->code : MQTTASYNC_FAILURE, 0,
              response != NULL ? response->message : NULL);
}

static void on_lost(void *context, char *cause)
{
    inbox_put(context, INBOX_LOST, 0, 0, cause);
}

static int on_message(void *context, char *topic, int topic_length, MQTTAsync_message *message)
{
    size_t length = topic_length > 0 ? (size_t)topic_length : strlen(topic);
    inbox_put_message(context, topic, length, message->payload,
                      message->payloadlen > 0 ? (size_t)message->payloadlen : 0, message->retained != 0);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_subscribed(void *context, MQTTAsync_successData *response)
{
    const struct subscription *subscription = context;
    int code = response != NULL && response->alt.qos == MQTT_BAD_SUBSCRIBE ? MQTT_BAD_SUBSCRIBE : 0;
    inbox_put(subscription->connection->inbox, INBOX_SUBSCRIBED, code, subscription->number, NULL);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData *response)
{
    const struct subscription *subscription = context;
    inbox_put(subscription->connection->inbox, INBOX_SUBSCRIBED,
              response != NULL && response->code != 0 ? response->code : MQTTASYNC_FAILURE,
              subscription->number, NULL);
}

static void on_disconnected(void *context, MQTTAsync_successData *response)
{
    (void)response;
    inbox_put(context, INBOX_DISCONNECTED, 0, 0, NULL);
}

static void on_disconnect_failed(void *context, MQTTAsync_failureData *response)
{
    (void)response;
    inbox_put(context, INBOX_DISCONNECTED, 0, 0, NULL);
}

static int on_tls_error(const char *text, size_t length, void *context)
{
    inbox_note(context, text, length);
    return 1;
}

/* ---- connecting ---- */

static void wait_to_connect(struct connection *connection)
{
    connection->state = WAITING;
    timer_start(&connection->connect_timer, backoff_next(&connection->backoff));
}

static void connect_now(void *context)
{
    struct connection *connection = context;
    MQTTAsync_SSLOptions tls = credentials_tls(&connection->credentials, on_tls_error, connection->inbox);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.MQTTVersion = MQTT_3_1_1;
    options.cleansession = 0;
    options.keepAliveInterval = KEEP_ALIVE_S;
    options.connectTimeout = CONNECT_TIMEOUT_S;
    options.maxInflight = IN_FLIGHT;
    options.automaticReconnect = 0; /* ours: Paho's looks at the clock every 3 s only */
    options.username = connection->credentials.user_name;
    options.password = connection->credentials.password;
    options.onSuccess = on_connected;
    options.onFailure = on_failed;
    options.context = connection->inbox;
    if (credentials_has_tls(&connection->credentials)) {
        options.ssl = &tls;
    }
    connection->state = CONNECTING;
    int error = MQTTAsync_connect(connection->client, &options);
    if (error != MQTTASYNC_SUCCESS) {
        trouble_say(&connection->trouble, "cannot start connecting to the broker at %s: %s",
                    connection->credentials.uri, MQTTAsync_strerror(error));
        wait_to_connect(connection);
    }
}

/* ---- subscriptions ---- */

static void subscription_ask(struct connection *connection, struct subscription *subscription)
{
    if (connection->state != UP) {
        return; /* all are asked for at the next connect */
    }
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    options.onSuccess = on_subscribed;
    options.onFailure = on_subscribe_failed;
    options.context = subscription;
    subscription->asked = true;
    subscription->refused = false;
    int error = MQTTAsync_subscribe(connection->client, subscription->filter, subscription->qos, &options);
    if (error != MQTTASYNC_SUCCESS) {
        inbox_put(connection->inbox, INBOX_SUBSCRIBED, error, subscription->number, NULL);
    }
}

static void refused_arm(struct connection *connection)
{
    uint64_t next = UINT64_MAX;
    for (const struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (s->wanted && s->refused && s->again_ms < next) {
            next = s->again_ms;
        }
    }
    if (next == UINT64_MAX) {
        timer_stop(&connection->refused_timer);
    } else {
        uint64_t now = monotonic_ms();
        timer_start(&connection->refused_timer, next > now ? next - now : 0);
    }
}

/* Two topics of one group: who may have the one may have the other. */
static bool filters_are_kin(const char *filter, const char *other)
{
    size_t levels = 0;
    for (size_t i = 0; filter[i] == other[i] && filter[i] != '\0'; i++) {
        levels += filter[i] == '/' ? 1 : 0;
    }
    return levels >= GROUP_LEVELS;
}

/* One that is refused, of the same group, and whose turn was before. */
static bool kin_goes_first(const struct connection *connection, const struct subscription *subscription)
{
    bool before = true; /* in the list */
    for (const struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        before = before && s != subscription;
        if (s != subscription && s->wanted && s->refused &&
            filters_are_kin(s->filter, subscription->filter) &&
            (s->again_ms < subscription->again_ms || (s->again_ms == subscription->again_ms && before))) {
            return true;
        }
    }
    return false;
}

/* Of each group one asks for all: a fleet whose MN-CSE does not know it yet would ask seven times as often.
 * Where it is granted the others follow; else the next one asks. */
static void refused_due(void *context)
{
    struct connection *connection = context;
    uint64_t now = monotonic_ms();
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (s->wanted && s->refused && s->again_ms <= now && kin_goes_first(connection, s)) {
            s->again_ms = now + BACKOFF_FIRST_MS;
        }
    }
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (s->wanted && s->refused && s->again_ms <= now) {
            subscription_ask(connection, s);
        }
    }
    refused_arm(connection);
}

static void subscription_answered(struct connection *connection, size_t number, int code)
{
    struct subscription *s = connection->subscriptions;
    while (s != NULL && s->number != number) {
        s = s->next;
    }
    if (s == NULL || !s->wanted || connection->state != UP) {
        return;
    }
    s->granted = code == 0;
    if (s->granted) {
        if (s->refusals >= FIRST_REFUSALS) {
            agent_log(AGENT_LOG_INFO, "the broker now grants the subscription of %s", s->filter);
        }
        bool was_refused = s->refusals > 0;
        s->refusals = 0;
        backoff_reset(&s->backoff);
        if (was_refused) {
            connection_retry_refused(connection); /* the others, most likely, would be granted now too */
        }
        if (connection->callbacks.granted != NULL) {
            connection->callbacks.granted(connection->context);
        }
        return;
    }
    s->refused = true;
    if (++s->refusals == FIRST_REFUSALS) {
        agent_log(AGENT_LOG_WARNING,
                  "the broker refuses the subscription of %s to %s; asking again until it "
                  "does not",
                  connection->credentials.client_id, s->filter);
    }
    s->again_ms = monotonic_ms() + backoff_next(&s->backoff);
    refused_arm(connection);
}

static struct subscription *subscription_find(const struct connection *connection, const char *filter)
{
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (strcmp(s->filter, filter) == 0) {
            return s;
        }
    }
    return NULL;
}

static struct subscription *subscription_new(struct connection *connection, const char *filter)
{
    struct subscription *subscription = calloc(1, sizeof(*subscription));
    if (subscription == NULL || (subscription->filter = strdup(filter)) == NULL) {
        free(subscription);
        return NULL;
    }
    subscription->connection = connection;
    subscription->number = connection->subscription_count++;
    backoff_init(&subscription->backoff, BACKOFF_FIRST_MS, REFUSED_LIMIT_MS);
    struct subscription **end = &connection->subscriptions;
    while (*end != NULL) { /* made in the order of their asking */
        end = &(*end)->next;
    }
    *end = subscription;
    return subscription;
}

bool connection_subscribe(struct connection *connection, const char *filter, int qos)
{
    struct subscription *subscription = subscription_find(connection, filter);
    if (subscription == NULL) {
        subscription = subscription_new(connection, filter);
    }
    if (subscription == NULL) {
        return false;
    }
    bool asked = subscription->wanted && subscription->asked && subscription->qos == qos;
    subscription->wanted = true;
    subscription->qos = qos;
    if (!asked) {
        subscription_ask(connection, subscription);
    }
    return true;
}

void connection_resubscribe(struct connection *connection, const char *filter)
{
    struct subscription *subscription = subscription_find(connection, filter);
    if (subscription != NULL && subscription->wanted) {
        subscription_ask(connection, subscription);
    }
}

void connection_unsubscribe(struct connection *connection, const char *filter)
{
    struct subscription *subscription = subscription_find(connection, filter);
    if (subscription == NULL || !subscription->wanted) {
        return;
    }
    subscription->wanted = false;
    subscription->asked = false;
    subscription->granted = false;
    subscription->refused = false;
    subscription->refusals = 0;
    backoff_reset(&subscription->backoff);
    if (connection->state == UP) {
        MQTTAsync_unsubscribe(connection->client, filter, NULL);
    }
}

bool connection_granted(const struct connection *connection, const char *filter)
{
    const struct subscription *subscription = subscription_find(connection, filter);
    return subscription != NULL && subscription->granted;
}

void connection_retry_refused(struct connection *connection)
{
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (s->wanted && s->refused) {
            subscription_ask(connection, s);
        }
    }
    refused_arm(connection);
}

/* ---- the owner's thread ---- */

static void connection_came_up(struct connection *connection)
{
    if (connection->state != CONNECTING) {
        return;
    }
    connection->state = UP;
    connection->stable = false;
    timer_start(&connection->stable_timer, STABLE_MS);
    if (connection->short_ones < 2) {
        trouble_over(&connection->trouble, &connection->credentials);
    }
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        if (s->wanted) {
            subscription_ask(connection, s);
        }
    }
    connection->callbacks.up(connection->context);
}

static void stable_due(void *context)
{
    struct connection *connection = context;
    connection->stable = true;
    backoff_reset(&connection->backoff);
    if (connection->short_ones >= 2) {
        trouble_over(&connection->trouble, &connection->credentials);
    }
    connection->short_ones = 0;
}

static void connection_went_down(struct connection *connection, const char *cause)
{
    if (connection->state != UP) {
        return;
    }
    timer_stop(&connection->stable_timer);
    timer_stop(&connection->refused_timer);
    for (struct subscription *s = connection->subscriptions; s != NULL; s = s->next) {
        s->asked = false;
        s->granted = false;
    }
    connection->short_ones += connection->stable ? 0 : 1;
    if (connection->short_ones < 2) {
        trouble_say(&connection->trouble, "the connection to the broker at %s is lost%s%s",
                    connection->credentials.uri, cause != NULL ? ": " : "", cause != NULL ? cause : "");
    } else {
        trouble_say(&connection->trouble,
                    "the broker at %s ends the connection of %s soon after it is made: is another "
                    "client using this id, or is it not allowed to use it?",
                    connection->credentials.uri, connection->credentials.client_id);
    }
    wait_to_connect(connection);
    connection->callbacks.down(connection->context);
}

static void item_handle(struct connection *connection, const struct inbox_item *item)
{
    switch (item->kind) {
    case INBOX_CONNECTED:
        connection_came_up(connection);
        break;
    case INBOX_FAILED:
        if (connection->state == CONNECTING) {
            char note[256];
            inbox_noted(connection->inbox, note, sizeof(note));
            trouble_connecting(&connection->trouble, &connection->credentials, item->code, item->text, note);
            wait_to_connect(connection);
        }
        break;
    case INBOX_LOST:
        connection_went_down(connection, item->text);
        break;
    case INBOX_MESSAGE: {
        struct connection_message message = {item->text, item->payload, item->length, item->retained};
        connection->callbacks.message(connection->context, &message);
        break;
    }
    case INBOX_SUBSCRIBED:
        subscription_answered(connection, item->number, item->code);
        break;
    case INBOX_DISCONNECTED:
        break;
    }
}

static int on_inbox(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct connection *connection = userdata;
    (void)source;
    (void)fd;
    (void)events;

    uint64_t dropped = inbox_dropped(connection->inbox);
    if (dropped > 0) {
        agent_log(AGENT_LOG_WARNING, "%llu messages were dropped: more came than could be handled",
                  (unsigned long long)dropped);
    }
    struct inbox_item *item;
    while ((item = inbox_take(connection->inbox)) != NULL) {
        item_handle(connection, item);
        inbox_item_free(item);
    }
    return 0;
}

bool connection_is_up(const struct connection *connection)
{
    return connection->state == UP;
}

bool connection_publish(struct connection *connection, const char *topic, const void *payload, size_t length,
                        int qos, bool retained)
{
    if (connection->state != UP || length > INT32_MAX) {
        return false;
    }
    int error = MQTTAsync_send(connection->client, topic, (int)length, payload, qos, retained, NULL);
    if (error == MQTTASYNC_DISCONNECTED) {
        return false; /* Paho knows it before us */
    }
    if (error != MQTTASYNC_SUCCESS && !connection->full) {
        agent_log(AGENT_LOG_WARNING,
                  "messages to the broker at %s are not sent: %s; is it, or the way to it, too slow?",
                  connection->credentials.uri, MQTTAsync_strerror(error));
    }
    connection->full = error != MQTTASYNC_SUCCESS;
    return !connection->full;
}

/* ---- opening and closing ---- */

static bool client_create(struct connection *connection, char *why, size_t why_size)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        unsetenv(proxies[i]);
    }
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    options.MQTTVersion = MQTT_3_1_1;
    options.maxBufferedMessages = BUFFERED;
    int error = MQTTAsync_createWithOptions(&connection->client, connection->credentials.uri,
                                            connection->credentials.client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                            NULL, &options);
    if (error == MQTTASYNC_SUCCESS) {
        error = MQTTAsync_setCallbacks(connection->client, connection->inbox, on_lost, on_message, NULL);
    }
    if (error != MQTTASYNC_SUCCESS) {
        snprintf(why, why_size, "no MQTT client for %s: %s", connection->credentials.uri,
                 MQTTAsync_strerror(error));
        return false;
    }
    return true;
}

static bool sources_open(struct connection *connection, sd_event *loop, char *why, size_t why_size)
{
    int error = timer_open(&connection->connect_timer, loop, connect_now, connection);
    if (error >= 0) {
        error = timer_open(&connection->stable_timer, loop, stable_due, connection);
    }
    if (error >= 0) {
        error = timer_open(&connection->refused_timer, loop, refused_due, connection);
    }
    if (error >= 0) {
        error = sd_event_add_io(loop, &connection->inbox_source, inbox_fd(connection->inbox), POLLIN,
                                on_inbox, connection);
    }
    if (error < 0) {
        snprintf(why, why_size, "no event source: %s", strerror(-error));
        return false;
    }
    return true;
}

struct connection *connection_open(sd_event *loop, const struct connection_settings *settings,
                                   const struct connection_callbacks *callbacks, void *context, char *why,
                                   size_t why_size)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || (connection->inbox = inbox_new()) == NULL) {
        snprintf(why, why_size, "no broker connection: %s", strerror(errno));
        free(connection);
        return NULL;
    }
    connection->callbacks = *callbacks;
    connection->context = context;
    backoff_init(&connection->backoff, BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS);
    if (!credentials_read(&connection->credentials, settings, why, why_size) ||
        !sources_open(connection, loop, why, why_size) || !client_create(connection, why, why_size)) {
        connection_close(connection);
        return NULL;
    }
    if (!credentials_has_tls(&connection->credentials)) {
        agent_log(AGENT_LOG_WARNING, "the connection to %s has no TLS: for tests on one machine only",
                  connection->credentials.uri);
    }
    timer_start(&connection->connect_timer, 0);
    return connection;
}

/* Waits for Paho's word that it has disconnected. */
static void disconnect_wait(struct connection *connection)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    options.timeout = DRAIN_MS;
    options.onSuccess = on_disconnected;
    options.onFailure = on_disconnect_failed;
    options.context = connection->inbox;
    if (MQTTAsync_disconnect(connection->client, &options) != MQTTASYNC_SUCCESS) {
        return;
    }
    uint64_t end = monotonic_ms() + CLOSE_MS;
    bool ended = false;
    while (!ended && monotonic_ms() < end) {
        struct pollfd waiting = {.fd = inbox_fd(connection->inbox), .events = POLLIN};
        (void)poll(&waiting, 1, 50);
        struct inbox_item *item;
        while ((item = inbox_take(connection->inbox)) != NULL) {
            ended = ended || item->kind == INBOX_DISCONNECTED || item->kind == INBOX_LOST;
            inbox_item_free(item);
        }
    }
}

void connection_close(struct connection *connection)
{
    if (connection == NULL) {
        return;
    }
    connection->inbox_source = sd_event_source_disable_unref(connection->inbox_source);
    timer_close(&connection->connect_timer);
    timer_close(&connection->stable_timer);
    timer_close(&connection->refused_timer);
    if (connection->client != NULL) {
        if (connection->state != WAITING) {
            disconnect_wait(connection);
        }
        MQTTAsync_destroy(&connection->client);
    }
    while (connection->subscriptions != NULL) {
        struct subscription *next = connection->subscriptions->next;
        free(connection->subscriptions->filter);
        free(connection->subscriptions);
        connection->subscriptions = next;
    }
    inbox_free(connection->inbox);
    credentials_clear(&connection->credentials);
    free(connection);
}
