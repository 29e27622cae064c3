/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdio.h>
#include <string.h>

/* The response to a CREATE: the <AE> with the id that it has from now on (TS-0004 7.4.5). */
static struct onem2m_primitive *created_response(const struct agent *agent, const struct request *request,
                                                 const struct onem2m_ae *asked)
{
    struct onem2m_primitive *response =
        onem2m_response(ONEM2M_CREATED, request->asker.rqi, request->client->id, agent->rule.cse_id);
    struct onem2m_ae ae = *asked;
    snprintf(ae.ae_id, sizeof(ae.ae_id), "%s", request->client->level);
    ae.has_esi = false;
    if (response != NULL && !onem2m_set_ae(response, &ae)) {
        onem2m_free(response);
        return NULL;
    }
    return response;
}

void registrar_create(struct agent *agent, const struct request *request)
{
    struct onem2m_ae ae;

    if (request->client->role != ROLE_AE) {
        relay_answer(agent, &request->asker, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE);
        return;
    }
    if (!onem2m_get_ae(request->primitive, &ae)) {
        relay_answer(agent, &request->asker, ONEM2M_BAD_REQUEST);
        return;
    }
    /* Answered once and kept, so that a duplicate of this request is not told that it came too late. */
    struct exchange *exchange = exchange_add(&agent->exchanges, EXCHANGE_LOCAL, &request->asker,
                                             &request->peer->waiting, NULL, NULL, agent_now(agent));
    if (exchange == NULL) {
        relay_answer(agent, &request->asker, ONEM2M_INTERNAL_SERVER_ERROR);
        return;
    }
    if (request->peer->registered) {
        relay_finish_code(agent, exchange, ONEM2M_ALREADY_REGISTERED);
        return;
    }
    struct onem2m_primitive *response = created_response(agent, request, &ae);
    if (response == NULL) {
        relay_finish_code(agent, exchange, ONEM2M_INTERNAL_SERVER_ERROR);
        return;
    }
    request->peer->registered = true;
    agent_count(agent, AGENT_COUNT_REGISTRATIONS);
    relay_finish(agent, exchange, response);
    onem2m_free(response);
}

void registrar_delete(struct agent *agent, const struct request *request)
{
    enum onem2m_rsc rsc = request->peer->registered ? ONEM2M_DELETED : ONEM2M_NOT_FOUND;
    request->peer->registered = false;
    relay_answer(agent, &request->asker, rsc);
}
