/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The secure environment's side: objects in and out, group topics, rosters, presence, and its absence. */

#define REQ_IN "/oneM2M/req/in-cse/mn-1/json"
#define RESP_IN "/oneM2M/resp/in-cse/mn-1/json"
#define TO_IN "/oneM2M/req/mn-1/in-cse/json"
#define FROM_IN "/oneM2M/resp/mn-1/in-cse/json"
#define G "groupseal/v1/mn-1/doors/"

#define FOR_ME(rqi)                                                                                          \
    "{\"op\":5,\"to\":\"//sp.example/mn-1\",\"fr\":\"//sp.example/in-cse\",\"rqi\":\"" rqi                   \
    "\",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"AQID\"}}}"

static const char *const doors[] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2", SITE_MN};

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static void say_in(struct site *site, const char *payload)
{
    assert_int_equal(site_say(site, "in-cse", REQ_IN, "%s", payload), AGENT_ALLOWED);
}

/* What the IN-CSE says after silence kicks the outbox; tests that do not look at that take it away. */
static void wake(struct site *site)
{
    assert_int_equal(site_say(site, "in-cse", REQ_IN, "%s", "x"), AGENT_ALLOWED);
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
    site_forward(site, 2000);
}

static void answer_received(struct site *site, uint64_t tag, const char *object)
{
    Groupseal__Secenv__Answer answer = GROUPSEAL__SECENV__ANSWER__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    answer.object.data = (uint8_t *)text(object);
    answer.object.len = strlen(object);
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER;
    reply.answer = &answer;
    agent_secenv_reply(site->agent, tag, &reply);
}

static void test_object_in_and_answer(void **state)
{
    struct site *site = site_connected();
    (void)state;
    wake(site);
    say_in(site, FOR_ME("q1"));
    const struct site_request *asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED);
    const Groupseal__Secenv__Received *received = asked->request->received;
    assert_int_equal(asked->rank, AGENT_RANK_IN_CSE);
    assert_string_equal(received->identity, SITE_MN);
    assert_string_equal(received->from, SITE_IN);
    assert_string_equal(received->hop, SITE_IN);
    assert_int_equal(received->object.len, 3);
    assert_memory_equal(received->object.data, "\x01\x02\x03", 3);
    site_expect_silence(site);
    say_in(site, FOR_ME("q1")); /* QoS 1 delivers it twice */
    site_expect_idle(site);
    answer_received(site, asked->tag, "abc");
    struct onem2m_primitive *response = site_primitive(site, RESP_IN);
    uint8_t *object = NULL;
    size_t length = 0;
    assert_int_equal(onem2m_rsc_of(response), ONEM2M_OK);
    assert_string_equal(onem2m_rqi(response), "q1");
    assert_string_equal(onem2m_fr(response), SITE_MN);
    assert_string_equal(onem2m_to(response), SITE_IN);
    assert_true(onem2m_get_seci(response, &object, &length));
    assert_int_equal(length, 3);
    assert_memory_equal(object, "abc", 3);
    free(object);
    onem2m_free(response);
    /* And once more after that: the answer again, secenv is not asked. */
    say_in(site, FOR_ME("q1"));
    site_expect_response(site, RESP_IN, ONEM2M_OK, "q1");
    site_expect_idle(site);
    site_free(site);
}

static void test_object_without_answer(void **state)
{
    struct site *site = site_connected();
    uint8_t *object = NULL;
    size_t length = 0;
    (void)state;
    wake(site);
    say_in(site, FOR_ME("q1"));
    answer_received(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED)->tag, "");
    struct onem2m_primitive *response = site_primitive(site, RESP_IN);
    assert_int_equal(onem2m_rsc_of(response), ONEM2M_OK);
    assert_false(onem2m_get_seci(response, &object, &length));
    onem2m_free(response);
    site_free(site);
}

/* The reason stays here; the peer gets a code that says no more than it must. */
static void test_object_refused(void **state)
{
    static const struct {
        Groupseal__Secenv__Code code;
        enum onem2m_rsc rsc;
    } refusals[] = {
        {GROUPSEAL__SECENV__CODE__INVALID, ONEM2M_BAD_REQUEST},
        {GROUPSEAL__SECENV__CODE__REFUSED, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE},
        {GROUPSEAL__SECENV__CODE__UNKNOWN, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE},
        {GROUPSEAL__SECENV__CODE__FULL, ONEM2M_TARGET_NOT_REACHABLE},
        {GROUPSEAL__SECENV__CODE__NOT_READY, ONEM2M_TARGET_NOT_REACHABLE},
        {GROUPSEAL__SECENV__CODE__TOO_OFTEN, ONEM2M_TARGET_NOT_REACHABLE},
        {GROUPSEAL__SECENV__CODE__STORE, ONEM2M_INTERNAL_SERVER_ERROR},
    };
    struct site *site = site_connected();
    (void)state;
    wake(site);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        char payload[400];
        snprintf(
            payload, sizeof(payload),
            "{\"op\":5,\"to\":\"/mn-1\",\"fr\":\"/in-cse\",\"rqi\":\"q%zu\",\"pc\":{\"m2m:seci\":{\"sit\":6,"
            "\"eckm\":\"AQID\"}}}",
            i);
        say_in(site, payload);
        site_reply(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED)->tag,
                   refusals[i].code);
        struct onem2m_primitive *response = site_primitive(site, RESP_IN);
        assert_int_equal(onem2m_rsc_of(response), refusals[i].rsc);
        onem2m_free(response);
        assert_null(strstr((char *)site->published[site->published_end - 1].payload, "for a test"));
    }
    say_in(site, "{\"op\":5,\"to\":\"/mn-1\",\"fr\":\"/in-cse\",\"rqi\":\"z\",\"pc\":{\"m2m:sgn\":{}}}");
    site_expect_response(site, RESP_IN, ONEM2M_BAD_REQUEST, "z");
    site_expect_idle(site);
    site_free(site);
}

/* {"op"|"rsc":code,…} with an object of so many bytes; to be freed. */
static char *with_object(bool request, const char *rqi, size_t length)
{
    uint8_t *object = calloc(1, length);
    assert_non_null(object);
    struct onem2m_primitive *primitive = request ? onem2m_request(ONEM2M_NOTIFY, SITE_MN, SITE_IN, rqi)
                                                 : onem2m_response(ONEM2M_OK, rqi, SITE_MN, SITE_IN);
    assert_true(onem2m_set_seci(primitive, object, length));
    char *printed = onem2m_print(primitive, &length);
    assert_non_null(printed);
    onem2m_free(primitive);
    free(object);
    return printed;
}

/* What no end-to-end object can be is not queued. */
static void test_object_too_large(void **state)
{
    struct site *site = site_connected();
    (void)state;
    wake(site);
    char *large = with_object(true, "q1", AGENT_OBJECT_LIMIT + 1);
    say_in(site, large);
    site_expect_response(site, RESP_IN, ONEM2M_BAD_REQUEST, "q1");
    site_expect_idle(site);
    char *full = with_object(true, "q2", AGENT_OBJECT_LIMIT);
    say_in(site, full);
    const struct site_request *asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED);
    assert_int_equal(asked->request->received->object.len, AGENT_OBJECT_LIMIT);
    free(large);
    free(full);
    site_free(site);
}

static void test_secenv_down(void **state)
{
    struct site *site = site_connected();
    (void)state;
    wake(site);
    say_in(site, FOR_ME("q1"));
    uint64_t tag = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED)->tag;
    /* It dies with the request. */
    agent_secenv_reply(site->agent, tag, NULL);
    agent_secenv_down(site->agent, "killed for a test");
    site_expect_response(site, RESP_IN, ONEM2M_TARGET_NOT_REACHABLE, "q1");
    assert_int_equal(site->log_severity, AGENT_ALARM);
    say_in(site, FOR_ME("q2"));
    site_expect_response(site, RESP_IN, ONEM2M_TARGET_NOT_REACHABLE, "q2");
    site_expect_idle(site);
    /* Relay goes on; group messages go on to members. */
    assert_int_equal(site_say(site, "Sdoor1", "/oneM2M/req/Sdoor1/mn-1/json",
                              "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"r\"}"),
                     AGENT_ALLOWED);
    onem2m_free(site_primitive(site, TO_IN));
    /* It comes back: greeted, online, and the request that failed can be tried again. */
    agent_secenv_up(site->agent);
    say_in(site, FOR_ME("q3")); /* not before it has said who it is */
    site_expect_response(site, RESP_IN, ONEM2M_TARGET_NOT_REACHABLE, "q3");
    site_welcome(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag, "member",
                 SITE_MN, SITE_IN);
    const struct site_request *online = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
    assert_true(online->request->online->online);
    assert_string_equal(online->request->online->identity, SITE_MN);
    say_in(site, FOR_ME("q1"));
    answer_received(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED)->tag, "abc");
    site_expect_response(site, RESP_IN, ONEM2M_OK, "q1");
    site_free(site);
}

static void test_secenv_silent_and_queue_full(void **state)
{
    struct site *site = site_connected();
    (void)state;
    wake(site);
    site->queue_full = true;
    say_in(site, FOR_ME("q1"));
    site_expect_response(site, RESP_IN, ONEM2M_TARGET_NOT_REACHABLE, "q1");
    site->queue_full = false;
    say_in(site, FOR_ME("q1")); /* nothing of it was kept */
    uint64_t tag = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED)->tag;
    site_forward(site, 10001);
    site_expect_response(site, RESP_IN, ONEM2M_TARGET_NOT_REACHABLE, "q1");
    answer_received(site, tag, "late");
    site_expect_silence(site);
    site_free(site);
}

static void test_wrong_secenv(void **state)
{
    static const struct {
        const char *profile;
        const char *identity;
        const char *authority;
        bool good;
    } welcomes[] = {
        {"member", SITE_MN, SITE_IN, true},
        {"authority", SITE_MN, SITE_IN, false},
        {"member", "//sp.example/mn-2", SITE_IN, false},
        {"member", SITE_MN, "//sp.example/other", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(welcomes) / sizeof(welcomes[0]); i++) {
        struct site *site = site_new();
        agent_secenv_up(site->agent);
        site_welcome(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag,
                     welcomes[i].profile, welcomes[i].identity, welcomes[i].authority);
        if (welcomes[i].good) {
            site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
        } else {
            assert_int_equal(site->log_severity, AGENT_ALARM);
        }
        site_expect_idle(site);
        site_free(site);
    }
}

static void send_object(struct site *site, uint64_t token, const char *to)
{
    Groupseal__Secenv__Send send = GROUPSEAL__SECENV__SEND__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    uint8_t object[] = {1, 2, 3};
    send.token = token;
    send.to = text(to);
    send.object.data = object;
    send.object.len = sizeof(object);
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_SEND;
    event.send = &send;
    site_event(site, &event);
}

/* The NOTIFY that a Send makes; its rqi. */
static void sent(struct site *site, char *rqi, size_t size)
{
    struct onem2m_primitive *notify = site_primitive(site, TO_IN);
    uint8_t *object = NULL;
    size_t length = 0;
    assert_int_equal(onem2m_op(notify), ONEM2M_NOTIFY);
    assert_string_equal(onem2m_to(notify), SITE_IN);
    assert_string_equal(onem2m_fr(notify), SITE_MN);
    assert_true(onem2m_get_seci(notify, &object, &length));
    assert_memory_equal(object, "\x01\x02\x03", 3);
    free(object);
    snprintf(rqi, size, "%s", onem2m_rqi(notify));
    onem2m_free(notify);
}

static const Groupseal__Secenv__Answered *answered(struct site *site, uint64_t token)
{
    const struct site_request *asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED);
    assert_int_equal(asked->rank, AGENT_RANK_OWN);
    assert_string_equal(asked->request->answered->identity, SITE_MN);
    assert_int_equal(asked->request->answered->token, token);
    return asked->request->answered;
}

static void test_send(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    wake(site);
    send_object(site, 7, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    /* An AE cannot answer it, not even with its rqi. */
    assert_int_equal(
        site_say(site, "Sspy1", "/oneM2M/resp/mn-1/Sspy1/json", "{\"rsc\":2000,\"rqi\":\"%s\"}", rqi),
        AGENT_ALLOWED);
    site_expect_idle(site);
    assert_int_equal(
        site_say(site, "in-cse", FROM_IN,
                 "{\"rsc\":2000,\"rqi\":\"%s\",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"BAUG\"}}}", rqi),
        AGENT_ALLOWED);
    const Groupseal__Secenv__Answered *answer = answered(site, 7);
    assert_int_equal(answer->object.len, 3);
    assert_memory_equal(answer->object.data, "\x04\x05\x06", 3);
    assert_string_equal(answer->failure, "");
    /* Refused, empty, and not answered at all. */
    send_object(site, 8, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    site_say(site, "in-cse", FROM_IN, "{\"rsc\":4103,\"rqi\":\"%s\"}", rqi);
    assert_string_equal(answered(site, 8)->failure, SITE_IN " answered 4103");
    send_object(site, 9, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    site_say(site, "in-cse", FROM_IN, "{\"rsc\":2000,\"rqi\":\"%s\"}", rqi);
    assert_string_not_equal(answered(site, 9)->failure, "");
    send_object(site, 10, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    char *large = with_object(false, rqi, AGENT_OBJECT_LIMIT + 1);
    site_say(site, "in-cse", FROM_IN, "%s", large);
    free(large);
    answer = answered(site, 10);
    assert_int_equal(answer->object.len, 0);
    assert_string_not_equal(answer->failure, "");
    send_object(site, 12, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    char *full = with_object(false, rqi, AGENT_OBJECT_LIMIT);
    site_say(site, "in-cse", FROM_IN, "%s", full);
    free(full);
    assert_int_equal(answered(site, 12)->object.len, AGENT_OBJECT_LIMIT);
    send_object(site, 10, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    site_forward(site, 9900);
    site_expect_idle(site);
    site_forward(site, 200);
    assert_string_not_equal(answered(site, 10)->failure, "");
    /* Nowhere else. */
    send_object(site, 11, "//sp.example/Sdoor1");
    assert_string_not_equal(answered(site, 11)->failure, "");
    site_expect_silence(site);
    site_free(site);
}

/* A token of a secenv that is gone means nothing to the next. */
static void test_send_over_a_loss(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    wake(site);
    send_object(site, 7, SITE_IN);
    sent(site, rqi, sizeof(rqi));
    agent_secenv_down(site->agent, "for a test");
    agent_secenv_up(site->agent);
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO);
    site_say(site, "in-cse", FROM_IN, "{\"rsc\":4103,\"rqi\":\"%s\"}", rqi);
    site_forward(site, 11000);
    site_expect_idle(site);
    site_free(site);
}

static void publish(struct site *site, Groupseal__Secenv__TopicKind kind, const char *where,
                    const char *sender, bool retained, const char *payload)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    publish.site = text(where);
    publish.group = text("doors");
    publish.kind = kind;
    publish.sender = text(sender);
    publish.row = 1;
    publish.column = 2;
    publish.retained = retained;
    publish.payload.data = (uint8_t *)text(payload);
    publish.payload.len = strlen(payload);
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH;
    event.publish = &publish;
    site_event(site, &event);
}

/* Of use to those alone who are there: an answer to syncs. */
static void publish_passing(struct site *site)
{
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = text("mn-1");
    publish.group = text("doors");
    publish.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND;
    publish.passing = true;
    publish.payload.data = (uint8_t *)text("sync");
    publish.payload.len = 4;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH;
    event.publish = &publish;
    site_event(site, &event);
}

static void test_publish(void **state)
{
    static const struct {
        Groupseal__Secenv__TopicKind kind;
        const char *topic;
        bool retained;
    } good[] = {
        {GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND, G "cmd", false},
        {GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH, G "epoch", true},
        {GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE, G "tree/1/2", true},
        {GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY, G "policy", true},
    };
    struct site *site = site_connected();
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        publish(site, good[i].kind, "mn-1", "", good[i].retained, "abc");
        const struct site_publication *published = site_published(site, good[i].topic);
        assert_int_equal(published->qos, good[i].retained ? 0 : 1);
        assert_int_equal(published->retain, good[i].retained);
        assert_int_equal(published->length, 3);
    }
    publish_passing(site);
    assert_int_equal(site_published(site, G "cmd")->qos, 0);
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH, "mn-1", "", true, ""); /* taken away */
    assert_int_equal(site_published(site, G "epoch")->length, 0);
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE, "mn-1", SITE_MN, false, "abc");
    site_published(site, G "msg/mn-1");
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE, "mn-1", "//sp.example/Sdoor1", false, "abc");
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK, "mn-1", SITE_MN, false, "abc");
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE, "mn-1", "", false, "abc");
    publish(site, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND, "mn-2", "", false, "abc");
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_EVENTS_REFUSED), 4);
    site_free(site);
}

static void test_heard(void **state)
{
    struct site *site = site_connected();
    (void)state;
    site_roster(site, "doors", 3, doors);
    assert_int_equal(site_say(site, "Sdoor1", G "ack/Sdoor1", "abc"), AGENT_ALLOWED);
    const struct site_request *asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    const Groupseal__Secenv__Heard *heard = asked->request->heard;
    assert_string_equal(heard->identity, SITE_MN);
    assert_string_equal(heard->site, "mn-1");
    assert_string_equal(heard->group, "doors");
    assert_string_equal(heard->sender, "//sp.example/Sdoor1");
    assert_int_equal(heard->kind, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK);
    assert_false(heard->retained);
    assert_int_equal(heard->payload.len, 3);
    site_reply(site, asked->tag, GROUPSEAL__SECENV__CODE__REFUSED);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_MESSAGES_REFUSED), 1);
    assert_int_equal(site_say(site, "Sdoor2", G "msg/Sdoor2", "abc"), AGENT_ALLOWED);
    asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    assert_int_equal(asked->request->heard->kind, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE);
    site_reply(site, asked->tag, GROUPSEAL__SECENV__CODE__OK);
    /* Not a member, another's topic, the plugin's topics, too large. */
    assert_int_equal(site_say(site, "Sspy1", G "msg/Sspy1", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, "Sdoor1", G "ack/Sdoor2", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, "Sdoor1", G "cmd", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, "Sdoor1", G "epoch", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, "in-cse", G "cmd", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, NULL, G "cmd", "abc"), AGENT_DENIED);
    assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "%*s", (int)AGENT_OBJECT_LIMIT + 1, "x"),
                     AGENT_DENIED);
    site_expect_idle(site);
    assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "%*s", (int)AGENT_OBJECT_LIMIT, "x"),
                     AGENT_ALLOWED);
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    /* With secenv gone members still hear each other. */
    agent_secenv_down(site->agent, "for a test");
    assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "abc"), AGENT_ALLOWED);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_MESSAGES_LOST), 1);
    site_expect_idle(site);
    site_free(site);
}

/* A member that floods is not heard any more, until some of it is taken; the others are. */
static void test_one_member_crowds_out_nobody(void **state)
{
    struct site *site = site_connected();
    uint64_t tag = 0;
    (void)state;
    site_roster(site, "doors", 3, doors);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "abc"), AGENT_ALLOWED);
    }
    for (unsigned i = 0; i < 64; i++) {
        const struct site_request *asked = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
        assert_int_equal(asked->rank, AGENT_RANK_MEMBER);
        tag = asked->tag;
    }
    site_expect_idle(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_MESSAGES_CROWDING), 1000 - 64);
    assert_non_null(strstr(site->log, "//sp.example/Sdoor1"));
    unsigned lines = site->log_lines;
    assert_int_equal(site_say(site, "Sdoor1", G "ack/Sdoor1", "abc"), AGENT_ALLOWED);
    assert_int_equal(site->log_lines, lines);
    site_expect_idle(site);
    assert_int_equal(site_say(site, "Sdoor2", G "msg/Sdoor2", "abc"), AGENT_ALLOWED);
    const struct site_request *other = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    assert_string_equal(other->request->heard->sender, "//sp.example/Sdoor2");
    site_reply(site, other->tag, GROUPSEAL__SECENV__CODE__OK);
    assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "abc"), AGENT_ALLOWED);
    site_expect_idle(site);
    site_reply(site, tag, GROUPSEAL__SECENV__CODE__REFUSED); /* taken, though refused */
    agent_secenv_reply(site->agent, tag, NULL);              /* or lost */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "abc"), AGENT_ALLOWED);
    }
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD);
    site_expect_idle(site);
    site_free(site);
}

static void roster_page(struct site *site, uint32_t page, uint32_t pages, size_t count,
                        const char *const *members)
{
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    roster.group = text("doors");
    roster.site = text("mn-1");
    roster.members = (char **)(uintptr_t)members;
    roster.n_members = count;
    roster.page = page;
    roster.pages = pages;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    site_event(site, &event);
}

static bool reads(struct site *site, const char *name)
{
    return site_may(site, name, AGENT_READ, G "cmd") == AGENT_ALLOWED;
}

static void test_roster_pages(void **state)
{
    struct site *site = site_connected();
    (void)state;
    roster_page(site, 0, 2, 1, doors);
    assert_false(reads(site, "Sdoor1")); /* with the last page */
    roster_page(site, 1, 2, 1, doors + 1);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    /* A gap, another count of pages, too many pages, an id that is none: the list in force stays. */
    roster_page(site, 0, 3, 1, doors + 1);
    roster_page(site, 2, 3, 1, doors + 1);
    roster_page(site, 1, 3, 1, doors + 1);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    roster_page(site, 0, 2, 1, doors + 1);
    roster_page(site, 1, 3, 1, doors + 1);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    roster_page(site, 5, 2, 1, doors + 1);
    static const char *const wrong[] = {"Sdoor1"};
    roster_page(site, 0, 1, 1, wrong);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    assert_int_equal(site->log_severity, AGENT_ALARM);
    /* Begun again from page 0 it is whole. */
    roster_page(site, 0, 2, 1, doors);
    roster_page(site, 0, 1, 1, doors + 1);
    assert_false(reads(site, "Sdoor1"));
    assert_true(reads(site, "Sdoor2"));
    /* An empty group, and one that is no more. */
    roster_page(site, 0, 1, 0, doors);
    assert_false(reads(site, "Sdoor2"));
    roster_page(site, 0, 1, 1, doors);
    assert_true(reads(site, "Sdoor1"));
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    roster.group = text("doors");
    roster.site = text("mn-1");
    roster.deleted = true;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    site_event(site, &event);
    assert_false(reads(site, "Sdoor1"));
    site_free(site);
}

static void test_roster_after_a_new_connection(void **state)
{
    struct site *site = site_connected();
    (void)state;
    site_roster(site, "doors", 3, doors);
    site_roster(site, "sensors", 3, doors);
    agent_secenv_down(site->agent, "for a test");
    assert_true(reads(site, "Sdoor1")); /* the last that was verified */
    agent_secenv_up(site->agent);
    site_welcome(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag, "member",
                 SITE_MN, SITE_IN);
    site_go_online(site);
    site_roster(site, "doors", 3, doors);
    site_forward(site, 11000);
    assert_true(reads(site, "Sdoor1"));
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/sensors/cmd"), AGENT_DENIED);
    site_free(site);
}

static void reconnect(struct site *site)
{
    agent_secenv_down(site->agent, "for a test");
    agent_secenv_up(site->agent);
    site_welcome(site, site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag, "member",
                 SITE_MN, SITE_IN);
    site_go_online(site);
}

/* A list whose pages come slowly is not dropped in the midst of them; one that is not told at all is. */
static void test_slow_pages_are_waited_for(void **state)
{
    struct site *site = site_connected();
    (void)state;
    site_roster(site, "doors", 3, doors);
    site_roster(site, "sensors", 3, doors);
    reconnect(site);
    roster_page(site, 0, 3, 1, doors);
    site_forward(site, 9000);
    roster_page(site, 1, 3, 1, doors + 1);
    site_forward(site, 9000);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/sensors/cmd"), AGENT_ALLOWED);
    site_forward(site, 9000); /* for longer than secenv takes from one to the next */
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/sensors/cmd"), AGENT_DENIED);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    roster_page(site, 2, 3, 0, doors);
    site_forward(site, 20000);
    assert_true(reads(site, "Sdoor1") && reads(site, "Sdoor2"));
    /* Pages that a lost connection ended are waited for no more. */
    reconnect(site);
    roster_page(site, 0, 2, 1, doors);
    reconnect(site);
    site_forward(site, 11000);
    assert_false(reads(site, "Sdoor1"));
    site_free(site);
}

static void expect_asked_again(struct site *site)
{
    assert_false(site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE)->request->online->online);
    assert_true(site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE)->request->online->online);
    site_expect_idle(site);
}

/* A list that came in part is asked for again, at most every 30 seconds. */
static void test_refused_page_is_asked_for_again(void **state)
{
    struct site *site = site_connected();
    (void)state;
    roster_page(site, 0, 2, 1, doors);
    site_forward(site, 1000);
    site_expect_idle(site);
    roster_page(site, 0, 0, 1, doors);
    site_forward(site, 1000);
    expect_asked_again(site);
    roster_page(site, 3, 5, 1, doors);
    site_forward(site, 29000);
    site_expect_idle(site);
    site_forward(site, 1000);
    expect_asked_again(site);
    site_free(site);
}

/* What the start of a broker waits for: that all groups are told, or that they will not be. */
static void test_settled(void **state)
{
    struct site *site = site_connected(); /* told, as site_go_online asserts */
    (void)state;
    agent_secenv_down(site->agent, "for a test");
    assert_false(agent_settled(site->agent));
    agent_secenv_up(site->agent);
    assert_false(agent_settled(site->agent));
    uint64_t hello = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag;
    site_reply(site, hello, GROUPSEAL__SECENV__CODE__REFUSED);
    assert_true(agent_settled(site->agent));
    agent_secenv_up(site->agent);
    hello = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag;
    site_welcome(site, hello, "member", SITE_IN, SITE_IN);
    assert_true(agent_settled(site->agent));
    agent_secenv_up(site->agent);
    hello = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO)->tag;
    site_welcome(site, hello, "member", SITE_MN, SITE_IN);
    assert_false(agent_settled(site->agent));
    uint64_t online = site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE)->tag;
    site_reply(site, online, GROUPSEAL__SECENV__CODE__REFUSED);
    assert_true(agent_settled(site->agent));
    site_free(site);
}

static void test_foreign_events(void **state)
{
    struct site *site = site_connected();
    char other[] = "//sp.example/mn-0";
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    Groupseal__Secenv__MessageEvent message = GROUPSEAL__SECENV__MESSAGE_EVENT__INIT;
    (void)state;
    notice.severity = GROUPSEAL__SECENV__SEVERITY__ALARM;
    notice.text = text("a\nb");
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    site_event(site, &event);
    assert_string_equal(site->log, "secenv: a?b");
    assert_int_equal(site->log_severity, AGENT_ALARM);
    event.identity = other;
    site_event(site, &event);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_EVENTS_REFUSED), 1);
    event.identity = NULL;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE;
    event.message = &message;
    site_event(site, &event);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_MESSAGE_EVENTS), 1);
    site_expect_silence(site);
    site_free(site);
}

/* The IN-CSE's return kicks secenv's outbox, at most once a second. */
static void test_presence(void **state)
{
    struct site *site = site_connected();
    (void)state;
    assert_int_equal(site_may(site, "in-cse", AGENT_SUBSCRIBE, "/oneM2M/req/+/in-cse/#"), AGENT_ALLOWED);
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
    assert_int_equal(site_may(site, "in-cse", AGENT_SUBSCRIBE, "/oneM2M/resp/in-cse/#"), AGENT_ALLOWED);
    say_in(site, "x");
    site_expect_idle(site);
    site_forward(site, 1000);
    site_requested(site,
                   GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE); /* what the second subscription asked for */
    site_forward(site, 29000);
    say_in(site, "x");
    say_in(site, "x");
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
    site_forward(site, 29000);
    say_in(site, "x"); /* not silent for long enough */
    site_forward(site, 2000);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, "/oneM2M/req/+/Sdoor1/#"), AGENT_ALLOWED);
    site_expect_idle(site);
    site_free(site);
}

/* What was sent before the IN-CSE subscribed has reached nobody: it is told at once, not after the time-out.
 */
static void test_sent_before_the_in_cse_came(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    for (uint64_t token = 1; token < 5; token += 2) {
        send_object(site, token, SITE_IN);
        sent(site, rqi, sizeof(rqi));
        assert_int_equal(site_may(site, "in-cse", AGENT_SUBSCRIBE, "/oneM2M/req/+/in-cse/#"), AGENT_ALLOWED);
        assert_string_not_equal(answered(site, token)->failure, "");
        site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
        send_object(site, token + 1, SITE_IN);
        sent(site, rqi, sizeof(rqi));
        assert_int_equal(site_may(site, "in-cse", AGENT_SUBSCRIBE, "/oneM2M/resp/in-cse/#"), AGENT_ALLOWED);
        agent_gone(site->agent, "Sdoor1");
        site_expect_idle(site); /* this one may still be answered */
        site_say(site, "in-cse", FROM_IN, "{\"rsc\":4103,\"rqi\":\"%s\"}", rqi);
        answered(site, token + 1);
        site_forward(site, 1000);
        site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE);
        site_forward(site, 1000);
        agent_gone(site->agent, "in-cse");
    }
    site_free(site);
}

static void change_event(struct site *site, char *came, char *left)
{
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    roster.group = (char *)(uintptr_t) "doors";
    roster.site = (char *)(uintptr_t) "mn-1";
    roster.members = &came;
    roster.n_members = came != NULL;
    roster.left = &left;
    roster.n_left = left != NULL;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    site_event(site, &event);
}

/* Who comes and who leaves changes the list that is in force; without one, or with a name that is none, all
 * of it is asked for again. */
static void test_roster_changes(void **state)
{
    static const char *const members[] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2"};
    struct site *site = site_connected();
    (void)state;
    change_event(site, (char *)(uintptr_t)members[0], NULL);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_DENIED);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_EVENTS_REFUSED), 1);
    site_roster(site, "doors", 1, members);
    change_event(site, (char *)(uintptr_t)members[1], NULL);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "Sdoor2", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_ALLOWED);
    change_event(site, (char *)(uintptr_t)members[1], (char *)(uintptr_t)members[0]);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sdoor2", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_ALLOWED);
    change_event(site, (char *)(uintptr_t) "no name", (char *)(uintptr_t)members[1]);
    assert_int_equal(site_may(site, "Sdoor2", AGENT_READ, "groupseal/v1/mn-1/doors/cmd"), AGENT_DENIED);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_EVENTS_REFUSED), 2);
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roster_changes),
        cmocka_unit_test(test_object_in_and_answer),
        cmocka_unit_test(test_object_without_answer),
        cmocka_unit_test(test_object_refused),
        cmocka_unit_test(test_object_too_large),
        cmocka_unit_test(test_secenv_down),
        cmocka_unit_test(test_secenv_silent_and_queue_full),
        cmocka_unit_test(test_wrong_secenv),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_send_over_a_loss),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_heard),
        cmocka_unit_test(test_one_member_crowds_out_nobody),
        cmocka_unit_test(test_roster_pages),
        cmocka_unit_test(test_roster_after_a_new_connection),
        cmocka_unit_test(test_slow_pages_are_waited_for),
        cmocka_unit_test(test_refused_page_is_asked_for_again),
        cmocka_unit_test(test_settled),
        cmocka_unit_test(test_foreign_events),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_sent_before_the_in_cse_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
