/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/registration.h"

#include "agents/backoff.h"
#include "agents/log.h"
#include "agents/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct registration {
    char identity[ONEM2M_ID_LIMIT + 1];
    char registrar[ONEM2M_ID_LIMIT + 1];
    char app_id[ONEM2M_ID_LIMIT + 1];
    char level[ONEM2M_LEVEL_LIMIT + 1]; /* the registrar's */
    struct carriage *carriage;
    struct timer timer;
    struct backoff backoff;
    void (*registered)(void *context);
    void *context;
    bool running;
    bool done;
    bool on_req; /* the next try goes to req */
    int said;    /* the status that was logged last; -1: none */
};

static struct onem2m_primitive *request_build(const struct registration *registration)
{
    struct onem2m_ae ae = {.reachable = true, .has_esi = true};
    snprintf(ae.app_id, sizeof(ae.app_id), "%s", registration->app_id);
    struct onem2m_primitive *request =
        onem2m_request(ONEM2M_CREATE, registration->registrar, registration->identity, "0");
    if (request != NULL && !onem2m_set_ae(request, &ae)) {
        onem2m_free(request);
        return NULL;
    }
    return request;
}

static void try_again(struct registration *registration)
{
    timer_start(&registration->timer, backoff_next(&registration->backoff));
}

static void try_now(void *context)
{
    struct registration *registration = context;
    struct onem2m_primitive *request = request_build(registration);
    enum onem2m_tree tree = registration->on_req ? ONEM2M_REQ : ONEM2M_REG_REQ;
    if (request == NULL || !carriage_ask(registration->carriage, tree, registration->level, request, 0)) {
        try_again(registration);
    }
    onem2m_free(request);
}

static void say(struct registration *registration, int rsc)
{
    if (rsc == registration->said) {
        return;
    }
    registration->said = rsc;
    if (rsc == 0) {
        agent_log(AGENT_LOG_WARNING,
                  "%s does not answer the registration of %s: is it running at this broker? "
                  "Trying again until it does",
                  registration->registrar, registration->identity);
    } else {
        agent_log(AGENT_LOG_WARNING,
                  "%s refuses the registration of %s with status %d: do the broker's "
                  "credentials belong to this identity? Trying again until it is taken",
                  registration->registrar, registration->identity, rsc);
    }
}

void registration_answered(struct registration *registration, int rsc)
{
    if (!registration->running || registration->done) {
        return;
    }
    if (rsc == ONEM2M_CREATED || rsc == ONEM2M_OK || rsc == ONEM2M_ALREADY_REGISTERED ||
        rsc == ONEM2M_CONFLICT) {
        registration->done = true;
        registration->said = -1;
        backoff_reset(&registration->backoff);
        agent_log(AGENT_LOG_INFO, "registered at %s", registration->registrar);
        registration->registered(registration->context);
        return;
    }
    say(registration, rsc);
    if (rsc == 0) {
        registration->on_req = !registration->on_req;
    }
    try_again(registration);
}

void registration_start(struct registration *registration)
{
    registration->running = true;
    registration->done = false;
    registration->on_req = false;
    try_now(registration);
}

void registration_stop(struct registration *registration)
{
    registration->running = false;
    registration->done = false;
    timer_stop(&registration->timer);
}

bool registration_is_done(const struct registration *registration)
{
    return registration->done;
}

struct registration *registration_new(sd_event *loop, const struct registration_settings *settings,
                                      struct carriage *carriage, void (*registered)(void *context),
                                      void *context)
{
    struct registration *registration = calloc(1, sizeof(*registration));
    if (registration == NULL) {
        return NULL;
    }
    snprintf(registration->identity, sizeof(registration->identity), "%s", settings->identity);
    snprintf(registration->registrar, sizeof(registration->registrar), "%s", settings->registrar);
    snprintf(registration->app_id, sizeof(registration->app_id), "%s", settings->app_id);
    registration->carriage = carriage;
    registration->registered = registered;
    registration->context = context;
    registration->said = -1;
    backoff_init(&registration->backoff, BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS);
    if (!onem2m_id_to_level(settings->registrar, registration->level, sizeof(registration->level)) ||
        timer_open(&registration->timer, loop, try_now, registration) < 0) {
        registration_free(registration);
        return NULL;
    }
    return registration;
}

void registration_free(struct registration *registration)
{
    if (registration != NULL) {
        timer_close(&registration->timer);
        free(registration);
    }
}
