/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void primitive_topics(void **state)
{
    (void)state;
    struct onem2m_topic topic;
    assert_true(onem2m_topic_parse("/oneM2M/req/Sdoor1/mn-1/json", &topic));
    assert_int_equal(topic.tree, ONEM2M_REQ);
    assert_string_equal(topic.originator, "Sdoor1");
    assert_string_equal(topic.receiver, "mn-1");
    assert_string_equal(topic.serialisation, "json");
    assert_true(onem2m_topic_parse("/oneM2M/resp/mn-1:Cdoor1/mn-1/cbor", &topic));
    assert_int_equal(topic.tree, ONEM2M_RESP);
    assert_string_equal(topic.serialisation, "cbor");
    assert_true(onem2m_topic_parse("/oneM2M/reg_req/00-test@onem2m.com/mn-1/xml", &topic));
    assert_int_equal(topic.tree, ONEM2M_REG_REQ);
    assert_string_equal(topic.originator, "00-test@onem2m.com");
    assert_true(onem2m_topic_parse("/oneM2M/reg_resp/Sdoor1/mn-1/json", &topic));
    assert_int_equal(topic.tree, ONEM2M_REG_RESP);
}

static void what_is_no_primitive_topic(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "/",
                               "oneM2M/req/a/b/json",
                               "/onem2m/req/a/b/json",
                               "/oneM2M/req/a/b",
                               "/oneM2M/req/a/b/json/",
                               "/oneM2M/req/a/b/json/x/y/z",
                               "/oneM2M/req/a//json",
                               "/oneM2M/req//b/json",
                               "/oneM2M/req/+/b/json",
                               "/oneM2M/req/a/#",
                               "/oneM2M/req/a/b/text",
                               "/oneM2M/other/a/b/json",
                               "/oneM2M/req/a b/c/json",
                               "x/oneM2M/req/a/b/json",
                               "/oneM2M/req/a\xc3\xa4/b/json"};
    struct onem2m_topic topic;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (onem2m_topic_parse(bad[i], &topic)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void levels_are_bounded(void **state)
{
    (void)state;
    char level[ONEM2M_LEVEL_LIMIT + 2];
    char text[ONEM2M_TOPIC_LIMIT + 64];
    struct onem2m_topic topic;
    memset(level, 'a', sizeof level);
    level[ONEM2M_LEVEL_LIMIT + 1] = '\0';
    (void)snprintf(text, sizeof text, "/oneM2M/req/%s/mn-1/json", level);
    assert_false(onem2m_topic_parse(text, &topic));
    assert_false(onem2m_topic_build(ONEM2M_REQ, level, "mn-1", text, sizeof text));
    level[ONEM2M_LEVEL_LIMIT] = '\0';
    (void)snprintf(text, sizeof text, "/oneM2M/req/%s/mn-1/json", level);
    assert_true(onem2m_topic_parse(text, &topic));
    assert_string_equal(topic.originator, level);
}

static void primitive_topics_are_built(void **state)
{
    (void)state;
    char out[ONEM2M_TOPIC_LIMIT + 1];
    assert_true(onem2m_topic_build(ONEM2M_REG_RESP, "Sdoor1", "mn-1", out, sizeof out));
    assert_string_equal(out, "/oneM2M/reg_resp/Sdoor1/mn-1/json");
    assert_true(onem2m_topic_build(ONEM2M_REQ, "in-cse", "mn-1", out, sizeof out));
    assert_string_equal(out, "/oneM2M/req/in-cse/mn-1/json");
    assert_false(onem2m_topic_build(ONEM2M_REQ, "in/cse", "mn-1", out, sizeof out));
    assert_false(onem2m_topic_build(ONEM2M_REQ, "", "mn-1", out, sizeof out));
    assert_false(onem2m_topic_build(ONEM2M_REQ, "+", "mn-1", out, sizeof out));
    assert_false(
        onem2m_topic_build(ONEM2M_REQ, "in-cse", "mn-1", out, strlen("/oneM2M/req/in-cse/mn-1/json")));
}

static void group_topics_round_trip(void **state)
{
    (void)state;
    const char *const good[] = {"groupseal/v1/mn-1/doors/cmd",          "groupseal/v1/mn-1/doors/msg/Sdoor1",
                                "groupseal/v1/mn-1/doors/ack/mn-1:Cx1", "groupseal/v1/mn-1/doors/epoch",
                                "groupseal/v1/mn-1/doors/tree/3/65535", "groupseal/v1/mn-1/do.o_r-s/policy",
                                "groupseal/v1/mn-1/doors/tree/0/0"};
    char out[ONEM2M_TOPIC_LIMIT + 1];
    struct group_topic topic;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!group_topic_parse(good[i], &topic)) {
            fail_msg("refused: %s", good[i]);
        }
        assert_true(group_topic_build(&topic, out, sizeof out));
        assert_string_equal(out, good[i]);
    }
    assert_true(group_topic_parse(good[4], &topic));
    assert_int_equal(topic.kind, GROUP_TREE);
    assert_int_equal(topic.row, 3);
    assert_int_equal(topic.column, 65535);
    assert_string_equal(topic.site, "mn-1");
    assert_string_equal(topic.group, "doors");
    assert_false(group_topic_build(&topic, out, strlen(good[4])));
    topic.column = 999999999;
    assert_true(group_topic_build(&topic, out, sizeof out) && group_topic_parse(out, &topic));
    topic.column = 1000000000; /* what no parser would take is not built */
    assert_false(group_topic_build(&topic, out, sizeof out));
}

static void what_is_no_group_topic(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "groupseal",
                               "groupseal/v1/mn-1/doors",
                               "groupseal/v1/mn-1/doors/",
                               "groupseal/v2/mn-1/doors/cmd",
                               "/groupseal/v1/mn-1/doors/cmd",
                               "groupseal/v1//doors/cmd",
                               "groupseal/v1/mn-1/do:ors/cmd",
                               "groupseal/v1/mn-1/doors/cmd/x",
                               "groupseal/v1/mn-1/doors/msg",
                               "groupseal/v1/mn-1/doors/msg/",
                               "groupseal/v1/mn-1/doors/msg/+",
                               "groupseal/v1/mn-1/doors/msg/a/b",
                               "groupseal/v1/mn-1/doors/tree/0",
                               "groupseal/v1/mn-1/doors/tree/00/0",
                               "groupseal/v1/mn-1/doors/tree/-1/0",
                               "groupseal/v1/mn-1/doors/tree/0/0/0/0",
                               "groupseal/v1/mn-1/doors/tree/1/1234567890",
                               "groupseal/v1/mn-1/doors/#",
                               "groupseal/v1/mn-1/",
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/cmd"};
    struct group_topic topic;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (group_topic_parse(bad[i], &topic)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void filters_that_reach_group_topics(void **state)
{
    (void)state;
    const char *const reach[] = {
        "groupseal/v1/mn-1/doors/cmd", "groupseal/#", "#", "+/#", "+/v1/#", "groupseal",
        "$share/g/groupseal/#",        "$share/g/#"};
    const char *const miss[] = {"groupsealed/v1",       "/groupseal/v1",      "sensors/#", "$SYS/#",
                                "/oneM2M/req/a/b/json", "$share/groupseal/x", "",          "x/groupseal/#"};
    for (size_t i = 0; i < sizeof reach / sizeof reach[0]; i++) {
        if (!group_topic_touches(reach[i])) {
            fail_msg("missed: %s", reach[i]);
        }
    }
    for (size_t i = 0; i < sizeof miss / sizeof miss[0]; i++) {
        if (group_topic_touches(miss[i])) {
            fail_msg("wrongly: %s", miss[i]);
        }
    }
}

static void filters_that_reach_primitives(void **state)
{
    (void)state;
    const char *const reach[] = {"/oneM2M/req/a/b/json", "/oneM2M/#", "#",   "/#",
                                 "+/oneM2M/#",           "+/+/req/#", "+/#", "$share/g//oneM2M/#"};
    const char *const miss[] = {"oneM2M/req/a/b/json", "/onem2m/#", "+",       "groupseal/#",
                                "/x/oneM2M",           "",          "a/oneM2M"};
    for (size_t i = 0; i < sizeof reach / sizeof reach[0]; i++) {
        if (!onem2m_topic_touches(reach[i])) {
            fail_msg("missed: %s", reach[i]);
        }
    }
    for (size_t i = 0; i < sizeof miss / sizeof miss[0]; i++) {
        if (onem2m_topic_touches(miss[i])) {
            fail_msg("wrongly: %s", miss[i]);
        }
    }
}

static void shared_prefix(void **state)
{
    (void)state;
    assert_string_equal(topic_filter_unshared("$share/g/a/b"), "a/b");
    assert_string_equal(topic_filter_unshared("$share/g"), "$share/g");
    assert_string_equal(topic_filter_unshared("a/b"), "a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitive_topics),
        cmocka_unit_test(what_is_no_primitive_topic),
        cmocka_unit_test(levels_are_bounded),
        cmocka_unit_test(primitive_topics_are_built),
        cmocka_unit_test(group_topics_round_trip),
        cmocka_unit_test(what_is_no_group_topic),
        cmocka_unit_test(filters_that_reach_group_topics),
        cmocka_unit_test(filters_that_reach_primitives),
        cmocka_unit_test(shared_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
