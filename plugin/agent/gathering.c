/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one member's request needs to know of the whole. */
struct gathering {
    struct agent *agent;
    const struct request *request;
    const char *suffix; /* the path that goes behind each member's */
    const char *gid;
};

/* The response of a member goes into the whole under the name that the group has for it, and with the
 * request identifier that the originator knows. */
static void item_answer(struct fanout_item *item, struct onem2m_primitive *response, const char *rqi)
{
    if (response != NULL && onem2m_set_rqi(response, rqi) && onem2m_set_fr(response, item->member)) {
        item->response = response;
    } else {
        onem2m_free(response);
    }
    item->exchange = NULL;
    item->fanout->pending--;
}

static void item_answer_outcome(const struct gathering *gathering, struct fanout_item *item,
                                struct outcome outcome)
{
    const char *rqi = gathering->request->asker.rqi;
    struct onem2m_primitive *response = onem2m_response(outcome.rsc, rqi, NULL, item->member);
    if (response != NULL && outcome.content != NULL && onem2m_wants_content(gathering->request->primitive) &&
        !onem2m_set_resource(response, outcome.content)) {
        onem2m_free(response);
        response = NULL;
    }
    item_answer(item, response, rqi);
}

/* A member that this MN-CSE holds. */
static void item_local(const struct gathering *gathering, struct fanout_item *item,
                       const struct address *address)
{
    struct outcome outcome = {.rsc = ONEM2M_NOT_FOUND};
    if (gathering->suffix[0] == '\0' && address->rest[0] == '\0') {
        outcome = hosting_operate(gathering->agent, gathering->request->primitive,
                                  gathering->request->originator, address->resource);
    }
    item_answer_outcome(gathering, item, outcome);
}

/* The member's request: the group's, to the member, with the group request identifier. */
static struct onem2m_primitive *item_request(const struct gathering *gathering,
                                             const struct fanout_item *item)
{
    char to[ONEM2M_TOPIC_LIMIT + 1];
    const char *slash = gathering->suffix[0] == '\0' ? "" : "/";
    int length = snprintf(to, sizeof(to), "%s%s%s", item->member, slash, gathering->suffix);
    struct onem2m_primitive *request = onem2m_copy(gathering->request->primitive);
    if (request != NULL && length > 0 && (size_t)length < sizeof(to) && onem2m_set_to(request, to) &&
        onem2m_set_gid(request, gathering->gid)) {
        return request;
    }
    onem2m_free(request);
    return NULL;
}

/* A member behind the IN-CSE. */
static void item_send(const struct gathering *gathering, struct fanout_item *item, const struct route *route)
{
    struct agent *agent = gathering->agent;
    char rqi[ONEM2M_RQI_LIMIT + 1];
    struct onem2m_primitive *request = item_request(gathering, item);

    relay_rqi(agent, "fopt", "", rqi, sizeof(rqi));
    item->exchange = exchange_add(&agent->exchanges, EXCHANGE_MEMBER, NULL, NULL, route->target, rqi,
                                  item->fanout->asked->deadline_ms);
    if (request == NULL || item->exchange == NULL ||
        !relay_send(agent, request, gathering->request->originator, route, rqi)) {
        if (item->exchange != NULL) {
            exchange_remove(&agent->exchanges, item->exchange);
        }
        item_answer_outcome(gathering, item, (struct outcome){.rsc = ONEM2M_TARGET_NOT_REACHABLE});
    } else {
        item->exchange->item = item;
    }
    onem2m_free(request);
}

static void item_start(const struct gathering *gathering, struct fanout_item *item)
{
    struct address address;
    struct route route;

    hosting_find(gathering->agent, item->member, &address);
    if (address.what == ADDRESS_RESOURCE) {
        item_local(gathering, item, &address);
    } else if (relay_route_up(gathering->agent, item->member, &route)) {
        item_send(gathering, item, &route);
    } else {
        item_answer_outcome(gathering, item, (struct outcome){.rsc = ONEM2M_NOT_FOUND});
    }
}

static bool is_meant(const struct onem2m_primitive *request, const char *member)
{
    size_t count = onem2m_group_target_count(request);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(onem2m_group_target(request, i), member) == 0) {
            return true;
        }
    }
    return count == 0;
}

/* The members that the request is meant for (grtm; all without one); false: grtm names others too. */
static bool members_choose(const struct request *request, const struct resource *group,
                           const char *chosen[RESOURCES_MEMBERS_LIMIT], size_t *count)
{
    size_t all = onem2m_resource_count(group->content, "mid");
    *count = 0;
    for (size_t i = 0; i < all && *count < RESOURCES_MEMBERS_LIMIT; i++) {
        const char *member = onem2m_resource_item(group->content, "mid", i);
        if (is_meant(request->primitive, member)) {
            chosen[(*count)++] = member;
        }
    }
    size_t wanted = onem2m_group_target_count(request->primitive);
    return wanted == 0 || wanted == *count;
}

/* The exchange of the request, and the fan-out that it waits for; NULL: there is no room, and it is answered.
 */
static struct fanout *fanout_open(struct agent *agent, const struct request *request,
                                  const char *const *members, size_t count)
{
    bool own = false;
    uint64_t deadline = relay_deadline(agent, request->primitive, true, &own);
    struct fanout *fanout = fanout_new(&agent->fanouts, members, count);
    struct exchange *asked = fanout == NULL
                                 ? NULL
                                 : exchange_add(&agent->exchanges, EXCHANGE_GATHERING, &request->asker,
                                                &request->peer->waiting, NULL, NULL, deadline);
    if (asked == NULL) {
        relay_refuse(agent, request, ONEM2M_NOT_ACCEPTABLE, "too many group requests are under way");
        if (fanout != NULL) {
            fanout_free(&agent->fanouts, fanout);
        }
        return NULL;
    }
    fanout->asked = asked;
    asked->fanout = fanout;
    return fanout;
}

void gathering_start(struct agent *agent, const struct request *request, const struct resource *group,
                     const char *suffix)
{
    const char *members[RESOURCES_MEMBERS_LIMIT];
    size_t count = 0;
    char gid[ONEM2M_RQI_LIMIT + 1];
    struct gathering gathering = {agent, request, suffix, onem2m_gid(request->primitive)};

    if (gathering.gid[0] == '\0') {
        relay_rqi(agent, agent->rule.cse_level, "g", gid, sizeof(gid));
        gathering.gid = gid;
    }
    if (onem2m_op(request->primitive) == ONEM2M_NOTIFY) {
        relay_refuse(agent, request, ONEM2M_OPERATION_NOT_ALLOWED, "a fanOutPoint takes no NOTIFY");
    } else if (onem2m_resource_count(group->content, "mid") == 0) {
        relay_refuse(agent, request, ONEM2M_NO_MEMBERS, "the group has no members");
    } else if (!members_choose(request, group, members, &count)) {
        relay_refuse(agent, request, ONEM2M_BAD_REQUEST, "its grtm names no members of the group");
    } else if (!fanout_gid_take(&agent->fanouts, gathering.gid, agent_now(agent))) {
        relay_refuse(agent, request, ONEM2M_GROUP_REQUEST_IDENTIFIER_EXISTS,
                     "its group request identifier has been here");
    } else {
        struct fanout *fanout = fanout_open(agent, request, members, count);
        if (fanout == NULL) {
            return;
        }
        agent_count(agent, AGENT_COUNT_FANOUTS);
        /* What a member's operation changes is the table of resources, not the list that was chosen. */
        for (size_t i = 0; i < fanout->count; i++) {
            item_start(&gathering, &fanout->items[i]);
        }
        if (fanout->pending == 0) {
            gathering_finish(agent, fanout);
        }
    }
}

static void item_end(struct agent *agent, struct exchange *exchange, struct onem2m_primitive *response)
{
    struct fanout_item *item = exchange->item;
    struct fanout *fanout = item->fanout;

    exchange_remove(&agent->exchanges, exchange);
    item_answer(item, response, fanout->asked->asker.rqi);
    if (fanout->pending == 0) {
        gathering_finish(agent, fanout);
    }
}

void gathering_take(struct agent *agent, struct exchange *exchange, struct onem2m_primitive *response)
{
    agent_count(agent, AGENT_COUNT_RESPONSES_RETURNED);
    item_end(agent, exchange, response);
}

void gathering_lost(struct agent *agent, struct exchange *exchange)
{
    item_end(agent, exchange, NULL);
}

/* NULL: out of memory, or larger than a primitive may be. */
static struct onem2m_primitive *fanout_response(const struct agent *agent, const struct fanout *fanout,
                                                bool *answered)
{
    struct onem2m_primitive **members = calloc(fanout->count, sizeof(*members));
    struct onem2m_primitive *response =
        onem2m_response(ONEM2M_OK, fanout->asked->asker.rqi, fanout->asked->asker.id, agent->rule.cse_id);
    char *printed = NULL;
    size_t length = 0;

    *answered = false;
    for (size_t i = 0; members != NULL && i < fanout->count; i++) {
        members[i] = fanout->items[i].response;
        *answered = *answered || members[i] != NULL;
    }
    if (members != NULL && response != NULL && onem2m_set_aggregated(response, members, fanout->count)) {
        printed = onem2m_print(response, &length);
    }
    free((void *)members);
    if (printed == NULL) {
        onem2m_free(response);
        return NULL;
    }
    free(printed);
    return response;
}

void gathering_finish(struct agent *agent, struct fanout *fanout)
{
    bool answered = false;
    struct onem2m_primitive *response = fanout_response(agent, fanout, &answered);

    for (size_t i = 0; i < fanout->count; i++) {
        if (fanout->items[i].exchange != NULL) {
            exchange_remove(&agent->exchanges, fanout->items[i].exchange);
        }
    }
    if (!answered) {
        relay_finish_code(agent, fanout->asked, ONEM2M_GROUP_MEMBERS_NOT_RESPONDED);
    } else if (response == NULL) {
        relay_finish_code(agent, fanout->asked, ONEM2M_NOT_ACCEPTABLE);
    } else {
        relay_finish(agent, fanout->asked, response);
    }
    onem2m_free(response);
    fanout_free(&agent->fanouts, fanout);
}
