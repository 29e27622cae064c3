/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_COMPAT_H
#define GROUPSEAL_PLUGIN_COMPAT_H

/*
 * What differs between Mosquitto 2.0.11, 2.0.2x and 2.1.x, in one place: one source, and one binary built
 * against the oldest headers, for all. Main thread only.
 */
#if defined(__has_include) && __has_include(<mosquitto/broker.h>)
#include <mosquitto.h>
#else
#include <mosquitto.h>

#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#endif

#include "plugin/agent/agent.h"

/* Event numbers by their oldest meaning: names changed, and the last is only known to 2.1. */
enum compat_event {
    COMPAT_RELOAD = 1,
    COMPAT_ACL_CHECK = 2,
    COMPAT_CONTROL = 6,
    COMPAT_MESSAGE = 7,
    COMPAT_TICK = 9,
    COMPAT_DISCONNECT = 10,
    COMPAT_CLIENT_OFFLINE = 28,
};

/* True in 2.1.x, told by a function that 2.0.x lacks. */
bool compat_is_2_1(void);

/* Tells the broker the plugin's name where it wants to know. */
void compat_introduce(mosquitto_plugin_id_t *identifier, const char *name, const char *version);

/* 2.0.x skips all other plugins on SUCCESS, 2.1.x ends the broker on anything else. */
int compat_reload_result(void);

/* Registers a callback (COMPAT_CONTROL: for the operator's topic); an event that this broker does not know
 * counts as registered. */
int compat_register(mosquitto_plugin_id_t *identifier, enum compat_event event,
                    MOSQ_FUNC_generic_callback callback, void *userdata);

void compat_unregister(mosquitto_plugin_id_t *identifier, enum compat_event event,
                       MOSQ_FUNC_generic_callback callback);

/* Checks the topic and publishes a copy of the payload, never through the copying call that 2.0.x
 * accounts wrongly. */
bool compat_publish(const struct agent_publication *publication);

/* Logs "mn_cse: text", in pieces where the broker would cut it. */
void compat_log(enum agent_severity severity, const char *text);

#endif
