/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/compat.h"
#include "plugin/broker/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* What a connection has proven, where sessions go offline and addresses are used again by others. */

struct mosquitto {
    const char *user;
    const char *address;
    X509 *certificate;
};

void *mosquitto_client_certificate(const struct mosquitto *client);

const char *mosquitto_client_username(const struct mosquitto *client)
{
    return client->user;
}

const char *mosquitto_client_address(const struct mosquitto *client)
{
    return client->address;
}

void *mosquitto_client_certificate(const struct mosquitto *client)
{
    if (client->certificate != NULL) {
        X509_up_ref(client->certificate);
    }
    return client->certificate;
}

/* Not signed: nobody here looks at that. */
static X509 *certificate_new(const char *common_name, const char *alternative)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_NAME *subject = X509_get_subject_name(certificate);
    assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                                (const unsigned char *)common_name, -1, -1, 0),
                     1);
    if (alternative != NULL) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
        assert_non_null(extension);
        assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
    }
    return certificate;
}

static void expect(struct names *names, const struct mosquitto *client, bool reading, const char *expected,
                   bool expected_refused)
{
    bool refused = !expected_refused;
    const char *name = names_find(names, client, reading, &refused);
    if (expected == NULL) {
        assert_null(name);
    } else {
        assert_non_null(name);
        assert_string_equal(name, expected);
    }
    assert_int_equal(refused, expected_refused);
}

static void test_compared(void **state)
{
    struct names names = {.source = NAMES_USER};
    X509 *certificate = certificate_new("Sdoor1", "DNS:door.example,URI:urn:dev:door1");
    struct mosquitto client = {"Sdoor1", "127.0.0.1", certificate};
    static const char *const others[] = {"Sdoor2", "sdoor1", "Sdoor1 ", "door", ""};
    (void)state;
    expect(&names, &client, false, "Sdoor1", false);
    expect(&names, &client, true, "Sdoor1", false);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        client.user = others[i];
        expect(&names, &client, false, NULL, true);
    }
    client.user = "CN=Sdoor1";
    expect(&names, &client, false, "CN=Sdoor1", false);
    client.user = "urn:dev:door1";
    expect(&names, &client, false, "urn:dev:door1", false);
    client.user = NULL;
    expect(&names, &client, false, NULL, false);
    names_clear(&names);
    names.source = NAMES_PASSWORD;
    client.user = "Sdoor2";
    expect(&names, &client, false, "Sdoor2", false);
    names_clear(&names);
    X509_free(certificate);
}

static void test_without_certificate(void **state)
{
    struct names names = {.source = NAMES_USER};
    struct mosquitto client = {"Sdoor1", "127.0.0.1", NULL};
    (void)state;
    expect(&names, &client, false, "Sdoor1", false);
    client.address = NULL; /* offline, or from before the broker's start */
    expect(&names, &client, true, "Sdoor1", false);
    names.source = NAMES_URI;
    expect(&names, &client, true, NULL, false); /* who knows what its certificate was */
    client.address = "127.0.0.1";
    expect(&names, &client, false, "Sdoor1", false);
    names_clear(&names);
}

/* What it proved last counts for what waits for it; not where its session is gone. */
static void test_offline_session(void **state)
{
    struct names names = {.source = NAMES_URI};
    X509 *certificate = certificate_new("x", "URI:urn:dev:door1");
    struct mosquitto client = {NULL, "127.0.0.1", certificate};
    (void)state;
    expect(&names, &client, false, "urn:dev:door1", false);
    client.certificate = NULL;
    names_gone(&names, &client, true);
    client.address = NULL;
    expect(&names, &client, true, "urn:dev:door1", false);
    client.certificate = certificate;
    client.address = "127.0.0.1";
    expect(&names, &client, false, "urn:dev:door1", false);
    names_gone(&names, &client, false);
    client.certificate = NULL;
    client.address = NULL;
    expect(&names, &client, true, NULL, false);
    names_clear(&names);
    X509_free(certificate);
}

/* At the address of a session that is offline another client turns up: it has nothing of it. */
static void test_address_used_again(void **state)
{
    struct names names = {.source = NAMES_URI};
    X509 *door = certificate_new("x", "URI:urn:dev:door1");
    X509 *spy = certificate_new("x", "URI:urn:dev:spy1");
    struct mosquitto client = {"same", "127.0.0.1", door};
    (void)state;
    for (int stays = 0; stays < 2; stays++) {
        client.certificate = door;
        expect(&names, &client, false, "urn:dev:door1", false);
        names_gone(&names, &client, stays);
        client.certificate = spy;
        expect(&names, &client, false, "urn:dev:spy1", false);
        expect(&names, &client, true, "urn:dev:spy1", false);
        names_gone(&names, &client, stays);
        client.certificate = NULL; /* by password, say */
        expect(&names, &client, false, "same", false);
        expect(&names, &client, true, "same", false);
    }
    /* Even where the broker has told no end of the one before. */
    client.certificate = door;
    expect(&names, &client, false, "urn:dev:door1", false);
    client.certificate = NULL;
    expect(&names, &client, true, "same", false);
    client.certificate = spy;
    expect(&names, &client, true, "urn:dev:spy1", false);
    names_clear(&names);
    X509_free(door);
    X509_free(spy);
}

static void test_odd_certificates(void **state)
{
    static const struct {
        enum names_source source;
        const char *common_name;
        const char *alternative;
        const char *expected;
    } odd[] = {
        {NAMES_CN, "Sdoor1", NULL, "Sdoor1"},
        {NAMES_DNS, "Sdoor1", NULL, NULL},
        {NAMES_DNS, "x", "DNS:a.example,DNS:b.example", NULL},
        {NAMES_DNS, "x", "DNS:a.example,URI:urn:b,email:c@d", "a.example"},
        {NAMES_URI, "x", "DNS:a.example,URI:urn:b", "urn:b"},
        {NAMES_URI, "x", "IP:127.0.0.1,email:urn@b", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct names names = {.source = odd[i].source};
        X509 *certificate = certificate_new(odd[i].common_name, odd[i].alternative);
        struct mosquitto client = {"whatever", "127.0.0.1", certificate};
        expect(&names, &client, false, odd[i].expected, false);
        names_clear(&names);
        X509_free(certificate);
    }
    /* NUL inside: what follows is not to be cut off. */
    struct names names = {.source = NAMES_CN};
    X509 *certificate = X509_new();
    assert_int_equal(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                                MBSTRING_UTF8, (const unsigned char *)"Sdoor1\0.spy.example",
                                                19, -1, 0),
                     1);
    struct mosquitto client = {"Sdoor1", "127.0.0.1", certificate};
    expect(&names, &client, false, NULL, false);
    names_clear(&names);
    names.source = NAMES_USER;
    expect(&names, &client, false, NULL, true);
    names_clear(&names);
    X509_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compared),         cmocka_unit_test(test_without_certificate),
        cmocka_unit_test(test_offline_session),  cmocka_unit_test(test_address_used_again),
        cmocka_unit_test(test_odd_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
