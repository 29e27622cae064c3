/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_REGISTRATION_H
#define GROUPSEAL_AGENTS_ADN_AE_REGISTRATION_H

#include "agents/carriage.h"

/*
 * The device's registration at its MN-CSE (TS-0010 6.4.4, TS-0004 7.4.5): CREATE <AE> on reg_req with the
 * AE-ID stem as Credential-ID, at each connection. Where nobody answers, the next try is on req (some CSEs
 * take a registration only there), and so on in turn, by back-off 1 s to 60 s. An AE that is registered
 * already is registered.
 */
struct registration;

struct registration_settings {
    const char *identity;
    const char *registrar;
    const char *app_id;
};

/* `registered` is called once for each registration_start that succeeds. Settings are copied. */
struct registration *registration_new(sd_event *loop, const struct registration_settings *settings,
                                      struct carriage *carriage, void (*registered)(void *context),
                                      void *context);
void registration_free(struct registration *registration);

void registration_start(struct registration *registration); /* connected: register now */
void registration_stop(struct registration *registration);  /* the connection is lost */
bool registration_is_done(const struct registration *registration);
/* The response to our request; rsc 0: none came. */
void registration_answered(struct registration *registration, int rsc);

#endif
