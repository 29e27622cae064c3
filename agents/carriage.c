/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/carriage.h"

#include "agents/exchange.h"
#include "agents/log.h"
#include "agents/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { NOTIFY_OF_SECENV = 1, ASKED_BY_OWNER };

struct carriage {
    char identity[ONEM2M_ID_LIMIT + 1];
    char cse[ONEM2M_ID_LIMIT + 1];
    char next_hop[ONEM2M_LEVEL_LIMIT + 1]; /* level; "" where each Send names its own */
    char level[ONEM2M_LEVEL_LIMIT + 1];
    struct connection *connection;
    struct session *session;
    struct exchange *exchange;
    struct timer timer;
    carriage_answered *answered;
    void *context;
};

/* A request to us that the secure environment is answering. */
struct incoming {
    struct carriage *carriage;
    struct onem2m_topic topic;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    char originator[ONEM2M_ID_LIMIT + 1]; /* its fr, as it came */
};

/* ---- publishing ---- */

static bool primitive_publish(struct carriage *carriage, enum onem2m_tree tree, const char *originator,
                              const char *receiver, const struct onem2m_primitive *primitive)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    size_t length = 0;
    char *json = onem2m_print(primitive, &length);
    bool sent = json != NULL && onem2m_topic_build(tree, originator, receiver, topic, sizeof(topic)) &&
                connection_publish(carriage->connection, topic, json, length, 1, false);
    free(json);
    return sent;
}

/* ---- requests of ours ---- */

/* Tells the secure environment what came of a Send. */
static void send_answered(struct carriage *carriage, uint64_t token, const uint8_t *object, size_t length,
                          const char *failure)
{
    Groupseal__Secenv__Answered answered = GROUPSEAL__SECENV__ANSWERED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char text[256];
    snprintf(text, sizeof(text), "%s", failure != NULL ? failure : "");
    answered.identity = carriage->identity;
    answered.token = token;
    answered.object = (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)object};
    answered.failure = text;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &answered;
    if (!session_request(carriage->session, &request, NULL, NULL)) {
        agent_log(AGENT_LOG_DEBUG, "the secure environment is away; it will send again");
    }
}

static void request_ended(struct carriage *carriage, const struct exchange_request *request, int rsc,
                          const char *failure)
{
    if (request->kind == ASKED_BY_OWNER) {
        carriage->answered(carriage->context, request->token, rsc);
    } else {
        send_answered(carriage, request->token, NULL, 0, failure);
    }
}

static void expiry_arm(struct carriage *carriage)
{
    uint64_t due = exchange_due(carriage->exchange);
    uint64_t now = monotonic_ms();
    if (due == UINT64_MAX) {
        timer_stop(&carriage->timer);
    } else {
        timer_start(&carriage->timer, due > now ? due - now : 0);
    }
}

static void expiry_due(void *context)
{
    struct carriage *carriage = context;
    struct exchange_request request;
    while (exchange_expire(carriage->exchange, monotonic_ms(), &request)) {
        agent_log(AGENT_LOG_DEBUG, "no response from %s within %u ms", request.receiver, EXCHANGE_TIMEOUT_MS);
        request_ended(carriage, &request, 0, "no response in time");
    }
    expiry_arm(carriage);
}

void carriage_lost(struct carriage *carriage)
{
    struct exchange_request request;
    while (exchange_drop(carriage->exchange, &request)) {
        request_ended(carriage, &request, 0, "the connection to the broker was lost");
    }
    timer_stop(&carriage->timer);
}

/* Registers and publishes a request; its failure is the caller's to tell. */
static bool request_start(struct carriage *carriage, enum onem2m_tree tree, const char *receiver,
                          struct onem2m_primitive *primitive, enum kind kind, uint64_t token)
{
    struct exchange_request ended;
    if (!connection_is_up(carriage->connection)) {
        return false;
    }
    const char *rqi = exchange_begin(carriage->exchange, receiver, (int)kind, token, monotonic_ms());
    if (rqi == NULL) {
        return false;
    }
    if (!onem2m_set_rqi(primitive, rqi) ||
        !primitive_publish(carriage, tree, carriage->level, receiver, primitive)) {
        exchange_match(carriage->exchange, rqi, receiver, &ended);
        return false;
    }
    expiry_arm(carriage);
    return true;
}

bool carriage_ask(struct carriage *carriage, enum onem2m_tree tree, const char *receiver,
                  struct onem2m_primitive *request, uint64_t token)
{
    return request_start(carriage, tree, receiver, request, ASKED_BY_OWNER, token);
}

void carriage_send(struct carriage *carriage, const Groupseal__Secenv__Send *send)
{
    char receiver[ONEM2M_LEVEL_LIMIT + 1];
    const char *hop = send->via[0] != '\0' ? send->via : send->to;
    if (carriage->next_hop[0] != '\0') {
        snprintf(receiver, sizeof(receiver), "%s", carriage->next_hop);
    } else if (!onem2m_id_to_level(hop, receiver, sizeof(receiver))) {
        send_answered(carriage, send->token, NULL, 0, "the receiver is not an absolute id");
        return;
    }
    struct onem2m_primitive *primitive = onem2m_request(ONEM2M_NOTIFY, send->to, carriage->identity, "0");
    bool started = primitive != NULL && onem2m_set_seci(primitive, send->object.data, send->object.len) &&
                   request_start(carriage, ONEM2M_REQ, receiver, primitive, NOTIFY_OF_SECENV, send->token);
    onem2m_free(primitive);
    if (!started) {
        send_answered(carriage, send->token, NULL, 0,
                      connection_is_up(carriage->connection) ? "too many requests are open"
                                                             : "not connected to the broker");
    }
}

static void response_take(struct carriage *carriage, const struct onem2m_topic *topic,
                          const struct onem2m_primitive *response)
{
    struct exchange_request request;
    if (!exchange_match(carriage->exchange, onem2m_rqi(response), topic->receiver, &request)) {
        agent_log(AGENT_LOG_DEBUG, "a response of %s to nothing that is open", topic->receiver);
        return;
    }
    expiry_arm(carriage);
    int rsc = onem2m_rsc_of(response);
    uint8_t *object = NULL;
    size_t length = 0;
    char failure[ONEM2M_LEVEL_LIMIT + 64];
    snprintf(failure, sizeof(failure), "%s answered with status %d", topic->receiver, rsc);
    if (request.kind == NOTIFY_OF_SECENV && onem2m_get_seci(response, &object, &length)) {
        bool fits = length <= CARRIAGE_OBJECT_LIMIT;
        send_answered(carriage, request.token, object, fits ? length : 0,
                      fits ? NULL : "the answer is longer than an object may be");
        free(object);
        return;
    }
    request_ended(carriage, &request, rsc, failure);
}

/* ---- requests to us ---- */

static void respond(struct carriage *carriage, const struct incoming *incoming, enum onem2m_rsc rsc,
                    const uint8_t *object, size_t length)
{
    struct onem2m_primitive *response =
        onem2m_response(rsc, incoming->rqi, incoming->originator, carriage->identity);
    bool sent = response != NULL && (length == 0 || onem2m_set_seci(response, object, length)) &&
                primitive_publish(carriage, ONEM2M_RESP, incoming->topic.originator, incoming->topic.receiver,
                                  response);
    onem2m_free(response);
    if (!sent) {
        agent_log(AGENT_LOG_DEBUG, "the response to %s could not be sent", incoming->topic.originator);
    }
}

/* An object that was refused has an Answer too: the generic refusal. */
static void received_answered(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct incoming *incoming = request_context;
    (void)context;
    if (reply == NULL) {
        respond(incoming->carriage, incoming, ONEM2M_TARGET_NOT_REACHABLE, NULL, 0);
    } else if (reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER) {
        respond(incoming->carriage, incoming, ONEM2M_OK, reply->answer->object.data,
                reply->answer->object.len);
    } else {
        respond(incoming->carriage, incoming, ONEM2M_BAD_REQUEST, NULL, 0);
    }
    free(incoming);
}

static enum onem2m_rsc notify_take(struct carriage *carriage, const struct incoming *incoming,
                                   const struct onem2m_primitive *primitive)
{
    char hop[ONEM2M_ID_LIMIT + 1];
    char from[ONEM2M_ID_LIMIT + 1];
    char to[ONEM2M_ID_LIMIT + 1];
    uint8_t *object = NULL;
    size_t length = 0;

    if (!onem2m_id_resolve(incoming->topic.originator, carriage->cse, hop, sizeof(hop)) ||
        !onem2m_id_resolve(onem2m_fr(primitive), onem2m_id_is_ae(hop) ? carriage->cse : hop, from,
                           sizeof(from)) ||
        !onem2m_get_seci(primitive, &object, &length)) {
        return ONEM2M_BAD_REQUEST;
    }
    if (!onem2m_id_resolve(onem2m_to(primitive), carriage->cse, to, sizeof(to)) ||
        strcmp(to, carriage->identity) != 0) {
        free(object);
        return ONEM2M_NOT_FOUND;
    }
    if (length > CARRIAGE_OBJECT_LIMIT) {
        free(object);
        return ONEM2M_BAD_REQUEST;
    }
    struct incoming *kept = malloc(sizeof(*kept));
    if (kept == NULL) {
        free(object);
        return ONEM2M_INTERNAL_SERVER_ERROR;
    }
    *kept = *incoming;

    Groupseal__Secenv__Received received = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    received.identity = carriage->identity;
    received.from = from;
    received.hop = hop;
    received.object = (ProtobufCBinaryData){length, object};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    request.received = &received;
    bool asked = session_request(carriage->session, &request, received_answered, kept);
    free(object);
    if (!asked) {
        free(kept);
        return ONEM2M_TARGET_NOT_REACHABLE;
    }
    return ONEM2M_OK;
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void request_take(struct carriage *carriage, const struct onem2m_topic *topic,
                         const struct onem2m_primitive *primitive)
{
    struct incoming incoming = {.carriage = carriage, .topic = *topic};
    snprintf(incoming.rqi, sizeof(incoming.rqi), "%s", onem2m_rqi(primitive));
    snprintf(incoming.originator, sizeof(incoming.originator), "%s", onem2m_fr(primitive));
    enum onem2m_rsc rsc = ONEM2M_OPERATION_NOT_ALLOWED;
    if (onem2m_expired(primitive, wall_ms())) {
        rsc = ONEM2M_REQUEST_TIMEOUT;
    } else if (onem2m_op(primitive) == ONEM2M_NOTIFY) {
        rsc = notify_take(carriage, &incoming, primitive);
    }
    if (rsc != ONEM2M_OK) {
        agent_log(AGENT_LOG_DEBUG, "a request of %s is answered with status %d", topic->originator, (int)rsc);
        respond(carriage, &incoming, rsc, NULL, 0);
    }
}

/* ---- */

/* Stem and full form of our id are one. */
static bool is_us(const struct carriage *carriage, const char *level)
{
    char absolute[ONEM2M_ID_LIMIT + 1];
    return onem2m_id_resolve(level, carriage->cse, absolute, sizeof(absolute)) &&
           strcmp(absolute, carriage->identity) == 0;
}

bool carriage_take(struct carriage *carriage, const struct connection_message *message)
{
    struct onem2m_topic topic;
    if (!onem2m_topic_parse(message->topic, &topic)) {
        return false;
    }
    bool request = topic.tree == ONEM2M_REQ;
    struct onem2m_primitive *primitive = strcmp(topic.serialisation, "json") == 0 && !message->retained &&
                                                 topic.tree != ONEM2M_REG_REQ &&
                                                 is_us(carriage, request ? topic.receiver : topic.originator)
                                             ? onem2m_parse((const char *)message->payload, message->length)
                                             : NULL;
    if (primitive == NULL || onem2m_is_request(primitive) != request) {
        agent_log(AGENT_LOG_DEBUG, "nothing for us on %s", message->topic);
    } else if (request) {
        request_take(carriage, &topic, primitive);
    } else {
        response_take(carriage, &topic, primitive);
    }
    onem2m_free(primitive);
    return true;
}

struct carriage *carriage_new(sd_event *loop, const struct carriage_settings *settings,
                              struct connection *connection, struct session *session,
                              carriage_answered *answered, void *context)
{
    struct carriage *carriage = calloc(1, sizeof(*carriage));
    if (carriage == NULL) {
        return NULL;
    }
    carriage->connection = connection;
    carriage->session = session;
    carriage->answered = answered;
    carriage->context = context;
    snprintf(carriage->identity, sizeof(carriage->identity), "%s", settings->identity);
    snprintf(carriage->cse, sizeof(carriage->cse), "%s", settings->cse);
    if (!onem2m_id_to_level(settings->identity, carriage->level, sizeof(carriage->level)) ||
        (settings->next_hop != NULL &&
         !onem2m_id_to_level(settings->next_hop, carriage->next_hop, sizeof(carriage->next_hop))) ||
        (carriage->exchange = exchange_new(carriage->level, settings->open_limit)) == NULL ||
        timer_open(&carriage->timer, loop, expiry_due, carriage) < 0) {
        carriage_free(carriage);
        return NULL;
    }
    return carriage;
}

void carriage_free(struct carriage *carriage)
{
    if (carriage == NULL) {
        return;
    }
    timer_close(&carriage->timer);
    exchange_free(carriage->exchange);
    free(carriage);
}

const char *carriage_level(const struct carriage *carriage)
{
    return carriage->level;
}
