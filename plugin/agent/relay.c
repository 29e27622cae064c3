/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT_MS 30000u
#define AE_RESOURCE 2           /* ty */
#define AE_WAITING_LIMIT 64u    /* requests of one AE under way */
#define CSE_WAITING_LIMIT 8192u /* of the IN-CSE */
#define EXPIRED_A_TICK 128u     /* thousands may be asked at once of somebody who has gone */

/* ---- answering ---- */

/* Prints and publishes on the form of topic that the request came on. The text is the caller's to free. */
static char *response_publish(struct agent *agent, const struct exchange_asker *asker,
                              const struct onem2m_primitive *response, size_t *length)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    char *text = onem2m_print(response, length);
    if (text != NULL &&
        onem2m_topic_build(asker->answer_tree, asker->originator, asker->receiver, topic, sizeof(topic))) {
        agent_publish(agent, topic, text, *length, 1, false);
    }
    return text;
}

static struct onem2m_primitive *code_response(const struct agent *agent, const struct exchange_asker *asker,
                                              enum onem2m_rsc rsc)
{
    return onem2m_response(rsc, asker->rqi, asker->id, agent->rule.cse_id);
}

void relay_answer(struct agent *agent, const struct exchange_asker *asker, enum onem2m_rsc rsc)
{
    size_t length = 0;
    struct onem2m_primitive *response = code_response(agent, asker, rsc);
    if (response != NULL) {
        free(response_publish(agent, asker, response, &length));
    }
    onem2m_free(response);
}

void relay_finish(struct agent *agent, struct exchange *exchange, const struct onem2m_primitive *response)
{
    size_t length = 0;
    char *text = response_publish(agent, &exchange->asker, response, &length);
    exchange_answer(&agent->exchanges, exchange, text, length, agent_now(agent));
}

void relay_finish_code(struct agent *agent, struct exchange *exchange, enum onem2m_rsc rsc)
{
    struct onem2m_primitive *response = code_response(agent, &exchange->asker, rsc);
    if (response != NULL) {
        relay_finish(agent, exchange, response);
    } else {
        exchange_remove(&agent->exchanges, exchange);
    }
    onem2m_free(response);
}

void relay_refuse(struct agent *agent, const struct request *request, enum onem2m_rsc rsc, const char *reason)
{
    agent_refusal_count(agent, (int)rsc);
    agent_note(agent, AGENT_COUNT_REQUESTS_REFUSED, AGENT_WARNING, "request %s of %s is answered %d: %s",
               request->asker.rqi, request->client->id, (int)rsc, reason);
    relay_answer(agent, &request->asker, rsc);
}

/* ---- a request comes in ---- */

/* Tells a duplicate from another request of the same originator with the same rqi: against accidents. */
static uint64_t fingerprint_of(const uint8_t *payload, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u ^ length;
    while (length > 0) {
        uint64_t word = 0;
        size_t piece = length < sizeof(word) ? length : sizeof(word);
        memcpy(&word, payload, piece);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
        payload += piece;
        length -= piece;
    }
    return hash;
}

/* True where this originator has asked this before: then it is dealt with here. */
static bool duplicate_take(struct agent *agent, const struct request *request)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    const struct exchange *before = exchange_asked(&agent->exchanges, request->asker.id, request->asker.rqi);

    if (before == NULL || (before->answered && before->asker.fingerprint != request->asker.fingerprint)) {
        return false; /* after its response an rqi is free again (TS-0001 7.1.7) */
    }
    if (before->asker.fingerprint != request->asker.fingerprint) {
        relay_refuse(agent, request, ONEM2M_CONFLICT, "another request with this rqi is under way");
        return true;
    }
    agent_count(agent, AGENT_COUNT_REQUESTS_DUPLICATE);
    if (before->answer != NULL && onem2m_topic_build(request->asker.answer_tree, request->asker.originator,
                                                     request->asker.receiver, topic, sizeof(topic))) {
        agent_publish(agent, topic, before->answer, before->answer_length, 1, false);
    }
    return true;
}

static bool is_registration(const struct request *request)
{
    return onem2m_op(request->primitive) == ONEM2M_CREATE && onem2m_ty(request->primitive) == AE_RESOURCE;
}

/* True where the id is the IN-CSE, or an AE that is registered there. */
static bool is_behind_in_cse(const struct agent *agent, const char *id)
{
    size_t length = strlen(agent->rule.in_cse);
    return strncmp(id, agent->rule.in_cse, length) == 0 && (id[length] == '\0' || id[length] == '/');
}

/* `fr` is the client itself, or what the IN-CSE speaks for (TS-0003 7.2.1); an AE that registers may leave
 * the choice of its stem to the registrar. */
static bool originator_find(const struct agent *agent, struct request *request)
{
    const char *fr = onem2m_fr(request->primitive);
    snprintf(request->originator, sizeof(request->originator), "%s", request->client->id);
    if (is_registration(request) && (fr[0] == '\0' || strcmp(fr, "C") == 0 || strcmp(fr, "S") == 0)) {
        return true;
    }
    if (identity_means(&agent->rule, fr, request->client->id)) {
        return true;
    }
    return request->client->role == ROLE_IN_CSE &&
           onem2m_id_resolve(fr, agent->rule.cse_id, request->originator, sizeof(request->originator)) &&
           is_behind_in_cse(agent, request->originator);
}

/* The CSE or AE that `to` names, a resource of it included; false: nobody that can be told. */
static bool target_find(const struct agent *agent, const char *to, char *out, size_t size, bool *exact)
{
    char path[ONEM2M_TOPIC_LIMIT + 1];
    size_t length = strnlen(to, sizeof(path));
    if (length >= sizeof(path)) {
        return false;
    }
    memcpy(path, to, length + 1);
    *exact = true;
    while (!onem2m_id_resolve(path, agent->rule.cse_id, out, size)) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path) {
            return false;
        }
        *slash = '\0';
        *exact = false;
    }
    return true;
}

bool relay_route_up(const struct agent *agent, const char *to, struct route *out)
{
    char target[ONEM2M_ID_LIMIT + 1];
    bool exact = false;
    if (!target_find(agent, to, target, sizeof(target), &exact) || !is_behind_in_cse(agent, target)) {
        return false;
    }
    snprintf(out->target, sizeof(out->target), "%s", agent->rule.in_cse);
    snprintf(out->level, sizeof(out->level), "%s", agent->rule.in_level);
    return true;
}

/* ---- forwarding ---- */

/* A nearer time of the request's own counts. */
uint64_t relay_deadline(const struct agent *agent, const struct onem2m_primitive *request, bool result,
                        bool *own)
{
    bool (*expired)(const struct onem2m_primitive *, uint64_t) =
        result ? onem2m_result_expired : onem2m_expired;
    uint64_t wall = agent->ports.wall_ms(agent->ports.context);
    uint64_t low = 0;
    uint64_t high = REQUEST_TIMEOUT_MS;

    *own = expired(request, wall + high);
    while (*own && high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (expired(request, wall + middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return agent_now(agent) + high;
}

void relay_rqi(struct agent *agent, const char *level, const char *text, char *out, size_t size)
{
    unsigned long long number = ++agent->sequence;
    int length = snprintf(out, size, "%s/%llx/%s", level, number, text);
    if (length < 0 || (size_t)length >= size) {
        snprintf(out, size, "%s/%llx", level, number);
    }
}

/* What the next hop reads must mean the same there: a bare stem is relative to this CSE. */
static bool originator_write_out(struct onem2m_primitive *primitive, const char *id)
{
    const char *fr = onem2m_fr(primitive);
    return fr[0] == '\0' || fr[0] == '/' || onem2m_set_fr(primitive, id);
}

bool relay_send(struct agent *agent, struct onem2m_primitive *request, const char *originator,
                const struct route *route, const char *rqi)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    size_t length = 0;
    char *text = NULL;

    if (onem2m_set_rqi(request, rqi) && originator_write_out(request, originator) &&
        onem2m_topic_build(ONEM2M_REQ, agent->rule.cse_level, route->level, topic, sizeof(topic))) {
        text = onem2m_print(request, &length);
    }
    bool published = text != NULL && agent_publish(agent, topic, text, length, 1, false);
    free(text);
    return published;
}

static void request_forward(struct agent *agent, const struct request *request, const struct route *route)
{
    char rqi[ONEM2M_RQI_LIMIT + 1];
    bool rqet = false;
    uint64_t deadline = relay_deadline(agent, request->primitive, false, &rqet);

    relay_rqi(agent, request->client->level, request->asker.rqi, rqi, sizeof(rqi));
    struct exchange *exchange = exchange_add(&agent->exchanges, EXCHANGE_FORWARDED, &request->asker,
                                             &request->peer->waiting, route->target, rqi, deadline);
    if (exchange == NULL) {
        relay_refuse(agent, request, ONEM2M_TARGET_NOT_REACHABLE, "too many requests are under way");
        return;
    }
    exchange->rqet = rqet;
    if (!relay_send(agent, request->primitive, request->originator, route, rqi)) {
        exchange_remove(&agent->exchanges, exchange);
        relay_refuse(agent, request, ONEM2M_INTERNAL_SERVER_ERROR, "it cannot be sent on");
        return;
    }
    agent_count(agent, AGENT_COUNT_REQUESTS_FORWARDED);
}

static void request_forward_to_ae(struct agent *agent, const struct request *request, const char *target)
{
    struct route route;
    const struct peer *peer = peer_find(&agent->peers, target);

    snprintf(route.target, sizeof(route.target), "%s", target);
    if (peer != NULL) {
        snprintf(route.level, sizeof(route.level), "%s", peer->level);
        request_forward(agent, request, &route);
    } else if (onem2m_id_to_level(target, route.level, sizeof(route.level))) {
        /* Not heard of since the broker started: its session may still be there. */
        request_forward(agent, request, &route);
    }
}

/* ---- deciding ---- */

/* A NOTIFY for this MN-CSE itself. */
static void request_own(struct agent *agent, const struct request *request)
{
    if (strcmp(request->originator, agent->rule.in_cse) != 0) {
        relay_refuse(agent, request, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE,
                     "only the IN-CSE speaks to this MN-CSE's secure environment");
    } else {
        objects_receive(agent, request);
    }
}

/* NOTIFY, wherever it goes, and what is not for a resource of this MN-CSE. */
static void request_route(struct agent *agent, const struct request *request, const struct address *address)
{
    char target[ONEM2M_ID_LIMIT + 1];
    bool exact = false;
    struct route up;
    const struct identity *client = request->client;

    if (address->what == ADDRESS_RESOURCE && onem2m_resource_type(address->resource->content) == ONEM2M_AE) {
        snprintf(target, sizeof(target), "%s", address->resource->creator); /* by whatever name */
        exact = true;
    } else if (!target_find(agent, onem2m_to(request->primitive), target, sizeof(target), &exact)) {
        target[0] = '\0';
    }
    if (target[0] == '\0') {
        relay_refuse(agent, request, ONEM2M_NOT_FOUND, "its `to` is no identifier");
    } else if (strcmp(target, agent->rule.cse_id) == 0 && exact &&
               onem2m_op(request->primitive) == ONEM2M_NOTIFY) {
        request_own(agent, request);
    } else if (client->role == ROLE_AE && relay_route_up(agent, onem2m_to(request->primitive), &up)) {
        request_forward(agent, request, &up);
    } else if (client->role == ROLE_IN_CSE && exact && identity_is_local_ae(&agent->rule, target) &&
               onem2m_op(request->primitive) == ONEM2M_NOTIFY) {
        request_forward_to_ae(agent, request, target);
    } else {
        relay_refuse(agent, request, ONEM2M_NOT_FOUND, "this MN-CSE has no way to its `to`");
    }
}

/* A NOTIFY is for an entity; all else may be for a resource that is held here. */
static void request_deliver(struct agent *agent, const struct request *request)
{
    struct address address = {.what = ADDRESS_ELSEWHERE};

    hosting_find(agent, onem2m_to(request->primitive), &address);
    bool notify = onem2m_op(request->primitive) == ONEM2M_NOTIFY;
    bool fanout = address.what == ADDRESS_RESOURCE && address.rest[0] != '\0';
    if (address.what != ADDRESS_ELSEWHERE && (!notify || fanout)) {
        hosting_request(agent, request, &address);
    } else {
        request_route(agent, request, &address);
    }
}

static void request_decide(struct agent *agent, struct request *request)
{
    unsigned limit = request->client->role == ROLE_IN_CSE ? CSE_WAITING_LIMIT : AE_WAITING_LIMIT;

    if (!is_registration(request) && onem2m_fr(request->primitive)[0] == '\0') {
        relay_refuse(agent, request, ONEM2M_BAD_REQUEST, "`fr` is missing");
    } else if (!originator_find(agent, request)) {
        relay_refuse(agent, request, ONEM2M_ORIGINATOR_NOT_AUTHENTICATED,
                     "its `fr` is not who the connection has proven to be");
    } else if (onem2m_expired(request->primitive, agent->ports.wall_ms(agent->ports.context))) {
        relay_refuse(agent, request, ONEM2M_REQUEST_TIMEOUT, "its expiration time has passed");
    } else if (request->peer->waiting >= limit) {
        relay_refuse(agent, request, ONEM2M_TARGET_NOT_REACHABLE, "too many of its requests are under way");
    } else if (is_registration(request)) {
        registrar_create(agent, request);
    } else if (request->asker.answer_tree == ONEM2M_REG_RESP) {
        relay_refuse(agent, request, ONEM2M_OPERATION_NOT_ALLOWED, "only registrations come on reg_req");
    } else {
        request_deliver(agent, request);
    }
}

static void asker_fill(struct request *request, const struct onem2m_topic *topic, uint64_t fingerprint)
{
    snprintf(request->rqi, sizeof(request->rqi), "%s", onem2m_rqi(request->primitive));
    request->asker = (struct exchange_asker){
        .id = request->client->id,
        .answer_tree = topic->tree == ONEM2M_REG_REQ ? ONEM2M_REG_RESP : ONEM2M_RESP,
        .originator = topic->originator,
        .receiver = topic->receiver,
        .rqi = request->rqi,
        .fingerprint = fingerprint,
    };
}

void relay_request(struct agent *agent, const struct identity *client, const struct onem2m_topic *topic,
                   const void *payload, size_t length)
{
    struct request request = {.client = client, .primitive = onem2m_parse(payload, length)};

    if (request.primitive == NULL || !onem2m_is_request(request.primitive) ||
        onem2m_rqi(request.primitive)[0] == '\0') {
        agent_note(agent, AGENT_COUNT_MALFORMED, AGENT_WARNING,
                   "%s sent something that is no request primitive: it is dropped", client->id);
        goto out;
    }
    asker_fill(&request, topic, fingerprint_of(payload, length));
    request.peer = peer_meet(&agent->peers, client->id, client->level);
    if (request.peer == NULL) {
        relay_refuse(agent, &request, ONEM2M_INTERNAL_SERVER_ERROR,
                     "this MN-CSE knows as many entities as it can hold");
        goto out;
    }
    if (topic->tree == ONEM2M_REQ) {
        snprintf(request.peer->level, sizeof(request.peer->level), "%s", topic->originator);
    }
    if (!duplicate_take(agent, &request)) {
        request_decide(agent, &request);
    }
out:
    onem2m_free(request.primitive);
}

/* ---- a response comes in ---- */

/* The answer to a request of secenv's: the object in it, or why there is none. */
static void response_to_secenv(struct agent *agent, const struct exchange *exchange,
                               const struct onem2m_primitive *response)
{
    uint8_t *object = NULL;
    size_t length = 0;
    char failure[ONEM2M_ID_LIMIT + 64];

    if (onem2m_rsc_of(response) != ONEM2M_OK) {
        snprintf(failure, sizeof(failure), "%s answered %d", exchange->target, onem2m_rsc_of(response));
        objects_answer(agent, exchange->token, NULL, 0, failure);
    } else if (!onem2m_get_seci(response, &object, &length) || length > AGENT_OBJECT_LIMIT) {
        snprintf(failure, sizeof(failure), "%s answered without an object, or with one of more than 48 KiB",
                 exchange->target);
        objects_answer(agent, exchange->token, NULL, 0, failure);
    } else {
        objects_answer(agent, exchange->token, object, length, NULL);
    }
    free(object);
}

static void response_return(struct agent *agent, struct exchange *exchange, struct onem2m_primitive *response)
{
    if (!onem2m_set_rqi(response, exchange->asker.rqi) || !originator_write_out(response, exchange->target)) {
        relay_finish_code(agent, exchange, ONEM2M_INTERNAL_SERVER_ERROR);
        return;
    }
    agent_count(agent, AGENT_COUNT_RESPONSES_RETURNED);
    relay_finish(agent, exchange, response);
}

/* The exchange that this response of this client ends; NULL: nobody has asked it. */
static struct exchange *response_match(const struct agent *agent, const struct identity *client,
                                       const struct onem2m_primitive *response)
{
    const char *rqi = onem2m_rqi(response);
    const char *fr = onem2m_fr(response);
    struct exchange *exchange = exchange_forwarded(&agent->exchanges, rqi);

    /* Some IN-CSEs leave the rqi out (Mobius4): then it can be nothing but the one that is under way. */
    if (rqi[0] == '\0' && client->role == ROLE_IN_CSE) {
        exchange = exchange_only(&agent->exchanges, client->id);
    }
    if (exchange == NULL || exchange->answered || strcmp(exchange->target, client->id) != 0) {
        return NULL; /* local ones and those that gather have no target */
    }
    /* The IN-CSE answers also for what is registered there; an AE for nobody but itself. */
    bool itself =
        fr[0] == '\0' || client->role == ROLE_IN_CSE || identity_means(&agent->rule, fr, client->id);
    return itself ? exchange : NULL;
}

void relay_response(struct agent *agent, const struct identity *client, const void *payload, size_t length)
{
    struct onem2m_primitive *response = onem2m_parse(payload, length);
    if (response == NULL || onem2m_is_request(response)) {
        agent_note(agent, AGENT_COUNT_MALFORMED, AGENT_WARNING,
                   "%s sent something that is no response primitive: it is dropped", client->id);
        onem2m_free(response);
        return;
    }
    struct exchange *exchange = response_match(agent, client, response);
    if (exchange == NULL) {
        agent_note(agent, AGENT_COUNT_RESPONSES_UNSOLICITED, AGENT_INFO,
                   "%s sent a response that nobody waits for: it is dropped", client->id);
    } else if (exchange->kind == EXCHANGE_SENT) {
        response_to_secenv(agent, exchange, response);
        exchange_remove(&agent->exchanges, exchange);
    } else if (exchange->kind == EXCHANGE_MEMBER) {
        gathering_take(agent, exchange, response);
        return;
    } else {
        response_return(agent, exchange, response);
    }
    onem2m_free(response);
}

/* ---- time ---- */

static void exchange_expire(struct agent *agent, struct exchange *exchange)
{
    if (exchange->kind == EXCHANGE_GATHERING) {
        gathering_finish(agent, exchange->fanout);
        return;
    }
    agent_note(agent, AGENT_COUNT_REQUESTS_EXPIRED, AGENT_WARNING, "%s did not answer request %s in time",
               exchange->target, exchange->forwarded);
    if (exchange->kind == EXCHANGE_SENT) {
        objects_answer(agent, exchange->token, NULL, 0, "no response in time");
        exchange_remove(&agent->exchanges, exchange);
    } else if (exchange->kind == EXCHANGE_MEMBER) {
        gathering_lost(agent, exchange);
    } else {
        relay_finish_code(agent, exchange,
                          exchange->rqet ? ONEM2M_REQUEST_TIMEOUT : ONEM2M_TARGET_NOT_REACHABLE);
    }
}

void relay_expire(struct agent *agent)
{
    uint64_t now = agent_now(agent);
    for (unsigned i = 0; i < EXPIRED_A_TICK; i++) {
        struct exchange *exchange = exchange_expired(&agent->exchanges, now);
        if (exchange == NULL) {
            return;
        }
        exchange_expire(agent, exchange);
    }
}
