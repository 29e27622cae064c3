/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t monotonic_ms(void *context)
{
    return ((struct site *)context)->now_ms;
}

static uint64_t wall_ms(void *context)
{
    return ((struct site *)context)->wall_ms;
}

static bool publish(void *context, const struct agent_publication *publication)
{
    struct site *site = context;
    if (site->broker_full) {
        return false;
    }
    assert_true(site->published_end < SITE_KEPT);
    struct site_publication *kept = &site->published[site->published_end++];
    snprintf(kept->topic, sizeof(kept->topic), "%s", publication->topic);
    kept->length = publication->length;
    kept->payload = malloc(publication->length + 1);
    assert_non_null(kept->payload);
    if (publication->length > 0) {
        memcpy(kept->payload, publication->payload, publication->length);
    }
    kept->payload[publication->length] = '\0';
    kept->qos = publication->qos;
    kept->retain = publication->retain;
    return true;
}

static bool request(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *asked,
                    enum agent_rank rank)
{
    struct site *site = context;
    if (site->queue_full) {
        return false;
    }
    assert_true(site->requests_end < SITE_KEPT);
    size_t size = groupseal__secenv__to_secenv__get_packed_size(asked);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    groupseal__secenv__to_secenv__pack(asked, packed);
    struct site_request *kept = &site->requests[site->requests_end++];
    *kept = (struct site_request){tag, rank, groupseal__secenv__to_secenv__unpack(NULL, size, packed)};
    assert_non_null(kept->request);
    free(packed);
    return true;
}

static void log_take(void *context, enum agent_severity severity, const char *text)
{
    struct site *site = context;
    snprintf(site->log, sizeof(site->log), "%s", text);
    site->log_severity = severity;
    site->log_lines++;
}

static bool keep(void *context, const char *line, size_t length)
{
    struct site *site = context;
    if (site->disk_full || site->kept_count == SITE_LINES) {
        return false;
    }
    site->kept[site->kept_count++] = strndup(line, length);
    return true;
}

struct site *site_new(void)
{
    char why[256] = "";
    const struct agent_settings settings = {
        .in_cse_bridge = "to-in", .cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u"};
    struct site *site = calloc(1, sizeof(*site));
    assert_non_null(site);
    site->now_ms = 1000000;
    site->wall_ms = 1764000000000;
    const struct agent_ports ports = {site, monotonic_ms, wall_ms, publish, request, log_take, keep};
    site->agent = agent_new(&settings, &ports, why, sizeof(why));
    assert_non_null(site->agent);
    return site;
}

void site_go_online(struct site *site)
{
    const struct site_request *online = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
    assert_true(online->request->online->online);
    site_reply(site, online->tag, GROUPSEAL__SECENV__CODE__OK);
    const struct site_request *status = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS);
    assert_int_equal(status->rank, AGENT_RANK_OWN);
    assert_false(agent_settled(site->agent));
    site_reply(site, status->tag, GROUPSEAL__SECENV__CODE__OK);
    assert_true(agent_settled(site->agent));
}

struct site *site_connected(void)
{
    struct site *site = site_new();
    agent_secenv_up(site->agent);
    const struct site_request *hello = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO);
    site_welcome(site, hello->tag, "member", SITE_MN, SITE_IN);
    site_go_online(site);
    site_forward(site, 20000);
    site_expect_idle(site);
    return site;
}

void site_free(struct site *site)
{
    agent_free(site->agent);
    for (size_t i = 0; i < site->kept_count; i++) {
        free(site->kept[i]);
    }
    for (size_t i = 0; i < site->published_end; i++) {
        free(site->published[i].payload);
    }
    for (size_t i = 0; i < site->requests_end; i++) {
        groupseal__secenv__to_secenv__free_unpacked(site->requests[i].request, NULL);
    }
    free(site);
}

void site_forward(struct site *site, uint64_t ms)
{
    site->now_ms += ms;
    site->wall_ms += ms;
    agent_tick(site->agent);
}

enum agent_answer site_say(struct site *site, const char *name, const char *topic, const char *format, ...)
{
    char *payload = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&payload, format, arguments);
    va_end(arguments);
    assert_true(length >= 0);
    enum agent_answer answer = agent_message(site->agent, name, topic, payload, (size_t)length);
    free(payload);
    return answer;
}

const struct site_publication *site_published(struct site *site, const char *topic)
{
    assert_true(site->published_first < site->published_end);
    const struct site_publication *next = &site->published[site->published_first++];
    assert_string_equal(next->topic, topic);
    return next;
}

struct onem2m_primitive *site_primitive(struct site *site, const char *topic)
{
    const struct site_publication *next = site_published(site, topic);
    assert_int_equal(next->qos, 1);
    assert_false(next->retain);
    struct onem2m_primitive *primitive = onem2m_parse((const char *)next->payload, next->length);
    assert_non_null(primitive);
    return primitive;
}

void site_expect_response(struct site *site, const char *topic, enum onem2m_rsc rsc, const char *rqi)
{
    struct onem2m_primitive *response = site_primitive(site, topic);
    assert_false(onem2m_is_request(response));
    assert_int_equal(onem2m_rsc_of(response), rsc);
    assert_string_equal(onem2m_rqi(response), rqi);
    onem2m_free(response);
}

void site_expect_silence(struct site *site)
{
    assert_int_equal(site->published_first, site->published_end);
}

const struct site_request *site_requested(struct site *site, Groupseal__Secenv__ToSecenv__RequestCase which)
{
    assert_true(site->requests_first < site->requests_end);
    const struct site_request *next = &site->requests[site->requests_first++];
    assert_int_equal(next->request->request_case, which);
    return next;
}

void site_expect_idle(struct site *site)
{
    assert_int_equal(site->requests_first, site->requests_end);
}

void site_reply(struct site *site, uint64_t tag, Groupseal__Secenv__Code code)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    char reason[] = "for a test";
    reply.code = code;
    reply.reason = reason;
    agent_secenv_reply(site->agent, tag, &reply);
}

void site_welcome(struct site *site, uint64_t tag, const char *profile, const char *identity,
                  const char *authority)
{
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    char *identities[] = {(char *)(uintptr_t) "//sp.example/mn-0", (char *)(uintptr_t)identity};
    welcome.profile = (char *)(uintptr_t)profile;
    welcome.n_identities = 2;
    welcome.identities = identities;
    welcome.authority = (char *)(uintptr_t)authority;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply.welcome = &welcome;
    agent_secenv_reply(site->agent, tag, &reply);
}

void site_event(struct site *site, Groupseal__Secenv__Event *event)
{
    char identity[] = SITE_MN;
    if (event->identity == NULL || event->identity[0] == '\0') {
        event->identity = identity;
    }
    agent_secenv_event(site->agent, event);
}

void site_roster(struct site *site, const char *group, size_t count, const char *const *members)
{
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    roster.group = (char *)(uintptr_t)group;
    roster.site = (char *)(uintptr_t) "mn-1";
    roster.members = (char **)(uintptr_t)members;
    roster.n_members = count;
    roster.pages = 1;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    site_event(site, &event);
}

enum agent_answer site_may(struct site *site, const char *name, enum agent_access access, const char *topic)
{
    const struct agent_attempt attempt = {.name = name, .access = access, .topic = topic};
    return agent_allows(site->agent, &attempt);
}
