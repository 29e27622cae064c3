/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The time in our callbacks, measured in a real broker: linked into mn_cse_clock.so in place of the broker's
 * mosquitto_callback_register (-Wl,--wrap). When the broker ends, the file GROUPSEAL_CALLBACK_TIMES gets a
 * line for each access check and message, "foreign NANOSECONDS" or "relayed NANOSECONDS".
 */
#include "plugin/broker/compat.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS 32
#define SAMPLES 4000000u

int __real_mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event,
                                       MOSQ_FUNC_generic_callback callback, const void *event_data,
                                       void *userdata);
int __wrap_mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event,
                                       MOSQ_FUNC_generic_callback callback, const void *event_data,
                                       void *userdata);
int __real_mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event,
                                         MOSQ_FUNC_generic_callback callback, const void *event_data);
int __wrap_mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event,
                                         MOSQ_FUNC_generic_callback callback, const void *event_data);

static struct {
    MOSQ_FUNC_generic_callback callback;
    void *userdata;
} wrapped[EVENTS];

static struct {
    uint32_t ns;
    bool foreign;
} samples[SAMPLES];
static size_t sample_count;

static bool topic_foreign(int event, const void *data)
{
    const char *topic = event == COMPAT_MESSAGE ? ((const struct mosquitto_evt_message *)data)->topic
                                                : ((const struct mosquitto_evt_acl_check *)data)->topic;
    return strncmp(topic, "/oneM2M/", 8) != 0 && strncmp(topic, "groupseal/", 10) != 0;
}

static int on_event(int event, void *data, void *userdata)
{
    struct timespec start;
    struct timespec end;
    (void)userdata;
    if (event != COMPAT_MESSAGE && event != COMPAT_ACL_CHECK) {
        return wrapped[event].callback(event, data, wrapped[event].userdata);
    }
    bool foreign = topic_foreign(event, data);
    clock_gettime(CLOCK_MONOTONIC, &start);
    int result = wrapped[event].callback(event, data, wrapped[event].userdata);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (sample_count < SAMPLES) {
        samples[sample_count].ns =
            (uint32_t)((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec);
        samples[sample_count++].foreign = foreign;
    }
    return result;
}

int __wrap_mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event,
                                       MOSQ_FUNC_generic_callback callback, const void *event_data,
                                       void *userdata)
{
    if (event_data != NULL || event < 0 || event >= EVENTS) {
        return __real_mosquitto_callback_register(identifier, event, callback, event_data, userdata);
    }
    wrapped[event].callback = callback;
    wrapped[event].userdata = userdata;
    return __real_mosquitto_callback_register(identifier, event, on_event, event_data, userdata);
}

static void samples_write(void)
{
    const char *path = getenv("GROUPSEAL_CALLBACK_TIMES");
    FILE *file = path == NULL ? NULL : fopen(path, "we");
    for (size_t i = 0; file != NULL && i < sample_count; i++) {
        fprintf(file, "%s %u\n", samples[i].foreign ? "foreign" : "relayed", samples[i].ns);
    }
    if (file != NULL) {
        fclose(file);
    }
    sample_count = 0;
}

int __wrap_mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event,
                                         MOSQ_FUNC_generic_callback callback, const void *event_data)
{
    if (event_data != NULL || event < 0 || event >= EVENTS || wrapped[event].callback != callback) {
        return __real_mosquitto_callback_unregister(identifier, event, callback, event_data);
    }
    if (event == COMPAT_MESSAGE) {
        samples_write();
    }
    return __real_mosquitto_callback_unregister(identifier, event, on_event, event_data);
}
