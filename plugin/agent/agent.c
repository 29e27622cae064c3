/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_LINE 800u
#define NOTE_INTERVAL_MS 10000u
#define TICK_INTERVAL_MS 100u /* some brokers tick at every turn of their loop */

static const char *const counter_names[] = {
#define AGENT_COUNTER_NAME(name, text) [AGENT_COUNT_##name] = (text),
    AGENT_COUNTERS(AGENT_COUNTER_NAME)
#undef AGENT_COUNTER_NAME
};

/* ---- time, log, counters ---- */

uint64_t agent_now(const struct agent *agent)
{
    return agent->ports.monotonic_ms(agent->ports.context);
}

/* Foreign names and reasons stand in log lines: no control characters. */
static void line_clean(char *line)
{
    for (; *line != '\0'; line++) {
        if ((unsigned char)*line < ' ' || *line == 127) {
            *line = '?';
        }
    }
}

static void line_log(const struct agent *agent, enum agent_severity severity, char *line)
{
    line_clean(line);
    agent->ports.log(agent->ports.context, severity, line);
}

void agent_log(const struct agent *agent, enum agent_severity severity, const char *format, ...)
{
    char line[LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    line_log(agent, severity, line);
}

void agent_count(struct agent *agent, enum agent_counter counter)
{
    agent->counters[counter]++;
}

void agent_note(struct agent *agent, enum agent_counter counter, enum agent_severity severity,
                const char *format, ...)
{
    agent_count(agent, counter);
    uint64_t now = agent_now(agent);
    if (agent->told_ms[counter] != 0 && now - agent->told_ms[counter] < NOTE_INTERVAL_MS) {
        return;
    }
    char line[LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    uint64_t untold = agent->counters[counter] - agent->told[counter] - 1;
    if (untold > 0 && length > 0 && (size_t)length < sizeof(line)) {
        snprintf(line + length, sizeof(line) - (size_t)length, " (and %llu more like it)",
                 (unsigned long long)untold);
    }
    agent->told[counter] = agent->counters[counter];
    agent->told_ms[counter] = now == 0 ? 1 : now;
    line_log(agent, severity, line);
}

uint64_t agent_counter(const struct agent *agent, enum agent_counter counter)
{
    return agent->counters[counter];
}

void agent_counters_log(const struct agent *agent)
{
    char line[LOG_LINE] = "counters:";
    size_t length = strlen(line);
    for (size_t i = 0; i < AGENT_COUNTERS_END && length < sizeof(line); i++) {
        length += (size_t)snprintf(line + length, sizeof(line) - length, " %s %llu", counter_names[i],
                                   (unsigned long long)agent->counters[i]);
    }
    line_log(agent, AGENT_INFO, line);
}

/* ---- life ---- */

struct agent *agent_new(const struct agent_settings *settings, const struct agent_ports *ports, char *why,
                        size_t why_size)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    if (!identity_rule_set(&agent->rule, settings->cse_id, settings->in_cse, settings->identity, why,
                           why_size)) {
        free(agent);
        return NULL;
    }
    agent->ports = *ports;
    exchanges_init(&agent->exchanges);
    agent->rosters = rosters_new();
    if (agent->rosters == NULL) {
        snprintf(why, why_size, "out of memory");
        free(agent);
        return NULL;
    }
    agent->in_cse_away = true;
    agent->sequence = ports->wall_ms(ports->context);
    return agent;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    exchanges_clear(&agent->exchanges);
    peers_clear(&agent->peers);
    rosters_free(agent->rosters);
    free(agent);
}

void agent_tick(struct agent *agent)
{
    uint64_t now = agent_now(agent);
    if (now - agent->ticked_ms >= TICK_INTERVAL_MS) {
        agent->ticked_ms = now;
        relay_expire(agent);
        link_tick(agent);
    }
}

/* ---- the broker's questions ---- */

bool agent_publish(struct agent *agent, const char *topic, const void *payload, size_t length, int qos,
                   bool retain)
{
    const struct agent_publication publication = {
        .topic = topic, .payload = payload, .length = length, .qos = qos, .retain = retain};
    if (!agent->ports.publish(agent->ports.context, &publication)) {
        agent_note(agent, AGENT_COUNT_PUBLICATIONS_FAILED, AGENT_WARNING,
                   "the broker does not take a publication on %s: is it out of memory?", topic);
        return false;
    }
    agent_count(agent, AGENT_COUNT_PUBLICATIONS);
    return true;
}

static enum agent_answer decide(struct agent *agent, const struct identity *client,
                                const struct agent_attempt *attempt)
{
    const struct access_view view = {.rule = &agent->rule, .rosters = agent->rosters};
    return access_decide(&view, client, attempt);
}

enum agent_answer agent_allows(struct agent *agent, const struct agent_attempt *attempt)
{
    struct identity client;

    if (!onem2m_topic_touches(attempt->topic) && !group_topic_touches(attempt->topic)) {
        return AGENT_FOREIGN;
    }
    identity_find(&agent->rule, attempt->name, &client);
    enum agent_answer answer = decide(agent, &client, attempt);
    if (answer == AGENT_ALLOWED && attempt->access == AGENT_SUBSCRIBE && client.role == ROLE_IN_CSE) {
        link_in_cse_seen(agent, true);
    }
    /* A denied READ is the everyday case of "#" subscriptions. */
    if (answer == AGENT_DENIED && attempt->access != AGENT_READ) {
        agent_note(agent, AGENT_COUNT_DENIED, AGENT_WARNING, "%s may not %s %s%s",
                   attempt->name == NULL ? "a client without a proven name" : attempt->name,
                   attempt->access == AGENT_WRITE ? "publish on" : "subscribe to", attempt->topic,
                   client.role == ROLE_NONE ? ": by plugin_opt_identity its name is no AE of this MN-CSE"
                                            : "");
    }
    return answer;
}

static void primitive_message(struct agent *agent, const struct identity *client, const char *text,
                              const void *payload, size_t length)
{
    struct onem2m_topic topic;
    if (!onem2m_topic_parse(text, &topic)) {
        return;
    }
    if (client->role == ROLE_IN_CSE) {
        link_in_cse_seen(agent, false);
    }
    if (topic.tree == ONEM2M_RESP) {
        relay_response(agent, client, payload, length);
    } else {
        relay_request(agent, client, &topic, payload, length);
    }
}

static enum agent_answer group_message(struct agent *agent, const struct identity *client, const char *text,
                                       const void *payload, size_t length)
{
    struct group_topic topic;
    if (!group_topic_parse(text, &topic) || length > AGENT_OBJECT_LIMIT) {
        agent_note(agent, AGENT_COUNT_MALFORMED, AGENT_WARNING,
                   "a message of %s on %s is larger than %u bytes and is dropped", client->id, text,
                   AGENT_OBJECT_LIMIT);
        return AGENT_DENIED;
    }
    link_hear(agent, client, &topic, payload, length);
    return AGENT_ALLOWED;
}

enum agent_answer agent_message(struct agent *agent, const char *name, const char *topic, const void *payload,
                                size_t length)
{
    const struct agent_attempt attempt = {.name = name, .access = AGENT_WRITE, .topic = topic};
    struct identity client;

    if (!onem2m_topic_touches(topic) && !group_topic_touches(topic)) {
        return AGENT_FOREIGN;
    }
    identity_find(&agent->rule, name, &client);
    if (decide(agent, &client, &attempt) != AGENT_ALLOWED) {
        agent_note(
            agent, AGENT_COUNT_DENIED, AGENT_WARNING,
            "%s may not publish on %s, and another plugin or a bridge has let it: the message is dropped",
            name == NULL ? "a client without a proven name" : name, topic);
        return AGENT_DENIED;
    }
    if (group_topic_touches(topic)) {
        return group_message(agent, &client, topic, payload, length);
    }
    primitive_message(agent, &client, topic, payload, length);
    return AGENT_ALLOWED;
}

bool agent_client_id_fits(struct agent *agent, const char *name, const char *client_id)
{
    struct identity client;

    if (client_id == NULL || client_id[0] == '\0' || client_id[1] != ':') {
        return true; /* asked for each reader of each message: nobody's id costs nothing */
    }
    identity_find(&agent->rule, name, &client);
    if (identity_fits_client_id(&agent->rule, &client, client_id)) {
        return true;
    }
    agent_note(agent, AGENT_COUNT_CLIENT_IDS_TAKEN, AGENT_ALARM,
               "%s has connected under the client id %s, which is not its own, and is thrown off: write "
               "`use_username_as_clientid true` for each listener, else it can end connections of others and "
               "delete what waits for them",
               name == NULL ? "a client without a proven name" : name, client_id);
    return false;
}

bool agent_settled(const struct agent *agent)
{
    return agent->settled;
}

void agent_gone(struct agent *agent, const char *name)
{
    struct identity client;
    identity_find(&agent->rule, name, &client);
    if (client.role == ROLE_IN_CSE) {
        agent->in_cse_away = true;
    }
}
