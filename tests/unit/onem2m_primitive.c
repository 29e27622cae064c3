/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/primitive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct onem2m_primitive *parse(const char *json)
{
    return onem2m_parse(json, strlen(json));
}

static void assert_printed(const struct onem2m_primitive *primitive, const char *json)
{
    size_t length = 0;
    char *printed = onem2m_print(primitive, &length);
    assert_non_null(printed);
    assert_string_equal(printed, json);
    assert_int_equal(length, strlen(json));
    free(printed);
}

static void request_round_trip(void **state)
{
    (void)state;
    struct onem2m_primitive *request =
        onem2m_request(ONEM2M_NOTIFY, "//sp.example/mn-1", "//sp.example/Sdoor1", "r1");
    assert_non_null(request);
    assert_true(onem2m_set_seci(request, (const uint8_t *)"\x00\xff\x10", 3));
    assert_printed(request,
                   "{\"op\":5,\"to\":\"//sp.example/mn-1\",\"fr\":\"//sp.example/Sdoor1\",\"rqi\":\"r1\","
                   "\"rvi\":\"3\",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"AP8Q\"}}}");
    size_t length = 0;
    char *printed = onem2m_print(request, &length);
    onem2m_free(request);

    struct onem2m_primitive *parsed = onem2m_parse(printed, length);
    free(printed);
    assert_non_null(parsed);
    assert_true(onem2m_is_request(parsed));
    assert_int_equal(onem2m_op(parsed), ONEM2M_NOTIFY);
    assert_string_equal(onem2m_to(parsed), "//sp.example/mn-1");
    assert_string_equal(onem2m_fr(parsed), "//sp.example/Sdoor1");
    assert_string_equal(onem2m_rqi(parsed), "r1");
    uint8_t *object = NULL;
    assert_true(onem2m_get_seci(parsed, &object, &length));
    assert_int_equal(length, 3);
    assert_memory_equal(object, "\x00\xff\x10", 3);
    free(object);
    onem2m_free(parsed);
}

static void response_round_trip(void **state)
{
    (void)state;
    struct onem2m_primitive *response = onem2m_response(ONEM2M_OK, "r1", "", NULL);
    assert_printed(response, "{\"rsc\":2000,\"rqi\":\"r1\",\"rvi\":\"3\"}");
    assert_false(onem2m_is_request(response));
    assert_int_equal(onem2m_rsc_of(response), ONEM2M_OK);
    assert_int_equal(onem2m_op(response), 0);
    assert_string_equal(onem2m_to(response), "");
    onem2m_free(response);
    onem2m_free(NULL);
}

/* tinyIoT: every number a double, and a member that comes twice. */
static void integral_doubles_and_duplicates(void **state)
{
    (void)state;
    struct onem2m_primitive *answer = parse(
        "{\"rsc\":2001.0,\"rqi\":\"r1\",\"pc\":{\"m2m:csr\":{\"csi\":\"/a\",\"ty\":16.0,\"csi\":\"/a\"}},"
        "\"rqi\":\"r2\"}");
    assert_non_null(answer);
    assert_int_equal(onem2m_rsc_of(answer), ONEM2M_CREATED);
    assert_string_equal(onem2m_rqi(answer), "r1");
    assert_printed(answer, "{\"rsc\":2001,\"rqi\":\"r1\",\"pc\":{\"m2m:csr\":{\"csi\":\"/a\",\"ty\":16,"
                           "\"csi\":\"/a\"}}}");
    onem2m_free(answer);

    struct onem2m_primitive *request =
        parse("{\"op\":1.0,\"ty\":2.0,\"fr\":\"Sa\",\"fr\":\"Sb\",\"rqi\":\"r\"}");
    assert_non_null(request);
    assert_int_equal(onem2m_op(request), ONEM2M_CREATE);
    assert_int_equal(onem2m_ty(request), 2);
    assert_string_equal(onem2m_fr(request), "Sa");
    assert_printed(request, "{\"op\":1,\"ty\":2,\"fr\":\"Sa\",\"rqi\":\"r\"}");
    onem2m_free(request);
}

/* Mobius4: an answer without rqi, a notification with ri instead and without to. */
static void missing_rqi_and_ri(void **state)
{
    (void)state;
    struct onem2m_primitive *answer = parse("{\"rsc\":2000,\"rvi\":\"3\",\"pc\":{}}");
    assert_non_null(answer);
    assert_string_equal(onem2m_rqi(answer), "");
    onem2m_free(answer);

    struct onem2m_primitive *notification =
        parse("{\"op\":5,\"fr\":\"/id-in\",\"ri\":\"n7\",\"rvi\":\"3\",\"pc\":{\"m2m:sgn\":{}}}");
    assert_non_null(notification);
    assert_string_equal(onem2m_rqi(notification), "n7");
    assert_string_equal(onem2m_to(notification), "");
    assert_true(onem2m_set_rqi(notification, "mine"));
    assert_string_equal(onem2m_rqi(notification), "mine");
    onem2m_free(notification);
}

static void forwarding_keeps_the_rest(void **state)
{
    (void)state;
    struct onem2m_primitive *request =
        parse("{\"op\":5,\"to\":\"/"
              "in\",\"fr\":\"Sa\",\"rqi\":\"1\",\"ot\":\"20260101T000000\",\"x\":[1,{\"y\":null}],"
              "\"fc\":{\"fu\":2}}");
    assert_non_null(request);
    assert_true(onem2m_set_rqi(request, "Sa/1"));
    assert_printed(request,
                   "{\"op\":5,\"to\":\"/in\",\"fr\":\"Sa\",\"rqi\":\"Sa/1\",\"ot\":\"20260101T000000\","
                   "\"x\":[1,{\"y\":null}],\"fc\":{\"fu\":2}}");
    onem2m_free(request);
}

static void what_is_no_primitive(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "{",
                               "null",
                               "[]",
                               "[{\"op\":5}]",
                               "{}",
                               "{\"op\":0}",
                               "{\"op\":6}",
                               "{\"op\":1.5}",
                               "{\"op\":\"5\"}",
                               "{\"op\":1e300}",
                               "{\"rsc\":\"2000\"}",
                               "{\"rsc\":-1}",
                               "{\"OP\":5}",
                               "{\"op\":5,\"to\":7}",
                               "{\"op\":5,\"fr\":null}",
                               "{\"op\":5,\"rqi\":1}",
                               "{\"op\":5} x",
                               "{\"op\":5}{\"op\":5}",
                               "{\"op\":5,\"fr\":\"Sa\\u0000b\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(bad[i]) != NULL) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_null(onem2m_parse("{\"op\":5}\0", 9));
    struct onem2m_primitive *good = parse(" {\"op\":5,\"fr\":\"Sa\\\\u0000b\"} \n");
    assert_non_null(good);
    assert_string_equal(onem2m_fr(good), "Sa\\u0000b");
    onem2m_free(good);
}

/* The look at the bytes passes over what stands for itself, piece by piece: nothing hides at the seams. */
static void texts_of_any_length(void **state)
{
    static const struct {
        const char *text;
        size_t length;
        bool good;
    } ends[] = {{"\\u0000", 6, false}, {"\\\\u0000", 7, true}, {"\\\"[[[[[[[[[[[[[[[[[[[[", 22, true},
                {"\0", 1, false},      {"", 0, true},          {"\",\"x\":[[[[[[[[[[[[[[[[[[\"", 26, false}};
    (void)state;
    for (size_t length = 0; length < 600; length++) {
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            char json[700] = "{\"op\":5,\"fr\":\"";
            size_t head = strlen(json);
            memset(json + head, 'a', length);
            memcpy(json + head + length, ends[i].text, ends[i].length);
            memcpy(json + head + length + ends[i].length, "\"}", 2);
            struct onem2m_primitive *primitive = onem2m_parse(json, head + length + ends[i].length + 2);
            assert_int_equal(primitive != NULL, ends[i].good);
            onem2m_free(primitive);
        }
    }
}

static void size_and_depth_are_bounded(void **state)
{
    (void)state;
    const char *const head = "{\"op\":5,\"x\":";
    char json[128];
    for (size_t depth = 15; depth <= 16; depth++) {
        size_t length = (size_t)snprintf(json, sizeof json, "%s", head);
        memset(json + length, '[', depth);
        memset(json + length + depth, ']', depth);
        json[length + 2 * depth] = '}';
        struct onem2m_primitive *nested = onem2m_parse(json, length + 2 * depth + 1);
        assert_true((nested != NULL) == (depth == 15));
        onem2m_free(nested);
    }
    struct onem2m_primitive *quoted = parse("{\"op\":5,\"x\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}");
    assert_non_null(quoted);
    onem2m_free(quoted);

    char *large = malloc(ONEM2M_PRIMITIVE_LIMIT + 1);
    assert_non_null(large);
    memset(large, ' ', ONEM2M_PRIMITIVE_LIMIT + 1);
    (void)snprintf(large, ONEM2M_PRIMITIVE_LIMIT, "{\"op\":5}");
    large[strlen(large)] = ' ';
    assert_null(onem2m_parse(large, ONEM2M_PRIMITIVE_LIMIT + 1));
    struct onem2m_primitive *full = onem2m_parse(large, ONEM2M_PRIMITIVE_LIMIT);
    assert_non_null(full);
    onem2m_free(full);
    free(large);

    char rqi[ONEM2M_RQI_LIMIT + 2];
    memset(rqi, 'a', sizeof rqi);
    rqi[ONEM2M_RQI_LIMIT + 1] = '\0';
    assert_null(onem2m_request(ONEM2M_NOTIFY, "a", "b", rqi));
    rqi[ONEM2M_RQI_LIMIT] = '\0';
    struct onem2m_primitive *request = onem2m_request(ONEM2M_NOTIFY, "a", "b", rqi);
    assert_non_null(request);
    onem2m_free(request);
}

/* A request with so many members, or a member with an array of so many items. */
static bool taken_with(size_t count, bool array)
{
    size_t size = 32 + count * 16;
    char *json = malloc(size);
    assert_non_null(json);
    size_t length = (size_t)snprintf(json, size, array ? "{\"op\":5,\"x\":[0" : "{\"op\":5");
    for (size_t i = 1; i < count; i++) {
        length += array ? (size_t)snprintf(json + length, size - length, ",[]")
                        : (size_t)snprintf(json + length, size - length, ",\"x%zu\":0", i);
    }
    length += (size_t)snprintf(json + length, size - length, array ? "]}" : "}");
    struct onem2m_primitive *primitive = onem2m_parse(json, length);
    free(json);
    onem2m_free(primitive);
    return primitive != NULL;
}

/* Each member is compared with each, and each value takes memory: few bytes must not make much work. */
static void members_and_values_are_bounded(void **state)
{
    (void)state;
    assert_true(taken_with(ONEM2M_MEMBERS_LIMIT, false));
    assert_false(taken_with(ONEM2M_MEMBERS_LIMIT + 1, false));
    assert_false(taken_with(6000, false));
    /* Two members, the array's first item, and then a comma and a bracket each. */
    assert_true(taken_with((ONEM2M_VALUES_LIMIT - 3) / 2 + 1, true));
    assert_false(taken_with((ONEM2M_VALUES_LIMIT - 3) / 2 + 2, true));
    struct onem2m_primitive *quoted =
        parse("{\"op\":5,\"x\":\",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
              ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\",\"y\":[1,2,3,{\"z\":[],\"a\":1}]}");
    assert_non_null(quoted);
    onem2m_free(quoted);
}

/* Whole numbers are printed as such, others as they are; and printing changes nothing. */
static void numbers_are_printed(void **state)
{
    static const char text[] = "{\"op\":5,\"a\":0,\"b\":2147483646,\"c\":2147483647,\"d\":-7,\"e\":1.5,\"f\":"
                               "123456789012,\"g\":[1,2],"
                               "\"pc\":{\"m2m:x\":{\"sit\":6,\"y\":{\"z\":10}},\"n\":4},\"h\":1000,\"i\":1,"
                               "\"j\":2,\"k\":3,\"l\":4,\"m\":5,"
                               "\"n\":6,\"o\":7,\"p\":8,\"q\":9,\"r\":10,\"s\":11,\"t\":12,\"u\":13}";
    (void)state;
    struct onem2m_primitive *primitive = parse(text);
    assert_non_null(primitive);
    for (unsigned i = 0; i < 2; i++) {
        size_t length = 0;
        char *printed = onem2m_print(primitive, &length);
        assert_string_equal(printed, text);
        assert_int_equal(length, sizeof(text) - 1);
        free(printed);
        assert_int_equal(onem2m_op(primitive), ONEM2M_NOTIFY);
    }
    onem2m_free(primitive);
}

static void printing_is_bounded(void **state)
{
    (void)state;
    struct onem2m_primitive *request = onem2m_request(ONEM2M_NOTIFY, "a", "b", "r");
    size_t length = 81920;
    uint8_t *object = calloc(1, length);
    assert_non_null(object);
    assert_true(onem2m_set_seci(request, object, length));
    assert_null(onem2m_print(request, &length));
    assert_true(onem2m_set_seci(request, object, 49152));
    char *printed = onem2m_print(request, &length);
    assert_non_null(printed);
    free(printed);
    free(object);
    onem2m_free(request);
}

static void malformed_seci(void **state)
{
    (void)state;
    const char *const bad[] = {"{\"sit\":6,\"eckm\":\"AP8\"}",  "{\"sit\":6,\"eckm\":\"AP8Q=\"}",
                               "{\"sit\":6,\"eckm\":\"\"}",     "{\"sit\":6,\"eckm\":\"AP8R QQ\"}",
                               "{\"sit\":6,\"eckm\":\"AB==\"}", "{\"sit\":6,\"eckm\":\"====\"}",
                               "{\"sit\":6,\"eckm\":\"A===\"}", "{\"sit\":6,\"eckm\":\"AA==AA==\"}",
                               "{\"sit\":5,\"eckm\":\"AP8Q\"}", "{\"sit\":6}",
                               "{\"sit\":6,\"eckm\":6}",        "[]"};
    char json[200];
    uint8_t *object = NULL;
    size_t length = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(json, sizeof json, "{\"op\":5,\"pc\":{\"m2m:seci\":%s}}", bad[i]);
        struct onem2m_primitive *primitive = parse(json);
        assert_non_null(primitive);
        if (onem2m_get_seci(primitive, &object, &length)) {
            fail_msg("taken: %s", bad[i]);
        }
        onem2m_free(primitive);
    }
    const char *const good[] = {"AA==", "AAA=", "AAAA", "+/8="};
    const size_t lengths[] = {1, 2, 3, 2};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        (void)snprintf(json, sizeof json, "{\"op\":5,\"pc\":{\"m2m:seci\":{\"sit\":6.0,\"eckm\":\"%s\"}}}",
                       good[i]);
        struct onem2m_primitive *primitive = parse(json);
        assert_true(onem2m_get_seci(primitive, &object, &length));
        assert_int_equal(length, lengths[i]);
        free(object);
        onem2m_free(primitive);
    }
}

static void expiry(void **state)
{
    (void)state;
    const uint64_t now = 1735689600000u; /* 2025-01-01T00:00:00Z */
    const struct {
        const char *rqet;
        bool expired;
    } cases[] = {{"\"20241231T235959\"", true},
                 {"\"20250101T000000\"", true},
                 {"\"20250101T000001\"", false},
                 {"\"20250101T000001,5Z\"", false},
                 {"\"20240229T000000\"", true},
                 {"\"20251301T000000\"", true},
                 {"\"tomorrow\"", true},
                 {"\"\"", true},
                 {"5000", false},
                 {"0", true},
                 {"-1", true},
                 {"\"5000\"", false},
                 {"\"0\"", true},
                 {"\"99991231T235959\"", false},
                 {"null", true},
                 {"\"20250101T000001x\"", true}};
    char json[100];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(json, sizeof json, "{\"op\":5,\"rqet\":%s}", cases[i].rqet);
        struct onem2m_primitive *primitive = parse(json);
        assert_non_null(primitive);
        if (onem2m_expired(primitive, now) != cases[i].expired) {
            fail_msg("wrong: %s", cases[i].rqet);
        }
        onem2m_free(primitive);
    }
    struct onem2m_primitive *primitive = parse("{\"op\":5}");
    assert_false(onem2m_expired(primitive, now));
    onem2m_free(primitive);
}

static void ae_registration(void **state)
{
    (void)state;
    struct onem2m_ae ae = {.app_id = "Ngroupseal", .name = "door1", .reachable = true, .has_esi = true};
    struct onem2m_primitive *request = onem2m_request(ONEM2M_CREATE, "/mn-1", "Sdoor1", "r1");
    assert_true(onem2m_set_ae(request, &ae));
    assert_printed(
        request, "{\"op\":1,\"to\":\"/mn-1\",\"fr\":\"Sdoor1\",\"rqi\":\"r1\",\"rvi\":\"3\",\"ty\":2,\"pc\":"
                 "{\"m2m:ae\":{\"rn\":\"door1\",\"api\":\"Ngroupseal\",\"rr\":true,\"srv\":[\"3\"],"
                 "\"esi\":{\"esf\":[44,14]}}}}");
    struct onem2m_ae read;
    assert_true(onem2m_get_ae(request, &read));
    assert_memory_equal(&read, &ae, sizeof ae);
    onem2m_free(request);

    struct onem2m_primitive *answer = parse("{\"rsc\":2001,\"rqi\":\"r1\",\"pc\":{\"m2m:ae\":{\"aei\":"
                                            "\"Sdoor1\",\"ri\":\"Sdoor1\",\"rr\":false}}}");
    assert_true(onem2m_get_ae(answer, &read));
    assert_string_equal(read.ae_id, "Sdoor1");
    assert_false(read.reachable);
    assert_false(read.has_esi);
    onem2m_free(answer);

    struct onem2m_primitive *other = parse("{\"rsc\":2001,\"pc\":{\"m2m:cnt\":{}}}");
    assert_false(onem2m_get_ae(other, &read));
    onem2m_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip),
        cmocka_unit_test(response_round_trip),
        cmocka_unit_test(integral_doubles_and_duplicates),
        cmocka_unit_test(missing_rqi_and_ri),
        cmocka_unit_test(forwarding_keeps_the_rest),
        cmocka_unit_test(what_is_no_primitive),
        cmocka_unit_test(texts_of_any_length),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(members_and_values_are_bounded),
        cmocka_unit_test(numbers_are_printed),
        cmocka_unit_test(printing_is_bounded),
        cmocka_unit_test(malformed_seci),
        cmocka_unit_test(expiry),
        cmocka_unit_test(ae_registration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
