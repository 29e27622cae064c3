/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/resource.h"
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The resources that the MN-CSE holds: <CSEBase>, <AE>, <group> with its fanOutPoint; and what of them
 * survives a restart. */

#define REQ_IN "/oneM2M/req/in-cse/mn-1/json"
#define RESP_IN "/oneM2M/resp/in-cse/mn-1/json"
#define TO_IN "/oneM2M/req/mn-1/in-cse/json"
#define FROM_IN "/oneM2M/resp/mn-1/in-cse/json"
#define REQ_DOOR "/oneM2M/req/Sdoor1/mn-1/json"
#define RESP_DOOR "/oneM2M/resp/Sdoor1/mn-1/json"
#define IN_FR "\"fr\":\"//sp.example/in-cse\",\"rvi\":\"3\","
#define DOOR_FR "\"fr\":\"Sdoor1\",\"rvi\":\"3\","

static void say(struct site *site, const char *name, const char *topic, const char *payload)
{
    assert_int_equal(site_say(site, name, topic, "%s", payload), AGENT_ALLOWED);
}

static void in_says(struct site *site, const char *payload)
{
    say(site, "in-cse", REQ_IN, payload);
}

static void door_says(struct site *site, const char *payload)
{
    say(site, "Sdoor1", REQ_DOOR, payload);
}

static void in_hears(struct site *site, int rsc, const char *rqi)
{
    site_expect_response(site, RESP_IN, (enum onem2m_rsc)rsc, rqi);
}

static void door_hears(struct site *site, int rsc, const char *rqi)
{
    site_expect_response(site, RESP_DOOR, (enum onem2m_rsc)rsc, rqi);
}

/* The next publication on the topic holds this text. */
static void hears_text(struct site *site, const char *topic, const char *text)
{
    const struct site_publication *publication = site_published(site, topic);
    char *payload = strndup((const char *)publication->payload, publication->length);
    if (strstr(payload, text) == NULL) {
        fail_msg("%s does not hold %s", payload, text);
    }
    free(payload);
}

static void registers(struct site *site, const char *name)
{
    char topic[128];
    snprintf(topic, sizeof(topic), "/oneM2M/req/%s/mn-1/json", name);
    assert_int_equal(
        site_say(site, name, topic,
                 "{\"op\":1,\"ty\":2,\"to\":\"/mn-1\",\"fr\":\"%s\",\"rqi\":\"reg\",\"pc\":{\"m2m:ae\":"
                 "{\"api\":\"Ndoor\",\"rr\":true,\"srv\":[\"3\"]}}}",
                 name),
        AGENT_ALLOWED);
    snprintf(topic, sizeof(topic), "/oneM2M/resp/%s/mn-1/json", name);
    site_expect_response(site, topic, ONEM2M_CREATED, "reg");
}

static struct site *site_with_doors(void)
{
    struct site *site = site_connected();
    registers(site, "Sdoor1");
    registers(site, "Sdoor2");
    return site;
}

static void test_base(void **state)
{
    static const char *const forms[] = {"/mn-1", "/mn-1/.", "//sp.example/mn-1", "//sp.example/mn-1/mn-1",
                                        "mn-1",  "-",       "/mn-1/-",           "/mn-1/mn-1"};
    struct site *site = site_connected();
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR,
                                  "{\"op\":2,\"to\":\"%s\"," DOOR_FR "\"rqi\":\"b%zu\"}", forms[i], i),
                         AGENT_ALLOWED);
        hears_text(site, RESP_DOOR, "\"csi\":\"/mn-1\"");
    }
    door_says(site, "{\"op\":4,\"to\":\"/mn-1\"," DOOR_FR "\"rqi\":\"b\"}");
    door_hears(site, ONEM2M_OPERATION_NOT_ALLOWED, "b");
    door_says(site, "{\"op\":1,\"ty\":3,\"to\":\"/mn-1\"," DOOR_FR "\"rqi\":\"c\",\"pc\":{\"m2m:cnt\":{}}}");
    door_hears(site, ONEM2M_NOT_IMPLEMENTED, "c");
    door_says(site, "{\"op\":2,\"to\":\"/mn-1\",\"rt\":{\"rtv\":1}," DOOR_FR "\"rqi\":\"d\"}");
    door_hears(site, ONEM2M_NON_BLOCKING_NOT_SUPPORTED, "d");
    door_says(site, "{\"op\":2,\"to\":\"/mn-1\",\"rt\":{\"rtv\":3}," DOOR_FR "\"rqi\":\"e\"}");
    door_hears(site, ONEM2M_OK, "e");
    site_free(site);
}

/* An AE retrieves, updates and deletes its own resource, by any form of its id; another's it may not. */
static void test_ae(void **state)
{
    static const char *const forms[] = {"Sdoor1",       "/Sdoor1",     "//sp.example/Sdoor1",
                                        "/mn-1/Sdoor1", "mn-1/Sdoor1", "-/Sdoor1"};
    struct site *site = site_with_doors();
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR,
                                  "{\"op\":2,\"to\":\"%s\"," DOOR_FR "\"rqi\":\"r%zu\"}", forms[i], i),
                         AGENT_ALLOWED);
        hears_text(site, RESP_DOOR, "\"aei\":\"Sdoor1\"");
    }
    door_says(site, "{\"op\":3,\"to\":\"Sdoor1\"," DOOR_FR
                    "\"rqi\":\"u1\",\"pc\":{\"m2m:ae\":{\"lbl\":[\"east\"],\"poa\":null,\"x\":1}}}");
    hears_text(site, RESP_DOOR, "\"lbl\":[\"east\"]");
    door_says(site, "{\"op\":3,\"to\":\"Sdoor1\"," DOOR_FR
                    "\"rqi\":\"u2\",\"pc\":{\"m2m:ae\":{\"aei\":\"Sdoor9\"}}}");
    door_hears(site, ONEM2M_BAD_REQUEST, "u2"); /* the registrar's to set */
    door_says(site, "{\"op\":2,\"to\":\"Sdoor1\",\"rcn\":0," DOOR_FR "\"rqi\":\"r\"}");
    assert_null(memmem(site_published(site, RESP_DOOR)->payload, 40, "pc", 2));
    door_says(site, "{\"op\":2,\"to\":\"Sdoor2\"," DOOR_FR "\"rqi\":\"o1\"}");
    door_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "o1");
    door_says(site, "{\"op\":4,\"to\":\"Sdoor2\"," DOOR_FR "\"rqi\":\"o2\"}");
    door_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "o2");
    in_says(site, "{\"op\":2,\"to\":\"//sp.example/Sdoor2\"," IN_FR "\"rqi\":\"i1\"}");
    hears_text(site, RESP_IN, "\"aei\":\"Sdoor2\"");
    door_says(site, "{\"op\":2,\"to\":\"Sdoor1/below\"," DOOR_FR "\"rqi\":\"o3\"}");
    door_hears(site, ONEM2M_NOT_FOUND, "o3");
    door_says(site, "{\"op\":4,\"to\":\"Sdoor1\"," DOOR_FR "\"rqi\":\"d1\"}");
    door_hears(site, ONEM2M_DELETED, "d1");
    /* QoS 1 brings it twice: the same answer, nothing done again. */
    door_says(site, "{\"op\":4,\"to\":\"Sdoor1\"," DOOR_FR "\"rqi\":\"d1\"}");
    door_hears(site, ONEM2M_DELETED, "d1");
    door_says(site, "{\"op\":4,\"to\":\"Sdoor1\"," DOOR_FR "\"rqi\":\"d2\"}");
    door_hears(site, ONEM2M_NOT_FOUND, "d2");
    site_free(site);
}

static void test_group(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR "\"rqi\":\"g1\",\"pc\":{\"m2m:grp\":{\"rn\":"
                  "\"doors\",\"mnm\":10.0,\"mid\":[\"Sdoor1\",\"Sdoor2\",\"Sdoor1\"]}}}");
    hears_text(site, RESP_IN, "\"cnm\":2");
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                  "\"rqi\":\"g2\",\"pc\":{\"m2m:grp\":{\"rn\":\"doors\",\"mnm\":1,\"mid\":[]}}}");
    in_hears(site, ONEM2M_CONFLICT, "g2");
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                  "\"rqi\":\"g3\",\"pc\":{\"m2m:grp\":{\"rn\":\"x\",\"mnm\":1,\"mid\":[\"a\",\"b\"]}}}");
    in_hears(site, ONEM2M_TOO_MANY_MEMBERS, "g3");
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                  "\"rqi\":\"g4\",\"pc\":{\"m2m:grp\":{\"rn\":\"x\",\"mid\":[\"a\"]}}}");
    in_hears(site, ONEM2M_BAD_REQUEST, "g4"); /* mnm is mandatory */
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                  "\"rqi\":\"g5\",\"pc\":{\"m2m:grp\":{\"rn\":\"x\",\"mnm\":2,\"mid\":[\"mn-1/doors\"]}}}");
    in_hears(site, ONEM2M_NOT_IMPLEMENTED, "g5");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/doors\"," IN_FR "\"rqi\":\"g6\"}");
    hears_text(site, RESP_IN, "\"mid\":[\"Sdoor1\",\"Sdoor2\"]");
    in_says(site, "{\"op\":3,\"to\":\"/mn-1/g-doors\"," IN_FR
                  "\"rqi\":\"g7\",\"pc\":{\"m2m:grp\":{\"mid\":[\"Sdoor2\"]}}}");
    hears_text(site, RESP_IN, "\"cnm\":1");
    door_says(site, "{\"op\":2,\"to\":\"mn-1/doors\"," DOOR_FR "\"rqi\":\"g8\"}");
    door_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "g8");
    in_says(site, "{\"op\":4,\"to\":\"//sp.example/mn-1/g-doors\"," IN_FR "\"rqi\":\"g9\"}");
    in_hears(site, ONEM2M_DELETED, "g9");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/doors\"," IN_FR "\"rqi\":\"g10\"}");
    in_hears(site, ONEM2M_NOT_FOUND, "g10");
    site_free(site);
}

/* One AE cannot take all the room that there is for groups. */
static void test_group_limit(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR,
                                  "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," DOOR_FR
                                  "\"rqi\":\"g%u\",\"pc\":{\"m2m:grp\":{\"mnm\":1,\"mid\":[]}}}",
                                  i),
                         AGENT_ALLOWED);
        char rqi[8];
        snprintf(rqi, sizeof(rqi), "g%u", i);
        door_hears(site, i < 16 ? ONEM2M_CREATED : ONEM2M_NOT_ACCEPTABLE, rqi);
    }
    in_says(site, "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                  "\"rqi\":\"g\",\"pc\":{\"m2m:grp\":{\"mnm\":1,\"mid\":[]}}}");
    in_hears(site, ONEM2M_CREATED, "g");
    site_free(site);
}

static void make_group(struct site *site, const char *members)
{
    assert_int_equal(
        site_say(site, "in-cse", REQ_IN,
                 "{\"op\":1,\"ty\":9,\"to\":\"/mn-1\"," IN_FR
                 "\"rqi\":\"make\",\"pc\":{\"m2m:grp\":{\"rn\":\"all\",\"mnm\":9,\"mid\":[%s]}}}",
                 members),
        AGENT_ALLOWED);
    in_hears(site, ONEM2M_CREATED, "make");
}

/* Members here and behind the IN-CSE; the answer has all of them, each under its name in the group. */
static void test_fanout(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    make_group(site, "\"Sdoor1\",\"//sp.example/in-cse/Calarm\",\"Sgone\"");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f1\"}");
    struct onem2m_primitive *request = site_primitive(site, TO_IN);
    assert_string_equal(onem2m_to(request), "//sp.example/in-cse/Calarm");
    assert_string_equal(onem2m_fr(request), SITE_IN); /* the originator stays */
    assert_string_not_equal(onem2m_gid(request), "");
    site_expect_silence(site);
    assert_int_equal(site_say(site, "in-cse", FROM_IN,
                              "{\"rsc\":2000,\"rqi\":\"%s\",\"pc\":{\"m2m:ae\":{\"aei\":\"Calarm\"}}}",
                              onem2m_rqi(request)),
                     AGENT_ALLOWED);
    const struct site_publication *whole = site_published(site, RESP_IN);
    char *text = strndup((const char *)whole->payload, whole->length);
    assert_int_equal(strncmp(text, "{\"rsc\":2000,\"to\":\"//sp.example/in-cse\"", 38), 0);
    assert_non_null(strstr(text, "\"pc\":{\"m2m:agr\":{\"m2m:rsp\":[{\"rsc\":2000"));
    assert_non_null(strstr(text, "\"fr\":\"Sdoor1\""));
    assert_non_null(strstr(text, "\"fr\":\"//sp.example/in-cse/Calarm\""));
    assert_non_null(strstr(text, "{\"rsc\":4004,\"fr\":\"Sgone\""));
    free(text);
    onem2m_free(request);
    /* Of the chosen members alone. */
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"grtm\":[\"Sdoor1\"]," IN_FR "\"rqi\":\"f2\"}");
    hears_text(site, RESP_IN, "\"aei\":\"Sdoor1\"");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"grtm\":[\"Sdoor2\"]," IN_FR "\"rqi\":\"f3\"}");
    in_hears(site, ONEM2M_BAD_REQUEST, "f3");
    site_free(site);
}

static void test_fanout_refused(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    make_group(site, "");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f1\"}");
    in_hears(site, ONEM2M_NO_MEMBERS, "f1");
    in_says(site, "{\"op\":3,\"to\":\"mn-1/all\"," IN_FR
                  "\"rqi\":\"f2\",\"pc\":{\"m2m:grp\":{\"mid\":[\"Sdoor1\"]}}}");
    in_hears(site, ONEM2M_UPDATED, "f2");
    in_says(site, "{\"op\":5,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f3\",\"pc\":{\"m2m:sgn\":{}}}");
    in_hears(site, ONEM2M_OPERATION_NOT_ALLOWED, "f3");
    door_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," DOOR_FR "\"rqi\":\"f4\"}");
    door_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "f4");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"gid\":\"x\"," IN_FR "\"rqi\":\"f5\"}");
    in_hears(site, ONEM2M_OK, "f5");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"gid\":\"x\"," IN_FR "\"rqi\":\"f6\"}");
    in_hears(site, ONEM2M_GROUP_REQUEST_IDENTIFIER_EXISTS, "f6"); /* a circle of groups ends here */
    site_forward(site, 61000);
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"gid\":\"x\"," IN_FR "\"rqi\":\"f7\"}");
    in_hears(site, ONEM2M_OK, "f7");
    site_free(site);
}

/* At the end of the time, the answers that there are; late ones are nobody's. */
static void test_fanout_time(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    make_group(site, "\"Sdoor1\",\"//sp.example/in-cse/Calarm\"");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\",\"rset\":\"20251124T160024\"," IN_FR "\"rqi\":\"f1\"}");
    struct onem2m_primitive *request = site_primitive(site, TO_IN);
    site_forward(site, 3000);
    site_expect_silence(site);
    site_forward(site, 2000);
    hears_text(site, RESP_IN, "\"aei\":\"Sdoor1\"");
    assert_int_equal(site_say(site, "in-cse", FROM_IN, "{\"rsc\":2000,\"rqi\":\"%s\"}", onem2m_rqi(request)),
                     AGENT_ALLOWED);
    site_expect_silence(site);
    onem2m_free(request);
    in_says(site, "{\"op\":3,\"to\":\"mn-1/all\"," IN_FR
                  "\"rqi\":\"u\",\"pc\":{\"m2m:grp\":{\"mid\":[\"//sp.example/in-cse/Calarm\"]}}}");
    in_hears(site, ONEM2M_UPDATED, "u");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f2\"}");
    onem2m_free(site_primitive(site, TO_IN));
    site_forward(site, 30100);
    in_hears(site, ONEM2M_GROUP_MEMBERS_NOT_RESPONDED, "f2");
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_FANOUTS), 2);
    site_free(site);
}

/* A group that deletes its members, one of them the AE that asked: the list holds to the end. */
static void test_fanout_delete(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    make_group(site, "\"Sdoor1\",\"Sdoor2\",\"Sdoor1\"");
    in_says(site, "{\"op\":4,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f1\"}");
    hears_text(site, RESP_IN, "{\"rsc\":2002,\"fr\":\"Sdoor2\"");
    in_says(site, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f2\"}");
    hears_text(site, RESP_IN, "{\"rsc\":4004,\"fr\":\"Sdoor1\"");
    site_free(site);
}

/* What the IN-CSE sends on for an AE of its own keeps that AE's name; another's name it may not use. */
static void test_from_behind(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    in_says(site,
            "{\"op\":5,\"to\":\"//sp.example/Sdoor1\",\"fr\":\"//sp.example/in-cse/Capp\",\"rqi\":\"n1\","
            "\"pc\":{\"m2m:sgn\":{}}}");
    struct onem2m_primitive *request = site_primitive(site, "/oneM2M/req/mn-1/Sdoor1/json");
    assert_string_equal(onem2m_fr(request), "//sp.example/in-cse/Capp");
    onem2m_free(request);
    in_says(site,
            "{\"op\":2,\"to\":\"//sp.example/Sdoor1\",\"fr\":\"//sp.example/in-cse/Capp\",\"rqi\":\"n2\"}");
    in_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "n2");
    in_says(site,
            "{\"op\":5,\"to\":\"//sp.example/mn-1\",\"fr\":\"//sp.example/in-cse/Capp\",\"rqi\":\"n3\"}");
    in_hears(site, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "n3"); /* not to the secure environment */
    site_free(site);
}

static void restart(struct site *from, struct site *to, bool expect)
{
    for (size_t i = 0; i < from->kept_count; i++) {
        assert_int_equal(agent_restore(to->agent, from->kept[i], strlen(from->kept[i])), expect);
    }
}

static void test_restart(void **state)
{
    struct site *site = site_with_doors();
    struct site *after = site_connected();
    (void)state;
    make_group(site, "\"Sdoor1\"");
    in_says(site, "{\"op\":3,\"to\":\"mn-1/all\"," IN_FR
                  "\"rqi\":\"u\",\"pc\":{\"m2m:grp\":{\"mid\":[\"Sdoor1\",\"Sdoor2\"]}}}");
    in_hears(site, ONEM2M_UPDATED, "u");
    door_says(site, "{\"op\":4,\"to\":\"Sdoor1\"," DOOR_FR "\"rqi\":\"d1\"}");
    door_hears(site, ONEM2M_DELETED, "d1");
    restart(site, after, true);
    in_says(after, "{\"op\":2,\"to\":\"mn-1/all/fopt\"," IN_FR "\"rqi\":\"f\"}");
    const struct site_publication *whole = site_published(after, RESP_IN);
    char *text = strndup((const char *)whole->payload, whole->length);
    assert_non_null(strstr(text, "{\"rsc\":4004,\"fr\":\"Sdoor1\""));
    assert_non_null(strstr(text, "\"aei\":\"Sdoor2\""));
    free(text);
    /* A fresh file holds what is there and no more. */
    assert_true(agent_keep_all(after->agent));
    assert_int_equal(after->kept_count, 2);
    assert_false(agent_restore(after->agent, "-Sdoor1", 7)); /* it is gone */
    assert_false(agent_restore(after->agent, "", 0));
    assert_false(agent_restore(after->agent, "+{}", 3));
    assert_false(agent_restore(after->agent, "+{\"m2m:ae\":{\"ri\":\"a\",\"x\":1}}", 29));
    /* Another has the name of one that has gone without a line that is left. */
    const char *const other = "+{\"m2m:ae\":{\"ri\":\"Sdoor9\",\"rn\":\"Sdoor2\",\"ty\":2}}";
    assert_true(agent_restore(after->agent, other, strlen(other)));
    assert_false(agent_restore(after->agent, "-Sdoor2", 8));
    assert_true(agent_restore(after->agent, "-Sdoor9", 8));
    /* A disk that is full is said, and the request is served. */
    after->disk_full = true;
    assert_false(agent_keep_all(after->agent));
    registers(after, "Sdoor1");
    assert_int_equal(agent_counter(after->agent, AGENT_COUNT_NOT_KEPT), 2);
    assert_non_null(strstr(after->log, "plugin_opt_state_file"));
    site_free(site);
    site_free(after);
}

/* A response without rqi is the IN-CSE's to the one request under way; with two it is nobody's. */
static void test_response_without_rqi(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    door_says(site, "{\"op\":2,\"to\":\"/in-cse\"," DOOR_FR "\"rqi\":\"a\"}");
    onem2m_free(site_primitive(site, TO_IN));
    say(site, "in-cse", FROM_IN, "{\"rsc\":2000.0,\"rvi\":\"3\",\"pc\":{\"m2m:cb\":{}}}");
    door_hears(site, ONEM2M_OK, "a");
    door_says(site, "{\"op\":2,\"to\":\"/in-cse\"," DOOR_FR "\"rqi\":\"b\"}");
    onem2m_free(site_primitive(site, TO_IN));
    door_says(site, "{\"op\":2,\"to\":\"/in-cse\"," DOOR_FR "\"rqi\":\"c\"}");
    onem2m_free(site_primitive(site, TO_IN));
    say(site, "in-cse", FROM_IN, "{\"rsc\":2000,\"rvi\":\"3\",\"pc\":{\"m2m:cb\":{}}}");
    site_expect_silence(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_RESPONSES_UNSOLICITED), 1);
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_ae),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_group_limit),
        cmocka_unit_test(test_fanout),
        cmocka_unit_test(test_fanout_refused),
        cmocka_unit_test(test_fanout_time),
        cmocka_unit_test(test_fanout_delete),
        cmocka_unit_test(test_from_behind),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_response_without_rqi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
