/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/compat.h"

#include "plugin/agent/control.h"

#include <limits.h>
#include <string.h>

#define LOG_PIECE 900u /* the broker cuts lines at 1000 bytes */

int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *plugin_name,
                              const char *plugin_version) __attribute__((weak));

bool compat_is_2_1(void)
{
    return mosquitto_plugin_set_info != NULL;
}

void compat_introduce(mosquitto_plugin_id_t *identifier, const char *name, const char *version)
{
    if (compat_is_2_1()) {
        mosquitto_plugin_set_info(identifier, name, version);
    }
}

int compat_reload_result(void)
{
    return compat_is_2_1() ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

int compat_register(mosquitto_plugin_id_t *identifier, enum compat_event event,
                    MOSQ_FUNC_generic_callback callback, void *userdata)
{
    const char *topic = event == COMPAT_CONTROL ? CONTROL_TOPIC : NULL;
    int error = mosquitto_callback_register(identifier, (int)event, callback, topic, userdata);
    return error == MOSQ_ERR_NOT_SUPPORTED ? MOSQ_ERR_SUCCESS : error;
}

void compat_unregister(mosquitto_plugin_id_t *identifier, enum compat_event event,
                       MOSQ_FUNC_generic_callback callback)
{
    mosquitto_callback_unregister(identifier, (int)event, callback,
                                  event == COMPAT_CONTROL ? CONTROL_TOPIC : NULL);
}

bool compat_publish(const struct agent_publication *publication)
{
    void *payload = NULL;

    if (publication->length > INT_MAX || mosquitto_pub_topic_check(publication->topic) != MOSQ_ERR_SUCCESS ||
        mosquitto_validate_utf8(publication->topic, (int)strlen(publication->topic)) != MOSQ_ERR_SUCCESS) {
        return false;
    }
    if (publication->length > 0) {
        payload = mosquitto_malloc(publication->length);
        if (payload == NULL) {
            return false;
        }
        memcpy(payload, publication->payload, publication->length);
    }
    if (mosquitto_broker_publish(NULL, publication->topic, (int)publication->length, payload,
                                 publication->qos, publication->retain, NULL) != MOSQ_ERR_SUCCESS) {
        mosquitto_free(payload); /* on success it is the broker's */
        return false;
    }
    return true;
}

void compat_log(enum agent_severity severity, const char *text)
{
    static const int levels[] = {
        [AGENT_INFO] = MOSQ_LOG_INFO, [AGENT_WARNING] = MOSQ_LOG_WARNING, [AGENT_ALARM] = MOSQ_LOG_ERR};
    size_t left = strlen(text);
    do {
        size_t piece = left < LOG_PIECE ? left : LOG_PIECE;
        mosquitto_log_printf(levels[severity], "mn_cse: %.*s", (int)piece, text);
        text += piece;
        left -= piece;
    } while (left > 0);
}
