/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plugin's options: `name value` lines up to an empty one are plugin_opt_… lines, the rest is the
 * settings file. What is refused has a reason; what is taken makes an agent, or the agent says what is wrong.
 */
#include "plugin/broker/configuration.h"

#include "fuzz.h"
#include "input_file.h"

#include <mosquitto_broker.h>

#define OPTIONS_MAX 24

static int options_split(char *text, struct mosquitto_opt *options)
{
    int count = 0;
    for (char *line = text; *line != '\0' && count < OPTIONS_MAX;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        char *space = strchr(line, ' ');
        if (space != NULL) {
            *space = '\0';
        }
        if (strcmp(line, "settings") != 0) { /* of the input, not of this machine */
            options[count++] = (struct mosquitto_opt){line, space == NULL ? NULL : space + 1};
        }
        line = next;
    }
    return count;
}

static uint64_t wall_ms(void *context)
{
    (void)context;
    return 1764000000000u;
}

static void agent_look(const struct configuration *configuration)
{
    char why[512] = "";
    const struct agent_settings settings = configuration_agent(configuration);
    const struct agent_ports ports = {.wall_ms = wall_ms};
    struct agent *agent = agent_new(&settings, &ports, why, sizeof(why));
    ALWAYS((agent != NULL) == (why[0] == '\0'));
    agent_free(agent);
    (void)configuration_foreign_allowed(configuration);
    (void)configuration_secenv(configuration);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mosquitto_opt options[OPTIONS_MAX + 1];
    struct configuration configuration;
    char why[512] = "";
    char *text = fuzz_text(data, size);
    char *file = strstr(text, "\n\n");
    if (file != NULL) {
        *file = '\0';
        file += 2;
        input_file_write(file, size - (size_t)(file - text));
    }
    int count = options_split(text, options);
    if (file != NULL) {
        options[count++] = (struct mosquitto_opt){(char *)(uintptr_t) "settings", input_file_path()};
    }
    if (configuration_read(&configuration, options, count, why, sizeof(why))) {
        agent_look(&configuration);
    } else {
        ALWAYS(why[0] != '\0');
    }
    configuration_clear(&configuration);
    free(text);
    return 0;
}
