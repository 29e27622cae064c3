/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/revocation.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"
#include "tests/unit/site_pki.h"

/* CRLs over the association, with real members: PLAY_DOOR has a pre-shared key, PLAY_DOOR_2 and the MN-CSE
 * certificates. */

#define CODE(name) GROUPSEAL__SECENV__CODE__##name
#define NOTICE GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE
#define DAY_MS UINT64_C(86400000)

static struct buffer list_of(struct play *play, const char *file)
{
    struct buffer list = BUFFER_EMPTY(65536);
    site_pki_read(site_scratch(play->site), file, &list);
    return list;
}

static Groupseal__Secenv__Code set(struct play *play, struct buffer *list, Groupseal__Secenv__Reply **out)
{
    Groupseal__Secenv__Code code = operator_revocation(play->site, buffer_bytes(list), out);
    buffer_clear(list);
    return code;
}

/* The newest list, by the operator; settles. */
static void set_newest(struct play *play, unsigned days)
{
    site_pki_list(site_scratch(play->site), days);
    struct buffer list = list_of(play, "crl.der");
    assert_int_equal(set(play, &list, NULL), CODE(OK));
    site_settle(play->site);
}

static struct bytes list_in_use(struct site_node *node, struct revocation_list *out)
{
    struct identity_state *identity = engine_identity(site_engine(node), site_name(node));
    assert_int_equal(handshake_context_list_count(identity->tls), 1);
    return handshake_context_list(identity->tls, 0, out);
}

static bool has_newest(struct play *play, struct site_node *node)
{
    struct revocation_list list;
    struct buffer newest = list_of(play, "crl.der");
    bool same = bytes_equal(list_in_use(node, &list), buffer_bytes(&newest));
    buffer_clear(&newest);
    return same;
}

static void taken(struct play *play, uint32_t *members, uint32_t *count)
{
    Groupseal__Secenv__Reply *reply = operator_revocations(play->site);
    assert_int_equal(reply->code, CODE(OK));
    *members = reply->revocations->members;
    *count = reply->revocations->members_taken;
    site_reply_free(reply);
}

static bool told(const struct site_node *node, const char *text)
{
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == NOTICE && strstr(event->notice->text, text) != NULL) {
            return true;
        }
    }
    return false;
}

static char *state_of(struct play *play, const char *name)
{
    static char state[16];
    Groupseal__Secenv__Reply *reply = operator_list(play->site, "");
    state[0] = '\0';
    for (size_t i = 0; i < reply->members->n_members; i++) {
        if (strcmp(reply->members->members[i]->name, name) == 0) {
            (void)snprintf(state, sizeof(state), "%s", reply->members->members[i]->state);
        }
    }
    site_reply_free(reply);
    return state;
}

static bool obeys(struct play *play, struct site_node *door)
{
    uint8_t id[COMMAND_ID_SIZE];
    site_events_clear(door);
    play_order(play, "close", site_name(door), 0, id);
    site_advance(play->site, 100);
    return play_commands(door) == 1;
}

/* ---- handing out ---- */

static void handed_to_everybody_with_a_certificate(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint32_t members = 0;
    uint32_t count = 0;
    site_advance(play->site, 3000);
    taken(play, &members, &count); /* what was provisioned everywhere is handed out too, and taken as known */
    assert_int_equal(members, 2);
    assert_int_equal(count, 2);
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    site_pki_list(site_scratch(play->site), 365);
    assert_false(has_newest(play, play->mn));
    set_newest(play, 365);
    site_advance(play->site, 3000);
    assert_true(has_newest(play, play->mn));
    assert_true(has_newest(play, play->door2));
    taken(play, &members, &count);
    assert_int_equal(count, 2);
    /* It needs no handshake, and stays after a restart of either side. */
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done);
    site_restart(play->door2);
    site_restart(site_authority(play->site));
    assert_true(has_newest(play, play->door2));
    site_advance(play->site, 3000);
    taken(play, &members, &count);
    assert_int_equal(count, 2);
    assert_true(obeys(play, play->door2));
    play_free(play);
}

static void handed_to_who_comes_back(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint32_t members = 0;
    uint32_t count = 0;
    site_advance(play->site, 3000);
    site_online(play->door2, false);
    set_newest(play, 365);
    site_advance(play->site, 120000);
    taken(play, &members, &count);
    assert_int_equal(count, 1);
    set_newest(play, 364); /* meanwhile there is a newer one still */
    site_online(play->door2, true);
    site_advance(play->site, 120000);
    assert_true(has_newest(play, play->door2));
    taken(play, &members, &count);
    assert_int_equal(count, 2);
    play_free(play);
}

static void operator_is_refused_what_is_not_newer(void **state)
{
    (void)state;
    uint8_t before[32];
    uint8_t after[32];
    struct play *play = play_new(2);
    site_advance(play->site, 3000);
    struct buffer old = list_of(play, "crl.der");
    set_newest(play, 365);
    site_advance(play->site, 3000);
    struct buffer altered = list_of(play, "crl.der");
    struct buffer same = list_of(play, "crl.pem"); /* PEM as well */
    struct buffer nothing = BUFFER_EMPTY(16);
    altered.data[altered.length - 5] ^= 1u;
    site_digest(site_authority(play->site), before);
    assert_int_equal(set(play, &old, NULL), CODE(REFUSED));
    assert_int_equal(set(play, &altered, NULL), CODE(REFUSED));
    assert_int_equal(set(play, &nothing, NULL), CODE(INVALID));
    site_digest(site_authority(play->site), after);
    assert_memory_equal(before, after, 32);
    assert_int_equal(set(play, &same, NULL), CODE(OK));
    assert_true(has_newest(play, play->door2));
    play_free(play);
}

/* Members look for themselves: an authority that was taken over hands them no list that the CA did not sign.
 */
static void member_refuses_what_is_not_newer(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct identity_state *door = engine_identity(site_engine(play->door2), PLAY_DOOR_2);
    struct identity_state *psk = engine_identity(site_engine(play->door), PLAY_DOOR);
    struct buffer old = list_of(play, "crl.der");
    set_newest(play, 365);
    site_advance(play->site, 3000);
    site_pki_list(site_scratch(play->site), 364);
    struct buffer newer = list_of(play, "crl.der");
    struct store *store = site_store(play->door2);
    struct reason why = {""};
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(revocation_take(store, &door->identity, door->tls, buffer_bytes(&old), &why),
                     RESULT_REFUSED);
    newer.data[newer.length - 5] ^= 1u;
    assert_int_equal(revocation_take(store, &door->identity, door->tls, buffer_bytes(&newer), &why),
                     RESULT_REFUSED);
    newer.data[newer.length - 5] ^= 1u;
    assert_int_equal(revocation_take(store, &door->identity, door->tls, buffer_bytes(&newer), &why),
                     RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    assert_int_equal(
        revocation_take(site_store(play->door), &psk->identity, psk->tls, buffer_bytes(&newer), &why),
        RESULT_REFUSED);
    buffer_clear(&old);
    buffer_clear(&newer);
    play_free(play);
}

/* ---- revoked ---- */

static void revoked_member_is_out(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    Groupseal__Secenv__Reply *reply = NULL;
    site_advance(play->site, 3000);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    uint64_t serial = play_membership(play->door2, PLAY_GROUP)->serial;
    struct secret leaf = play_membership(play->door2, PLAY_GROUP)->leaf;
    site_pki_revoke(site_scratch(play->site), PLAY_DOOR_2);
    site_pki_list(site_scratch(play->site), 365);
    struct buffer list = list_of(play, "crl.der");
    site_events_clear(site_authority(play->site));
    assert_int_equal(set(play, &list, &reply), CODE(OK));
    assert_int_equal(reply->revocations->n_revoked, 1);
    assert_string_equal(reply->revocations->revoked[0], PLAY_DOOR_2);
    assert_int_equal(reply->revocations->lists[0]->entries, 1);
    site_reply_free(reply);
    site_settle(play->site);
    assert_true(told(site_authority(play->site), "the certificate of " PLAY_DOOR_2 " is revoked"));
    /* As in an eviction: the group has a new key, the MN-CSE another roster, the device wipes what it had. */
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1);
    assert_int_equal(play_membership(play->mn, PLAY_GROUP)->current.epoch, epoch + 1);
    assert_null(membership_find(engine_identity(site_engine(play->door2), PLAY_DOOR_2), PLAY_GROUP));
    const Groupseal__Secenv__Event *roster =
        site_last_event(play->mn, GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER);
    assert_int_equal(roster->roster->n_left, 1);
    assert_string_equal(roster->roster->left[0], PLAY_DOOR_2);
    assert_string_equal(state_of(play, PLAY_DOOR_2), "revoked");
    /* The others go on. */
    assert_string_equal(state_of(play, SITE_MN_CSE), "associated");
    assert_true(obeys(play, play->door));
    /* It tries to come back, and cannot. */
    site_advance(play->site, 600000);
    assert_string_equal(state_of(play, PLAY_DOOR_2), "revoked");
    assert_true(told(site_authority(play->site), "certificate of " PLAY_DOOR_2 " is revoked"));
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1);

    /* With another certificate it may: the same member, with a new serial and leaf. */
    struct identity identity;
    struct reason why = {""};
    site_close(play->door2);
    site_identity(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_CERT, &identity);
    site_reopen(play->door2);
    assert_int_equal(store_begin(site_store(play->door2), &why), RESULT_OK);
    assert_int_equal(identity_store(site_store(play->door2), &identity, true, &why), RESULT_OK);
    assert_int_equal(store_commit(site_store(play->door2), &why), RESULT_OK);
    identity_clear(&identity);
    site_restart(play->door2);
    site_advance(play->site, 400000);
    assert_string_equal(state_of(play, PLAY_DOOR_2), "associated");
    assert_int_not_equal(play_membership(play->door2, PLAY_GROUP)->serial, serial);
    assert_false(secret_equal(play_membership(play->door2, PLAY_GROUP)->leaf.data, leaf.data, SECRET_SIZE));
    assert_true(obeys(play, play->door2));
    play_free(play);
}

/* The list was provisioned to the authority while it was stopped. */
static void revoked_while_the_authority_was_off(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct identity identity;
    struct reason why = {""};
    struct site_node *authority = site_authority(play->site);
    site_advance(play->site, 3000);
    uint64_t epoch = play_membership(play->door, PLAY_GROUP)->current.epoch;
    site_pki_revoke(site_scratch(play->site), PLAY_DOOR_2);
    site_pki_list(site_scratch(play->site), 365);
    site_identity(play->site, SITE_AUTHORITY, IDENTITY_IN_CSE, CREDENTIALS_CERT, &identity);
    assert_int_equal(store_begin(site_store(authority), &why), RESULT_OK);
    assert_int_equal(identity_store(site_store(authority), &identity, true, &why), RESULT_OK);
    assert_int_equal(store_commit(site_store(authority), &why), RESULT_OK);
    identity_clear(&identity);
    site_restart(authority);
    site_advance(play->site, 3000);
    assert_string_equal(state_of(play, PLAY_DOOR_2), "revoked");
    assert_int_equal(play_membership(play->door, PLAY_GROUP)->current.epoch, epoch + 1);
    assert_true(has_newest(play, play->mn)); /* and the MN-CSE was handed it */
    play_free(play);
}

/* The authority's own certificate: members keep the association till a new one is made with another. */
static void authority_is_revoked(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    struct identity identity;
    struct reason why = {""};
    struct site_node *authority = site_authority(play->site);
    site_advance(play->site, 3000);
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    site_pki_revoke(site_scratch(play->site), SITE_AUTHORITY);
    set_newest(play, 365);
    site_advance(play->site, 10000);
    assert_true(told(authority, "the CRL names the certificate of this IN-CSE"));
    assert_true(told(play->door2, "the certificate by which " SITE_AUTHORITY " authenticated is revoked"));
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done);
    assert_true(obeys(play, play->door2));
    site_identity(play->site, SITE_AUTHORITY, IDENTITY_IN_CSE, CREDENTIALS_CERT, &identity);
    assert_int_equal(store_begin(site_store(authority), &why), RESULT_OK);
    assert_int_equal(identity_store(site_store(authority), &identity, true, &why), RESULT_OK);
    assert_int_equal(store_commit(site_store(authority), &why), RESULT_OK);
    identity_clear(&identity);
    site_restart(authority);
    site_advance(play->site, 700000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 4); /* MN-CSE and door, both ends */
    assert_true(obeys(play, play->door2));
    play_free(play);
}

/* ---- overdue ---- */

static void overdue_list_is_told_and_replaced(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    set_newest(play, 10);
    site_advance(play->site, 3000);
    site_advance(play->site, 6 * DAY_MS);
    assert_false(told(site_authority(play->site), "runs out"));
    site_advance(play->site, 2 * DAY_MS);
    assert_true(told(site_authority(play->site), "runs out"));
    assert_false(told(site_authority(play->site), "overdue since"));
    site_advance(play->site, 3 * DAY_MS);
    assert_true(told(site_authority(play->site), "overdue since"));
    /* Who is associated goes on; who comes anew is refused, but not by a pre-shared key. */
    assert_true(obeys(play, play->door2));
    uint64_t done = audit_value(AUDIT_HANDSHAKES_DONE);
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR_2), CODE(OK));
    site_advance(play->site, 60000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 0);
    assert_int_equal(operator_reauthenticate(play->site, PLAY_DOOR), CODE(OK));
    site_advance(play->site, 60000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 2);
    assert_true(obeys(play, play->door2));
    set_newest(play, 365);
    site_advance(play->site, 600000);
    assert_int_equal(audit_value(AUDIT_HANDSHAKES_DONE), done + 4);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handed_to_everybody_with_a_certificate),
        cmocka_unit_test(handed_to_who_comes_back),
        cmocka_unit_test(operator_is_refused_what_is_not_newer),
        cmocka_unit_test(member_refuses_what_is_not_newer),
        cmocka_unit_test(revoked_member_is_out),
        cmocka_unit_test(revoked_while_the_authority_was_off),
        cmocka_unit_test(authority_is_revoked),
        cmocka_unit_test(overdue_list_is_told_and_replaced),
    };
    return cmocka_run_group_tests_name("member_revocation", tests, NULL, NULL);
}
