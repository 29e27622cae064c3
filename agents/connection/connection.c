/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/connection/connection.h"

#include "agents/backoff.h"
#include "agents/connection/inbox.h"
#include "agents/log.h"
#include "agents/psk_file.h"
#include "agents/timer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
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
#define REFUSED_LIMIT_MS 5000u /* messages wait for what is refused: it is asked for often */
#define PASSWORD_LIMIT 256u    /* bytes */

/* Forward secrecy first. CBC suites are all that OpenSSL has with ECDHE-PSK beside ChaCha20. TLS 1.3 suites
 * are OpenSSL's own. */
#define PSK_SUITES                                                                                           \
    "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES256-CBC-SHA384:ECDHE-PSK-AES128-CBC-SHA256:"                   \
    "DHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256"

enum state { WAITING, CONNECTING, UP };

struct subscription {
    struct subscription *next;
    struct connection *connection;
    size_t number; /* stays valid for callbacks of Paho, so subscriptions live as long as the connection */
    char *filter;
    int qos;
    bool wanted;
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

    char *uri;
    char *client_id;
    char *ca;
    char *certificate;
    char *private_key;
    char *psk_identity;
    char *user_name;
    char *password;
    uint8_t psk[PSK_LIMIT];
    size_t psk_length;

    enum state state;
    bool stable;         /* this connection has lasted */
    unsigned short_ones; /* connections in a row that have not: from the second on, that is said */
    char said[512];      /* the trouble that was logged last; "" when all is well */
    bool full;           /* Paho took no more; that has been said */
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

static unsigned int on_psk(const char *hint, char *identity, unsigned int identity_size, unsigned char *psk,
                           unsigned int psk_size, void *context)
{
    const struct connection *connection = context; /* identity and key do not change while it lives */
    (void)hint;
    if (strlen(connection->psk_identity) >= identity_size || connection->psk_length > psk_size) {
        return 0;
    }
    memcpy(identity, connection->psk_identity, strlen(connection->psk_identity) + 1);
    memcpy(psk, connection->psk, connection->psk_length);
    return (unsigned int)connection->psk_length;
}

/* ---- what is said ---- */

/* Logs a trouble where it is another one than before. */
__attribute__((format(printf, 2, 3))) static void say_trouble(struct connection *connection,
                                                              const char *format, ...)
{
    char text[sizeof(connection->said)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strcmp(text, connection->said) != 0) {
        agent_log(AGENT_LOG_WARNING, "%s; trying again until it works", text);
        memcpy(connection->said, text, sizeof(text));
    } else {
        agent_log(AGENT_LOG_DEBUG, "%s, still", text);
    }
}

static void say_well(struct connection *connection)
{
    agent_log(AGENT_LOG_INFO, "connected to the broker at %s as %s", connection->uri, connection->client_id);
    connection->said[0] = '\0';
}

/* "error:0A000086:SSL routines:…:certificate verify failed:…": the words that mean something. */
static void tls_words(const char *note, char *out, size_t size)
{
    static const struct {
        const char *part;
        const char *meaning;
    } known[] = {
        {"certificate verify failed",
         "its certificate does not come from the configured CA, or is not valid now"},
        {"unknown psk identity", "it does not know this PSK identity"},
        {"decrypt error", "it has another pre-shared key, or our certificate's key is wrong"},
        {"bad record mac", "it has another pre-shared key for this identity"},
        {"illegal parameter", "it has another pre-shared key for this identity"}, /* a binder of TLS 1.3 */
        {"unknown ca", "it does not know the CA of our certificate"},
        {"certificate required", "it wants a client certificate"},
        {"certificate expired", "our certificate has expired"},
        {"certificate revoked", "our certificate is revoked"},
        {"bad certificate", "it refuses our certificate"},
        {"wrong version number", "it does not speak TLS on this port"},
        {"unexpected eof", "it closed the connection in the handshake"},
        {"handshake failure", "it does not know this PSK identity, or wants to authenticate in another way"},
        {"No such file", "a file of ours (CA, certificate or private key) is missing"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasestr(note, known[i].part) != NULL) {
            snprintf(out, size, "%s", known[i].meaning);
            return;
        }
    }
    const char *reason = strstr(note, ":SSL routines:");
    snprintf(out, size, "%.200s", reason != NULL ? reason + strlen(":SSL routines:") : note);
}

static void say_failed(struct connection *connection, int code, const char *text)
{
    char note[256];
    char words[256];
    inbox_noted(connection->inbox, note, sizeof(note));
    switch (code) { /* CONNACK codes of MQTT 3.1.1; negative ones are Paho's */
    case 1:
        say_trouble(connection, "the broker at %s does not speak MQTT 3.1.1", connection->uri);
        return;
    case 2:
        say_trouble(connection, "the broker at %s refuses the client id %s", connection->uri,
                    connection->client_id);
        return;
    case 3:
        say_trouble(connection, "the broker at %s says that it is not available", connection->uri);
        return;
    case 4:
        say_trouble(connection,
                    "the broker at %s refuses the user name or password of %s: check the "
                    "credentials in the configuration",
                    connection->uri, connection->client_id);
        return;
    case 5:
        say_trouble(connection,
                    "the broker at %s does not authorise %s: check its credentials and the "
                    "broker's configuration",
                    connection->uri, connection->client_id);
        return;
    default:
        break;
    }
    if (note[0] != '\0') {
        tls_words(note, words, sizeof(words));
        say_trouble(connection, "TLS with the broker at %s failed: %s", connection->uri, words);
    } else if (strncmp(connection->uri, "mqtts://", 8) == 0) {
        /* Paho has one text, and no word of OpenSSL, for both. */
        say_trouble(
            connection,
            "no TLS connection to the broker at %s: it is not there, or its certificate does not name that "
            "host",
            connection->uri);
    } else {
        say_trouble(connection, "cannot reach the broker at %s%s%s", connection->uri,
                    text != NULL ? ": " : "", text != NULL ? text : "");
    }
}

/* ---- connecting ---- */

static char *nullable_copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

static MQTTAsync_SSLOptions tls_options(struct connection *connection)
{
    MQTTAsync_SSLOptions options = MQTTAsync_SSLOptions_initializer;
    options.struct_version = 5;
    options.enableServerCertAuth = 1;
    options.disableDefaultTrustStore = 1;
    options.ssl_error_cb = on_tls_error;
    options.ssl_error_context = connection->inbox;
    if (connection->psk_identity != NULL) {
        /* No certificate can pass: none is trusted. The check of its name must be off, it would look at the
         * certificate that a PSK handshake does not have (a crash in Paho). */
        options.enabledCipherSuites = PSK_SUITES;
        options.ssl_psk_cb = on_psk;
        options.ssl_psk_context = connection;
    } else {
        options.verify = 1;
        options.trustStore = connection->ca;
        options.keyStore = connection->certificate;
        options.privateKey = connection->private_key;
    }
    return options;
}

static void wait_to_connect(struct connection *connection)
{
    connection->state = WAITING;
    timer_start(&connection->connect_timer, backoff_next(&connection->backoff));
}

static void connect_now(void *context)
{
    struct connection *connection = context;
    MQTTAsync_SSLOptions tls = tls_options(connection);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.MQTTVersion = MQTT_3_1_1;
    options.cleansession = 0;
    options.keepAliveInterval = KEEP_ALIVE_S;
    options.connectTimeout = CONNECT_TIMEOUT_S;
    options.maxInflight = IN_FLIGHT;
    options.automaticReconnect = 0; /* ours: Paho's looks at the clock every 3 s only */
    options.username = connection->user_name;
    options.password = connection->password;
    options.onSuccess = on_connected;
    options.onFailure = on_failed;
    options.context = connection->inbox;
    if (strncmp(connection->uri, "mqtts://", 8) == 0) {
        options.ssl = &tls;
    }
    connection->state = CONNECTING;
    int error = MQTTAsync_connect(connection->client, &options);
    if (error != MQTTASYNC_SUCCESS) {
        say_trouble(connection, "cannot start connecting to the broker at %s: %s", connection->uri,
                    MQTTAsync_strerror(error));
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

static void refused_due(void *context)
{
    struct connection *connection = context;
    uint64_t now = monotonic_ms();
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
                  connection->client_id, s->filter);
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
    subscription->wanted = true;
    subscription->qos = qos;
    subscription_ask(connection, subscription);
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
        say_well(connection);
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
        say_well(connection);
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
        s->granted = false;
    }
    connection->short_ones += connection->stable ? 0 : 1;
    if (connection->short_ones < 2) {
        say_trouble(connection, "the connection to the broker at %s is lost%s%s", connection->uri,
                    cause != NULL ? ": " : "", cause != NULL ? cause : "");
    } else {
        say_trouble(connection,
                    "the broker at %s ends the connection of %s soon after it is made: is another "
                    "client using this id, or is it not allowed to use it?",
                    connection->uri, connection->client_id);
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
            say_failed(connection, item->code, item->text);
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
                  connection->uri, MQTTAsync_strerror(error));
    }
    connection->full = error != MQTTASYNC_SUCCESS;
    return !connection->full;
}

/* ---- opening and closing ---- */

/* The first line of a file, as text; NULL: `why` says what is wrong. */
static char *password_read(const char *path, char *why, size_t why_size)
{
    char line[PASSWORD_LIMIT + 2];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(why, why_size, "cannot read the password in %s: %s", path, strerror(errno));
        return NULL;
    }
    setvbuf(file, NULL, _IONBF, 0); /* no copy of it in a buffer that nobody wipes */
    char *password = NULL;
    if (fgets(line, sizeof(line), file) == NULL || strcspn(line, "\r\n") > PASSWORD_LIMIT) {
        snprintf(why, why_size, "%s holds no password of at most %u bytes", path, PASSWORD_LIMIT);
    } else {
        line[strcspn(line, "\r\n")] = '\0';
        password = strdup(line);
    }
    explicit_bzero(line, sizeof(line));
    fclose(file);
    return password;
}

/* The file that Paho will read at each connect is looked at now, so that a typing error is said at once. */
static bool file_readable(const char *path, const char *what, char *why, size_t why_size)
{
    if (path != NULL && access(path, R_OK) != 0) {
        snprintf(why, why_size, "cannot read the %s in %s: %s", what, path, strerror(errno));
        return false;
    }
    return true;
}

static bool settings_copy(struct connection *connection, const struct connection_settings *settings,
                          char *why, size_t why_size)
{
    connection->uri = nullable_copy(settings->uri);
    connection->client_id = nullable_copy(settings->client_id);
    connection->ca = nullable_copy(settings->ca);
    connection->certificate = nullable_copy(settings->certificate);
    connection->private_key = nullable_copy(settings->private_key);
    connection->psk_identity = nullable_copy(settings->psk_identity);
    connection->user_name = nullable_copy(settings->user_name);
    if (connection->uri == NULL || connection->client_id == NULL) {
        snprintf(why, why_size, "out of memory, or no broker uri");
        return false;
    }
    if (settings->password_file != NULL && settings->password_file[0] != '\0') {
        connection->password = password_read(settings->password_file, why, why_size);
        if (connection->password == NULL) {
            return false;
        }
    }
    if (connection->psk_identity != NULL) {
        return psk_file_read(settings->psk_file, connection->psk, sizeof(connection->psk),
                             &connection->psk_length, why, why_size);
    }
    return file_readable(connection->ca, "broker's CA", why, why_size) &&
           file_readable(connection->certificate, "certificate", why, why_size) &&
           file_readable(connection->private_key, "private key", why, why_size);
}

static bool client_create(struct connection *connection, char *why, size_t why_size)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        unsetenv(proxies[i]);
    }
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    options.MQTTVersion = MQTT_3_1_1;
    options.maxBufferedMessages = BUFFERED;
    int error = MQTTAsync_createWithOptions(&connection->client, connection->uri, connection->client_id,
                                            MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (error == MQTTASYNC_SUCCESS) {
        error = MQTTAsync_setCallbacks(connection->client, connection->inbox, on_lost, on_message, NULL);
    }
    if (error != MQTTASYNC_SUCCESS) {
        snprintf(why, why_size, "no MQTT client for %s: %s", connection->uri, MQTTAsync_strerror(error));
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
    if (!settings_copy(connection, settings, why, why_size) ||
        !sources_open(connection, loop, why, why_size) || !client_create(connection, why, why_size)) {
        connection_close(connection);
        return NULL;
    }
    if (strncmp(connection->uri, "mqtts://", 8) != 0) {
        agent_log(AGENT_LOG_WARNING, "the connection to %s has no TLS: for tests on one machine only",
                  connection->uri);
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

static void wiping_free(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
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
    free(connection->uri);
    free(connection->client_id);
    free(connection->ca);
    free(connection->certificate);
    free(connection->private_key);
    free(connection->psk_identity);
    free(connection->user_name);
    wiping_free(connection->password);
    explicit_bzero(connection->psk, sizeof(connection->psk));
    free(connection);
}
