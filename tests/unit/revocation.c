/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "secenv/revocation.h"
#include "tests/unit/handshake_pki.h"
#include "tests/unit/store_place.h"

/* CRLs that come later: which are taken, from when on they count, what is kept of them; and what certificates
 * are met with where there is none. */

#define FLIGHT_LIMIT ((size_t)40 * 1024)

static const char *const schemas[] = {revocation_schema};

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

/* ---- who takes part ---- */

struct end {
    struct identity identity;
    struct handshake_context *context;
};

static struct end end_new(struct identity identity)
{
    struct end end = {.identity = identity};
    struct reason why = {""};
    if (handshake_context_new(&end.identity, &clock_system, &end.context, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    return end;
}

static void end_free(struct end *end)
{
    handshake_context_free(end->context);
    identity_clear(&end->identity);
}

static struct end authority_new(const char *crl)
{
    return end_new(pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse", "ca", crl));
}

static struct end door_new(const char *certificate, const char *crl)
{
    return end_new(pki_identity(DOOR, IDENTITY_ADN_AE, certificate, "ca", crl));
}

/* The list as DER. */
static struct buffer list_of(const char *name)
{
    struct buffer pem = BUFFER_EMPTY(65536);
    struct buffer der = BUFFER_EMPTY(65536);
    pki_read(name, ".pem", &pem);
    struct bytes rest = buffer_bytes(&pem);
    assert_int_equal(pem_next(&rest, "X509 CRL", &der), RESULT_OK);
    buffer_clear(&pem);
    return der;
}

static enum result list_take(struct end *end, const char *name, struct reason *why)
{
    struct buffer der = list_of(name);
    enum result result = handshake_context_list_take(end->context, &end->identity, buffer_bytes(&der), why);
    buffer_clear(&der);
    return result;
}

static const struct expected_peer door = {DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, NULL, NULL};

/* Up to three flights; `late` (may be NULL) comes to the authority before the last one. */
static enum result agree(struct end *member, struct end *authority, const char *late, struct agreement *out,
                         struct reason *why)
{
    struct buffer flights[] = {BUFFER_EMPTY(FLIGHT_LIMIT), BUFFER_EMPTY(FLIGHT_LIMIT),
                               BUFFER_EMPTY(FLIGHT_LIMIT)};
    struct handshake *client = NULL;
    struct handshake *server = NULL;
    struct agreement own;
    uint8_t hash[32];
    enum audit_counter cause = AUDIT_COUNT;
    enum result result = handshake_client_start(member->context, &client, &flights[0], hash, why);
    assert_int_equal(result, RESULT_OK);
    result = handshake_server_start(authority->context, &door, buffer_bytes(&flights[0]), &server,
                                    &flights[1], hash, &cause, why);
    assert_int_equal(result, RESULT_OK);
    result = handshake_client_finish(client, buffer_bytes(&flights[1]), &flights[2], &own, &cause, why);
    if (result == RESULT_OK) {
        if (late != NULL) {
            assert_int_equal(list_take(authority, late, why), RESULT_OK);
        }
        result = handshake_server_finish(server, buffer_bytes(&flights[2]), out, &cause, why);
    }
    handshake_free(client);
    handshake_free(server);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&flights[i]);
    }
    return result;
}

static void assert_agree(struct end *member, struct end *authority)
{
    struct agreement agreement;
    struct reason why = {""};
    if (agree(member, authority, NULL, &agreement, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
}

static void assert_refused(struct end *member, struct end *authority, const char *late, const char *text)
{
    struct agreement agreement;
    struct reason why = {""};
    if (agree(member, authority, late, &agreement, &why) != RESULT_REFUSED ||
        strstr(why.text, text) == NULL) {
        fail_msg("expected a refusal with \"%s\", got \"%s\"", text, why.text);
    }
}

/* ---- tests ---- */

static void newer_list_counts_at_once(void **state)
{
    (void)state;
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl");
    struct reason why = {""};
    assert_agree(&member, &authority);
    assert_int_equal(list_take(&authority, "crl-next", &why), RESULT_OK);
    assert_agree(&member, &authority);
    assert_int_equal(list_take(&authority, "crl-door", &why), RESULT_OK);
    assert_int_equal(handshake_context_list_count(authority.context), 1);
    assert_refused(&member, &authority, NULL, "is revoked");
    /* The other end: a certificate of the authority's that is revoked. */
    struct end revoked =
        end_new(pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse-revoked", "ca", "crl-next"));
    struct end plain = door_new("door", NULL);
    assert_agree(&plain, &revoked);
    assert_int_equal(list_take(&plain, "crl-next", &why), RESULT_OK);
    assert_refused(&plain, &revoked, NULL, "is revoked");
    end_free(&plain);
    end_free(&revoked);
    end_free(&member);
    end_free(&authority);
}

static void counts_for_what_is_under_way(void **state)
{
    (void)state;
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl");
    struct agreement agreement;
    struct reason why = {""};
    assert_int_equal(agree(&member, &authority, "crl-next", &agreement, &why), RESULT_OK);
    assert_refused(&member, &authority, "crl-door", "is revoked");
    end_free(&member);
    end_free(&authority);
}

static void what_is_no_newer_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *text;
    } cases[] = {
        {"crl", "number is not higher"},         {"crl-twin", "not signed by"},
        {"crl-other", "not signed by"},          {"crl-delta", "critical extension"},
        {"crl-part", "critical extension"},      {"crl-plain", "no number"},
        {"crl-overdue", "number is not higher"},
    };
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl-next");
    struct reason why = {""};
    struct revocation_list before;
    struct bytes used = handshake_context_list(authority.context, 0, &before);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum result result = list_take(&authority, cases[i].list, &why);
        if (result != RESULT_REFUSED || strstr(why.text, cases[i].text) == NULL) {
            fail_msg("%s: expected \"%s\", got %s: %s", cases[i].list, cases[i].text, result_word(result),
                     why.text);
        }
        struct revocation_list after;
        assert_ptr_equal(handshake_context_list(authority.context, 0, &after).data, used.data);
        assert_int_equal(handshake_context_list_count(authority.context), 1);
    }
    assert_int_equal(
        handshake_context_list_take(authority.context, &authority.identity, bytes_of_text("0 no list"), &why),
        RESULT_INVALID);
    assert_int_equal(list_take(&authority, "crl-next", &why), RESULT_EXISTS);
    assert_agree(&member, &authority);
    /* The twin. */
    assert_int_equal(list_take(&authority, "crl-door", &why), RESULT_OK);
    end_free(&member);
    end_free(&authority);
}

/* One bit of the list or its signature. */
static void altered_lists_are_refused(void **state)
{
    (void)state;
    struct end authority = authority_new("crl");
    struct buffer der = list_of("crl-door");
    struct reason why = {""};
    for (size_t i = 0; i < der.length; i += 7) {
        der.data[i] ^= 0x04;
        enum result result =
            handshake_context_list_take(authority.context, &authority.identity, buffer_bytes(&der), &why);
        assert_true(result == RESULT_REFUSED || result == RESULT_INVALID);
        der.data[i] ^= 0x04;
    }
    assert_int_equal(
        handshake_context_list_take(authority.context, &authority.identity, buffer_bytes(&der), &why),
        RESULT_OK);
    buffer_clear(&der);
    end_free(&authority);
}

static void without_a_list(void **state)
{
    (void)state;
    struct end member = door_new("door", NULL);
    struct end authority = authority_new(NULL);
    struct reason why = {""};
    assert_agree(&member, &authority); /* both say alarm */
    end_free(&authority);
    struct identity strict = pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse", "ca", NULL);
    strict.unrevoked = UNREVOKED_DEFAULT;
    authority = end_new(strict);
    assert_true(handshake_context_refuses_unrevoked(authority.context));
    assert_refused(&member, &authority, NULL, "no CRL is here");
    assert_int_equal(list_take(&authority, "crl-next", &why), RESULT_OK);
    assert_agree(&member, &authority);
    /* A device that was provisioned to refuse does. */
    strict = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL);
    strict.unrevoked = UNREVOKED_REFUSE;
    end_free(&member);
    member = end_new(strict);
    assert_refused(&member, &authority, NULL, "no CRL is here");
    assert_int_equal(list_take(&member, "crl-next", &why), RESULT_OK);
    assert_agree(&member, &authority);
    end_free(&member);
    end_free(&authority);
}

/* Overdue: the same two answers; and a newer list mends it. */
static void overdue_list_is_replaced(void **state)
{
    (void)state;
    struct end member = door_new("door", "crl-overdue");
    struct end authority = authority_new("crl-overdue");
    struct reason why = {""};
    assert_refused(&member, &authority, NULL, "overdue since");
    assert_int_equal(list_take(&authority, "crl-next", &why), RESULT_OK);
    assert_agree(&member, &authority); /* the device goes on with its overdue one */
    assert_int_equal(list_take(&member, "crl-next", &why), RESULT_OK);
    assert_false(handshake_context_unrevoked(member.context, NULL));
    assert_agree(&member, &authority);
    end_free(&member);
    end_free(&authority);
}

/* A CA below the root issues: it is a trust anchor too, and its list is asked for. */
static void intermediate_with_its_own_list(void **state)
{
    (void)state;
    struct end member = door_new("door-middle", "crl");
    struct identity identity = pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse", "ca", "crl");
    struct reason why = {""};
    pki_read("middle", ".pem", &identity.trust_anchors);
    struct end authority = end_new(identity);
    assert_refused(&member, &authority, NULL, "no CRL covers");
    assert_int_equal(list_take(&authority, "crl-middle", &why), RESULT_OK);
    assert_int_equal(handshake_context_list_count(authority.context), 2);
    assert_agree(&member, &authority);
    end_free(&member);
    end_free(&authority);
}

static void marks_tell_certificates_apart(void **state)
{
    (void)state;
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl");
    struct agreement first;
    struct agreement second;
    struct reason why = {""};
    assert_int_equal(agree(&member, &authority, NULL, &first, &why), RESULT_OK);
    assert_int_equal(agree(&member, &authority, NULL, &second, &why), RESULT_OK);
    assert_memory_equal(first.certificate, second.certificate, CERTIFICATE_MARK_SIZE);
    end_free(&member);
    /* crl-next does not name door, crl-door does, as the list's own entries say. */
    struct buffer der = list_of("crl-door");
    struct revocation_list list;
    struct bytes serial;
    bool named = false;
    assert_int_equal(revocation_list_parse(buffer_bytes(&der), &list), RESULT_OK);
    while (revocation_serial_next(&list.revoked, &serial) == RESULT_OK) {
        uint8_t mark[CERTIFICATE_MARK_SIZE];
        assert_int_equal(certificate_mark(list.issuer, serial, mark), RESULT_OK);
        named = named || memcmp(mark, first.certificate, sizeof(mark)) == 0;
    }
    assert_true(named);
    buffer_clear(&der);
    end_free(&authority);
}

/* ---- store ---- */

static void take_and_store(struct place *place, struct end *end, const char *name, enum result expected)
{
    struct buffer der = list_of(name);
    struct reason why = {""};
    assert_int_equal(store_begin(place->store, &why), RESULT_OK);
    enum result result =
        revocation_take(place->store, &end->identity, end->context, buffer_bytes(&der), &why);
    assert_int_equal(store_commit(place->store, &why), RESULT_OK);
    if (result != expected) {
        fail_msg("%s: %s: %s", name, result_word(result), why.text);
    }
    buffer_clear(&der);
}

static void load(struct place *place, struct end *end)
{
    struct reason why = {""};
    assert_int_equal(store_begin(place->store, &why), RESULT_OK);
    if (revocation_load(place->store, &end->identity, end->context, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(store_commit(place->store, &why), RESULT_OK);
}

static void number_is_never_lower_after_a_restart(void **state)
{
    struct place *place = *state;
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl");
    load(place, &authority);
    take_and_store(place, &authority, "crl-door", RESULT_OK);
    take_and_store(place, &authority, "crl-door", RESULT_EXISTS);
    take_and_store(place, &authority, "crl-next", RESULT_REFUSED);
    end_free(&authority);
    place_reopen(place);
    /* Provisioned with the old list still: what came later counts. */
    authority = authority_new("crl");
    assert_agree(&member, &authority);
    load(place, &authority);
    assert_refused(&member, &authority, NULL, "is revoked");
    take_and_store(place, &authority, "crl-next", RESULT_REFUSED);
    end_free(&authority);
    end_free(&member);
}

static void provisioned_anew(void **state)
{
    struct place *place = *state;
    struct end member = door_new("door", "crl");
    struct end authority = authority_new("crl");
    struct reason why = {""};
    take_and_store(place, &authority, "crl-next", RESULT_OK);
    end_free(&authority);
    /* A newer list was provisioned: the stored one does not take its place. */
    authority = authority_new("crl-door");
    load(place, &authority);
    assert_refused(&member, &authority, NULL, "is revoked");
    end_free(&authority);
    end_free(&member);
    /* Another CA: a list of the one before is none. */
    struct identity other = pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse-other", "other", "crl-other");
    authority = end_new(other);
    load(place, &authority);
    assert_int_equal(handshake_context_list_count(authority.context), 1);
    end_free(&authority);
    (void)why;
}

static void lists_come_together(void **state)
{
    struct place *place = *state;
    struct identity identity = pki_identity(AUTHORITY, IDENTITY_IN_CSE, "in-cse", "ca", "crl");
    struct buffer lists = BUFFER_EMPTY(65536);
    struct reason why = {""};
    pki_read("middle", ".pem", &identity.trust_anchors);
    struct end authority = end_new(identity);
    static const char *const names[] = {"crl-next", "crl-middle"};
    for (size_t i = 0; i < 2; i++) {
        struct buffer der = list_of(names[i]);
        assert_int_equal(buffer_append(&lists, buffer_bytes(&der)), RESULT_OK);
        buffer_clear(&der);
    }
    assert_int_equal(store_begin(place->store, &why), RESULT_OK);
    struct bytes both = buffer_bytes(&lists);
    struct bytes cut = {both.data, both.length - 1};
    assert_int_equal(revocation_take(place->store, &authority.identity, authority.context, both, &why),
                     RESULT_OK);
    assert_int_equal(revocation_take(place->store, &authority.identity, authority.context, cut, &why),
                     RESULT_INVALID);
    assert_int_equal(
        revocation_take(place->store, &authority.identity, authority.context, (struct bytes){NULL, 0}, &why),
        RESULT_INVALID);
    assert_int_equal(store_commit(place->store, &why), RESULT_OK);
    assert_int_equal(handshake_context_list_count(authority.context), 2);
    buffer_clear(&lists);
    end_free(&authority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_list_counts_at_once),
        cmocka_unit_test(counts_for_what_is_under_way),
        cmocka_unit_test(what_is_no_newer_list_is_refused),
        cmocka_unit_test(altered_lists_are_refused),
        cmocka_unit_test(without_a_list),
        cmocka_unit_test(overdue_list_is_replaced),
        cmocka_unit_test(intermediate_with_its_own_list),
        cmocka_unit_test(marks_tell_certificates_apart),
        cmocka_unit_test_setup_teardown(number_is_never_lower_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(provisioned_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_come_together, setup, teardown),
    };
    return cmocka_run_group_tests_name("revocation", tests, NULL, NULL);
}
