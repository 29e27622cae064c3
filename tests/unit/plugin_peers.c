/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shapes in which other CSEs write (ACME, Mobius4, tinyIoT), kept in tests/unit/peers: each is read, and
 * answered or sent on as it is meant. What is sent to them is strict. */

#define REQ_IN "/oneM2M/req/in-cse/mn-1/json"
#define RESP_IN "/oneM2M/resp/in-cse/mn-1/json"
#define TO_IN "/oneM2M/req/mn-1/in-cse/json"
#define FROM_IN "/oneM2M/resp/mn-1/in-cse/json"
#define REQ_DOOR "/oneM2M/req/Sdoor1/mn-1/json"
#define RESP_DOOR "/oneM2M/resp/Sdoor1/mn-1/json"
#define TO_DOOR "/oneM2M/req/mn-1/Sdoor1/json"

static char *shape_read(const char *name)
{
    char path[512];
    char *text = calloc(1, 2048);
    snprintf(path, sizeof(path), "%s/%s", PEER_SHAPES, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, 2047, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* The client says the shape; "%s" in it stands for the request's rqi. */
static void says(struct site *site, const char *client, const char *topic, const char *shape, const char *rqi)
{
    char payload[2300];
    char *text = shape_read(shape);
    const char *place = strstr(text, "%s");
    if (place == NULL) {
        snprintf(payload, sizeof(payload), "%s", text);
    } else {
        snprintf(payload, sizeof(payload), "%.*s%s%s", (int)(place - text), text, rqi, place + 2);
    }
    free(text);
    assert_int_equal(site_say(site, client, topic, "%s", payload), AGENT_ALLOWED);
}

/* The next publication, as text to be freed: on this topic, and strict JSON without white space or doubles.
 */
static char *hears(struct site *site, const char *topic, const char *part)
{
    const struct site_publication *publication = site_published(site, topic);
    char *text = strndup((const char *)publication->payload, publication->length);
    if (strstr(text, part) == NULL || strstr(text, ".0") != NULL || strchr(text, '\n') != NULL) {
        fail_msg("%s: %s is not in %s", topic, part, text);
    }
    return text;
}

static struct site *site_registered(void)
{
    struct site *site = site_connected();
    says(site, "Sdoor1", "/oneM2M/reg_req/Sdoor1/mn-1/json", "acme-register.json", NULL);
    char *text = hears(site, "/oneM2M/reg_resp/Sdoor1/mn-1/json", "\"rqi\":\"acme1\"");
    assert_int_equal(strncmp(text, "{\"rsc\":2001,", 12), 0);
    assert_non_null(strstr(text, "\"aei\":\"Sdoor1\""));
    free(text);
    return site;
}

static void test_acme(void **state)
{
    struct site *site = site_registered();
    (void)state;
    says(site, "in-cse", REQ_IN, "acme-retrieve.json", NULL);
    free(hears(site, RESP_IN, "\"m2m:cb\""));
    site_free(site);
}

/* A NOTIFY that it sends on: to the AE by its place below the base, with what we do not know kept. */
static void test_mobius4_forwarded(void **state)
{
    struct site *site = site_registered();
    (void)state;
    says(site, "in-cse", REQ_IN, "mobius4-forwarded.json", NULL);
    char *text = hears(site, TO_DOOR, "\"fc\":{\"fu\":2}");
    assert_non_null(strstr(text, "\"fr\":\"/in-cse/Cadn1\""));
    free(text);
    site_free(site);
}

static void test_mobius4_notification(void **state)
{
    struct site *site = site_registered();
    (void)state;
    says(site, "in-cse", REQ_IN, "mobius4-notification.json", NULL);
    char *text = hears(site, RESP_IN, "\"rqi\":\"mobius1\"");
    assert_int_equal(strncmp(text, "{\"rsc\":4004,", 12), 0); /* it does not say to whom */
    free(text);
    site_free(site);
}

/* The next request to the IN-CSE is the door's; its rqi. */
static void door_asks(struct site *site, char rqi[ONEM2M_RQI_LIMIT + 1])
{
    assert_int_equal(site_say(site, "Sdoor1", REQ_DOOR, "%s",
                              "{\"op\":2,\"to\":\"/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q1\",\"rvi\":\"3\"}"),
                     AGENT_ALLOWED);
    struct onem2m_primitive *request = site_primitive(site, TO_IN);
    snprintf(rqi, ONEM2M_RQI_LIMIT + 1, "%s", onem2m_rqi(request));
    onem2m_free(request);
}

static void test_mobius4_response(void **state)
{
    struct site *site = site_registered();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    door_asks(site, rqi);
    says(site, "in-cse", FROM_IN, "mobius4-response.json", NULL);
    free(hears(site, RESP_DOOR, "\"rqi\":\"q1\""));
    site_free(site);
}

/* Doubles, and members that come twice. */
static void test_tinyiot(void **state)
{
    struct site *site = site_registered();
    char rqi[ONEM2M_RQI_LIMIT + 1];
    (void)state;
    door_asks(site, rqi);
    says(site, "in-cse", FROM_IN, "tinyiot-response.json", rqi);
    char *text = hears(site, RESP_DOOR, "\"rqi\":\"q1\"");
    assert_null(strstr(strstr(text, "\"fr\":") + 1, "\"fr\":"));
    free(text);
    says(site, "in-cse", REQ_IN, "tinyiot-group.json", NULL);
    free(hears(site, RESP_IN, "\"cnm\":1"));
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acme),
        cmocka_unit_test(test_mobius4_forwarded),
        cmocka_unit_test(test_mobius4_notification),
        cmocka_unit_test(test_mobius4_response),
        cmocka_unit_test(test_tinyiot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
