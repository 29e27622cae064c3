/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Registration, forwarding both ways, and what is refused on the way. */

#define REQ_DOOR "/oneM2M/req/Sdoor1/mn-1/json"
#define RESP_DOOR "/oneM2M/resp/Sdoor1/mn-1/json"
#define REQ_IN "/oneM2M/req/in-cse/mn-1/json"
#define RESP_IN "/oneM2M/resp/in-cse/mn-1/json"
#define TO_IN "/oneM2M/req/mn-1/in-cse/json"
#define FROM_IN "/oneM2M/resp/mn-1/in-cse/json"
#define TO_DOOR "/oneM2M/req/mn-1/Sdoor1/json"
#define FROM_DOOR "/oneM2M/resp/mn-1/Sdoor1/json"
#define REG "/oneM2M/reg_req/Sdoor1/mn-1/json"
#define REG_RESP "/oneM2M/reg_resp/Sdoor1/mn-1/json"

#define NOTIFY(to, fr, rqi)                                                                                  \
    "{\"op\":5,\"to\":\"" to "\",\"fr\":\"" fr "\",\"rqi\":\"" rqi                                           \
    "\",\"rvi\":\"3\",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"AQID\"}}}"
#define REGISTER(fr, rqi)                                                                                    \
    "{\"op\":1,\"ty\":2,\"to\":\"/mn-1\",\"fr\":\"" fr "\",\"rqi\":\"" rqi                                   \
    "\",\"rvi\":\"3\",\"pc\":{\"m2m:ae\":{\"api\":\"Ndoor\",\"rr\":true,\"srv\":[\"3\"]}}}"

#define SAY(name, topic, ...) assert_int_equal(site_say(site, name, topic, "%s", __VA_ARGS__), AGENT_ALLOWED)

/* The forwarded request's rqi, its `fr` and `to` checked. */
static void forwarded(struct site *site, const char *topic, const char *to, const char *fr, char *rqi,
                      size_t size)
{
    struct onem2m_primitive *request = site_primitive(site, topic);
    uint8_t *object = NULL;
    size_t length = 0;
    assert_true(onem2m_is_request(request));
    assert_int_equal(onem2m_op(request), ONEM2M_NOTIFY);
    assert_string_equal(onem2m_to(request), to);
    assert_string_equal(onem2m_fr(request), fr);
    assert_true(onem2m_get_seci(request, &object, &length));
    assert_int_equal(length, 3);
    assert_memory_equal(object, "\x01\x02\x03", 3);
    free(object);
    snprintf(rqi, size, "%s", onem2m_rqi(request));
    onem2m_free(request);
}

static void answer(struct site *site, const char *name, const char *topic, const char *rqi, const char *fr)
{
    assert_int_equal(site_say(site, name, topic,
                              "{\"rsc\":2000,\"rqi\":\"%s\",\"fr\":\"%s\",\"to\":\"x\",\"pc\":{\"m2m:seci\":{"
                              "\"sit\":6,\"eckm\":\"BAUG\"}}}",
                              rqi, fr),
                     AGENT_ALLOWED);
}

static void test_registration(void **state)
{
    struct site *site = site_connected();
    (void)state;
    SAY("Sdoor1", REG, REGISTER("Sdoor1", "r1"));
    struct onem2m_primitive *response = site_primitive(site, REG_RESP);
    struct onem2m_ae ae;
    assert_int_equal(onem2m_rsc_of(response), ONEM2M_CREATED);
    assert_string_equal(onem2m_rqi(response), "r1");
    assert_string_equal(onem2m_to(response), "//sp.example/Sdoor1");
    assert_string_equal(onem2m_fr(response), SITE_MN);
    assert_true(onem2m_get_ae(response, &ae));
    assert_string_equal(ae.ae_id, "Sdoor1");
    assert_string_equal(ae.app_id, "Ndoor");
    onem2m_free(response);
    /* The same request once more (QoS 1): the same answer. A new one: it is registered already. */
    SAY("Sdoor1", REG, REGISTER("Sdoor1", "r1"));
    site_expect_response(site, REG_RESP, ONEM2M_CREATED, "r1");
    SAY("Sdoor1", REG, REGISTER("//sp.example/Sdoor1", "r2"));
    site_expect_response(site, REG_RESP, ONEM2M_ALREADY_REGISTERED, "r2");
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_REGISTRATIONS), 1);
    /* It leaves, and comes back. */
    SAY("Sdoor1", REQ_DOOR, "{\"op\":4,\"to\":\"Sdoor1\",\"fr\":\"Sdoor1\",\"rqi\":\"d1\"}");
    site_expect_response(site, RESP_DOOR, ONEM2M_DELETED, "d1");
    SAY("Sdoor1", REQ_DOOR, REGISTER("S", "r3"));
    site_expect_response(site, RESP_DOOR, ONEM2M_CREATED, "r3");
    site_free(site);
}

static void test_registration_refused(void **state)
{
    struct site *site = site_connected();
    (void)state;
    SAY("Sdoor1", REG, REGISTER("Sdoor2", "r1"));
    site_expect_response(site, REG_RESP, ONEM2M_ORIGINATOR_NOT_AUTHENTICATED, "r1");
    SAY("Sdoor1", REG, "{\"op\":1,\"ty\":2,\"rqi\":\"r2\",\"pc\":{}}");
    site_expect_response(site, REG_RESP, ONEM2M_BAD_REQUEST, "r2");
    SAY("Sdoor1", REG, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "r3"));
    site_expect_response(site, REG_RESP, ONEM2M_OPERATION_NOT_ALLOWED, "r3");
    SAY("in-cse", REQ_IN, REGISTER("//sp.example/in-cse", "r4"));
    site_expect_response(site, RESP_IN, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "r4");
    assert_int_equal(site_say(site, "Sdoor2", REG, "%s", REGISTER("Sdoor1", "r5")), AGENT_DENIED);
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_REGISTRATIONS), 0);
    SAY("Sdoor1", REG, REGISTER("", "r6"));
    site_expect_response(site, REG_RESP, ONEM2M_CREATED, "r6");
    site_free(site);
}

static void test_to_in_cse_and_back(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    assert_int_equal(strncmp(rqi, "Sdoor1/", 7), 0);
    assert_string_not_equal(rqi, "q1");
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    struct onem2m_primitive *response = site_primitive(site, RESP_DOOR);
    assert_int_equal(onem2m_rsc_of(response), ONEM2M_OK);
    assert_string_equal(onem2m_rqi(response), "q1");
    assert_string_equal(onem2m_fr(response), SITE_IN);
    onem2m_free(response);
    /* The response once more is nobody's. */
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_RESPONSES_UNSOLICITED), 1);
    site_free(site);
}

static void test_to_ae_and_back(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    /* It has not registered since the broker started: tried all the same, on its stem. */
    SAY("in-cse", REQ_IN, NOTIFY("//sp.example/Sdoor1", SITE_IN, "q1"));
    forwarded(site, TO_DOOR, "//sp.example/Sdoor1", SITE_IN, rqi, sizeof(rqi));
    answer(site, "Sdoor1", FROM_DOOR, rqi, "Sdoor1");
    struct onem2m_primitive *response = site_primitive(site, RESP_IN);
    assert_string_equal(onem2m_rqi(response), "q1");
    assert_string_equal(onem2m_fr(response), "//sp.example/Sdoor1"); /* a stem would mean another AE there */
    onem2m_free(response);
    site_free(site);
}

/* Answers and requests go out on the form of its id that an AE uses. */
static void test_forms(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("mn-1/Cdoor1", "/oneM2M/req/mn-1:Cdoor1/mn-1/json", NOTIFY("/in-cse", "Cdoor1", "q1"));
    forwarded(site, TO_IN, "/in-cse", "//sp.example/mn-1/Cdoor1", rqi, sizeof(rqi));
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_response(site, "/oneM2M/resp/mn-1:Cdoor1/mn-1/json", ONEM2M_OK, "q1");
    SAY("in-cse", REQ_IN, NOTIFY("//sp.example/mn-1/Cdoor1", SITE_IN, "q2"));
    forwarded(site, "/oneM2M/req/mn-1/mn-1:Cdoor1/json", "//sp.example/mn-1/Cdoor1", SITE_IN, rqi,
              sizeof(rqi));
    answer(site, "mn-1/Cdoor1", "/oneM2M/resp/mn-1/mn-1:Cdoor1/json", rqi, "mn-1:Cdoor1");
    site_expect_response(site, RESP_IN, ONEM2M_OK, "q2");
    site_free(site);
}

static void test_wrong_originator(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor2", "q1"));
    site_expect_response(site, RESP_DOOR, ONEM2M_ORIGINATOR_NOT_AUTHENTICATED, "q1");
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/in-cse", "q2"));
    site_expect_response(site, RESP_DOOR, ONEM2M_ORIGINATOR_NOT_AUTHENTICATED, "q2");
    SAY("in-cse", REQ_IN, NOTIFY("//sp.example/Sdoor1", "//sp.example/Sdoor2", "q3"));
    site_expect_response(site, RESP_IN, ONEM2M_ORIGINATOR_NOT_AUTHENTICATED, "q3");
    SAY("Sdoor1", REQ_DOOR, "{\"op\":5,\"to\":\"//sp.example/in-cse\",\"rqi\":\"q4\"}");
    site_expect_response(site, RESP_DOOR, ONEM2M_BAD_REQUEST, "q4");
    /* On another's topic not even an answer. */
    assert_int_equal(site_say(site, "Sspy1", REQ_DOOR, "%s", NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q5")),
                     AGENT_DENIED);
    site_expect_silence(site);
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    site_free(site);
}

/* Only who was asked can answer. */
static void test_wrong_answerer(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    answer(site, "Sspy1", "/oneM2M/resp/mn-1/Sspy1/json", rqi, "//sp.example/Sspy1");
    site_expect_silence(site);
    SAY("in-cse", REQ_IN, NOTIFY("//sp.example/Sdoor1", SITE_IN, "q2"));
    char second[ONEM2M_RQI_LIMIT + 1];
    forwarded(site, TO_DOOR, "//sp.example/Sdoor1", SITE_IN, second, sizeof(second));
    answer(site, "Sdoor1", FROM_DOOR, second, "//sp.example/Sdoor2"); /* in another's name */
    answer(site, "Sdoor1", FROM_DOOR, "unknown", "//sp.example/Sdoor1");
    SAY("Sdoor1", FROM_DOOR, "{\"rsc\":2000}");
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_RESPONSES_UNSOLICITED), 4);
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, "q1");
    answer(site, "Sdoor1", FROM_DOOR, second, "//sp.example/Sdoor1");
    site_expect_response(site, RESP_IN, ONEM2M_OK, "q2");
    site_free(site);
}

static void test_duplicates(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    char again[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    /* Delivered twice while under way: forwarded once. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    site_expect_silence(site);
    /* Another request with that rqi meanwhile: refused (TS-0001 7.1.7). Another originator's rqi is its own.
     */
    SAY("Sdoor1", REQ_DOOR, NOTIFY("/in-cse", "//sp.example/Sdoor1", "q1"));
    site_expect_response(site, RESP_DOOR, ONEM2M_CONFLICT, "q1");
    SAY("Sdoor2", "/oneM2M/req/Sdoor2/mn-1/json", NOTIFY(SITE_IN, "//sp.example/Sdoor2", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor2", again, sizeof(again));
    assert_string_not_equal(rqi, again);
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, "q1");
    /* Delivered again after the response: answered, not forwarded. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, "q1");
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_REQUESTS_DUPLICATE), 2);
    /* A new request with that rqi is a new request, and gets no late answer of the old one. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY("/in-cse", "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, "/in-cse", "//sp.example/Sdoor1", again, sizeof(again));
    assert_string_not_equal(rqi, again);
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_silence(site);
    /* When the answer is no longer kept, a duplicate is a new request too. */
    answer(site, "in-cse", FROM_IN, again, SITE_IN);
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, "q1");
    site_forward(site, 31000);
    site_expect_response(site, "/oneM2M/resp/Sdoor2/mn-1/json", ONEM2M_TARGET_NOT_REACHABLE, "q1");
    SAY("Sdoor1", REQ_DOOR, NOTIFY("/in-cse", "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, "/in-cse", "//sp.example/Sdoor1", again, sizeof(again));
    site_free(site);
}

static void test_expiry(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    site_forward(site, 29000);
    site_expect_silence(site);
    site_forward(site, 1100);
    site_expect_response(site, RESP_DOOR, ONEM2M_TARGET_NOT_REACHABLE, "q1");
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN); /* too late */
    site_expect_silence(site);
    site_free(site);
}

static void test_request_expiration_time(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    /* The wall clock stands at 2025-11-24T16:00:00. */
    site->wall_ms = 1764000000000;
    SAY("Sdoor1", REQ_DOOR,
        "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q1\",\"rqet\":\"20251124T155959\"}");
    site_expect_response(site, RESP_DOOR, ONEM2M_REQUEST_TIMEOUT, "q1");
    SAY("Sdoor1", REQ_DOOR,
        "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q2\",\"rqet\":\"20251124T160004\",\"pc\":{"
        "\"m2m:seci\":{\"sit\":6,\"eckm\":\"AQID\"}}}");
    forwarded(site, TO_IN, "/in-cse", "//sp.example/Sdoor1", rqi, sizeof(rqi));
    site_forward(site, 3500);
    site_expect_silence(site);
    site_forward(site, 600);
    site_expect_response(site, RESP_DOOR, ONEM2M_REQUEST_TIMEOUT, "q2");
    site_free(site);
}

static void test_nowhere_to_go(void **state)
{
    static const char *const nowhere[] = {"//sp.example/Sdoor2",
                                          "//other.example/in-cse",
                                          "//sp.example/mn-2",
                                          "",
                                          "a b",
                                          "/",
                                          "//",
                                          "Mobius/x"};
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR,
                                  "{\"op\":5,\"to\":\"%s\",\"fr\":\"Sdoor1\",\"rqi\":\"q\"}", nowhere[i]),
                         AGENT_ALLOWED);
        site_expect_response(site, RESP_DOOR, ONEM2M_NOT_FOUND, "q");
    }
    SAY("in-cse", REQ_IN,
        "{\"op\":5,\"to\":\"//sp.example/Sdoor1/res\",\"fr\":\"//sp.example/in-cse\",\"rqi\":\"q\"}");
    site_expect_response(site, RESP_IN, ONEM2M_NOT_FOUND, "q");
    SAY("in-cse", REQ_IN,
        "{\"op\":5,\"to\":\"//sp.example/mn-2/C1\",\"fr\":\"//sp.example/in-cse\",\"rqi\":\"q\"}");
    site_expect_response(site, RESP_IN, ONEM2M_NOT_FOUND, "q");
    /* To this MN-CSE: only the IN-CSE speaks to its secure environment. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_MN, "//sp.example/Sdoor1", "q"));
    site_expect_response(site, RESP_DOOR, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "q");
    site_requested(site, GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE); /* the IN-CSE was heard */
    site_expect_idle(site);
    /* A resource of the IN-CSE, by any operation, is on the way. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY("//sp.example/in-cse/-/group", "//sp.example/Sdoor1", "q"));
    forwarded(site, TO_IN, "//sp.example/in-cse/-/group", "//sp.example/Sdoor1", rqi, sizeof(rqi));
    site_free(site);
}

static void test_malformed(void **state)
{
    static const char *const malformed[] = {"",
                                            "x",
                                            "{}",
                                            "[]",
                                            "{\"op\":5}",
                                            "{\"op\":9,\"rqi\":\"q\"}",
                                            "{\"rsc\":2000,\"rqi\":\"q\"}",
                                            "{\"op\":5,\"rqi\":5}"};
    struct site *site = site_connected();
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        SAY("Sdoor1", REQ_DOOR, malformed[i]);
        SAY("Sdoor1", REG, malformed[i]);
    }
    SAY("Sdoor1", FROM_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q")); /* a request on a response topic */
    site_expect_silence(site);
    site_expect_idle(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_MALFORMED), 2 * 8 + 1);
    assert_true(site->log_lines < 5); /* and the log is not filled */
    site_free(site);
}

static void test_bounds(void **state)
{
    struct site *site = site_connected();
    (void)state;
    /* One AE cannot fill the table. */
    for (int i = 0; i < 64; i++) {
        assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR,
                                  "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q%d\"}", i),
                         AGENT_ALLOWED);
        onem2m_free(site_primitive(site, TO_IN));
    }
    SAY("Sdoor1", REQ_DOOR, "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"more\"}");
    site_expect_response(site, RESP_DOOR, ONEM2M_TARGET_NOT_REACHABLE, "more");
    SAY("Sdoor2", "/oneM2M/req/Sdoor2/mn-1/json",
        "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor2\",\"rqi\":\"q\"}");
    onem2m_free(site_primitive(site, TO_IN));
    site_forward(site, 31000);
    for (int i = 0; i < 64; i++) {
        onem2m_free(site_primitive(site, RESP_DOOR));
    }
    SAY("Sdoor1", REQ_DOOR, "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"after\"}");
    site_free(site);
}

/* Neither those that somebody has left without an answer nor what is kept for duplicates holds up one
 * callback. */
static void test_many_at_once(void **state)
{
    struct site *site = site_connected();
    const int many = 1000;
    (void)state;
    for (int i = 0; i < many; i++) {
        assert_int_equal(
            site_say(site, "in-cse", REQ_IN,
                     "{\"op\":5,\"to\":\"//sp.example/Sdoor1\",\"fr\":\"" SITE_IN "\",\"rqi\":\"q%d\"}", i),
            AGENT_ALLOWED);
        onem2m_free(site_primitive(site, TO_DOOR));
    }
    site_forward(site, 31000);
    int answered = 0;
    for (int ticks = 0; answered < many; ticks++) {
        assert_true(ticks < 20);
        size_t before = site->published_first;
        while (site->published_first < site->published_end) {
            onem2m_free(site_primitive(site, RESP_IN));
        }
        answered += (int)(site->published_first - before);
        assert_true(site->published_first - before <= 200);
        site_forward(site, 100);
    }
    assert_int_equal(answered, many);
    site_free(site);
}

/* An rqi that leaves no room for a prefix is replaced, and restored. */
static void test_long_rqi(void **state)
{
    struct site *site = site_connected();
    char long_rqi[ONEM2M_RQI_LIMIT + 1];
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    memset(long_rqi, 'q', ONEM2M_RQI_LIMIT);
    long_rqi[ONEM2M_RQI_LIMIT] = '\0';
    assert_int_equal(
        site_say(site, "Sdoor1", REQ_DOOR,
                 "{\"op\":5,\"to\":\"/in-cse\",\"fr\":\"/Sdoor1\",\"rqi\":\"%s\",\"pc\":{\"m2m:seci\":{"
                 "\"sit\":6,\"eckm\":\"AQID\"}}}",
                 long_rqi),
        AGENT_ALLOWED);
    forwarded(site, TO_IN, "/in-cse", "/Sdoor1", rqi, sizeof(rqi));
    answer(site, "in-cse", FROM_IN, rqi, SITE_IN);
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, long_rqi);
    site_free(site);
}

static void test_broker_full(void **state)
{
    struct site *site = site_connected();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    site->broker_full = true;
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    site->broker_full = false;
    assert_true(agent_counter(site->agent, AGENT_COUNT_PUBLICATIONS_FAILED) > 0);
    /* Nothing is left of it: the same request goes through now. */
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q1"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    site_free(site);
}

static enum agent_answer bridged(struct site *site, const char *bridge, const char *topic,
                                 const char *payload)
{
    return agent_message_bridged(site->agent, bridge, topic, payload, strlen(payload));
}

/* What a bridge of the broker's own brings is the IN-CSE's on the IN-CSE's topics, and refused on all others
 * of ours; another bridge brings nothing of ours. */
static void test_bridge(void **state)
{
    static const char *const others[] = {REQ_DOOR,
                                         FROM_DOOR,
                                         REG,
                                         RESP_IN,
                                         TO_IN,
                                         "groupseal/v1/mn-1/doors/cmd",
                                         "groupseal/v1/mn-1/doors/msg/Sdoor1",
                                         "/oneM2M/req/in-cse/mn-2/json"};
    struct site *site = site_connected();
    const char *notify = NOTIFY("//sp.example/Sdoor1", SITE_IN, "q1");
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    assert_int_equal(bridged(site, "another", REQ_IN, notify), AGENT_DENIED);
    assert_int_equal(bridged(site, "", REQ_IN, notify), AGENT_DENIED);
    assert_int_equal(bridged(site, NULL, REQ_IN, notify), AGENT_DENIED);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(bridged(site, "to-in", others[i], notify), AGENT_DENIED);
    }
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_DENIED), 3 + sizeof(others) / sizeof(others[0]));
    assert_int_equal(bridged(site, NULL, "sensors/1", "x"), AGENT_FOREIGN);
    assert_int_equal(bridged(site, "to-in", REQ_IN, notify), AGENT_ALLOWED);
    forwarded(site, TO_DOOR, "//sp.example/Sdoor1", SITE_IN, rqi, sizeof(rqi));
    answer(site, "Sdoor1", FROM_DOOR, rqi, "Sdoor1");
    site_expect_response(site, RESP_IN, ONEM2M_OK, "q1");
    SAY("Sdoor1", REQ_DOOR, NOTIFY(SITE_IN, "//sp.example/Sdoor1", "q2"));
    forwarded(site, TO_IN, SITE_IN, "//sp.example/Sdoor1", rqi, sizeof(rqi));
    char payload[300];
    snprintf(payload, sizeof(payload), "{\"rsc\":2000,\"rqi\":\"%s\",\"fr\":\"/in-cse\"}", rqi);
    assert_int_equal(bridged(site, "another", FROM_IN, payload), AGENT_DENIED);
    site_expect_silence(site);
    assert_int_equal(bridged(site, "to-in", FROM_IN, payload), AGENT_ALLOWED);
    site_expect_response(site, RESP_DOOR, ONEM2M_OK, "q2");
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registration),
        cmocka_unit_test(test_registration_refused),
        cmocka_unit_test(test_to_in_cse_and_back),
        cmocka_unit_test(test_to_ae_and_back),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_wrong_originator),
        cmocka_unit_test(test_wrong_answerer),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_request_expiration_time),
        cmocka_unit_test(test_nowhere_to_go),
        cmocka_unit_test(test_bridge),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_long_rqi),
        cmocka_unit_test(test_broker_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
