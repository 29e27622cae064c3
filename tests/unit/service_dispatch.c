/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/service/dispatch.h"

#define HIGHEST_CASE 80 /* above every request of secenv.proto */

/* What proto/secenv.proto says, written down a second time, apart from the table. */
static bool permitted(enum store_profile profile, enum socket_kind socket, unsigned request)
{
    if (request == 2 || request == 3) {
        return true;
    }
    if (request >= 10 && request <= 12) {
        return socket == SOCKET_OWNER;
    }
    if (request >= 20 && request <= 25) {
        return socket == SOCKET_OWNER && profile == STORE_MEMBER;
    }
    if ((request >= 40 && request <= 48) || (request >= 60 && request <= 66) ||
        (request >= 70 && request <= 73)) {
        return socket == SOCKET_OPERATOR && profile == STORE_AUTHORITY;
    }
    return false;
}

static enum result check(enum store_profile profile, enum socket_kind socket, bool greeted, unsigned request)
{
    struct dispatch_state state = {socket, greeted, 4};
    Groupseal__Secenv__ToSecenv message = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct reason why = {""};
    message.id = 5;
    message.request_case = (Groupseal__Secenv__ToSecenv__RequestCase)request;
    enum result result = dispatch_check(&state, profile, &message, &why);
    assert_true((result == RESULT_OK) == (why.text[0] == '\0'));
    return result;
}

static void every_request_on_every_socket_and_state(void **state)
{
    (void)state;
    const enum store_profile profiles[] = {STORE_AUTHORITY, STORE_MEMBER};
    const enum socket_kind sockets[] = {SOCKET_OWNER, SOCKET_OPERATOR, SOCKET_AUDIT};
    unsigned allowed = 0;
    for (size_t p = 0; p < 2; p++) {
        for (size_t s = 0; s < 3; s++) {
            for (unsigned request = 0; request <= HIGHEST_CASE; request++) {
                bool may = permitted(profiles[p], sockets[s], request);
                bool greets = request == 2;
                assert_int_equal(check(profiles[p], sockets[s], true, request),
                                 may && !greets ? RESULT_OK : RESULT_REFUSED);
                assert_int_equal(check(profiles[p], sockets[s], false, request),
                                 may && greets ? RESULT_OK : RESULT_REFUSED);
                allowed += may ? 1 : 0;
            }
        }
    }
    assert_int_equal(allowed, 2 * 3 * 2 + 2 * 3 + 6 + 20);
}

static void ids_rise(void **state)
{
    (void)state;
    struct dispatch_state at = {SOCKET_OWNER, true, 7};
    Groupseal__Secenv__ToSecenv message = GROUPSEAL__SECENV__TO_SECENV__INIT;
    message.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    message.id = 7;
    assert_int_equal(dispatch_check(&at, STORE_MEMBER, &message, NULL), RESULT_REFUSED);
    message.id = 8;
    assert_int_equal(dispatch_check(&at, STORE_MEMBER, &message, NULL), RESULT_OK);
}

static enum result parse(const void *data, size_t length)
{
    struct arena *arena = arena_new(1u << 20);
    assert_non_null(arena);
    Groupseal__Secenv__ToSecenv *request = NULL;
    enum result result = dispatch_parse((struct bytes){data, length}, arena, &request, NULL);
    assert_true((result == RESULT_OK) == (request != NULL));
    arena_free(arena);
    return result;
}

static void packets_are_bounded(void **state)
{
    (void)state;
    static uint8_t large[PACKET_LIMIT + 1];
    assert_int_equal(parse("\x08\x01\x1a\x00", 4), RESULT_OK); /* id 1, Status */
    assert_int_equal(parse("\x1a\x00", 2), RESULT_INVALID);    /* no id */
    assert_int_equal(parse("", 0), RESULT_INVALID);
    assert_int_equal(parse("\x08", 1), RESULT_INVALID);
    assert_int_equal(parse("\x08\x01\x1a\x7f", 4), RESULT_INVALID);
    memcpy(large, "\x08\x01", 2);
    large[2] = 0x7a; /* field 15, unknown: bytes up to the end */
    large[3] = 0xfa;
    large[4] = 0xff;
    large[5] = 0x03;
    assert_int_equal(parse(large, PACKET_LIMIT), RESULT_OK);
    assert_int_equal(parse(large, PACKET_LIMIT + 1), RESULT_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_on_every_socket_and_state),
        cmocka_unit_test(ids_rise),
        cmocka_unit_test(packets_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
