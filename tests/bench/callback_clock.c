/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The time in our callbacks, measured in a real broker: linked into mn_cse_clock.so in place of the broker's
 * mosquitto_callback_register (-Wl,--wrap). When the broker ends, the file GROUPSEAL_CALLBACK_TIMES gets a
 * line for each access check and message, "foreign NANOSECONDS" or "relayed NANOSECONDS", and behind each
 * relayed message "machine NANOSECONDS": the same thread has counted to a number, which takes some
 * microseconds where nobody interrupts it.
 */
#include "plugin/broker/compat.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS 32
#define SAMPLES 4000000u
#define COUNTED_NS 4000u /* about what the plugin computes for a relayed message */

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

enum kind { FOREIGN, RELAYED, MACHINE };

static struct {
    uint32_t ns;
    enum kind kind;
} samples[SAMPLES];
static size_t sample_count;
static unsigned counted; /* to where; 0: not known yet */

static bool topic_foreign(int event, const void *data)
{
    const char *topic = event == COMPAT_MESSAGE ? ((const struct mosquitto_evt_message *)data)->topic
                                                : ((const struct mosquitto_evt_acl_check *)data)->topic;
    return strncmp(topic, "/oneM2M/", 8) != 0 && strncmp(topic, "groupseal/", 10) != 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sample_add(enum kind kind, uint64_t start_ns, uint64_t end_ns)
{
    if (sample_count < SAMPLES) {
        samples[sample_count].ns = (uint32_t)(end_ns - start_ns);
        samples[sample_count++].kind = kind;
    }
}

static uint64_t count_to(unsigned number)
{
    uint64_t start = now_ns();
    for (volatile unsigned i = 0; i < number; i++) {
    }
    return now_ns() - start;
}

/* The fastest of some tries says how far one counts in that time. */
static void counted_find(void)
{
    const unsigned tried = 10000;
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t took = count_to(tried);
        least = took < least ? took : least;
    }
    counted = (unsigned)(COUNTED_NS * tried / (least + 1));
}

static int on_event(int event, void *data, void *userdata)
{
    (void)userdata;
    if (event != COMPAT_MESSAGE && event != COMPAT_ACL_CHECK) {
        return wrapped[event].callback(event, data, wrapped[event].userdata);
    }
    bool foreign = topic_foreign(event, data);
    uint64_t start = now_ns();
    int result = wrapped[event].callback(event, data, wrapped[event].userdata);
    sample_add(foreign ? FOREIGN : RELAYED, start, now_ns());
    if (!foreign && event == COMPAT_MESSAGE) {
        sample_add(MACHINE, 0, count_to(counted));
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
    if (counted == 0) {
        counted_find();
    }
    wrapped[event].callback = callback;
    wrapped[event].userdata = userdata;
    return __real_mosquitto_callback_register(identifier, event, on_event, event_data, userdata);
}

static void samples_write(void)
{
    static const char *const kinds[] = {[FOREIGN] = "foreign", [RELAYED] = "relayed", [MACHINE] = "machine"};
    const char *path = getenv("GROUPSEAL_CALLBACK_TIMES");
    FILE *file = path == NULL ? NULL : fopen(path, "we");
    for (size_t i = 0; file != NULL && i < sample_count; i++) {
        fprintf(file, "%s %u\n", kinds[samples[i].kind], samples[i].ns);
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
