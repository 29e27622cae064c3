/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/objects/object.h"
#include "tests/unit/operator.h"

/* The operator's requests of the authority's engine: every refusal beside a twin that succeeds. */

#define DOOR "//sp.example/Sdoor1"
#define MN_2 "//sp.example/mn-2"
#define OK GROUPSEAL__SECENV__CODE__OK
#define INVALID GROUPSEAL__SECENV__CODE__INVALID
#define REFUSED GROUPSEAL__SECENV__CODE__REFUSED
#define UNKNOWN GROUPSEAL__SECENV__CODE__UNKNOWN
#define EXISTS GROUPSEAL__SECENV__CODE__EXISTS
#define FULL GROUPSEAL__SECENV__CODE__FULL
#define NOT_READY GROUPSEAL__SECENV__CODE__NOT_READY

static int setup(void **state)
{
    struct site *site = site_new();
    site_enrol(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

/* Adds this one member; where it is refused the store must be as it was. */
static Groupseal__Secenv__Code add(struct site *site, struct new_member *member)
{
    Groupseal__Secenv__NewMember *members[] = {&member->member};
    uint8_t before[32];
    uint8_t after[32];
    site_digest(site_authority(site), before);
    Groupseal__Secenv__Code code = operator_add(site, members, 1);
    site_digest(site_authority(site), after);
    if (code != OK) {
        assert_memory_equal(before, after, 32);
    } else {
        assert_memory_not_equal(before, after, 32);
    }
    return code;
}

static void door(struct new_member *member, enum credentials_mode mode)
{
    new_member_init(member, DOOR, IDENTITY_ADN_AE, mode, SITE_MN_CSE, "door");
}

static void add_refuses_names(void **state)
{
    static const char *const wrong[] = {"",
                                        "Sdoor1",
                                        "/Sdoor1",
                                        "//sp.example",
                                        "//sp.example/door",
                                        "//sp.example/Cdoor1",
                                        "//sp.example/mn-1/Sdoor1",
                                        "//sp.example/mn-2/Cdoor1",
                                        "//sp.example/mn-1/x/Cdoor1",
                                        "//sp.example/S door",
                                        SITE_AUTHORITY};
    struct new_member member;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        door(&member, CREDENTIALS_CERT);
        member.member.name = (char *)(uintptr_t)wrong[i];
        assert_int_equal(add(*state, &member), INVALID);
    }
    door(&member, CREDENTIALS_CERT);
    assert_int_equal(add(*state, &member), OK);
    member.member.name = (char *)(uintptr_t) "//sp.example/mn-1/Cdoor1";
    assert_int_equal(add(*state, &member), OK);
}

static void add_refuses_mn_cse(void **state)
{
    struct new_member member;
    new_member_init(&member, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, "door");
    assert_int_equal(add(*state, &member), INVALID); /* functions */
    new_member_init(&member, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_CERT, SITE_MN_CSE, NULL);
    assert_int_equal(add(*state, &member), INVALID); /* a site */
    new_member_init(&member, "//sp.example/Smn2", IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    assert_int_equal(add(*state, &member), INVALID); /* an AE's id */
    new_member_init(&member, SITE_AUTHORITY, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    assert_int_equal(add(*state, &member), INVALID); /* the IN-CSE itself */
    new_member_init(&member, "//sp.example/mn-2", IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    assert_int_equal(add(*state, &member), OK);
}

static void add_refuses_kinds_and_modes(void **state)
{
    struct new_member member;
    door(&member, CREDENTIALS_CERT);
    member.member.kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_NONE;
    assert_int_equal(add(*state, &member), INVALID);
    member.member.kind = (Groupseal__Secenv__MemberKind)9;
    assert_int_equal(add(*state, &member), INVALID);
    door(&member, CREDENTIALS_CERT);
    member.member.mode = GROUPSEAL__SECENV__MODE__MODE_NONE;
    assert_int_equal(add(*state, &member), INVALID);
    door(&member, CREDENTIALS_PSK);
    member.member.mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
    assert_int_equal(add(*state, &member), INVALID); /* a PSK with certificate mode */
    door(&member, CREDENTIALS_CERT);
    assert_int_equal(add(*state, &member), OK);
}

static void add_refuses_psks(void **state)
{
    struct new_member member;
    door(&member, CREDENTIALS_PSK);
    member.member.psk.len = 31;
    assert_int_equal(add(*state, &member), INVALID);
    member.member.psk.len = 0;
    assert_int_equal(add(*state, &member), INVALID);
    door(&member, CREDENTIALS_PSK);
    member.member.psk_identity = (char *)(uintptr_t) "with space";
    assert_int_equal(add(*state, &member), INVALID);
    door(&member, CREDENTIALS_PSK);
    assert_int_equal(add(*state, &member), OK);
    /* The identity, by default the name, is taken. */
    new_member_init(&member, "//sp.example/Sdoor2", IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    member.member.psk_identity = (char *)(uintptr_t)DOOR;
    assert_int_equal(add(*state, &member), EXISTS);
    member.member.psk_identity = (char *)(uintptr_t) "door-2";
    assert_int_equal(add(*state, &member), OK);
}

static void add_refuses_sites_and_functions(void **state)
{
    struct new_member member;
    char *functions[17];
    new_member_init(&member, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, "//sp.example/mn-9", "door");
    assert_int_equal(add(*state, &member), UNKNOWN);
    new_member_init(&member, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, NULL, "door");
    assert_int_equal(add(*state, &member), UNKNOWN);
    door(&member, CREDENTIALS_CERT);
    member.functions[0] = (char *)(uintptr_t) "fire door";
    assert_int_equal(add(*state, &member), INVALID);
    for (size_t i = 0; i < 17; i++) {
        functions[i] = (char *)(uintptr_t) "door";
    }
    member.member.functions = functions;
    member.member.n_functions = 17;
    assert_int_equal(add(*state, &member), INVALID);
    door(&member, CREDENTIALS_CERT);
    assert_int_equal(add(*state, &member), OK);
    assert_int_equal(add(*state, &member), EXISTS);
    /* A device is no site, and an MN-CSE that was evicted none any more. */
    new_member_init(&member, "//sp.example/Sdoor2", IDENTITY_ADN_AE, CREDENTIALS_CERT, DOOR, "door");
    assert_int_equal(add(*state, &member), UNKNOWN);
    assert_int_equal(operator_evict(*state, SITE_MN_CSE), OK);
    new_member_init(&member, "//sp.example/Sdoor2", IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    assert_int_equal(add(*state, &member), UNKNOWN);
}

static void add_is_all_or_none(void **state)
{
    struct site *site = *state;
    struct new_member members[3];
    Groupseal__Secenv__NewMember *list[3] = {&members[0].member, &members[1].member, &members[2].member};
    uint8_t before[32];
    uint8_t after[32];
    /* An ADN-AE before its MN-CSE in the same request. */
    new_member_init(&members[0], "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_PSK, "//sp.example/mn-3",
                    "door");
    new_member_init(&members[1], "//sp.example/mn-3", IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    new_member_init(&members[2], "//sp.example/Sdoor3", IDENTITY_ADN_AE, CREDENTIALS_CERT,
                    "//sp.example/mn-3", "door");
    site_digest(site_authority(site), before);
    assert_int_equal(operator_add(site, list, 3), EXISTS); /* the first and the third have one name */
    site_digest(site_authority(site), after);
    assert_memory_equal(before, after, 32);
    assert_int_equal(operator_add(site, list, 2), OK);
    assert_int_equal(operator_add(site, list, 0), INVALID);
}

static void list_has_pages(void **state)
{
    struct site *site = *state;
    char name[64];
    char after[129] = "";
    size_t seen = 0;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "//sp.example/Sdevice-%03d", i);
        site_enrol(site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, i % 2 == 0 ? "even" : NULL);
    }
    bool more = true;
    for (int page = 0; more; page++) {
        Groupseal__Secenv__Reply *reply = operator_list(site, after);
        assert_int_equal(reply->code, OK);
        assert_true(reply->members->n_members <= 128);
        for (size_t i = 0; i < reply->members->n_members; i++) {
            const Groupseal__Secenv__MemberRow *row = reply->members->members[i];
            assert_true(strcmp(after, row->name) < 0);
            (void)snprintf(after, sizeof(after), "%s", row->name);
            assert_string_equal(row->state, "added");
            seen++;
        }
        more = reply->members->more;
        assert_true(page < 4);
        site_reply_free(reply);
    }
    assert_int_equal(seen, 201);
}

/* ---- groups ---- */

static void group_fill(Groupseal__Secenv__GroupCreate *group, char **sites)
{
    groupseal__secenv__group_create__init(group);
    group->name = (char *)(uintptr_t) "doors";
    group->function = (char *)(uintptr_t) "door";
    group->sites = sites;
    group->n_sites = 1;
}

static void create_refuses(void **state)
{
    struct site *site = *state;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)SITE_MN_CSE};
    char *strange[] = {(char *)(uintptr_t) "//sp.example/mn-9"};
    Groupseal__Secenv__GroupCreate group;
    uint8_t before[32];
    uint8_t after[32];
    site_digest(site_authority(site), before);
    group_fill(&group, sites);
    group.name = (char *)(uintptr_t) "two words";
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.function = (char *)(uintptr_t) "";
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.n_sites = 0;
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.n_sites = 2;
    assert_int_equal(operator_create(site, &group), INVALID); /* twice */
    group_fill(&group, strange);
    assert_int_equal(operator_create(site, &group), UNKNOWN);
    group_fill(&group, sites);
    group.aead = (char *)(uintptr_t) "rot13";
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.overlap_ms = 600001;
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.response_window_ms = 60001;
    assert_int_equal(operator_create(site, &group), INVALID);
    group_fill(&group, sites);
    group.beat_interval_s = 86401;
    assert_int_equal(operator_create(site, &group), INVALID);
    site_digest(site_authority(site), after);
    assert_memory_equal(before, after, 32);
    group_fill(&group, sites);
    assert_int_equal(operator_create(site, &group), OK);
    assert_int_equal(operator_create(site, &group), EXISTS);
}

static void create_has_defaults(void **state)
{
    struct site *site = *state;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE};
    Groupseal__Secenv__GroupCreate group;
    group_fill(&group, sites);
    group.aead = (char *)(uintptr_t) "aes-256-gcm";
    assert_int_equal(operator_create(site, &group), OK);
    for (int round = 0; round < 2; round++) { /* the second time from the store */
        Groupseal__Secenv__Reply *reply = operator_show(site, "doors");
        assert_int_equal(reply->code, OK);
        assert_string_equal(reply->group->aead, "aes-256-gcm");
        assert_int_equal(reply->group->overlap_ms, 30000);
        assert_int_equal(reply->group->response_window_ms, 500);
        assert_int_equal(reply->group->beat_interval_s, 900);
        assert_false(reply->group->authority_only);
        assert_int_equal(strlen(reply->group->instance), 32);
        assert_int_equal(reply->group->group->epoch, 0);
        assert_int_equal(reply->group->group->n_sites, 1);
        assert_string_equal(reply->group->group->sites[0], SITE_MN_CSE);
        assert_true(reply->group->group->incarnation >= site_now_ms(site) / 1000 - 1);
        site_reply_free(reply);
        site_restart(site_authority(site));
    }
    Groupseal__Secenv__Reply *none = operator_show(site, "windows");
    assert_int_equal(none->code, UNKNOWN);
    site_reply_free(none);
}

/* As many as an MN-CSE's secure environment holds; those of another site do not count. */
static void sites_are_bounded(void **state)
{
    struct site *site = *state;
    char name[16];
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)MN_2};
    Groupseal__Secenv__GroupCreate group;
    site_enrol(site, MN_2, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    for (unsigned i = 0; i < MEMBERSHIPS_LIMIT; i++) {
        group_fill(&group, sites);
        (void)snprintf(name, sizeof(name), "doors-%u", i);
        group.name = name;
        assert_int_equal(operator_create(site, &group), OK);
    }
    group.name = (char *)(uintptr_t) "one-more";
    group.n_sites = 2;
    assert_int_equal(operator_create(site, &group), FULL);
    group.sites = sites + 1;
    group.n_sites = 1;
    assert_int_equal(operator_create(site, &group), OK);
}

/* ---- the rest ---- */

static void unknown_members_and_orders(void **state)
{
    struct site *site = *state;
    uint8_t id[16] = {1};
    assert_int_equal(operator_evict(site, DOOR), UNKNOWN);
    assert_int_equal(operator_reauthenticate(site, DOOR), UNKNOWN);
    site_enrol(site, DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    assert_int_equal(operator_reauthenticate(site, DOOR), NOT_READY);
    Groupseal__Secenv__Reply *reply = operator_order(site, "doors", "close", NULL, 0, 0);
    assert_int_equal(reply->code, UNKNOWN);
    site_reply_free(reply);
    site_group(site, "doors", "door", SITE_MN_CSE);
    reply = operator_order(site, "doors", "close", NULL, 0, 0);
    assert_int_equal(reply->code, NOT_READY); /* nobody has a key */
    site_reply_free(reply);
    reply = operator_order_show(site, BYTES_OF(id));
    assert_int_equal(reply->code, UNKNOWN);
    site_reply_free(reply);
    reply = operator_order_show(site, (struct bytes){id, 15});
    assert_int_equal(reply->code, INVALID);
    site_reply_free(reply);
    assert_int_equal(operator_evict(site, DOOR), OK);
    assert_int_equal(operator_evict(site, DOOR), UNKNOWN); /* once is for good */
}

/* The owner cannot ask what only the operator may, and the other way round; an observer nothing but status.
 */
static void sockets_are_apart(void **state)
{
    struct site *site = *state;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__GroupList list = GROUPSEAL__SECENV__GROUP_LIST__INIT;
    Groupseal__Secenv__Online online = GROUPSEAL__SECENV__ONLINE__INIT;
    static const enum socket_kind sockets[] = {SOCKET_OWNER, SOCKET_OPERATOR, SOCKET_AUDIT};
    online.identity = (char *)(uintptr_t)SITE_AUTHORITY;
    online.online = 1;
    for (size_t i = 0; i < 3; i++) {
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST;
        request.group_list = &list;
        Groupseal__Secenv__Reply *reply = site_request(site_authority(site), sockets[i], 5, &request);
        assert_int_equal(reply->code, sockets[i] == SOCKET_OPERATOR ? OK : REFUSED);
        site_reply_free(reply);
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
        request.online = &online;
        reply = site_request(site_authority(site), sockets[i], 5, &request);
        assert_int_equal(reply->code, sockets[i] == SOCKET_OWNER ? OK : REFUSED);
        site_reply_free(reply);
    }
}

static void hello_and_status(void **state)
{
    struct site *site = *state;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Hello hello = GROUPSEAL__SECENV__HELLO__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    site_group(site, "doors", "door", SITE_MN_CSE);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO;
    request.hello = &hello;
    hello.version = 2;
    Groupseal__Secenv__Reply *reply = site_request(site_authority(site), SOCKET_AUDIT, 5, &request);
    assert_int_equal(reply->code, INVALID);
    site_reply_free(reply);
    hello.version = 1;
    reply = site_request(site_authority(site), SOCKET_AUDIT, 5, &request);
    assert_int_equal(reply->code, OK);
    assert_string_equal(reply->welcome->profile, "authority");
    assert_string_equal(reply->welcome->authority, SITE_AUTHORITY);
    assert_int_equal(reply->welcome->n_identities, 1);
    site_reply_free(reply);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    reply = site_request(site_authority(site), SOCKET_AUDIT, 5, &request);
    assert_int_equal(reply->code, OK);
    assert_int_equal(reply->status->n_identities, 1);
    assert_int_equal(reply->status->identities[0]->n_groups, 1);
    assert_string_equal(reply->status->identities[0]->groups[0]->group, "doors");
    site_reply_free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(add_refuses_names, setup, teardown),
        cmocka_unit_test_setup_teardown(add_refuses_mn_cse, setup, teardown),
        cmocka_unit_test_setup_teardown(add_refuses_kinds_and_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(add_refuses_psks, setup, teardown),
        cmocka_unit_test_setup_teardown(add_refuses_sites_and_functions, setup, teardown),
        cmocka_unit_test_setup_teardown(add_is_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(list_has_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(create_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(create_has_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(sites_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_members_and_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(hello_and_status, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_operator", tests, NULL, NULL);
}
