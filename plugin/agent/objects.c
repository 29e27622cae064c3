/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVED_TIMEOUT_MS 10000u
#define SENT_TIMEOUT_MS 10000u

/* ---- one for secenv, and its answer ---- */

static void received_key(uint64_t tag, char *out, size_t size)
{
    snprintf(out, size, "secenv/%" PRIx64, tag);
}

static void received_refuse(struct agent *agent, const struct exchange_asker *asker, const char *reason)
{
    agent_note(agent, AGENT_COUNT_SECENV_UNREACHABLE, AGENT_ALARM,
               "request %s of %s is answered 5103: the secure environment %s", asker->rqi, asker->id, reason);
    relay_answer(agent, asker, ONEM2M_TARGET_NOT_REACHABLE);
}

void objects_receive(struct agent *agent, const struct request *request)
{
    Groupseal__Secenv__Received received = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv to = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char key[ONEM2M_RQI_LIMIT + 1];
    uint8_t *object = NULL;
    size_t length = 0;

    if (!onem2m_get_seci(request->primitive, &object, &length) || length > AGENT_OBJECT_LIMIT) {
        relay_refuse(agent, request, ONEM2M_BAD_REQUEST, "it holds no object, or one of more than 48 KiB");
        free(object);
        return;
    }
    uint64_t tag = link_tag(agent, LINK_CALL_RECEIVED);
    received_key(tag, key, sizeof(key));
    received.identity = agent->rule.cse_id;
    received.from = link_text(request->client->id); /* its fr: the relay has seen that they are one */
    received.hop = link_text(request->client->id);
    received.object = link_data(object, length);
    to.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    to.received = &received;

    struct exchange *exchange = NULL;
    if (!agent->secenv_ready) {
        received_refuse(agent, &request->asker, "is not reachable");
        goto out;
    }
    exchange = exchange_add(&agent->exchanges, EXCHANGE_RECEIVED, &request->asker, &request->peer->waiting,
                            agent->rule.cse_id, key, agent_now(agent) + RECEIVED_TIMEOUT_MS);
    if (exchange == NULL) {
        received_refuse(agent, &request->asker, "has too many requests before it");
        goto out;
    }
    if (!link_send(agent, tag, &to, AGENT_RANK_IN_CSE)) {
        exchange_remove(&agent->exchanges, exchange);
        received_refuse(agent, &request->asker, "is not reachable, or has too many requests before it");
        goto out;
    }
    agent_count(agent, AGENT_COUNT_OBJECTS_RECEIVED);
out:
    free(object);
}

/* The reason behind a code stays in the log: the peer gets one generic answer (protocol section 3). */
static enum onem2m_rsc rsc_of_code(Groupseal__Secenv__Code code)
{
    switch (code) {
    case GROUPSEAL__SECENV__CODE__OK:
        return ONEM2M_OK;
    case GROUPSEAL__SECENV__CODE__INVALID:
        return ONEM2M_BAD_REQUEST;
    case GROUPSEAL__SECENV__CODE__REFUSED:
    case GROUPSEAL__SECENV__CODE__UNKNOWN:
    case GROUPSEAL__SECENV__CODE__EXISTS:
        return ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE;
    case GROUPSEAL__SECENV__CODE__FULL:
    case GROUPSEAL__SECENV__CODE__TOO_OFTEN:
    case GROUPSEAL__SECENV__CODE__NOT_READY:
        return ONEM2M_TARGET_NOT_REACHABLE;
    default:
        return ONEM2M_INTERNAL_SERVER_ERROR;
    }
}

void objects_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply)
{
    char key[ONEM2M_RQI_LIMIT + 1];
    received_key(tag, key, sizeof(key));
    struct exchange *exchange = exchange_forwarded(&agent->exchanges, key);

    if (exchange == NULL || exchange->kind != EXCHANGE_RECEIVED || exchange->answered) {
        return; /* it came too late */
    }
    if (reply == NULL) {
        received_refuse(agent, &exchange->asker, "went away before it answered");
        exchange_remove(&agent->exchanges, exchange); /* not kept: the same request may be tried again */
        return;
    }
    if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        agent_refusal_count(agent, (int)rsc_of_code(reply->code));
        agent_note(agent, AGENT_COUNT_REQUESTS_REFUSED, AGENT_WARNING, "secenv refuses an object of %s: %s",
                   exchange->asker.id, reply->reason);
        relay_finish_code(agent, exchange, rsc_of_code(reply->code));
        return;
    }
    struct onem2m_primitive *response =
        onem2m_response(ONEM2M_OK, exchange->asker.rqi, exchange->asker.id, agent->rule.cse_id);
    const ProtobufCBinaryData *object =
        reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER ? &reply->answer->object : NULL;
    bool built = response != NULL &&
                 (object == NULL || object->len == 0 || onem2m_set_seci(response, object->data, object->len));
    if (built) {
        relay_finish(agent, exchange, response);
    } else {
        relay_finish_code(agent, exchange, ONEM2M_INTERNAL_SERVER_ERROR);
    }
    onem2m_free(response);
}

/* ---- one of secenv's, and what became of it ---- */

void objects_answer(struct agent *agent, uint64_t token, uint8_t *object, size_t length, const char *failure)
{
    Groupseal__Secenv__Answered answered = GROUPSEAL__SECENV__ANSWERED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;

    answered.identity = agent->rule.cse_id;
    answered.token = token;
    answered.object = link_data(object, length);
    answered.failure = link_text(failure == NULL ? "" : failure);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &answered;
    if (!link_send(agent, link_tag(agent, LINK_CALL_ANSWERED), &request, AGENT_RANK_OWN)) {
        agent_note(agent, AGENT_COUNT_SECENV_UNREACHABLE, AGENT_WARNING,
                   "secenv does not hear what became of an object it sent");
    }
}

static bool notify_publish(struct agent *agent, const Groupseal__Secenv__Send *send, const char *rqi)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    char *text = NULL;
    size_t length = 0;

    struct onem2m_primitive *notify =
        onem2m_request(ONEM2M_NOTIFY, agent->rule.in_cse, agent->rule.cse_id, rqi);
    if (notify != NULL && onem2m_set_seci(notify, send->object.data, send->object.len) &&
        onem2m_topic_build(ONEM2M_REQ, agent->rule.cse_level, agent->rule.in_level, topic, sizeof(topic))) {
        text = onem2m_print(notify, &length);
    }
    bool published = text != NULL && agent_publish(agent, topic, text, length, 1, false);
    free(text);
    onem2m_free(notify);
    return published;
}

void objects_send(struct agent *agent, const Groupseal__Secenv__Send *send)
{
    char rqi[ONEM2M_RQI_LIMIT + 1];

    if (strcmp(send->to, agent->rule.in_cse) != 0) {
        objects_answer(agent, send->token, NULL, 0, "this MN-CSE sends to its IN-CSE only");
        return;
    }
    snprintf(rqi, sizeof(rqi), "%s/%" PRIx64, agent->rule.cse_level, ++agent->sequence);
    struct exchange *exchange = exchange_add(&agent->exchanges, EXCHANGE_SENT, NULL, NULL, agent->rule.in_cse,
                                             rqi, agent_now(agent) + SENT_TIMEOUT_MS);
    if (exchange == NULL) {
        objects_answer(agent, send->token, NULL, 0, "too many requests are under way");
        return;
    }
    exchange->token = send->token;
    if (!notify_publish(agent, send, rqi)) {
        exchange_remove(&agent->exchanges, exchange);
        objects_answer(agent, send->token, NULL, 0, "the broker does not take it");
        return;
    }
    agent_count(agent, AGENT_COUNT_OBJECTS_SENT);
}
