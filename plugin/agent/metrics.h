/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_METRICS_H
#define GROUPSEAL_PLUGIN_METRICS_H

#include "plugin/agent/agent.h"

/* What operators watch: the agent's counters, its queues and groups, and the secure environment's counters.
 */
#define METRICS_TOPIC "$SYS/broker/groupseal/"
#define METRICS_TEXT_LIMIT 65536u

struct metric {
    const char *name;
    const char *label; /* what `of` is: "group", "rsc"; NULL: there is one only */
    const char *of;
    uint64_t value;
    bool gauge; /* else it only rises, since the start of its process */
};

typedef void (*metrics_each)(void *context, const struct metric *metric);
void metrics_visit(const struct agent *agent, metrics_each each, void *context);

/* Every ten seconds or so: asks secenv for its counters and groups, and publishes what is known. */
void agent_watch(struct agent *agent);
/* secenv's answer; NULL: none. */
void metrics_status_take(struct agent *agent, const Groupseal__Secenv__Reply *reply);
/* Publishes each as a retained topic: METRICS_TOPIC, name, and where there is a label a level for it. */
void metrics_publish(struct agent *agent);

/* All as Prometheus's text format, at most METRICS_TEXT_LIMIT bytes; to be freed. NULL: out of memory. */
char *metrics_text(const struct agent *agent, size_t *length);

#endif
