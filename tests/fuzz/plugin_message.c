/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include "onem2m/topic.h"
#include "plugin/agent/agent.h"

/*
 * A MESSAGE event of the broker: a byte that picks the client and what is asked, the topic up to the first
 * newline, the payload after it. Some requests are under way, so that responses find something.
 */
static uint64_t sequence_ms(void *context)
{
    (void)context;
    return 1764000000000;
}

static bool publish(void *context, const struct agent_publication *publication)
{
    struct onem2m_topic primitive;
    struct group_topic group;
    (void)context;
    /* Whatever comes in, what goes out is on a topic of ours. */
    ALWAYS(onem2m_topic_parse(publication->topic, &primitive) ||
           group_topic_parse(publication->topic, &group));
    ALWAYS(!publication->retain);
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

/* One of our own lines is read back as it was. */
static bool keep(void *context, const char *line, size_t length)
{
    (void)context;
    ALWAYS(length > 1 && memchr(line, '\n', length) == NULL);
    return true;
}

static void log_line(void *context, enum agent_severity severity, const char *text)
{
    (void)context;
    (void)severity;
    for (; *text != '\0'; text++) {
        ALWAYS((unsigned char)*text >= ' ');
    }
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

static void roster(struct agent *agent)
{
    Groupseal__Secenv__RosterEvent event = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event outer = GROUPSEAL__SECENV__EVENT__INIT;
    char identity[] = "//sp.example/mn-1";
    char site[] = "mn-1";
    char group[] = "doors";
    char door[] = "//sp.example/Sdoor1";
    char *members[] = {door};
    event.site = site;
    event.group = group;
    event.members = members;
    event.n_members = 1;
    event.pages = 1;
    outer.identity = identity;
    outer.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    outer.roster = &event;
    agent_secenv_event(agent, &outer);
}

static struct agent *agent_busy(void)
{
    static const char pending[] = "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q\"}";
    const struct agent_settings settings = {
        .cse_id = "//sp.example/mn-1", .in_cse = "//sp.example/in-cse", .identity = "//sp.example/%u"};
    const struct agent_ports ports = {NULL, sequence_ms, sequence_ms, publish, request, log_line, keep};
    char why[256];
    struct agent *agent = agent_new(&settings, &ports, why, sizeof(why));
    ALWAYS(agent != NULL);
    secenv_welcome(agent);
    roster(agent);
    agent_message(agent, "Sdoor1", "/oneM2M/req/Sdoor1/mn-1/json", pending, sizeof(pending) - 1);
    return agent;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"Sdoor1", "in-cse", "Sspy1", NULL};
    if (size == 0) {
        return 0;
    }
    const char *name = names[data[0] & 3];
    char *text = fuzz_text(data + 1, size - 1);
    char *payload = strchr(text, '\n');
    size_t length = 0;
    if (payload != NULL) {
        *payload++ = '\0';
        length = size - 1 - (size_t)(payload - text);
    } else {
        payload = text + strlen(text);
    }

    struct agent *agent = agent_busy();
    for (int access = 1; access <= 8; access *= 2) {
        const struct agent_attempt attempt = {
            .name = name, .access = (enum agent_access)access, .topic = text};
        enum agent_answer answer = agent_allows(agent, &attempt);
        ALWAYS(name != NULL || answer != AGENT_ALLOWED || access == AGENT_UNSUBSCRIBE);
    }
    enum agent_answer answer = agent_message(agent, name, text, payload, length);
    ALWAYS(name != NULL || answer != AGENT_ALLOWED);
    agent_message(agent, name, text, payload, length); /* QoS 1 may deliver it twice */
    agent_free(agent);
    free(text);
    return 0;
}
