/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include "plugin/agent/control.h"

#include <cjson/cJSON.h>

/* A request of an admin on the operator's topic. Whatever it is, there is one answer, which is JSON, at the
 * latest when the secure environment has not answered in time. */
static uint64_t clock_ms;
static unsigned answers;

static uint64_t now_ms(void *context)
{
    (void)context;
    return clock_ms;
}

static bool publish(void *context, const struct agent_publication *publication)
{
    (void)context;
    ALWAYS(strcmp(publication->topic, CONTROL_RESPONSE_TOPIC) == 0 && !publication->retain);
    cJSON *answer = cJSON_ParseWithLength(publication->payload, publication->length);
    ALWAYS(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(answer, "responses")));
    cJSON_Delete(answer);
    answers++;
    return true;
}

static bool request(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *asked,
                    enum agent_rank rank)
{
    (void)context;
    (void)tag;
    (void)rank;
    return groupseal__secenv__to_secenv__get_packed_size(asked) <= 65536;
}

static void log_line(void *context, enum agent_severity severity, const char *text)
{
    (void)context;
    (void)severity;
    (void)text;
}

static void secenv_welcome(struct agent *agent)
{
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    char identity[] = "//sp.example/mn-1";
    char authority[] = "//sp.example/in-cse";
    char profile[] = "member";
    char *identities[] = {identity};
    welcome.profile = profile;
    welcome.n_identities = 1;
    welcome.identities = identities;
    welcome.authority = authority;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply.welcome = &welcome;
    agent_secenv_reply(agent, UINT64_C(1) << 56, &reply); /* of the greeting */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const admins[] = {"admin"};
    const struct agent_settings settings = {.cse_id = "//sp.example/mn-1",
                                            .in_cse = "//sp.example/in-cse",
                                            .identity = "//sp.example/%u",
                                            .admins = admins,
                                            .admin_count = 1,
                                            .control_send = true};
    const struct agent_ports ports = {
        .monotonic_ms = now_ms, .wall_ms = now_ms, .publish = publish, .request = request, .log = log_line};
    char why[256];
    char *text = fuzz_text(data, size);
    clock_ms = 1764000000000;
    answers = 0;
    struct agent *agent = agent_new(&settings, &ports, why, sizeof(why));
    ALWAYS(agent != NULL);
    secenv_welcome(agent);
    agent_control(agent, "Sspy1", text, size);
    ALWAYS(answers == 0);
    agent_control(agent, "admin", text, size);
    ALWAYS(answers <= 1);
    clock_ms += CONTROL_ANSWER_MS;
    agent_tick(agent);
    ALWAYS(answers == 1);
    agent_free(agent);
    free(text);
    return 0;
}
