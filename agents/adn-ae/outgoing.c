/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/outgoing.h"

#include "agents/timer.h"
#include "onem2m/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRY_MS 1000u
#define NOT_GRANTED "the broker has not granted the topics of the group: does its MN-CSE know this device?"

struct message {
    struct message *next;
    struct outgoing *outgoing;
    char group[65];
    device_said *said;
    void *context;
    uint64_t deadline_ms;
    bool asked; /* the secure environment is sealing it */
    char trouble[256];
    size_t length;
    uint8_t body[];
};

struct outgoing {
    char identity[ONEM2M_ID_LIMIT + 1];
    char level[ONEM2M_LEVEL_LIMIT + 1];
    struct connection *connection;
    struct session *session;
    struct groups *groups;
    struct timer timer;
    struct message *first;
    size_t count;
    bool closing;
};

/* Answers and frees a message that is in no list any more. */
static void message_answer(struct message *message, const char *error)
{
    if (message->said != NULL) {
        message->said(message->context, error);
    }
    explicit_bzero(message->body, message->length);
    free(message);
}

static void message_end(struct message *message, const char *error)
{
    struct message **place = &message->outgoing->first;
    while (*place != message) {
        place = &(*place)->next;
    }
    *place = message->next;
    message->outgoing->count--;
    message_answer(message, error);
}

static void message_wait(struct message *message, const char *trouble)
{
    message->asked = false;
    snprintf(message->trouble, sizeof(message->trouble), "%s", trouble);
    timer_start(&message->outgoing->timer, TRY_MS);
}

static bool spoken_publish(const struct message *message, const Groupseal__Secenv__Spoken *spoken)
{
    const struct outgoing *outgoing = message->outgoing;
    char text[ONEM2M_TOPIC_LIMIT + 1];
    struct group_topic topic = {.kind = GROUP_MSG};
    if (strlen(spoken->site) >= sizeof(topic.site)) {
        return false;
    }
    snprintf(topic.site, sizeof(topic.site), "%s", spoken->site);
    snprintf(topic.group, sizeof(topic.group), "%s", message->group);
    snprintf(topic.ae, sizeof(topic.ae), "%s", outgoing->level);
    return group_topic_build(&topic, text, sizeof(text)) &&
           connection_publish(outgoing->connection, text, spoken->payload.data, spoken->payload.len, 1,
                              false);
}

static void on_spoken(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct message *message = request_context;
    (void)context;
    if (reply == NULL) {
        message_wait(message, "the secure environment is away");
    } else if (reply->code == GROUPSEAL__SECENV__CODE__NOT_READY ||
               reply->code == GROUPSEAL__SECENV__CODE__TOO_OFTEN ||
               (reply->code == GROUPSEAL__SECENV__CODE__UNKNOWN && groups_empty(message->outgoing->groups))) {
        message_wait(message, reply->reason[0] != '\0' ? reply->reason : "no key yet");
    } else if (reply->code != GROUPSEAL__SECENV__CODE__OK ||
               reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_SPOKEN) {
        message_end(message, reply->reason[0] != '\0' ? reply->reason : "refused by the secure environment");
    } else if (!groups_granted(message->outgoing->groups, message->group)) {
        message_wait(message, NOT_GRANTED);
    } else if (spoken_publish(message, reply->spoken)) {
        message_end(message, NULL);
    } else {
        message_wait(message, "not connected to the broker");
    }
}

static bool message_ask(struct message *message)
{
    struct outgoing *outgoing = message->outgoing;
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    speak.identity = outgoing->identity;
    speak.group = message->group;
    speak.body = (ProtobufCBinaryData){message->length, message->body};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    if (groups_has(outgoing->groups, message->group) && !groups_granted(outgoing->groups, message->group)) {
        bool up = connection_is_up(outgoing->connection);
        snprintf(message->trouble, sizeof(message->trouble), "%s", up ? NOT_GRANTED : "");
        return false;
    }
    return connection_is_up(outgoing->connection) &&
           session_request(outgoing->session, &request, on_spoken, message);
}

/* An earlier message of the same group waits too: this one is after it. */
static bool behind_another(const struct outgoing *outgoing, const struct message *message)
{
    for (const struct message *m = outgoing->first; m != message; m = m->next) {
        if (!m->asked && strcmp(m->group, message->group) == 0) {
            return true;
        }
    }
    return false;
}

void outgoing_try(struct outgoing *outgoing)
{
    bool waiting = false;
    for (struct message *m = outgoing->first; m != NULL; m = m->next) {
        if (!m->asked && !behind_another(outgoing, m)) {
            m->asked = message_ask(m);
        }
        waiting = waiting || !m->asked;
    }
    if (waiting) {
        timer_start(&outgoing->timer, TRY_MS);
    }
}

static void try_due(void *context)
{
    struct outgoing *outgoing = context;
    uint64_t now = monotonic_ms();
    struct message *next = NULL;
    for (struct message *m = outgoing->first; m != NULL; m = next) {
        next = m->next;
        if (!m->asked && m->deadline_ms <= now) {
            char error[320];
            snprintf(error, sizeof(error), "not sent within %u s: %s", OUTGOING_PATIENCE_MS / 1000,
                     m->trouble[0] != '\0' ? m->trouble : "the device is offline");
            message_end(m, error);
        }
    }
    outgoing_try(outgoing);
}

bool outgoing_add(struct outgoing *outgoing, const char *group, const uint8_t *body, size_t length,
                  device_said *said, void *context)
{
    if (outgoing->closing || outgoing->count >= DEVICE_MESSAGES_LIMIT || length > DEVICE_BODY_LIMIT ||
        strlen(group) >= sizeof(((struct message *)0)->group)) {
        return false;
    }
    struct message *message = calloc(1, sizeof(*message) + length);
    if (message == NULL) {
        return false;
    }
    message->outgoing = outgoing;
    message->said = said;
    message->context = context;
    message->deadline_ms = monotonic_ms() + OUTGOING_PATIENCE_MS;
    message->length = length;
    snprintf(message->group, sizeof(message->group), "%s", group);
    if (length > 0) {
        memcpy(message->body, body, length);
    }
    struct message **end = &outgoing->first;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = message;
    outgoing->count++;
    outgoing_try(outgoing);
    return true;
}

struct outgoing *outgoing_new(sd_event *loop, const struct outgoing_settings *settings,
                              struct connection *connection, struct session *session, struct groups *groups)
{
    struct outgoing *outgoing = calloc(1, sizeof(*outgoing));
    if (outgoing == NULL) {
        return NULL;
    }
    snprintf(outgoing->identity, sizeof(outgoing->identity), "%s", settings->identity);
    snprintf(outgoing->level, sizeof(outgoing->level), "%s", settings->level);
    outgoing->connection = connection;
    outgoing->session = session;
    outgoing->groups = groups;
    if (timer_open(&outgoing->timer, loop, try_due, outgoing) < 0) {
        free(outgoing);
        return NULL;
    }
    return outgoing;
}

void outgoing_free(struct outgoing *outgoing)
{
    if (outgoing == NULL) {
        return;
    }
    outgoing->closing = true; /* whoever hears that a message was not sent may say the next one */
    while (outgoing->first != NULL) {
        struct message *message = outgoing->first;
        outgoing->first = message->next;
        message_answer(message, "not sent: the device ends");
    }
    timer_close(&outgoing->timer);
    free(outgoing);
}
