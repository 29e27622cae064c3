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
    if (severity < agent->log_level) {
        return;
    }
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

const char *agent_counter_name(enum agent_counter counter)
{
    return counter_names[counter];
}

void agent_refusal_count(struct agent *agent, int rsc)
{
    for (size_t i = 0; i < AGENT_REFUSALS_LIMIT; i++) {
        if (agent->refusals[i].rsc == rsc || agent->refusals[i].rsc == 0) {
            agent->refusals[i].rsc = rsc;
            agent->refusals[i].count++;
            return;
        }
    }
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

static bool admins_fit(const struct agent_settings *settings, char *why, size_t why_size)
{
    bool fit = settings->admin_count <= AGENT_ADMINS_LIMIT;
    for (size_t i = 0; fit && i < settings->admin_count; i++) {
        fit = strlen(settings->admins[i]) <= ONEM2M_ID_LIMIT;
    }
    if (!fit) {
        snprintf(why, why_size, "plugin_opt_admin: more than %u, or one of more than %u bytes",
                 AGENT_ADMINS_LIMIT, ONEM2M_ID_LIMIT);
    }
    return fit;
}

static void admins_take(struct agent *agent, const struct agent_settings *settings)
{
    for (size_t i = 0; i < settings->admin_count; i++) {
        snprintf(agent->admins[i], sizeof(agent->admins[i]), "%s", settings->admins[i]);
    }
    agent->admin_count = settings->admin_count;
    agent->control_send = settings->control_send;
}

bool agent_configure(struct agent *agent, const struct agent_settings *settings, char *why, size_t why_size)
{
    struct identity_rule rule;
    if (!identity_rule_set(&rule, settings->cse_id, settings->in_cse, settings->identity, why, why_size)) {
        return false;
    }
    for (size_t i = 0; i < settings->more_identity_count; i++) {
        if (!identity_rule_add(&rule, settings->more_identities[i], why, why_size)) {
            return false;
        }
    }
    struct rules *rules = NULL;
    const char *bridge = settings->in_cse_bridge == NULL ? "" : settings->in_cse_bridge;
    if (strlen(bridge) > ONEM2M_ID_LIMIT) {
        snprintf(why, why_size, "plugin_opt_in_cse_bridge is longer than %u bytes", ONEM2M_ID_LIMIT);
        return false;
    }
    if (!admins_fit(settings, why, why_size)) {
        return false;
    }
    if (settings->rules != NULL && (rules = rules_read(settings->rules, why, why_size)) == NULL) {
        return false;
    }
    autonomy_rules(agent, rules);
    admins_take(agent, settings);
    memcpy(agent->in_cse_bridge, bridge, strlen(bridge) + 1);
    agent->rule = rule;
    agent->observe = settings->observe;
    agent->log_level = settings->log_level;
    return true;
}

struct agent *agent_new(const struct agent_settings *settings, const struct agent_ports *ports, char *why,
                        size_t why_size)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    if (!agent_configure(agent, settings, why, why_size)) {
        free(agent);
        return NULL;
    }
    agent->ports = *ports;
    exchanges_init(&agent->exchanges);
    fanouts_init(&agent->fanouts);
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
    autonomy_clear(agent);
    control_clear(agent);
    metrics_status_take(agent, NULL);
    fanouts_clear(&agent->fanouts);
    exchanges_clear(&agent->exchanges);
    resources_clear(&agent->resources);
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
        autonomy_turn(agent);
        control_turn(agent);
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

static const char *name_of(const char *name)
{
    return name == NULL ? "a client without a proven name" : name;
}

/* What is refused, or would be; the answer. A denied READ is the everyday case of "#" subscriptions. */
static enum agent_answer attempt_refuse(struct agent *agent, const struct identity *client,
                                        const struct agent_attempt *attempt)
{
    static const char *const verbs[] = {
        [AGENT_READ] = "read", [AGENT_WRITE] = "publish on", [AGENT_SUBSCRIBE] = "subscribe to"};
    const char *why =
        client->role == ROLE_NONE ? ": by plugin_opt_identity its name is no AE of this MN-CSE" : "";
    if (agent->observe) {
        agent_note(agent, attempt->access == AGENT_READ ? AGENT_COUNT_OBSERVED_READS : AGENT_COUNT_OBSERVED,
                   AGENT_WARNING, "with `mode enforce` %s may not %s %s%s", name_of(attempt->name),
                   verbs[attempt->access], attempt->topic, why);
        return AGENT_FOREIGN;
    }
    if (attempt->access != AGENT_READ) {
        agent_note(agent, AGENT_COUNT_DENIED, AGENT_WARNING, "%s may not %s %s%s", name_of(attempt->name),
                   verbs[attempt->access], attempt->topic, why);
    }
    return AGENT_DENIED;
}

enum agent_answer agent_allows(struct agent *agent, const struct agent_attempt *attempt)
{
    struct identity client;

    if (control_topic_touches(attempt->topic)) {
        return control_allows(agent, attempt);
    }
    if (!onem2m_topic_touches(attempt->topic) && !group_topic_touches(attempt->topic)) {
        return AGENT_FOREIGN;
    }
    identity_find(&agent->rule, attempt->name, &client);
    enum agent_answer answer = decide(agent, &client, attempt);
    if (answer == AGENT_ALLOWED && attempt->access == AGENT_SUBSCRIBE && client.role == ROLE_IN_CSE) {
        link_in_cse_seen(agent, true);
    }
    return answer == AGENT_DENIED ? attempt_refuse(agent, &client, attempt) : answer;
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
        agent_note(agent, agent->observe ? AGENT_COUNT_OBSERVED : AGENT_COUNT_MALFORMED, AGENT_WARNING,
                   "a message of %s on %s is larger than %u bytes and is %s", client->id, text,
                   AGENT_OBJECT_LIMIT, agent->observe ? "dropped with `mode enforce`" : "dropped");
        return agent->observe ? AGENT_FOREIGN : AGENT_DENIED;
    }
    link_hear(agent, client, &topic, payload, length);
    return AGENT_ALLOWED;
}

static enum agent_answer message_refuse(struct agent *agent, const char *name, const char *topic)
{
    if (agent->observe) {
        agent_note(agent, AGENT_COUNT_OBSERVED, AGENT_WARNING,
                   "with `mode enforce` a message of %s on %s is dropped; this MN-CSE does not act on it",
                   name_of(name), topic);
        return AGENT_FOREIGN;
    }
    agent_note(agent, AGENT_COUNT_DENIED, AGENT_WARNING,
               "%s may not publish on %s, and another plugin or a bridge has let it: the message is dropped",
               name_of(name), topic);
    return AGENT_DENIED;
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
        return message_refuse(agent, name, topic);
    }
    if (group_topic_touches(topic)) {
        return group_message(agent, &client, topic, payload, length);
    }
    primitive_message(agent, &client, topic, payload, length);
    return AGENT_ALLOWED;
}

/* The IN-CSE as its bridge stands for it: it has no name of its own on this broker. */
static void identity_of_bridge(const struct agent *agent, struct identity *out)
{
    out->role = ROLE_IN_CSE;
    snprintf(out->id, sizeof(out->id), "%s", agent->rule.in_cse);
    snprintf(out->level, sizeof(out->level), "%s", agent->rule.in_level);
    out->credential[0] = '\0';
}

enum agent_answer agent_message_bridged(struct agent *agent, const char *bridge, const char *topic,
                                        const void *payload, size_t length)
{
    const struct agent_attempt attempt = {.access = AGENT_WRITE, .topic = topic};
    struct identity in_cse;

    if (!onem2m_topic_touches(topic) && !group_topic_touches(topic)) {
        return AGENT_FOREIGN;
    }
    identity_of_bridge(agent, &in_cse);
    if (bridge != NULL && bridge[0] != '\0' && strcmp(bridge, agent->in_cse_bridge) == 0 &&
        onem2m_topic_touches(topic) && decide(agent, &in_cse, &attempt) == AGENT_ALLOWED) {
        primitive_message(agent, &in_cse, topic, payload, length);
        return AGENT_ALLOWED;
    }
    const char *hint = bridge == NULL ? "a bridge without local_username" : bridge;
    if (agent->observe) {
        agent_note(agent, AGENT_COUNT_OBSERVED, AGENT_WARNING,
                   "with `mode enforce` a message of %s on %s is dropped; this MN-CSE does not act on it",
                   hint, topic);
        return AGENT_FOREIGN;
    }
    agent_note(
        agent, AGENT_COUNT_DENIED, AGENT_WARNING,
        "a message of %s on %s, which came in over a bridge of this broker, is dropped: a bridge brings "
        "only what the IN-CSE says to this MN-CSE, and plugin_opt_in_cse_bridge has its local_username",
        hint, topic);
    return AGENT_DENIED;
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
    agent_note(agent, agent->observe ? AGENT_COUNT_OBSERVED : AGENT_COUNT_CLIENT_IDS_TAKEN, AGENT_ALARM,
               "%s has connected under the client id %s, which is not its own, and is thrown off%s: write "
               "`use_username_as_clientid true` for each listener, else it can end connections of others and "
               "delete what waits for them",
               name_of(name), client_id, agent->observe ? " with `mode enforce`" : "");
    return agent->observe;
}

void agent_name_refused(struct agent *agent, const char *user)
{
    agent_note(
        agent, AGENT_COUNT_NAMES_REFUSED, AGENT_ALARM,
        "a client calls itself %s, and its certificate does not: write `use_identity_as_username true` "
        "for that listener, or, where a password proves it, `plugin_opt_certificate_name password`",
        user);
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
