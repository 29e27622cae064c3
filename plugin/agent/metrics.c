/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/metrics.h"

#include "plugin/agent/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LIMIT 80u

struct visit {
    metrics_each each;
    void *context;
};

static void gauge(const struct visit *visit, const char *name, uint64_t value)
{
    const struct metric metric = {.name = name, .value = value, .gauge = true};
    visit->each(visit->context, &metric);
}

static void agent_visit(const struct agent *agent, const struct visit *visit)
{
    for (size_t i = 0; i < AGENT_COUNTERS_END; i++) {
        const struct metric metric = {.name = agent_counter_name((enum agent_counter)i),
                                      .value = agent->counters[i]};
        visit->each(visit->context, &metric);
    }
    for (size_t i = 0; i < AGENT_REFUSALS_LIMIT && agent->refusals[i].rsc != 0; i++) {
        char rsc[12];
        snprintf(rsc, sizeof(rsc), "%d", agent->refusals[i].rsc);
        const struct metric metric = {
            .name = "requests_refused_by_code", .label = "rsc", .of = rsc, .value = agent->refusals[i].count};
        visit->each(visit->context, &metric);
    }
    gauge(visit, "secenv_connected", agent->secenv_ready);
    gauge(visit, "in_cse_connected", !agent->in_cse_away);
    gauge(visit, "entities_known", table_count(&agent->peers.table));
    gauge(visit, "requests_waiting", exchanges_waiting_count(&agent->exchanges));
    gauge(visit, "rule_commands_waiting", autonomy_waiting(&agent->autonomy));
    gauge(visit, "secenv_requests_waiting", agent->asked);
}

static void group_visit(const Groupseal__Secenv__GroupStatus *group, const struct visit *visit)
{
    const struct metric metrics[] = {
        {"group_epoch", "group", group->group, group->epoch, true},
        {"group_members", "group", group->group, group->members, true},
        {"group_news_overdue", "group", group->group, group->overdue != 0, true},
    };
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        visit->each(visit->context, &metrics[i]);
    }
}

static void secenv_visit(const struct agent *agent, const struct visit *visit)
{
    const Groupseal__Secenv__StatusReply *status = agent->status;
    for (size_t i = 0; i < status->n_counters; i++) {
        char name[NAME_LIMIT];
        snprintf(name, sizeof(name), "secenv_%.60s", status->counters[i]->name);
        const struct metric metric = {.name = name, .value = status->counters[i]->value};
        visit->each(visit->context, &metric);
    }
    for (size_t i = 0; i < status->n_identities; i++) {
        const Groupseal__Secenv__IdentityStatus *identity = status->identities[i];
        if (strcmp(identity->identity, agent->rule.cse_id) != 0) {
            continue;
        }
        gauge(visit, "associated", identity->associated != 0);
        for (size_t j = 0; j < identity->n_groups; j++) {
            group_visit(identity->groups[j], visit);
        }
    }
}

void metrics_visit(const struct agent *agent, metrics_each each, void *context)
{
    const struct visit visit = {each, context};
    agent_visit(agent, &visit);
    if (agent->status != NULL) {
        secenv_visit(agent, &visit);
    }
}

/* ---- topics ---- */

static void topic_publish(void *context, const struct metric *metric)
{
    const struct agent *agent = context;
    char topic[ONEM2M_TOPIC_LIMIT];
    char value[24];
    int length = snprintf(value, sizeof(value), "%" PRIu64, metric->value);
    snprintf(topic, sizeof(topic), METRICS_TOPIC "%s%s%s", metric->name, metric->label == NULL ? "" : "/",
             metric->label == NULL ? "" : metric->of);
    /* Not among the publications that are counted: they would never rest. */
    agent->ports.publish(agent->ports.context,
                         &(const struct agent_publication){topic, value, (size_t)length, 0, true});
}

void metrics_publish(struct agent *agent)
{
    metrics_visit(agent, topic_publish, agent);
}

/* ---- what secenv says ---- */

void metrics_status_take(struct agent *agent, const Groupseal__Secenv__Reply *reply)
{
    uint8_t *packed = NULL;
    if (agent->status != NULL) {
        groupseal__secenv__status_reply__free_unpacked(agent->status, NULL);
        agent->status = NULL;
    }
    if (reply == NULL || reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_STATUS) {
        return;
    }
    packed = malloc(groupseal__secenv__status_reply__get_packed_size(reply->status) + 1);
    if (packed != NULL) {
        size_t size = groupseal__secenv__status_reply__pack(reply->status, packed);
        agent->status = groupseal__secenv__status_reply__unpack(NULL, size, packed);
    }
    free(packed);
}

void agent_watch(struct agent *agent)
{
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    uint64_t tag = 0;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    if (agent->secenv_ready && !link_ask(agent, LINK_CALL_WATCH, &request, AGENT_RANK_OWN, &tag)) {
        agent_log(agent, AGENT_WARNING, "secenv is not asked for its counters: the queue to it is full");
    }
    metrics_publish(agent);
}

/* ---- text ---- */

struct text {
    char *bytes;
    size_t length;
    char last[NAME_LIMIT]; /* whose type is said already */
};

static void text_metric(void *context, const struct metric *metric)
{
    struct text *text = context;
    char line[400];
    const char *total = metric->gauge ? "" : "_total";
    int length = 0;
    if (strcmp(text->last, metric->name) != 0) {
        snprintf(text->last, sizeof(text->last), "%s", metric->name);
        length = snprintf(line, sizeof(line), "# TYPE groupseal_%s%s %s\n", metric->name, total,
                          metric->gauge ? "gauge" : "counter");
    }
    length += snprintf(line + length, sizeof(line) - (size_t)length, "groupseal_%s%s", metric->name, total);
    if (metric->label != NULL) { /* of what groups' names and codes are made of: nothing to escape */
        length +=
            snprintf(line + length, sizeof(line) - (size_t)length, "{%s=\"%s\"}", metric->label, metric->of);
    }
    length += snprintf(line + length, sizeof(line) - (size_t)length, " %" PRIu64 "\n", metric->value);
    if (text->length + (size_t)length <= METRICS_TEXT_LIMIT) {
        memcpy(text->bytes + text->length, line, (size_t)length);
        text->length += (size_t)length;
    }
}

/* The format wants all values of a name together: those of groups are visited once for each name. */
struct one_name {
    struct text *text;
    const char *name;
};

static void text_of_name(void *context, const struct metric *metric)
{
    const struct one_name *one = context;
    if (metric->label != NULL && strcmp(metric->name, one->name) == 0) {
        text_metric(one->text, metric);
    }
}

static void text_of_one(void *context, const struct metric *metric)
{
    if (metric->label == NULL) {
        text_metric(context, metric);
    }
}

char *metrics_text(const struct agent *agent, size_t *length)
{
    static const char *const labelled[] = {"requests_refused_by_code", "group_epoch", "group_members",
                                           "group_news_overdue"};
    struct text text = {.bytes = malloc(METRICS_TEXT_LIMIT)};
    if (text.bytes == NULL) {
        return NULL;
    }
    metrics_visit(agent, text_of_one, &text);
    for (size_t i = 0; i < sizeof(labelled) / sizeof(labelled[0]); i++) {
        struct one_name one = {&text, labelled[i]};
        metrics_visit(agent, text_of_name, &one);
    }
    *length = text.length;
    return text.bytes;
}
