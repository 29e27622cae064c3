/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A broker plugin that writes down all that the broker sees: who publishes what, and who is given what. It
 * decides nothing. For the observer of ./demo and for tests that look for keys and plaintext in the traffic:
 * it is what a taken broker could see.
 *
 *   plugin <build>/lib/tap.so
 *   plugin_opt_file <file to append to>
 *
 * Must stand before mn_cse.so: of plugins with an access check the first answer counts, and only this one
 * never gives one. So "given to" says who would be given a message if no other plugin forbids it. Publishes
 * of plugins come to it by way of the readers only.
 *
 * A record: u8 access (1 given to, 2 published by, 4 subscribed by), then user name, client id, topic and
 * payload, each with a u32 length, all big-endian. See harness/tap.py.
 */
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

static mosquitto_plugin_id_t *self;
static FILE *file;

static void field_write(const void *data, size_t length)
{
    uint32_t header = htonl((uint32_t)length);
    (void)fwrite(&header, sizeof(header), 1, file);
    (void)fwrite(data, 1, length, file);
}

static void text_write(const char *text)
{
    field_write(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static int on_access(int event, void *data, void *context)
{
    (void)event;
    (void)context;
    const struct mosquitto_evt_acl_check *check = data;
    if (check->access == MOSQ_ACL_READ || check->access == MOSQ_ACL_WRITE ||
        check->access == MOSQ_ACL_SUBSCRIBE) {
        (void)fputc(check->access, file);
        text_write(mosquitto_client_username(check->client));
        text_write(mosquitto_client_id(check->client));
        text_write(check->topic);
        field_write(check->payload != NULL ? check->payload : "",
                    check->payload != NULL ? check->payloadlen : 0);
        (void)fflush(file);
    }
    return MOSQ_ERR_PLUGIN_DEFER;
}

EXPORTED int mosquitto_plugin_version(int count, const int *versions);
EXPORTED int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **context, struct mosquitto_opt *options,
                                   int option_count);
EXPORTED int mosquitto_plugin_cleanup(void *context, struct mosquitto_opt *options, int option_count);

int mosquitto_plugin_version(int count, const int *versions)
{
    for (int i = 0; i < count; i++) {
        if (versions[i] == 5) {
            return 5;
        }
    }
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **context, struct mosquitto_opt *options,
                          int option_count)
{
    (void)context;
    for (int i = 0; i < option_count; i++) {
        if (strcmp(options[i].key, "file") == 0) {
            file = fopen(options[i].value, "ab");
        }
    }
    if (file == NULL) {
        return MOSQ_ERR_INVAL;
    }
    self = id;
    return mosquitto_callback_register(id, MOSQ_EVT_ACL_CHECK, on_access, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *context, struct mosquitto_opt *options, int option_count)
{
    (void)context;
    (void)options;
    (void)option_count;
    int result = mosquitto_callback_unregister(self, MOSQ_EVT_ACL_CHECK, on_access, NULL);
    (void)fclose(file);
    return result;
}
