/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/device.h"

#include "agents/adn-ae/groups.h"
#include "agents/adn-ae/outgoing.h"
#include "agents/adn-ae/registration.h"
#include "agents/adn-ae/results.h"
#include "agents/carriage.h"
#include "agents/log.h"
#include "agents/notice.h"
#include "agents/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OPEN_LIMIT 64u   /* oneM2M requests without a response */
#define TURN_EVENTS 256u /* handled in one device_turn, so that it returns */

struct device {
    sd_event *loop;
    bool own_loop;
    bool embedded; /* the secure environment is a child of this process */
    int nudge;     /* wakes whoever polls device_fd, so that new timers are armed */
    sd_event_source *nudge_source;
    char identity[ONEM2M_ID_LIMIT + 1];
    char registrar[ONEM2M_ID_LIMIT + 1];
    struct device_callbacks callbacks;
    void *context;
    struct connection *connection;
    struct session *session;
    struct carriage *carriage;
    struct registration *registration;
    struct groups *groups;
    struct outgoing *outgoing;
    struct results *results;
};

/* ---- online and offline ---- */

static void tell_online(struct device *device, bool online)
{
    Groupseal__Secenv__Online message = GROUPSEAL__SECENV__ONLINE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    message.identity = device->identity;
    message.online = online;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &message;
    (void)session_request(device->session, &request, NULL, NULL); /* not ready: told when it is */
}

static void on_up(void *context)
{
    struct device *device = context;
    groups_renew_next(device->groups, false); /* all is asked for at each connect */
    registration_start(device->registration);
}

static void on_down(void *context)
{
    struct device *device = context;
    registration_stop(device->registration);
    carriage_lost(device->carriage);
    tell_online(device, false);
}

static void on_registered(void *context)
{
    struct device *device = context;
    connection_retry_refused(device->connection); /* the broker knows us now */
    tell_online(device, true);
    outgoing_try(device->outgoing);
}

static void on_granted(void *context)
{
    struct device *device = context;
    outgoing_try(device->outgoing);
}

static void on_answered(void *context, uint64_t token, int rsc)
{
    struct device *device = context;
    (void)token;
    registration_answered(device->registration, rsc);
}

/* ---- messages of the broker ---- */

static void on_heard(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    (void)context;
    (void)request_context;
    if (reply != NULL && reply->code != GROUPSEAL__SECENV__CODE__OK) {
        agent_log(AGENT_LOG_DEBUG, "a group message was not taken: %s", reply->reason);
    }
}

/* The absolute id that the topic's AE level means at its site; "" for other topics. */
static bool sender_resolve(const struct device *device, const struct group_topic *topic,
                           char out[ONEM2M_ID_LIMIT + 1])
{
    char site[ONEM2M_ID_LIMIT + 1];
    out[0] = '\0';
    return topic->kind != GROUP_MSG ||
           (onem2m_id_resolve(topic->site, device->registrar, site, sizeof(site)) &&
            onem2m_id_resolve(topic->ae, site, out, ONEM2M_ID_LIMIT + 1));
}

static void group_message_take(struct device *device, const struct connection_message *message)
{
    char sender[ONEM2M_ID_LIMIT + 1];
    struct group_topic topic;
    if (!group_topic_parse(message->topic, &topic) || topic.kind == GROUP_ACK ||
        !sender_resolve(device, &topic, sender)) {
        agent_log(AGENT_LOG_DEBUG, "a message on %s, which is not ours", message->topic);
        return;
    }
    if (strcmp(sender, device->identity) == 0) {
        return; /* our own, back from the broker */
    }
    Groupseal__Secenv__Heard heard = GROUPSEAL__SECENV__HEARD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    heard.identity = device->identity;
    heard.site = topic.site;
    heard.group = topic.group;
    heard.kind = (Groupseal__Secenv__TopicKind)topic.kind;
    heard.sender = sender;
    heard.row = topic.row;
    heard.column = topic.column;
    heard.retained = message->retained;
    heard.payload = (ProtobufCBinaryData){message->length, (uint8_t *)(uintptr_t)message->payload};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &heard;
    if (!session_request(device->session, &request, on_heard, NULL)) {
        agent_log(AGENT_LOG_DEBUG, "a message on %s is lost: the secure environment is away", message->topic);
    }
}

static void on_message(void *context, const struct connection_message *message)
{
    struct device *device = context;
    if (!carriage_take(device->carriage, message)) {
        group_message_take(device, message);
    }
}

/* ---- events of the secure environment ---- */

static void on_ready(void *context)
{
    struct device *device = context;
    groups_renew_next(device->groups, true); /* it has missed what came before */
    results_send(device->results);
    if (registration_is_done(device->registration)) {
        tell_online(device, true);
    }
    outgoing_try(device->outgoing);
}

static void on_secenv_lost(void *context)
{
    (void)context; /* the session has said it, and what was open has been answered */
}

static void publish(struct device *device, const Groupseal__Secenv__Publish *publish)
{
    char text[ONEM2M_TOPIC_LIMIT + 1];
    struct group_topic topic = {
        .kind = (enum group_topic_kind)publish->kind, .row = publish->row, .column = publish->column};
    if (strlen(publish->site) >= sizeof(topic.site) || strlen(publish->group) >= sizeof(topic.group)) {
        return;
    }
    snprintf(topic.site, sizeof(topic.site), "%s", publish->site);
    snprintf(topic.group, sizeof(topic.group), "%s", publish->group);
    snprintf(topic.ae, sizeof(topic.ae), "%s", carriage_level(device->carriage));
    if (!group_topic_build(&topic, text, sizeof(text)) ||
        !connection_publish(device->connection, text, publish->payload.data, publish->payload.len,
                            publish->retained ? 0 : 1, publish->retained)) {
        agent_log(AGENT_LOG_DEBUG, "nothing was published for %s: not connected", publish->group);
    }
}

static void command_give(struct device *device, const Groupseal__Secenv__CommandEvent *event)
{
    struct device_command command = {.group = event->group,
                                     .body = event->body.data,
                                     .length = event->body.len,
                                     .remaining_ms = event->remaining_ms,
                                     .commander = event->commander};
    if (event->command_id.len != sizeof(command.id)) {
        return;
    }
    memcpy(command.id, event->command_id.data, sizeof(command.id));
    device->callbacks.command(device->context, &command);
}

static void message_give(struct device *device, const Groupseal__Secenv__MessageEvent *event)
{
    struct device_message message = {event->group, event->sender, event->body.data, event->body.len,
                                     event->proven != 0};
    device->callbacks.message(device->context, &message);
}

static void joined(struct device *device, const Groupseal__Secenv__Joined *joined)
{
    bool known = groups_has(device->groups, joined->group); /* said again at each connection */
    if (!groups_join(device->groups, joined)) {
        agent_log(AGENT_LOG_WARNING, "the topics of %s cannot be subscribed", joined->group);
        return;
    }
    if (!known) {
        agent_log(AGENT_LOG_INFO, "member of %s", joined->group);
        device->callbacks.joined(device->context, joined->group);
    }
    outgoing_try(device->outgoing);
}

static void departed(struct device *device, const Groupseal__Secenv__Departed *departed)
{
    groups_depart(device->groups, departed->group);
    agent_log(AGENT_LOG_INFO, "no longer a member of %s: %s", departed->group, departed->reason);
    device->callbacks.departed(device->context, departed->group, departed->reason);
}

static void on_event(void *context, const Groupseal__Secenv__Event *event)
{
    struct device *device = context;
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE) {
        if (!device->embedded) { /* an embedded one's log goes where ours goes */
            notice_log(event->notice);
        }
        return;
    }
    if (strcmp(event->identity, device->identity) != 0) {
        return; /* a secure environment may hold several identities */
    }
    switch (event->content_case) {
    case GROUPSEAL__SECENV__EVENT__CONTENT_SEND:
        carriage_send(device->carriage, event->send);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH:
        publish(device, event->publish);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_JOINED:
        joined(device, event->joined);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED:
        departed(device, event->departed);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE:
        groups_renew(device->groups, event->resubscribe->group);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND:
        command_give(device, event->command);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE:
        message_give(device, event->message);
        break;
    default:
        agent_log(AGENT_LOG_DEBUG, "an event that is not for a device");
        break;
    }
}

/* ---- the application's calls ---- */

static void nudge(struct device *device)
{
    if (device->own_loop) {
        eventfd_write(device->nudge, 1);
    }
}

bool device_say(struct device *device, const char *group, const uint8_t *body, size_t length,
                device_said *said, void *context)
{
    bool kept = outgoing_add(device->outgoing, group, body, length, said, context);
    nudge(device);
    return kept;
}

bool device_finish(struct device *device, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                   bool done, const char *detail)
{
    bool kept = results_add(device->results, group, id, done, detail);
    nudge(device);
    return kept;
}

int device_fd(const struct device *device)
{
    return sd_event_get_fd(device->loop);
}

bool device_turn(struct device *device)
{
    for (unsigned i = 0; i < TURN_EVENTS; i++) {
        int handled = sd_event_run(device->loop, 0);
        if (handled <= 0) {
            return handled == 0;
        }
    }
    nudge(device); /* there may be more */
    return true;
}

/* ---- making and ending ---- */

static int on_nudge(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    eventfd_t ignored;
    (void)source;
    (void)events;
    (void)userdata;
    eventfd_read(fd, &ignored);
    return 0;
}

static bool loop_open(struct device *device, sd_event *loop)
{
    device->nudge = -1;
    if (loop != NULL) {
        device->loop = sd_event_ref(loop);
        return true;
    }
    device->own_loop = true;
    device->nudge = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return device->nudge >= 0 && sd_event_new(&device->loop) >= 0 &&
           sd_event_add_io(device->loop, &device->nudge_source, device->nudge, EPOLLIN, on_nudge, device) >=
               0;
}

static bool connection_start(struct device *device, const struct device_settings *settings, char *why,
                             size_t why_size)
{
    static const struct connection_callbacks callbacks = {on_up, on_down, on_message, on_granted};
    char stem[ONEM2M_ID_LIMIT + 1];
    char client_id[ONEM2M_ID_LIMIT + 8];
    struct connection_settings broker = settings->broker;
    if (!onem2m_id_is_ae(settings->identity) || !onem2m_id_stem(settings->identity, stem, sizeof(stem)) ||
        !onem2m_id_valid(settings->registrar) || onem2m_id_is_ae(settings->registrar)) {
        snprintf(why, why_size, "the identity must be an absolute AE-ID, the registrar an absolute CSE-ID");
        return false;
    }
    snprintf(device->identity, sizeof(device->identity), "%s", settings->identity);
    snprintf(device->registrar, sizeof(device->registrar), "%s", settings->registrar);
    snprintf(client_id, sizeof(client_id), "A::%s", stem);
    broker.client_id = client_id;
    device->connection = connection_open(device->loop, &broker, &callbacks, device, why, why_size);
    return device->connection != NULL;
}

static bool session_start(struct device *device, const struct device_settings *settings, char *why,
                          size_t why_size)
{
    static const struct session_callbacks callbacks = {on_ready, on_secenv_lost, on_event};
    struct session_settings secenv = {settings->secenv, device->identity, "member", 0};
    device->embedded = settings->secenv.socket_path == NULL;
    device->session = session_open(device->loop, &secenv, &callbacks, device, why, why_size);
    return device->session != NULL;
}

static bool subscribe(struct device *device, enum onem2m_tree tree, const char *originator,
                      const char *receiver)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    return onem2m_topic_build(tree, originator, receiver, topic, sizeof(topic)) &&
           connection_subscribe(device->connection, topic, 1);
}

static bool topics_subscribe(struct device *device)
{
    char registrar[ONEM2M_LEVEL_LIMIT + 1];
    const char *level = carriage_level(device->carriage);
    return onem2m_id_to_level(device->registrar, registrar, sizeof(registrar)) &&
           subscribe(device, ONEM2M_REG_RESP, level, registrar) &&
           subscribe(device, ONEM2M_RESP, level, registrar) &&
           subscribe(device, ONEM2M_REQ, registrar, level);
}

static bool parts_open(struct device *device, const char *app_id)
{
    struct carriage_settings carriage = {device->identity, device->registrar, device->registrar, OPEN_LIMIT};
    struct registration_settings registration = {device->identity, device->registrar, app_id};
    device->carriage =
        carriage_new(device->loop, &carriage, device->connection, device->session, on_answered, device);
    if (device->carriage == NULL) {
        return false;
    }
    struct outgoing_settings outgoing = {device->identity, carriage_level(device->carriage)};
    device->registration =
        registration_new(device->loop, &registration, device->carriage, on_registered, device);
    device->results = results_new(device->identity, device->session);
    device->groups = groups_new(device->connection);
    if (device->registration == NULL || device->results == NULL || device->groups == NULL) {
        return false;
    }
    device->outgoing =
        outgoing_new(device->loop, &outgoing, device->connection, device->session, device->groups);
    return device->outgoing != NULL && topics_subscribe(device);
}

struct device *device_new(struct sd_event *loop, const struct device_settings *settings,
                          const struct device_callbacks *callbacks, void *context, char *why, size_t why_size)
{
    struct device *device = calloc(1, sizeof(*device));
    if (device == NULL || !loop_open(device, loop)) {
        snprintf(why, why_size, "no event loop: out of memory or of file descriptors");
        device_free(device);
        return NULL;
    }
    device->callbacks = *callbacks;
    device->context = context;
    if (!connection_start(device, settings, why, why_size) ||
        !session_start(device, settings, why, why_size)) {
        device_free(device);
        return NULL;
    }
    if (!parts_open(device, settings->app_id)) {
        snprintf(why, why_size, "out of memory");
        device_free(device);
        return NULL;
    }
    return device;
}

void device_free(struct device *device)
{
    if (device == NULL) {
        return;
    }
    session_close(device->session);
    outgoing_free(device->outgoing);
    results_free(device->results);
    registration_free(device->registration);
    carriage_free(device->carriage);
    groups_free(device->groups);
    connection_close(device->connection);
    sd_event_source_disable_unref(device->nudge_source);
    sd_event_unref(device->loop);
    if (device->nudge >= 0) {
        close(device->nudge);
    }
    free(device);
}
