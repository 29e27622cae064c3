/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <string.h>

/* The name that the AE asks for; without one, its stem. */
static struct outcome ae_add(struct agent *agent, const struct request *request,
                             struct onem2m_resource *content)
{
    const struct identity *client = request->client;
    const char *name = onem2m_resource_text(content, "rn");
    char chosen[RESOURCES_NAME_LIMIT + 1];

    if (name[0] == '\0') {
        name = client->level;
    }
    if (!resource_name_valid(name) || !onem2m_resource_set_text(content, "aei", client->level)) {
        onem2m_resource_free(content);
        return (struct outcome){.rsc = ONEM2M_BAD_REQUEST};
    }
    memcpy(chosen, name, strlen(name) + 1); /* the attribute is about to be set anew */
    return hosting_add(agent, client->level, chosen, client->id, content);
}

void registrar_create(struct agent *agent, const struct request *request)
{
    struct outcome outcome = {.rsc = ONEM2M_BAD_REQUEST};

    if (request->client->role != ROLE_AE) {
        outcome.rsc = ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE;
    } else if (resource_find(&agent->resources, request->client->level) != NULL) {
        outcome.rsc = ONEM2M_ALREADY_REGISTERED;
    } else {
        struct onem2m_resource *content = onem2m_resource_asked(request->primitive, ONEM2M_AE);
        if (content != NULL) {
            outcome = ae_add(agent, request, content);
        }
    }
    if (outcome.rsc == ONEM2M_CREATED) {
        agent_count(agent, AGENT_COUNT_REGISTRATIONS);
    }
    hosting_answer(agent, request, outcome);
}
