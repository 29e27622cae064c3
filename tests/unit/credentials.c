/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "secenv/certificate.h"
#include "secenv/handshake.h"
#include "tests/unit/handshake_pki.h"
#include "tests/unit/store_place.h"

static const char *const schemas[] = {identity_schema};

static int setup(void **state)
{
    *state = place_new(schemas, 1);
    return 0;
}

static int teardown(void **state)
{
    place_free(*state);
    return 0;
}

static enum result keep(struct place *place, struct identity identity, bool replace, struct reason *why)
{
    why->text[0] = '\0';
    enum result result = identity_store(place->store, &identity, replace, why);
    identity_clear(&identity);
    return result;
}

static void assert_kept(struct place *place, struct identity identity)
{
    struct reason why = {""};
    if (keep(place, identity, false, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
}

static void assert_not_kept(struct place *place, struct identity identity, const char *text)
{
    struct reason why = {""};
    enum result result = keep(place, identity, true, &why);
    if (result == RESULT_OK || strstr(why.text, text) == NULL) {
        fail_msg("expected a refusal with \"%s\"; got %s: %s", text, result_word(result), why.text);
    }
}

struct loaded {
    struct identity identities[8];
    size_t count;
};

static enum result take_identity(void *context, struct identity *identity)
{
    struct loaded *loaded = context;
    loaded->identities[loaded->count++] = *identity;
    return RESULT_OK;
}

static void identities_are_kept(void **state)
{
    struct place *place = *state;
    struct reason why = {""};
    assert_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL));
    assert_kept(place, pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse", "ca", "crl"));
    assert_kept(place, pki_identity(MN_CSE, IDENTITY_MN_CSE, "mn-1", "ca", "crl"));
    assert_kept(place, pki_psk("//sp.example/Slamp1", IDENTITY_ADN_AE, 9, "lamp-1"));
    assert_int_equal(keep(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL), false, &why),
                     RESULT_EXISTS);
    assert_non_null(strstr(why.text, "is provisioned already"));
    assert_int_equal(keep(place, pki_psk(DOOR, IDENTITY_ADN_AE, 5, "door-1"), true, &why), RESULT_OK);
    place_reopen(place);

    struct loaded loaded = {.count = 0};
    assert_int_equal(identity_load(place->store, take_identity, &loaded, &why), RESULT_OK);
    assert_int_equal(loaded.count, 4);
    assert_string_equal(loaded.identities[0].name, DOOR);
    assert_int_equal(loaded.identities[0].mode, CREDENTIALS_PSK);
    assert_int_equal(loaded.identities[0].psk.data[31], 5);
    assert_string_equal(loaded.identities[0].psk_identity, "door-1");
    assert_int_equal(loaded.identities[0].chain.length, 0);
    assert_string_equal(loaded.identities[2].name, AUTHORITY);
    assert_int_equal(loaded.identities[2].kind, IDENTITY_IN_CSE);
    assert_string_equal(loaded.identities[3].name, MN_CSE);
    assert_string_equal(loaded.identities[3].authority, AUTHORITY);
    assert_string_equal(loaded.identities[3].authority_san, AUTHORITY_SAN);
    struct identity fresh = pki_identity(MN_CSE, IDENTITY_MN_CSE, "mn-1", "ca", "crl");
    assert_true(
        bytes_equal(buffer_bytes(&fresh.private_key), buffer_bytes(&loaded.identities[3].private_key)));
    assert_true(bytes_equal(buffer_bytes(&fresh.chain), buffer_bytes(&loaded.identities[3].chain)));
    assert_true(bytes_equal(buffer_bytes(&fresh.crl), buffer_bytes(&loaded.identities[3].crl)));
    identity_clear(&fresh);
    for (size_t i = 0; i < loaded.count; i++) {
        struct handshake_context *context = NULL;
        assert_int_equal(handshake_context_new(&loaded.identities[i], &clock_system, &context, &why),
                         RESULT_OK);
        handshake_context_free(context);
        identity_clear(&loaded.identities[i]);
    }
    handshake_context_free(NULL);
}

static void secrets_are_sealed(void **state)
{
    struct place *place = *state;
    assert_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL));
    assert_kept(place, pki_psk("//sp.example/Slamp1", IDENTITY_ADN_AE, 0x5a, "lamp-1"));
    store_close(place->store);
    place->store = NULL;
    char command[512];
    /* The certificate is there to be read, the keys are not. */
    (void)snprintf(command, sizeof(command), "grep -rqa 'BEGIN CERTIFICATE' %s", place->directory);
    assert_int_equal(system(command), 0);
    (void)snprintf(command, sizeof(command), "grep -rqaE 'PRIVATE KEY|Z{8}' %s", place->directory);
    assert_int_not_equal(system(command), 0);
    place_open(place);
}

static void certificates_are_checked(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *file;
        const char *ca;
        const char *crl;
        const char *text;
    } cases[] = {
        {"door-expired", "ca", NULL, "has expired: issue a new one"},
        {"door-future", "ca", NULL, "is not valid yet"},
        {"door-revoked", "ca", "crl", "is revoked"},
        {"door-other", "ca", NULL, "was not issued by the trust anchor"},
        {"door-twin", "ca", NULL, "was not issued by the trust anchor"},
        {"door", "other", NULL, "was not issued by the trust anchor"},
        {"sensor", "ca", NULL, "is not of //sp.example/Sdoor1"},
        {"door-two-names", "ca", NULL, "has 2 subjectAltNames"},
        {"door-no-san", "ca", NULL, "has 0 subjectAltNames"},
        {"door-both-usages", "ca", NULL, "clientAuth and no other"},
        {"door-other-usage", "ca", NULL, "clientAuth and no other"},
        {"door-agrees", "ca", NULL, "digitalSignature and no other"},
        {"door-p384", "ca", NULL, "P-256"},
        {"door", "ca", "crl-other", "CRL"},
        {"door", "ca", "ca", "no PEM block"},
        {"door", NULL, NULL, "trust anchor"},
        {"door", "crl", NULL, "trust anchor"},
        {"door", "sensor", NULL, "trust anchor"},
        {"door", "door", NULL, "trust anchor"},
        {NULL, "ca", NULL, "must be PEM"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s, %s\n", cases[i].file == NULL ? "none" : cases[i].file, cases[i].text);
        assert_not_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, cases[i].file, cases[i].ca, cases[i].crl),
                        cases[i].text);
    }
    struct identity foreign_key = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL);
    buffer_clear(&foreign_key.private_key);
    pki_read("sensor", ".key", &foreign_key.private_key);
    assert_not_kept(place, foreign_key, "private key");
    struct identity no_key = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL);
    buffer_clear(&no_key.private_key);
    assert_not_kept(place, no_key, "private key");
    struct identity not_a_ca = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL);
    pki_read("sensor", ".pem", &not_a_ca.chain);
    assert_not_kept(place, not_a_ca, "chain");
    assert_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl"));
}

static void overdue_lists_may_be_provisioned(void **state)
{
    struct place *place = *state;
    assert_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl-overdue"));
}

static void chains_are_verified(void **state)
{
    struct place *place = *state;
    assert_kept(place, pki_identity(DOOR, IDENTITY_ADN_AE, "door-middle", "ca", NULL));
}

static void names_and_modes_are_checked(void **state)
{
    struct place *place = *state;
    assert_not_kept(place, pki_psk("Sdoor1", IDENTITY_ADN_AE, 3, "x"), "is not an absolute id");
    assert_not_kept(place, pki_psk(AUTHORITY, IDENTITY_ADN_AE, 3, "x"), "names itself");
    assert_not_kept(place, pki_psk(DOOR, IDENTITY_IN_CSE, 3, "x"), "names itself");
    assert_not_kept(place, pki_psk(DOOR, (enum identity_kind)4, 3, "x"), "names itself");
    assert_not_kept(place, pki_psk(AUTHORITY, IDENTITY_IN_CSE, 3, "x"), "mode must be cert");
    assert_not_kept(place, pki_psk(DOOR, IDENTITY_ADN_AE, 0, "x"), "all zero");
    assert_not_kept(place, pki_psk(DOOR, IDENTITY_ADN_AE, 3, ""), "PSK identity must be text");
    assert_not_kept(place, pki_psk(DOOR, IDENTITY_ADN_AE, 3, "a\nb"), "PSK identity must be text");
    struct identity identity = pki_psk(DOOR, IDENTITY_ADN_AE, 3, "x");
    identity.authority[0] = '\0';
    assert_not_kept(place, identity, "is not an absolute id");
    identity = pki_psk(DOOR, IDENTITY_ADN_AE, 3, "x");
    identity.mode = (enum credentials_mode)3;
    assert_not_kept(place, identity, "mode must be cert or psk");
    identity = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL);
    identity.authority_san[0] = '\0';
    assert_not_kept(place, identity, "exact name");
    assert_not_kept(place, pki_identity("//sp.example/mn.1", IDENTITY_MN_CSE, "mn-1", "ca", NULL),
                    "has no name in certificates");
    assert_not_kept(place, pki_identity("//other.example/mn-1", IDENTITY_MN_CSE, "mn-1", "ca", NULL),
                    "has no name in certificates");
    assert_kept(place, pki_psk(DOOR, IDENTITY_ADN_AE, 3, "x"));
}

static void alternative_names(void **state)
{
    (void)state;
    char san[256];
    bool is_uri = true;
    assert_int_equal(identity_san(AUTHORITY, IDENTITY_IN_CSE, AUTHORITY, san, sizeof(san), &is_uri),
                     RESULT_OK);
    assert_string_equal(san, "in-cse.sp.example");
    assert_false(is_uri);
    assert_int_equal(identity_san(MN_CSE, IDENTITY_MN_CSE, AUTHORITY, san, sizeof(san), &is_uri), RESULT_OK);
    assert_string_equal(san, "mn-1.in-cse.sp.example");
    assert_false(is_uri);
    assert_int_equal(identity_san(DOOR, IDENTITY_ADN_AE, AUTHORITY, san, sizeof(san), &is_uri), RESULT_OK);
    assert_string_equal(san, "m2m://sp.example/Sdoor1");
    assert_true(is_uri);
    assert_int_equal(
        identity_san("//sp.example/mn-1/Clamp", IDENTITY_ADN_AE, AUTHORITY, san, sizeof(san), &is_uri),
        RESULT_OK);
    assert_string_equal(san, "m2m://sp.example/mn-1/Clamp");
    assert_int_equal(identity_san(DOOR, IDENTITY_ADN_AE, AUTHORITY, san, 10, &is_uri), RESULT_INVALID);
    assert_int_equal(identity_san("//sp.example/a.b", IDENTITY_MN_CSE, AUTHORITY, san, sizeof(san), &is_uri),
                     RESULT_INVALID);
    assert_int_equal(identity_san("nothing", IDENTITY_ADN_AE, AUTHORITY, san, sizeof(san), &is_uri),
                     RESULT_INVALID);
}

/* ---- the parser of certificates ---- */

static void certificates_are_read(void **state)
{
    (void)state;
    struct identity identity = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl");
    struct bytes rest = buffer_bytes(&identity.chain);
    struct buffer der = BUFFER_EMPTY(65536);
    struct certificate certificate;
    struct revocation_list list;
    assert_int_equal(pem_next(&rest, "CERTIFICATE", &der), RESULT_OK);
    assert_int_equal(certificate_parse(buffer_bytes(&der), &certificate), RESULT_OK);
    assert_int_equal(certificate.names, 1);
    assert_true(certificate.name_is_uri && certificate.is_p256 && certificate.signs_only);
    assert_true(certificate.client_only && !certificate.server_only);
    assert_true(certificate.not_before < certificate.not_after);
    /* Cut anywhere it is refused, or reads as less than it was, never beyond its end. */
    for (size_t length = 0; length < der.length; length++) {
        uint8_t *exact = malloc(length + 1);
        memcpy(exact, der.data, length);
        exact = realloc(exact, length == 0 ? 1 : length); /* so that a sanitizer sees a read behind it */
        assert_int_equal(certificate_parse((struct bytes){exact, length}, &certificate), RESULT_INVALID);
        free(exact);
    }
    assert_int_equal(certificate_parse(buffer_bytes(&der), &certificate), RESULT_OK);
    struct buffer list_der = BUFFER_EMPTY(65536);
    rest = buffer_bytes(&identity.crl);
    assert_int_equal(pem_next(&rest, "X509 CRL", &list_der), RESULT_OK);
    assert_int_equal(revocation_list_parse(buffer_bytes(&list_der), &list), RESULT_OK);
    assert_false(revocation_list_names(&list, &certificate));
    assert_int_equal(pem_next(&rest, "X509 CRL", &list_der), RESULT_UNKNOWN);
    buffer_clear(&list_der);
    buffer_clear(&der);
    identity_clear(&identity);
}

static void times_are_text(void **state)
{
    (void)state;
    char text[CERTIFICATE_TIME_SIZE];
    certificate_time_text(0, text);
    assert_string_equal(text, "1970-01-01 00:00:00 UTC");
    certificate_time_text(1767225599, text);
    assert_string_equal(text, "2025-12-31 23:59:59 UTC");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identities_are_kept),           TEST(secrets_are_sealed),
        TEST(certificates_are_checked),      TEST(overdue_lists_may_be_provisioned),
        TEST(chains_are_verified),           TEST(names_and_modes_are_checked),
        cmocka_unit_test(alternative_names), cmocka_unit_test(certificates_are_read),
        cmocka_unit_test(times_are_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
