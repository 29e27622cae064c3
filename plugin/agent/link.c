/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_VERSION 1u
#define PROFILE "member"
#define KICK_INTERVAL_MS 1000u
#define SILENCE_MS 30000u /* after which a message of the IN-CSE says that it is back */
#define SWEEP_MS 10000u   /* without a roster, after which secenv has told every group again */
#define ROSTERS_AGAIN_MS 30000u

#define HEARD_LIMIT 64u /* of one member, under way to secenv */

#define CALL_SHIFT 56u

typedef Groupseal__Secenv__ToSecenv to_secenv;

uint64_t link_tag(struct agent *agent, enum link_call call)
{
    return ((uint64_t)call << CALL_SHIFT) | (++agent->sequence & ((UINT64_C(1) << CALL_SHIFT) - 1));
}

bool link_send(struct agent *agent, uint64_t tag, const to_secenv *request, enum agent_rank rank)
{
    bool taken = agent->ports.request(agent->ports.context, tag, request, rank);
    agent->asked += taken;
    return taken;
}

char *link_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

ProtobufCBinaryData link_data(const void *bytes, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)bytes};
}

bool link_ask(struct agent *agent, enum link_call call, const to_secenv *request, enum agent_rank rank,
              uint64_t *tag)
{
    *tag = link_tag(agent, call);
    return link_send(agent, *tag, request, rank);
}

/* ---- greeting and presence ---- */

static bool online_send(struct agent *agent, bool is_online)
{
    Groupseal__Secenv__Online online = GROUPSEAL__SECENV__ONLINE__INIT;
    to_secenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;

    online.identity = agent->rule.cse_id;
    online.online = is_online;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &online;
    return link_send(agent, link_tag(agent, LINK_CALL_ONLINE), &request, AGENT_RANK_OWN);
}

static void online_say(struct agent *agent)
{
    agent->kicked_ms = agent_now(agent);
    agent->kick_due = !online_send(agent, true);
}

/* Online said while online publishes nothing again: so it goes offline for a moment. */
static void rosters_ask(struct agent *agent, uint64_t now)
{
    agent->rosters_asked_ms = now == 0 ? 1 : now;
    agent->rosters_due = false;
    if (online_send(agent, false)) {
        online_say(agent);
    }
}

static void kick(struct agent *agent)
{
    agent->kick_due = true;
    link_tick(agent);
}

/* What was sent while the IN-CSE was away has reached nobody: secenv need not wait for its answer. */
static void unheard_fail(struct agent *agent)
{
    struct exchange *exchange;
    while ((exchange = exchange_waiting(&agent->exchanges, EXCHANGE_SENT)) != NULL) {
        objects_answer(agent, exchange->token, NULL, 0, "the IN-CSE was not connected");
        exchange_remove(&agent->exchanges, exchange);
    }
}

void link_in_cse_seen(struct agent *agent, bool subscribes)
{
    uint64_t now = agent_now(agent);
    bool silent = agent->in_cse_seen_ms == 0 || now - agent->in_cse_seen_ms >= SILENCE_MS;
    agent->in_cse_seen_ms = now == 0 ? 1 : now;
    if (!agent->secenv_ready || (!subscribes && !silent)) {
        return;
    }
    if (subscribes && agent->in_cse_away) {
        agent->in_cse_away = false;
        unheard_fail(agent);
    }
    kick(agent);
}

static void sweep(struct agent *agent, uint64_t now)
{
    size_t dropped = rosters_sweep(agent->rosters);
    if (dropped > 0) {
        agent_log(agent, AGENT_WARNING,
                  "secenv no longer knows %zu groups that it knew before: their topics are denied", dropped);
    }
    agent->sweep_ms = rosters_have_stale(agent->rosters) ? now + SWEEP_MS : 0;
}

void link_tick(struct agent *agent)
{
    uint64_t now = agent_now(agent);
    if (agent->secenv_ready && agent->kick_due && now - agent->kicked_ms >= KICK_INTERVAL_MS) {
        online_say(agent);
    }
    if (agent->secenv_ready && agent->rosters_due &&
        (agent->rosters_asked_ms == 0 || now - agent->rosters_asked_ms >= ROSTERS_AGAIN_MS)) {
        rosters_ask(agent, now);
    }
    if (agent->sweep_ms != 0 && now >= agent->sweep_ms) {
        sweep(agent, now);
    }
}

/* Their tokens mean nothing to the next secenv. */
static void sent_drop(struct agent *agent)
{
    struct exchange *exchange;
    while ((exchange = exchange_waiting(&agent->exchanges, EXCHANGE_SENT)) != NULL) {
        exchange_remove(&agent->exchanges, exchange);
    }
}

void agent_secenv_up(struct agent *agent)
{
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    to_secenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;

    hello.version = SOCKET_VERSION;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;
    agent->secenv_ready = agent->settled = false;
    sent_drop(agent);
    if (!link_send(agent, link_tag(agent, LINK_CALL_HELLO), &request, AGENT_RANK_OWN)) {
        agent_log(agent, AGENT_ALARM, "secenv cannot be greeted: the queue to it is full");
    }
}

void agent_secenv_down(struct agent *agent, const char *why)
{
    agent->secenv_ready = agent->settled = false;
    agent->sweep_ms = 0;
    metrics_status_take(agent, NULL);
    sent_drop(agent);
    agent_note(
        agent, AGENT_COUNT_SECENV_LOST, AGENT_ALARM,
        "the secure environment is not reachable (%s): broker and relay go on, what is for this MN-CSE "
        "is answered 5103 until it is back",
        why);
}

static bool welcome_fits(const struct agent *agent, const Groupseal__Secenv__Welcome *welcome)
{
    bool holds = false;
    for (size_t i = 0; i < welcome->n_identities; i++) {
        holds = holds || strcmp(welcome->identities[i], agent->rule.cse_id) == 0;
    }
    if (strcmp(welcome->profile, PROFILE) != 0 || !holds) {
        agent_log(
            agent, AGENT_ALARM,
            "secenv (profile %s) does not hold the identity %s: provision it with `secenv provision`, or "
            "correct plugin_opt_cse_id",
            welcome->profile, agent->rule.cse_id);
        return false;
    }
    if (strcmp(welcome->authority, agent->rule.in_cse) != 0) {
        agent_log(agent, AGENT_ALARM, "secenv is bound to the authority %s, and plugin_opt_in_cse is %s",
                  welcome->authority, agent->rule.in_cse);
        return false;
    }
    return true;
}

static void hello_replied(struct agent *agent, const Groupseal__Secenv__Reply *reply)
{
    if (reply == NULL) {
        return;
    }
    if (reply->code != GROUPSEAL__SECENV__CODE__OK ||
        reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME) {
        agent_log(agent, AGENT_ALARM, "secenv refuses the connection: %s", reply->reason);
        agent->settled = true;
        return;
    }
    if (!welcome_fits(agent, reply->welcome)) {
        agent->settled = true;
        return;
    }
    agent->secenv_ready = true;
    agent->rosters_due = false;
    rosters_mark(agent->rosters);
    agent_log(agent, AGENT_INFO, "the secure environment of %s is connected", agent->rule.cse_id);
    online_say(agent);
}

/* Replies come in order, and behind the events of the requests before: with this one all groups are told. */
static void status_ask(struct agent *agent)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    to_secenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;

    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    if (!link_send(agent, link_tag(agent, LINK_CALL_STATUS), &request, AGENT_RANK_OWN)) {
        agent->settled = true;
    }
}

static void online_replied(struct agent *agent, const Groupseal__Secenv__Reply *reply)
{
    if (reply == NULL) {
        return;
    }
    if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        agent_log(agent, AGENT_WARNING, "secenv does not go online: %s", reply->reason);
        agent->settled = true;
        return;
    }
    if (agent->sweep_ms == 0) {
        agent->sweep_ms = agent_now(agent) + SWEEP_MS;
    }
    if (!agent->settled) {
        status_ask(agent);
    }
}

/* ---- group topics ---- */

static bool heard_send(struct agent *agent, const struct identity *client, struct peer *peer,
                       const struct group_topic *topic, ProtobufCBinaryData payload)
{
    Groupseal__Secenv__Heard heard = GROUPSEAL__SECENV__HEARD__INIT;
    to_secenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;

    heard.identity = agent->rule.cse_id;
    heard.site = link_text(topic->site);
    heard.group = link_text(topic->group);
    heard.kind = topic->kind == GROUP_ACK ? GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK
                                          : GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE;
    heard.sender = link_text(client->id);
    heard.payload = payload;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &heard;
    return link_send(agent, ((uint64_t)LINK_CALL_HEARD << CALL_SHIFT) | peer->number, &request,
                     AGENT_RANK_MEMBER);
}

void link_hear(struct agent *agent, const struct identity *client, const struct group_topic *topic,
               const void *payload, size_t length)
{
    struct peer *peer = peer_meet(&agent->peers, client->id, client->level);

    if (peer != NULL && peer->heard >= HEARD_LIMIT) {
        agent_note(agent, AGENT_COUNT_MESSAGES_CROWDING, AGENT_WARNING,
                   "%s sends group messages faster than the secure environment takes them: it does not hear "
                   "one for group %s",
                   client->id, topic->group);
        return;
    }
    if (peer == NULL || !agent->secenv_ready ||
        !heard_send(agent, client, peer, topic, link_data(payload, length))) {
        agent_note(
            agent, AGENT_COUNT_MESSAGES_LOST, AGENT_ALARM,
            "the secure environment does not hear a message of %s for group %s: it is not reachable, or "
            "has too many requests before it",
            client->id, topic->group);
        return;
    }
    peer->heard++;
    agent_count(agent, AGENT_COUNT_MESSAGES_HEARD);
}

static void heard_replied(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply)
{
    struct peer *peer = peer_numbered(&agent->peers, (uint32_t)tag);

    if (peer != NULL && peer->heard > 0) {
        peer->heard--;
    }
    if (reply == NULL) {
        agent_note(agent, AGENT_COUNT_MESSAGES_LOST, AGENT_ALARM,
                   "the secure environment went away before it took a group message");
    } else if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        agent_note(agent, AGENT_COUNT_MESSAGES_REFUSED, AGENT_WARNING,
                   "secenv refuses a group message of %s: %s", peer == NULL ? "" : peer->id, reply->reason);
    }
}

static bool is_my_site(const struct agent *agent, const char *site)
{
    return strcmp(site, agent->rule.cse_level) == 0 || strcmp(site, agent->rule.cse_id) == 0;
}

/* The topic of a Publish event; false: none that this MN-CSE may write. */
static bool publish_topic(const struct agent *agent, const Groupseal__Secenv__Publish *publish, char *out,
                          size_t size)
{
    struct group_topic topic = {.row = publish->row, .column = publish->column};

    switch (publish->kind) {
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND:
        topic.kind = GROUP_CMD;
        break;
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH:
        topic.kind = GROUP_EPOCH;
        break;
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE:
        topic.kind = GROUP_TREE;
        break;
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY:
        topic.kind = GROUP_POLICY;
        break;
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE:
        if (strcmp(publish->sender, agent->rule.cse_id) != 0) {
            return false;
        }
        topic.kind = GROUP_MSG;
        snprintf(topic.ae, sizeof(topic.ae), "%s", agent->rule.cse_level);
        break;
    default:
        return false;
    }
    if (!is_my_site(agent, publish->site) ||
        (size_t)snprintf(topic.site, sizeof(topic.site), "%s", agent->rule.cse_level) >= sizeof(topic.site) ||
        (size_t)snprintf(topic.group, sizeof(topic.group), "%s", publish->group) >= sizeof(topic.group)) {
        return false;
    }
    return group_topic_build(&topic, out, size);
}

static void event_publish(struct agent *agent, const Groupseal__Secenv__Publish *publish)
{
    char topic[ONEM2M_TOPIC_LIMIT + 1];
    if (!publish_topic(agent, publish, topic, sizeof(topic))) {
        agent_note(agent, AGENT_COUNT_EVENTS_REFUSED, AGENT_WARNING,
                   "secenv asks for a publication on a topic that is not this MN-CSE's: group %s, site %s",
                   publish->group, publish->site);
        return;
    }
    /* Retained state at QoS 0, and what soon is void: it must not fill the queue in which a command waits. */
    int qos = publish->retained || publish->passing ? 0 : 1;
    agent_publish(agent, topic, publish->payload.data, publish->payload.len, qos, publish->retained);
}

static void event_roster(struct agent *agent, const Groupseal__Secenv__RosterEvent *roster)
{
    bool complete = false;

    if (!is_my_site(agent, roster->site)) {
        agent_note(agent, AGENT_COUNT_EVENTS_REFUSED, AGENT_WARNING,
                   "secenv tells the roster of another site: %s", roster->site);
        return;
    }
    if (agent->sweep_ms != 0) {
        agent->sweep_ms = agent_now(agent) + SWEEP_MS; /* it is still telling */
    }
    if (roster->deleted) {
        rosters_delete(agent->rosters, roster->group);
        agent_log(agent, AGENT_INFO, "group %s is no more", roster->group);
        return;
    }
    bool change = roster->pages == 0;
    bool taken = change ? rosters_change(agent->rosters, roster->group, roster->members, roster->n_members,
                                         roster->left, roster->n_left)
                        : rosters_page(agent->rosters, roster->group, roster->page, roster->pages,
                                       roster->members, roster->n_members, &complete);
    if (!taken) {
        agent_note(agent, AGENT_COUNT_EVENTS_REFUSED, AGENT_ALARM,
                   "the roster of group %s cannot be taken (%s %u of %u): the one before stays in force",
                   roster->group, change ? "a change of it, page" : "page", roster->page, roster->pages);
        agent->rosters_due = true;
        return;
    }
    if (complete || change) {
        agent_count(agent, AGENT_COUNT_ROSTERS_TAKEN);
        agent_log(agent, AGENT_INFO, "group %s has %zu members", roster->group,
                  rosters_members(agent->rosters, roster->group));
    }
}

static void event_notice(const struct agent *agent, const Groupseal__Secenv__Notice *notice)
{
    enum agent_severity severity = AGENT_INFO;
    if (notice->severity == GROUPSEAL__SECENV__SEVERITY__ALARM) {
        severity = AGENT_ALARM;
    } else if (notice->severity == GROUPSEAL__SECENV__SEVERITY__WARNING) {
        severity = AGENT_WARNING;
    }
    agent_log(agent, severity, "secenv: %s", notice->text);
}

/* ---- what comes from secenv ---- */

void agent_secenv_reply(struct agent *agent, uint64_t tag, const Groupseal__Secenv__Reply *reply)
{
    agent->asked -= agent->asked > 0;
    switch ((enum link_call)(tag >> CALL_SHIFT)) {
    case LINK_CALL_HELLO:
        hello_replied(agent, reply);
        break;
    case LINK_CALL_ONLINE:
        online_replied(agent, reply);
        break;
    case LINK_CALL_RECEIVED:
        objects_replied(agent, tag, reply);
        break;
    case LINK_CALL_HEARD:
        heard_replied(agent, tag, reply);
        break;
    case LINK_CALL_STATUS:
        agent->settled = reply != NULL;
        if (reply != NULL && reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_STATUS) {
            autonomy_status(agent, reply->status);
        }
        break;
    case LINK_CALL_COMMAND:
        autonomy_replied(agent, tag, reply);
        break;
    case LINK_CALL_CONTROL:
        control_replied(agent, tag, reply);
        break;
    case LINK_CALL_WATCH:
        metrics_status_take(agent, reply);
        break;
    case LINK_CALL_ANSWERED:
        break;
    }
}

void agent_secenv_event(struct agent *agent, const Groupseal__Secenv__Event *event)
{
    if (strcmp(event->identity, agent->rule.cse_id) != 0) {
        agent_note(agent, AGENT_COUNT_EVENTS_REFUSED, AGENT_WARNING,
                   "secenv speaks for %s on the connection of %s", event->identity, agent->rule.cse_id);
        return;
    }
    switch (event->content_case) {
    case GROUPSEAL__SECENV__EVENT__CONTENT_SEND:
        objects_send(agent, event->send);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH:
        event_publish(agent, event->publish);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER:
        event_roster(agent, event->roster);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE:
        event_notice(agent, event->notice);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE:
        agent_count(agent, AGENT_COUNT_MESSAGE_EVENTS);
        autonomy_hear(agent, event->message);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_REPORT:
        autonomy_report(agent, event->report);
        control_report(agent, event->report);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_JOINED:
        agent_log(agent, AGENT_INFO, "this MN-CSE is in group %s", event->joined->group);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED:
        agent_log(agent, AGENT_WARNING, "this MN-CSE is no longer in group %s: %s", event->departed->group,
                  event->departed->reason);
        break;
    default:
        break; /* what asks a device to act or to subscribe says nothing to a broker */
    }
}
