/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/output.h"

#include "agents/utf8.h"
#include "onem2m/base64.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text_add(cJSON *object, const char *name, const char *text)
{
    bool valid = text != NULL && utf8_valid((const uint8_t *)text, strlen(text));
    cJSON_AddStringToObject(object, name, valid ? text : "");
}

/* Prints and frees. */
static void object_put(cJSON *object)
{
    char *line = cJSON_PrintUnformatted(object);
    if (line != NULL) {
        puts(line);
        fflush(stdout);
        free(line);
    }
    cJSON_Delete(object);
}

static cJSON *event_new(const char *event, const char *group)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "event", event);
    text_add(object, "group", group);
    return object;
}

/* "text" where it is UTF-8, else "base64". */
static void body_add(cJSON *object, const uint8_t *body, size_t length)
{
    bool text = utf8_valid(body, length);
    char *value = text ? strndup((const char *)body, length) : base64_encode(body, length);
    if (value != NULL) {
        cJSON_AddStringToObject(object, text ? "text" : "base64", value);
        free(value);
    }
}

void output_message(const struct device_message *message)
{
    cJSON *object = event_new("message", message->group);
    text_add(object, "sender", message->sender);
    cJSON_AddBoolToObject(object, "proven", message->proven);
    body_add(object, message->body, message->length);
    object_put(object);
}

void output_command(const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE], bool done,
                    const char *detail)
{
    char hex[2 * DEVICE_COMMAND_ID_SIZE + 1];
    for (size_t i = 0; i < DEVICE_COMMAND_ID_SIZE; i++) {
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    cJSON *object = event_new("command", group);
    cJSON_AddStringToObject(object, "command_id", hex);
    cJSON_AddStringToObject(object, "outcome", done ? "done" : "failed");
    text_add(object, "detail", detail);
    object_put(object);
}

void output_joined(const char *group)
{
    object_put(event_new("joined", group));
}

void output_departed(const char *group, const char *reason)
{
    cJSON *object = event_new("departed", group);
    text_add(object, "reason", reason);
    object_put(object);
}
